/* Around the loop: the steps in their order, and what ends it before the recipe's last iteration. */
#include <math.h>

#include "core/mem.h"
#include "loop/internal.h"

int ste_loop_current(struct ste_loop *l, int *iteration, struct ste_err *err)
{
    int64_t trained;
    int rc = ste_count(l->store, STE_COUNT_TRAINED, 0, &trained, err);
    *iteration = trained < l->recipe.iterations ? (int)trained + 1 : (int)l->recipe.iterations;
    return rc;
}

/* What the store says of an iteration. */
struct turn {
    bool there;
    double first_position, log_loss; /* of the chosen checkpoint on dev pairs; NAN: none */
    int64_t chosen_step;
    char *stop;
};

static int add_turn(void *arg, const struct ste_iteration_row *r, struct ste_err *err)
{
    struct turn *t = arg;
    t->there = true;
    t->first_position = r->first_position;
    t->chosen_step = r->chosen_step;
    t->stop = r->stop ? ste_xstrdup(r->stop) : NULL;
    return 0;
}

static int add_log_loss(void *arg, const struct ste_checkpoint_row *r, struct ste_err *err)
{
    struct turn *t = arg;
    if (r->step == t->chosen_step)
        t->log_loss = r->log_loss;
    return 0;
}

/* The caller frees T's stop. */
static int read_turn(struct ste_loop *l, int iteration, struct turn *t, struct ste_err *err)
{
    *t = (struct turn){.first_position = NAN, .log_loss = NAN};
    int rc = ste_each_iteration(l->store, iteration, add_turn, t, err);
    return rc == 0 ? ste_each_checkpoint(l->store, iteration, add_log_loss, t, err) : rc;
}

/* Drift: the judge of this iteration says mostly one position. Seen before training, so nothing is trained on it. */
static int drifted(struct ste_loop *l, int iteration, char **why, struct ste_err *err)
{
    struct turn t;
    int rc = read_turn(l, iteration, &t, err);
    ste_xfree(t.stop);
    const double first = t.first_position;
    double limit = l->recipe.stop_drift;
    if (rc == 0 && limit < 1 && iteration > 1 && (first > limit || 1 - first > limit))
        *why = ste_xasprintf("drift: the judge of iteration %d gives %.0f %% of its verdicts to the %s position "
                             "(stop.drift %g)",
                             iteration, 100 * (first > limit ? first : 1 - first), first > limit ? "first" : "second",
                             limit);
    return rc;
}

/* The seed's log-loss on the dev pairs is needed only where the gain over it decides. */
static int dev_log_loss(struct ste_loop *l, int iteration, double *out, struct ste_err *err)
{
    if (iteration > 0) {
        struct turn t;
        int rc = read_turn(l, iteration, &t, err);
        ste_xfree(t.stop);
        *out = t.log_loss;
        return rc;
    }
    struct ste_role_model judge;
    struct ste_metrics m;
    int rc = ste_loop_seed(l, &judge, err);
    return rc == 0 ? ste_loop_evaluate_dev(l, &judge, 0, 0, &m, out, err) : rc;
}

static int gain_ended(struct ste_loop *l, int iteration, char **why, struct ste_err *err)
{
    if (l->recipe.stop_min_gain <= -1)
        return 0;
    double before, now;
    int rc = dev_log_loss(l, iteration - 1, &before, err);
    if (rc == 0)
        rc = dev_log_loss(l, iteration, &now, err);
    if (rc == 0 && before - now < l->recipe.stop_min_gain)
        *why = ste_xasprintf(
            "no gain: the log-loss on dev pairs went from %.3f to %.3f in iteration %d (stop.min_gain %g)", before, now,
            iteration, l->recipe.stop_min_gain);
    return rc;
}

/* With verdicts at once an example is a pair, an order and a weight, so an iteration whose filter keeps what the last
 * one kept would train the same judge again. */
static int same_examples(struct ste_loop *l, int iteration, char **why, struct ste_err *err)
{
    int64_t now = 0, same = 0, before = 0;
    if (iteration == 1 || l->pack->reasoning)
        return 0;
    int rc = ste_count(l->store, STE_COUNT_EXAMPLES, iteration, &now, err);
    if (rc == 0)
        rc = ste_count(l->store, STE_COUNT_EXAMPLES, iteration - 1, &before, err);
    if (rc == 0)
        rc = ste_count(l->store, STE_COUNT_SAME_EXAMPLES, iteration, &same, err);
    const int64_t most = now > before ? now : before;
    if (rc == 0 && most && (double)same >= l->recipe.stop_same * (double)most)
        *why = ste_xasprintf(
            "the filter left iteration %d what iteration %d was trained on: %lld of %lld examples are the "
            "same (stop.same %g), so another training would bring the same judge",
            iteration, iteration - 1, (long long)same, (long long)most, l->recipe.stop_same);
    return rc;
}

static int stop(struct ste_loop *l, int iteration, const char *why, struct ste_err *err)
{
    ste_info("stopped after iteration %d: %s", iteration, why);
    return ste_set_stop(l->store, iteration, why, err);
}

/* One iteration of a run; *STOPPED (the caller's to free) says why the loop ends with it. */
static int turn(struct ste_loop *l, int iteration, char **stopped, struct ste_err *err)
{
    struct turn t;
    *stopped = NULL;
    int rc = ste_loop_judge(l, iteration, err);
    if (rc == 0)
        rc = ste_loop_filter(l, iteration, err);
    if (rc == 0)
        rc = read_turn(l, iteration, &t, err);
    if (rc != 0)
        return rc;
    if ((*stopped = t.stop))
        return 0; /* by an earlier call */
    rc = drifted(l, iteration, stopped, err);
    if (rc == 0 && !*stopped)
        rc = same_examples(l, iteration, stopped, err);
    if (rc == 0 && !*stopped) {
        rc = ste_loop_train(l, iteration, err);
        if (rc == 0)
            rc = ste_loop_evaluate(l, iteration, err);
        if (rc == 0)
            rc = gain_ended(l, iteration, stopped, err);
    }
    return rc == 0 && *stopped ? stop(l, iteration, *stopped, err) : rc;
}

int ste_loop_iterate(struct ste_loop *l, int iteration, struct ste_err *err)
{
    struct turn t;
    char *stopped = NULL;
    int rc = 0;
    for (int i = 1; rc == 0 && i < iteration && !stopped; i++) { /* what ended the run ends it here, too */
        rc = read_turn(l, i, &t, err);
        stopped = t.stop;
        if (stopped)
            ste_info("nothing is left to do: stopped after iteration %d: %s", i, stopped);
    }
    if (rc == 0 && !stopped)
        rc = turn(l, iteration, &stopped, err);
    ste_xfree(stopped);
    return rc;
}

int ste_loop_run_before(struct ste_loop *l, int step, struct ste_err *err)
{
    int rc = step > STE_STEP_SELECT ? ste_loop_select(l, err) : 0;
    if (rc == 0 && step > STE_STEP_PAIR)
        rc = ste_loop_pair(l, err);
    if (rc == 0 && step > STE_STEP_CHECK)
        rc = ste_loop_check(l, err);
    if (rc == 0 && step > STE_STEP_EVALUATE)
        rc = ste_loop_evaluate(l, 0, err);
    if (rc == 0 && (step == STE_STEP_FILTER || step == STE_STEP_TRAIN))
        rc = ste_loop_judge(l, 1, err);
    if (rc == 0 && step == STE_STEP_TRAIN)
        rc = ste_loop_filter(l, 1, err);
    bool end = false;
    for (int i = 1; rc == 0 && !end && i <= step - STE_STEP_TRAIN; i++) {
        char *stopped = NULL;
        rc = turn(l, i, &stopped, err);
        end = stopped != NULL;
        ste_xfree(stopped);
    }
    return rc;
}

int ste_loop_run(struct ste_loop *l, struct ste_err *err)
{
    return ste_loop_run_before(l, STE_STEP_TRAIN + (int)l->recipe.iterations, err);
}
