/*
 * What is learned from examples. An objective says which examples belong together, which rows of the forward pass it
 * needs, and what it makes of them: each row's value, the loss, the loss's gradient. That is all the trainer knows of
 * it, and an objective is one file: lm.c, reward.c, dpo.c.
 */
#ifndef STE_TRAIN_OBJECTIVE_H
#define STE_TRAIN_OBJECTIVE_H

#include "train/train.h"

struct ste_layout;

struct ste_objective {
    const char *name;
    int group; /* so many examples belong together and are neighbours in a batch; of a group of more than one there is
                * one loss, and the batch's is the mean over groups, else the mean over rows */
    bool head; /* the adapter has one */
    bool reference; /* its values are nats, and it asks for an example's sum of them without the adapter */
    /* STE_EINPUT for a group that is none; NULL: every group is one. */
    int (*check)(const struct ste_example *batch, int n, struct ste_err *err);
    /* The rows FROM .. TO - 1 of X are needed; row i is that of its token i. None: FROM >= TO. */
    void (*rows)(const struct ste_example *x, int *from, int *to);
    /* Puts the value of each needed row into s.value and adds the losses, each times its weight, to *LOSS in their
     * order (NULL: they are not wanted). With SCALE > 0 also s.dx = SCALE * weight * d loss / d final, and what the
     * head's gradient gains. */
    void (*value)(struct ste_trainer *t, const struct ste_layout *lay, double scale, double *loss);
};

#endif
