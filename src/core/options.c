#include "core/options.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"

/* ---- a table and those in it as one row of options ---- */

enum { MOST_DEEP = 4 };

struct walk {
    const struct ste_option *at[MOST_DEEP]; /* the next one of each table */
    size_t base[MOST_DEEP];                 /* where its struct begins */
    size_t prefix[MOST_DEEP];               /* how much of KEY stands before its keys */
    int depth;
    int step;                   /* the first one that the present option changes */
    const struct ste_option *o; /* the present one: */
    size_t offset;              /* in the outermost struct */
    char key[96];               /* in full */
};

static struct walk walk(const struct ste_option *table)
{
    return (struct walk){.at = {table}};
}

static bool next(struct walk *w)
{
    while (w->at[w->depth]->key || w->depth) {
        const int d = w->depth;
        const struct ste_option *o = w->at[d];
        if (!o->key) {
            w->depth--;
            continue;
        }
        w->at[d]++;
        if (o->kind == STE_OPT_STEP) {
            w->step = o->step;
            continue;
        }
        w->offset = w->base[d] + o->offset;
        const bool deeper = o->kind == STE_OPT_TABLE;
        const int n =
            snprintf(w->key + w->prefix[d], sizeof w->key - w->prefix[d], "%s%s", o->key, deeper && *o->key ? "." : "");
        w->o = o;
        if (!deeper)
            return true;
        w->depth++;
        w->at[d + 1] = o->table;
        w->base[d + 1] = w->offset;
        w->prefix[d + 1] = w->prefix[d] + (size_t)n;
    }
    return false;
}

static bool find(const struct ste_option *table, const char *key, struct walk *out)
{
    for (*out = walk(table); next(out);)
        if (strcmp(out->key, key) == 0)
            return true;
    return false;
}

/* Its key as a flag. */
static void as_flag(struct walk *w)
{
    for (char *c = w->key; *c; c++)
        *c = *c == '_' ? '-' : *c;
}

void ste_options_keys(const struct ste_option *table, bool flags, struct ste_strings *out)
{
    for (struct walk w = walk(table); next(&w);) {
        if (flags)
            as_flag(&w);
        ste_strings_add(out, w.key);
    }
}

/* ---- values ---- */

static int not_a_choice(const struct ste_option *o, const char *name, const char *text, struct ste_err *err)
{
    struct ste_buf names = STE_BUF_INIT;
    for (int i = 0; o->choices[i]; i++)
        ste_buf_addf(&names, "%s%s", i ? "|" : "", o->choices[i]);
    ste_err_set(err, STE_EUSAGE, "%s must be one of %s, not \"%s\"", name, names.s, text);
    ste_buf_clear(&names);
    return STE_EUSAGE;
}

static int out_of_bounds(const struct ste_option *o, const char *name, const char *text, struct ste_err *err)
{
    if (isinf(o->max) || o->max >= 1e18)
        return ste_err_set(err, STE_EUSAGE, "%s must be at least %g, not %s", name, o->min, text);
    return ste_err_set(err, STE_EUSAGE, "%s must be from %g to %g, not %s", name, o->min, o->max, text);
}

static bool in_bounds(const struct ste_option *o, double v)
{
    return (o->min == 0 && o->max == 0) || (v >= o->min && v <= o->max);
}

static void set_string(char **field, const char *s)
{
    char *copy = ste_xstrdup(s);
    ste_xfree(*field);
    *field = copy;
}

/* TEXT as --set takes it, into FIELD; NULL sets what an option without a value has. NAME: what the user calls it. */
static int set_text(const struct ste_option *o, void *field, const char *name, const char *text, struct ste_err *err)
{
    char *end;
    switch (o->kind) {
    case STE_OPT_STRING:
        set_string(field, text);
        return 0;
    case STE_OPT_CHOICE: {
        const int v = text ? ste_name_find(o->choices, text) : 0;
        if (v < 0)
            return not_a_choice(o, name, text, err);
        *(int *)field = v;
        return 0;
    }
    case STE_OPT_BOOL: {
        bool yes = text && strcmp(text, "true") == 0;
        if (text && !yes && strcmp(text, "false") != 0)
            return ste_err_set(err, STE_EUSAGE, "%s must be true or false, not \"%s\"", name, text);
        *(bool *)field = yes;
        return 0;
    }
    case STE_OPT_INT: {
        errno = 0;
        long long v = text ? strtoll(text, &end, 10) : 0;
        if (text && (end == text || *end || errno))
            return ste_err_set(err, STE_EUSAGE, "%s must be a whole number, not \"%s\"", name, text);
        if (text && !in_bounds(o, (double)v))
            return out_of_bounds(o, name, text, err);
        *(long long *)field = v;
        return 0;
    }
    case STE_OPT_REAL: {
        double v = text ? strtod(text, &end) : 0;
        if (text && (end == text || *end || !isfinite(v)))
            return ste_err_set(err, STE_EUSAGE, "%s must be a number, not \"%s\"", name, text);
        if (text && !in_bounds(o, v))
            return out_of_bounds(o, name, text, err);
        *(double *)field = v;
        return 0;
    }
    case STE_OPT_SHARES:
        return ste_shares_parse(field, name, text, err);
    case STE_OPT_LIST:
        ste_strings_clear(field);
        ste_strings_parse(field, text ? text : "");
        return 0;
    case STE_OPT_WORDS:
        ste_strings_clear(field);
        if (text)
            ste_strings_add(field, text);
        return 0;
    case STE_OPT_TABLE:
    case STE_OPT_STEP:
        break;
    }
    return 0;
}

static bool is_list(const struct ste_option *o)
{
    return o->kind == STE_OPT_LIST || o->kind == STE_OPT_SHARES || o->kind == STE_OPT_WORDS;
}

void ste_options_init(const struct ste_option *table, void *opts)
{
    for (struct walk w = walk(table); next(&w);) {
        void *field = (char *)opts + w.offset;
        if (is_list(w.o))
            *(struct ste_strings *)field = (struct ste_strings){0};
        else if (w.o->kind == STE_OPT_STRING)
            *(char **)field = NULL;
        struct ste_err err;
        if (set_text(w.o, field, w.key, w.o->initial, &err)) {
            fprintf(stderr, "ste: the table of options is wrong: %s\n", err.msg);
            abort();
        }
    }
}

void ste_options_clear(const struct ste_option *table, void *opts)
{
    for (struct walk w = walk(table); next(&w);) {
        void *field = (char *)opts + w.offset;
        if (is_list(w.o))
            ste_strings_clear(field);
        else if (w.o->kind == STE_OPT_STRING)
            set_string(field, NULL);
    }
}

static int unknown_key(const struct ste_option *table, const char *key, const char *what, struct ste_err *err)
{
    struct ste_strings keys = {0};
    ste_options_keys(table, false, &keys);
    ste_strings_add(&keys, NULL);
    const char *near = ste_nearest(key, (const char *const *)keys.items);
    const char *head = what ? what : "--set", *sep = what ? ": " : " ";
    if (near)
        ste_err_set(err, STE_EUSAGE, "%s%sthere is no option \"%s\"; did you mean \"%s\"?", head, sep, key, near);
    else
        ste_err_set(err, STE_EUSAGE, "%s%sthere is no option \"%s\"; `ste help recipe` lists them", head, sep, key);
    ste_strings_clear(&keys);
    return STE_EUSAGE;
}

int ste_options_set(const struct ste_option *table, void *opts, const char *assignment, struct ste_err *err)
{
    struct walk w;
    const char *eq = strchr(assignment, '=');
    if (!eq)
        return ste_err_set(err, STE_EUSAGE, "--set takes key=value, not \"%s\"", assignment);
    char *key = ste_xstrndup(assignment, (size_t)(eq - assignment));
    int rc = find(table, key, &w) ? set_text(w.o, (char *)opts + w.offset, key, eq + 1, err)
                                  : unknown_key(table, key, NULL, err);
    ste_xfree(key);
    return rc;
}

const struct ste_option *ste_options_find(const struct ste_option *table, const char *key)
{
    struct walk w;
    return find(table, key, &w) ? w.o : NULL;
}

int ste_options_put(const struct ste_option *table, void *opts, const char *key, const char *name, const char *text,
                    bool add, struct ste_err *err)
{
    struct walk w;
    if (!find(table, key, &w))
        return unknown_key(table, key, name, err);
    void *field = (char *)opts + w.offset;
    if (!add)
        return set_text(w.o, field, name, text, err);
    if (w.o->kind == STE_OPT_LIST)
        ste_strings_parse(field, text);
    else
        ste_strings_add(field, text);
    return 0;
}

/* ---- YAML ---- */

/* A scalar of YAML as the text that --set would take. Caller frees; NULL for a list or a mapping. */
static char *scalar_text(const json_t *v)
{
    switch (json_typeof(v)) {
    case JSON_STRING:
        return ste_xstrdup(json_string_value(v));
    case JSON_INTEGER:
        return ste_xasprintf("%lld", (long long)json_integer_value(v));
    case JSON_REAL:
        return ste_xasprintf("%.17g", json_real_value(v));
    case JSON_TRUE:
        return ste_xstrdup("true");
    case JSON_FALSE:
        return ste_xstrdup("false");
    default:
        return NULL;
    }
}

static int load_shares(const char *key, struct ste_strings *l, const json_t *map, const char *what, struct ste_err *err)
{
    struct ste_strings fresh = {0};
    const char *name;
    json_t *v;
    int rc = 0;
    json_object_foreach((json_t *)map, name, v)
    {
        char *number = scalar_text(v), *item = ste_xasprintf("%s=%s", name, number ? number : "");
        if (rc == 0)
            rc = ste_shares_add(&fresh, key, item, err);
        ste_xfree(number);
        ste_xfree(item);
    }
    if (rc != 0)
        ste_err_wrap(err, "%s", what);
    return ste_strings_replace(l, &fresh, rc);
}

static int load_value(const struct walk *w, void *opts, const json_t *v, const char *what, struct ste_err *err)
{
    const struct ste_option *o = w->o;
    void *field = (char *)opts + w->offset;
    if (json_is_null(v))
        return set_text(o, field, w->key, o->initial, err);
    if (o->kind == STE_OPT_LIST) {
        struct ste_strings *l = field;
        size_t n = json_is_array(v) ? json_array_size(v) : 1;
        struct ste_strings fresh = {0};
        for (size_t i = 0; i < n; i++) {
            char *s = scalar_text(json_is_array(v) ? json_array_get(v, i) : v);
            if (!s) {
                ste_strings_clear(&fresh);
                return ste_err_set(err, STE_EUSAGE, "%s: %s must be a list of strings", what, w->key);
            }
            ste_strings_add(&fresh, s);
            ste_xfree(s);
        }
        ste_strings_clear(l);
        *l = fresh;
        return 0;
    }
    if (o->kind == STE_OPT_SHARES && json_is_object(v))
        return load_shares(w->key, field, v, what, err);
    char *s = scalar_text(v);
    if (!s)
        return ste_err_set(err, STE_EUSAGE, "%s: %s must be one value, not a %s", what, w->key,
                           json_is_array(v) ? "list" : "mapping");
    int rc = set_text(o, field, w->key, s, err);
    if (rc)
        ste_err_wrap(err, "%s", what);
    ste_xfree(s);
    return rc;
}

static bool is_section(const struct ste_option *table, const char *key)
{
    const size_t n = strlen(key);
    for (struct walk w = walk(table); next(&w);)
        if (strncmp(w.key, key, n) == 0 && w.key[n] == '.')
            return true;
    return false;
}

static int load_mapping(const struct ste_option *table, void *opts, const json_t *map, const char *prefix,
                        const char *what, struct ste_err *err)
{
    const char *name;
    json_t *v;
    json_object_foreach((json_t *)map, name, v)
    {
        char *key = ste_xasprintf("%s%s%s", prefix, *prefix ? "." : "", name);
        struct walk w;
        int rc = 0;
        if (find(table, key, &w))
            rc = load_value(&w, opts, v, what, err);
        else if (!is_section(table, key))
            rc = unknown_key(table, key, what, err);
        else if (json_is_object(v))
            rc = load_mapping(table, opts, v, key, what, err);
        else if (!json_is_null(v)) /* "pair:" with nothing under it is fine */
            rc = ste_err_set(err, STE_EUSAGE, "%s: %s must be a mapping of options", what, key);
        ste_xfree(key);
        if (rc)
            return rc;
    }
    return 0;
}

int ste_options_load(const struct ste_option *table, void *opts, const json_t *yaml, const char *what,
                     struct ste_err *err)
{
    if (json_is_null(yaml))
        return 0; /* an empty file */
    if (!json_is_object(yaml))
        return ste_err_set(err, STE_EUSAGE, "%s must be a mapping of options", what);
    return load_mapping(table, opts, yaml, "", what, err);
}

static json_t *value_json(const struct ste_option *o, const void *field)
{
    switch (o->kind) {
    case STE_OPT_CHOICE:
        return json_string(o->choices[*(const int *)field]);
    case STE_OPT_STRING: {
        const char *s = *(char *const *)field;
        return s ? json_string(s) : json_null();
    }
    case STE_OPT_INT:
        return json_integer(*(const long long *)field);
    case STE_OPT_REAL:
        return json_real(*(const double *)field);
    case STE_OPT_BOOL:
        return json_boolean(*(const bool *)field);
    case STE_OPT_SHARES: {
        const struct ste_strings *l = field;
        json_t *map = json_object();
        for (size_t i = 0; i < l->n; i++) {
            char *name = ste_xstrndup(l->items[i], strcspn(l->items[i], "="));
            json_object_set_new(map, name, json_real(ste_share(l, name)));
            ste_xfree(name);
        }
        return map;
    }
    case STE_OPT_WORDS:
    case STE_OPT_LIST: {
        const struct ste_strings *l = field;
        json_t *list = json_array();
        for (size_t i = 0; i < l->n; i++)
            json_array_append_new(list, json_string(l->items[i]));
        return list;
    }
    case STE_OPT_TABLE:
    case STE_OPT_STEP:
        break;
    }
    return json_null();
}

json_t *ste_options_dump(const struct ste_option *table, const void *opts, bool result_only)
{
    json_t *root = json_object();
    for (struct walk w = walk(table); next(&w);) {
        json_t *at = root;
        const char *name = w.key, *dot;
        if (result_only && w.o->speed_only)
            continue;
        while ((dot = strchr(name, '.'))) {
            char *section = ste_xstrndup(name, (size_t)(dot - name));
            json_t *in = json_object_get(at, section);
            if (!in) {
                in = json_object();
                json_object_set_new(at, section, in);
            }
            ste_xfree(section);
            at = in;
            name = dot + 1;
        }
        json_object_set_new(at, name, value_json(w.o, (const char *)opts + w.offset));
    }
    return root;
}

static char *value_text(const struct ste_option *o, const void *field)
{
    json_t *v = value_json(o, field);
    char *s;
    if (o->kind == STE_OPT_REAL) { /* the shortest text that reads back as the same number */
        int digits = 6;
        do {
            s = ste_xasprintf("%.*g", digits, json_real_value(v));
            if (strtod(s, NULL) == json_real_value(v) || digits == 17)
                break;
            ste_xfree(s);
            digits++;
        } while (1);
    } else if (json_is_null(v)) {
        s = ste_xstrdup("(none)");
    } else {
        char *dumped = json_dumps(v, JSON_ENCODE_ANY | JSON_SORT_KEYS);
        s = ste_xstrdup(dumped ? dumped : "");
        ste_xfree(dumped);
    }
    json_decref(v);
    return s;
}

int ste_options_diff(const struct ste_option *table, const void *old_opts, const void *new_opts, struct ste_buf *lines)
{
    int n = 0;
    for (struct walk w = walk(table); next(&w);) {
        if (w.o->speed_only)
            continue;
        char *was = value_text(w.o, (const char *)old_opts + w.offset),
             *is = value_text(w.o, (const char *)new_opts + w.offset);
        if (strcmp(was, is) != 0) {
            ste_buf_addf(lines, "%s: %s -> %s\n", w.key, was, is);
            n++;
        }
        ste_xfree(was);
        ste_xfree(is);
    }
    return n;
}

int ste_options_first_step(const struct ste_option *table, const void *a, const void *b)
{
    int first = INT_MAX;
    for (struct walk w = walk(table); next(&w);) {
        if (w.o->speed_only || w.step >= first)
            continue;
        json_t *one = value_json(w.o, (const char *)a + w.offset), *other = value_json(w.o, (const char *)b + w.offset);
        if (!json_equal(one, other))
            first = w.step;
        json_decref(one);
        json_decref(other);
    }
    return first;
}

void ste_options_take(const struct ste_option *table, void *to, const void *from, int step)
{
    for (struct walk w = walk(table); next(&w);) {
        if (w.step >= step && !w.o->speed_only)
            continue;
        json_t *v = value_json(w.o, (const char *)from + w.offset);
        load_value(&w, to, v, "", NULL); /* cannot fail: it is a value of the same table */
        json_decref(v);
    }
}

/* ---- help ---- */

#define HELP_COLUMN 26

void ste_wrap(struct ste_buf *out, const char *text, int at, int indent, int width)
{
    for (bool first = true; *text; first = false) {
        const int n = (int)strcspn(text, " ");
        if (!first && at + 1 + n >= width) {
            ste_buf_addf(out, "\n%*s", indent, "");
            at = indent;
            first = true;
        }
        ste_buf_addf(out, "%s%.*s", first ? "" : " ", n, text);
        at += n + !first;
        text += n;
        text += strspn(text, " ");
    }
    ste_buf_addc(out, '\n');
}

void ste_option_value(const struct ste_option *o, struct ste_buf *out)
{
    static const char *const kinds[] = {
        [STE_OPT_STRING] = "TEXT",     [STE_OPT_INT] = "N",     [STE_OPT_REAL] = "X",
        [STE_OPT_BOOL] = "true|false", [STE_OPT_LIST] = "LIST", [STE_OPT_SHARES] = "NAME=SHARE,...",
        [STE_OPT_WORDS] = "WORD"};
    if (o->kind != STE_OPT_CHOICE)
        ste_buf_adds(out, o->value ? o->value : kinds[o->kind]);
    for (int i = 0; o->kind == STE_OPT_CHOICE && o->choices[i]; i++)
        ste_buf_addf(out, "%s%s", i ? "|" : "", o->choices[i]);
}

void ste_option_text(const struct ste_option *o, bool flags, struct ste_buf *out)
{
    ste_buf_adds(out, o->help);
    if (o->initial && *o->initial && !(flags && o->kind == STE_OPT_BOOL))
        ste_buf_addf(out, " (default %s)", o->initial);
    if (o->speed_only)
        ste_buf_adds(out, " (speed only)");
}

void ste_options_help(const struct ste_option *table, bool flags, int width, struct ste_buf *out)
{
    for (struct walk w = walk(table); next(&w);) {
        struct ste_buf head = STE_BUF_INIT, text = STE_BUF_INIT;
        if (flags)
            as_flag(&w);
        ste_buf_addf(&head, "  %s%s", !flags ? "" : w.key[1] ? "--" : "-", w.key);
        if (!flags || w.o->kind != STE_OPT_BOOL) {
            ste_buf_adds(&head, flags ? " " : " = ");
            ste_option_value(w.o, &head);
        }
        if (flags && is_list(w.o))
            ste_buf_adds(&head, "...");
        ste_option_text(w.o, flags, &text);
        const bool fits = head.len + 2 <= HELP_COLUMN;
        ste_buf_addf(out, "%s%s%*s", head.s, fits ? "" : "\n", fits ? HELP_COLUMN - (int)head.len : HELP_COLUMN, "");
        ste_wrap(out, text.s, HELP_COLUMN, HELP_COLUMN, width);
        ste_buf_clear(&head);
        ste_buf_clear(&text);
    }
}
