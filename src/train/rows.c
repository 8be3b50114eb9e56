#include "core/profile.h"
#include "model/positions.h"
#include "train/internal.h"

/* A part is up to ROWS_A_PART rows: small enough to balance, large enough to pay for the hand-over. */
enum { ROWS_A_PART = 16 };

struct rows_job {
    void (*row)(const struct rows_job *j, size_t at); /* AT: where it begins in Y, and in all that is as wide */
    struct ste_trainer *t;
    const struct ste_layout *lay;
    float *y, *z;
    const float *x, *w, *u;
    int rows, heads;
    size_t width; /* of a row */
    enum ste_rotary_kind kind;
    bool inverse, grows;
};

static void rows_part(void *arg, int part)
{
    const struct rows_job *j = arg;
    const int from = part * ROWS_A_PART, to = from + ROWS_A_PART < j->rows ? from + ROWS_A_PART : j->rows;
    for (size_t at = (size_t)from * j->width; at < (size_t)to * j->width; at += j->width)
        j->row(j, at);
}

static void over_rows(struct ste_trainer *t, struct rows_job *j)
{
    enum ste_work before = ste_profile_begin(STE_WORK_ROWS);
    ste_pool_run(t->p.pool, rows_part, j, (j->rows + ROWS_A_PART - 1) / ROWS_A_PART);
    ste_profile_end(before);
}

static void norm_row(const struct rows_job *j, size_t at)
{
    j->t->ops->rmsnorm(j->y + at, j->x + at, j->w, (float)j->t->model->hp.rms_eps, j->width);
}

void ste_rows_norm(struct ste_trainer *t, float *y, const float *x, const float *w, int rows, int width)
{
    struct rows_job j = {.row = norm_row, .t = t, .y = y, .x = x, .w = w, .rows = rows, .width = (size_t)width};
    over_rows(t, &j);
}

static void norm_backward_row(const struct rows_job *j, size_t at)
{
    j->t->ops->rmsnorm_backward(j->y + at, j->x + at, j->w, j->z + at, (float)j->t->model->hp.rms_eps, j->width);
}

void ste_rows_norm_backward(struct ste_trainer *t, float *dx, const float *x, const float *w, float *dy, int rows,
                            int width)
{
    struct rows_job j = {
        .row = norm_backward_row, .t = t, .y = dx, .z = dy, .x = x, .w = w, .rows = rows, .width = (size_t)width};
    over_rows(t, &j);
}

static void gate_row(const struct rows_job *j, size_t at)
{
    j->t->ops->gate(j->t->model->hp.arch->gate, j->y + at, j->x + at, j->u + at, j->width);
}

void ste_rows_gate(struct ste_trainer *t, float *h, const float *gate, const float *up, int rows)
{
    struct rows_job j = {
        .row = gate_row, .t = t, .y = h, .x = gate, .u = up, .rows = rows, .width = (size_t)t->model->hp.d_ff};
    over_rows(t, &j);
}

static void gate_backward_row(const struct rows_job *j, size_t at)
{
    j->t->ops->gate_backward(j->t->model->hp.arch->gate, j->y + at, j->z + at, j->x + at, j->width);
}

void ste_rows_gate_backward(struct ste_trainer *t, float *gate, float *up, const float *dh, int rows)
{
    struct rows_job j = {.row = gate_backward_row,
                         .t = t,
                         .y = gate,
                         .z = up,
                         .x = dh,
                         .rows = rows,
                         .width = (size_t)t->model->hp.d_ff};
    over_rows(t, &j);
}

static void turn_row(const struct rows_job *j, size_t at)
{
    const struct ste_trainer *t = j->t;
    const struct ste_hparams *hp = &t->model->hp;
    const struct ste_span *s = j->lay->spans;
    const int i = (int)(at / j->width);
    while (i >= s->start + s->n)
        s++;
    const int pos = s->pos + i - s->start;
    if (j->kind != STE_ROTARY_NONE) {
        const int dims = t->rotary[j->kind]->dims;
        t->ops->rope(hp->rope, t->s.cos_sin[j->kind] + (size_t)pos * (size_t)dims, dims, j->y + at, j->heads,
                     hp->head_dim, j->inverse);
    }
    if (j->grows) /* either way: it is a factor of each number */
        t->ops->scale(j->y + at, (float)ste_query_scale(hp, pos), j->width);
}

void ste_rows_turn(struct ste_trainer *t, const struct ste_layout *lay, int layer, float *q, float *k, bool inverse)
{
    const struct ste_hparams *hp = &t->model->hp;
    struct rows_job j = {.row = turn_row,
                         .t = t,
                         .lay = lay,
                         .rows = lay->tokens,
                         .kind = t->model->layers[layer].rotary,
                         .inverse = inverse};
    for (int side = 0; side < 2; side++) {
        j.y = side ? k : q;
        j.heads = side ? hp->n_kv_heads : hp->n_heads;
        j.width = (size_t)(j.heads * hp->head_dim);
        j.grows = !side && hp->temperature_scale != 0;
        if (j.grows || j.kind != STE_ROTARY_NONE)
            over_rows(t, &j);
    }
}
