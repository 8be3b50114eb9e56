/* What `ste sft` and `ste train-rm` share: the flags of training, and the steps. */
#ifndef STE_CLI_TRAINING_H
#define STE_CLI_TRAINING_H

#include "cli/cli.h"
#include "train/train.h"

struct ste_training_flags {
    const char *schedule, *log, *isa, *activations;
    long long r, steps, batch, micro_tokens, memory_mb, warmup, seed, max_tokens, threads;
    double alpha, lr, weight_decay, max_grad_norm, epochs;
};
#define STE_TRAINING_FLAGS(f, UNIT)                                                                                    \
    {"r", STE_FLAG_INT, &(f).r, "R", "rank (default 16)"},                                                             \
        {"alpha", STE_FLAG_REAL, &(f).alpha, "A", "scale is alpha / r (default 32)"},                                  \
        {"lr", STE_FLAG_REAL, &(f).lr, "LR", "learning rate (default 1e-4)"},                                          \
        {"epochs", STE_FLAG_REAL, &(f).epochs, "N", "times over the " UNIT " (default 1)"},                            \
        {"steps", STE_FLAG_INT, &(f).steps, "N", "optimizer steps, instead of --epochs"},                              \
        {"batch", STE_FLAG_INT, &(f).batch, "N", UNIT " a step (default 8)"},                                          \
        {"schedule", STE_FLAG_STRING, &(f).schedule, "S", "constant, linear or cosine (default constant)"},            \
        {"warmup", STE_FLAG_INT, &(f).warmup, "N", "steps of linear warm-up (default 0)"},                             \
        {"seed", STE_FLAG_INT, &(f).seed, "S", "of the adapter's start and of the order (default 0)"},                 \
        {"weight-decay", STE_FLAG_REAL, &(f).weight_decay, "W", "AdamW's (default 0)"},                                \
        {"max-grad-norm", STE_FLAG_REAL, &(f).max_grad_norm, "G",                                                      \
         "clip gradients to this norm; 0: never (default 1)"},                                                         \
        {"max-tokens", STE_FLAG_INT, &(f).max_tokens, "N",                                                             \
         "leave longer " UNIT " out (default: the model's context)"},                                                  \
        {"log", STE_FLAG_STRING, &(f).log, "FILE.jsonl", "also write each step as a JSON line"},                       \
        {"micro-tokens", STE_FLAG_INT, &(f).micro_tokens, "N",                                                         \
         "tokens a forward pass (default 512); speed and memory only"},                                                \
        {"memory-mb", STE_FLAG_INT, &(f).memory_mb, "N",                                                               \
         "keep activations of a pass up to this size, else compute them again: a third more time (default 2048)"},     \
        {"activations", STE_FLAG_STRING, &(f).activations, "auto|f32|bf16x3|bf16|int8|int8-g128",                      \
         "how products round (default: bf16x3, about exact, with AMX tiles, else f32); bf16 is faster, int8 and "      \
         "int8-g128 round in the forward pass only"},                                                                  \
        {"threads", STE_FLAG_INT, &(f).threads, "N", "threads (default: one a core); speed only"},                     \
    {                                                                                                                  \
        "isa", STE_FLAG_STRING, &(f).isa, "NAME", "force an instruction set: amx, avx512, avx-vnni, avx2, portable"    \
    }

void ste_training_defaults(struct ste_training_flags *f);
/* Checks the flags, fills P but for total_steps, and opens MODEL. Whatever it returns, close what it left. */
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
