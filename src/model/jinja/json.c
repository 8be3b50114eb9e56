/* JSON in (the caller's variables) and out (the filter tojson). */
#include <stdio.h>
#include <stdlib.h>

#include "model/jinja/internal.h"

struct value jinja_from_json(struct run *r, const json_t *v, const json_t *object, const char *key)
{
    struct value out;
    const char *name;
    json_t *item;
    size_t i;
    switch (json_typeof(v)) {
    case JSON_STRING: {
        const size_t n = json_string_length(v);
        const uint8_t mark = r->in->mark ? r->in->mark(r->in->arg, object, key) : 0;
        uint8_t *marks = mark ? jinja_arena_get(&r->arena, n + 1) : NULL;
        if (marks)
            memset(marks, mark, n);
        return jinja_text((struct text){json_string_value(v), marks, n});
    }
    case JSON_INTEGER:
        return jinja_int(json_integer_value(v));
    case JSON_REAL:
        return jinja_real(json_real_value(v));
    case JSON_TRUE:
    case JSON_FALSE:
        return jinja_bool(json_is_true(v));
    case JSON_ARRAY:
        out = jinja_list(r);
        json_array_foreach(v, i, item) jinja_list_add(r, out.list, jinja_from_json(r, item, v, ""));
        return out;
    case JSON_OBJECT:
        out = jinja_dict(r);
        json_object_foreach((json_t *)(uintptr_t)v, name, item) jinja_dict_set(
            r, out.dict, jinja_text((struct text){name, NULL, strlen(name)}), jinja_from_json(r, item, v, name));
        return out;
    default:
        return jinja_none();
    }
}

struct writer {
    struct run *r;
    struct making m;
    struct text between, after_key;
    int64_t indent; /* -1: all in one line */
    bool ascii, sorted;
};

static void put(struct writer *w, struct text t)
{
    jinja_put(w->r, &w->m.s, &w->m.marks, t);
}

static void put_c(struct writer *w, const char *s)
{
    put(w, (struct text){s, NULL, strlen(s)});
}

/* Code point of the character of N bytes at S. */
static unsigned code_point(const char *s, size_t n)
{
    unsigned c = n == 1 ? (uint8_t)*s : (uint8_t)*s & (0x7Fu >> n);
    for (size_t i = 1; i < n; i++)
        c = c << 6 | ((uint8_t)s[i] & 63);
    return c;
}

static void put_string(struct writer *w, struct text t)
{
    static const char plain[] = "\"\\\n\r\t\f\b", letters[] = "\"\\nrtfb";
    size_t from = 0;
    put_c(w, "\"");
    for (size_t i = 0, n; i < t.n && !w->r->failed; i += n) {
        const char c = t.s[i], *known = c ? strchr(plain, c) : NULL;
        char out[16] = "";
        uint8_t marks[16];
        n = jinja_text_step(t, i);
        if (known) {
            snprintf(out, sizeof out, "\\%c", letters[known - plain]);
        } else if ((uint8_t)c < 0x20 || ((uint8_t)c >= 0x7F && w->ascii)) {
            const unsigned p = code_point(t.s + i, n);
            if (p >= 0x10000)
                snprintf(out, sizeof out, "\\u%04x\\u%04x", 0xD800 + ((p - 0x10000) >> 10), 0xDC00 + (p & 0x3FF));
            else if (p != 0x7F)
                snprintf(out, sizeof out, "\\u%04x", p);
        }
        if (!*out)
            continue;
        memset(marks, t.marks ? t.marks[i] : 0, sizeof marks);
        put(w, jinja_text_part(t, from, i - from));
        put(w, (struct text){out, marks, strlen(out)});
        from = i + n;
        jinja_run_step(w->r, 1);
    }
    put(w, jinja_text_part(t, from, t.n - from));
    put_c(w, "\"");
}

static void new_line(struct writer *w, int level)
{
    if (w->indent < 0)
        return;
    put_c(w, "\n");
    for (int64_t i = 0; i < w->indent * level && jinja_run_step(w->r, 1); i++)
        put_c(w, " ");
}

static void put_value(struct writer *w, struct value v, int level);

static int by_key(const void *a, const void *b)
{
    const struct text x = ((const struct value *)a)->t, y = ((const struct value *)b)->t;
    const int c = memcmp(x.s, y.s, x.n < y.n ? x.n : y.n);
    return c ? c : (x.n > y.n) - (x.n < y.n);
}

static void put_object(struct writer *w, const struct dict *d, int level)
{
    struct value *keys = jinja_arena_get(&w->r->arena, (d->n + 1) * sizeof *keys);
    bool texts = true;
    for (size_t i = 0; i < d->n; i++)
        texts = texts && d->keys[i].kind == TEXT;
    if (d->n)
        memcpy(keys, d->keys, d->n * sizeof *keys);
    if (w->sorted && texts)
        qsort(keys, d->n, sizeof *keys, by_key);
    put_c(w, "{");
    for (size_t i = 0; i < d->n && !w->r->failed; i++) {
        if (i)
            put(w, w->between);
        new_line(w, level + 1);
        if (keys[i].kind == TEXT) {
            put_string(w, keys[i].t);
        } else {
            put_c(w, "\"");
            put_value(w, keys[i], level + 1);
            put_c(w, "\"");
        }
        put(w, w->after_key);
        put_value(w, *jinja_dict_get(w->r, d, keys[i]), level + 1);
    }
    if (d->n)
        new_line(w, level);
    put_c(w, "}");
}

static void put_value(struct writer *w, struct value v, int level)
{
    char number[40];
    if (!jinja_run_step(w->r, 1))
        return;
    switch (v.kind) {
    case NONE:
        put_c(w, "null");
        break;
    case BOOL:
        put_c(w, v.b ? "true" : "false");
        break;
    case INT:
        snprintf(number, sizeof number, "%lld", (long long)v.i);
        put_c(w, number);
        break;
    case REAL:
        jinja_put_real(v.r, number);
        put_c(w, number);
        break;
    case TEXT:
        put_string(w, v.t);
        break;
    case LIST:
    case DICT:
        if (level >= STE_JINJA_MAX_DEPTH) {
            jinja_run_fail(w->r, "values stand too deep within each other");
        } else if (v.kind == DICT) {
            put_object(w, v.dict, level);
        } else {
            put_c(w, "[");
            for (size_t i = 0; i < v.list->n && !w->r->failed; i++) {
                if (i)
                    put(w, w->between);
                new_line(w, level + 1);
                put_value(w, v.list->items[i], level + 1);
            }
            if (v.list->n)
                new_line(w, level);
            put_c(w, "]");
        }
        break;
    default:
        jinja_run_fail(w->r, "%s cannot be written as JSON", jinja_kind_name(v));
    }
}

struct value jinja_tojson(struct run *r, struct value v, const struct args *args)
{
    const struct value indent = jinja_arg_or(args, 1, "indent", jinja_none()),
                       separators = jinja_arg_or(args, 2, "separators", jinja_none());
    struct writer w = {.r = r, .m = MAKING, .between = LITERAL(", "), .after_key = LITERAL(": "), .indent = -1};
    w.ascii = jinja_is_true(jinja_arg_or(args, 0, "ensure_ascii", jinja_bool(false)));
    w.sorted = jinja_is_true(jinja_arg_or(args, 3, "sort_keys", jinja_bool(false)));
    if (indent.kind == INT) {
        w.indent = indent.i < 0 ? 0 : indent.i > 100 ? 100 : indent.i;
        w.between = LITERAL(",");
    }
    if (separators.kind == LIST && separators.list->n == 2 && separators.list->items[0].kind == TEXT &&
        separators.list->items[1].kind == TEXT) {
        w.between = separators.list->items[0].t;
        w.after_key = separators.list->items[1].t;
    }
    put_value(&w, v, 0);
    return jinja_text(jinja_made(r, &w.m));
}
