/*
 * Which pairs of models to compare next. A round of N goes to the pairs of models whose result would tell most: the
 * variance p (1 - p) of an outcome under the present ratings, shared among the comparisons they have had and this one
 * more. Prompts of a pair of models are taken in an order drawn by the seed, none twice.
 */
#ifndef STE_EVAL_SCHEDULE_H
#define STE_EVAL_SCHEDULE_H

#include "data/answers.h"
#include "eval/rating.h"

struct ste_bout {
    size_t prompt;
    int i, j;
};

struct ste_bouts;
struct ste_bouts *ste_bouts_new(const struct ste_answers *a, uint64_t seed);
void ste_bouts_free(struct ste_bouts *s);
/* Up to N bouts into OUT, by RATINGS (NULL: none yet, all pairs alike). Returns how many; 0: every pair of answers has
 * been taken. */
size_t ste_bouts_next(struct ste_bouts *s, size_t n, const double *ratings, struct ste_bout *out);

#endif
