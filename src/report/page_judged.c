/* The pages of ste eval, ste compare, ste rank and ste sweep. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "core/strings.h"
#include "report/fields.h"
#include "report/html.h"
#include "report/page.h"
#include "report/page_internal.h"

static const struct ste_page_section figures_ = {"figures", "Figures"}, bias = {"bias", "Bias"},
                                     sure = {"calibration", "Calibration and coverage"},
                                     differ = {"differing", "Disagreements"}, all = {"all", "All figures"};

static void begin(struct ste_buf *out, const char *title, const struct ste_page_section *sections, size_t n)
{
    ste_html_begin(out, title);
    ste_html_printf(out, "<h1 class=\"text\">%s</h1>\n", title);
    ste_page_contents(out, sections, n);
}

static void end(struct ste_buf *out, const json_t *report)
{
    static const char *const left[] = {NULL};
    ste_page_all(out, report, left);
    ste_page_foot(out);
    ste_html_end(out);
}

/* ---- ste eval ---- */

/* Dots of KEY for the subsets, the sections and the whole. */
static void by_subset(struct ste_buf *out, const struct ste_chart *c, const json_t *figures, const char *key)
{
    static const char *const names[] = {"subset", "section", "overall"}, *const lists[] = {"subsets", "sections"};
    const json_t *row;
    struct ste_strings labels = {0};
    size_t i, n = 0,
              most = json_array_size(json_object_get(figures, "subsets")) +
                     json_array_size(json_object_get(figures, "sections")) + 1;
    struct ste_chart_dot *dots = ste_xcalloc(most, sizeof *dots);
    for (int which = 0; which < 3; which++)
        for (i = 0; which == 2 ? i < 1 : i < json_array_size(json_object_get(figures, lists[which])); i++) {
            row = which == 2 ? json_object_get(figures, "overall")
                             : json_array_get(json_object_get(figures, lists[which]), i);
            char *label = ste_xasprintf("%s (%lld pairs)", ste_field_text(row, "name"), ste_field_whole(row, "pairs"));
            ste_strings_add(&labels, label);
            ste_xfree(label);
            dots[n++] = ste_page_dot(NULL, which, row, key);
        }
    for (i = 0; i < n; i++)
        dots[i].label = labels.items[i];
    ste_chart_dots(out, c, dots, n, names, 3);
    ste_strings_clear(&labels);
    ste_xfree(dots);
}

static void eval_figures(struct ste_buf *out, const json_t *figures)
{
    static const struct {
        const char *key, *title;
        double coin;
    } rates[] = {{"two_order", "Two-order accuracy", 0.5},
                 {"consistent", "Right in both orders", 0.25},
                 {"accuracy", "Right in a single order", 0.5}};
    static const struct ste_page_column columns[] = {{"name", "subset", 0},
                                                     {"pairs", "pairs", 0},
                                                     {"tied", "ties left out", 0},
                                                     {"skipped", "too long", 0},
                                                     {"invalid", "invalid verdicts", 0},
                                                     {"undecided", "undecided", 0},
                                                     {"first_position", "first position", 3},
                                                     {0}};
    const json_t *overall = json_object_get(figures, "overall");
    char remark[96];
    ste_page_heading(out, &figures_);
    ste_buf_adds(out, "<ul class=\"figures\">");
    for (int i = 0; i < 3; i++) {
        snprintf(remark, sizeof remark, "on %lld pairs; a coin %.3f", ste_field_whole(overall, "pairs"), rates[i].coin);
        ste_page_figure(out, rates[i].title, overall, rates[i].key, remark);
    }
    ste_html_printf(out, "<li><span>Valid verdicts</span><strong>");
    ste_html_number(out, 100 * ste_field_real(figures, "coverage"), 1);
    ste_buf_adds(out, " %</strong><span>invalid ones count as wrong</span></li></ul>\n<p>Each pair is judged in both "
                      "orders. " STE_PAGE_INTERVALS "</p>\n<div class=\"charts\">\n");
    for (int i = 0; i < 3; i++) {
        char title[64];
        snprintf(title, sizeof title, "%s.", rates[i].title);
        const struct ste_chart c = {.id = rates[i].key,
                                    .title = title,
                                    .about = "By subset.",
                                    .x = rates[i].title,
                                    .y = "subset",
                                    .lo = 0,
                                    .hi = 1,
                                    .levels = {{"a coin", rates[i].coin}}};
        by_subset(out, &c, figures, rates[i].key);
    }
    ste_buf_adds(out, "</div>\n");
    ste_page_table(out, "Pairs and verdicts by subset", json_object_get(figures, "subsets"), columns);
}

/* A dot of MEMBER of an object of rates with lo and hi. */
static void add_split(struct ste_chart_dot *dots, size_t *n, struct ste_strings *labels, const json_t *of,
                      const char *member, const char *label, int series)
{
    const json_t *row = json_object_get(of, member);
    if (!row)
        return;
    char *text = ste_xasprintf("%s (%lld)", label, ste_field_whole(row, "pairs"));
    ste_strings_add(labels, text);
    ste_xfree(text);
    dots[(*n)++] = (struct ste_chart_dot){NULL, series, ste_field_real(row, "rate"), ste_field_real(row, "lo"),
                                          ste_field_real(row, "hi")};
}

static void eval_bias(struct ste_buf *out, const json_t *figures)
{
    static const struct {
        const char *member, *label;
    } splits[] = {{"length_chosen", "chosen is longer"},   {"length_rejected", "chosen is shorter"},
                  {"format_chosen", "Markdown in chosen"}, {"format_rejected", "Markdown in rejected"},
                  {"author_chosen", "chosen is its own"},  {"author_rejected", "rejected is its own"}},
      likings[] = {{"length", "names the longer"}, {"format", "names the Markdown"}, {"author", "names its own"}};
    const json_t *overall = json_object_get(figures, "overall"), *of = json_object_get(figures, "liking");
    struct ste_chart_dot dots[8];
    struct ste_strings labels = {0};
    size_t n = 0;
    ste_page_heading(out, &bias);
    ste_buf_adds(out, "<div class=\"charts\">\n");
    for (size_t i = 0; i < sizeof splits / sizeof *splits; i++)
        add_split(dots, &n, &labels, json_object_get(figures, "splits"), splits[i].member, splits[i].label, (int)i % 2);
    ste_strings_add(&labels, "better answer first");
    dots[n++] = ste_page_dot(NULL, 0, overall, "accuracy_ab");
    ste_strings_add(&labels, "better answer second");
    dots[n++] = ste_page_dot(NULL, 1, overall, "accuracy_ba");
    for (size_t i = 0; i < n; i++)
        dots[i].label = labels.items[i];
    struct ste_chart c = {.id = "splits",
                          .title = "Accuracy by what may bias the judge.",
                          .about =
                              "In a single order, with numbers of pairs. A judge without bias is as often right on "
                              "either side.",
                          .x = "accuracy",
                          .y = "pairs of which",
                          .lo = 0,
                          .hi = 1,
                          .levels = {{"a coin", 0.5}}};
    ste_chart_dots(out, &c, dots, n, NULL, 0);
    ste_strings_clear(&labels);
    n = 0;
    for (size_t i = 0; i < sizeof likings / sizeof *likings; i++) {
        const json_t *row = json_object_get(of, likings[i].member);
        add_split(dots, &n, &labels, of, likings[i].member, likings[i].label, 0);
        if (row) {
            ste_strings_add(&labels, "and that is the better one");
            dots[n++] = (struct ste_chart_dot){NULL, 1, ste_field_real(row, "right"), NAN, NAN};
        }
    }
    ste_strings_add(&labels, "names the first, single order");
    dots[n++] = (struct ste_chart_dot){NULL, 0, ste_field_real(overall, "first_position"), NAN, NAN};
    for (size_t i = 0; i < n; i++)
        dots[i].label = labels.items[i];
    c.id = "liking";
    c.title = "What the verdicts go by.";
    c.about =
        "How often the two-order verdict names the answer that has more of it, beside how often that is the better "
        "one; and how often a verdict names the answer shown first, of which half is fair.";
    c.x = "share";
    c.y = "verdict";
    ste_chart_dots(out, &c, dots, n, NULL, 0);
    ste_buf_adds(out, "</div>\n");
    ste_strings_clear(&labels);
}

void ste_page_eval(struct ste_buf *out, const json_t *figures, const json_t *differing, const json_t *calibration)
{
    const struct ste_page_section sections[] = {figures_, bias, sure, differ, all};
    const json_t *subsets = json_object_get(figures, "subsets"), *rows[STE_CHART_SERIES];
    const char *judge = ste_field_text(figures, "judge"), *names[STE_CHART_SERIES],
               *suite = ste_field_text(figures, "title");
    char *title = ste_xasprintf("Evaluation%s%s%s%s", *judge ? " of " : "", judge, *suite ? ", " : "", suite);
    size_t n = 0;
    rows[n] = json_object_get(figures, "overall");
    names[n++] = "overall";
    for (size_t i = 0; json_array_size(subsets) > 1 && i < json_array_size(subsets) && n < STE_CHART_SERIES; i++) {
        rows[n] = json_array_get(subsets, i);
        names[n++] = ste_field_text(json_array_get(subsets, i), "name");
    }
    begin(out, title, sections, sizeof sections / sizeof *sections);
    eval_figures(out, figures);
    eval_bias(out, figures);
    ste_page_heading(out, &sure);
    ste_buf_adds(out, "<div class=\"charts\"><div>\n");
    ste_page_coverage(out, "coverage", rows, names, n);
    ste_buf_adds(out, "</div><div>\n");
    ste_page_calibration(out, "bins", &calibration, (const char *const[]){"judge"}, 1);
    ste_buf_adds(out, "</div></div>\n");
    ste_page_heading(out, &differ);
    if (differing)
        ste_page_differing(out, differing, "The two orders name different answers");
    else
        ste_buf_adds(out, "<p>The outcomes were read from a file, which has no texts.</p>\n");
    end(out, figures);
    ste_xfree(title);
}

/* ---- ste compare ---- */

void ste_page_compare(struct ste_buf *out, const json_t *figures, const json_t *differing)
{
    static const struct {
        const char *key, *title;
    } rates[] = {{"two_order_difference", "Two-order accuracy, second less first."},
                 {"consistent_difference", "Right in both orders, second less first."}};
    const struct ste_page_section sections[] = {figures_, differ, all};
    const json_t *subsets = json_object_get(figures, "subsets"), *judges = json_object_get(figures, "judges"), *row;
    const size_t n = json_array_size(subsets);
    size_t i;
    struct ste_chart_dot *dots = ste_xcalloc(n + 1, sizeof *dots);
    begin(out, "Two judges on the same pairs", sections, sizeof sections / sizeof *sections);
    ste_page_heading(out, &figures_);
    ste_html_printf(out, "<dl class=\"facts\"><dt>first</dt><dd>%s</dd><dt>second</dt><dd>%s</dd></dl>\n",
                    ste_field_text(json_array_get(judges, 0), "judge"),
                    ste_field_text(json_array_get(judges, 1), "judge"));
    ste_buf_adds(out,
                 "<p>Differences are the second judge's figure less the first's on the same pairs. " STE_PAGE_INTERVALS
                 "</p>\n<div class=\"charts\">\n");
    for (int k = 0; k < 2; k++) {
        json_array_foreach(subsets, i, row) dots[i] = ste_page_dot(ste_field_text(row, "name"), 0, row, rates[k].key);
        dots[n] = ste_page_dot("all pairs", 1, json_object_get(figures, "all"), rates[k].key);
        const struct ste_chart c = {.id = rates[k].key,
                                    .title = rates[k].title,
                                    .about = "Above 0 the second judge is better.",
                                    .x = "difference",
                                    .y = "pairs",
                                    .levels = {{"no difference", 0}}};
        ste_chart_dots(out, &c, dots, n + 1, NULL, 0);
    }
    ste_buf_adds(out, "</div>\n");
    ste_page_comparison_head(out, "The second judge against the first; p by McNemar's exact test");
    json_array_foreach(subsets, i, row) ste_page_comparison(out, ste_field_text(row, "name"), row);
    ste_page_comparison(out, "all pairs", json_object_get(figures, "all"));
    ste_html_table_end(out);
    if (json_is_number(json_object_get(figures, "kappa_between")))
        ste_html_printf(out, "<p>Kappa between the judges: %.3f.</p>\n", ste_field_real(figures, "kappa_between"));
    ste_page_heading(out, &differ);
    ste_page_differing(out, differing, "The two judges differ");
    end(out, figures);
    ste_xfree(dots);
}

/* ---- ste rank ---- */

static void matrix(struct ste_buf *out, const json_t *models)
{
    const json_t *row, *column;
    size_t i, k;
    ste_buf_adds(out, "<h3>Wins of the row over the column</h3>\n");
    ste_html_table_begin(out, "Wins of the row over the column");
    ste_buf_adds(out, "<caption>Share of matches, ties half, and how many there were. A dash: they never met.</caption>"
                      "<thead><tr><td></td>");
    json_array_foreach(models, k, column)
        ste_html_printf(out, "<th scope=\"col\"><bdi>%s</bdi></th>", ste_field_text(column, "model"));
    ste_buf_adds(out, "</tr></thead><tbody>\n");
    json_array_foreach(models, i, row)
    {
        ste_html_printf(out, "<tr><th scope=\"row\"><bdi>%s</bdi></th>", ste_field_text(row, "model"));
        json_array_foreach(models, k, column)
        {
            const json_t *met = json_object_get(json_object_get(row, "against"), ste_field_text(column, "model"));
            const double wins = ste_field_real(met, "wins"), matches = ste_field_real(met, "matches");
            if (i == k)
                ste_buf_adds(out, "<td></td>");
            else if (!met)
                ste_buf_adds(out, "<td>\xe2\x80\x93</td>");
            else
                ste_buf_addf(out, "<td class=\"win%d\">%.2f of %.0f</td>", (int)fmin(4, 5 * wins / matches),
                             wins / matches, matches);
        }
        ste_buf_adds(out, "</tr>\n");
    }
    ste_buf_adds(out, "</tbody>");
    ste_html_table_end(out);
}

static void leaderboard(struct ste_buf *out, const json_t *figures)
{
    const json_t *models = json_object_get(figures, "models"), *row;
    const size_t n = json_array_size(models);
    struct ste_chart_dot *dots = ste_xcalloc(n + 1, sizeof *dots);
    static const struct ste_page_column columns[] = {{"model", "model", 0}, {"rating", "rating", 0},
                                                     {"wins", "wins", 3},   {"matches", "matches", 0},
                                                     {"group", "group", 0}, {0}};
    size_t i;
    json_array_foreach(models, i, row)
    {
        const json_t *interval = json_object_get(row, "interval");
        dots[i] = (struct ste_chart_dot){
            ste_field_text(row, "model"), (int)ste_field_whole(row, "group") - 1, ste_field_real(row, "rating"),
            json_is_number(json_array_get(interval, 0)) ? json_number_value(json_array_get(interval, 0)) : (double)NAN,
            json_is_number(json_array_get(interval, 1)) ? json_number_value(json_array_get(interval, 1)) : (double)NAN};
    }
    const struct ste_chart c = {.id = "ratings",
                                .title = "Ratings.",
                                .about = "Bradley-Terry ratings on Elo's scale with 95 % intervals by a bootstrap over "
                                         "prompts; the mean of a group is its own.",
                                .x = "rating",
                                .y = "model",
                                .digits = 1};
    ste_chart_dots(out, &c, dots, n, NULL, 0);
    ste_page_table(out, "Leaderboard", models, columns);
    ste_html_printf(out, "<p>%lld matches on %lld prompts, %lld ties (half a win each), %lld without a result.</p>\n",
                    ste_field_whole(figures, "matches"), ste_field_whole(figures, "prompts"),
                    ste_field_whole(figures, "ties"), ste_field_whole(figures, "invalid"));
    if (ste_field_whole(figures, "groups") > 1)
        ste_buf_adds(out,
                     "<p>The models fall into groups that never met. Each is rated by itself: ratings of different "
                     "groups cannot be compared.</p>\n");
    if (json_is_true(json_object_get(figures, "penalized")))
        ste_buf_adds(out,
                     "<p>Some models lost nothing to the others that they are rated with: such ratings are drawn a "
                     "little to the mean.</p>\n");
    if (n > 1)
        matrix(out, models);
    ste_xfree(dots);
}

void ste_page_rank(struct ste_buf *out, const json_t *figures, const json_t *differing)
{
    const struct ste_page_section leaders = {"figures", "Leaderboard"}, sections[] = {leaders, differ, all};
    const char *judge = ste_field_text(figures, "judge");
    char *title = ste_xasprintf("Ranking%s%s", *judge ? " by " : "", judge);
    begin(out, title, sections, sizeof sections / sizeof *sections);
    ste_page_heading(out, &leaders);
    leaderboard(out, figures);
    ste_page_heading(out, &differ);
    if (differing)
        ste_page_differing(out, differing, "The two orders name different answers");
    else
        ste_buf_adds(out, "<p>The results were read from a file, which has no texts.</p>\n");
    end(out, figures);
    ste_xfree(title);
}

/* ---- ste sweep ---- */

void ste_page_sweep(struct ste_buf *out, const json_t *report)
{
    static const struct {
        const char *key, *title;
        double coin;
    } rates[] = {{"two_order", "Two-order accuracy", 0.5}, {"consistent", "Right in both orders", 0.25}};
    const struct ste_page_section sections[] = {figures_, all};
    const json_t *points = json_object_get(report, "points"), *figures = json_object_get(report, "figures"), *row;
    struct ste_strings suites = {0}, labels = {0};
    size_t i, n_dots = 0;
    struct ste_chart_dot *dots = ste_xcalloc(json_array_size(figures) + 1, sizeof *dots);
    char *heading = ste_xasprintf("Sweep of %s", ste_field_text(report, "recipe"));
    begin(out, heading, sections, sizeof sections / sizeof *sections);
    ste_page_heading(out, &figures_);
    ste_html_printf(out, "<p>%zu points, %zu seeds, %.0f s in all. Intervals are over seeds and prompts.</p>\n",
                    json_array_size(points), json_array_size(json_object_get(report, "seeds")),
                    ste_field_real(report, "seconds"));
    json_array_foreach(figures, i, row) if (!*ste_field_text(row, "kind"))
        ste_strings_place(&suites, ste_field_text(row, "suite"));
    ste_buf_adds(out, "<div class=\"charts\">\n");
    for (size_t s = 0; s < suites.n; s++)
        for (int k = 0; k < 2; k++) {
            n_dots = 0;
            json_array_foreach(figures, i, row)
            {
                if (!ste_field_is_of(row, suites.items[s], ""))
                    continue;
                const json_t *point = json_array_get(points, (size_t)ste_field_whole(row, "point") - 1);
                dots[n_dots++] = ste_page_dot(ste_field_text(point, "name"), 0, row, rates[k].key);
            }
            char id[48], *title = ste_xasprintf("%s, %s.", rates[k].title, suites.items[s]);
            snprintf(id, sizeof id, "sweep-%zu-%d", s, k);
            const struct ste_chart c = {.id = id,
                                        .title = title,
                                        .about = "Of the last judge of each point.",
                                        .x = rates[k].title,
                                        .y = "point",
                                        .lo = 0,
                                        .hi = 1,
                                        .levels = {{"a coin", rates[k].coin}}};
            ste_chart_dots(out, &c, dots, n_dots, NULL, 0);
            ste_xfree(title);
        }
    ste_buf_adds(out, "</div>\n");
    end(out, report);
    ste_strings_clear(&suites);
    ste_strings_clear(&labels);
    ste_xfree(heading);
    ste_xfree(dots);
}
