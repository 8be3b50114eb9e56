#include "core/yaml.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "core/domain.h"
#include "core/file.h"
#include "core/mem.h"

#define MAX_DEPTH 64
#define MAX_FILE (16u << 20)

struct reader {
    yaml_parser_t parser;
    const char *what;
    struct ste_err *err;
};

static void end_event(void *of, size_t n)
{
    yaml_event_delete(of);
}

static void end_parser(void *of, size_t n)
{
    yaml_parser_delete(of);
}

static void drop(yaml_event_t *e)
{
    ste_disown(e, end_event);
    yaml_event_delete(e);
}

/* One more event, which the caller drops. */
static bool next_event(struct reader *r, yaml_event_t *e)
{
    const yaml_parser_t *p = &r->parser;
    if (yaml_parser_parse(&r->parser, e)) {
        ste_own(e, 0, end_event);
        return true;
    }
    if (p->error == YAML_MEMORY_ERROR)
        ste_no_memory(0);
    if (p->error == YAML_READER_ERROR) {
        size_t line = 1; /* the reader knows only the byte */
        for (size_t i = 0; i < p->problem_offset && p->input.string.start + i < p->input.string.end; i++)
            line += p->input.string.start[i] == '\n';
        ste_err_set(r->err, STE_EINPUT, "%s:%zu: %s", r->what, line, p->problem);
    } else {
        ste_err_set(r->err, STE_EINPUT, "%s:%zu: %s%s%s", r->what, p->problem_mark.line + 1,
                    p->problem ? p->problem : "not YAML", p->context ? " " : "", p->context ? p->context : "");
    }
    return false;
}

static json_t *fail_at(struct reader *r, const yaml_event_t *e, const char *text)
{
    ste_err_set(r->err, STE_EINPUT, "%s:%zu: %s", r->what, e->start_mark.line + 1, text);
    return NULL;
}

static size_t digits(const char *s)
{
    return strspn(s, "0123456789");
}

static bool is_core_float(const char *s)
{
    s += *s == '-' || *s == '+';
    size_t whole = digits(s), part = 0;
    s += whole;
    if (*s == '.') {
        part = digits(++s);
        s += part;
    }
    if (!whole && !part)
        return false;
    if (*s == 'e' || *s == 'E') {
        s++;
        s += *s == '-' || *s == '+';
        size_t n = digits(s);
        if (!n)
            return false;
        s += n;
    }
    return !*s;
}

static bool is_core_int(const char *s, int *base)
{
    *base = 10;
    if (s[0] == '0' && (s[1] == 'x' || s[1] == 'o') && s[2]) {
        *base = s[1] == 'x' ? 16 : 8;
        return s[2 + strspn(s + 2, *base == 16 ? "0123456789abcdefABCDEF" : "01234567")] == 0;
    }
    s += *s == '-' || *s == '+';
    return *s && !s[digits(s)];
}

static bool one_of(const char *s, const char *a, const char *b, const char *c)
{
    return !strcmp(s, a) || !strcmp(s, b) || !strcmp(s, c);
}

static bool is_not_finite(const char *s)
{
    if (one_of(s, ".nan", ".NaN", ".NAN"))
        return true;
    s += *s == '-' || *s == '+';
    return one_of(s, ".inf", ".Inf", ".INF");
}

/* A plain scalar by YAML's core schema. NULL: a number that JSON cannot hold. */
static json_t *plain(const char *s)
{
    int base;
    if (!*s || !strcmp(s, "~") || one_of(s, "null", "Null", "NULL"))
        return json_null();
    if (one_of(s, "true", "True", "TRUE"))
        return json_true();
    if (one_of(s, "false", "False", "FALSE"))
        return json_false();
    if (is_core_int(s, &base)) {
        errno = 0;
        long long v = strtoll(base == 10 ? s : s + 2, NULL, base);
        return errno ? NULL : json_integer(v);
    }
    if (is_core_float(s))
        return json_real(strtod(s, NULL));
    return is_not_finite(s) ? NULL : json_string(s);
}

static json_t *scalar(struct reader *r, const yaml_event_t *e)
{
    const char *s = (const char *)e->data.scalar.value;
    size_t n = e->data.scalar.length;
    const char *tag = (const char *)e->data.scalar.tag;
    if (memchr(s, 0, n))
        return fail_at(r, e, "a NUL character in a string");
    if (tag && strcmp(tag, YAML_STR_TAG) != 0)
        return fail_at(r, e, "tags are not used here");
    if (tag || e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return json_stringn(s, n);
    json_t *v = plain(s);
    return v ? v : fail_at(r, e, "the number is too large; put it in quotes if it is text");
}

static json_t *node(struct reader *r, const yaml_event_t *e, int depth);

static json_t *sequence(struct reader *r, int depth)
{
    json_t *list = json_array();
    for (;;) {
        yaml_event_t e;
        if (!next_event(r, &e))
            break;
        bool end = e.type == YAML_SEQUENCE_END_EVENT;
        json_t *v = end ? NULL : node(r, &e, depth);
        drop(&e);
        if (end)
            return list;
        if (!v)
            break;
        json_array_append_new(list, v);
    }
    json_decref(list);
    return NULL;
}

static json_t *mapping(struct reader *r, int depth)
{
    json_t *map = json_object();
    for (;;) {
        yaml_event_t e;
        if (!next_event(r, &e))
            break;
        if (e.type == YAML_MAPPING_END_EVENT) {
            drop(&e);
            return map;
        }
        char *key = NULL;
        if (e.type != YAML_SCALAR_EVENT) {
            fail_at(r, &e, "a key must be a plain word");
        } else if (memchr(e.data.scalar.value, 0, e.data.scalar.length)) {
            fail_at(r, &e, "a NUL character in a key");
        } else if (json_object_get(map, (char *)e.data.scalar.value)) {
            char *problem = ste_xasprintf("the key \"%s\" is given twice", (char *)e.data.scalar.value);
            fail_at(r, &e, problem);
            ste_xfree(problem);
        } else {
            key = ste_xstrdup((char *)e.data.scalar.value);
        }
        drop(&e);
        if (!key)
            break;
        json_t *v = NULL;
        if (next_event(r, &e)) {
            v = node(r, &e, depth);
            drop(&e);
        }
        if (v)
            json_object_set_new(map, key, v);
        ste_xfree(key);
        if (!v)
            break;
    }
    json_decref(map);
    return NULL;
}

static json_t *node(struct reader *r, const yaml_event_t *e, int depth)
{
    if (depth > MAX_DEPTH)
        return fail_at(r, e, "nested too deeply");
    switch (e->type) {
    case YAML_SCALAR_EVENT:
        return e->data.scalar.anchor ? fail_at(r, e, "anchors are not used here") : scalar(r, e);
    case YAML_SEQUENCE_START_EVENT:
        return e->data.sequence_start.anchor ? fail_at(r, e, "anchors are not used here") : sequence(r, depth + 1);
    case YAML_MAPPING_START_EVENT:
        return e->data.mapping_start.anchor ? fail_at(r, e, "anchors are not used here") : mapping(r, depth + 1);
    case YAML_ALIAS_EVENT:
        return fail_at(r, e, "aliases are not used here; write the value out");
    default:
        return fail_at(r, e, "a value is missing");
    }
}

static json_t *document(struct reader *r)
{
    json_t *root = NULL;
    for (;;) {
        yaml_event_t e;
        if (!next_event(r, &e))
            break;
        bool end = e.type == YAML_STREAM_END_EVENT, failed = false;
        if (e.type == YAML_DOCUMENT_START_EVENT && root) {
            fail_at(r, &e, "a second document; only one is read");
            failed = true;
        } else if (e.type != YAML_STREAM_START_EVENT && e.type != YAML_DOCUMENT_START_EVENT &&
                   e.type != YAML_DOCUMENT_END_EVENT && !end) {
            root = node(r, &e, 0);
            failed = !root;
        }
        drop(&e);
        if (end)
            return root ? root : json_null();
        if (failed)
            break;
    }
    json_decref(root);
    return NULL;
}

json_t *ste_yaml_parse(const char *text, size_t n, const char *what, struct ste_err *err)
{
    struct reader r = {.what = what, .err = err};
    if (!yaml_parser_initialize(&r.parser))
        ste_no_memory(0);
    ste_own(&r.parser, 0, end_parser);
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, n);
    json_t *j = document(&r);
    ste_disown(&r.parser, end_parser);
    yaml_parser_delete(&r.parser);
    return j;
}

json_t *ste_yaml_load(const char *path, struct ste_err *err)
{
    struct ste_buf b = STE_BUF_INIT;
    json_t *j = NULL;
    if (ste_file_read(path, MAX_FILE, &b, err) == 0)
        j = ste_yaml_parse(b.s, b.len, path, err);
    ste_buf_clear(&b);
    return j;
}

struct piece {
    struct ste_buf *out;
    const void *bytes;
    size_t n;
};

static void add_piece(void *arg)
{
    const struct piece *p = arg;
    ste_buf_add(p->out, p->bytes, p->n);
}

static int collect(void *arg, unsigned char *bytes, size_t n)
{
    return ste_domain_try(ste_domain(), add_piece, &(struct piece){arg, bytes, n});
}

static void end_emitter(void *of, size_t n)
{
    yaml_emitter_delete(of);
}

/* E, which MADE says is there. */
static void emit_event(yaml_emitter_t *em, int made, yaml_event_t *e)
{
    if (!made || !yaml_emitter_emit(em, e))
        ste_no_memory(0);
}

static void emit_scalar(yaml_emitter_t *em, const char *s, size_t n, yaml_scalar_style_t style)
{
    yaml_event_t e;
    emit_event(em, yaml_scalar_event_initialize(&e, NULL, NULL, (const yaml_char_t *)s, (int)n, 1, 1, style), &e);
}

static void emit_string(yaml_emitter_t *em, const char *s, size_t n)
{
    json_t *read = plain(s);
    bool text = read && json_is_string(read);
    json_decref(read);
    emit_scalar(em, s, n,
                !text                ? YAML_DOUBLE_QUOTED_SCALAR_STYLE
                : memchr(s, '\n', n) ? YAML_LITERAL_SCALAR_STYLE
                                     : YAML_ANY_SCALAR_STYLE);
}

static void emit(yaml_emitter_t *em, const json_t *j)
{
    yaml_event_t e;
    if (json_is_object(j)) {
        const char *key;
        json_t *v;
        emit_event(em, yaml_mapping_start_event_initialize(&e, NULL, NULL, 1, YAML_BLOCK_MAPPING_STYLE), &e);
        json_object_foreach((json_t *)j, key, v)
        {
            emit_string(em, key, strlen(key));
            emit(em, v);
        }
        emit_event(em, yaml_mapping_end_event_initialize(&e), &e);
    } else if (json_is_array(j)) {
        emit_event(em, yaml_sequence_start_event_initialize(&e, NULL, NULL, 1, YAML_BLOCK_SEQUENCE_STYLE), &e);
        for (size_t i = 0; i < json_array_size(j); i++)
            emit(em, json_array_get(j, i));
        emit_event(em, yaml_sequence_end_event_initialize(&e), &e);
    } else if (json_is_string(j)) {
        emit_string(em, json_string_value(j), json_string_length(j));
    } else {
        char *s;
        if (json_is_real(j)) { /* the shortest text that reads back as the same number, and as a real */
            int digits_shown = 6;
            for (;; digits_shown++, ste_xfree(s)) {
                s = ste_xasprintf("%.*g", digits_shown, json_real_value(j));
                if (digits_shown == 17 || strtod(s, NULL) == json_real_value(j))
                    break;
            }
            if (!s[strcspn(s, ".e")]) {
                char *whole = s;
                s = ste_xasprintf("%s.0", whole);
                ste_xfree(whole);
            }
        } else {
            char *dumped = json_dumps(j, JSON_ENCODE_ANY);
            s = ste_xstrdup(dumped);
            ste_xfree(dumped);
        }
        emit_scalar(em, s, strlen(s), YAML_PLAIN_SCALAR_STYLE);
        ste_xfree(s);
    }
}

void ste_yaml_write(const json_t *j, struct ste_buf *out)
{
    yaml_emitter_t em;
    yaml_event_t e;
    if (!yaml_emitter_initialize(&em))
        ste_no_memory(0);
    ste_own(&em, 0, end_emitter);
    yaml_emitter_set_output(&em, collect, out);
    yaml_emitter_set_unicode(&em, 1);
    yaml_emitter_set_width(&em, -1);
    yaml_emitter_set_indent(&em, 2);
    emit_event(&em, yaml_stream_start_event_initialize(&e, YAML_UTF8_ENCODING), &e);
    emit_event(&em, yaml_document_start_event_initialize(&e, NULL, NULL, NULL, 1), &e);
    emit(&em, j);
    emit_event(&em, yaml_document_end_event_initialize(&e, 1), &e);
    emit_event(&em, yaml_stream_end_event_initialize(&e), &e);
    ste_disown(&em, end_emitter);
    yaml_emitter_delete(&em);
}
