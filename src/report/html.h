/*
 * HTML that is written piece by piece: the page around it, and texts that can be no markup whatever they hold. A page
 * needs no network: its styles and scripts stand in it (css and js of src/report/page/, built into the program).
 */
#ifndef STE_REPORT_HTML_H
#define STE_REPORT_HTML_H

#include "core/buf.h"

/* The head of a page, its styles, and the start of its main part; ste_html_end closes it. TITLE is text. */
void ste_html_begin(struct ste_buf *out, const char *title);
void ste_html_end(struct ste_buf *out);
/* TEXT (N bytes; any bytes) as text and as the value of an attribute: <, >, &, " and ' become references, wrong UTF-8
 * and control characters U+FFFD. */
void ste_html_text_n(struct ste_buf *out, const char *text, size_t n);
void ste_html_text(struct ste_buf *out, const char *text);
/* Appends FORMAT as it is, in which each %s is put as ste_html_text does, %d, %zu, %.3f and the like as printf does. */
void ste_html_printf(struct ste_buf *out, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
