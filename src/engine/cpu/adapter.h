/* A LoRA as the forward pass wants it: A and B turned, so that the products run along contiguous memory. */
#ifndef STE_ENGINE_CPU_ADAPTER_H
#define STE_ENGINE_CPU_ADAPTER_H

#include "engine/engine.h"

#define STE_MAX_LORA_R 1024

struct ste_adapter_pair {
    float *at; /* (in, r); NULL: that layer is not adapted */
    float *bt; /* (r, out) */
};
struct ste_adapter {
    uint64_t serial; /* its name in the engine's KV cache: never used again there, unlike its address */
    int holders;     /* who has it: the last one's ste_adapter_free ends it */
    int r;
    float scale; /* alpha / r */
    char hash[65];
    struct ste_adapter_pair (*pairs)[STE_N_LINEAR];
    int n_layers;
};

uint64_t ste_engine_new_serial(struct ste_engine *e); /* 1, 2, ...; 0 is the base */

/* Y (m, out) += scale * X (m, in) . A^T . B^T; U (m, r) is scratch. */
void ste_adapter_apply(const struct ste_adapter *a, int layer, enum ste_linear l, enum ste_isa isa, const float *x,
                       int in, int m, float *y, int out, float *u, struct ste_pool *pool);

#endif
