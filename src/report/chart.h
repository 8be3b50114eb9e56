/*
 * Charts: SVG that is as wide as its page lets it be, whose texts keep their size: places across are shares of the
 * width, places down are pixels. Each is a figure with a title, what it shows in words, a key, and its numbers as a
 * table that can be opened. Series differ by mark and dash as well as by colour. A number that is not finite is a gap,
 * and stands as a dash in the table. Names and titles are texts: what they hold is no markup.
 */
#ifndef STE_REPORT_CHART_H
#define STE_REPORT_CHART_H

#include <stdbool.h>
#include <stddef.h>

#include "core/buf.h"

struct ste_chart {
    const char *id;    /* unique in the page: letters, digits and - */
    const char *title; /* what is drawn */
    const char *about; /* a sentence or two: how it is read, and what chance gives */
    const char *x, *y; /* what the axes are; of dots Y names what is in the rows */
    const char *zero;  /* x are whole numbers, and 0 is called this ("seed"); NULL: x are numbers */
    double lo, hi;     /* the least and the largest value of the axis of values; equal: as the points have them */
    int digits;        /* behind the point, of values in texts; 0: 3 */
    struct {
        const char *name; /* NULL: none */
        double at;        /* a dotted line across at this value: what chance gives */
    } levels[2];
    bool diagonal; /* a dotted line where x and y are equal */
};

struct ste_chart_point {
    double x, y, lo, hi; /* LO, HI: of its interval; NAN: none */
};
struct ste_chart_series {
    const char *name;
    const struct ste_chart_point *points; /* by x */
    size_t n;
};
/* Lines over x, of up to STE_CHART_SERIES series, with their points and intervals where they are few. */
enum { STE_CHART_SERIES = 5 };
void ste_chart_lines(struct ste_buf *out, const struct ste_chart *c, const struct ste_chart_series *series, size_t n);

/* A row a value, its interval as a bar along the axis. SERIES, from 0, chooses mark and colour; NAMES[] are theirs,
 * N_NAMES of them (0: no key). */
struct ste_chart_dot {
    const char *label;
    int series;
    double value, lo, hi;
};
void ste_chart_dots(struct ste_buf *out, const struct ste_chart *c, const struct ste_chart_dot *dots, size_t n,
                    const char *const *names, size_t n_names);

/* Bars of parts that add up. */
struct ste_chart_part {
    const char *name;
    double size; /* 0 or more */
};
struct ste_chart_bar {
    const char *label;
    const struct ste_chart_part *parts;
    size_t n;
};
enum ste_chart_scale {
    STE_CHART_OWN,    /* each bar as wide as the chart: its parts are shares */
    STE_CHART_COMMON, /* the largest bar as wide as the chart */
    STE_CHART_FLOW    /* the same; and the first part of each goes on as the next bar */
};
/* UNIT: "s", or "" for things that are counted. The table is open, for it says what small parts are. */
void ste_chart_bars(struct ste_buf *out, const struct ste_chart *c, const struct ste_chart_bar *bars, size_t n,
                    enum ste_chart_scale scale, const char *unit);

/* V with DIGITS behind the point, a dash where it is not finite; "V [LO, HI]", without brackets where there is no
 * interval. */
void ste_html_number(struct ste_buf *out, double v, int digits);
void ste_html_interval(struct ste_buf *out, double v, double lo, double hi, int digits);
/* A box in which a table may be wider than the page, and that keys can move; and its end. LABEL is text. */
void ste_html_table_begin(struct ste_buf *out, const char *label);
void ste_html_table_end(struct ste_buf *out);

#endif
