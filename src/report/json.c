#include <string.h>

#include "core/file.h"
#include "core/json.h"
#include "core/log.h"
#include "core/mem.h"
#include "llm/meter.h"
#include "loop/figures.h"
#include "report/report.h"
#include "store/run.h"
#include "store/tables.h"

/* Adds the states of WHAT to OBJECT as NAME. */
static int add_states(struct ste_store *s, json_t *object, const char *name, enum ste_states what, int64_t iteration,
                      struct ste_err *err)
{
    json_t *states;
    int rc = ste_states(s, what, iteration, &states, err);
    json_object_set_new(object, name, states);
    return rc;
}

static int add_list(struct ste_store *s, json_t *object, const char *name, enum ste_listed what, struct ste_err *err)
{
    json_t *list;
    int rc = ste_list(s, what, &list, err);
    json_object_set_new(object, name, list);
    return rc;
}

static int funnel(struct ste_store *s, json_t *report, struct ste_err *err)
{
    /* as enum ste_states has them */
    static const char *const names[STE_N_STATES] = {"instructions", "split", "pairs",     "pairs_split", "made_again",
                                                    "rules",        "tests", "judgments", "outcomes",    "examples"};
    json_t *f = json_object(), *iterations = json_array();
    json_object_set_new(report, "funnel", f);
    json_object_set_new(f, "iterations", iterations);
    int64_t last = 0;
    int rc = ste_count(s, STE_COUNT_LAST_JUDGED, 0, &last, err);
    for (int what = 0; rc == 0 && what < STE_STATES_JUDGMENTS; what++)
        rc = add_states(s, f, names[what], what, 0, err);
    for (int64_t i = 1; rc == 0 && i <= last; i++) {
        json_t *of = json_object();
        json_object_set_new(of, "iteration", json_integer(i));
        json_array_append_new(iterations, of);
        for (int what = STE_STATES_JUDGMENTS; rc == 0 && what < STE_N_STATES; what++)
            rc = add_states(s, of, names[what], what, i, err);
    }
    return rc;
}

static void named(json_t *row, const char *suite, const char *kind, int64_t iteration)
{
    json_object_set_new(row, "suite", json_string(suite));
    json_object_set_new(row, "kind", kind ? json_string(kind) : json_null());
    json_object_set_new(row, "iteration", json_integer(iteration));
}

/* Adds the figures of SUITE (of the pairs of KIND alone, unless that is NULL) for every iteration up to LAST, and each
 * one's comparison with the seed. */
static int add_suite(struct ste_store *s, const char *suite, const char *kind, int64_t last, uint64_t seed,
                     json_t *evaluations, json_t *comparisons, struct ste_err *err)
{
    int rc = 0;
    struct ste_outcome *base = NULL;
    size_t n_base = 0;
    for (int64_t i = 0; rc == 0 && i <= last; i++) {
        struct ste_outcome *o;
        size_t n;
        if ((rc = ste_loop_outcomes_of_kind(s, suite, kind, (int)i, 0, &o, &n, err)) != 0)
            break;
        if (n > 0) {
            struct ste_metrics m;
            ste_metrics_of(o, n, suite, seed, &m);
            json_t *row = ste_metrics_json(&m);
            named(row, suite, kind, i);
            json_array_append_new(evaluations, row);
        }
        if (i > 0 && n > 0 && n == n_base) {
            struct ste_comparison c;
            ste_compare(base, o, n, seed, &c);
            json_t *row = ste_comparison_json(&c);
            named(row, suite, kind, i);
            json_array_append_new(comparisons, row);
        }
        if (i == 0) {
            base = o;
            n_base = n;
        } else {
            ste_outcomes_clear(o, n);
            ste_xfree(o);
        }
    }
    ste_outcomes_clear(base, n_base);
    ste_xfree(base);
    return rc;
}

static int evaluations(struct ste_store *s, json_t *report, struct ste_err *err)
{
    json_t *list = json_array(), *comparisons = json_array(), *suites;
    json_object_set_new(report, "evaluation", list);
    json_object_set_new(report, "comparison", comparisons);
    const uint64_t seed = (uint64_t)json_integer_value(json_object_get(json_object_get(report, "recipe"), "seed"));
    int rc = ste_list(s, STE_LIST_SUITES, &suites, err);
    int64_t last_test = -1;
    for (size_t i = 0; rc == 0 && i < json_array_size(suites); i++) {
        const char *suite = json_string_value(json_object_get(json_array_get(suites, i), "suite"));
        const int64_t last = json_integer_value(json_object_get(json_array_get(suites, i), "last"));
        last_test = strcmp(suite, "test") == 0 ? last : last_test;
        rc = add_suite(s, suite, NULL, last, seed, list, comparisons, err);
    }
    const json_t *kinds = json_object_get(report, "kinds");
    for (size_t i = 0; rc == 0 && i < json_array_size(kinds); i++)
        rc = add_suite(s, "test", json_string_value(json_object_get(json_array_get(kinds, i), "kind")), last_test, seed,
                       list, comparisons, err);
    json_decref(suites);
    return rc;
}

/* What became of each kind of pair, and what could give its label away: length and Markdown of either answer. */
static int kinds(struct ste_store *s, json_t *report, struct ste_err *err)
{
    int64_t tokens = 0, kept = 0;
    int rc = add_list(s, report, "kinds", STE_LIST_KINDS, err);
    if (rc == 0)
        rc = ste_count(s, STE_COUNT_TOKENS, 0, &tokens, err);
    if (rc == 0)
        rc = ste_count(s, STE_COUNT_PAIRS_KEPT, 0, &kept, err);
    json_object_set_new(report, "tokens_a_pair", kept ? json_real((double)tokens / (double)kept) : json_null());
    return rc;
}

static int add_server(void *arg, const char *model, const struct ste_spent *s, struct ste_err *err)
{
    json_t *row = ste_spent_counts(s, s->cost > 0 || s->unheard > 0);
    json_object_set_new(row, "model", json_string(model));
    json_array_append_new(arg, row);
    return 0;
}

/* What models on servers took; nothing where the run asked none, or its folder can only be read. */
static void servers(struct ste_store *s, json_t *report)
{
    struct ste_err why = {0};
    json_t *list = json_array();
    char *path = ste_run_spent(ste_store_dir(s));
    if (ste_ledger_each(path, add_server, list, &why) != 0)
        ste_warn("%s", why.msg);
    if (json_array_size(list))
        json_object_set(report, "servers", list);
    json_decref(list);
    ste_xfree(path);
}

static int report_of(struct ste_store *s, json_t **out, struct ste_err *err)
{
    json_t *report = json_object();
    char *recipe = NULL;
    int rc = ste_store_meta(s, "recipe", &recipe, err);
    json_object_set_new(report, "recipe", recipe ? ste_json_parse(recipe, strlen(recipe), "the recipe", NULL) : NULL);
    ste_xfree(recipe);
    if (rc == 0)
        rc = funnel(s, report, err);
    if (rc == 0)
        rc = kinds(s, report, err);
    if (rc == 0)
        rc = add_list(s, report, "iterations", STE_LIST_ITERATIONS, err);
    if (rc == 0)
        rc = add_list(s, report, "checkpoints", STE_LIST_CHECKPOINTS, err);
    if (rc == 0)
        rc = add_list(s, report, "work", STE_LIST_WORK, err);
    if (rc == 0)
        servers(s, report);
    if (rc == 0)
        rc = evaluations(s, report, err);
    if (rc != 0) {
        json_decref(report);
        return rc;
    }
    *out = report;
    return 0;
}

int ste_report_write(const json_t *report, const char *dir, const char *name, struct ste_err *err)
{
    char *text = json_dumps(report, JSON_INDENT(2) | JSON_SORT_KEYS | JSON_REAL_PRECISION(6)),
         *path = ste_path_join(dir, name);
    int rc = ste_file_write(path, text ? text : "", text ? strlen(text) : 0, err);
    ste_xfree(path);
    ste_xfree(text);
    return rc;
}

int ste_report_end(struct ste_store *s, int rc, json_t **out, struct ste_err *err)
{
    struct ste_err second = {0}, *first = rc == 0 ? err : &second;
    json_t *report = NULL;
    int wrote = report_of(s, &report, first);
    if (wrote == 0)
        wrote = ste_report_write(report, ste_store_dir(s), STE_RUN_REPORT, first);
    if (out)
        *out = wrote == 0 ? json_incref(report) : NULL;
    json_decref(report);
    if (rc) {
        char *how = ste_xasprintf("%s: %.400s",
                                  rc == STE_EINTERRUPTED ? "interrupted" : rc == STE_ETHRESHOLD ? "threshold" : "failed",
                                  err ? err->msg : "");
        ste_store_ended(s, how);
        ste_xfree(how);
    }
    return rc == 0 ? wrote : rc;
}

int ste_report_read(json_t **out, const char *dir, struct ste_err *err)
{
    struct ste_store *s = NULL;
    int rc = ste_store_open(&s, dir, 0, 1, err);
    if (rc == 0)
        rc = report_of(s, out, err);
    ste_store_close(s);
    return rc;
}

int ste_report_dump(const char *dir, int (*line)(void *arg, const char *json, struct ste_err *err), void *arg,
                    struct ste_err *err)
{
    struct ste_store *s = NULL;
    int rc = ste_store_open(&s, dir, 0, 1, err);
    if (rc == 0)
        rc = ste_store_dump(s, line, arg, err);
    ste_store_close(s);
    return rc;
}
