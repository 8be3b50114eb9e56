#include <math.h>
#include <stdlib.h>

#include "core/mem.h"
#include "eval/eval.h"

double ste_outcome_log_odds(const struct ste_outcome *o)
{
    const struct ste_judgment *ab = &o->order[STE_ORDER_AB], *ba = &o->order[STE_ORDER_BA];
    if (!o->judged || ste_outcome_final(o) == STE_FINAL_INVALID)
        return NAN;
    double odds = (ab->logprob_a - ab->logprob_b + ba->logprob_b - ba->logprob_a) / 2;
    return isfinite(odds) ? odds : NAN;
}

/* Votes for the answer shown first less those for the other, of the valid ones; a judgment alone is one vote. */
static double lead(const struct ste_outcome *o, enum ste_order order)
{
    const struct ste_tally *v = &o->votes[order];
    const enum ste_verdict verdict = o->order[order].verdict;
    if (v->a + v->b == 0)
        return verdict == STE_VERDICT_A ? 1 : verdict == STE_VERDICT_B ? -1 : 0;
    return (double)(v->a - v->b) / (v->a + v->b);
}

double ste_outcome_margin(const struct ste_outcome *o)
{
    if (!o->judged || ste_outcome_final(o) == STE_FINAL_INVALID)
        return NAN;
    double odds = ste_outcome_log_odds(o);
    /* The orders have equal weight, however many votes each has: the weights of a sum would be a leaning to a place. */
    return isnan(odds) ? (lead(o, STE_ORDER_AB) - lead(o, STE_ORDER_BA)) / 2 : odds;
}

enum ste_final ste_outcome_two_order(const struct ste_outcome *o)
{
    double margin = ste_outcome_margin(o);
    return isnan(margin) ? STE_FINAL_INVALID
           : margin > 0  ? STE_FINAL_CHOSEN
           : margin < 0  ? STE_FINAL_REJECTED
                         : STE_FINAL_TIE;
}

bool ste_outcome_two_order_right(const struct ste_outcome *o)
{
    return ste_outcome_two_order(o) == STE_FINAL_CHOSEN;
}

struct sized {
    double size; /* |margin|; -1 without one, so that those come last */
    size_t place;
    bool right;
};

static int by_size(const void *x, const void *y)
{
    const struct sized *a = x, *b = y;
    if (a->size != b->size)
        return a->size > b->size ? -1 : 1;
    return (a->place > b->place) - (a->place < b->place);
}

void ste_coverage_curve(const struct ste_outcome *const *outcomes, const size_t *n, size_t suites,
                        struct ste_coverage_point *curve)
{
    size_t most = 0, pairs = 0, right = 0, taken = 0;
    for (size_t s = 0; s < suites; s++)
        most += n[s];
    struct sized *all = ste_xcalloc(most + 1, sizeof *all);
    for (size_t s = 0; s < suites; s++)
        for (size_t i = 0; i < n[s]; i++) {
            const struct ste_outcome *o = &outcomes[s][i];
            if (!o->judged || o->tie)
                continue;
            double margin = ste_outcome_margin(o);
            all[pairs] = (struct sized){isnan(margin) ? -1 : fabs(margin), pairs, margin > 0};
            pairs++;
        }
    qsort(all, pairs, sizeof *all, by_size);
    /* From the smallest share to all, each a part of the next. */
    for (int k = STE_N_COVERAGE - 1; k >= 0; k--) {
        size_t quarters = STE_N_COVERAGE - (size_t)k, upto = (pairs * quarters + STE_N_COVERAGE - 1) / STE_N_COVERAGE;
        for (; taken < upto; taken++)
            right += all[taken].right;
        curve[k] = (struct ste_coverage_point){(double)quarters / STE_N_COVERAGE, upto,
                                               upto ? (double)right / (double)upto : NAN};
    }
    ste_xfree(all);
}
