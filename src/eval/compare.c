#include <math.h>
#include <stdlib.h>

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

void ste_compare(const struct ste_outcome *first, const struct ste_outcome *second, size_t n, uint64_t seed,
                 struct ste_comparison *out)
{
    *out = (struct ste_comparison){0};
    struct ste_clusters c;
    ste_clusters_init(&c, 2);
    double accuracy = 0, consistent = 0;
    for (size_t i = 0; i < n; i++) {
        if (!first[i].judged || !second[i].judged || first[i].tie)
            continue;
        int right[2][2]; /* judge, order */
        for (int o = 0; o < 2; o++) {
            right[0][o] = ste_outcome_right(&first[i], (enum ste_order)o);
            right[1][o] = ste_outcome_right(&second[i], (enum ste_order)o);
        }
        int both[2] = {right[0][0] && right[0][1], right[1][0] && right[1][1]};
        out->pairs++;
        out->only_first += both[0] && !both[1];
        out->only_second += both[1] && !both[0];
        double difference[2] = {(right[1][0] + right[1][1] - right[0][0] - right[0][1]) / 2.0, both[1] - both[0]};
        accuracy += difference[0];
        consistent += difference[1];
        ste_clusters_add(&c, first[i].prompt_key, difference);
    }
    double pairs = out->pairs ? (double)out->pairs : NAN;
    out->accuracy_difference.value = accuracy / pairs;
    out->consistent_difference.value = consistent / pairs;
    out->mcnemar_p = mcnemar(out->only_first, out->only_second);
    struct ste_rate *rates[2] = {&out->accuracy_difference, &out->consistent_difference};
    ste_bootstrap(&c, 1, NULL, seed, rates);
    ste_clusters_clear(&c);
}
