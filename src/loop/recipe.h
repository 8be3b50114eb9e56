/*
 * A recipe: everything that decides what a run does. One table of options (core/options.h) makes its keys, --set,
 * --help, the checks and the comparison with the recipe that an existing run was made with.
 */
#ifndef STE_LOOP_RECIPE_H
#define STE_LOOP_RECIPE_H

#include "judge/session.h"
#include "train/train.h"

/* The words of its choices, in this order. */
enum ste_recipe_labels { STE_LABELS_NONE, STE_LABELS_FILE, STE_LABELS_LLM };
enum ste_recipe_modify { STE_MODIFY_TWO_CALLS, STE_MODIFY_ONE_CALL };
enum ste_recipe_cut { STE_CUT_TRIM, STE_CUT_DROP };
enum ste_recipe_sandbox { STE_SANDBOX_OFF, STE_SANDBOX_BWRAP };
enum ste_recipe_check { STE_CHECK_NONE, STE_CHECK_LIKELIHOOD };
enum ste_recipe_disputed { STE_DISPUTED_DROP, STE_DISPUTED_OTHER };
enum ste_recipe_orders { STE_ORDERS_RANDOM, STE_ORDERS_BOTH };
enum ste_recipe_rule { STE_RULE_PAPER, STE_RULE_SHARE, STE_RULE_MARGIN };
enum ste_recipe_per_pair { STE_PER_PAIR_ONE, STE_PER_PAIR_ORDER };
enum ste_recipe_objective { STE_TRAIN_SFT, STE_TRAIN_DPO, STE_TRAIN_REWARD };
enum ste_recipe_order { STE_TRAIN_SHUFFLED, STE_TRAIN_EASY_FIRST };

/* The steps of a run in their order. TRAIN stands for the rest of the first iteration, and TRAIN + N for all of
 * iteration N + 1. A step here is also how much was done: the steps before it. */
enum ste_loop_step {
    STE_STEP_SELECT,
    STE_STEP_PAIR,
    STE_STEP_CHECK,
    STE_STEP_EVALUATE, /* the seed */
    STE_STEP_JUDGE,
    STE_STEP_FILTER,
    STE_STEP_TRAIN,
    STE_STEP_AGAIN
};

struct ste_recipe {
    /* models: a catalogue name, a .gguf path, or RUN:ITERATION; empty: the seed */
    char *seed_model, *label_model, *answer_model, *modify_model, *weaker_model, *judge_model;
    char *pack, *pack_folder;
    enum ste_verdict_mode verdict_mode;
    /* instructions */
    struct ste_strings files;
    long long read_limit;
    /* select */
    enum ste_recipe_labels labels;
    struct ste_strings categories, lengths;
    long long complexity_min, complexity_max, min_chars, max_chars, per_category, select_limit;
    double duplicate, contamination;
    /* split */
    double dev, test, cluster;
    long long dev_pairs;
    /* pair */
    struct ste_strings kinds;    /* shares */
    struct ste_strings labelled; /* files */
    enum ste_recipe_modify modify;
    enum ste_recipe_cut cut;
    char *pair_system;
    double pair_temperature, pair_top_p, weaker_temperature, weaker_trim, near, other_nearest;
    long long pair_max_tokens, tries;
    struct ste_strings harmful, harmless; /* categories */
    enum ste_recipe_sandbox sandbox;
    /* check */
    enum ste_recipe_check check;
    enum ste_recipe_disputed disputed;
    double check_margin, longer;
    /* judge */
    struct ste_judge_sampling judge;
    long long samples, speculate;
    enum ste_recipe_orders orders;
    bool stop_early;
    /* filter */
    bool both_orders, balance, weigh;
    enum ste_recipe_rule rule;
    enum ste_recipe_per_pair per_pair;
    double min_probability, min_share, verdict_only;
    long long trust_from;
    struct ste_strings filter_kinds; /* a text of shares for each iteration */
    /* train */
    enum ste_recipe_objective objective;
    struct ste_dpo_options dpo;
    struct ste_train_options train;
    char *adapter; /* to start from: RUN:ITERATION or a folder; empty: a new one */
    long long max_steps, checkpoint_every, grace;
    struct ste_strings trainer; /* another program; none: ste trains */
    char *base;                 /* what it trains on; empty: it knows */
    enum ste_recipe_order order;
    /* the loop */
    long long iterations, seed;
    double stop_drift, stop_min_gain, stop_same;
    /* eval */
    struct ste_strings eval_files;
    long long eval_limit;
    double eval_temperature;
    /* engine */
    struct ste_llm_params engine;
    char *cache;
};

extern const struct ste_option ste_recipe_options[];

void ste_recipe_init(struct ste_recipe *r);
void ste_recipe_clear(struct ste_recipe *r);
/* NAME: a built-in recipe ("demo") or a path to a YAML file (it holds a '/' or ends in .yaml). R is set to the defaults
 * first. Only reads; ste_recipe_check comes when --set was applied. */
int ste_recipe_load(struct ste_recipe *r, const char *name, struct ste_err *err);
/* Values that do not go together: STE_EUSAGE. */
int ste_recipe_check(const struct ste_recipe *r, struct ste_err *err);
/* The first step in which runs of A and B may differ: their stores are the same before it. INT_MAX: they never do. */
int ste_recipe_common(const struct ste_recipe *a, const struct ste_recipe *b);
/* The recipe of what is done before STEP: R's options that change it, and the defaults of all others. */
void ste_recipe_before(struct ste_recipe *out, const struct ste_recipe *r, int step);
/* By its objective an example has a completion that is rejected beside it. */
bool ste_recipe_prefers(const struct ste_recipe *r);
/* Makes "auto" what it means: what OLD has, the recipe of the run that goes on; else what suits this machine. */
void ste_recipe_settle(struct ste_recipe *r, const struct ste_recipe *old);
/* Of the kind `labelled` among all kinds, 0 to 1. */
double ste_recipe_labelled_share(const struct ste_recipe *r);
/* "runs/NAME" for a recipe's name or path; caller frees. */
char *ste_recipe_run_folder(const char *name);
/* Writes all options as YAML. */
void ste_recipe_write(const struct ste_recipe *r, struct ste_buf *out);
/* Gives canonical JSON of all options, or only of those that change the result. Caller frees. */
char *ste_recipe_json(const struct ste_recipe *r, bool result_only);
int ste_recipe_from_json(struct ste_recipe *r, const char *json, struct ste_err *err);
/* 0 when a run of OLD may go on with R: nothing that changes the result differs, but for more iterations. Otherwise
 * STE_EUSAGE with the lines of the difference. */
int ste_recipe_may_continue(const struct ste_recipe *old, const struct ste_recipe *r, const char *dir,
                            struct ste_err *err);

#endif
