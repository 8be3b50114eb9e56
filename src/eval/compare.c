#include <math.h>

#include "eval/bootstrap.h"
#include "eval/eval.h"

/*
 * Exact McNemar (two-sided): of the B + C pairs that only one judge has right, each would be the first's with chance
 * one half if the two were equal. Summed from the largest term, so that no power underflows before it matters.
 */
static double mcnemar(size_t b, size_t c)
{
    size_t n = b + c, least = b < c ? b : c;
    if (n == 0)
        return 1;
    double tail = 0;
    for (size_t k = 0; k <= least; k++)
        tail += exp(lgamma((double)n + 1) - lgamma((double)k + 1) - lgamma((double)(n - k) + 1) - (double)n * log(2));
    return fmin(1, 2 * tail);
}

/* What is summed over the pairs, and what becomes of its means: R and T of the judges as eval.h has them. */
enum { ACCURACY, R1, R2, T1, T2, N_VALUES };
enum { CONSISTENT = 1, TWO_ORDER, TELLING, POSITION };

/*
 * A judge without a pair that is two-order right has no K, and takes 0. The second gain is what the first leaves, so
 * that the two always add up. That it is (K2 - K1) (T1 + T2) / 2 holds where right-in-both means two-order right: the
 * likelier label of each order has log-odds of 0 or more for the chosen answer, and of more than 0 where that stands
 * second, for of equal labels A is taken; so their mean is above 0. The same holds for shares of votes and their
 * majority, and not for a majority in closed mode, where two votes that are hardly sure may outvote one that is.
 */
static void derive(double *v)
{
    double k1 = v[T1] > 0 ? v[R1] / v[T1] : 0, k2 = v[T2] > 0 ? v[R2] / v[T2] : 0;
    double two_order = v[T2] - v[T1], consistent = v[R2] - v[R1];
    v[CONSISTENT] = consistent;
    v[TWO_ORDER] = two_order;
    v[TELLING] = two_order * (k1 + k2) / 2;
    v[POSITION] = consistent - v[TELLING];
}

void ste_compare(const struct ste_outcome *first, const struct ste_outcome *second, size_t n, uint64_t seed,
                 struct ste_comparison *out)
{
    *out = (struct ste_comparison){0};
    struct ste_clusters c;
    ste_clusters_init(&c, N_VALUES);
    double value[N_VALUES], mean[N_VALUES] = {0};
    for (size_t i = 0; i < n; i++) {
        if (!first[i].judged || !second[i].judged || first[i].tie)
            continue;
        int right[2][2]; /* judge, order */
        for (int o = 0; o < 2; o++) {
            right[0][o] = ste_outcome_right(&first[i], (enum ste_order)o);
            right[1][o] = ste_outcome_right(&second[i], (enum ste_order)o);
        }
        bool both[2] = {right[0][0] && right[0][1], right[1][0] && right[1][1]};
        bool two[2] = {ste_outcome_two_order_right(&first[i]), ste_outcome_two_order_right(&second[i])};
        out->pairs++;
        out->only_first += both[0] && !both[1];
        out->only_second += both[1] && !both[0];
        out->only_first_two += two[0] && !two[1];
        out->only_second_two += two[1] && !two[0];
        value[ACCURACY] = (right[1][0] + right[1][1] - right[0][0] - right[0][1]) / 2.0;
        value[R1] = both[0];
        value[R2] = both[1];
        value[T1] = two[0];
        value[T2] = two[1];
        for (int v = 0; v < N_VALUES; v++)
            mean[v] += value[v];
        ste_clusters_add(&c, first[i].prompt_key, value);
    }
    struct ste_rate *rates[N_VALUES] = {&out->accuracy_difference, &out->consistent_difference,
                                        &out->two_order_difference, &out->gain_telling, &out->gain_position};
    for (int v = 0; v < N_VALUES; v++)
        mean[v] /= out->pairs ? (double)out->pairs : NAN;
    derive(mean);
    for (int v = 0; v < N_VALUES; v++)
        rates[v]->value = mean[v];
    out->mcnemar_p = mcnemar(out->only_first, out->only_second);
    out->two_order_p = mcnemar(out->only_first_two, out->only_second_two);
    ste_bootstrap_derived(&c, 1, NULL, seed, derive, rates);
    ste_clusters_clear(&c);
}
