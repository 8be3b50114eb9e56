/* Preference training: DPO, and the likelihood of what is chosen. */
#include <math.h>

#include "train/internal.h"

/* What example E of the layout has gained on the reference: nats of the whole completion. */
static double gained(const struct ste_trainer *t, const struct ste_layout *lay, int e, int *rows)
{
    double nll = 0;
    for (int i = lay->first_loss[e]; i < lay->first_loss[e + 1]; i++)
        nll += t->s.value[i];
    *rows = lay->first_loss[e + 1] - lay->first_loss[e];
    return -nll - *lay->examples[e].reference;
}

/* A row's value is its target's nll. The slope along it depends on the whole pair, so the vocabulary layer is passed
 * twice: for the values, and for the gradient. */
static void value(struct ste_trainer *t, const struct ste_layout *lay, double scale, double *loss)
{
    const double beta = t->p.beta;
    ste_cross_entropy(t, lay, NULL);
    for (int e = 0; (loss || scale > 0) && e < lay->n_examples; e += 2) {
        int rows[2];
        const double weight = (double)lay->examples[e].weight,
                     margin = beta * (gained(t, lay, e, &rows[0]) - gained(t, lay, e + 1, &rows[1])),
                     away = 1 / (1 + exp(margin)), nll = t->p.nll / rows[0];
        double chosen = 0;
        for (int i = lay->first_loss[e]; i < lay->first_loss[e + 2]; i++) {
            const bool is_chosen = i < lay->first_loss[e + 1];
            chosen += is_chosen ? t->s.value[i] : 0;
            t->s.gain[i] = scale * weight * (is_chosen ? beta * away + nll : -beta * away);
        }
        if (loss)
            *loss += weight * (ste_nll_of_sigmoid(margin) + nll * chosen);
    }
    if (scale > 0)
        ste_cross_entropy(t, lay, t->s.gain);
}

const struct ste_objective ste_dpo = {.name = "DPO",
                                      .group = 2,
                                      .reference = true,
                                      .check = ste_check_pairs,
                                      .rows = ste_rows_before_completion,
                                      .value = value};
