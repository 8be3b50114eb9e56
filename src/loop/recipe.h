/*
 * A recipe: everything that decides what a run does. One table of options (core/options.h) makes its keys, --set,
 * --help, the checks and the comparison with the recipe that an existing run was made with.
 */
#ifndef STE_LOOP_RECIPE_H
#define STE_LOOP_RECIPE_H

#include "core/options.h"

struct ste_recipe {
    /* models: a catalogue name, a .gguf path, or RUN:ITERATION; empty: the seed */
    char *seed_model, *label_model, *answer_model, *modify_model, *weaker_model, *judge_model;
    char *pack, *pack_folder, *verdict_mode;
    /* instructions */
    struct ste_strings files;
    long long read_limit;
    /* select */
    char *labels;
    struct ste_strings categories, lengths;
    long long complexity_min, complexity_max, min_chars, max_chars, per_category, select_limit;
    double duplicate, contamination;
    /* split */
    double dev, test, cluster;
    long long dev_pairs;
    /* pair */
    struct ste_strings kinds; /* shares */
    char *modify, *pair_system, *cut;
    double pair_temperature, pair_top_p, weaker_temperature, near, other_nearest;
    long long pair_max_tokens, tries;
    struct ste_strings harmful, harmless; /* categories */
    /* check */
    char *check;
    double check_margin;
    bool match_length;
    /* judge */
    long long samples, judge_max_tokens, speculate;
    double judge_temperature, judge_top_p;
    char *orders;
    bool stop_early;
    /* filter */
    bool both_orders, balance, weigh;
    char *rule, *per_pair;
    double min_probability, min_share;
    long long trust_from;
    struct ste_strings filter_kinds; /* a text of shares for each iteration */
    /* train */
    long long rank, warmup, max_steps, batch_examples, micro_tokens, train_memory_mb, checkpoint_every;
    double alpha, learning_rate, epochs, weight_decay, max_grad_norm;
    char *schedule, *order;
    /* the loop */
    long long iterations, seed;
    double stop_drift, stop_min_gain, stop_same;
    /* eval */
    struct ste_strings eval_files;
    long long eval_limit;
    double eval_temperature;
    /* engine */
    long long threads, batch, ctx;
    char *isa, *activations, *train_activations, *cache;
};

extern const struct ste_option ste_recipe_options[];

void ste_recipe_init(struct ste_recipe *r);
void ste_recipe_clear(struct ste_recipe *r);
/* NAME: a built-in recipe ("demo") or a path to a YAML file (it holds a '/' or ends in .yaml). R is set to the defaults
 * first. Only reads; ste_recipe_check comes when --set was applied. */
int ste_recipe_load(struct ste_recipe *r, const char *name, struct ste_err *err);
/* Values that do not go together: STE_EUSAGE. */
int ste_recipe_check(const struct ste_recipe *r, struct ste_err *err);
/* Makes "auto" what it means: what OLD has, the recipe of the run that goes on; else what suits this machine. */
int ste_recipe_settle(struct ste_recipe *r, const struct ste_recipe *old, struct ste_err *err);
/* The pairs come from files, with their labels: pair.kinds. */
bool ste_recipe_labelled(const struct ste_recipe *r);
/* "runs/NAME" for a recipe's name or path; caller frees. */
char *ste_recipe_run_folder(const char *name);
/* As YAML, all options. */
void ste_recipe_write(const struct ste_recipe *r, struct ste_buf *out);
/* As canonical JSON: all options, or only those that change the result. Caller frees. */
char *ste_recipe_json(const struct ste_recipe *r, bool result_only);
int ste_recipe_from_json(struct ste_recipe *r, const char *json, struct ste_err *err);
/* 0 when a run of OLD may go on with R: nothing that changes the result differs, but for more iterations. Otherwise
 * STE_EUSAGE with the lines of the difference. */
int ste_recipe_may_continue(const struct ste_recipe *old, const struct ste_recipe *r, const char *dir,
                            struct ste_err *err);

#endif
