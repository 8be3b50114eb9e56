#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/mem.h"
#include "model/jinja/internal.h"

/* ---- memory ---- */

struct arena_block {
    struct arena_block *next;
    size_t used, size;
};
enum { BLOCK = 16 << 10, HEAD = (sizeof(struct arena_block) + 15) & ~15 };

void *jinja_arena_get(struct arena *a, size_t size)
{
    size = (size + 15) & ~(size_t)15;
    if (!a->blocks || a->blocks->size - a->blocks->used < size) {
        const size_t room = size > BLOCK / 4 ? size : BLOCK;
        struct arena_block *b = ste_xcalloc(1, HEAD + room);
        b->size = room;
        a->used += room;
        if (a->blocks && room != BLOCK) { /* the block that is being filled stays the first */
            b->next = a->blocks->next;
            a->blocks->next = b;
        } else {
            b->next = a->blocks;
            a->blocks = b;
        }
        b->used = size;
        return (char *)b + HEAD;
    }
    void *p = (char *)a->blocks + HEAD + a->blocks->used;
    a->blocks->used += size;
    return p;
}

void jinja_arena_clear(struct arena *a)
{
    for (struct arena_block *b = a->blocks, *next; b; b = next) {
        next = b->next;
        ste_xfree(b);
    }
    *a = (struct arena){0};
}

/* ---- texts ---- */

bool jinja_text_is(struct text t, const char *s)
{
    return strlen(s) == t.n && !memcmp(t.s, s, t.n);
}

bool jinja_text_equal(struct text a, struct text b)
{
    return a.n == b.n && (!a.n || !memcmp(a.s, b.s, a.n));
}

struct text jinja_text_part(struct text t, size_t from, size_t n)
{
    return (struct text){t.s + from, t.marks ? t.marks + from : NULL, n};
}

size_t jinja_text_find(struct run *r, struct text t, struct text what, size_t from)
{
    if (!jinja_run_step(r, (t.n - from) / 64) || what.n > t.n - from)
        return t.n;
    const char *p = what.n ? memmem(t.s + from, t.n - from, what.s, what.n) : t.s + from;
    return p ? (size_t)(p - t.s) : t.n;
}

size_t jinja_text_step(struct text t, size_t at)
{
    size_t n = 1;
    while (at + n < t.n && ((uint8_t)t.s[at + n] & 0xC0) == 0x80)
        n++;
    return n;
}

size_t jinja_text_length(struct text t)
{
    size_t n = 0;
    for (size_t i = 0; i < t.n; i++)
        n += ((uint8_t)t.s[i] & 0xC0) != 0x80;
    return n;
}

void jinja_put(struct run *r, struct ste_buf *s, struct ste_buf *marks, struct text t)
{
    if (!jinja_run_step(r, t.n / 64))
        return;
    if (t.n > STE_JINJA_MAX_OUTPUT - s->len) {
        jinja_run_fail(r, "a text grows beyond %d bytes", STE_JINJA_MAX_OUTPUT);
        return;
    }
    ste_buf_add(s, t.s, t.n);
    ste_buf_reserve(marks, t.n);
    if (t.n && t.marks)
        memcpy(marks->s + marks->len, t.marks, t.n);
    else if (t.n)
        memset(marks->s + marks->len, 0, t.n);
    marks->len += t.n;
}

struct text jinja_made(struct run *r, struct making *m)
{
    const size_t n = m->s.len;
    struct text t = {"", NULL, 0};
    if (!r->failed && n) {
        char *s = jinja_arena_get(&r->arena, n);
        uint8_t *marks = NULL;
        memcpy(s, m->s.s, n);
        for (size_t i = 0; i < n && !marks; i++)
            if (m->marks.s[i])
                marks = jinja_arena_get(&r->arena, n);
        if (marks)
            memcpy(marks, m->marks.s, n);
        t = (struct text){s, marks, n};
    }
    ste_buf_clear(&m->s);
    ste_buf_clear(&m->marks);
    return t;
}

/* ---- values ---- */

struct value jinja_undefined(struct text name)
{
    return (struct value){.kind = UNDEFINED, .t = name};
}

struct value jinja_none(void)
{
    return (struct value){.kind = NONE};
}

struct value jinja_bool(bool b)
{
    return (struct value){.kind = BOOL, .b = b};
}

struct value jinja_int(int64_t i)
{
    return (struct value){.kind = INT, .i = i};
}

struct value jinja_real(double x)
{
    return (struct value){.kind = REAL, .r = x};
}

struct value jinja_text(struct text t)
{
    return (struct value){.kind = TEXT, .t = t};
}

struct value jinja_list(struct run *r)
{
    return (struct value){.kind = LIST, .list = jinja_arena_get(&r->arena, sizeof(struct list))};
}

struct value jinja_dict(struct run *r)
{
    return (struct value){.kind = DICT, .dict = jinja_arena_get(&r->arena, sizeof(struct dict))};
}

static struct value *grown(struct run *r, struct value *items, size_t n, size_t cap)
{
    struct value *more = jinja_arena_get(&r->arena, cap * sizeof *more);
    if (n)
        memcpy(more, items, n * sizeof *more);
    return more;
}

void jinja_list_add(struct run *r, struct list *l, struct value v)
{
    if (!jinja_run_step(r, 1))
        return;
    if (l->n == l->cap) {
        l->cap = l->cap ? 2 * l->cap : 4;
        l->items = grown(r, l->items, l->n, l->cap);
    }
    l->items[l->n++] = v;
}

static size_t place(struct run *r, const struct dict *d, struct value key)
{
    size_t i = 0;
    while (i < d->n && !jinja_equal(r, d->keys[i], key))
        i++;
    return r->failed ? d->n : i;
}

void jinja_dict_set(struct run *r, struct dict *d, struct value key, struct value v)
{
    const size_t i = place(r, d, key);
    if (r->failed)
        return;
    if (i == d->n && d->n == d->cap) {
        d->cap = d->cap ? 2 * d->cap : 4;
        d->keys = grown(r, d->keys, d->n, d->cap);
        d->values = grown(r, d->values, d->n, d->cap);
    }
    d->n += i == d->n;
    d->keys[i] = key;
    d->values[i] = v;
}

const struct value *jinja_dict_get(struct run *r, const struct dict *d, struct value key)
{
    const size_t i = place(r, d, key);
    return i < d->n ? &d->values[i] : NULL;
}

bool jinja_is_true(struct value v)
{
    switch (v.kind) {
    case UNDEFINED:
    case NONE:
        return false;
    case BOOL:
        return v.b;
    case INT:
        return v.i != 0;
    case REAL:
        return v.r != 0;
    case TEXT:
        return v.t.n > 0;
    case LIST:
        return v.list->n > 0;
    case DICT:
        return v.dict->n > 0;
    default:
        return true;
    }
}

const char *jinja_kind_name(struct value v)
{
    static const char *const names[] = {
        "an undefined value", "none",        "a truth value", "a number", "a number",   "a text",  "a list",
        "a mapping",          "a namespace", "a loop",        "a macro",  "a function", "a method"};
    return names[v.kind];
}

static bool is_number(struct value v)
{
    return v.kind == BOOL || v.kind == INT || v.kind == REAL;
}

static double number(struct value v)
{
    return v.kind == BOOL ? v.b : v.kind == INT ? (double)v.i : v.r;
}

static int64_t whole(struct value v)
{
    return v.kind == BOOL ? v.b : v.i;
}

static bool equal_parts(struct run *r, struct value a, struct value b)
{
    if (is_number(a) && is_number(b))
        return a.kind == REAL || b.kind == REAL ? number(a) == number(b) : whole(a) == whole(b);
    if (a.kind != b.kind)
        return false;
    bool equal = true;
    switch (a.kind) {
    case TEXT:
        return jinja_run_step(r, a.t.n / 64) && jinja_text_equal(a.t, b.t);
    case LIST:
        equal = a.list->n == b.list->n && a.tuple == b.tuple;
        for (size_t i = 0; equal && i < a.list->n; i++)
            equal = jinja_equal(r, a.list->items[i], b.list->items[i]);
        return equal;
    case DICT:
        equal = a.dict->n == b.dict->n;
        for (size_t i = 0; equal && i < a.dict->n; i++) {
            const struct value *other = jinja_dict_get(r, b.dict, a.dict->keys[i]);
            equal = other && jinja_equal(r, a.dict->values[i], *other);
        }
        return equal;
    case NAMESPACE:
        return a.dict == b.dict;
    case MACRO:
        return a.macro == b.macro;
    default:
        return true;
    }
}

bool jinja_equal(struct run *r, struct value a, struct value b)
{
    bool equal = false;
    if (!jinja_run_step(r, 1))
        return false;
    if (++r->depth > STE_JINJA_MAX_DEPTH)
        jinja_run_fail(r, "values stand too deep within each other");
    else
        equal = equal_parts(r, a, b);
    r->depth--;
    return equal;
}

int jinja_order(struct run *r, struct value a, struct value b)
{
    if (is_number(a) && is_number(b)) {
        if (a.kind == REAL || b.kind == REAL)
            return (number(a) > number(b)) - (number(a) < number(b));
        return (whole(a) > whole(b)) - (whole(a) < whole(b));
    }
    if (a.kind == TEXT && b.kind == TEXT) {
        const size_t n = a.t.n < b.t.n ? a.t.n : b.t.n;
        const int c = n && jinja_run_step(r, n / 64) ? memcmp(a.t.s, b.t.s, n) : 0;
        return c ? c : (a.t.n > b.t.n) - (a.t.n < b.t.n);
    }
    if (a.kind == LIST && b.kind == LIST && ++r->depth < STE_JINJA_MAX_DEPTH) {
        int c = 0;
        for (size_t i = 0; !c && !r->failed && i < a.list->n && i < b.list->n; i++)
            c = jinja_order(r, a.list->items[i], b.list->items[i]);
        r->depth--;
        return c ? c : (a.list->n > b.list->n) - (a.list->n < b.list->n);
    }
    jinja_run_fail(r, "%s and %s have no order", jinja_kind_name(a), jinja_kind_name(b));
    return 0;
}

struct list *jinja_items(struct run *r, struct value v)
{
    struct list *l = jinja_list(r).list;
    switch (v.kind) {
    case LIST:
        return v.list;
    case UNDEFINED:
        break;
    case TEXT:
        for (size_t i = 0, n; i < v.t.n && !r->failed; i += n) {
            n = jinja_text_step(v.t, i);
            jinja_list_add(r, l, jinja_text(jinja_text_part(v.t, i, n)));
        }
        break;
    case DICT:
        for (size_t i = 0; i < v.dict->n; i++)
            jinja_list_add(r, l, v.dict->keys[i]);
        break;
    default:
        jinja_run_fail(r, "there is nothing to go over in %s", jinja_kind_name(v));
    }
    return l;
}

/* ---- values as text ---- */

void jinja_put_real(double x, char out[40])
{
    int digits = 1;
    if (!isfinite(x)) {
        snprintf(out, 40, "%s", isnan(x) ? "nan" : x > 0 ? "inf" : "-inf");
        return;
    }
    if (fabs(x) < 1e16 && x == floor(x)) {
        snprintf(out, 40, "%.1f", x);
        return;
    }
    do
        snprintf(out, 40, "%.*g", digits, x);
    while (digits++ < 17 && strtod(out, NULL) != x);
    if (fabs(x) >= 1e-4 && fabs(x) < 1e16) /* %g changes to an exponent by the digits that it was asked for */
        for (digits = 1; digits < 20; digits++) {
            snprintf(out, 40, "%.*f", digits, x);
            if (strtod(out, NULL) == x)
                break;
        }
}

static void put_c(struct run *r, struct ste_buf *s, struct ste_buf *marks, const char *c)
{
    jinja_put(r, s, marks, (struct text){c, NULL, strlen(c)});
}

/* As Python shows a text within a list. */
static void put_quoted(struct run *r, struct ste_buf *s, struct ste_buf *marks, struct text t)
{
    const char quote = memchr(t.s, '\'', t.n) && !memchr(t.s, '"', t.n) ? '"' : '\'';
    jinja_put(r, s, marks, (struct text){&quote, NULL, 1});
    for (size_t i = 0; i < t.n && !r->failed; i++) {
        const char c = t.s[i];
        char escaped[8] = {c};
        if (c == '\n' || c == '\r' || c == '\t')
            snprintf(escaped, sizeof escaped, "\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
        else if (c == '\\' || c == quote)
            snprintf(escaped, sizeof escaped, "\\%c", c);
        else if ((uint8_t)c < 0x20 || c == 0x7F)
            snprintf(escaped, sizeof escaped, "\\x%02x", (unsigned)c);
        uint8_t m[8];
        memset(m, t.marks ? t.marks[i] : 0, sizeof m);
        jinja_put(r, s, marks, (struct text){escaped, m, strlen(escaped)});
    }
    jinja_put(r, s, marks, (struct text){&quote, NULL, 1});
}

static void put(struct run *r, struct ste_buf *s, struct ste_buf *marks, struct value v, bool quoted)
{
    char number[40];
    if (!jinja_run_step(r, 1))
        return;
    if (++r->depth > STE_JINJA_MAX_DEPTH)
        jinja_run_fail(r, "values stand too deep within each other");
    switch (v.kind) {
    case UNDEFINED:
        break;
    case NONE:
        put_c(r, s, marks, "None");
        break;
    case BOOL:
        put_c(r, s, marks, v.b ? "True" : "False");
        break;
    case INT:
        snprintf(number, sizeof number, "%lld", (long long)v.i);
        put_c(r, s, marks, number);
        break;
    case REAL:
        jinja_put_real(v.r, number);
        put_c(r, s, marks, number);
        break;
    case TEXT:
        if (quoted)
            put_quoted(r, s, marks, v.t);
        else
            jinja_put(r, s, marks, v.t);
        break;
    case LIST:
        put_c(r, s, marks, v.tuple ? "(" : "[");
        for (size_t i = 0; i < v.list->n && !r->failed; i++) {
            put_c(r, s, marks, i ? ", " : "");
            put(r, s, marks, v.list->items[i], true);
        }
        put_c(r, s, marks, v.tuple ? v.list->n == 1 ? ",)" : ")" : "]");
        break;
    case DICT:
        put_c(r, s, marks, "{");
        for (size_t i = 0; i < v.dict->n && !r->failed; i++) {
            put_c(r, s, marks, i ? ", " : "");
            put(r, s, marks, v.dict->keys[i], true);
            put_c(r, s, marks, ": ");
            put(r, s, marks, v.dict->values[i], true);
        }
        put_c(r, s, marks, "}");
        break;
    default:
        jinja_run_fail(r, "%s is no text", jinja_kind_name(v));
    }
    r->depth--;
}

void jinja_put_value(struct run *r, struct ste_buf *s, struct ste_buf *marks, struct value v)
{
    put(r, s, marks, v, false);
}

struct text jinja_string(struct run *r, struct value v)
{
    if (v.kind == TEXT)
        return v.t;
    struct making m = MAKING;
    jinja_put_value(r, &m.s, &m.marks, v);
    return jinja_made(r, &m);
}
