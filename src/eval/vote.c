#include "eval/vote.h"

#include <math.h>

#include "core/mem.h"

static enum ste_verdict majority(const struct ste_tally *t, double sum_a, double sum_b)
{
    if (t->a + t->b == 0)
        return STE_VERDICT_INVALID;
    if (t->a != t->b)
        return t->a > t->b ? STE_VERDICT_A : STE_VERDICT_B;
    return sum_b > sum_a ? STE_VERDICT_B : STE_VERDICT_A;
}

void ste_votes_count(const struct ste_judgment *votes, int n, struct ste_judgment *out, struct ste_tally *tally)
{
    double sum_a = 0, sum_b = 0;
    *tally = (struct ste_tally){0};
    for (int i = 0; i < n; i++) {
        const struct ste_judgment *v = &votes[i];
        if (v->verdict == STE_VERDICT_INVALID) {
            tally->invalid++;
            continue;
        }
        tally->a += v->verdict == STE_VERDICT_A;
        tally->b += v->verdict == STE_VERDICT_B;
        sum_a += v->logprob_a; /* NAN in free mode, where neither sum is larger */
        sum_b += v->logprob_b;
    }
    int valid = tally->a + tally->b;
    *out = (struct ste_judgment){.verdict = majority(tally, sum_a, sum_b),
                                 .logprob_a = valid ? sum_a / valid : NAN,
                                 .logprob_b = valid ? sum_b / valid : NAN};
    for (int i = 0; i < n; i++)
        if (votes[i].verdict == out->verdict) {
            out->reason = votes[i].reason;
            out->reasoning = votes[i].reasoning ? ste_xstrdup(votes[i].reasoning) : NULL;
            break;
        }
}
