/*
 * Figures of runs that differ in their seed: the mean over seeds of each one's mean over pairs. What another training
 * would have brought is as little known as what other pairs would have, so intervals draw both: seeds with replacement,
 * and prompts with replacement. Where all seeds have the same prompts (a file of pairs) one draw of them goes for all
 * seeds, since the pairs are as hard for one as for another (a two-way bootstrap, Owen, "The pigeonhole bootstrap",
 * 2007); else (held-out pairs, which each run makes for itself) each has draws of its own. Of S seeds the spread that
 * is drawn is (S - 1) / S of the estimated one: with three, intervals are rather narrow.
 */
#ifndef STE_EVAL_SEEDS_H
#define STE_EVAL_SEEDS_H

#include "eval/bootstrap.h"

struct ste_seeds_rate {
    double value, lo, hi; /* 95 % */
    double p;             /* two-sided, of a difference: twice the share of draws on the lesser side of 0 */
};
/* RUNS[0 .. n-1]: the pairs of each seed. Fills RATES[0 .. n_values-1]; NAN where no run, or one of them, has no pair.
 */
void ste_over_seeds(const struct ste_clusters *runs, size_t n, uint64_t key, struct ste_seeds_rate *rates);

#endif
