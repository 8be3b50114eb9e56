/* What `ste sft` and `ste train-rm` share: the flags of training, and the steps. */
#ifndef STE_CLI_TRAINING_H
#define STE_CLI_TRAINING_H

#include "cli/cli.h"
#include "train/train.h"

struct ste_training_flags {
    struct ste_train_options train;
    long long steps, seed, max_tokens, threads;
    char *log, *isa;
};
extern const struct ste_option ste_training_options[];

/* Fills P but for total_steps, and opens MODEL. Whatever it returns, close what it left. */
int ste_training_open(const struct ste_training_flags *f, const char *model, struct ste_train_params *p,
                      struct ste_model **m, struct ste_err *err);
void ste_training_close(struct ste_train_params *p, struct ste_model *m);
/* Of N_ITEMS (examples or pairs). */
int ste_training_total_steps(const struct ste_training_flags *f, const struct ste_train_params *p, size_t n_items);
/* All steps, a line each on the standard output. BATCH_OF puts the examples of STEP into BATCH, which has room for
 * MOST, and returns how many. UNWRITTEN: what went wrong with --log; the training goes on without it. */
int ste_training_run(const struct ste_training_flags *f, const struct ste_train_params *p, struct ste_trainer *t,
                     int (*batch_of)(const void *arg, int step, struct ste_example *batch), const void *arg, int most,
                     struct ste_err *unwritten, struct ste_err *err);
/* The folder OUT and --log: whether they can be written. */
int ste_training_try(const struct ste_training_flags *f, const char *out, struct ste_err *err);
/* Writes what was trained by WRITE to the folder OUT; where that takes no more, to another one: then STE_EIO, and the
 * error says where it is. */
int ste_training_write(int (*write)(const void *arg, const char *folder, struct ste_err *err), const void *arg,
                       const char *out, struct ste_err *err);

#endif
