/* What the pages share. */
#include <math.h>
#include <string.h>

#include "core/mem.h"
#include "report/fields.h"
#include "report/html.h"
#include "report/page_internal.h"

void ste_page_contents(struct ste_buf *out, const struct ste_page_section *sections, size_t n)
{
    ste_buf_adds(out, "<nav class=\"contents no-print\" aria-label=\"Contents\"><ul>");
    for (size_t i = 0; i < n; i++)
        ste_html_printf(out, "<li><a href=\"#%s\">%s</a></li>", sections[i].id, sections[i].title);
    ste_buf_adds(out, "</ul></nav>\n");
}

void ste_page_heading(struct ste_buf *out, const struct ste_page_section *section)
{
    ste_html_printf(out, "<h2 id=\"%s\">%s</h2>\n", section->id, section->title);
}

void ste_page_foot(struct ste_buf *out)
{
    ste_buf_adds(out, "<p class=\"note\">Made by ste " STE_VERSION ".</p>\n");
}

/* ---- JSON as it is ---- */

static bool simple(const json_t *v)
{
    return !json_is_object(v) && !json_is_array(v);
}

/* A list of simple values stands in one line. */
static bool flat(const json_t *v)
{
    size_t i;
    json_t *item;
    if (!json_is_array(v))
        return simple(v);
    json_array_foreach(v, i, item) if (!simple(item)) return false;
    return true;
}

static void value(struct ste_buf *out, const json_t *v)
{
    if (json_is_string(v)) {
        ste_html_text_n(out, json_string_value(v), json_string_length(v));
    } else if (json_is_null(v) || !v) {
        ste_buf_adds(out, "\xe2\x80\x93");
    } else if (json_is_array(v)) {
        for (size_t i = 0; i < json_array_size(v); i++) {
            ste_buf_adds(out, i ? ", " : "");
            value(out, json_array_get(v, i));
        }
    } else {
        char *text = json_dumps(v, JSON_ENCODE_ANY | JSON_SORT_KEYS | JSON_REAL_PRECISION(6));
        ste_html_text(out, text ? text : "");
        ste_xfree(text);
    }
}

/* A list of objects: a column for each name, in the order in which they come. */
static void table(struct ste_buf *out, const char *label, const json_t *list)
{
    json_t *columns = json_object(), *row, *v;
    const char *name;
    size_t i;
    json_array_foreach(list, i, row) json_object_foreach(row, name, v) json_object_set(columns, name, json_null());
    ste_html_table_begin(out, label);
    ste_buf_adds(out, "<thead><tr>");
    json_object_foreach(columns, name, v) ste_html_printf(out, "<th scope=\"col\">%s</th>", name);
    ste_buf_adds(out, "</tr></thead><tbody>\n");
    json_array_foreach(list, i, row)
    {
        ste_buf_adds(out, "<tr>");
        json_object_foreach(columns, name, v)
        {
            const json_t *cell = json_object_get(row, name);
            ste_buf_adds(out, json_is_number(cell) ? "<td>" : "<td class=\"long\">");
            value(out, cell);
            ste_buf_adds(out, "</td>");
        }
        ste_buf_adds(out, "</tr>\n");
    }
    ste_buf_adds(out, "</tbody>");
    ste_html_table_end(out);
    json_decref(columns);
}

void ste_page_json(struct ste_buf *out, const char *label, const json_t *v)
{
    const char *name;
    json_t *item;
    size_t i;
    if (json_is_array(v) && json_is_object(json_array_get(v, 0))) {
        table(out, label, v);
    } else if (json_is_object(v)) {
        ste_buf_adds(out, "<dl class=\"facts\">");
        json_object_foreach((json_t *)(uintptr_t)v, name, item)
        {
            ste_html_printf(out, "<dt>%s</dt><dd>", name);
            if (flat(item))
                value(out, item);
            else
                ste_page_json(out, name, item);
            ste_buf_adds(out, "</dd>\n");
        }
        ste_buf_adds(out, "</dl>\n");
    } else if (flat(v)) {
        ste_buf_adds(out, "<p>");
        value(out, v);
        ste_buf_adds(out, "</p>\n");
    } else {
        json_array_foreach(v, i, item) ste_page_json(out, label, item);
    }
}

void ste_page_table(struct ste_buf *out, const char *label, const json_t *list, const struct ste_page_column *columns)
{
    const json_t *row;
    size_t i;
    ste_html_table_begin(out, label);
    ste_buf_adds(out, "<thead><tr>");
    for (const struct ste_page_column *c = columns; c->key; c++)
        ste_html_printf(out, "<th scope=\"col\">%s</th>", c->title);
    ste_buf_adds(out, "</tr></thead><tbody>\n");
    json_array_foreach(list, i, row)
    {
        ste_buf_adds(out, "<tr>");
        for (const struct ste_page_column *c = columns; c->key; c++) {
            const json_t *v = json_object_get(row, c->key);
            ste_buf_adds(out, c == columns ? "<th scope=\"row\">" : json_is_string(v) ? "<td class=\"long\">" : "<td>");
            if (json_is_string(v))
                value(out, v);
            else
                ste_html_number(out, ste_field_real(row, c->key), c->digits);
            ste_buf_adds(out, c == columns ? "</th>" : "</td>");
        }
        ste_buf_adds(out, "</tr>\n");
    }
    ste_buf_adds(out, "</tbody>");
    ste_html_table_end(out);
}

void ste_page_all(struct ste_buf *out, const json_t *report, const char *const *left)
{
    const char *name;
    json_t *v;
    ste_page_heading(out, &(struct ste_page_section){"all", "All figures"});
    ste_buf_adds(out, "<p>As the report's JSON has them, by its names.</p>\n");
    json_object_foreach((json_t *)(uintptr_t)report, name, v)
    {
        size_t i = 0;
        while (left[i] && strcmp(left[i], name) != 0)
            i++;
        if (left[i])
            continue;
        ste_html_printf(out, "<details><summary>%s</summary>\n", name);
        ste_page_json(out, name, v);
        ste_buf_adds(out, "</details>\n");
    }
}

/* ---- figures ---- */

static double bound(const json_t *row, const char *key, const char *which)
{
    struct ste_buf name = STE_BUF_INIT;
    ste_buf_addf(&name, "%s_%s", key, which);
    const double v = ste_field_real(row, name.s);
    ste_buf_clear(&name);
    return v;
}

struct ste_chart_point ste_page_point(double x, const json_t *row, const char *key)
{
    return (struct ste_chart_point){x, ste_field_real(row, key), bound(row, key, "lo"), bound(row, key, "hi")};
}

struct ste_chart_dot ste_page_dot(const char *label, int series, const json_t *row, const char *key)
{
    const struct ste_chart_point p = ste_page_point(0, row, key);
    return (struct ste_chart_dot){label, series, p.y, p.lo, p.hi};
}

void ste_page_figure(struct ste_buf *out, const char *name, const json_t *row, const char *key, const char *remark)
{
    const struct ste_chart_point p = ste_page_point(0, row, key);
    ste_html_printf(out, "<li><span>%s</span><strong>", name);
    ste_html_number(out, p.y, 3);
    ste_buf_adds(out, "</strong><span>");
    if (isfinite(p.lo) && isfinite(p.hi)) {
        ste_buf_adds(out, "between ");
        ste_html_number(out, p.lo, 3);
        ste_buf_adds(out, " and ");
        ste_html_number(out, p.hi, 3);
        ste_buf_adds(out, *remark ? "; " : "");
    }
    ste_html_printf(out, "%s</span></li>\n", remark);
}

/* ---- a judge against another ---- */

static void difference(struct ste_buf *out, const char *what, const json_t *c, const char *key)
{
    const struct ste_chart_point p = ste_page_point(0, c, key);
    ste_html_printf(out, "<tr><th scope=\"row\" class=\"part\">%s</th><td>", what);
    if (isfinite(p.y))
        ste_buf_addf(out, "%+.3f [%+.3f, %+.3f]", p.y, p.lo, p.hi);
    ste_buf_adds(out, "</td>");
}

static void changed(struct ste_buf *out, const json_t *c, const char *gained, const char *lost, const char *p)
{
    ste_html_printf(out, "<td>%lld, %lld</td><td>%.2g</td></tr>\n", ste_field_whole(c, gained),
                    ste_field_whole(c, lost), ste_field_real(c, p));
}

void ste_page_comparison(struct ste_buf *out, const char *name, const json_t *c)
{
    static const char *const nothing = "<td></td><td></td></tr>\n";
    ste_html_printf(out, "<tbody><tr class=\"sum\"><th scope=\"rowgroup\">%s</th><td>%lld pairs</td>", name,
                    ste_field_whole(c, "pairs"));
    ste_buf_adds(out, nothing);
    difference(out, "two-order accuracy", c, "two_order_difference");
    changed(out, c, "only_second_two_order", "only_first_two_order", "two_order_p");
    difference(out, "right in both orders", c, "consistent_difference");
    changed(out, c, "only_second", "only_first", "mcnemar_p");
    difference(out, "of it by telling better answers", c, "gain_telling");
    ste_buf_adds(out, nothing);
    difference(out, "of it by losing position bias", c, "gain_position");
    ste_buf_adds(out, nothing);
    difference(out, "right in a single order", c, "accuracy_difference");
    ste_buf_adds(out, nothing);
    ste_buf_adds(out, "</tbody>\n");
}

void ste_page_comparison_head(struct ste_buf *out, const char *caption)
{
    ste_html_table_begin(out, caption);
    ste_html_printf(out,
                    "<caption>%s</caption><thead><tr><th scope=\"col\">figure</th><th scope=\"col\">difference</th><th "
                    "scope=\"col\">pairs gained, lost</th><th scope=\"col\">p</th></tr></thead>\n",
                    caption);
}

/* ---- charts that several pages have ---- */

void ste_page_coverage(struct ste_buf *out, const char *id, const json_t *const *rows, const char *const *names,
                       size_t n)
{
    struct ste_chart_point points[STE_CHART_SERIES][8];
    struct ste_chart_series series[STE_CHART_SERIES];
    n = n < STE_CHART_SERIES ? n : STE_CHART_SERIES;
    for (size_t i = 0; i < n; i++) {
        const json_t *curve = json_object_get(rows[i], "coverage_curve");
        const size_t most = json_array_size(curve) < 8 ? json_array_size(curve) : 8;
        for (size_t k = 0; k < most; k++) { /* the curve begins with all pairs */
            const json_t *p = json_array_get(curve, most - 1 - k);
            points[i][k] =
                (struct ste_chart_point){ste_field_real(p, "coverage"), ste_field_real(p, "accuracy"), NAN, NAN};
        }
        series[i] = (struct ste_chart_series){names[i], points[i], most};
    }
    const struct ste_chart c = {
        .id = id,
        .title = "Accuracy against coverage.",
        .about =
            "Two-order accuracy on the share of the pairs of which the judge is surest: a judge that knows when it "
            "errs rises to the left. A quarter of few pairs is very few.",
        .x = "share of the pairs, surest first",
        .y = "two-order accuracy",
        .lo = 0,
        .hi = 1,
        .levels = {{"a coin", 0.5}}};
    ste_chart_lines(out, &c, series, n);
}

void ste_page_calibration(struct ste_buf *out, const char *id, const json_t *const *calibrations,
                          const char *const *names, size_t n)
{
    struct ste_chart_point points[STE_CHART_SERIES][10];
    struct ste_chart_series series[STE_CHART_SERIES];
    size_t used = 0;
    for (size_t i = 0; i < n && used < STE_CHART_SERIES; i++) {
        const json_t *bins = json_object_get(calibrations[i], "bins"), *bin;
        size_t k, most = 0;
        json_array_foreach(bins, k, bin) if (most < 10) points[used][most++] =
            (struct ste_chart_point){ste_field_real(bin, "sure"), ste_field_real(bin, "right"),
                                     ste_field_real(bin, "right_lo"), ste_field_real(bin, "right_hi")};
        if (most) {
            series[used] = (struct ste_chart_series){names[i], points[used], most};
            used++;
        }
    }
    if (used == 0) {
        ste_buf_adds(out, "<p>No calibration: no pair has log-probabilities of both labels in both orders.</p>\n");
        return;
    }
    const struct ste_chart c = {
        .id = id,
        .title = "Calibration.",
        .about =
            "How often a verdict is right, by the probability that the judge gives it over both orders, in bins of a "
            "tenth; below the line the judge is surer than right. Wilson's intervals.",
        .x = "probability of the answer that is named",
        .y = "share that is right",
        .lo = 0,
        .hi = 1,
        .diagonal = true};
    ste_chart_lines(out, &c, series, used);
    ste_html_table_begin(out, "Pairs in each bin");
    ste_buf_adds(out,
                 "<caption>Expected calibration error, and pairs by bin</caption><thead><tr><th "
                 "scope=\"col\">judge</th><th scope=\"col\">error</th><th scope=\"col\">pairs</th><th scope=\"col\" "
                 "class=\"left\">of them from a probability of</th></tr></thead><tbody>\n");
    for (size_t i = 0; i < n; i++) {
        const json_t *bin;
        size_t k;
        if (!calibrations[i])
            continue;
        ste_html_printf(out, "<tr><th scope=\"row\">%s</th><td>", names[i]);
        ste_html_number(out, ste_field_real(calibrations[i], "ece"), 3);
        ste_html_printf(out, "</td><td>%lld</td><td class=\"long\">", ste_field_whole(calibrations[i], "pairs"));
        json_array_foreach(json_object_get(calibrations[i], "bins"), k, bin) ste_html_printf(
            out, "%s%.1f: %lld", k ? ", " : "", ste_field_real(bin, "from"), ste_field_whole(bin, "pairs"));
        ste_buf_adds(out, "</td></tr>\n");
    }
    ste_buf_adds(out, "</tbody>");
    ste_html_table_end(out);
}

/* ---- pairs that are judged differently ---- */

/* What the answers of pair P are called. */
static void names_of(const json_t *p, const char *names[2])
{
    const json_t *given = json_object_get(p, "names");
    names[0] = given ? json_string_value(json_array_get(given, 0)) : "chosen";
    names[1] = given ? json_string_value(json_array_get(given, 1)) : "rejected";
}

/* The verdict of the order in which NAMES[FIRST] is shown first. */
static void verdict(struct ste_buf *out, const json_t *j, const char *const *names, int first)
{
    const char *v = ste_field_text(j, "verdict"), *of[2] = {"logprob_a", "logprob_b"};
    ste_html_printf(out, "<tr><th scope=\"row\"><bdi>%s</bdi></th><td class=\"left\"><bdi>%s</bdi></td><td>",
                    names[first],
                    strcmp(v, "A") == 0            ? names[first]
                    : strcmp(v, "B") == 0          ? names[!first]
                    : *ste_field_text(j, "reason") ? ste_field_text(j, "reason")
                                                   : v);
    ste_html_number(out, ste_field_real(j, of[first]), 3);
    ste_buf_adds(out, "</td><td>");
    ste_html_number(out, ste_field_real(j, of[!first]), 3);
    ste_buf_adds(out, "</td></tr>\n");
}

static void judged(struct ste_buf *out, const json_t *of, const char *const *names, const char *who)
{
    const char *together = ste_field_text(of, "two_order");
    ste_html_table_begin(out, "Verdicts");
    ste_html_printf(out, "<caption>%sBoth orders together: <bdi>%s</bdi>, margin ", who,
                    strcmp(together, "chosen") == 0     ? names[0]
                    : strcmp(together, "rejected") == 0 ? names[1]
                                                        : together);
    ste_html_number(out, ste_field_real(of, "margin"), 3);
    ste_html_printf(out,
                    " for <bdi>%s</bdi>.</caption><thead><tr><th scope=\"col\">shown first</th><th scope=\"col\" "
                    "class=\"left\">names</th><th scope=\"col\">log p, <bdi>%s</bdi></th><th scope=\"col\">log p, "
                    "<bdi>%s</bdi></th></tr></thead><tbody>\n",
                    names[0], names[0], names[1]);
    verdict(out, json_object_get(of, "ab"), names, 0);
    verdict(out, json_object_get(of, "ba"), names, 1);
    ste_buf_adds(out, "</tbody>");
    ste_html_table_end(out);
    for (int i = 0; i < 2; i++) {
        const char *why = ste_field_text(json_object_get(of, i ? "ba" : "ab"), "reasoning");
        if (*why)
            ste_html_printf(out,
                            "<details><summary>Reasoning, <bdi>%s</bdi> first</summary><div class=\"box text\" "
                            "tabindex=\"0\">%s</div></details>\n",
                            names[i], why);
    }
}

void ste_page_differing(struct ste_buf *out, const json_t *differing, const char *what)
{
    const json_t *pairs = json_object_get(differing, "pairs"), *p;
    const size_t shown = json_array_size(pairs);
    size_t i;
    ste_html_printf(out, "<p>%s on %lld of %lld pairs", what, ste_field_whole(differing, "differ"),
                    ste_field_whole(differing, "of"));
    if ((long long)shown < ste_field_whole(differing, "differ"))
        ste_html_printf(out, "; shown are the %zu of which the less sure side is surest", shown);
    ste_buf_adds(out, ".</p>\n");
    json_array_foreach(pairs, i, p)
    {
        const json_t *judges = json_object_get(p, "judges");
        const char *names[2], *const keys[2] = {"chosen", "rejected"};
        names_of(p, names);
        ste_html_printf(out, "<details class=\"pair\"><summary><bdi>%s</bdi>, pair <bdi>%s</bdi></summary>\n",
                        ste_field_text(p, "subset"), ste_field_text(p, "id"));
        ste_html_printf(out, "<h3>Prompt</h3><div class=\"box text\" tabindex=\"0\">%s</div>\n<div class=\"sides\">",
                        ste_field_text(p, "prompt"));
        for (int k = 0; k < 2; k++)
            ste_html_printf(out,
                            "<div><h3>Answer: <bdi>%s</bdi></h3><div class=\"box text\" "
                            "tabindex=\"0\">%s</div></div>\n",
                            names[k], ste_field_text(p, keys[k]));
        ste_buf_adds(out, "</div>\n");
        for (size_t k = 0; k < json_array_size(judges); k++)
            judged(out, json_array_get(judges, k), names,
                   json_array_size(judges) < 2 ? ""
                   : k                         ? "Second judge. "
                                               : "First judge. ");
        ste_buf_adds(out, "</details>\n");
    }
}
