#include "core/profile.h"
#include "train/internal.h"

/* A part is up to ROWS_A_PART rows: small enough to balance, large enough to pay for the hand-over. */
enum { ROWS_A_PART = 16 };

struct rows_job {
    struct ste_trainer *t;
    const struct ste_layout *lay;
    float *y, *z;
    const float *x, *w, *u;
    int rows, heads;
    size_t width; /* of a row */
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
    int from, to;
    span(j, part, &from, &to);
    for (size_t at = (size_t)from * j->width; at < (size_t)to * j->width; at += j->width)
        j->t->ops->rmsnorm(j->y + at, j->x + at, j->w, (float)j->t->model->hp.rms_eps, j->width);
}

void ste_rows_norm(struct ste_trainer *t, float *y, const float *x, const float *w, int rows, int width)
{
    struct rows_job j = {.t = t, .y = y, .x = x, .w = w, .rows = rows, .width = (size_t)width};
    over_rows(t, norm_part, &j);
}

static void norm_backward_part(void *arg, int part)
{
    struct rows_job *j = arg;
    int from, to;
    span(j, part, &from, &to);
    for (size_t at = (size_t)from * j->width; at < (size_t)to * j->width; at += j->width)
        j->t->ops->rmsnorm_backward(j->y + at, j->x + at, j->w, j->z + at, (float)j->t->model->hp.rms_eps, j->width);
}

void ste_rows_norm_backward(struct ste_trainer *t, float *dx, const float *x, const float *w, float *dy, int rows,
                            int width)
{
    struct rows_job j = {.t = t, .y = dx, .z = dy, .x = x, .w = w, .rows = rows, .width = (size_t)width};
    over_rows(t, norm_backward_part, &j);
}

static void gate_part(void *arg, int part)
{
    struct rows_job *j = arg;
    int from, to;
    span(j, part, &from, &to);
    for (size_t at = (size_t)from * j->width; at < (size_t)to * j->width; at += j->width)
        j->t->ops->gate(j->t->model->hp.arch->gate, j->y + at, j->x + at, j->u + at, j->width);
}

void ste_rows_gate(struct ste_trainer *t, float *h, const float *gate, const float *up, int rows)
{
    struct rows_job j = {.t = t, .y = h, .x = gate, .u = up, .rows = rows, .width = (size_t)t->model->hp.d_ff};
    over_rows(t, gate_part, &j);
}

static void gate_backward_part(void *arg, int part)
{
    struct rows_job *j = arg;
    int from, to;
    span(j, part, &from, &to);
    for (size_t at = (size_t)from * j->width; at < (size_t)to * j->width; at += j->width)
        j->t->ops->gate_backward(j->t->model->hp.arch->gate, j->y + at, j->z + at, j->x + at, j->width);
}

void ste_rows_gate_backward(struct ste_trainer *t, float *gate, float *up, const float *dh, int rows)
{
    struct rows_job j = {.t = t, .y = gate, .z = up, .x = dh, .rows = rows, .width = (size_t)t->model->hp.d_ff};
    over_rows(t, gate_backward_part, &j);
}

static void rope_part(void *arg, int part)
{
    struct rows_job *j = arg;
    const struct ste_hparams *hp = &j->t->model->hp;
    size_t width = (size_t)j->heads * (size_t)hp->head_dim;
    int from, to, e = 0;
    span(j, part, &from, &to);
    for (int i = from; i < to; i++) {
        while (i >= j->lay->spans[e].start + j->lay->spans[e].n)
            e++;
        size_t pos = (size_t)(j->lay->spans[e].pos + i - j->lay->spans[e].start);
        j->t->ops->rope(hp->arch->rope, j->t->s.cos_sin + pos * (size_t)hp->head_dim, j->y + (size_t)i * width,
                        j->heads, hp->head_dim, j->inverse);
    }
}

void ste_rows_rope(struct ste_trainer *t, const struct ste_layout *lay, float *x, int heads, bool inverse)
{
    struct rows_job j = {.t = t, .lay = lay, .y = x, .heads = heads, .rows = lay->tokens, .inverse = inverse};
    over_rows(t, rope_part, &j);
}
