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

struct ste_schedule;
struct ste_schedule *ste_schedule_new(const struct ste_answers *a, uint64_t seed);
void ste_schedule_free(struct ste_schedule *s);
/* Up to N bouts into OUT, by RATINGS (NULL: none yet, all pairs alike). Returns how many; 0: every pair of answers has
 * been taken. */
size_t ste_schedule_next(struct ste_schedule *s, size_t n, const double *ratings, struct ste_bout *out);

#endif
