/* Finds pairs that ask a judge what it was trained on (contract 9: when evaluating, too). */
#ifndef STE_EVAL_CONTAMINATION_H
#define STE_EVAL_CONTAMINATION_H

#include "data/pairs.h"

/* COUNTS[i]: pairs of FILES[i] whose prompt is as similar to an instruction that the run in DIR trains on as its
 * select.contamination allows none to be. Reads the run's store alone. */
int ste_in_training(const char *dir, const struct ste_answer_pairs *files, size_t n, size_t *counts,
                    struct ste_err *err);

#endif
