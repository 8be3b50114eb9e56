/* What `ste sft` and `ste train-rm` share: all but the reading of examples. */
#ifndef STE_CLI_TRAINING_H
#define STE_CLI_TRAINING_H

#include "cli/cli.h"
#include "train/driver.h"

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

/* Examples that own their tokens. */
struct ste_examples {
    struct ste_example *items;
    size_t n, cap;
};
/* IDS passes to the list. */
void ste_examples_add(struct ste_examples *x, struct ste_tokens *ids, long long n_prompt, double weight);

struct ste_training {
    struct ste_training_flags f;
    const char *model, *in, *out; /* as given */
    struct ste_model *m;
    struct ste_train_params p;
    struct ste_examples x; /* of pairs: chosen, rejected */
    struct ste_trainer *t;
};
void ste_training_defaults(struct ste_training *g);
/* Whether the folder OUT and --log can be written: STE_EUSAGE where OUT holds something else than a training's states.
 */
int ste_training_try(const struct ste_training *g, struct ste_err *err);
/* Checks the flags, fills P but for total_steps, and opens the model. Whatever it returns, close what it left. */
int ste_training_open(struct ste_training *g, struct ste_err *err);
/* Makes the trainer for the examples in X; START, the adapter to start from, may be NULL. */
int ste_training_begin(struct ste_training *g, const struct ste_lora *start, struct ste_err *err);
/* All steps, a line each on the standard output, from the newest state in OUT; then what was trained, in the place of
 * the states. Where OUT takes no more it goes to another folder: then STE_EIO, and the error says where it is. */
int ste_training_run(struct ste_training *g, struct ste_err *err);
void ste_training_close(struct ste_training *g);

#endif
