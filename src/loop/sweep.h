/*
 * A sweep: one recipe with other values of some options, each with several seeds. Every point of the grid with every
 * seed is an ordinary run in a folder of its own. Runs of one seed that agree in all options which change the first
 * steps (recipe.h) take a copy of the store behind these steps: what is shared is done once, and what follows comes to
 * the same bytes as in a run alone, since every id and random number derives from the rows and the options.
 */
#ifndef STE_LOOP_SWEEP_H
#define STE_LOOP_SWEEP_H

#include "loop/loop.h"

/* What the command line says over a recipe or the file of a sweep. */
struct ste_sweep_options {
    struct ste_strings sets;  /* "key=value", of every run */
    struct ste_strings grid;  /* "key=value,value": a value that holds commas stands in brackets, braces or quotes */
    struct ste_strings seeds; /* empty: the file's, or the recipe's one */
    struct ste_strings data;  /* in the place of eval.files; empty: the file's, or the recipe's */
    long long sample;         /* score so many rows of each of DATA, drawn by the first seed; 0: all */
};

struct ste_sweep_point {
    char *name; /* what it differs in: "train.lr=1e-4,train.r=8" */
    struct ste_recipe recipe;
};

struct ste_sweep {
    char *name, *folder; /* NAME: of the recipe */
    struct ste_sweep_point *points;
    size_t n_points;
    long long *seeds;
    size_t n_seeds;
    struct ste_strings data; /* as of struct ste_sweep_options */
    long long sample;
    int lock; /* of its folder; -1: none */
    /* As of struct ste_loop, for all its runs. */
    int (*open_llm)(struct ste_llm **out, const char *model, const struct ste_llm_params *p, struct ste_err *err);
};

/* NAME: a recipe, or a YAML file of a sweep (recipe, set, points, grid, seeds, data, sample; docs/loop.md). Nothing is
 * written yet. */
int ste_sweep_plan(struct ste_sweep **out, const char *name, const char *folder, const struct ste_sweep_options *o,
                   struct ste_err *err);
/* Takes the folder's lock, and puts the drawn rows of DATA there. STE_EBUSY: another process works on the sweep. */
int ste_sweep_begin(struct ste_sweep *s, struct ste_err *err);
void ste_sweep_free(struct ste_sweep *s);

/* The folder of a run; the caller frees it. */
char *ste_sweep_dir(const struct ste_sweep *s, size_t point, size_t seed);
/* The run of a point and a seed, with what it shares done, and done for all that share it. */
int ste_sweep_open(struct ste_sweep *s, size_t point, size_t seed, struct ste_loop **out, struct ste_err *err);
/* Of what the run of a point and a seed does before STEP (INT_MAX: of all): the step up to which it is shared with
 * others, and the folder of that, whose store is copied. 0 and NULL: nothing is. The caller frees it. */
int ste_sweep_shares(struct ste_sweep *s, size_t point, size_t seed, int step, char **folder);

#endif
