/* raw.h: what writes. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/raw.h"
#include "core/sixteen.h"

static void add_text(struct ste_buf *b, const char *p, size_t size)
{
    static const char named[] = "\"\"\\\\\bb\ff\nn\rr\tt"; /* the character and what stands for it */
    const char *end = p + size;
    ste_buf_reserve(b, size + 2);
    ste_buf_addc(b, '"');
    for (; p < end; p++) {
        const char *from = p;
        p = ste_first_escaped(p, end);
        ste_buf_add(b, from, (size_t)(p - from));
        if (p == end)
            break;
        size_t i = 0;
        while (named[i] && named[i] != *p)
            i += 2;
        if (named[i])
            ste_buf_add(b, (const char[]){'\\', named[i + 1]}, 2);
        else
            ste_buf_addf(b, "\\u%04X", (unsigned char)*p);
    }
    ste_buf_addc(b, '"');
}

void ste_raw_add_text(struct ste_buf *b, const char *text)
{
    add_text(b, text, strlen(text));
}

/* As jansson writes it, so that equal values give equal bytes. */
static void add_real(struct ste_buf *b, double v)
{
    json_t *j = v == 0 || v == 1 ? NULL : json_real(v);
    char *s = j ? json_dumps(j, JSON_ENCODE_ANY | JSON_REAL_PRECISION(17)) : NULL;
    ste_buf_adds(b, s ? s : v == 1 ? "1.0" : signbit(v) ? "-0.0" : "0.0");
    ste_xfree(s);
    json_decref(j);
}

/* Writes V at TO, and gives the place behind it. */
static char *add_digits(char *to, int64_t v)
{
    uint64_t x = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    int n = 1;
    for (uint64_t rest = x; rest > 9; rest /= 10)
        n++;
    if (v < 0)
        *to++ = '-';
    for (char *p = to + n; p > to; x /= 10)
        *--p = (char)('0' + x % 10);
    return to + n;
}

static void add_int(struct ste_buf *b, int64_t v)
{
    char digits[24];
    ste_buf_add(b, digits, (size_t)(add_digits(digits, v) - digits));
}

void ste_raw_add_value(struct ste_buf *b, const json_t *v)
{
    const char *key;
    json_t *item;
    size_t i;
    bool first = true;
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        ste_buf_addc(b, '{');
        json_object_foreach((json_t *)v, key, item)
        {
            if (!first)
                ste_buf_addc(b, ',');
            first = false;
            ste_raw_add_text(b, key);
            ste_buf_addc(b, ':');
            ste_raw_add_value(b, item);
        }
        ste_buf_addc(b, '}');
        break;
    case JSON_ARRAY:
        ste_buf_addc(b, '[');
        json_array_foreach(v, i, item)
        {
            if (i)
                ste_buf_addc(b, ',');
            ste_raw_add_value(b, item);
        }
        ste_buf_addc(b, ']');
        break;
    case JSON_STRING:
        add_text(b, json_string_value(v), json_string_length(v));
        break;
    case JSON_INTEGER:
        add_int(b, json_integer_value(v));
        break;
    case JSON_REAL:
        add_real(b, json_real_value(v));
        break;
    default:
        ste_buf_adds(b, json_is_true(v) ? "true" : json_is_false(v) ? "false" : "null");
    }
}

/* Opens the value of KEY; close ends it. */
static struct ste_buf *open(struct ste_raw_object *o, const char *key)
{
    if (o->n == STE_RAW_FIELDS)
        abort();
    o->fields[o->n].key = key;
    o->fields[o->n].json = NULL;
    o->fields[o->n].at = o->text.len;
    return &o->text;
}

static void close(struct ste_raw_object *o)
{
    o->fields[o->n].n = o->text.len - o->fields[o->n].at;
    o->n++;
}

void ste_raw_set(struct ste_raw_object *o, const char *key, const char *json)
{
    open(o, key);
    o->fields[o->n].json = json;
    close(o);
    o->fields[o->n - 1].n = strlen(json);
    o->given += o->fields[o->n - 1].n;
}

void ste_raw_set_text(struct ste_raw_object *o, const char *key, const char *text)
{
    ste_raw_add_text(open(o, key), text);
    close(o);
}

void ste_raw_set_int(struct ste_raw_object *o, const char *key, int64_t v)
{
    add_int(open(o, key), v);
    close(o);
}

void ste_raw_set_real(struct ste_raw_object *o, const char *key, double v)
{
    add_real(open(o, key), v);
    close(o);
}

void ste_raw_set_ids(struct ste_raw_object *o, const char *key, const struct ste_raw_list *lists, size_t n)
{
    struct ste_buf *b = open(o, key);
    ste_buf_addc(b, '[');
    for (size_t k = 0; k < n; k++) {
        ste_buf_reserve(b, 12 * lists[k].n);
        char *to = b->s + b->len;
        for (size_t i = 0; i < lists[k].n; i++) {
            to = add_digits(to, lists[k].ids[i]);
            *to++ = ',';
        }
        b->len = (size_t)(to - b->s);
    }
    b->len -= b->s[b->len - 1] == ',';
    ste_buf_addc(b, ']');
    close(o);
}

char *ste_raw_done(struct ste_raw_object *o)
{
    struct ste_buf b = STE_BUF_INIT;
    int order[STE_RAW_FIELDS];
    for (int i = 0; i < o->n; i++) {
        int k = i;
        for (; k && strcmp(o->fields[order[k - 1]].key, o->fields[i].key) > 0; k--)
            order[k] = order[k - 1];
        order[k] = i;
    }
    ste_buf_reserve(&b, o->text.len + o->given + 40 * (size_t)o->n + 2);
    ste_buf_addc(&b, '{');
    for (int i = 0; i < o->n; i++) {
        if (i)
            ste_buf_addc(&b, ',');
        ste_raw_add_text(&b, o->fields[order[i]].key);
        ste_buf_addc(&b, ':');
        const char *json = o->fields[order[i]].json;
        ste_buf_add(&b, json ? json : o->text.s + o->fields[order[i]].at, o->fields[order[i]].n);
    }
    ste_buf_addc(&b, '}');
    ste_buf_clear(&o->text);
    *o = (struct ste_raw_object)STE_RAW_OBJECT;
    return ste_buf_detach(&b);
}
