/* A model's weights in packed form, shared by the engine and the trainer of one process. */
#ifndef STE_ENGINE_CPU_WEIGHTS_H
#define STE_ENGINE_CPU_WEIGHTS_H

#include "engine/cpu/kernels.h"
#include "model/model.h"

struct ste_layer_weights {
    float *norm[STE_N_NORM];                 /* (width); NULL: none */
    struct ste_matrix *linear[STE_N_LINEAR]; /* (out, in) */
    float *bias[STE_N_LINEAR];               /* (out); NULL: none */
};

struct ste_weights {
    const struct ste_model *model; /* must outlive this */
    struct ste_layer_weights *layers;
    struct ste_matrix *embedding, *output; /* the same matrix where tied */
    float *output_norm;
    size_t bytes;
};

/* Bytes that the weights of M take in packed form, whether or not they are there. */
size_t ste_weights_size(const struct ste_model *m);
int ste_weights_new(struct ste_weights **out, const struct ste_model *m, enum ste_isa isa, struct ste_pool *pool,
                    struct ste_err *err);
void ste_weights_free(struct ste_weights *w);

#endif
