/*
 * Training by another program: trainers/README.md is the contract. The program is given a folder and leaves an adapter
 * and a marker there. It may outlive ste; then the next call waits for it and takes what it leaves, so there is one at
 * a time, and none is started for what is done.
 */
#ifndef STE_TRAIN_EXTERNAL_H
#define STE_TRAIN_EXTERNAL_H

#include "core/strings.h"
#include "train/train.h"

struct ste_external_job {
    const struct ste_strings *command; /* its first words; the folder comes behind them */
    const char *folder;                /* made if it is not there; stays */
    const struct ste_model *model;     /* whose adapter it is */
    const char *name, *base;           /* as the user names the model; a Hugging Face folder of it, or NULL */
    struct ste_lora *start;            /* the adapter to begin with */
    const struct ste_train_params *params;
    const struct ste_example *examples; /* (n); of preferences two each, chosen before rejected */
    int n;
    int every;        /* steps between checkpoints */
    double grace;     /* seconds from the signal to stop until it is killed */
    const char *what; /* of the progress line */
};

/* Gives the adapter (the caller's) and the log: LOG[i] is of step i + 1, with step 0 where the trainer told nothing of
 * it; the caller frees it. STE_EINTERRUPTED: the trainer was told to stop, and has. STE_EFAIL: it ended without what it
 * was to leave. STE_EINPUT: what it left is not an adapter of this model, or not the one that was asked for. */
int ste_external_train(const struct ste_external_job *j, struct ste_lora **out, struct ste_train_step **log,
                       struct ste_err *err);

#endif
