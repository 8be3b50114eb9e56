/*
 * The percentile bootstrap over prompts (a cluster bootstrap; Efron & Tibshirani, "An introduction to the bootstrap",
 * 1993, chapter 13): pairs of one prompt, and the two orders of one pair, are correlated, so whole prompts are drawn.
 * The numbers are Philox's, keyed by the seed, with one stream a suite: the same data and seed give the same bounds.
 */
#ifndef STE_EVAL_BOOTSTRAP_H
#define STE_EVAL_BOOTSTRAP_H

#include <stddef.h>
#include <stdint.h>

#include "eval/eval.h"

#define STE_BOOTSTRAP_DRAWS 2000

/* The pairs of a suite summed by prompt; a prompt's place is that of its first pair. */
struct ste_clusters {
    int n_values; /* figures a pair has */
    size_t n, cap;
    uint64_t *keys; /* (n) */
    double *pairs;  /* (n): how many */
    double *sums;   /* (n, n_values) */
};
void ste_clusters_init(struct ste_clusters *c, int n_values);
void ste_clusters_add(struct ste_clusters *c, uint64_t key, const double *values);
void ste_clusters_clear(struct ste_clusters *c);

/* Fills lo and hi of RATES[0 .. n_values-1] with the 2.5 % and 97.5 % points (linear between order statistics) of the
 * mean over SUITES, weighted by WEIGHTS (NULL: all equal), of each figure's mean over pairs. Suites without a pair are
 * left out; NAN when all are. */
void ste_bootstrap(const struct ste_clusters *suites, size_t n, const double *weights, uint64_t seed,
                   struct ste_rate *const *rates);
/* Does the same for figures that are no means themselves: DERIVE puts them in the place of each draw's means. */
void ste_bootstrap_derived(const struct ste_clusters *suites, size_t n, const double *weights, uint64_t seed,
                           void (*derive)(double *means), struct ste_rate *const *rates);
/* The 2.5 % and 97.5 % points of MEANS[STE_BOOTSTRAP_DRAWS], which it sorts. */
void ste_bootstrap_bounds(double *means, double *lo, double *hi);
int ste_by_value(const void *a, const void *b); /* the order of doubles, ascending, for qsort */

#endif
