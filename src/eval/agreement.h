/* Agreement of labels: with human votes as MT-Bench counts it (Zheng et al., arXiv 2306.05685, section 4.2), and
 * Cohen's kappa (Cohen, "A coefficient of agreement for nominal scales", 1960). */
#ifndef STE_EVAL_AGREEMENT_H
#define STE_EVAL_AGREEMENT_H

#include "eval/eval.h"

/* One setup: votes that were counted, and the share of them that the judge agrees with. */
struct ste_agreement {
    size_t votes, agree;
    struct ste_rate rate; /* bootstrap over prompts */
};

/* Every judged outcome is a human vote. WITH_TIES: setup 1, where ties and orders that disagree count as ties, and an
 * invalid verdict agrees with nothing; without: setup 2, only votes that are no tie on either side; an invalid verdict
 * stays in and agrees with nothing. */
void ste_agreement_of(const struct ste_outcome *o, size_t n, bool with_ties, uint64_t seed, struct ste_agreement *out);

/* Kappa of the judge's final verdicts (chosen, rejected, tie) and the labels. Which answer has which name
 * means nothing, so each pair is counted under both; pairs with an invalid verdict are left out. */
double ste_kappa_of(const struct ste_outcome *o, size_t n);
/* Kappa of two judges' final verdicts on the same pairs; pairs with an invalid one are left out. */
double ste_kappa_between(const struct ste_outcome *x, const struct ste_outcome *y, size_t n);

/* Wilson's interval of a share (Wilson 1927) with 95 %: for rates over independent items that come in one order. */
struct ste_rate ste_wilson(size_t successes, size_t n);

#endif
