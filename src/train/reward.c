/* The head of a reward model and its loss. */
#include <math.h>
#include <string.h>

#include "core/profile.h"
#include "train/internal.h"

double ste_reward_nll(double chosen, double rejected)
{
    const double difference = chosen - rejected;
    return difference > 0 ? log1p(exp(-difference)) : log1p(exp(difference)) - difference;
}

void ste_reward_rows(struct ste_trainer *t, const struct ste_pack *pk, double scale)
{
    struct ste_scratch *s = &t->s;
    const size_t d = (size_t)t->model->hp.d_model;
    const int chunk = s->chunk > 1 ? s->chunk / 2 * 2 : 1; /* pairs stay together */
    enum ste_work before = ste_profile_begin(STE_WORK_LOSS);
    if (scale > 0)
        memset(s->dx, 0, (size_t)pk->tokens * d * sizeof *s->dx);
    for (int from = 0; from < pk->n_loss; from += chunk) {
        const int rows = pk->n_loss - from < chunk ? pk->n_loss - from : chunk;
        for (int i = 0; i < rows; i++)
            memcpy(s->loss_x + (size_t)i * d, s->final + (size_t)pk->loss_rows[from + i] * d, d * sizeof(float));
        ste_rows_norm(t, s->loss_norm, s->loss_x, t->w->output_norm, rows, (int)d);
        for (int i = 0; i < rows; i++)
            s->nll[from + i] = (double)t->ops->dot(s->loss_norm + (size_t)i * d, t->lora->head, d);
        if (scale <= 0)
            continue;
        for (int i = 0; i < rows; i++) { /* in their order: the head's gradient is a sum over them */
            const double *pair = &s->nll[from + i / 2 * 2], away = 1 / (1 + exp(pair[0] - pair[1]));
            const float g = (float)((i % 2 ? away : -away) * scale * (double)pk->loss_weight[from + i]);
            float *norm = s->loss_norm + (size_t)i * d;
            t->ops->axpy(t->grads->head, g, norm, d);
            memset(norm, 0, d * sizeof *norm);
            t->ops->axpy(norm, g, t->lora->head, d);
        }
        memset(s->loss_d, 0, (size_t)rows * d * sizeof *s->loss_d);
        ste_rows_norm_backward(t, s->loss_d, s->loss_x, t->w->output_norm, s->loss_norm, rows, (int)d);
        for (int i = 0; i < rows; i++)
            memcpy(s->dx + (size_t)pk->loss_rows[from + i] * d, s->loss_d + (size_t)i * d, d * sizeof(float));
    }
    ste_profile_end(before);
}
