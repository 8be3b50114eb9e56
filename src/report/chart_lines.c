/* Lines over x, and rows of dots. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "core/utf8.h"
#include "report/chart_internal.h"
#include "report/html.h"

enum {
    HEIGHT = 220,
    ROW = 34,          /* of a dot */
    MARKED_MOST = 60,  /* points of a series that get marks */
    LABEL_MOST = 28,   /* characters of a dot's label beside its value on the narrowest page */
    DESCRIBED_MOST = 8 /* rows of dots that the description names */
};

/* ---- lines ---- */

struct lines {
    struct ste_buf *out;
    const struct ste_chart *c;
    struct ste_chart_axis x, y;
};

static double across(const struct lines *l, double x)
{
    return ste_chart_place(&l->x, x);
}

static double down(const struct lines *l, double y)
{
    return HEIGHT * (1 - ste_chart_place(&l->y, y));
}

static void x_tick(void *arg, double v, const char *text)
{
    const struct lines *l = arg;
    ste_html_printf(l->out, "<text class=\"tick\" x=\"%.2f%%\" y=\"%d\" text-anchor=\"middle\">%s</text>",
                    100 * across(l, v), HEIGHT + 16, v == 0 && l->c->zero ? l->c->zero : text);
}

static void y_tick(void *arg, double v, const char *text)
{
    const struct lines *l = arg;
    const double y = down(l, v);
    ste_html_printf(l->out,
                    "<line class=\"grid\" x2=\"100%%\" y1=\"%.1f\" y2=\"%.1f\"/><text class=\"tick\" x=\"-6\" "
                    "y=\"%.1f\" text-anchor=\"end\">%s</text>",
                    y, y, y + 4, text);
}

static void axes(const struct lines *l)
{
    const struct ste_chart *c = l->c;
    ste_chart_ticks(&l->y, y_tick, (void *)(uintptr_t)l);
    ste_chart_ticks(&l->x, x_tick, (void *)(uintptr_t)l);
    ste_html_printf(l->out,
                    "\n<text class=\"tick\" x=\"-40\" y=\"-10\">%s</text>"
                    "<text class=\"tick\" x=\"100%%\" y=\"%d\" text-anchor=\"end\">%s</text>\n",
                    c->y, HEIGHT + 34, c->x);
    for (int i = 0; i < 2; i++)
        if (c->levels[i].name)
            ste_buf_addf(l->out, "<line class=\"coin\" x2=\"100%%\" y1=\"%.1f\" y2=\"%.1f\"/>",
                         down(l, c->levels[i].at), down(l, c->levels[i].at));
    if (c->diagonal) {
        const double from = fmax(l->x.lo, l->y.lo), to = fmin(l->x.hi, l->y.hi);
        ste_buf_addf(l->out, "<line class=\"coin\" x1=\"%.2f%%\" y1=\"%.1f\" x2=\"%.2f%%\" y2=\"%.1f\"/>",
                     100 * across(l, from), down(l, from), 100 * across(l, to), down(l, to));
    }
}

static void one_series(const struct lines *l, const struct ste_chart_series *s, int which, size_t of)
{
    struct ste_buf *out = l->out;
    /* Points of several series over one x stand side by side. */
    const double shift = l->c->zero ? 8 * (which - ((double)of - 1) / 2) : 0;
    ste_buf_addf(out, "<g class=\"s%d\" transform=\"translate(%.1f)\">", which, shift);
    ste_buf_addf(out,
                 "<svg viewBox=\"0 0 1000 %d\" width=\"100%%\" height=\"%d\" preserveAspectRatio=\"none\">"
                 "<path class=\"path\" vector-effect=\"non-scaling-stroke\" d=\"",
                 HEIGHT, HEIGHT);
    bool pen = false;
    for (size_t i = 0; i < s->n; i++) {
        const struct ste_chart_point *p = &s->points[i];
        if (!isfinite(p->x) || !isfinite(p->y)) {
            pen = false;
            continue;
        }
        ste_buf_addf(out, "%c%.2f %.2f", pen ? 'L' : 'M', 1000 * across(l, p->x), down(l, p->y));
        pen = true;
    }
    ste_buf_adds(out, "\"/></svg>");
    for (size_t i = 0; i < s->n && s->n <= MARKED_MOST; i++) {
        const struct ste_chart_point *p = &s->points[i];
        if (!isfinite(p->x) || !isfinite(p->y))
            continue;
        if (isfinite(p->lo) && isfinite(p->hi))
            ste_buf_addf(out, "<line class=\"bar\" x1=\"%.2f%%\" x2=\"%.2f%%\" y1=\"%.1f\" y2=\"%.1f\"/>",
                         100 * across(l, p->x), 100 * across(l, p->x), down(l, p->lo), down(l, p->hi));
        ste_chart_mark(out, across(l, p->x), down(l, p->y), which);
    }
    ste_buf_adds(out, "</g>\n");
}

static void x_text(struct ste_buf *out, const struct ste_chart *c, double x)
{
    if (c->zero && x == 0)
        ste_html_text(out, c->zero);
    else
        ste_buf_addf(out, "%.6g", x);
}

/* The first and the last value of each series. */
static void describe_lines(struct ste_buf *to, const struct ste_chart *c, const struct ste_chart_series *s, size_t n)
{
    ste_buf_addf(to, "Lines of %s over %s.", c->y, c->x);
    for (size_t i = 0; i < n; i++) {
        const struct ste_chart_point *first = NULL, *last = NULL;
        for (size_t k = 0; k < s[i].n; k++)
            if (isfinite(s[i].points[k].x) && isfinite(s[i].points[k].y)) {
                first = first ? first : &s[i].points[k];
                last = &s[i].points[k];
            }
        if (!first)
            continue;
        ste_buf_addf(to, " %s: %.*f at %.6g", s[i].name, ste_chart_digits(c), first->y, first->x);
        if (first != last)
            ste_buf_addf(to, ", %.*f at %.6g", ste_chart_digits(c), last->y, last->x);
        ste_buf_adds(to, ".");
    }
}

/* A row of the table for each x of any series; the series' points come by x. */
static void lines_table(struct ste_buf *out, const struct ste_chart *c, const struct ste_chart_series *s, size_t n)
{
    size_t at[STE_CHART_SERIES] = {0};
    ste_html_printf(out, "<thead><tr><th scope=\"col\">%s</th>", c->x);
    for (size_t i = 0; i < n; i++)
        ste_html_printf(out, "<th scope=\"col\">%s</th>", s[i].name);
    ste_buf_adds(out, "</tr></thead><tbody>\n");
    for (;;) {
        double x = INFINITY;
        for (size_t i = 0; i < n; i++) {
            while (at[i] < s[i].n && !isfinite(s[i].points[at[i]].x))
                at[i]++;
            if (at[i] < s[i].n)
                x = fmin(x, s[i].points[at[i]].x);
        }
        if (!isfinite(x))
            break;
        ste_buf_adds(out, "<tr><th scope=\"row\">");
        x_text(out, c, x);
        ste_buf_adds(out, "</th>");
        for (size_t i = 0; i < n; i++) {
            ste_buf_adds(out, "<td>");
            if (at[i] < s[i].n && s[i].points[at[i]].x <= x) {
                const struct ste_chart_point *p = &s[i].points[at[i]++];
                ste_html_interval(out, p->y, p->lo, p->hi, ste_chart_digits(c));
            }
            ste_buf_adds(out, "</td>");
        }
        ste_buf_adds(out, "</tr>\n");
    }
    ste_buf_adds(out, "</tbody>");
}

void ste_chart_lines(struct ste_buf *out, const struct ste_chart *c, const struct ste_chart_series *series, size_t n)
{
    size_t points = 0, k = 0;
    n = n < STE_CHART_SERIES ? n : STE_CHART_SERIES;
    for (size_t i = 0; i < n; i++)
        points += series[i].n;
    double *x = ste_xcalloc(points + 1, sizeof *x), *y = ste_xcalloc(3 * points + 3, sizeof *y);
    const char *names[STE_CHART_SERIES];
    for (size_t i = 0; i < n; i++) {
        names[i] = series[i].name;
        for (size_t j = 0; j < series[i].n; j++, k++) {
            const struct ste_chart_point *p = &series[i].points[j];
            x[k] = p->x;
            y[3 * k] = p->y;
            y[3 * k + 1] = p->lo;
            y[3 * k + 2] = p->hi;
        }
    }
    /* What chance gives is within the axis, and so is 0, which y has behind all points. */
    for (int i = 0; i < 2; i++)
        y[3 * points + (size_t)i] = points && c->levels[i].name ? c->levels[i].at : (double)NAN;
    if (points == 0)
        y[2] = NAN;
    const struct lines l = {out, c, ste_chart_axis_of(x, points, 0, 0, c->zero != NULL),
                            ste_chart_axis_of(y, 3 * points + 3, c->lo, c->hi, false)};
    struct ste_buf words = STE_BUF_INIT;
    describe_lines(&words, c, series, n);
    ste_chart_begin(out, c, "", HEIGHT, words.s);
    axes(&l);
    for (size_t i = 0; i < n; i++)
        one_series(&l, &series[i], (int)i, n);
    ste_chart_drawn(out);
    ste_chart_key(out, c, names, n, true);
    ste_chart_numbers(out, c, false);
    lines_table(out, c, series, n);
    ste_chart_end(out);
    ste_buf_clear(&words);
    ste_xfree(x);
    ste_xfree(y);
}

/* ---- dots ---- */

struct dots {
    struct ste_buf *out;
    struct ste_chart_axis axis;
    int height;
};

static void dots_tick(void *arg, double v, const char *text)
{
    const struct dots *d = arg;
    const double x = 100 * ste_chart_place(&d->axis, v);
    ste_html_printf(d->out,
                    "<line class=\"grid\" x1=\"%.2f%%\" x2=\"%.2f%%\" y2=\"%d\"/><text class=\"tick\" x=\"%.2f%%\" "
                    "y=\"%d\" text-anchor=\"middle\">%s</text>",
                    x, x, d->height, x, d->height + 16, text);
}

/* LABEL, cut behind a whole character where it is long. */
static void short_label(struct ste_buf *out, const char *label)
{
    size_t bytes = 0, characters = 0;
    for (; label[bytes] && characters < LABEL_MOST; characters++)
        for (bytes++; ((unsigned char)label[bytes] & 0xc0) == 0x80; bytes++)
            ;
    ste_html_text_n(out, label, bytes);
    if (label[bytes])
        ste_buf_adds(out, "\xe2\x80\xa6");
}

static void one_dot(const struct dots *d, const struct ste_chart *c, const struct ste_chart_dot *dot, int y)
{
    struct ste_buf *out = d->out;
    ste_buf_addf(out, "<g class=\"s%d\"><text y=\"%d\">", dot->series % STE_CHART_SERIES, y + 13);
    short_label(out, dot->label);
    ste_buf_addf(out, "</text><text class=\"tick\" x=\"100%%\" y=\"%d\" text-anchor=\"end\">", y + 13);
    ste_html_interval(out, dot->value, dot->lo, dot->hi, ste_chart_digits(c));
    ste_buf_adds(out, "</text>");
    if (isfinite(dot->value)) {
        if (isfinite(dot->lo) && isfinite(dot->hi))
            ste_buf_addf(out, "<line class=\"bar\" x1=\"%.2f%%\" x2=\"%.2f%%\" y1=\"%d\" y2=\"%d\"/>",
                         100 * ste_chart_place(&d->axis, dot->lo), 100 * ste_chart_place(&d->axis, dot->hi), y + 24,
                         y + 24);
        ste_chart_mark(out, ste_chart_place(&d->axis, dot->value), y + 24, dot->series);
    }
    ste_buf_adds(out, "</g>\n");
}

static void describe_dots(struct ste_buf *to, const struct ste_chart *c, const struct ste_chart_dot *dots, size_t n)
{
    ste_buf_addf(to, "Values of %s with intervals, %zu rows.", c->x, n);
    for (size_t i = 0; i < n && i < DESCRIBED_MOST; i++) {
        ste_buf_addf(to, " %s: ", dots[i].label);
        ste_html_interval(to, dots[i].value, dots[i].lo, dots[i].hi, ste_chart_digits(c));
        ste_buf_adds(to, ".");
    }
    if (n > DESCRIBED_MOST)
        ste_buf_adds(to, " The rest is in the table.");
}

void ste_chart_dots(struct ste_buf *out, const struct ste_chart *c, const struct ste_chart_dot *dots, size_t n,
                    const char *const *names, size_t n_names)
{
    double *values = ste_xcalloc(3 * n + 3, sizeof *values);
    for (size_t i = 0; i < n; i++) {
        values[3 * i] = dots[i].value;
        values[3 * i + 1] = dots[i].lo;
        values[3 * i + 2] = dots[i].hi;
    }
    values[3 * n] = c->levels[0].name ? c->levels[0].at : (double)NAN;
    values[3 * n + 1] = c->levels[1].name ? c->levels[1].at : (double)NAN;
    const struct dots d = {out, ste_chart_axis_of(values, 3 * n + 2, c->lo, c->hi, false), (int)n * ROW + 4};
    struct ste_buf words = STE_BUF_INIT;
    describe_dots(&words, c, dots, n);
    ste_chart_begin(out, c, " rows", d.height, words.s);
    ste_chart_ticks(&d.axis, dots_tick, (void *)(uintptr_t)&d);
    for (int i = 0; i < 2; i++)
        if (c->levels[i].name) {
            const double x = 100 * ste_chart_place(&d.axis, c->levels[i].at);
            ste_buf_addf(out, "<line class=\"coin\" x1=\"%.2f%%\" x2=\"%.2f%%\" y2=\"%d\"/>\n", x, x, d.height);
        }
    for (size_t i = 0; i < n; i++)
        one_dot(&d, c, &dots[i], (int)i * ROW);
    ste_html_printf(out, "<text class=\"tick\" x=\"100%%\" y=\"%d\" text-anchor=\"end\">%s</text>", d.height + 34,
                    c->x);
    ste_chart_drawn(out);
    ste_chart_key(out, c, names, n_names, false);
    ste_chart_numbers(out, c, false);
    ste_html_printf(out, "<thead><tr><th scope=\"col\">%s</th><th scope=\"col\">%s</th></tr></thead><tbody>\n", c->y,
                    c->x);
    for (size_t i = 0; i < n; i++) {
        ste_html_printf(out, "<tr><th scope=\"row\">%s</th><td>", dots[i].label);
        ste_html_interval(out, dots[i].value, dots[i].lo, dots[i].hi, ste_chart_digits(c));
        ste_buf_adds(out, "</td></tr>\n");
    }
    ste_buf_adds(out, "</tbody>");
    ste_chart_end(out);
    ste_buf_clear(&words);
    ste_xfree(values);
}
