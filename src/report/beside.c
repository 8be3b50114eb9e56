#include "report/beside.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "eval/agreement.h"
#include "eval/calibration.h"
#include "loop/figures.h"
#include "report/fields.h"
#include "store/tables.h"

static json_t *number(double v)
{
    return isfinite(v) ? json_real(v) : json_null();
}

/* ---- calibration ---- */

json_t *ste_beside_calibration(const struct ste_outcome *o, size_t n)
{
    struct ste_calibration c;
    ste_calibration_of(o, n, 1, 0, &c);
    if (c.pairs == 0)
        return NULL;
    json_t *bins = json_array();
    for (int b = 0; b < STE_N_BINS; b++) {
        const size_t pairs = c.bins[b].pairs;
        if (pairs == 0)
            continue;
        const struct ste_rate r = ste_wilson((size_t)lround(c.bins[b].right * (double)pairs), pairs);
        json_array_append_new(bins, json_pack("{s:f, s:I, s:f, s:f, s:f, s:f}", "from", (double)b / STE_N_BINS, "pairs",
                                              (json_int_t)pairs, "sure", c.bins[b].sure, "right", c.bins[b].right,
                                              "right_lo", r.lo, "right_hi", r.hi));
    }
    return json_pack("{s:I, s:o, s:o}", "pairs", (json_int_t)c.pairs, "ece", number(c.ece), "bins", bins);
}

/* ---- a run ---- */

/* Which answer of each held-out pair is longer and which has Markdown, by the pair's id: {id: [length, format]}. */
static int add_sides(void *arg, const struct ste_pair_view *v, struct ste_err *err)
{
    struct ste_outcome o = {0};
    if (!v->row.chosen || !v->row.rejected)
        return 0;
    ste_outcome_sides(&o, v->row.chosen, v->row.rejected);
    json_object_set_new(arg, v->row.id, json_pack("[i, i]", o.side[STE_BIAS_LENGTH], o.side[STE_BIAS_FORMAT]));
    return 0;
}

/* The items of a suite as ste_loop_outcomes reads them. */
struct items {
    const json_t *sides;
    struct ste_outcome *o;
    size_t n, at;
    int64_t last;
};

static int set_sides(void *arg, const struct ste_evaluation_row *r, struct ste_err *err)
{
    struct items *t = arg;
    if (r->position == t->last)
        return 0;
    t->last = r->position;
    const json_t *side = json_object_get(t->sides, r->item);
    if (t->at < t->n && side)
        for (int b = STE_BIAS_LENGTH; b <= STE_BIAS_FORMAT; b++)
            t->o[t->at].side[b] = (signed char)json_integer_value(json_array_get(side, (size_t)b));
    t->at++;
    return 0;
}

static json_t *liking(const struct ste_outcome *o, size_t n, uint64_t seed)
{
    static const char *const names[] = {"length", "format"};
    json_t *all = json_object();
    for (int b = STE_BIAS_LENGTH; b <= STE_BIAS_FORMAT; b++) {
        struct ste_rate named;
        double right;
        const size_t pairs = ste_metrics_liking(o, n, (enum ste_bias)b, seed, &named, &right);
        if (pairs)
            json_object_set_new(all, names[b],
                                json_pack("{s:I, s:o, s:o, s:o, s:o}", "pairs", (json_int_t)pairs, "rate",
                                          number(named.value), "lo", number(named.lo), "hi", number(named.hi), "right",
                                          number(right)));
    }
    return all;
}

/* What ROW, of the report's "evaluation" and of all kinds, is beside. */
static int add_judge(struct ste_store *s, const json_t *row, const json_t *sides, uint64_t seed, json_t *to,
                     struct ste_err *err)
{
    const char *suite = ste_field_text(row, "suite");
    const int iteration = (int)ste_field_whole(row, "iteration");
    struct ste_outcome *o = NULL;
    size_t n = 0;
    int rc = ste_loop_outcomes(s, suite, iteration, 0, &o, &n, err);
    json_t *judge = json_pack("{s:s, s:i}", "suite", suite, "iteration", iteration);
    if (rc == 0 && strcmp(suite, "test") == 0) {
        struct items t = {sides, o, n, 0, -1};
        rc = ste_each_evaluation(s, suite, NULL, iteration, 0, set_sides, &t, err);
        json_object_set_new(judge, "liking", liking(o, n, seed));
    }
    json_t *c = rc == 0 ? ste_beside_calibration(o, n) : NULL;
    if (c)
        json_object_set_new(judge, "calibration", c);
    json_array_append_new(to, judge);
    ste_outcomes_clear(o, n);
    ste_xfree(o);
    return rc;
}

int ste_beside_run(json_t **out, const char *dir, const json_t *report, struct ste_err *err)
{
    static const struct {
        const char *name;
        enum ste_listed what;
    } lists[] = {
        {"steps", STE_LIST_STEPS}, {"tokens", STE_LIST_TOKENS}, {"made", STE_LIST_MADE}, {"facts", STE_LIST_FACTS}};
    struct ste_store *s = NULL;
    json_t *all = json_object(), *judges = json_array(), *sides = json_object(), *row;
    const uint64_t seed = (uint64_t)ste_field_whole(json_object_get(report, "recipe"), "seed");
    size_t i;
    int rc = ste_store_open(&s, dir, 0, 1, err);
    for (i = 0; rc == 0 && i < sizeof lists / sizeof *lists; i++) {
        json_t *list = NULL;
        rc = ste_list(s, lists[i].what, &list, err);
        json_object_set_new(all, lists[i].name, list);
    }
    if (rc == 0)
        rc = ste_each_pair(s, "test", NULL, add_sides, sides, err);
    json_array_foreach(json_object_get(report, "evaluation"), i, row)
    {
        if (rc == 0 && !*ste_field_text(row, "kind"))
            rc = add_judge(s, row, sides, seed, judges, err);
    }
    ste_store_close(s);
    json_object_set_new(all, "judges", judges);
    json_decref(sides);
    if (rc != 0) {
        json_decref(all);
        all = NULL;
    }
    *out = all;
    return rc;
}
