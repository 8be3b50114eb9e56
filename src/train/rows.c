#include <math.h>
#include <string.h>

#include "core/profile.h"
#include "train/internal.h"

/* A part is up to ROWS_A_PART rows: small enough to balance, large enough to pay for the hand-over. */
enum { ROWS_A_PART = 16 };

struct rows_job {
    struct ste_trainer *t;
    const struct ste_pack *pk;
    float *y, *z;
    const float *x, *w, *u;
    int rows, heads;
    bool inverse;
};

static void over_rows(struct ste_trainer *t, void (*fn)(void *, int), struct rows_job *j)
{
    enum ste_work before = ste_profile_begin(STE_WORK_ROWS);
    ste_pool_run(t->p.pool, fn, j, (j->rows + ROWS_A_PART - 1) / ROWS_A_PART);
    ste_profile_end(before);
}

static void span(const struct rows_job *j, int part, int *from, int *to)
{
    *from = part * ROWS_A_PART;
    *to = *from + ROWS_A_PART < j->rows ? *from + ROWS_A_PART : j->rows;
}

static void norm_part(void *arg, int part)
{
    struct rows_job *j = arg;
    size_t d = (size_t)j->t->model->hp.d_model;
    int from, to;
    span(j, part, &from, &to);
    for (int i = from; i < to; i++)
        j->t->ops->rmsnorm(j->y + (size_t)i * d, j->x + (size_t)i * d, j->w, (float)j->t->model->hp.rms_eps, d);
}

void ste_rows_norm(struct ste_trainer *t, float *y, const float *x, const float *w, int rows)
{
    struct rows_job j = {.t = t, .y = y, .x = x, .w = w, .rows = rows};
    over_rows(t, norm_part, &j);
}

/* y_i = x_i s w_i with s = (mean(x^2) + eps)^-1/2, so dx_i = s (w_i dy_i) - x_i s^3 / D sum_j w_j dy_j x_j. */
static void norm_backward_part(void *arg, int part)
{
    struct rows_job *j = arg;
    const struct ste_ops *ops = j->t->ops;
    size_t d = (size_t)j->t->model->hp.d_model;
    int from, to;
    span(j, part, &from, &to);
    for (int i = from; i < to; i++) {
        const float *x = j->x + (size_t)i * d;
        float *dx = j->y + (size_t)i * d, *g = j->z + (size_t)i * d;
        for (size_t c = 0; c < d; c++)
            g[c] *= j->w[c];
        float s = 1.0f / sqrtf(ops->sum_squares(x, d) / (float)d + (float)j->t->model->hp.rms_eps);
        ops->axpy(dx, s, g, d);
        ops->axpy(dx, -s * s * s * (ops->dot(g, x, d) / (float)d), x, d);
    }
}

void ste_rows_norm_backward(struct ste_trainer *t, float *dx, const float *x, const float *w, float *dy, int rows)
{
    struct rows_job j = {.t = t, .y = dx, .z = dy, .x = x, .w = w, .rows = rows};
    over_rows(t, norm_backward_part, &j);
}

static void swiglu_part(void *arg, int part)
{
    struct rows_job *j = arg;
    size_t f = (size_t)j->t->model->hp.d_ff;
    int from, to;
    span(j, part, &from, &to);
    for (int i = from; i < to; i++)
        j->t->ops->silu_mul(j->y + (size_t)i * f, j->x + (size_t)i * f, j->u + (size_t)i * f, f);
}

void ste_rows_swiglu(struct ste_trainer *t, float *h, const float *gate, const float *up, int rows)
{
    struct rows_job j = {.t = t, .y = h, .x = gate, .u = up, .rows = rows};
    over_rows(t, swiglu_part, &j);
}

/* h = g sig(g) u, so dg = dh u sig(g) (1 + g (1 - sig(g))) and du = dh g sig(g). */
static void swiglu_backward_part(void *arg, int part)
{
    struct rows_job *j = arg;
    size_t f = (size_t)j->t->model->hp.d_ff;
    int from, to;
    span(j, part, &from, &to);
    for (int i = from; i < to; i++) {
        float *g = j->y + (size_t)i * f, *u = j->z + (size_t)i * f;
        const float *dh = j->x + (size_t)i * f;
        for (size_t at = 0; at < f; at += 256) {
            size_t n = f - at < 256 ? f - at : 256;
            float e[256];
            for (size_t c = 0; c < n; c++)
                e[c] = -g[at + c];
            j->t->ops->exp(e, e, n);
            for (size_t c = 0; c < n; c++) {
                float sig = 1.0f / (1.0f + e[c]), gs = g[at + c] * sig, d = dh[at + c];
                g[at + c] = d * u[at + c] * (sig + gs * (1.0f - sig));
                u[at + c] = d * gs;
            }
        }
    }
}

void ste_rows_swiglu_backward(struct ste_trainer *t, float *gate, float *up, const float *dh, int rows)
{
    struct rows_job j = {.t = t, .y = gate, .z = up, .x = dh, .rows = rows};
    over_rows(t, swiglu_backward_part, &j);
}

static void rope_part(void *arg, int part)
{
    struct rows_job *j = arg;
    const struct ste_hparams *hp = &j->t->model->hp;
    size_t width = (size_t)j->heads * (size_t)hp->head_dim;
    int from, to, e = 0;
    span(j, part, &from, &to);
    for (int i = from; i < to; i++) {
        while (i >= j->pk->spans[e].start + j->pk->spans[e].n)
            e++;
        size_t pos = (size_t)(j->pk->spans[e].pos + i - j->pk->spans[e].start);
        j->t->ops->rope(hp->rope, j->t->s.cos_sin + pos * (size_t)hp->head_dim, j->y + (size_t)i * width, j->heads,
                        hp->head_dim, j->inverse);
    }
}

void ste_rows_rope(struct ste_trainer *t, const struct ste_pack *pk, float *x, int heads, bool inverse)
{
    struct rows_job j = {.t = t, .pk = pk, .y = x, .heads = heads, .rows = pk->tokens, .inverse = inverse};
    over_rows(t, rope_part, &j);
}
