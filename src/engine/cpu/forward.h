/*
 * The forward pass over a batch of rows, each one token of one sequence. Prefill and decoding differ in nothing but
 * how many rows a sequence has.
 */
#ifndef STE_ENGINE_CPU_FORWARD_H
#define STE_ENGINE_CPU_FORWARD_H

#include "engine/cpu/adapter.h"
#include "engine/cpu/attention/attention.h"
#include "engine/cpu/weights.h"

struct ste_forward {
    const struct ste_weights *w;
    const struct ste_model *model;
    const struct ste_kv_store *kv;
    struct ste_pool *pool;
    const struct ste_ops *ops;
    enum ste_isa isa;
    enum ste_activations act;
    int max_rows, n_ctx;
    float *x, *xn, *q, *k, *v, *att, *y, *gate, *up, *u; /* (max_rows, width) each; U: LoRA's (max_rows, r) */
    size_t u_cap;
    int *place;                /* (max_rows) where X holds a scored row of the last run */
    struct ste_inputs *inputs; /* of the products that come next */
    struct ste_inputs *gated;  /* of DOWN, where it is made with GATE and UP */
    void *arena;               /* of all but U */
    size_t arena_size;
    /* (n_ctx, dims) of each kind that layers are of */
    const struct ste_rotary *rotary[STE_N_ROTARY];
    float *rope[STE_N_ROTARY];
    float *logits; /* (STE_LOGIT_ROWS, n_vocab) */
};

int ste_forward_init(struct ste_forward *f, const struct ste_weights *w, const struct ste_kv_store *kv,
                     const struct ste_device_params *p, struct ste_err *err);
/* What ste_forward_init takes, of a model that needs no weights for it. */
int ste_forward_size(const struct ste_model *m, const struct ste_device_params *p, size_t *bytes, struct ste_err *err);
void ste_forward_clear(struct ste_forward *f);
/* run and logits of struct ste_device_ops. */
void ste_forward_run(struct ste_forward *f, struct ste_row *rows, int n);
const float *ste_forward_logits(struct ste_forward *f, const int *index, int n);

#endif
