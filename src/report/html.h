/*
 * HTML that is written piece by piece: the page around it, and texts that can be no markup whatever they hold. A page
 * that is a file needs no network: its styles stand in it. A server may give them as a file of their own instead.
 */
#ifndef STE_REPORT_HTML_H
#define STE_REPORT_HTML_H

#include "core/buf.h"

#define STE_HTML_STYLE "src/report/page/style.css" /* the built-in file (data/embedded.h) */

/* The head of a page, its styles, and the start of its main part (<main id="main">); ste_html_end closes it. TITLE is
 * text. The page's own policy allows no script and nothing from elsewhere. */
void ste_html_begin(struct ste_buf *out, const char *title);
/* The same for a page that a server gives, which sets the policy: HEAD, markup, stands where the styles and the policy
 * would ("<link rel=\"stylesheet\" href=...>"), TOP, markup, before the main part. */
void ste_html_begin_served(struct ste_buf *out, const char *title, const char *head, const char *top);
void ste_html_end(struct ste_buf *out);
/* TEXT (N bytes; any bytes) as text and as the value of an attribute in quotes: <, >, &, " and ' become references,
 * each wrong byte of UTF-8 and each control character but tab and the ends of lines U+FFFD. What holds it should have
 * the class "text", which keeps its lines and its direction to itself. */
void ste_html_text_n(struct ste_buf *out, const char *text, size_t n);
void ste_html_text(struct ste_buf *out, const char *text);
/* Appends FORMAT as it is, in which each %s is put as ste_html_text does (%.*s too; NULL as nothing), %d, %zu, %.3f and
 * the like as printf does. */
void ste_html_printf(struct ste_buf *out, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
