/* Language modelling on completions. */
#include <math.h>
#include <string.h>

#include "core/profile.h"
#include "train/internal.h"

/* A chunk of the loss rows, from FROM on. */
struct loss_job {
    struct ste_trainer *t;
    const struct ste_layout *lay;
    int from;
    const double *gain;
};

/* A row of logits becomes its gradient: gain * (softmax - one at the target). */
static void softmax_row(void *arg, int part)
{
    struct loss_job *j = arg;
    struct ste_trainer *t = j->t;
    size_t v = (size_t)t->model->hp.n_vocab;
    int i = j->from + part;
    float *row = t->s.logits + (size_t)part * v;
    int32_t target = j->lay->loss_target[i];
    float at_target = row[target], top = t->ops->max(row, v), sum = t->ops->exp_sub_sum(row, row, top, v);
    t->s.value[i] = (double)(top - at_target) + log((double)sum);
    if (j->gain) {
        t->ops->scale(row, (float)(j->gain[i] / (double)sum), v);
        row[target] -= (float)j->gain[i];
    }
}

/* Nothing predicts the first token. */
void ste_rows_before_completion(const struct ste_example *x, int *from, int *to)
{
    *from = x->n_prompt > 0 ? x->n_prompt - 1 : 0;
    *to = x->n - 1;
}

/* The vocabulary layer on the rows with loss, a chunk of rows at a time. */
void ste_cross_entropy(struct ste_trainer *t, const struct ste_layout *lay, const double *gain)
{
    struct ste_scratch *s = &t->s;
    const double c = t->model->hp.output_scale;
    size_t d = (size_t)t->model->hp.d_model, v = (size_t)t->model->hp.n_vocab;
    if (gain)
        memset(s->dx, 0, (size_t)lay->tokens * d * sizeof *s->dx);
    for (int from = 0; from < lay->n_loss; from += s->chunk) {
        int rows = lay->n_loss - from < s->chunk ? lay->n_loss - from : s->chunk;
        for (int i = 0; i < rows; i++)
            memcpy(s->loss_x + (size_t)i * d, s->final + (size_t)lay->loss_rows[from + i] * d, d * sizeof(float));
        ste_rows_norm(t, s->loss_norm, s->loss_x, t->w->output_norm, rows, (int)d);
        if (c != 1)
            t->ops->scale(s->loss_norm, (float)c, (size_t)rows * d);
        enum ste_work before = ste_profile_begin(STE_WORK_PRODUCTS);
        ste_matrix_mul(t->w->output, t->p.activations, s->loss_norm, d, rows, NULL, s->logits, v, t->p.pool);
        ste_profile_begin(STE_WORK_LOSS);
        struct loss_job j = {t, lay, from, gain};
        ste_pool_run(t->p.pool, softmax_row, &j, rows);
        ste_profile_end(before);
        if (!gain)
            continue;
        ste_profile_begin(STE_WORK_BACKWARD);
        ste_matrix_mul_back(t->w->output, ste_gradients_as(t->p.gradients), s->logits, v, rows, s->loss_norm, d, false,
                            t->p.pool);
        ste_profile_end(before);
        if (c != 1)
            t->ops->scale(s->loss_norm, (float)c, (size_t)rows * d);
        memset(s->loss_d, 0, (size_t)rows * d * sizeof *s->loss_d);
        ste_rows_norm_backward(t, s->loss_d, s->loss_x, t->w->output_norm, s->loss_norm, rows, (int)d);
        for (int i = 0; i < rows; i++)
            memcpy(s->dx + (size_t)lay->loss_rows[from + i] * d, s->loss_d + (size_t)i * d, d * sizeof(float));
    }
}

/* A row's value is its target's nll. */
static void value(struct ste_trainer *t, const struct ste_layout *lay, double scale, double *loss)
{
    for (int i = 0; i < lay->n_loss; i++)
        t->s.gain[i] = scale * (double)lay->loss_weight[i];
    ste_cross_entropy(t, lay, scale > 0 ? t->s.gain : NULL);
    for (int i = 0; loss && i < lay->n_loss; i++)
        *loss += (double)lay->loss_weight[i] * t->s.value[i];
}

const struct ste_objective ste_language_modelling = {
    .name = "language modelling", .group = 1, .rows = ste_rows_before_completion, .value = value};
