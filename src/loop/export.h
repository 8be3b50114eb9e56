/* Rows of a run in the field's formats. OUT is a path or "-"; *N is how many rows were written. */
#ifndef STE_LOOP_EXPORT_H
#define STE_LOOP_EXPORT_H

#include "store/rows.h"

/* The examples of an iteration in the order of the first epoch, as they are trained on: prompt_ids and completion_ids
 * (the loss falls on these), the same as TRL's texts prompt and completion (with the template's control tokens),
 * weight, label_source. ITERATION 0: the last one that has examples. The run's seed model must be at hand. COMMAND gets
 * the `ste sft` that trains them as the iteration does: its adapter, byte for byte, where dev pairs chose the last
 * step. */
int ste_export_sft(struct ste_store *s, int iteration, const char *out, size_t *n, struct ste_buf *command,
                   struct ste_err *err);
/* Kept pairs: id, prompt or messages, chosen, rejected, split, label_source: what `ste eval --data` reads. */
int ste_export_pairs(struct ste_store *s, const char *out, size_t *n, struct ste_err *err);

#endif
