#include "report/chart.h"

#include <math.h>
#include <stdio.h>

#include "report/chart_internal.h"
#include "report/html.h"

/* ---- numbers ---- */

void ste_html_number(struct ste_buf *out, double v, int digits)
{
    if (!isfinite(v))
        ste_buf_adds(out, "\xe2\x80\x93"); /* a dash */
    else if (fabs(v) >= 1e9)
        ste_buf_addf(out, "%.4g", v);
    else
        ste_buf_addf(out, "%.*f", digits, v);
}

void ste_html_interval(struct ste_buf *out, double v, double lo, double hi, int digits)
{
    ste_html_number(out, v, digits);
    if (!isfinite(v) || !isfinite(lo) || !isfinite(hi))
        return;
    ste_buf_adds(out, " [");
    ste_html_number(out, lo, digits);
    ste_buf_adds(out, ", ");
    ste_html_number(out, hi, digits);
    ste_buf_adds(out, "]");
}

int ste_chart_digits(const struct ste_chart *c)
{
    return c->digits ? c->digits : 3;
}

/* ---- axes ---- */

/* The least of 1, 2, 5, 10, 20, ... that is no less than V. */
static double round_up(double v)
{
    const double ten = pow(10, floor(log10(v)));
    const double of[] = {1, 2, 5};
    for (int i = 0; i < 3; i++)
        if (ten * of[i] >= v * (1 - 1e-9))
            return ten * of[i];
    return ten * 10;
}

struct ste_chart_axis ste_chart_axis_of(const double *values, size_t n, double lo, double hi, bool whole)
{
    struct ste_chart_axis a = {lo, hi, 0};
    if (!(lo < hi)) {
        a = (struct ste_chart_axis){INFINITY, -INFINITY, 0};
        for (size_t i = 0; i < n; i++)
            if (isfinite(values[i])) {
                a.lo = fmin(a.lo, values[i]);
                a.hi = fmax(a.hi, values[i]);
            }
        if (a.lo > a.hi)
            a = (struct ste_chart_axis){0, 1, 0};
    }
    a.lo = fmax(a.lo, -1e300); /* so that the width is finite */
    a.hi = fmin(a.hi, 1e300);
    if (whole) {
        a.lo -= 0.5;
        a.hi += 0.5;
    }
    if (!(a.hi - a.lo > 1e-9 * fmax(fabs(a.lo), fabs(a.hi)))) { /* one value */
        const double by = fmax(fabs(a.lo) * 0.1, 0.5);
        a.lo -= by;
        a.hi += by;
    }
    a.step = round_up((a.hi - a.lo) / (whole ? 8 : 5));
    if (whole && a.step < 1)
        a.step = 1;
    return a;
}

double ste_chart_place(const struct ste_chart_axis *a, double v)
{
    return fmax(0, fmin(1, (v - a->lo) / (a->hi - a->lo)));
}

void ste_chart_ticks(const struct ste_chart_axis *a, void (*tick)(void *arg, double v, const char *text), void *arg)
{
    const double first = ceil(a->lo / a->step - 1e-9);
    for (int k = 0; k < 12; k++) {
        double v = (first + k) * a->step;
        char text[32];
        if (v > a->hi + 1e-9 * (a->hi - a->lo))
            return;
        if (fabs(v) < 1e-9 * a->step)
            v = 0; /* and not -0 */
        if (a->step >= 1e5 || a->step < 1e-5)
            snprintf(text, sizeof text, "%.3g", v);
        else
            snprintf(text, sizeof text, "%.*f", (int)fmax(0, ceil(-log10(a->step) - 1e-9)), v);
        tick(arg, v, text);
    }
}

/* ---- the figure ---- */

void ste_chart_begin(struct ste_buf *out, const struct ste_chart *c, const char *rows, int height,
                     const char *description)
{
    ste_html_printf(out, "<figure>\n<figcaption><strong>%s</strong> %s</figcaption>\n", c->title, c->about);
    ste_html_printf(
        out,
        "<div class=\"plot%s\"><svg class=\"chart\" height=\"%d\" role=\"img\" aria-labelledby=\"%s-t %s-d\">"
        "<title id=\"%s-t\">%s</title><desc id=\"%s-d\">%s</desc>\n",
        rows, height, c->id, c->id, c->id, c->title, c->id, description);
}

void ste_chart_drawn(struct ste_buf *out)
{
    ste_buf_adds(out, "</svg></div>\n");
}

void ste_chart_mark(struct ste_buf *out, double across, double y, int series)
{
    static const char *const shapes[STE_CHART_SERIES] = {
        "<circle r=\"4.5\"/>", "<rect x=\"-4\" y=\"-4\" width=\"8\" height=\"8\"/>", "<path d=\"M0-6 6 0 0 6-6 0Z\"/>",
        "<path d=\"M0-6 6 5H-6Z\"/>", "<path d=\"M0 6 6-5H-6Z\"/>"};
    ste_buf_addf(out, "<svg class=\"mark\" x=\"%.2f%%\" y=\"%.1f\">%s</svg>", 100 * across, y,
                 shapes[series % STE_CHART_SERIES]);
}

void ste_chart_key(struct ste_buf *out, const struct ste_chart *c, const char *const *names, size_t n, bool line)
{
    if (n == 0 && !c->levels[0].name && !c->diagonal)
        return;
    ste_buf_adds(out, "<ul class=\"key\">");
    for (size_t i = 0; i < n; i++) {
        ste_buf_addf(out, "<li><svg class=\"chart s%d\" width=\"30\" height=\"12\" aria-hidden=\"true\">",
                     (int)(i % STE_CHART_SERIES));
        if (line)
            ste_buf_adds(out, "<path class=\"path\" d=\"M0 6H30\"/>");
        ste_chart_mark(out, 0.5, 6, (int)i);
        ste_html_printf(out, "</svg> %s</li>", names[i]);
    }
    for (int i = 0; i < 2; i++)
        if (c->levels[i].name)
            ste_html_printf(out,
                            "<li><svg class=\"chart\" width=\"30\" height=\"12\" aria-hidden=\"true\"><line "
                            "class=\"coin\" x2=\"30\" y1=\"6\" y2=\"6\"/></svg> %s</li>",
                            c->levels[i].name);
    if (c->diagonal)
        ste_buf_adds(out, "<li><svg class=\"chart\" width=\"30\" height=\"12\" aria-hidden=\"true\"><line "
                          "class=\"coin\" y1=\"12\" x2=\"30\"/></svg> as sure as right</li>");
    ste_buf_adds(out, "</ul>\n");
}

void ste_html_table_begin(struct ste_buf *out, const char *label)
{
    ste_html_printf(out, "<div class=\"wide\" role=\"group\" tabindex=\"0\" aria-label=\"%s\"><table>\n", label);
}

void ste_html_table_end(struct ste_buf *out)
{
    ste_buf_adds(out, "</table></div>\n");
}

void ste_chart_numbers(struct ste_buf *out, const struct ste_chart *c, bool open)
{
    ste_html_printf(out, "<details%s><summary>Numbers<span class=\"unseen\"> of: %s</span></summary>\n",
                    open ? " open" : "", c->title);
    ste_html_table_begin(out, c->title);
}

void ste_chart_end(struct ste_buf *out)
{
    ste_html_table_end(out);
    ste_buf_adds(out, "</details>\n</figure>\n");
}
