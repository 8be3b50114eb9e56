/* What a run leaves in the field's formats: its rows, and its model. */
#ifndef STE_LOOP_EXPORT_H
#define STE_LOOP_EXPORT_H

#include <stddef.h>

#include "core/buf.h"
#include "core/err.h"

enum ste_export {
    /* The examples of an iteration in the order of the first epoch, as they are trained on: prompt_ids and
     * completion_ids (the loss falls on these), the same as TRL's texts prompt and completion (with the template's
     * control tokens), weight, label_source. The run's seed model must be at hand. */
    STE_EXPORT_SFT,
    /* The same of a run that trains preferences (train.objective dpo), in TRL's form: prompt_ids, chosen_ids,
     * rejected_ids and their texts prompt, chosen, rejected. STE_EUSAGE where it trains none. STE_EXPORT_SFT gives of
     * these what is chosen. */
    STE_EXPORT_PREFERENCES,
    /* Kept pairs: id, prompt or messages, chosen, rejected, split, label_source: what `ste eval --data` reads. */
    STE_EXPORT_PAIRS,
    STE_EXPORT_MODEL /* no rows: ste_export_model */
};
/* Writes rows of the run in DIR to OUT, a path or "-"; *N is how many rows were written. ITERATION 0: the last one that
 * has examples. COMMAND gets, of what the run trains on, the `ste sft` or `ste dpo` that does it as the iteration does:
 * its adapter, byte for byte, where dev pairs chose the last step. */
int ste_export(const char *dir, enum ste_export what, int iteration, const char *out, size_t *n,
               struct ste_buf *command, struct ste_err *err);

/* Writes the model that a judge is, base and adapter in one: OUT.gguf is a file, any other OUT a folder. JUDGE:
 * RUN[:ITERATION] or the folder of an adapter. BASE: its base, in place of the one that it names; NULL: that. TYPE: of
 * mix.h; NULL: the base's, or F16 for one that is quantized. SAID gets sentences on what was written. */
struct ste_export_model {
    const char *judge, *base, *type, *out;
    int threads; /* 0: one a core */
};
int ste_export_model(const struct ste_export_model *x, struct ste_buf *said, struct ste_err *err);

#endif
