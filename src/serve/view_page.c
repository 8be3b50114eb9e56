/* What all pages of the viewer have: the page around, links, texts of others, tables. */
#include "serve/view_page.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/hash.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/utf8.h"
#include "report/html.h"

/* Bytes of a text that are shown at once, and in the page at all. */
enum { UNFOLDED = 3000, SHORT = 600, IN_PAGE = 100000 };

static const char head[] = "<link rel=\"stylesheet\" href=\"/static/style.css\">\n"
                           "<link rel=\"stylesheet\" href=\"/static/view.css\">\n"
                           "<script src=\"/static/view.js\" defer></script>\n";
static const char policy[] = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src "
                             "data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

void view_url(struct ste_buf *out, const char *run, const char *part, const char *id)
{
    const char *const parts[] = {"runs", run, part, id};
    for (int i = 0; i < 4 && parts[i]; i++) {
        ste_buf_addc(out, '/');
        for (const char *c = parts[i]; *c; c++)
            if (strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/", *c) &&
                (*c != '/' || i == 2)) /* a part may have parts */
                ste_buf_addc(out, *c);
            else
                ste_buf_addf(out, "%%%02X", (unsigned char)*c);
    }
}

void view_query(struct ste_buf *out, const char *name, const char *value)
{
    if (!value)
        return;
    ste_buf_addf(out, "%s=", name);
    for (; *value; value++)
        if (strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~", *value))
            ste_buf_addc(out, *value);
        else
            ste_buf_addf(out, "%%%02X", (unsigned char)*value);
    ste_buf_adds(out, "&amp;");
}

void view_begin(struct view_page *p, const char *title, const char *here)
{
    static const char *const parts[][2] = {{"", "Overview"},
                                           {"report", "Report"},
                                           {"instructions", "Instructions"},
                                           {"pairs", "Pairs"},
                                           {"judgments", "Judgments"}};
    struct ste_buf top = STE_BUF_INIT;
    ste_buf_adds(&top, "<header class=\"site\">\n<nav aria-label=\"Site\"><ul><li><a href=\"/\">Runs</a></li>"
                       "<li><a href=\"/diff\">Compare two runs</a></li></ul></nav>\n");
    if (p->run) {
        ste_html_printf(&top, "<nav aria-label=\"Run\"><ul><li class=\"run\" dir=\"auto\">%s</li>", p->run);
        for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
            ste_buf_adds(&top, "<li><a href=\"");
            view_url(&top, p->run, *parts[i][0] ? parts[i][0] : NULL, NULL);
            ste_buf_addf(&top, "\"%s>%s</a></li>",
                         here && strcmp(here, parts[i][0]) == 0 ? " aria-current=\"page\"" : "", parts[i][1]);
        }
        ste_buf_adds(&top, "</ul></nav>\n");
    }
    ste_buf_adds(&top, "</header>\n");
    char *whole = p->run ? ste_xasprintf("%s - %s - ste", title, p->run) : ste_xasprintf("%s - ste", title);
    ste_html_begin_served(&p->out, whole, head, top.s);
    ste_xfree(whole);
    ste_buf_clear(&top);
}

void view_send(struct view_page *p, int status)
{
    char hex[65], tag[40];
    const char *type = p->plain ? "text/plain; charset=utf-8" : "text/html; charset=utf-8";
    if (!p->plain)
        ste_html_end(&p->out);
    ste_sha256(p->out.s, p->out.len, hex);
    snprintf(tag, sizeof tag, "\"%.32s\"", hex);
    const char *has = ste_exchange_header(p->x, "If-None-Match");
    ste_reply_header(p->x, "Content-Security-Policy", policy);
    ste_reply_header(p->x, "X-Content-Type-Options", "nosniff");
    ste_reply_header(p->x, "Referrer-Policy", "no-referrer");
    ste_reply_header(p->x, "Cache-Control", "no-cache");
    ste_reply_header(p->x, "ETag", tag);
    if (status == 200 && has && strstr(has, tag)) {
        ste_reply(p->x, 304, type, NULL, 0);
        return;
    }
    const size_t n = p->out.len;
    ste_reply(p->x, status, type, ste_buf_detach(&p->out), n);
}

/* The end of N bytes of TEXT, at most MOST, that is an end of a character. */
static size_t cut(const char *text, size_t n, size_t most)
{
    if (n <= most)
        return n;
    while (most > 0 && ((unsigned char)text[most] & 0xc0) == 0x80)
        most--;
    return most;
}

static void box(struct view_page *p, const char *text, size_t n)
{
    ste_buf_adds(&p->out, "<div class=\"box text\" dir=\"auto\">");
    ste_html_text_n(&p->out, text, n);
    ste_buf_adds(&p->out, "</div>\n");
}

void view_text(struct view_page *p, const char *text, size_t n, const char *raw)
{
    if (n == 0) {
        ste_buf_adds(&p->out, "<p class=\"note\">No text.</p>\n");
        return;
    }
    if (n <= UNFOLDED) {
        box(p, text, n);
        return;
    }
    const size_t first = cut(text, n, SHORT), all = cut(text, n, IN_PAGE);
    box(p, text, first);
    ste_html_printf(&p->out, "<details><summary>%s %zu bytes</summary>\n",
                    all == n ? "The whole text," : "The beginning of a text of", n);
    box(p, text, all);
    ste_buf_adds(&p->out, "</details>\n");
    if (all < n && raw)
        ste_buf_addf(&p->out, "<p><a href=\"%s\">The whole text as plain text</a></p>\n", raw);
}

void view_dialogue(struct view_page *p, const char *dialogue, const char *raw)
{
    json_t *turns = dialogue ? ste_json_parse(dialogue, strlen(dialogue), "a dialogue", NULL) : NULL;
    size_t i;
    json_t *turn;
    json_array_foreach(turns, i, turn)
    {
        const char *role = json_string_value(json_object_get(turn, "role"));
        const json_t *content = json_object_get(turn, "content");
        if (json_array_size(turns) > 1)
            ste_html_printf(&p->out, "<h3>%s</h3>\n", role ? role : "");
        if (json_is_string(content))
            view_text(p, json_string_value(content), json_string_length(content), raw);
    }
    if (json_array_size(turns) == 0 && dialogue)
        view_text(p, dialogue, strlen(dialogue), raw);
    json_decref(turns);
}

/* What printf makes of FORMAT, as text. */
static char *made(const char *format, va_list ap)
{
    struct ste_buf plain = STE_BUF_INIT, out = STE_BUF_INIT;
    ste_buf_vaddf(&plain, format, ap);
    ste_html_text_n(&out, plain.s, plain.len);
    ste_buf_clear(&plain);
    return ste_buf_detach(&out);
}

void view_fact(struct view_page *p, const char *name, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    char *text = made(format, ap);
    va_end(ap);
    ste_buf_addf(&p->out, "<dt>%s</dt><dd dir=\"auto\">%s</dd>\n", name, text);
    ste_xfree(text);
}

void view_cell(struct view_page *p, const char *head_, const char *class, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    char *text = made(format, ap);
    va_end(ap);
    ste_buf_addf(&p->out, "<td role=\"cell\" data-head=\"%s\"%s%s%s><span dir=\"auto\">%s</span></td>", head_,
                 *class ? " class=\"" : "", class, *class ? "\"" : "", text);
    ste_xfree(text);
}

void view_table(struct view_page *p, const char *caption, const char *const *heads)
{
    ste_html_printf(&p->out,
                    "<table class=\"list\" role=\"table\">\n<caption>%s</caption>\n<thead role=\"rowgroup\"><tr "
                    "role=\"row\">",
                    caption);
    for (; *heads; heads++)
        ste_html_printf(&p->out, "<th role=\"columnheader\" scope=\"col\">%s</th>", *heads);
    ste_buf_adds(&p->out, "</tr></thead>\n<tbody role=\"rowgroup\">\n");
}

void view_sampling(struct view_page *p, const char *sampling)
{
    json_t *all = sampling ? ste_json_parse(sampling, strlen(sampling), "a sampling", NULL) : NULL, *value;
    const char *name;
    json_object_foreach(all, name, value)
    {
        char *text = json_is_string(value) ? ste_xstrdup(json_string_value(value))
                                           : json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
        ste_html_printf(&p->out, ", %s %s", name, text);
        ste_xfree(text);
    }
    json_decref(all);
}

void view_number(struct ste_buf *out, double v, int digits)
{
    if (isnan(v))
        ste_buf_addc(out, '-');
    else
        ste_buf_addf(out, "%.*f", digits, v);
}

void view_when(struct ste_buf *out, double seconds)
{
    const time_t t = (time_t)seconds;
    struct tm tm;
    char exact[32] = "", text[32] = "";
    if (seconds > 0 && gmtime_r(&t, &tm)) {
        strftime(exact, sizeof exact, "%Y-%m-%dT%H:%MZ", &tm);
        strftime(text, sizeof text, "%Y-%m-%d %H:%M UTC", &tm);
    }
    ste_html_printf(out, "<time datetime=\"%s\">%s</time>", exact, text);
}
