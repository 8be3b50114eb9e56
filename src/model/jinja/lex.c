#include <errno.h>
#include <stdlib.h>

#include "core/mem.h"
#include "core/utf8.h"
#include "model/jinja/internal.h"

void jinja_say(struct ste_err *err, const char *name, int line, const char *fmt, va_list ap)
{
    struct ste_buf b = STE_BUF_INIT;
    ste_buf_vaddf(&b, fmt, ap);
    for (size_t i = 0; i < b.len; i++)
        if ((uint8_t)b.s[i] < ' ')
            b.s[i] = ' ';
    for (size_t bad; (bad = ste_utf8_bad(b.s, b.len)) < b.len;) /* a text that was cut within a character */
        b.s[bad] = '?';
    ste_err_set(err, STE_EINPUT, "%s, line %d: %s", name, line, b.s);
    ste_buf_clear(&b);
}

void jinja_parse_fail(struct parser *p, int line, const char *fmt, ...)
{
    va_list ap;
    if (p->failed)
        return;
    p->failed = true;
    va_start(ap, fmt);
    jinja_say(p->err, p->j->name, line, fmt, ap);
    va_end(ap);
}

static struct token *add(struct parser *p, enum token_kind kind, int line, const char *s, size_t n)
{
    STE_GROW(p->tokens, p->cap, p->n + 1);
    p->tokens[p->n] = (struct token){.kind = kind, .line = line, .text = {s, NULL, n}};
    return &p->tokens[p->n++];
}

struct lexer {
    struct parser *p;
    const char *s, *end;
    int line;
};

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static bool at(const struct lexer *l, const char *what)
{
    const size_t n = strlen(what);
    return (size_t)(l->end - l->s) >= n && !memcmp(l->s, what, n);
}

static void go(struct lexer *l, const char *to)
{
    for (; l->s < to; l->s++)
        l->line += *l->s == '\n';
}

/* Behind a tag: with "-" all white space goes, otherwise, but for "+" and variables, one newline. */
static void skip_after(struct lexer *l, char sign, bool variable)
{
    const char *to = l->s;
    if (sign == '-')
        while (to < l->end && is_space(*to))
            to++;
    else if (sign != '+' && !variable && to < l->end && *to == '\n')
        to++;
    go(l, to);
}

static void add_utf8(struct ste_buf *b, unsigned long c)
{
    if (c < 0x80) {
        ste_buf_addc(b, (char)c);
        return;
    }
    const int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    ste_buf_addc(b, (char)((0xFF00 >> (more + 1) & 0xFF) | (int)(c >> 6 * more)));
    for (int i = more - 1; i >= 0; i--)
        ste_buf_addc(b, (char)(0x80 | (c >> 6 * i & 63)));
}

/* The escape behind a backslash at S, as Python reads it; returns what follows. */
static const char *escape(struct lexer *l, const char *s, const char *end, struct ste_buf *b)
{
    static const char from[] = "nrtabfv\\'\"\n", to[] = "\n\r\t\a\b\f\v\\'\"";
    const char *known = strchr(from, *s);
    if (known && *known) {
        if (*s != '\n')
            ste_buf_addc(b, to[known - from]);
        return s + 1;
    }
    const int digits = *s == 'x' ? 2 : *s == 'u' ? 4 : *s == 'U' ? 8 : 0;
    unsigned long c = 0;
    int got = 0;
    if (digits)
        for (; got < digits && s + 1 + got < end && strchr("0123456789abcdefABCDEF", s[1 + got]); got++) {
            const char digit = s[1 + got];
            c = c << 4 | (unsigned long)(digit <= '9' ? digit - '0' : (digit | 32) - 'a' + 10);
        }
    else
        for (; got < 3 && s + got < end && s[got] >= '0' && s[got] <= '7'; got++)
            c = c << 3 | (unsigned long)(s[got] - '0');
    if (digits ? got < digits || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000) : !got) {
        if (digits)
            jinja_parse_fail(l->p, l->line, "\\%c is not followed by the %d digits of a character", *s, digits);
        ste_buf_addc(b, '\\');
        return s;
    }
    add_utf8(b, c);
    return s + got + (digits > 0);
}

static void lex_text(struct lexer *l)
{
    const char quote = *l->s, *s = l->s + 1;
    const int line = l->line;
    struct ste_buf b = STE_BUF_INIT;
    while (s < l->end && *s != quote) {
        if (*s == '\\' && s + 1 < l->end)
            s = escape(l, s + 1, l->end, &b);
        else
            ste_buf_addc(&b, *s++);
    }
    if (s == l->end)
        jinja_parse_fail(l->p, line, "a text that begins with %c does not end", quote);
    char *kept = jinja_arena_get(&l->p->j->arena, b.len + 1);
    memcpy(kept, b.s, b.len);
    add(l->p, T_TEXT, line, kept, b.len);
    ste_buf_clear(&b);
    go(l, s < l->end ? s + 1 : s);
}

static void lex_number(struct lexer *l)
{
    char digits[64];
    size_t n = 0;
    const char *s = l->s;
    bool real = false;
    for (; s < l->end && n + 1 < sizeof digits; s++) {
        const bool dot = *s == '.' && !real && s + 1 < l->end && s[1] >= '0' && s[1] <= '9';
        const bool exponent =
            (*s | 32) == 'e' && s + 1 < l->end && (s[1] == '-' || s[1] == '+' || (s[1] >= '0' && s[1] <= '9'));
        if (*s == '_')
            continue;
        if (!dot && !exponent && (*s < '0' || *s > '9'))
            break;
        real = real || dot || exponent;
        digits[n++] = *s;
        if (exponent)
            digits[n++] = *++s;
        if (n + 2 > sizeof digits)
            break;
    }
    digits[n] = 0;
    errno = 0;
    struct token *t = add(l->p, real ? T_REAL : T_INT, l->line, l->s, (size_t)(s - l->s));
    t->r = strtod(digits, NULL);
    t->i = real ? 0 : strtoll(digits, NULL, 10);
    if (errno)
        jinja_parse_fail(l->p, l->line, "the number %s is too large", digits);
    go(l, s);
}

/* The inside of {{ }} or {% %}, up to its end. */
static void lex_tag(struct lexer *l, bool variable)
{
    static const char *const ops[] = {"//", "**", "==", "!=", ">=", "<="};
    const char *const ends = variable ? "}}" : "%}";
    const int line = l->line;
    int braces = 0;
    while (l->s < l->end && !l->p->failed) {
        const char sign = *l->s;
        if (!braces && (at(l, ends) || ((sign == '-' || (sign == '+' && !variable)) && l->end - l->s > 2 &&
                                        !memcmp(l->s + 1, ends, 2)))) {
            const bool signed_ = !at(l, ends);
            add(l->p, variable ? T_VARIABLE_END : T_BLOCK_END, l->line, l->s, 2);
            go(l, l->s + 2 + signed_);
            skip_after(l, signed_ ? sign : 0, variable);
            return;
        }
        if (is_space(sign)) {
            go(l, l->s + 1);
        } else if (sign == '"' || sign == '\'') {
            lex_text(l);
        } else if (sign >= '0' && sign <= '9') {
            lex_number(l);
        } else if (is_word(sign)) {
            const char *s = l->s;
            while (s < l->end && is_word(*s))
                s++;
            add(l->p, T_NAME, l->line, l->s, (size_t)(s - l->s));
            go(l, s);
        } else if (strchr("+-/*%~[](){}<>=!.:|,", sign) && sign) {
            size_t n = 1;
            for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
                n = at(l, ops[i]) ? 2 : n;
            braces += !!strchr("([{", sign) - !!strchr(")]}", sign);
            braces = braces < 0 ? 0 : braces;
            add(l->p, T_OP, l->line, l->s, n);
            go(l, l->s + n);
        } else {
            jinja_parse_fail(l->p, l->line, "a tag cannot hold the byte 0x%02X", (uint8_t)sign);
        }
    }
    jinja_parse_fail(l->p, line, "the tag %s is not closed", variable ? "{{" : "{%");
}

static void lex_comment(struct lexer *l)
{
    const char *end = memmem(l->s, (size_t)(l->end - l->s), "#}", 2);
    if (!end) {
        jinja_parse_fail(l->p, l->line, "the comment {# is not closed");
        return;
    }
    const char sign = end > l->s ? end[-1] : 0;
    go(l, end + 2);
    skip_after(l, sign, false);
}

/* {% raw %}: the text up to {% endraw %} is data. True: this was one. */
static bool lex_raw(struct lexer *l, char sign)
{
    struct lexer k = *l;
    while (k.s < k.end && is_space(*k.s))
        go(&k, k.s + 1);
    if (!at(&k, "raw"))
        return false;
    go(&k, k.s + 3);
    while (k.s < k.end && is_space(*k.s))
        go(&k, k.s + 1);
    sign = at(&k, "-%}") ? '-' : 0;
    if (!sign && !at(&k, "%}"))
        return false;
    go(&k, k.s + (sign ? 3 : 2));
    if (sign)
        skip_after(&k, sign, false);
    for (const char *s = k.s; (s = memmem(s, (size_t)(k.end - s), "{%", 2)); s += 2) {
        const char *e = s + 2, *data_end = s;
        const bool before = e < k.end && *e == '-';
        e += e < k.end && (*e == '-' || *e == '+');
        while (e < k.end && is_space(*e))
            e++;
        if (k.end - e < 6 || memcmp(e, "endraw", 6))
            continue;
        for (e += 6; e < k.end && is_space(*e);)
            e++;
        const bool after = e < k.end && *e == '-';
        e += after;
        if (k.end - e < 2 || memcmp(e, "%}", 2))
            continue;
        while (before && data_end > k.s && is_space(data_end[-1]))
            data_end--;
        add(k.p, T_DATA, k.line, k.s, (size_t)(data_end - k.s));
        go(&k, e + 2);
        skip_after(&k, after ? '-' : 0, false);
        *l = k;
        return true;
    }
    jinja_parse_fail(l->p, l->line, "{%% raw %%} is not closed");
    return true;
}

/* Text up to the next tag: with "-" without the white space at its end, otherwise, but for "+" and variables, without
 * the blanks that begin the tag's line. */
static void add_data(struct lexer *l, const char *tag, char sign, bool variable, const char *begin)
{
    const char *end = tag;
    if (sign == '-') {
        while (end > l->s && is_space(end[-1]))
            end--;
    } else if (sign != '+' && !variable) {
        while (end > l->s && end[-1] != '\n' && is_space(end[-1]))
            end--;
        if (end > begin && end[-1] != '\n')
            end = tag;
    }
    if (end > l->s)
        add(l->p, T_DATA, l->line, l->s, (size_t)(end - l->s));
    go(l, tag);
}

void jinja_lex(struct parser *p, const char *text, size_t n)
{
    char *s = jinja_arena_get(&p->j->arena, n + 1);
    size_t k = 0;
    for (size_t i = 0; i < n; i++) /* every newline is \n, and one at the end is none */
        if (text[i] != '\r')
            s[k++] = text[i];
        else if (i + 1 == n || text[i + 1] != '\n')
            s[k++] = '\n';
    k -= k && s[k - 1] == '\n';
    struct lexer l = {p, s, s + k, 1};
    while (l.s < l.end && !p->failed) {
        const char *tag = l.s;
        while ((tag = memchr(tag, '{', (size_t)(l.end - tag))) && (tag + 1 == l.end || !memchr("{%#", tag[1], 3)))
            tag++;
        if (!tag) {
            add(p, T_DATA, l.line, l.s, (size_t)(l.end - l.s));
            break;
        }
        const char kind = tag[1], sign = tag + 2 < l.end && (tag[2] == '-' || tag[2] == '+') ? tag[2] : 0;
        add_data(&l, tag, sign, kind == '{', s);
        const int line = l.line;
        go(&l, tag + 2 + (sign != 0));
        if (kind == '#') {
            lex_comment(&l);
        } else if (kind == '{' || !lex_raw(&l, sign)) {
            add(p, kind == '{' ? T_VARIABLE : T_BLOCK, line, tag, 2);
            lex_tag(&l, kind == '{');
        }
    }
    add(p, T_END, l.line, "", 0);
}
