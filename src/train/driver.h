/*
 * One training from its first step to its last, over as many commands as it takes. States lie in a folder, written at
 * checkpoints, on Ctrl-C, and in between so often that it costs a hundredth of the time, but every five minutes; a
 * training begins where the newest one stands. As a state holds all that the next step depends on, a training that was
 * killed ends in the bytes of one that was not. A state of other examples, another model or other parameters is refused
 * with what differs.
 */
#ifndef STE_TRAIN_DRIVER_H
#define STE_TRAIN_DRIVER_H

#include "train/train.h"

struct ste_train_job {
    struct ste_trainer *trainer;        /* as made, or with the adapter to start from */
    const struct ste_example *examples; /* (n); of an objective with groups: the groups one behind the other */
    int n;
    const char *folder; /* of the states; made if it is not there */
    int every;          /* steps between checkpoints; 0: only the last step is one, as it always is */
    const char *what;   /* of the progress line; NULL: none */
    bool carry_on;      /* a state that cannot be written is warned of, and the training goes on */
    void *arg;
    /* Each step in turn, those of the state that the training begins with too. NULL is allowed. */
    int (*stepped)(void *arg, const struct ste_train_step *s, struct ste_err *err);
    /* A state stands in the folder: the one just written, or the one to begin with, for which this may have been called
     * by the command before. LOG: all N steps that lead to it. *BEST is the step of the checkpoint that the training
     * would end with; it is the last one if this is NULL or leaves it. */
    int (*saved)(void *arg, const struct ste_train_step *log, int n, bool checkpoint, int *best, struct ste_err *err);
};
/* Leaves the trainer at the best checkpoint (*BEST, may be NULL), and its state, and the last one, in the folder. */
int ste_train_run(const struct ste_train_job *j, int *best, struct ste_err *err);

/* Step of the newest state in FOLDER; -1: none. *OTHERS: there is something that no training put there. */
int ste_train_newest(const char *folder, bool *others);
/* Removes the states, and FOLDER if nothing else is in it. The newest state is the last to go. */
void ste_train_clean(const char *folder);

#endif
