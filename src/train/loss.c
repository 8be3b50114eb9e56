#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/profile.h"
#include "train/internal.h"

/* Rows FROM .. FROM + ROWS - 1 of the pack's loss rows. */
struct loss_job {
    struct ste_trainer *t;
    const struct ste_pack *pk;
    int from;
    double scale;
    const double *odds; /* (rows) the two-order log-odds of each row's pair; NULL without that loss */
};

/* log(1 + e^x) */
static double softplus(double x)
{
    return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
}

/* A row of logits becomes its gradient: scale * weight * (softmax - one at the target), less the two-order share, whose
 * part pulls the target and the other label apart by what both orders say together. */
static void softmax_row(void *arg, int part)
{
    struct loss_job *j = arg;
    struct ste_trainer *t = j->t;
    size_t v = (size_t)t->model->hp.n_vocab;
    int i = j->from + part;
    float *row = t->s.logits + (size_t)part * v;
    int32_t target = j->pk->loss_target[i];
    float at_target = row[target], top = t->ops->max(row, v), sum = t->ops->exp_sub_sum(row, row, top, v);
    const double share = j->odds ? t->p.two_order : 0, both = j->odds ? j->odds[part] : 0;
    t->s.nll[i] = (1 - share) * ((double)(top - at_target) + log((double)sum)) + share * softplus(-both);
    if (j->scale > 0) {
        const double weight = j->scale * (double)j->pk->loss_weight[i], g = (1 - share) * weight;
        t->ops->scale(row, (float)(g / (double)sum), v);
        row[target] -= (float)g;
        if (share > 0) {
            const float pull = (float)(share * weight / (1 + exp(both)));
            row[target] -= pull;
            row[j->pk->loss_other[i]] += pull;
        }
    }
}

/* Of each pair of rows: half the sum of their log-odds for the target against the other label. */
static void two_order_odds(const struct ste_trainer *t, const struct ste_pack *pk, int from, int rows, double *odds)
{
    const size_t v = (size_t)t->model->hp.n_vocab;
    for (int i = 0; i < rows; i += 2) {
        const float *a = t->s.logits + (size_t)i * v, *b = a + v;
        const int32_t *target = pk->loss_target + from + i, *other = pk->loss_other + from + i;
        odds[i] = odds[i + 1] = ((double)a[target[0]] - (double)a[other[0]] + (double)b[target[1]] - (double)b[other[1]]) / 2;
    }
}

void ste_loss_rows(struct ste_trainer *t, const struct ste_pack *pk, double scale)
{
    struct ste_scratch *s = &t->s;
    size_t d = (size_t)t->model->hp.d_model, v = (size_t)t->model->hp.n_vocab;
    if (scale > 0)
        memset(s->dx, 0, (size_t)pk->tokens * d * sizeof *s->dx);
    const bool two_order = t->p.two_order > 0;
    const int chunk = two_order ? s->chunk / 2 * 2 : s->chunk; /* pairs stay together */
    double *odds = two_order ? ste_xcalloc((size_t)chunk + 1, sizeof *odds) : NULL;
    for (int from = 0; from < pk->n_loss; from += chunk) {
        int rows = pk->n_loss - from < chunk ? pk->n_loss - from : chunk;
        for (int i = 0; i < rows; i++)
            memcpy(s->loss_x + (size_t)i * d, s->final + (size_t)pk->loss_rows[from + i] * d, d * sizeof(float));
        ste_rows_norm(t, s->loss_norm, s->loss_x, t->w->output_norm, rows);
        enum ste_work before = ste_profile_begin(STE_WORK_PRODUCTS);
        ste_matrix_mul(t->w->output, t->p.activations, s->loss_norm, d, rows, NULL, s->logits, v, t->p.pool);
        ste_profile_begin(STE_WORK_LOSS);
        if (two_order)
            two_order_odds(t, pk, from, rows, odds);
        struct loss_job j = {t, pk, from, scale, odds};
        ste_pool_run(t->p.pool, softmax_row, &j, rows);
        ste_profile_end(before);
        if (scale <= 0)
            continue;
        ste_profile_begin(STE_WORK_BACKWARD);
        ste_matrix_mul_back(t->w->output, t->p.activations, s->logits, v, rows, s->loss_norm, d, false, t->p.pool);
        ste_profile_end(before);
        memset(s->loss_d, 0, (size_t)rows * d * sizeof *s->loss_d);
        ste_rows_norm_backward(t, s->loss_d, s->loss_x, t->w->output_norm, s->loss_norm, rows);
        for (int i = 0; i < rows; i++)
            memcpy(s->dx + (size_t)pk->loss_rows[from + i] * d, s->loss_d + (size_t)i * d, d * sizeof(float));
    }
    free(odds);
}
