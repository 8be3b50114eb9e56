#include "engine/cpu/adapter.h"

#include <stdlib.h>
#include <string.h>

#include "core/mem.h"

static float *turned(const float *src, int rows, int cols)
{
    float *dst = ste_xmalloc((size_t)rows * (size_t)cols * sizeof *dst);
    for (size_t i = 0; i < (size_t)rows; i++)
        for (size_t j = 0; j < (size_t)cols; j++)
            dst[j * (size_t)rows + i] = src[i * (size_t)cols + j];
    return dst;
}

int ste_adapter_new(struct ste_adapter **out, struct ste_engine *e, const struct ste_lora *l, struct ste_err *err)
{
    const struct ste_hparams *hp = &ste_engine_model(e)->hp;
    if (l->n_layers != hp->n_layers || l->r < 1 || l->r > STE_MAX_LORA_R)
        return ste_err_set(err, STE_EINPUT,
                           "cannot use the adapter: it has %d layers and rank %d; this model has %d layers, and ranks "
                           "go from 1 to %d",
                           l->n_layers, l->r, hp->n_layers, STE_MAX_LORA_R);
    if (l->head)
        return ste_err_set(
            err, STE_EINPUT,
            "cannot generate with the adapter: it is a reward model's; `ste eval --judge` takes its folder");
    for (int i = 0; i < l->n_layers; i++) {
        for (int k = 0; k < STE_N_LINEAR; k++) {
            int rows, cols;
            ste_linear_shape(hp, (enum ste_linear)k, &rows, &cols);
            const struct ste_lora_pair *p = &l->pairs[i][k];
            if (p->a && p->b && (p->out != rows || p->in != cols))
                return ste_err_set(err, STE_EINPUT,
                                   "cannot use the adapter: %s of layer %d is %d x %d, the model's is %d x %d; it was "
                                   "made for another model",
                                   ste_linear_peft_name(hp->arch, (enum ste_linear)k), i, p->out, p->in, rows, cols);
        }
    }
    struct ste_adapter *a = ste_xcalloc(1, sizeof *a);
    a->serial = ste_engine_new_serial(e);
    a->holders = 1;
    a->r = l->r;
    a->scale = (float)(l->alpha / l->r);
    memcpy(a->hash, l->hash, sizeof a->hash);
    a->n_layers = l->n_layers;
    a->pairs = ste_xcalloc((size_t)l->n_layers, sizeof *a->pairs);
    for (int i = 0; i < l->n_layers; i++) {
        for (int k = 0; k < STE_N_LINEAR; k++) {
            const struct ste_lora_pair *p = &l->pairs[i][k];
            if (p->a && p->b) {
                a->pairs[i][k].at = turned(p->a, l->r, p->in);
                a->pairs[i][k].bt = turned(p->b, p->out, l->r);
            }
        }
    }
    *out = a;
    return 0;
}

struct ste_adapter *ste_adapter_hold(struct ste_adapter *a)
{
    a->holders++;
    return a;
}

void ste_adapter_free(struct ste_adapter *a)
{
    if (!a || --a->holders > 0)
        return;
    for (int i = 0; i < a->n_layers; i++) {
        for (int k = 0; k < STE_N_LINEAR; k++) {
            free(a->pairs[i][k].at);
            free(a->pairs[i][k].bt);
        }
    }
    free(a->pairs);
    free(a);
}

const char *ste_adapter_hash(const struct ste_adapter *a)
{
    return a ? a->hash : "";
}

void ste_adapter_apply(const struct ste_adapter *a, int layer, enum ste_linear l, enum ste_isa isa, const float *x,
                       int in, int m, float *y, int out, float *u, struct ste_pool *pool)
{
    const struct ste_adapter_pair *p = &a->pairs[layer][l];
    if (!p->at)
        return;
    size_t r = (size_t)a->r;
    ste_gemm(isa, false, false, m, a->r, in, 1, x, (size_t)in, p->at, r, 0, u, r, pool);
    ste_gemm(isa, false, false, m, out, a->r, a->scale, u, r, p->bt, (size_t)out, 1, y, (size_t)out, pool);
}
