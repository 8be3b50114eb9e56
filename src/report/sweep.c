#include "report/sweep.h"

#include <limits.h>
#include <math.h>
#include <string.h>

#include "core/log.h"
#include "core/mem.h"
#include "eval/seeds.h"
#include "loop/figures.h"
#include "report/report.h"
#include "store/tables.h"

struct run {
    struct ste_store *store; /* to read; NULL: none, as FAILED says */
    int64_t last;            /* iteration that was evaluated */
    char *failed;
};
struct reading {
    struct ste_sweep *sweep;
    struct run *runs; /* (points, seeds) */
    struct ste_strings files, kinds;
};

static struct run *run_of(const struct reading *g, size_t point, size_t seed)
{
    return &g->runs[point * g->sweep->n_seeds + seed];
}

/* ---- the outcomes of a run ---- */

/* Verdicts of the untrained seed and of the last judge on the same pairs. */
struct cell {
    struct ste_outcome *seed, *last;
    size_t n;
};

static void cell_clear(struct cell *c)
{
    ste_outcomes_clear(c->seed, c->n);
    ste_outcomes_clear(c->last, c->n);
    ste_xfree(c->seed);
    ste_xfree(c->last);
    *c = (struct cell){0};
}

/* Adds those of SUITE, of the pairs of KIND alone unless NULL, to C. */
static int add_outcomes(const struct run *r, const char *suite, const char *kind, struct cell *c, struct ste_err *err)
{
    struct ste_outcome *seed = NULL, *last = NULL;
    size_t n = 0, n_last = 0;
    int rc = ste_loop_outcomes_of_kind(r->store, suite, kind, 0, 0, &seed, &n, err);
    if (rc == 0)
        rc = ste_loop_outcomes_of_kind(r->store, suite, kind, (int)r->last, 0, &last, &n_last, err);
    if (rc == 0 && n == n_last && n > 0) {
        c->seed = ste_xrealloc(c->seed, (c->n + n) * sizeof *c->seed);
        c->last = ste_xrealloc(c->last, (c->n + n) * sizeof *c->last);
        memcpy(c->seed + c->n, seed, n * sizeof *seed);
        memcpy(c->last + c->n, last, n * sizeof *last);
        c->n += n;
    } else {
        ste_outcomes_clear(seed, n);
        ste_outcomes_clear(last, n_last);
    }
    ste_xfree(seed);
    ste_xfree(last);
    return rc;
}

/* SUITE NULL: all files as one set. */
static int read_cell(const struct reading *g, size_t point, size_t seed, const char *suite, const char *kind,
                     struct cell *c, struct ste_err *err)
{
    const struct run *r = run_of(g, point, seed);
    int rc = 0;
    if (r->store && suite)
        rc = add_outcomes(r, suite, kind, c, err);
    for (size_t i = 0; rc == 0 && r->store && !suite && i < g->files.n; i++)
        rc = add_outcomes(r, g->files.items[i], NULL, c, err);
    return rc;
}

/* ---- figures ---- */

enum { TWO_ORDER, CONSISTENT, N_FIGURES };
static const char *const figure_names[N_FIGURES] = {"two_order", "consistent"};

static double figure_of(const struct ste_outcome *o, int which)
{
    return which == TWO_ORDER ? ste_outcome_two_order_right(o)
                              : ste_outcome_right(o, STE_ORDER_AB) && ste_outcome_right(o, STE_ORDER_BA);
}

/* The figures of B, then their differences from A's. */
static void add_pairs(struct ste_clusters *c, const struct ste_outcome *a, const struct ste_outcome *b, size_t n)
{
    ste_clusters_init(c, 2 * N_FIGURES);
    for (size_t i = 0; i < n; i++) {
        if (!a[i].judged || !b[i].judged || b[i].tie)
            continue;
        double v[2 * N_FIGURES];
        for (int f = 0; f < N_FIGURES; f++) {
            v[f] = figure_of(&b[i], f);
            v[N_FIGURES + f] = v[f] - figure_of(&a[i], f);
        }
        ste_clusters_add(c, b[i].prompt_key, v);
    }
}

static void set_real(json_t *row, const char *name, const char *end, double v)
{
    char *key = ste_xasprintf("%s%s", name, end);
    json_object_set_new(row, key, isfinite(v) ? json_real(v) : json_null());
    ste_xfree(key);
}

static void set_rate(json_t *row, const char *name, const struct ste_seeds_rate *r, bool difference)
{
    set_real(row, name, "", r->value);
    set_real(row, name, "_lo", r->lo);
    set_real(row, name, "_hi", r->hi);
    if (difference)
        set_real(row, name, "_p", r->p);
}

/* The comparison of one seed's judges, by the tests of eval/compare.c. */
static json_t *comparison(const struct reading *g, size_t seed, const struct ste_outcome *a,
                          const struct ste_outcome *b, size_t n)
{
    struct ste_comparison c;
    ste_compare(a, b, n, (uint64_t)g->sweep->seeds[0], &c);
    json_t *row = ste_comparison_json(&c);
    json_object_set_new(row, "seed", json_integer(g->sweep->seeds[seed]));
    for (int f = 0; f < N_FIGURES; f++) {
        double sum = 0;
        for (size_t i = 0; i < n; i++)
            sum += b[i].judged && !b[i].tie ? figure_of(&b[i], f) : 0;
        set_real(row, figure_names[f], "", sum / (double)c.pairs);
    }
    return row;
}

/* Over the seeds in which both A[i] and B[i] have N[i] pairs: figures and differences, and each seed's comparison as
 * NAME in ROW. Returns how many seeds those are. */
static size_t over_seeds(const struct reading *g, struct ste_outcome *const *a, struct ste_outcome *const *b,
                         const size_t *n, json_t *row, const char *name, struct ste_seeds_rate *rates)
{
    const size_t n_seeds = g->sweep->n_seeds;
    struct ste_clusters *c = ste_xcalloc(n_seeds, sizeof *c);
    json_t *list = json_array();
    size_t used = 0;
    for (size_t s = 0; s < n_seeds; s++) {
        if (!a[s] || !b[s] || n[s] == 0)
            continue;
        add_pairs(&c[used++], a[s], b[s], n[s]);
        json_array_append_new(list, comparison(g, s, a[s], b[s], n[s]));
    }
    ste_over_seeds(c, used, (uint64_t)g->sweep->seeds[0], rates);
    json_object_set_new(row, name, list);
    for (size_t i = 0; i < used; i++)
        ste_clusters_clear(&c[i]);
    ste_xfree(c);
    return used;
}

/* Whether runs of POINT have the pairs of SUITE that the first point's runs have. */
static bool same_pairs(const struct reading *g, size_t point, const char *suite)
{
    const struct ste_sweep_point *p = g->sweep->points;
    return !suite || strcmp(suite, "test") != 0 || ste_recipe_common(&p[0].recipe, &p[point].recipe) > STE_STEP_CHECK;
}

/* The row of POINT: CELLS and those of the first point, FIRST, by seed. */
static json_t *point_row(const struct reading *g, size_t point, const char *suite, const char *kind,
                         const struct cell *cells, const struct cell *first)
{
    const size_t n = g->sweep->n_seeds;
    struct ste_outcome **seed = ste_xcalloc(n, sizeof *seed), **last = ste_xcalloc(n, sizeof *last),
                       **base = ste_xcalloc(n, sizeof *base);
    size_t *pairs = ste_xcalloc(n, sizeof *pairs), sum = 0;
    struct ste_seeds_rate rates[2 * N_FIGURES] = {{0}};
    for (size_t s = 0; s < n; s++) {
        seed[s] = cells[s].seed;
        last[s] = cells[s].last;
        base[s] = point > 0 && first[s].n == cells[s].n && same_pairs(g, point, suite) ? first[s].last : NULL;
        pairs[s] = cells[s].n;
        sum += pairs[s];
    }
    json_t *row = json_object();
    json_object_set_new(row, "suite", json_string(suite ? suite : "files"));
    json_object_set_new(row, "kind", kind ? json_string(kind) : json_null());
    json_object_set_new(row, "point", json_integer((json_int_t)point + 1));
    const size_t used = over_seeds(g, seed, last, pairs, row, "gain_by_seed", rates);
    json_object_set_new(row, "seeds", json_integer((json_int_t)used));
    json_object_set_new(row, "pairs", json_integer((json_int_t)sum));
    for (int f = 0; f < N_FIGURES; f++) {
        char *gain = ste_xasprintf("%s_gain", figure_names[f]);
        set_rate(row, figure_names[f], &rates[f], false);
        set_real(row, figure_names[f], "_seed_model", rates[f].value - rates[N_FIGURES + f].value);
        set_rate(row, gain, &rates[N_FIGURES + f], true);
        ste_xfree(gain);
    }
    if (over_seeds(g, base, last, pairs, row, "against_first_by_seed", rates) > 0)
        for (int f = 0; f < N_FIGURES; f++) {
            char *name = ste_xasprintf("%s_against_first", figure_names[f]);
            set_rate(row, name, &rates[N_FIGURES + f], true);
            ste_xfree(name);
        }
    ste_xfree(seed);
    ste_xfree(last);
    ste_xfree(base);
    ste_xfree(pairs);
    return row;
}

static int add_suite(const struct reading *g, const char *suite, const char *kind, json_t *figures, struct ste_err *err)
{
    const size_t n = g->sweep->n_seeds;
    struct cell *first = ste_xcalloc(n, sizeof *first), *cells = ste_xcalloc(n, sizeof *cells);
    int rc = 0;
    for (size_t p = 0; rc == 0 && p < g->sweep->n_points; p++) {
        struct cell *into = p == 0 ? first : cells;
        size_t pairs = 0;
        for (size_t s = 0; rc == 0 && s < n; s++) {
            rc = read_cell(g, p, s, suite, kind, &into[s], err);
            pairs += into[s].n;
        }
        if (rc == 0 && pairs > 0)
            json_array_append_new(figures, point_row(g, p, suite, kind, into, first));
        for (size_t s = 0; s < n; s++)
            cell_clear(&cells[s]);
    }
    for (size_t s = 0; s < n; s++)
        cell_clear(&first[s]);
    ste_xfree(first);
    ste_xfree(cells);
    return rc;
}

/* ---- time ---- */

/* Adds the seconds that the store in DIR says, if there is one, to BY_STEP (NULL: left out), and gives their sum. */
static double seconds_of(const char *dir, json_t *by_step)
{
    struct ste_store *s = NULL;
    json_t *work = NULL;
    double sum = 0;
    if (ste_store_open(&s, dir, 0, 1, NULL) == 0 && ste_list(s, STE_LIST_WORK, &work, NULL) == 0)
        for (size_t i = 0; i < json_array_size(work); i++) {
            const json_t *w = json_array_get(work, i);
            const char *step = json_string_value(json_object_get(w, "step"));
            const double seconds = json_number_value(json_object_get(w, "seconds"));
            sum += seconds;
            if (by_step && step)
                json_object_set_new(by_step, step,
                                    json_real(seconds + json_number_value(json_object_get(by_step, step))));
        }
    json_decref(work);
    ste_store_close(s);
    return sum;
}

/* What the run itself took and what those that it shares took, each of SEEN once: a copied store has the seconds of
 * what it is a copy of. */
static double spent_on(struct ste_sweep *s, size_t point, size_t seed, struct ste_strings *seen)
{
    char *dir = ste_sweep_dir(s, point, seed);
    double sum = 0;
    for (int step = INT_MAX; dir;) {
        char *shared;
        step = ste_sweep_shares(s, point, seed, step, &shared);
        const size_t before = seen->n;
        if (ste_strings_place(seen, dir) == before)
            sum += seconds_of(dir, NULL) - (shared ? seconds_of(shared, NULL) : 0);
        ste_xfree(dir);
        dir = shared;
    }
    return sum;
}

/* ---- the report ---- */

static json_t *point_json(const struct reading *g, size_t point)
{
    const struct ste_sweep *s = g->sweep;
    json_t *runs = json_array(), *seconds = json_object();
    for (size_t k = 0; k < s->n_seeds; k++) {
        char *dir = ste_sweep_dir(s, point, k);
        const char *failed = run_of(g, point, k)->failed;
        seconds_of(dir, seconds);
        json_array_append_new(
            runs, json_pack("{s:I, s:s, s:s?}", "seed", (json_int_t)s->seeds[k], "folder", dir, "failed", failed));
        ste_xfree(dir);
    }
    const char *step;
    json_t *v;
    json_object_foreach(seconds, step, v) json_real_set(v, json_real_value(v) / (double)s->n_seeds);
    return json_pack("{s:s, s:o, s:o}", "name", s->points[point].name, "runs", runs, "seconds", seconds);
}

static int open_stores(struct reading *g, struct ste_err *err)
{
    int rc = 0;
    for (size_t p = 0; rc == 0 && p < g->sweep->n_points; p++)
        for (size_t s = 0; rc == 0 && s < g->sweep->n_seeds; s++) {
            struct run *r = run_of(g, p, s);
            if (r->failed)
                continue;
            char *dir = ste_sweep_dir(g->sweep, p, s);
            json_t *suites = NULL, *kinds = NULL, *row;
            size_t i;
            rc = ste_store_open(&r->store, dir, 0, 1, err);
            if (rc == 0)
                rc = ste_list(r->store, STE_LIST_SUITES, &suites, err);
            if (rc == 0)
                rc = ste_list(r->store, STE_LIST_KINDS, &kinds, err);
            json_array_foreach(suites, i, row)
            {
                const char *name = json_string_value(json_object_get(row, "suite"));
                const int64_t last = json_integer_value(json_object_get(row, "last"));
                r->last = last > r->last ? last : r->last;
                if (strcmp(name, "test") != 0)
                    ste_strings_place(&g->files, name);
            }
            json_array_foreach(kinds, i, row)
                ste_strings_place(&g->kinds, json_string_value(json_object_get(row, "kind")));
            json_decref(suites);
            json_decref(kinds);
            ste_xfree(dir);
        }
    return rc;
}

static int report_of(struct reading *g, json_t **out, struct ste_err *err)
{
    struct ste_sweep *s = g->sweep;
    json_t *figures = json_array(), *points = json_array(), *seeds = json_array();
    struct ste_strings seen = {0};
    double spent = 0;
    int rc = open_stores(g, err);
    if (rc == 0)
        rc = add_suite(g, "test", NULL, figures, err);
    for (size_t i = 0; rc == 0 && g->kinds.n > 1 && i < g->kinds.n; i++)
        rc = add_suite(g, "test", g->kinds.items[i], figures, err);
    if (rc == 0 && g->files.n > 1)
        rc = add_suite(g, NULL, NULL, figures, err);
    for (size_t i = 0; rc == 0 && i < g->files.n; i++)
        rc = add_suite(g, g->files.items[i], NULL, figures, err);
    for (size_t p = 0; p < s->n_points; p++) {
        json_array_append_new(points, point_json(g, p));
        for (size_t k = 0; k < s->n_seeds; k++)
            spent += spent_on(s, p, k, &seen);
    }
    for (size_t k = 0; k < s->n_seeds; k++)
        json_array_append_new(seeds, json_integer(s->seeds[k]));
    ste_strings_clear(&seen);
    *out = json_pack("{s:s, s:o, s:o, s:o, s:f}", "recipe", s->name, "seeds", seeds, "points", points, "figures",
                     figures, "seconds", spent);
    return rc;
}

/* ---- the runs ---- */

static int do_run(struct reading *g, size_t point, size_t seed, struct ste_err *err)
{
    struct ste_sweep *s = g->sweep;
    struct ste_loop *l = NULL;
    int rc = ste_sweep_open(s, point, seed, &l, err);
    if (rc == 0)
        rc = ste_report_end(l->store, ste_loop_run(l, err), NULL, err);
    ste_loop_close(l);
    if (rc != STE_ETHRESHOLD)
        return rc;
    ste_warn("%s, seed %lld: %s", s->points[point].name, s->seeds[seed], err->msg);
    run_of(g, point, seed)->failed = ste_xstrdup(err->msg);
    *err = (struct ste_err){0};
    return 0;
}

static int do_runs(struct reading *g, size_t *failed, struct ste_err *err)
{
    struct ste_sweep *s = g->sweep;
    int rc = ste_sweep_begin(s, err);
    for (size_t k = 0; rc == 0 && k < s->n_seeds; k++)
        for (size_t p = 0; rc == 0 && p < s->n_points; p++) {
            ste_info("run %zu of %zu: %s, seed %lld", k * s->n_points + p + 1, s->n_points * s->n_seeds,
                     s->points[p].name, s->seeds[k]);
            rc = do_run(g, p, k, err);
            *failed += run_of(g, p, k)->failed != NULL;
        }
    return rc;
}

int ste_sweep_run(struct ste_sweep *s, json_t **out, struct ste_err *err)
{
    const size_t n = s->n_points * s->n_seeds;
    struct reading g = {.sweep = s, .runs = ste_xcalloc(n, sizeof *g.runs)};
    struct ste_err own = {0};
    size_t failed = 0;
    *out = NULL;
    int rc = do_runs(&g, &failed, &own);
    if (rc == 0)
        rc = report_of(&g, out, &own);
    if (rc == 0)
        rc = ste_report_write(*out, s->folder, STE_SWEEP_REPORT, &own);
    if (rc != 0) {
        json_decref(*out);
        *out = NULL;
        ste_err_set(err, rc, "%s", own.msg);
    } else if (failed > 0) {
        rc = ste_err_set(err, STE_ETHRESHOLD, "%zu of %zu runs ended without a judge; the table says why", failed, n);
    }
    for (size_t i = 0; i < n; i++) {
        ste_store_close(g.runs[i].store);
        ste_xfree(g.runs[i].failed);
    }
    ste_xfree(g.runs);
    ste_strings_clear(&g.files);
    ste_strings_clear(&g.kinds);
    return rc;
}
