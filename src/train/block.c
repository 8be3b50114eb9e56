#include <string.h>

#include "core/profile.h"
#include "train/internal.h"

/* (T, r): inputs times A^T, one for all linear layers that share A. */
static float *low_of(const struct ste_trainer *t, int layer, int l)
{
    while (t->lora->factors[layer][l].shares_a)
        l--;
    return t->s.acts[layer].low[l];
}

/* y (T, out) = x (T, in) W^T + bias + (alpha / r) (x A^T) B^T; keeps x A^T. Y NULL: that only. */
static void linear_forward(struct ste_trainer *t, int rows, int layer, enum ste_linear l, const float *x, float *y)
{
    const struct ste_layer_weights *w = &t->w->layers[layer];
    const struct ste_lora_factors *p = &t->lora->factors[layer][l];
    const bool adapted = p->a && !t->bare;
    size_t in = (size_t)ste_matrix_in(w->linear[l]), out = (size_t)ste_matrix_out(w->linear[l]), r = (size_t)t->p.r;
    float *low = low_of(t, layer, l);
    enum ste_work before = ste_profile_begin(STE_WORK_ADAPTER);
    if (adapted && !p->shares_a)
        ste_gemm(t->p.isa, false, true, rows, t->p.r, (int)in, 1, x, in, p->a, in, 0, low, r, t->p.pool);
    if (y) {
        ste_profile_begin(STE_WORK_PRODUCTS);
        ste_matrix_mul(w->linear[l], ste_activations_of(t->p.activations, l), x, in, rows, w->bias[l], y, out,
                       t->p.pool);
        ste_profile_begin(STE_WORK_ADAPTER);
        if (adapted)
            ste_gemm(t->p.isa, false, true, rows, (int)out, t->p.r, (float)(t->p.alpha / t->p.r), low, r, p->b, r, 1, y,
                     out, t->p.pool);
    }
    ste_profile_end(before);
}

/* With c = alpha / r: dlow = c dY B; dB += c dY^T low, dA += dlow^T x, both one span after the other (see
 * train.h); dX (= or +=) dY W + dlow A. DX NULL: not wanted. Layers that share A follow each other, and dlow is summed
 * over them: dA and its part of dX come with the last. */
static void linear_backward(struct ste_trainer *t, const struct ste_layout *lay, int layer, enum ste_linear l,
                            const float *x, const float *dy, float *dx, bool accumulate)
{
    const struct ste_matrix *w = t->w->layers[layer].linear[l];
    const struct ste_lora_factors *p = &t->lora->factors[layer][l], *g = &t->grads->factors[layer][l];
    size_t in = (size_t)ste_matrix_in(w), out = (size_t)ste_matrix_out(w), r = (size_t)t->p.r;
    const bool last = l + 1 == STE_N_LINEAR || !p[1].shares_a;
    float c = (float)(t->p.alpha / t->p.r), *dlow = t->s.dlow;
    const float *low = low_of(t, layer, l);
    enum ste_isa isa = t->p.isa;
    struct ste_pool *pool = t->p.pool;
    enum ste_work before = ste_profile_begin(STE_WORK_BACKWARD);
    if (dx)
        ste_matrix_mul_back(w, ste_gradients_as(t->p.gradients), dy, out, lay->tokens, dx, in, accumulate, pool);
    ste_profile_end(before);
    if (!p->a)
        return;
    ste_profile_begin(STE_WORK_ADAPTER);
    ste_gemm(isa, false, false, lay->tokens, t->p.r, (int)out, c, dy, out, p->b, r, p->shares_a ? 1 : 0, dlow, r, pool);
    for (int e = 0; e < lay->n; e++) {
        size_t from = (size_t)lay->spans[e].start;
        int rows = lay->spans[e].n;
        ste_gemm(isa, true, false, (int)out, t->p.r, rows, c, dy + from * out, out, low + from * r, r, 1, g->b, r,
                 pool);
        if (last)
            ste_gemm(isa, true, false, t->p.r, (int)in, rows, 1, dlow + from * r, r, x + from * in, in, 1, g->a, in,
                     pool);
    }
    if (dx && last)
        ste_gemm(isa, false, false, lay->tokens, (int)in, t->p.r, 1, dlow, r, p->a, in, 1, dx, in, pool);
    ste_profile_end(before);
}

/* The norm WHICH on N numbers, piece by piece; where the block has none, a copy. */
static void norm_forward(struct ste_trainer *t, int layer, enum ste_norm which, const float *x, float *y, size_t n)
{
    if (!t->w->layers[layer].norm[which]) {
        memcpy(y, x, n * sizeof *y);
        return;
    }
    const int width = ste_width(&t->model->hp, t->model->hp.arch->norm[which].width);
    ste_rows_norm(t, y, x, t->w->layers[layer].norm[which], (int)(n / (size_t)width), width);
}

/* DX += the gradient of its input X, given DY, which is overwritten. */
static void norm_backward(struct ste_trainer *t, int layer, enum ste_norm which, const float *x, float *dy, float *dx,
                          size_t n)
{
    if (!t->w->layers[layer].norm[which]) {
        t->ops->add(dx, dy, n);
        return;
    }
    const int width = ste_width(&t->model->hp, t->model->hp.arch->norm[which].width);
    ste_rows_norm_backward(t, dx, x, t->w->layers[layer].norm[which], dy, (int)(n / (size_t)width), width);
}

/* OUT = X + c norm(RAW), where OUT holds what is added if there is no norm. */
static void add_forward(struct ste_trainer *t, int layer, enum ste_norm which, const float *raw, const float *x,
                        float *out, size_t n)
{
    const double c = t->model->hp.residual_scale;
    if (raw)
        norm_forward(t, layer, which, raw, out, n);
    if (c != 1)
        t->ops->scale(out, (float)c, n);
    t->ops->add(out, x, n);
}

/* The gradient of what the linear layer gave, given s.dx of the sum, which stays: it is X's too. Uses s.norm, s.dnorm.
 */
static const float *add_backward(struct ste_trainer *t, int layer, enum ste_norm which, const float *raw, size_t n)
{
    const double c = t->model->hp.residual_scale;
    struct ste_scratch *s = &t->s;
    if (!raw && c == 1)
        return s->dx;
    memcpy(s->dnorm, s->dx, n * sizeof *s->dnorm);
    if (c != 1)
        t->ops->scale(s->dnorm, (float)c, n);
    if (!raw)
        return s->dnorm;
    memset(s->norm, 0, n * sizeof *s->norm);
    norm_backward(t, layer, which, raw, s->dnorm, s->norm, n);
    return s->norm;
}

void ste_block_forward(struct ste_trainer *t, const struct ste_layout *lay, int layer, float *out)
{
    const struct ste_hparams *hp = &t->model->hp;
    struct ste_acts *a = &t->s.acts[layer];
    int rows = lay->tokens;
    size_t n = (size_t)rows * (size_t)hp->d_model, n_q = (size_t)rows * (size_t)ste_width(hp, STE_WIDTH_Q),
           n_kv = (size_t)rows * (size_t)ste_width(hp, STE_WIDTH_KV);

    norm_forward(t, layer, STE_NORM_ATTN, a->x, t->s.norm, n);
    linear_forward(t, rows, layer, STE_Q, t->s.norm, a->q_raw ? a->q_raw : a->q);
    linear_forward(t, rows, layer, STE_K, t->s.norm, a->k_raw ? a->k_raw : a->k);
    linear_forward(t, rows, layer, STE_V, t->s.norm, a->v);
    if (a->q_raw)
        norm_forward(t, layer, STE_NORM_Q, a->q_raw, a->q, n_q);
    if (a->k_raw)
        norm_forward(t, layer, STE_NORM_K, a->k_raw, a->k, n_kv);
    ste_rows_turn(t, lay, layer, a->q, a->k, false);
    enum ste_work before = ste_profile_begin(STE_WORK_ATTENTION);
    ste_attention_forward(t, lay, layer);
    ste_profile_end(before);
    linear_forward(t, rows, layer, STE_O, a->o, a->attn_out ? a->attn_out : a->x2);
    add_forward(t, layer, STE_NORM_ATTN_OUT, a->attn_out, a->x, a->x2, n);

    norm_forward(t, layer, STE_NORM_FFN, a->x2, t->s.norm, n);
    linear_forward(t, rows, layer, STE_GATE, t->s.norm, a->gate);
    linear_forward(t, rows, layer, STE_UP, t->s.norm, a->up);
    ste_rows_gate(t, t->s.h, a->gate, a->up, rows);
    linear_forward(t, rows, layer, STE_DOWN, t->s.h, a->ffn_out ? a->ffn_out : out);
    if (out)
        add_forward(t, layer, STE_NORM_FFN_OUT, a->ffn_out, a->x2, out, n);
}

/* From s.dq and s.dk, after RoPE, to the gradients of what Q and K gave. */
static void heads_backward(struct ste_trainer *t, const struct ste_layout *lay, int layer, float **dq, float **dk)
{
    const struct ste_hparams *hp = &t->model->hp;
    const struct ste_acts *a = &t->s.acts[layer];
    struct ste_scratch *s = &t->s;
    size_t n_q = (size_t)lay->tokens * (size_t)ste_width(hp, STE_WIDTH_Q),
           n_kv = (size_t)lay->tokens * (size_t)ste_width(hp, STE_WIDTH_KV);
    ste_rows_turn(t, lay, layer, s->dq, s->dk, true);
    *dq = s->dq;
    *dk = s->dk;
    if (a->q_raw) { /* those of single heads are folded by now */
        *dq = memset(s->dk_heads, 0, n_q * sizeof **dq);
        norm_backward(t, layer, STE_NORM_Q, a->q_raw, s->dq, *dq, n_q);
    }
    if (a->k_raw) {
        *dk = memset(s->dv_heads, 0, n_kv * sizeof **dk);
        norm_backward(t, layer, STE_NORM_K, a->k_raw, s->dk, *dk, n_kv);
    }
}

void ste_block_backward(struct ste_trainer *t, const struct ste_layout *lay, int layer)
{
    struct ste_acts *a = &t->s.acts[layer];
    struct ste_scratch *s = &t->s;
    int rows = lay->tokens;
    size_t n = (size_t)rows * (size_t)t->model->hp.d_model;

    ste_rows_gate(t, s->h, a->gate, a->up, rows);
    linear_backward(t, lay, layer, STE_DOWN, s->h, add_backward(t, layer, STE_NORM_FFN_OUT, a->ffn_out, n), s->dh,
                    false);
    ste_rows_gate_backward(t, a->gate, a->up, s->dh, rows);
    norm_forward(t, layer, STE_NORM_FFN, a->x2, s->norm, n);
    linear_backward(t, lay, layer, STE_GATE, s->norm, a->gate, s->dnorm, false);
    linear_backward(t, lay, layer, STE_UP, s->norm, a->up, s->dnorm, true);
    norm_backward(t, layer, STE_NORM_FFN, a->x2, s->dnorm, s->dx, n);

    float *d_o = s->h, *dq, *dk; /* (T, H*HD): free by now, and wide enough */
    linear_backward(t, lay, layer, STE_O, a->o, add_backward(t, layer, STE_NORM_ATTN_OUT, a->attn_out, n), d_o, false);
    enum ste_work before = ste_profile_begin(STE_WORK_ATTENTION);
    ste_attention_backward(t, lay, layer, d_o);
    ste_profile_end(before);
    heads_backward(t, lay, layer, &dq, &dk);
    norm_forward(t, layer, STE_NORM_ATTN, a->x, s->norm, n);
    float *dnorm = layer ? s->dnorm : NULL; /* the embedding is frozen */
    linear_backward(t, lay, layer, STE_Q, s->norm, dq, dnorm, false);
    linear_backward(t, lay, layer, STE_K, s->norm, dk, dnorm, true);
    linear_backward(t, lay, layer, STE_V, s->norm, s->dv, dnorm, true);
    if (dnorm)
        norm_backward(t, layer, STE_NORM_ATTN, a->x, dnorm, s->dx, n);
}
