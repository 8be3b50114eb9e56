/* What the pages share. */
#ifndef STE_REPORT_PAGE_INTERNAL_H
#define STE_REPORT_PAGE_INTERNAL_H

#include <jansson.h>

#include "report/chart.h"

/* Sections of a page, with ids, and the list of them at its top. */
struct ste_page_section {
    const char *id, *title;
};
void ste_page_contents(struct ste_buf *out, const struct ste_page_section *sections, size_t n);
void ste_page_heading(struct ste_buf *out, const struct ste_page_section *section);

/* VALUE with all that is in it, by its names: lists of objects as tables, objects as names and values, numbers as the
 * report's file has them. LABEL is text. */
void ste_page_json(struct ste_buf *out, const char *label, const json_t *value);
/* LIST as a table of COLUMNS (NULL-ended keys): the members called KEY, under TITLE, numbers with DIGITS behind the
 * point. The first column names the row. */
struct ste_page_column {
    const char *key, *title;
    int digits;
};
void ste_page_table(struct ste_buf *out, const char *label, const json_t *list, const struct ste_page_column *columns);
/* The section "All figures": REPORT but its members named in LEFT (NULL-ended), which stand elsewhere on the page. */
void ste_page_all(struct ste_buf *out, const json_t *report, const char *const *left);

/* One of the figures at the top: its name, its value as a rate of ROW called KEY, with interval, and a remark. */
void ste_page_figure(struct ste_buf *out, const char *name, const json_t *row, const char *key, const char *remark);
/* A point at X of the rate KEY of ROW. */
struct ste_chart_point ste_page_point(double x, const json_t *row, const char *key);
struct ste_chart_dot ste_page_dot(const char *label, int series, const json_t *row, const char *key);
/* Lines of accuracy against coverage of up to STE_CHART_SERIES of ROWS, named by NAMES. */
void ste_page_coverage(struct ste_buf *out, const char *id, const json_t *const *rows, const char *const *names,
                       size_t n);
/* The calibration chart of up to STE_CHART_SERIES judges. Members of CALIBRATIONS may be NULL. */
void ste_page_calibration(struct ste_buf *out, const char *id, const json_t *const *calibrations,
                          const char *const *names, size_t n);
/* The section's text and the pairs of ste_differing_end. */
void ste_page_differing(struct ste_buf *out, const json_t *differing, const char *what);
/* A table of comparisons ("ste compare"'s fields), and one of them, NAME, in it; ste_html_table_end ends it. */
void ste_page_comparison_head(struct ste_buf *out, const char *caption);
void ste_page_comparison(struct ste_buf *out, const char *name, const json_t *c);
/* A last line: what made the page. */
void ste_page_foot(struct ste_buf *out);

#define STE_PAGE_INTERVALS                                                                                             \
    "Intervals are of 95 %, by a bootstrap over prompts (2000 draws): pairs of one prompt are drawn together."

#endif
