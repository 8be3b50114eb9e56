/* What the kinds of charts share. */
#ifndef STE_REPORT_CHART_INTERNAL_H
#define STE_REPORT_CHART_INTERNAL_H

#include "report/chart.h"

struct ste_chart_axis {
    double lo, hi, step; /* LO < HI; ticks stand at multiples of STEP */
};
/* Over N values, of which those that are not finite are passed over, or from LO to HI where these differ. */
struct ste_chart_axis ste_chart_axis_of(const double *values, size_t n, double lo, double hi, bool whole);
/* From 0 to 1, for V within the axis. */
double ste_chart_place(const struct ste_chart_axis *a, double v);
/* Calls TICK with each tick's value and its text. */
void ste_chart_ticks(const struct ste_chart_axis *a, void (*tick)(void *arg, double v, const char *text), void *arg);

/* The figure, its caption, and the drawing of HEIGHT pixels, with DESCRIPTION (text) for who does not see it.
 * ROWS: ""; " rows": its values run across, and no text stands left of it; " rows bars": nor below it. */
void ste_chart_begin(struct ste_buf *out, const struct ste_chart *c, const char *rows, int height,
                     const char *description);
void ste_chart_drawn(struct ste_buf *out); /* ends the drawing */
/* The names of N series, each with its mark; and those of the chart's levels. */
void ste_chart_key(struct ste_buf *out, const struct ste_chart *c, const char *const *names, size_t n, bool line);
/* The table of numbers, which the caller fills with rows, between these; OPEN: seen at once. The second ends the figure
 * too. */
void ste_chart_numbers(struct ste_buf *out, const struct ste_chart *c, bool open);
void ste_chart_end(struct ste_buf *out);
/* The mark of a series at ACROSS (0 to 1) and Y. */
void ste_chart_mark(struct ste_buf *out, double across, double y, int series);
int ste_chart_digits(const struct ste_chart *c);

#endif
