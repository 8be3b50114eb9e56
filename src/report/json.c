#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/json.h"
#include "core/mem.h"
#include "loop/figures.h"
#include "report/report.h"

static json_t *value_of(sqlite3_stmt *q, int column)
{
    switch (sqlite3_column_type(q, column)) {
    case SQLITE_INTEGER:
        return json_integer(sqlite3_column_int64(q, column));
    case SQLITE_FLOAT: {
        double v = sqlite3_column_double(q, column);
        return isfinite(v) ? json_real(v) : json_null();
    }
    case SQLITE_TEXT:
        return json_string((const char *)sqlite3_column_text(q, column));
    default:
        return json_null();
    }
}

/* {"state": count, ...} of a query with two columns; the sum goes to *SUM. */
static int counts(struct ste_store *s, const char *sql, int64_t iteration, json_t **out, int64_t *sum,
                  struct ste_err *err)
{
    sqlite3_stmt *q = NULL;
    *out = json_object();
    *sum = 0;
    int rc = ste_store_query(s, &q, err, sql, strchr(sql, '?') ? "i" : "", iteration);
    while (rc == 0 && (rc = ste_store_row(s, q, err)) == 1) {
        const char *name = (const char *)sqlite3_column_text(q, 0);
        json_object_set_new(*out, name ? name : "none", json_integer(sqlite3_column_int64(q, 1)));
        *sum += sqlite3_column_int64(q, 1);
        rc = 0;
    }
    ste_store_done(s, q);
    return rc < 0 ? rc : 0;
}

/* All rows of a query as objects. */
static int rows(struct ste_store *s, const char *sql, json_t *list, struct ste_err *err)
{
    sqlite3_stmt *q = NULL;
    int rc = ste_store_query(s, &q, err, sql, "");
    while (rc == 0 && (rc = ste_store_row(s, q, err)) == 1) {
        json_t *row = json_object();
        for (int i = 0; i < sqlite3_column_count(q); i++)
            json_object_set_new(row, sqlite3_column_name(q, i), value_of(q, i));
        json_array_append_new(list, row);
        rc = 0;
    }
    ste_store_done(s, q);
    return rc < 0 ? rc : 0;
}

static json_t *group(json_t *states, int64_t sum)
{
    json_t *g = json_object();
    json_object_set_new(g, "total", json_integer(sum));
    json_object_set_new(g, "states", states);
    return g;
}

static int add_counts(struct ste_store *s, json_t *funnel, const char *name, const char *sql, int64_t iteration,
                      struct ste_err *err)
{
    json_t *states;
    int64_t sum;
    int rc = counts(s, sql, iteration, &states, &sum, err);
    json_object_set_new(funnel, name, group(states, sum));
    return rc;
}

static int last_iteration(struct ste_store *s, int64_t *last, struct ste_err *err)
{
    return ste_store_count(s, last, err, "SELECT coalesce(max(iteration), 0) FROM judgment", "");
}

static int funnel(struct ste_store *s, json_t *report, struct ste_err *err)
{
    json_t *f = json_object(), *turns = json_array();
    json_object_set_new(report, "funnel", f);
    int64_t last = 0;
    int rc = add_counts(s, f, "instructions", "SELECT state, count(*) FROM instruction GROUP BY state ORDER BY state",
                        0, err);
    if (rc == 0)
        rc = add_counts(s, f, "split",
                        "SELECT split, count(*) FROM instruction WHERE state = 'kept' GROUP BY split ORDER BY split", 0,
                        err);
    if (rc == 0)
        rc = add_counts(s, f, "pairs",
                        "SELECT coalesce(p.state, 'not made yet'), count(*) FROM instruction i LEFT JOIN pair p ON "
                        "p.instruction = i.id WHERE i.state = 'kept' GROUP BY 1 ORDER BY 1",
                        0, err);
    if (rc == 0)
        rc = add_counts(s, f, "pairs_split",
                        "SELECT split, count(*) FROM pair WHERE state = 'kept' GROUP BY split ORDER BY split", 0, err);
    if (rc == 0)
        rc = last_iteration(s, &last, err);
    for (int64_t i = 1; rc == 0 && i <= last; i++) {
        json_t *t = json_object();
        json_object_set_new(t, "iteration", json_integer(i));
        rc =
            add_counts(s, t, "judgments",
                       "SELECT CASE WHEN verdict = 'invalid' THEN 'invalid: ' || reason WHEN correct THEN 'right' ELSE "
                       "'wrong' END, count(*) FROM judgment WHERE iteration = ? GROUP BY 1 ORDER BY 1",
                       i, err);
        if (rc == 0)
            rc = add_counts(s, t, "outcomes",
                            "SELECT state, count(*) FROM outcome WHERE iteration = ? GROUP BY 1 ORDER BY 1", i, err);
        if (rc == 0)
            rc = add_counts(s, t, "examples",
                            "SELECT label, count(*) FROM example WHERE iteration = ? GROUP BY 1 ORDER BY 1", i, err);
        json_array_append_new(turns, t);
    }
    json_object_set_new(f, "iterations", turns);
    return rc;
}

static void named(json_t *row, const char *suite, const char *kind, int64_t iteration)
{
    json_object_set_new(row, "suite", json_string(suite));
    json_object_set_new(row, "kind", kind ? json_string(kind) : json_null());
    json_object_set_new(row, "iteration", json_integer(iteration));
}

/* Adds the figures of SUITE (of the pairs of KIND alone, unless that is NULL) for every iteration scored, and each
 * one's comparison with the seed. */
static int add_suite(struct ste_store *s, const char *suite, const char *kind, uint64_t seed, json_t *evaluations,
                     json_t *comparisons, struct ste_err *err)
{
    int64_t last;
    int rc = ste_store_count(s, &last, err, "SELECT coalesce(max(iteration), -1) FROM evaluation WHERE suite = ?", "t",
                             suite);
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
            free(o);
        }
    }
    ste_outcomes_clear(base, n_base);
    free(base);
    return rc;
}

static int evaluations(struct ste_store *s, json_t *report, struct ste_err *err)
{
    json_t *list = json_array(), *comparisons = json_array(), *suites = json_array();
    json_object_set_new(report, "evaluation", list);
    json_object_set_new(report, "comparison", comparisons);
    uint64_t seed = (uint64_t)json_integer_value(json_object_get(json_object_get(report, "recipe"), "seed"));
    /* The held-out synthetic pairs first. */
    int rc = rows(s, "SELECT DISTINCT suite FROM evaluation WHERE suite <> 'dev' ORDER BY suite <> 'test', suite",
                  suites, err);
    for (size_t i = 0; rc == 0 && i < json_array_size(suites); i++)
        rc = add_suite(s, json_string_value(json_object_get(json_array_get(suites, i), "suite")), NULL, seed, list,
                       comparisons, err);
    const json_t *kinds = json_object_get(report, "kinds");
    for (size_t i = 0; rc == 0 && i < json_array_size(kinds); i++)
        rc = add_suite(s, "test", json_string_value(json_object_get(json_array_get(kinds, i), "kind")), seed, list,
                       comparisons, err);
    json_decref(suites);
    return rc;
}

#define MARKED(text)                                                                                                   \
    "(" text " LIKE '%**%' OR " text " LIKE '%```%' OR " text " LIKE '%' || char(10) || '- %' OR " text                \
    " LIKE '%' || char(10) || '# %')"

/* What became of each kind of pair, and what could give its label away: length and Markdown of either answer. */
static int kinds(struct ste_store *s, json_t *report, struct ste_err *err)
{
    json_t *list = json_array();
    json_object_set_new(report, "kinds", list);
    int rc = rows(
        s,
        "SELECT kind, count(*) AS pairs, sum(state = 'kept') AS kept, sum(state LIKE 'check: %') AS checked_out, "
        "avg(CASE WHEN state = 'kept' THEN length(chosen) END) AS chosen_chars, avg(CASE WHEN state = 'kept' "
        "THEN length(rejected) END) AS rejected_chars, avg(CASE WHEN state = 'kept' THEN length(chosen) > "
        "length(rejected) END) AS chosen_longer, avg(CASE WHEN state = 'kept' THEN " MARKED(
            "chosen") " END) AS chosen_marked, avg(CASE WHEN state = 'kept' THEN " MARKED("rejected") " END) AS "
                                                                                                      "rejected_marked,"
                                                                                                      " (SELECT "
                                                                                                      "avg(margin) "
                                                                                                      "FROM pair_check "
                                                                                                      "c JOIN pair q "
                                                                                                      "ON q.id = "
                                                                                                      "c.pair WHERE "
                                                                                                      "q.kind = p.kind "
                                                                                                      "AND q.state = "
                                                                                                      "'kept') AS "
                                                                                                      "margin FROM "
                                                                                                      "pair p GROUP BY "
                                                                                                      "kind ORDER BY "
                                                                                                      "kind",
        list, err);
    int64_t tokens = 0, kept = 0;
    if (rc == 0)
        rc = ste_store_count(s, &tokens, err, "SELECT coalesce(sum(tokens), 0) FROM generation", "");
    if (rc == 0)
        rc = ste_store_count(s, &kept, err, "SELECT count(*) FROM pair WHERE state = 'kept'", "");
    json_object_set_new(report, "tokens_a_pair", kept ? json_real((double)tokens / (double)kept) : json_null());
    return rc;
}

int ste_report_json(struct ste_store *s, json_t **out, struct ste_err *err)
{
    json_t *report = json_object(), *turns = json_array(), *work = json_array(), *checkpoints = json_array();
    char *recipe = ste_store_meta(s, "recipe");
    json_object_set_new(report, "recipe", recipe ? ste_json_parse(recipe, strlen(recipe), "the recipe", NULL) : NULL);
    free(recipe);
    int rc = funnel(s, report, err);
    if (rc == 0)
        rc = kinds(s, report, err);
    if (rc == 0)
        rc = rows(s,
                  "SELECT i.iteration, i.pairs, i.agreement, i.invalid_share, i.first_position, i.judgments, i.kept, "
                  "CASE WHEN i.pairs > 0 THEN 1.0 * i.kept / i.pairs END AS yield, i.examples, (SELECT max(step) FROM "
                  "train_step t WHERE t.iteration = i.iteration) AS steps, (SELECT loss FROM train_step t WHERE "
                  "t.iteration = i.iteration ORDER BY step LIMIT 1) AS first_loss, (SELECT avg(loss) FROM (SELECT loss "
                  "FROM train_step t WHERE t.iteration = i.iteration ORDER BY step DESC LIMIT 3)) AS last_loss, "
                  "i.chosen_step, i.chosen_sure, i.adapter_hash, i.stop FROM iteration i ORDER BY 1",
                  turns, err);
    if (rc == 0)
        rc = rows(
            s,
            "SELECT iteration, step, pairs, log_loss, accuracy, consistent, two_order, first_position, invalid FROM "
            "checkpoint ORDER "
            "BY 1, 2",
            checkpoints, err);
    if (rc == 0)
        rc = rows(s, "SELECT step, iteration, seconds FROM work ORDER BY iteration, step", work, err);
    json_object_set_new(report, "iterations", turns);
    json_object_set_new(report, "checkpoints", checkpoints);
    json_object_set_new(report, "work", work);
    if (rc == 0)
        rc = evaluations(s, report, err);
    if (rc != 0) {
        json_decref(report);
        return rc;
    }
    *out = report;
    return 0;
}

int ste_report_write(struct ste_store *s, json_t **out, struct ste_err *err)
{
    int rc = ste_report_json(s, out, err);
    if (rc != 0)
        return rc;
    char *text = json_dumps(*out, JSON_INDENT(2) | JSON_SORT_KEYS | JSON_REAL_PRECISION(6));
    char *path = ste_path_join(ste_store_dir(s), "report.json");
    rc = ste_file_write(path, text ? text : "", text ? strlen(text) : 0, err);
    free(path);
    free(text);
    if (rc != 0) {
        json_decref(*out);
        *out = NULL;
    }
    return rc;
}
