/* A reward model by the loss of Bradley and Terry. */
#include <math.h>
#include <string.h>

#include "core/profile.h"
#include "train/internal.h"

int ste_check_pairs(const struct ste_example *batch, int n, struct ste_err *err)
{
    for (int e = 0; e < n; e += 2) {
        const struct ste_example *x = &batch[e], *y = x + 1;
        if (e + 1 == n || x->n_prompt < 2 || x->n_prompt != y->n_prompt || x->n == x->n_prompt || y->n == y->n_prompt ||
            memcmp(x->tokens, y->tokens, (size_t)x->n_prompt * sizeof *x->tokens) || x->weight != y->weight)
            return ste_err_set(err, STE_EINPUT,
                               "examples %d and %d of the batch are no pair: a chosen and a rejected answer to one "
                               "prompt of two tokens or more, of one weight",
                               e + 1, e + 2);
    }
    return 0;
}

static void last_row(const struct ste_example *x, int *from, int *to)
{
    *from = x->n - 1;
    *to = x->n;
}

double ste_nll_of_sigmoid(double x)
{
    return x > 0 ? log1p(exp(-x)) : log1p(exp(x)) - x;
}

/* A row's value is its score. */
static void value(struct ste_trainer *t, const struct ste_layout *lay, double scale, double *loss)
{
    struct ste_scratch *s = &t->s;
    const size_t d = (size_t)t->model->hp.d_model;
    const int chunk = s->chunk > 1 ? s->chunk / 2 * 2 : 1; /* pairs stay together */
    enum ste_work before = ste_profile_begin(STE_WORK_LOSS);
    if (scale > 0)
        memset(s->dx, 0, (size_t)lay->tokens * d * sizeof *s->dx);
    for (int from = 0; from < lay->n_loss; from += chunk) {
        const int rows = lay->n_loss - from < chunk ? lay->n_loss - from : chunk;
        for (int i = 0; i < rows; i++)
            memcpy(s->loss_x + (size_t)i * d, s->final + (size_t)lay->loss_rows[from + i] * d, d * sizeof(float));
        ste_rows_norm(t, s->loss_norm, s->loss_x, t->w->output_norm, rows, (int)d);
        for (int i = 0; i < rows; i++)
            s->value[from + i] = (double)t->ops->dot(s->loss_norm + (size_t)i * d, t->lora->head, d);
        for (int i = from; loss && i < from + rows; i += 2)
            *loss += (double)lay->loss_weight[i] * ste_nll_of_sigmoid(s->value[i] - s->value[i + 1]);
        if (scale <= 0)
            continue;
        for (int i = 0; i < rows; i++) { /* in their order: the head's gradient is a sum over them */
            const double *pair = &s->value[from + i / 2 * 2], away = 1 / (1 + exp(pair[0] - pair[1]));
            const float g = (float)((i % 2 ? away : -away) * scale * (double)lay->loss_weight[from + i]);
            float *norm = s->loss_norm + (size_t)i * d;
            t->ops->axpy(t->grads->head, g, norm, d);
            memset(norm, 0, d * sizeof *norm);
            t->ops->axpy(norm, g, t->lora->head, d);
        }
        memset(s->loss_d, 0, (size_t)rows * d * sizeof *s->loss_d);
        ste_rows_norm_backward(t, s->loss_d, s->loss_x, t->w->output_norm, s->loss_norm, rows, (int)d);
        for (int i = 0; i < rows; i++)
            memcpy(s->dx + (size_t)lay->loss_rows[from + i] * d, s->loss_d + (size_t)i * d, d * sizeof(float));
    }
    ste_profile_end(before);
}

const struct ste_objective ste_bradley_terry = {
    .name = "Bradley-Terry", .group = 2, .head = true, .check = ste_check_pairs, .rows = last_row, .value = value};
