#include "report/html.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "core/utf8.h"
#include "data/embedded.h"

/* What stands for the character at P (*LENGTH bytes), NULL: itself. */
static const char *instead(const unsigned char *p, size_t n, size_t *length)
{
    *length = 1;
    switch (*p) {
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '&':
        return "&amp;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    case '\t':
    case '\n':
    case '\r':
        return NULL;
    }
    if (*p == 0xc2 && n > 1 && p[1] < 0xa0) { /* U+0080 to U+009F */
        *length = 2;
        return "\xef\xbf\xbd";
    }
    return *p < 0x20 || *p == 0x7f ? "\xef\xbf\xbd" : NULL;
}

/* N bytes of valid UTF-8. */
static void valid(struct ste_buf *out, const char *text, size_t n)
{
    size_t plain = 0, length;
    for (size_t i = 0; i < n; i += length) {
        const char *as = instead((const unsigned char *)text + i, n - i, &length);
        if (!as)
            continue;
        ste_buf_add(out, text + plain, i - plain);
        ste_buf_adds(out, as);
        plain = i + length;
    }
    ste_buf_add(out, text + plain, n - plain);
}

void ste_html_text_n(struct ste_buf *out, const char *text, size_t n)
{
    while (n > 0) {
        const size_t good = ste_utf8_bad(text, n);
        valid(out, text, good);
        if (good == n)
            return;
        ste_buf_adds(out, "\xef\xbf\xbd");
        text += good + 1;
        n -= good + 1;
    }
}

void ste_html_text(struct ste_buf *out, const char *text)
{
    ste_html_text_n(out, text, strlen(text));
}

/* Takes the argument of the conversion SPEC, which is no %s, as its length says, and puts it. */
static void conversion(struct ste_buf *out, const char *spec, size_t n, va_list *ap)
{
    const char kind = spec[n - 1], *length = spec + n - 1;
    while (length > spec && strchr("hlzjt", length[-1]))
        length--;
    if (strchr("diuxXo", kind)) {
        if (*length == 'z')
            ste_buf_addf(out, spec, va_arg(*ap, size_t));
        else if (*length == 'j')
            ste_buf_addf(out, spec, va_arg(*ap, intmax_t));
        else if (length[0] == 'l' && length[1] == 'l')
            ste_buf_addf(out, spec, va_arg(*ap, long long));
        else if (*length == 'l')
            ste_buf_addf(out, spec, va_arg(*ap, long));
        else
            ste_buf_addf(out, spec, va_arg(*ap, int));
    } else if (kind == 'c') {
        const char c = (char)va_arg(*ap, int);
        ste_html_text_n(out, &c, 1);
    } else {
        ste_buf_addf(out, spec, va_arg(*ap, double));
    }
}

void ste_html_printf(struct ste_buf *out, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    while (*format) {
        const size_t plain = strcspn(format, "%");
        ste_buf_add(out, format, plain);
        format += plain;
        if (!*format)
            break;
        char spec[32];
        const size_t n = strcspn(format + 1, "diuxXocsfFeEgG%") + 2;
        if (n >= sizeof spec || !format[n - 1])
            break; /* no conversion: the compiler has warned */
        memcpy(spec, format, n);
        spec[n] = 0;
        format += n;
        if (strcmp(spec, "%%") == 0) {
            ste_buf_addc(out, '%');
        } else if (strcmp(spec, "%.*s") == 0) {
            const int most = va_arg(ap, int);
            const char *s = va_arg(ap, const char *);
            if (s)
                ste_html_text_n(out, s, strnlen(s, (size_t)most));
        } else if (spec[n - 1] == 's') {
            const char *s = va_arg(ap, const char *);
            if (s)
                ste_html_text(out, s);
        } else {
            conversion(out, spec, n, &ap);
        }
    }
    va_end(ap);
}

static void head_begins(struct ste_buf *out, const char *title)
{
    ste_html_printf(out,
                    "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>%s</title>\n"
                    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                    "<meta name=\"color-scheme\" content=\"light dark\">\n"
                    "<meta name=\"referrer\" content=\"no-referrer\">\n<link rel=\"icon\" href=\"data:,\">\n",
                    title);
}

void ste_html_begin(struct ste_buf *out, const char *title)
{
    const struct ste_embedded *style = ste_embedded_find(STE_HTML_STYLE);
    head_begins(out, title);
    ste_buf_adds(out, "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
                      "style-src 'unsafe-inline'; img-src data:\">\n<style>\n");
    ste_buf_add(out, style->bytes, style->size);
    ste_buf_adds(out, "</style>\n</head>\n<body>\n<main id=\"main\">\n");
}

void ste_html_begin_served(struct ste_buf *out, const char *title, const char *head, const char *top)
{
    head_begins(out, title);
    ste_buf_adds(out, head);
    ste_buf_adds(out, "</head>\n<body>\n<a class=\"skip\" href=\"#main\">Skip to the content</a>\n");
    ste_buf_adds(out, top);
    ste_buf_adds(out, "<main id=\"main\">\n");
}

void ste_html_end(struct ste_buf *out)
{
    ste_buf_adds(out, "</main>\n</body>\n</html>\n");
}
