/* What `ste sft`, `ste dpo` and `ste train-rm` share: all but the reading of examples. */
#ifndef STE_CLI_TRAINING_H
#define STE_CLI_TRAINING_H

#include "cli/cli.h"
#include "train/driver.h"
#include "train/examples.h"

struct ste_training_flags {
    char *model, *in, *out; /* in each command's own table, as what they hold differs */
    char *adapter;
    struct ste_train_options train;
    long long steps, seed, max_tokens, threads;
    char *log, *load_as, *isa, *chat_template, *chat_date;
};
extern const struct ste_option ste_training_options[];
/* The first row of each command's own table, whose struct has the flags as F. */
#define STE_TRAINING_MODEL                                                                                             \
    STE_STRING("model", f.model, NULL, "NAME", "catalogue name, .gguf file or folder to train on; its weights stay as they are")

/* All but the flags is empty at first. */
struct ste_training {
    const struct ste_training_flags *f;
    struct ste_model *m;
    struct ste_train_params p;
    struct ste_examples x; /* of pairs: chosen, rejected */
    struct ste_trainer *t;
};
/* Whether the folder OUT and --log can be written: STE_EUSAGE where OUT holds something else than a training's states.
 */
int ste_training_try(const struct ste_training *g, struct ste_err *err);
/* Fills P but for total_steps, and opens the model. Whatever it returns, close what it left. */
int ste_training_open(struct ste_training *g, struct ste_err *err);
size_t ste_training_max_tokens(const struct ste_training *g); /* of an example */
/* Makes the trainer for the examples in X, with the adapter to start from, if one is named. */
int ste_training_begin(struct ste_training *g, struct ste_err *err);
/* All steps, a line each on the standard output, from the newest state in OUT; then what was trained, in the place of
 * the states. Where OUT takes no more it goes to another folder: then STE_EIO, and the error says where it is. */
int ste_training_run(struct ste_training *g, struct ste_err *err);
void ste_training_close(struct ste_training *g);

#endif
