/*
 * Bradley-Terry ratings (Bradley & Terry 1952) of models from pairwise results: P(i beats j) = 1 / (1 + exp(r_j -
 * r_i)), the r of highest likelihood with mean 0, by Newton's method; a tie is half a win for each. Printed on Elo's
 * scale, 1000 + r 400 / ln 10.
 */
#ifndef STE_EVAL_RATING_H
#define STE_EVAL_RATING_H

#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "eval/eval.h"

/* A comparison: SCORE 1 when I won, 0 when J did, 0.5 for a tie. CLUSTER (the prompt) is drawn as a whole. */
struct ste_match {
    int i, j;
    double score;
    uint64_t cluster;
};

/* RATINGS[n]. PENALTY times the sum of squares is taken off the log-likelihood: with 0, models that cannot be told
 * apart or that never lost have no finite rating: STE_EINPUT names one (by its index in *WHICH). */
int ste_rate_models(const struct ste_match *m, size_t n_matches, int n, double penalty, double *ratings, int *which,
                    struct ste_err *err);
/* 95 % intervals by a bootstrap over clusters, 500 draws; a draw without finite ratings takes the penalty 0.01. */
void ste_rate_intervals(const struct ste_match *m, size_t n_matches, int n, double penalty, uint64_t seed,
                        struct ste_rate *out);
double ste_elo(double rating);

#endif
