/* Around the loop: the steps in their order, and what ends it before the recipe's last iteration. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "loop/internal.h"

int ste_loop_iterate(struct ste_loop *l, int iteration, struct ste_err *err)
{
    int rc = ste_loop_judge(l, iteration, err);
    if (rc == 0)
        rc = ste_loop_filter(l, iteration, err);
    if (rc == 0)
        rc = ste_loop_train(l, iteration, err);
    if (rc == 0)
        rc = ste_loop_evaluate(l, iteration, err);
    return rc;
}

int ste_loop_current(struct ste_loop *l, int *iteration, struct ste_err *err)
{
    int64_t trained;
    int rc =
        ste_store_count(l->store, &trained, err, "SELECT count(*) FROM iteration WHERE adapter_hash IS NOT NULL", "");
    *iteration = trained < l->recipe.iterations ? (int)trained + 1 : (int)l->recipe.iterations;
    return rc;
}

static int column(struct ste_loop *l, const char *sql, int iteration, char **out, struct ste_err *err)
{
    sqlite3_stmt *q = NULL;
    *out = NULL;
    int rc = ste_store_query(l->store, &q, err, sql, "i", (int64_t)iteration);
    if (rc == 0 && (rc = ste_store_row(l->store, q, err)) == 1)
        *out = ste_loop_text_dup(q, 0);
    ste_store_done(l->store, q);
    return rc < 0 ? rc : 0;
}

static int number(struct ste_loop *l, const char *sql, int iteration, double *out, struct ste_err *err)
{
    char *text;
    int rc = column(l, sql, iteration, &text, err);
    *out = text ? strtod(text, NULL) : (double)NAN;
    free(text);
    return rc;
}

/* Drift: the judge of this iteration says mostly one position. Seen before training, so nothing is trained on it. */
static int drifted(struct ste_loop *l, int iteration, char **why, struct ste_err *err)
{
    double first;
    int rc = number(l, "SELECT first_position FROM iteration WHERE iteration = ?", iteration, &first, err);
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
    if (iteration > 0)
        return number(l,
                      "SELECT c.log_loss FROM iteration i JOIN checkpoint c ON c.iteration = i.iteration AND c.step = "
                      "i.chosen_step WHERE i.iteration = ?",
                      iteration, out, err);
    struct ste_voice v;
    struct ste_metrics m;
    int rc = ste_loop_trained(l, 0, &v, err);
    return rc == 0 ? ste_loop_evaluate_dev(l, &v, 0, 0, &m, out, err) : rc;
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
    int rc = ste_store_count(l->store, &now, err, "SELECT count(*) FROM example WHERE iteration = ?", "i",
                             (int64_t)iteration);
    if (rc == 0)
        rc = ste_store_count(l->store, &before, err, "SELECT count(*) FROM example WHERE iteration = ?", "i",
                             (int64_t)iteration - 1);
    if (rc == 0)
        rc = ste_store_count(
            l->store, &same, err,
            "SELECT count(*) FROM example e JOIN example f ON f.pair = e.pair AND f.label = e.label AND "
            "f.iteration = e.iteration - 1 WHERE e.iteration = ? AND abs(e.weight - f.weight) < 0.05",
            "i", (int64_t)iteration);
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
    return ste_store_exec(l->store, err, "UPDATE iteration SET stop = ? WHERE iteration = ?", "ti", why,
                          (int64_t)iteration);
}

/* One iteration of a run; *STOPPED says why the loop ends with it. */
static int turn(struct ste_loop *l, int iteration, char **stopped, struct ste_err *err)
{
    int rc = column(l, "SELECT stop FROM iteration WHERE iteration = ?", iteration, stopped, err);
    if (rc != 0 || *stopped)
        return rc;
    rc = ste_loop_judge(l, iteration, err);
    if (rc == 0)
        rc = ste_loop_filter(l, iteration, err);
    if (rc == 0)
        rc = drifted(l, iteration, stopped, err);
    if (rc == 0 && !*stopped)
        rc = same_examples(l, iteration, stopped, err);
    if (rc != 0)
        return rc;
    if (*stopped)
        return stop(l, iteration, *stopped, err);
    rc = ste_loop_train(l, iteration, err);
    if (rc == 0)
        rc = ste_loop_evaluate(l, iteration, err);
    if (rc == 0)
        rc = gain_ended(l, iteration, stopped, err);
    return rc == 0 && *stopped ? stop(l, iteration, *stopped, err) : rc;
}

int ste_loop_run(struct ste_loop *l, struct ste_err *err)
{
    int rc = ste_loop_select(l, err);
    if (rc == 0)
        rc = ste_loop_pair(l, err);
    if (rc == 0)
        rc = ste_loop_check(l, err);
    if (rc == 0)
        rc = ste_loop_evaluate(l, 0, err);
    for (int i = 1; rc == 0 && i <= l->recipe.iterations; i++) {
        char *stopped = NULL;
        rc = turn(l, i, &stopped, err);
        bool end = stopped != NULL;
        free(stopped);
        if (end)
            break;
    }
    return rc;
}
