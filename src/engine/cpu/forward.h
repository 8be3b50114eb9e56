/*
 * The forward pass over a batch of rows, each one token of one sequence. Prefill and decoding differ in nothing but
 * how many rows a sequence has.
 */
#ifndef STE_ENGINE_CPU_FORWARD_H
#define STE_ENGINE_CPU_FORWARD_H

#include "engine/cpu/adapter.h"
#include "engine/cpu/attention/attention.h"
#include "engine/kv.h"
#include "engine/cpu/weights.h"

#define STE_LOGIT_ROWS 64 /* rows whose logits are there at once */

struct ste_row {
    struct ste_attn_row at;
    const struct ste_adapter *adapter; /* rows of one adapter are neighbours */
    int32_t token;
    bool scored; /* its logits will be asked for */
};

struct ste_forward {
    const struct ste_weights *w;
    const struct ste_model *model;
    struct ste_kv *kv;
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
    float *rope;   /* (n_ctx, head_dim) */
    float *logits; /* (STE_LOGIT_ROWS, n_vocab) */
};

int ste_forward_init(struct ste_forward *f, const struct ste_weights *w, struct ste_kv *kv, struct ste_pool *pool,
                     enum ste_isa isa, enum ste_activations act, int max_rows, int n_ctx, struct ste_err *err);
void ste_forward_clear(struct ste_forward *f);
/* Runs all layers; K and V of the rows go to the cache. The last layer makes no more than that of rows that are not
 * scored; ROWS is used up. */
void ste_forward_run(struct ste_forward *f, struct ste_row *rows, int n);
/* Logits of N scored rows of the last run, into f->logits: INDEX says which, N at most STE_LOGIT_ROWS. */
void ste_forward_logits(struct ste_forward *f, const int *index, int n);

#endif
