/* A LoRA as the CPU's forward pass wants it: A and B turned, so that the products run along contiguous memory. */
#ifndef STE_ENGINE_CPU_ADAPTER_H
#define STE_ENGINE_CPU_ADAPTER_H

#include "engine/cpu/kernels.h"
#include "model/lora.h"

struct ste_cpu_factors {
    float *at; /* (in, r); NULL: that layer is not adapted */
    float *bt; /* (r, out) */
};
struct ste_cpu_adapter {
    int r;
    float scale; /* alpha / r */
    struct ste_cpu_factors (*factors)[STE_N_LINEAR];
    int n_layers;
};

struct ste_cpu_adapter *ste_cpu_adapter_new(const struct ste_lora *l);
void ste_cpu_adapter_free(struct ste_cpu_adapter *a);
/* Y (m, out) += scale * X (m, in) . A^T . B^T; U (m, r) is scratch. */
void ste_cpu_adapter_apply(const struct ste_cpu_adapter *a, int layer, enum ste_linear l, enum ste_isa isa,
                           const float *x, int in, int m, float *y, int out, float *u, struct ste_pool *pool);

#endif
