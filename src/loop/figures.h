/* Reads back from a run's store what it has measured so far: for the steps that decide by it and for reports. */
#ifndef STE_LOOP_FIGURES_H
#define STE_LOOP_FIGURES_H

#include "eval/eval.h"
#include "store/rows.h"

/* Reads the outcomes of SUITE ("test": the held-out synthetic pairs, "dev", "eval:NAME" for a file) by iteration (0:
 * the seed) and step (0 but for dev), in the order of the suite. Free with ste_outcomes_clear and ste_xfree. */
int ste_loop_outcomes(struct ste_store *s, const char *suite, int iteration, int step, struct ste_outcome **out,
                      size_t *n, struct ste_err *err);
/* Reads those of the synthetic pairs of KIND alone. */
int ste_loop_outcomes_of_kind(struct ste_store *s, const char *suite, const char *kind, int iteration, int step,
                              struct ste_outcome **out, size_t *n, struct ste_err *err);
/* Sets KNOWN[i] where pair i, of the N of SUITE, is scored. */
int ste_loop_scored(struct ste_store *s, const char *suite, int iteration, int step, bool *known, size_t n,
                    struct ste_err *err);

#endif
