/* A page of the viewer while it is written: for the files view_*.c. */
#ifndef STE_SERVE_VIEW_PAGE_H
#define STE_SERVE_VIEW_PAGE_H

#include <jansson.h>

#include "core/buf.h"
#include "serve/exchange.h"
#include "serve/view.h"
#include "store/browse.h"

struct view_page {
    struct ste_view *view;
    struct ste_exchange *x;
    struct ste_buf out;
    const char *run;     /* the run's name; NULL: the page is of none */
    char *dir;           /* its folder */
    struct ste_store *s; /* its store, to be read */
    bool plain;          /* what was written is text, no page */
};

const char *view_folder(const struct ste_view *v);
/* The report of the run in DIR, that of a run which goes on a little old, and what stands beside it on its page
 * (report/beside.h; NULL: it is not wanted); the caller calls json_decref. */
int view_report(struct ste_view *v, const char *dir, json_t **report, json_t **beside, struct ste_err *err);
/* Rows that come a second, from what this was told of the run in DIR before: N is a number of rows that grows. NAN: not
 * known. */
double view_rate(struct ste_view *v, const char *dir, int64_t n);

/* The page around: TITLE and HERE (the part of the run that is shown: "", "pairs"; NULL: none) are text. */
void view_begin(struct view_page *p, const char *title, const char *here);
void view_send(struct view_page *p, int status); /* ends the page, and gives it as the reply, or 304 */
/* "/runs/NAME", and "/PART" and "/ID" where they are given, as the value of an attribute. */
void view_url(struct ste_buf *out, const char *run, const char *part, const char *id);
void view_query(struct ste_buf *out, const char *name, const char *value); /* "name=value&amp;"; NULL: nothing */

/* A text that others wrote, N bytes: a long one is folded, of a very long one the beginning is given, and a link to
 * RAW (an address, written as it is) for the rest. */
void view_text(struct view_page *p, const char *text, size_t n, const char *raw);
/* A dialogue of the store, turn by turn. */
void view_dialogue(struct view_page *p, const char *dialogue, const char *raw);
void view_fact(struct view_page *p, const char *name, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* A cell of a table that stands as a list where there is little room: HEAD is the column's, CLASS "" or more. */
void view_cell(struct view_page *p, const char *head, const char *class, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* The start of a table with the columns HEADS (NULL-ended). */
void view_table(struct view_page *p, const char *caption, const char *const *heads);
/* ", temperature 0.7, ..." of a row of provenance; NULL: nothing. */
void view_sampling(struct view_page *p, const char *sampling);
void view_number(struct ste_buf *out, double v, int digits); /* "-" where there is none */
void view_when(struct ste_buf *out, double seconds);         /* since 1970, in UTC */

/* What REPORT says of the page's run. */
void view_figures(struct view_page *p, const json_t *report);

/* The pages; the page's run is open where it has one. Each returns 0 when it has filled P's buffer. */
int view_runs(struct view_page *p, struct ste_err *err);
int view_run(struct view_page *p, struct ste_err *err);
int view_whole_report(struct view_page *p, struct ste_err *err);
int view_live(struct view_page *p, struct ste_err *err);
int view_instructions(struct view_page *p, struct ste_err *err);
int view_pairs(struct view_page *p, struct ste_err *err);
int view_judgments(struct view_page *p, struct ste_err *err);
int view_instruction(struct view_page *p, struct ste_err *err);
int view_pair(struct view_page *p, struct ste_err *err);
int view_raw(struct view_page *p, struct ste_err *err);
int view_diff(struct view_page *p, struct ste_err *err);

/* The filter that the query names, for lists and for what stands in one. */
void view_filter(const struct view_page *p, struct ste_filter *f);
void view_filter_query(struct ste_buf *out, const struct ste_filter *f); /* as the query of an address */

#endif
