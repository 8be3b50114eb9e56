/*
 * The loop. A run is a folder with a store; each step below reads rows of the store and writes rows of the store, and
 * running it again does only what is missing. Steps commit as results come; after Ctrl-C they return STE_EINTERRUPTED
 * with everything committed that was known. docs/loop.md says what is decided in each step and why.
 */
#ifndef STE_LOOP_LOOP_H
#define STE_LOOP_LOOP_H

#include "core/hash.h"
#include "data/pairs.h"
#include "judge/judge.h"
#include "loop/recipe.h"
#include "llm/llm.h"
#include "store/rows.h"

enum ste_loop_role {
    STE_LOOP_LABEL,
    STE_LOOP_ANSWER,
    STE_LOOP_MODIFY,
    STE_LOOP_WEAKER,
    STE_LOOP_JUDGE,
    STE_LOOP_N_ROLES
};

struct ste_loop_model; /* an open model; roles.c */

struct ste_loop {
    struct ste_recipe recipe;
    struct ste_store *store;
    struct ste_pack *pack;
    char secret[STE_ID_LEN + 1]; /* of the fences; derives from the recipe's seed */
    /* Opens the model of a role; ste_llm_open unless the caller sets another one before the first step. */
    int (*open_llm)(struct ste_llm **out, const char *model, const struct ste_llm_params *p, struct ste_err *err);
    struct ste_loop_model *models;
    size_t n_models;
    struct ste_llm *held; /* of the models, whose adapter HELD_ADAPTER an iteration trained; NULL: none */
    int held_adapter;
    struct ste_reward *reward; /* that an iteration trained; NULL: none */
};

/* Opens the run in DIR. With a recipe the run is made if it is not there, and refused if it was made with another one
 * (STE_EUSAGE, the difference in the error). R NULL: the run must exist; its own recipe is used. R is copied. */
int ste_loop_open(struct ste_loop **out, const char *dir, const struct ste_recipe *r, struct ste_err *err);
void ste_loop_close(struct ste_loop *l);

int ste_loop_select(struct ste_loop *l, struct ste_err *err);
int ste_loop_pair(struct ste_loop *l, struct ste_err *err);
int ste_loop_check(struct ste_loop *l, struct ste_err *err);
/* Iterations count from 1. Each needs the steps before it and says which one is missing. */
int ste_loop_judge(struct ste_loop *l, int iteration, struct ste_err *err);
/* STE_ETHRESHOLD when a label has no example left. */
int ste_loop_filter(struct ste_loop *l, int iteration, struct ste_err *err);
int ste_loop_train(struct ste_loop *l, int iteration, struct ste_err *err);
/* Scores an iteration (0: the seed) on the held-out synthetic pairs and on eval.files. */
int ste_loop_evaluate(struct ste_loop *l, int iteration, struct ste_err *err);
/* Judge, filter, train, evaluate. */
int ste_loop_iterate(struct ste_loop *l, int iteration, struct ste_err *err);
/* The steps before STEP (recipe.h), or less, if something stops the loop. */
int ste_loop_run_before(struct ste_loop *l, int step, struct ste_err *err);
/* Everything, up to the recipe's iterations or to what stops it. */
int ste_loop_run(struct ste_loop *l, struct ste_err *err);
/* The first iteration that is not complete, or the last one. */
int ste_loop_current(struct ste_loop *l, int *iteration, struct ste_err *err);

/* Calls, tokens and time that RECIPE would take, as text. */
int ste_loop_estimate(const struct ste_recipe *r, struct ste_buf *out, struct ste_err *err);

#endif
