/*
 * Supervised fine-tuning of a LoRA adapter on a frozen, still quantized base. The loss is the mean cross-entropy of the
 * completion tokens of a batch, each example's tokens times its weight: sum_i w_i nll_i / sum_i w_i (TRL's token mean
 * where all weights are 1). Gradients are summed in example order; the same examples, parameters and seed give the same
 * bytes, over threads and resumes.
 */
#ifndef STE_TRAIN_TRAIN_H
#define STE_TRAIN_TRAIN_H

#include "engine/weights.h"
#include "model/lora.h"

struct ste_example {
    const int32_t *tokens; /* prompt, then completion */
    int n, n_prompt;       /* loss on tokens n_prompt .. n-1 */
    float weight;
};

enum ste_schedule { STE_SCHEDULE_CONSTANT, STE_SCHEDULE_LINEAR, STE_SCHEDULE_COSINE };

struct ste_train_params {
    struct ste_pool *pool;
    enum ste_isa isa;
    int r;
    double alpha;
    double learning_rate, beta1, beta2, adam_eps, weight_decay,
        max_grad_norm; /* AdamW, decoupled decay; norm 0: no clipping */
    enum ste_schedule schedule;
    int warmup_steps, total_steps;
    int batch_examples; /* examples an optimizer step */
    int micro_tokens;   /* packed tokens a forward pass: accumulation is over such packs; speed and memory only */
    bool recompute;     /* activations of a layer are computed again in the backward pass */
    uint64_t seed;      /* of A, and of the order of examples */
};
void ste_train_default_params(struct ste_train_params *p);

struct ste_trainer;
/* The model's matrices are packed once for the trainer, or shared: BASE may be NULL (then the trainer packs its own) or
 * those of an engine. */
int ste_trainer_new(struct ste_trainer **out, const struct ste_model *m, const struct ste_weights *base,
                    const struct ste_train_params *p, struct ste_err *err);
void ste_trainer_free(struct ste_trainer *t);

struct ste_train_step {
    int step;    /* of the step just done, from 1 */
    double loss; /* of its batch, before the update */
    double lr, grad_norm;
    long tokens, loss_tokens;
};
/* One optimizer step on the given examples. */
int ste_trainer_step(struct ste_trainer *t, const struct ste_example *batch, int n, struct ste_train_step *out,
                     struct ste_err *err);
/* Forward only: mean loss of the completion tokens. */
int ste_trainer_loss(struct ste_trainer *t, const struct ste_example *batch, int n, double *loss, struct ste_err *err);
/* Gradients without an update (tests, interop): written into GRADS, shaped as the trainer's adapter. */
int ste_trainer_grads(struct ste_trainer *t, const struct ste_example *batch, int n, struct ste_lora *grads,
                      double *loss, struct ste_err *err);

struct ste_lora *ste_trainer_lora(struct ste_trainer *t); /* the trainer's, live */
int ste_trainer_steps_done(const struct ste_trainer *t);
/* Which examples make step STEP (from 0) of an epoch-wise shuffle keyed by the seed: indices into 0..n_examples-1. */
void ste_train_batch(uint64_t seed, int n_examples, int batch, int step, int *indices, int *n);

/* Adapter, optimizer moments, step: one file, written whole. Loading gives a trainer that goes on to the same bytes. */
int ste_trainer_save(const struct ste_trainer *t, const char *path, struct ste_err *err);
int ste_trainer_load(struct ste_trainer *t, const char *path, struct ste_err *err);

#endif
