/* The page of a run: how good its judges are. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/file.h"
#include "core/mem.h"
#include "report/beside.h"
#include "report/fields.h"
#include "report/html.h"
#include "report/page.h"
#include "report/page_run.h"

static const struct ste_page_section judges = {"judges", "How good the judges are"},
                                     funnel = {"funnel", "Where everything went"}, bias = {"bias", "Bias"},
                                     kinds = {"kinds", "Kinds of pairs"}, training = {"training", "Training"},
                                     sure = {"calibration", "Calibration and coverage"},
                                     work = {"work", "Time and tokens"}, made = {"made", "How it was made"},
                                     all = {"all", "All figures"};

const char *ste_page_judge(char *into, size_t size, long long iteration)
{
    if (iteration == 0)
        snprintf(into, size, "seed");
    else
        snprintf(into, size, "iteration %lld", iteration);
    return into;
}

static const char *suite_title(const char *suite)
{
    return strcmp(suite, "test") == 0        ? "Held-out synthetic pairs"
           : strncmp(suite, "eval:", 5) == 0 ? suite + 5
                                             : suite;
}

/* The rows of REPORT's "evaluation" of SUITE and KIND, by iteration; how many, MOST at most: the last ones. */
static size_t rows_of(const json_t *report, const char *suite, const char *kind, const json_t **rows, size_t most)
{
    const json_t *list = json_object_get(report, "evaluation"), *row;
    size_t i, n = 0;
    json_array_foreach(list, i, row)
    {
        if (!ste_field_is_of(row, suite, kind))
            continue;
        if (n == most) { /* the seed stays */
            memmove(rows + 1, rows + 2, (most - 2) * sizeof *rows);
            n--;
        }
        rows[n++] = row;
    }
    return n;
}

enum { ITERATIONS_MOST = 200 };

/* Lines over the iterations of SUITE for KEYS. */
static void by_iteration(struct ste_buf *out, const struct ste_chart *c, const json_t *const *rows, size_t n,
                         const char *const *keys, const char *const *names, size_t n_keys)
{
    struct ste_chart_point *points = ste_xcalloc(n * n_keys + 1, sizeof *points);
    struct ste_chart_series series[STE_CHART_SERIES];
    for (size_t k = 0; k < n_keys; k++) {
        for (size_t i = 0; i < n; i++)
            points[k * n + i] = ste_page_point((double)ste_field_whole(rows[i], "iteration"), rows[i], keys[k]);
        series[k] = (struct ste_chart_series){names[k], points + k * n, n};
    }
    ste_chart_lines(out, c, series, n_keys);
    ste_xfree(points);
}

/* ---- accuracy ---- */

static void comparisons(struct ste_buf *out, const json_t *report, const char *suite)
{
    const json_t *c;
    size_t i;
    bool any = false;
    json_array_foreach(json_object_get(report, "comparison"), i, c)
    {
        char name[32];
        if (!ste_field_is_of(c, suite, ""))
            continue;
        if (!any)
            ste_page_comparison_head(out, "Each judge against the seed, on the same pairs; p by McNemar's exact test");
        any = true;
        ste_page_comparison(out, ste_page_judge(name, sizeof name, ste_field_whole(c, "iteration")), c);
    }
    if (any)
        ste_html_table_end(out);
}

static void suite_accuracy(struct ste_buf *out, const json_t *report, const char *suite, size_t which)
{
    static const char *const keys[] = {"two_order", "consistent", "accuracy"}, *const names[] = {
                                                                                   "two-order accuracy",
                                                                                   "right in both orders",
                                                                                   "right in a single order"};
    const json_t *rows[ITERATIONS_MOST];
    const size_t n = rows_of(report, suite, "", rows, ITERATIONS_MOST);
    char id[32], about[256];
    if (n == 0)
        return;
    snprintf(id, sizeof id, "accuracy-%zu", which);
    snprintf(about, sizeof about,
             "%lld pairs, each in both orders; %lld verdicts of the last judge are invalid, and count as wrong.",
             ste_field_whole(rows[n - 1], "pairs"), ste_field_whole(rows[n - 1], "invalid"));
    struct ste_buf title = STE_BUF_INIT;
    ste_buf_addf(&title, "Accuracy by iteration, %s.", suite_title(suite));
    const struct ste_chart c = {.id = id,
                                .title = title.s,
                                .about = about,
                                .x = "iteration",
                                .y = "share",
                                .zero = "seed",
                                .lo = 0,
                                .hi = 1,
                                .levels = {{"a coin, two-order and single", 0.5}, {"a coin, right in both", 0.25}}};
    ste_html_printf(out, "<h3 class=\"text\">%s</h3>\n", suite_title(suite));
    by_iteration(out, &c, rows, n, keys, names, 3);
    comparisons(out, report, suite);
    ste_buf_clear(&title);
}

/* The seed and the last judge on the pairs of each kind. */
static void accuracy_by_kind(struct ste_buf *out, const json_t *report)
{
    static const char *const names[] = {"seed", "last judge"};
    enum { MOST = 40 };
    struct ste_chart_dot dots[2][MOST];
    struct ste_strings labels = {0};
    const json_t *k;
    size_t i, n = 0;
    json_array_foreach(json_object_get(report, "kinds"), i, k)
    {
        const json_t *rows[ITERATIONS_MOST];
        const size_t found = rows_of(report, "test", ste_field_text(k, "kind"), rows, ITERATIONS_MOST);
        for (size_t j = 0; j<found; j += found> 1 ? found - 1 : 1) {
            struct ste_buf label = STE_BUF_INIT;
            if (n == MOST)
                break;
            ste_buf_addf(&label, "%s, %s (%lld pairs)", ste_field_text(k, "kind"), j ? "last" : "seed",
                         ste_field_whole(rows[j], "pairs"));
            ste_strings_add(&labels, label.s);
            dots[0][n] = ste_page_dot(labels.items[labels.n - 1], j > 0, rows[j], "two_order");
            dots[1][n++] = ste_page_dot(labels.items[labels.n - 1], j > 0, rows[j], "consistent");
            ste_buf_clear(&label);
        }
    }
    if (n > 0) {
        struct ste_chart c = {.id = "kinds-two-order",
                              .title = "Two-order accuracy by kind of pair.",
                              .about = "Held-out synthetic pairs.",
                              .x = "two-order accuracy",
                              .y = "kind and judge",
                              .lo = 0,
                              .hi = 1,
                              .levels = {{"a coin", 0.5}}};
        ste_buf_adds(out, "<h3>By kind of pair</h3><div class=\"charts\">\n");
        ste_chart_dots(out, &c, dots[0], n, names, 2);
        c.id = "kinds-both";
        c.title = "Right in both orders by kind of pair.";
        c.x = "right in both orders";
        c.levels[0].at = 0.25;
        ste_chart_dots(out, &c, dots[1], n, names, 2);
        ste_buf_adds(out, "</div>\n");
    }
    ste_strings_clear(&labels);
}

/* The suites of REPORT's "evaluation", in its order. */
static void suites_of(const json_t *report, struct ste_strings *names)
{
    const json_t *row;
    size_t i;
    json_array_foreach(json_object_get(report, "evaluation"), i, row)
        ste_strings_place(names, ste_field_text(row, "suite"));
}

static void accuracy(struct ste_buf *out, const json_t *report, const struct ste_strings *suites)
{
    ste_page_heading(out, &judges);
    if (suites->n == 0)
        ste_buf_adds(out, "<p>No judge has been evaluated yet.</p>\n");
    else
        ste_buf_adds(out, "<p>A pair is right in both orders when the verdict names its better answer whichever stands "
                          "first; the two-order verdict goes by the mean of both orders, so that a leaning to a place "
                          "cancels. " STE_PAGE_INTERVALS "</p>\n");
    for (size_t i = 0; i < suites->n; i++)
        suite_accuracy(out, report, suites->items[i], i);
    accuracy_by_kind(out, report);
}

/* ---- bias ---- */

static const json_t *beside_of(const json_t *beside, const char *suite, long long iteration)
{
    return ste_field_find(json_object_get(beside, "judges"), suite, "", iteration);
}

static void position(struct ste_buf *out, const json_t *report, const char *suite, size_t which)
{
    static const char *const keys[] = {"first_position", "accuracy_ab", "accuracy_ba"},
                             *const names[] = {"verdicts for the answer shown first", "right, better answer first",
                                               "right, better answer second"};
    const json_t *rows[ITERATIONS_MOST];
    const size_t n = rows_of(report, suite, "", rows, ITERATIONS_MOST);
    char id[32];
    snprintf(id, sizeof id, "position-%zu", which);
    struct ste_buf title = STE_BUF_INIT;
    ste_buf_addf(&title, "Position, %s.", suite_title(suite));
    const struct ste_chart c = {.id = id,
                                .title = title.s,
                                .about = "A fair judge names the first answer in half of its verdicts, and is as often "
                                         "right in either order.",
                                .x = "iteration",
                                .y = "share",
                                .zero = "seed",
                                .lo = 0,
                                .hi = 1,
                                .levels = {{"fair", 0.5}}};
    by_iteration(out, &c, rows, n, keys, names, 3);
    ste_buf_clear(&title);
}

/* How often the judge names the longer answer, and the one with Markdown, beside how often that is the better one. */
static void liking(struct ste_buf *out, const json_t *report, const json_t *beside, const char *key, const char *title,
                   const char *about)
{
    const json_t *rows[ITERATIONS_MOST];
    const size_t n = rows_of(report, "test", "", rows, ITERATIONS_MOST);
    struct ste_chart_point points[2][ITERATIONS_MOST];
    size_t used = 0;
    char id[32];
    for (size_t i = 0; i < n; i++) {
        const long long iteration = ste_field_whole(rows[i], "iteration");
        const json_t *of = json_object_get(json_object_get(beside_of(beside, "test", iteration), "liking"), key);
        if (!of)
            continue;
        points[0][used] = (struct ste_chart_point){(double)iteration, ste_field_real(of, "rate"),
                                                   ste_field_real(of, "lo"), ste_field_real(of, "hi")};
        points[1][used++] = (struct ste_chart_point){(double)iteration, ste_field_real(of, "right"), NAN, NAN};
    }
    if (used == 0)
        return;
    snprintf(id, sizeof id, "liking-%s", key);
    const struct ste_chart c = {
        .id = id, .title = title, .about = about, .x = "iteration", .y = "share", .zero = "seed", .lo = 0, .hi = 1};
    ste_chart_lines(out, &c,
                    (const struct ste_chart_series[]){{"the two-order verdict names it", points[0], used},
                                                      {"it is the better one", points[1], used}},
                    2);
}

static void biases(struct ste_buf *out, const json_t *report, const json_t *beside, const struct ste_strings *suites)
{
    ste_page_heading(out, &bias);
    ste_buf_adds(out, "<p>Length and format are of the held-out synthetic pairs: the run has no texts of evaluation "
                      "files. A judge without bias names the longer answer as often as that is the better one.</p>\n"
                      "<div class=\"charts\">\n");
    for (size_t i = 0; i < suites->n; i++)
        position(out, report, suites->items[i], i);
    liking(out, report, beside, "length", "Length.", "Pairs whose answers differ in length: the longer one.");
    liking(out, report, beside, "format", "Format.", "Pairs of which one answer has Markdown: that one.");
    ste_buf_adds(out, "</div>\n");
}

/* ---- calibration and coverage ---- */

static void sureness(struct ste_buf *out, const json_t *report, const json_t *beside, const struct ste_strings *suites)
{
    ste_page_heading(out, &sure);
    for (size_t s = 0; s < suites->n; s++) {
        const json_t *rows[ITERATIONS_MOST], *few[3], *calibrations[3];
        const size_t n = rows_of(report, suites->items[s], "", rows, ITERATIONS_MOST),
                     places[3] = {0, n > 2 ? n - 2 : 1, n - 1};
        const char *names[3];
        char texts[3][32], id[2][40];
        size_t used = 0;
        for (size_t k = 0; k < 3; k++) {
            if (places[k] >= n || (k > 0 && places[k] <= places[used - 1]))
                continue;
            const long long iteration = ste_field_whole(rows[places[k]], "iteration");
            few[used] = rows[places[k]];
            calibrations[used] = json_object_get(beside_of(beside, suites->items[s], iteration), "calibration");
            names[used] = ste_page_judge(texts[used], sizeof texts[used], iteration);
            used++;
        }
        snprintf(id[0], sizeof id[0], "coverage-%zu", s);
        snprintf(id[1], sizeof id[1], "calibration-%zu", s);
        ste_html_printf(out, "<h3 class=\"text\">%s</h3><div class=\"charts\"><div>\n", suite_title(suites->items[s]));
        ste_page_coverage(out, id[0], few, names, used);
        ste_buf_adds(out, "</div><div>\n");
        ste_page_calibration(out, id[1], calibrations, names, used);
        ste_buf_adds(out, "</div></div>\n");
    }
}

/* ---- the page ---- */

static void summary(struct ste_buf *out, const json_t *report, const struct ste_strings *suites)
{
    const json_t *models = json_object_get(json_object_get(report, "recipe"), "models"),
                 *pairs = json_object_get(json_object_get(json_object_get(report, "funnel"), "pairs"), "states"), *w;
    double seconds = 0;
    size_t i;
    json_array_foreach(json_object_get(report, "work"), i, w) seconds += ste_field_real(w, "seconds");
    ste_html_printf(out, "<p>Seed model <bdi>%s</bdi>; iterations: %zu; %lld usable pairs; %.0f s of work.</p>\n",
                    ste_field_text(models, "seed"), json_array_size(json_object_get(report, "iterations")),
                    ste_field_whole(pairs, "kept"), seconds);
    ste_buf_adds(out, "<ul class=\"figures\">");
    for (i = 0; i < suites->n && i < 3; i++) {
        const json_t *rows[ITERATIONS_MOST];
        const size_t n = rows_of(report, suites->items[i], "", rows, ITERATIONS_MOST);
        char name[192], judge[32], remark[96];
        if (n == 0)
            continue;
        ste_page_judge(judge, sizeof judge, ste_field_whole(rows[n - 1], "iteration"));
        snprintf(name, sizeof name, "%.100s, %s", suite_title(suites->items[i]), judge);
        snprintf(remark, sizeof remark, "two-order accuracy on %lld pairs; the seed %.3f, a coin 0.500",
                 ste_field_whole(rows[n - 1], "pairs"), ste_field_real(rows[0], "two_order"));
        ste_page_figure(out, name, rows[n - 1], "two_order", remark);
        snprintf(remark, sizeof remark, "right in both orders; the seed %.3f, a coin 0.250",
                 ste_field_real(rows[0], "consistent"));
        ste_page_figure(out, name, rows[n - 1], "consistent", remark);
    }
    ste_buf_adds(out, "</ul>\n");
}

void ste_page_run_main(struct ste_buf *out, const char *name, const json_t *report, const json_t *beside)
{
    static const char *const elsewhere[] = {"recipe", NULL};
    const struct ste_page_section sections[] = {judges, funnel, bias, kinds, training, sure, work, made, all};
    struct ste_strings suites = {0};
    suites_of(report, &suites);
    ste_html_printf(out, "<h1>Run <bdi>%s</bdi></h1>\n", name);
    summary(out, report, &suites);
    ste_page_contents(out, sections, sizeof sections / sizeof *sections);
    accuracy(out, report, &suites);
    ste_page_heading(out, &funnel);
    ste_page_funnel(out, json_object_get(report, "funnel"));
    biases(out, report, beside, &suites);
    ste_page_heading(out, &kinds);
    ste_page_kinds(out, report);
    ste_page_heading(out, &training);
    ste_page_training(out, report, json_object_get(beside, "steps"));
    sureness(out, report, beside, &suites);
    ste_page_heading(out, &work);
    ste_page_work(out, report, json_object_get(beside, "tokens"));
    ste_page_heading(out, &made);
    ste_page_made(out, report, beside);
    ste_page_all(out, report, elsewhere);
    ste_page_foot(out);
    ste_strings_clear(&suites);
}

int ste_page_run(struct ste_buf *out, const char *dir, const json_t *report, struct ste_err *err)
{
    json_t *beside = NULL;
    int rc = ste_beside_run(&beside, dir, report, err);
    if (rc != 0)
        return rc;
    size_t n = strlen(dir);
    while (n > 1 && dir[n - 1] == '/')
        n--;
    char *path = ste_xstrndup(dir, n), *title = ste_xasprintf("Run %s", ste_path_base(path));
    ste_html_begin(out, title);
    ste_page_run_main(out, ste_path_base(path), report, beside);
    ste_html_end(out);
    ste_xfree(title);
    ste_xfree(path);
    json_decref(beside);
    return 0;
}
