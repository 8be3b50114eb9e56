/* Rows of a run in the field's formats. OUT is a path or "-"; *N is how many rows were written. */
#ifndef STE_LOOP_EXPORT_H
#define STE_LOOP_EXPORT_H

#include "store/store.h"

/* TRL's prompt and completion, as the model read and wrote them (with the template's control tokens), and weight,
 * label_source. ITERATION 0: the last one that has examples. The run's seed model must be at hand. */
int ste_export_sft(struct ste_store *s, int iteration, const char *out, size_t *n, struct ste_err *err);
/* Kept pairs: id, prompt or messages, chosen, rejected, split, label_source: what `ste eval --data` reads. */
int ste_export_pairs(struct ste_store *s, const char *out, size_t *n, struct ste_err *err);

#endif
