/* The steps of the loop as commands: each does what is missing of its step and writes the report. */
#include "cli/running.h"
#include "core/log.h"
#include "report/report.h"

enum step { SELECT, PAIR, CHECK, JUDGE, FILTER, TRAIN, ITERATE };

struct options {
    long long iteration;
    char *recipe;
    struct ste_running_flags f;
};
/* clang-format off */
#define OPTIONS_OF struct options
static const struct ste_option options[] = {
    STE_INT("iteration", iteration, "0", 0, STE_LARGE, "which iteration; 0: the one that is under way"),
    STE_STRING("recipe", recipe, NULL, "RECIPE", "make the run by this recipe if it is not there"),
    STE_TABLE("", f, ste_running_options),
    {0},
};
/* clang-format on */

static int do_step(struct ste_loop *l, enum step step, int iteration, struct ste_err *err)
{
    switch (step) {
    case SELECT:
        return ste_loop_select(l, err);
    case PAIR:
        return ste_loop_pair(l, err);
    case CHECK:
        return ste_loop_check(l, err);
    case JUDGE:
        return ste_loop_judge(l, iteration, err);
    case FILTER:
        return ste_loop_filter(l, iteration, err);
    case TRAIN:
        return ste_loop_train(l, iteration, err);
    case ITERATE:
        return ste_loop_iterate(l, iteration, err);
    }
    return 0;
}

/* An iteration needs the ones before it: its judge is the one that the iteration before trained. */
static int pick_iteration(struct ste_loop *l, long long asked, int *iteration, struct ste_err *err)
{
    int current;
    int rc = ste_loop_current(l, &current, err);
    if (rc != 0)
        return rc;
    if (asked > l->recipe.iterations)
        return ste_err_set(err, STE_EUSAGE,
                           "the recipe has %lld iterations, so there is no iteration %lld; raise "
                           "iterations with `ste run`",
                           l->recipe.iterations, asked);
    if (asked > current)
        return ste_err_set(err, STE_EUSAGE, "iteration %d comes first: it is not trained yet", current);
    *iteration = asked ? (int)asked : current;
    return 0;
}

static int open_run(struct ste_loop **l, const char *dir, const struct options *o, struct ste_err *err)
{
    if (!o->recipe && o->f.sets.n == 0)
        return ste_running_open(l, dir, &o->f.engine, err);
    if (!o->recipe)
        return ste_err_set(err, STE_EUSAGE, "--set goes with --recipe: an existing run keeps its options");
    struct ste_recipe r;
    int rc = ste_running_recipe(&r, o->recipe, &o->f, err);
    if (rc == 0)
        rc = ste_loop_open(l, dir, &r, err);
    ste_recipe_clear(&r);
    return rc;
}

static int run_step(const char *name, enum step step, const struct options *o, const struct ste_strings *words,
                    struct ste_err *err)
{
    struct ste_loop *l = NULL;
    int iteration = 0;
    int rc = open_run(&l, words->items[0], o, err);
    if (rc == 0 && step > CHECK)
        rc = pick_iteration(l, o->iteration, &iteration, err);
    if (rc == 0)
        rc = ste_report_end(l->store, do_step(l, step, iteration, err), NULL, err);
    if (rc == 0)
        ste_info("%s: done; `ste report %s` shows the run", name, words->items[0]);
    ste_loop_close(l);
    return rc;
}

#define STEP(symbol, name, step, summary)                                                                              \
    static int symbol##_run(void *o, const struct ste_strings *words, struct ste_err *err)                             \
    {                                                                                                                  \
        return run_step(name, step, o, words, err);                                                                    \
    }                                                                                                                  \
    STE_COMMAND(symbol, name, "RUN [--iteration N] [--recipe RECIPE] [flags]", summary, options, 1,                    \
                "the run's folder", symbol##_run)

STEP(select, "select", SELECT, "Read, clean, label, filter and split the instructions.");
STEP(pair, "pair", PAIR, "Write a better and a worse answer to each.");
STEP(check, "check", CHECK, "Hold the pairs' labels against how likely their answers are.");
STEP(judge_step, "judge-step", JUDGE, "Judge the training pairs.");
STEP(filter, "filter", FILTER, "Keep right judgments, balance them.");
STEP(train, "train", TRAIN, "Train an adapter on them, from the seed.");
STEP(iterate, "iterate", ITERATE, "Judge, filter, train and evaluate once.");
