/* Bars of parts that add up. */
#include <math.h>
#include <string.h>

#include "core/utf8.h"
#include "report/chart_internal.h"
#include "report/html.h"

enum {
    ROW = 54, /* label, bar, and what flows on */
    BAR = 20,
    NARROW = 300, /* pixels of the narrowest chart: a name that fits its part there stands in it */
    LETTER = 8,
};

static double size_of(const struct ste_chart_part *p)
{
    return isfinite(p->size) && p->size > 0 ? p->size : 0;
}

static double total_of(const struct ste_chart_bar *b)
{
    double sum = 0;
    for (size_t i = 0; i < b->n; i++)
        sum += size_of(&b->parts[i]);
    return sum;
}

static void amount(struct ste_buf *out, double v, const char *unit)
{
    ste_html_number(out, v, *unit && v < 100 ? 1 : 0);
    ste_html_printf(out, "%s%s", *unit ? " " : "", unit);
}

static void one_bar(struct ste_buf *out, const struct ste_chart_bar *b, double full, int y, const char *unit)
{
    double at = 0;
    ste_html_printf(out, "<text y=\"%d\">%s</text><text class=\"tick\" x=\"100%%\" y=\"%d\" text-anchor=\"end\">",
                    y + 12, b->label, y + 12);
    amount(out, total_of(b), unit);
    ste_buf_adds(out, "</text>\n");
    for (size_t i = 0; i < b->n; i++) {
        const double size = size_of(&b->parts[i]), wide = full > 0 ? 100 * (size / full) : 0;
        if (size == 0)
            continue;
        const int part = i == 0 ? 0 : 1 + (int)((i - 1) % (STE_CHART_SERIES - 1));
        ste_html_printf(out, "<g class=\"s%d\"><title>%s: ", part, b->parts[i].name);
        amount(out, size, unit);
        ste_buf_addf(out, "</title><rect class=\"block\" x=\"%.3f%%\" y=\"%d\" width=\"%.3f%%\" height=\"%d\"/>", at,
                     y + 18, wide, BAR);
        if (wide / 100 * NARROW > (double)(LETTER * ste_utf8_length(b->parts[i].name) + 8))
            ste_html_printf(out, "<text class=\"within\" x=\"%.3f%%\" dx=\"5\" y=\"%d\">%s</text>", at, y + 32,
                            b->parts[i].name);
        ste_buf_adds(out, "</g>\n");
        at += wide;
    }
}

static void describe(struct ste_buf *to, const struct ste_chart_bar *bars, size_t n, const char *unit)
{
    ste_buf_adds(to, "Bars of parts that add up.");
    for (size_t i = 0; i < n; i++) {
        ste_buf_addf(to, " %s ", bars[i].label);
        ste_html_number(to, total_of(&bars[i]), 0);
        ste_buf_addf(to, "%s%s", *unit ? " " : "", unit);
        for (size_t k = 0; k < bars[i].n && k < 3; k++) {
            ste_buf_addf(to, "%s %s ", k ? "," : ":", bars[i].parts[k].name);
            ste_html_number(to, size_of(&bars[i].parts[k]), 0);
        }
        ste_buf_adds(to, bars[i].n > 3 ? ", and others." : ".");
    }
}

static void table(struct ste_buf *out, const struct ste_chart *c, const struct ste_chart_bar *bars, size_t n,
                  const char *unit)
{
    ste_html_printf(
        out, "<thead><tr><th scope=\"col\">%s</th><th scope=\"col\">%s</th><th scope=\"col\">share</th></tr></thead>\n",
        c->y, c->x);
    for (size_t i = 0; i < n; i++) {
        const double all = total_of(&bars[i]);
        ste_html_printf(out, "<tbody><tr class=\"sum\"><th scope=\"rowgroup\">%s</th><td>", bars[i].label);
        amount(out, all, unit);
        ste_buf_adds(out, "</td><td></td></tr>\n");
        for (size_t k = 0; k < bars[i].n; k++) {
            ste_html_printf(out, "<tr><th scope=\"row\" class=\"part\">%s</th><td>", bars[i].parts[k].name);
            amount(out, size_of(&bars[i].parts[k]), unit);
            ste_buf_adds(out, "</td><td>");
            ste_html_number(out, 100 * (size_of(&bars[i].parts[k]) / all), 1);
            ste_buf_adds(out, " %</td></tr>\n");
        }
        ste_buf_adds(out, "</tbody>\n");
    }
}

void ste_chart_bars(struct ste_buf *out, const struct ste_chart *c, const struct ste_chart_bar *bars, size_t n,
                    enum ste_chart_scale scale, const char *unit)
{
    double most = 0;
    struct ste_buf words = STE_BUF_INIT;
    for (size_t i = 0; i < n; i++)
        most = fmax(most, total_of(&bars[i]));
    describe(&words, bars, n, unit);
    ste_chart_begin(out, c, " rows bars", (int)n * ROW, words.s);
    for (size_t i = 0; i < n; i++) {
        const double all = total_of(&bars[i]), full = scale == STE_CHART_OWN ? all : most;
        const int y = (int)i * ROW;
        if (scale == STE_CHART_FLOW && i > 0 && most > 0 && bars[i - 1].n > 0)
            ste_buf_addf(out,
                         "<svg viewBox=\"0 0 100 34\" y=\"%d\" width=\"100%%\" height=\"34\" "
                         "preserveAspectRatio=\"none\"><path class=\"band\" d=\"M0 0H%.3fL%.3f 34H0Z\"/></svg>\n",
                         y - 16, 100 * (size_of(&bars[i - 1].parts[0]) / most), 100 * (all / most));
        one_bar(out, &bars[i], full, y, unit);
    }
    ste_chart_drawn(out);
    ste_chart_numbers(out, c, true);
    table(out, c, bars, n, unit);
    ste_chart_end(out);
    ste_buf_clear(&words);
}
