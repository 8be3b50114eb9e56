#include "engine/cpu/adapter.h"

#include "core/mem.h"

static float *turned(const float *src, int rows, int cols)
{
    float *dst = ste_xmalloc((size_t)rows * (size_t)cols * sizeof *dst);
    for (size_t i = 0; i < (size_t)rows; i++)
        for (size_t j = 0; j < (size_t)cols; j++)
            dst[j * (size_t)rows + i] = src[i * (size_t)cols + j];
    return dst;
}

struct ste_cpu_adapter *ste_cpu_adapter_new(const struct ste_lora *l)
{
    struct ste_cpu_adapter *a = ste_xcalloc(1, sizeof *a);
    a->r = l->r;
    a->scale = (float)(l->alpha / l->r);
    a->n_layers = l->n_layers;
    a->factors = ste_xcalloc((size_t)l->n_layers, sizeof *a->factors);
    for (int i = 0; i < l->n_layers; i++) {
        for (int k = 0; k < STE_N_LINEAR; k++) {
            const struct ste_lora_factors *p = &l->factors[i][k];
            if (p->a && p->b) {
                a->factors[i][k].at = turned(p->a, l->r, p->in);
                a->factors[i][k].bt = turned(p->b, p->out, l->r);
            }
        }
    }
    return a;
}

void ste_cpu_adapter_free(struct ste_cpu_adapter *a)
{
    if (!a)
        return;
    for (int i = 0; i < a->n_layers; i++) {
        for (int k = 0; k < STE_N_LINEAR; k++) {
            ste_xfree(a->factors[i][k].at);
            ste_xfree(a->factors[i][k].bt);
        }
    }
    ste_xfree(a->factors);
    ste_xfree(a);
}

void ste_cpu_adapter_apply(const struct ste_cpu_adapter *a, int layer, enum ste_linear l, enum ste_isa isa,
                           const float *x, int in, int m, float *y, int out, float *u, struct ste_pool *pool)
{
    const struct ste_cpu_factors *p = &a->factors[layer][l];
    if (!p->at)
        return;
    size_t r = (size_t)a->r;
    ste_gemm(isa, false, false, m, a->r, in, 1, x, (size_t)in, p->at, r, 0, u, r, pool);
    ste_gemm(isa, false, false, m, out, a->r, a->scale, u, r, p->bt, (size_t)out, 1, y, (size_t)out, pool);
}
