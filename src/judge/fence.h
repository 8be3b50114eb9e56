/*
 * The fence: the mark on the lines between which judged text stands. It derives from the run's secret, the pair's id
 * and the first counter whose string occurs in none of the texts, so that no text can hold it, whatever its author
 * knows.
 */
#ifndef STE_JUDGE_FENCE_H
#define STE_JUDGE_FENCE_H

#include <stddef.h>

#define STE_FENCE_LEN 8 /* hex digits: short, since every judgment pays for its tokens four times */

/* Independent of the order of TEXTS. */
void ste_fence(const char *secret, const char *pair_id, const char *const *texts, size_t n,
               char out[STE_FENCE_LEN + 1]);

#endif
