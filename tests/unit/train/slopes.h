/* Gradients of any model's adapter against finite differences of the trainer's own loss. */
#ifndef STE_TEST_SLOPES_H
#define STE_TEST_SLOPES_H

#include <math.h>

#include "train/train.h"

/* Its adapter starts as L. */
static inline struct ste_trainer *trainer_of(const struct ste_model *m, const struct ste_lora *l, double rate)
{
    struct ste_train_params p;
    struct ste_trainer *t = NULL;
    ste_train_default_params(&p);
    p.r = l->r;
    p.alpha = l->alpha;
    p.learning_rate = rate;
    assert_int_equal(ste_trainer_new(&t, m, NULL, &p, NULL), 0);
    assert_int_equal(ste_trainer_set_lora(t, l, NULL), 0);
    return t;
}

/* What the loss rises by for a step of one along the direction D (n, of length LENGTH) of the values W. */
static double slope(struct ste_trainer *t, const struct ste_example *x, float *w, const float *d, int n, double length)
{
    const double h = 2e-3;
    double loss[2];
    for (int side = 0; side < 2; side++) {
        const double s = (side ? h : -h) / length;
        for (int k = 0; k < n; k++)
            w[k] += (float)(s * (double)d[k]);
        assert_int_equal(ste_trainer_loss(t, x, 1, &loss[side], NULL), 0);
        for (int k = 0; k < n; k++)
            w[k] -= (float)(s * (double)d[k]);
    }
    return (loss[1] - loss[0]) / (2 * h);
}

/* Along each tensor's gradient the loss rises by the gradient's length. */
static void check_slopes(struct ste_trainer *t, const struct ste_model *m, const struct ste_example *x)
{
    struct ste_lora *g, *live = ste_trainer_lora(t);
    double loss;
    assert_int_equal(ste_lora_new(&g, &m->hp, live->r, live->alpha, 0, NULL), 0);
    assert_int_equal(ste_trainer_grads(t, x, 1, g, &loss, NULL), 0);
    for (int i = 0; i < 2 * live->n_layers * STE_N_LINEAR; i++) {
        const int layer = i / 2 / STE_N_LINEAR, k = i / 2 % STE_N_LINEAR;
        const struct ste_lora_factors *d = &g->factors[layer][k], *w = &live->factors[layer][k];
        const float *grad = i % 2 ? d->b : d->a;
        const int n = (i % 2 ? d->out : d->in) * live->r;
        double length = 0;
        for (int c = 0; c < n; c++)
            length += (double)grad[c] * (double)grad[c];
        length = sqrt(length);
        double got = slope(t, x, i % 2 ? w->b : w->a, grad, n, length);
        if (!(fabs(got - length) < 5e-3 * length + 1e-4))
            fail_msg("layer %d, %s of linear %d: the gradient's length is %g, the finite difference %g", layer,
                     i % 2 ? "B" : "A", k, length, got);
    }
    ste_lora_free(g);
}

#endif
