#include "core/options.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"

void ste_strings_add(struct ste_strings *l, const char *s)
{
    l->items = ste_xrealloc(l->items, (l->n + 1) * sizeof *l->items);
    l->items[l->n++] = ste_xstrdup(s);
}

size_t ste_strings_place(struct ste_strings *l, const char *s)
{
    size_t i = 0;
    while (i < l->n && strcmp(l->items[i], s) != 0)
        i++;
    if (i == l->n)
        ste_strings_add(l, s);
    return i;
}

void ste_strings_clear(struct ste_strings *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->items[i]);
    free(l->items);
    *l = (struct ste_strings){0};
}

/* Edit distance with swaps of neighbours (optimal string alignment). Long names are not compared. */
static int edit_distance(const char *a, const char *b)
{
    enum { MAX = 64 };
    size_t n = strlen(a), m = strlen(b);
    if (n > MAX || m > MAX)
        return 1000;
    int d[MAX + 1][MAX + 1];
    for (size_t i = 0; i <= n; i++)
        d[i][0] = (int)i;
    for (size_t j = 0; j <= m; j++)
        d[0][j] = (int)j;
    for (size_t i = 1; i <= n; i++)
        for (size_t j = 1; j <= m; j++) {
            int best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            if (d[i - 1][j] + 1 < best)
                best = d[i - 1][j] + 1;
            if (d[i][j - 1] + 1 < best)
                best = d[i][j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && d[i - 2][j - 2] + 1 < best)
                best = d[i - 2][j - 2] + 1;
            d[i][j] = best;
        }
    return d[n][m];
}

const char *ste_nearest(const char *s, const char *const *names)
{
    const char *best = NULL;
    int least = 1000;
    for (; *names; names++) {
        int d = edit_distance(s, *names);
        const char *dot = strrchr(*names, '.');
        if (dot && !strchr(s, '.')) { /* "temperature" for "pair.temperature" */
            int tail = edit_distance(s, dot + 1) + 1;
            d = tail < d ? tail : d;
        }
        if (d < least) {
            least = d;
            best = *names;
        }
    }
    int n = (int)strlen(s);
    int limit = n <= 3 ? 1 : n <= 6 ? 2 : n / 3;
    return least <= limit ? best : NULL;
}

static void *field_of(const struct ste_option *o, void *opts)
{
    return (char *)opts + o->offset;
}

static const void *field_of_const(const struct ste_option *o, const void *opts)
{
    return (const char *)opts + o->offset;
}

static bool is_choice(const char *choices, const char *s)
{
    size_t n = strcspn(s, "|");
    if (!n || s[n])
        return false;
    for (const char *c = choices; c; c = strchr(c, '|') ? strchr(c, '|') + 1 : NULL)
        if (strncmp(c, s, n) == 0 && (c[n] == '|' || !c[n]))
            return true;
    return false;
}

static int out_of_bounds(const struct ste_option *o, const char *text, struct ste_err *err)
{
    if (isinf(o->max) || o->max >= 1e18)
        return ste_err_set(err, STE_EUSAGE, "%s must be at least %g, not %s", o->key, o->min, text);
    return ste_err_set(err, STE_EUSAGE, "%s must be from %g to %g, not %s", o->key, o->min, o->max, text);
}

static bool in_bounds(const struct ste_option *o, double v)
{
    return (o->min == 0 && o->max == 0) || (v >= o->min && v <= o->max);
}

static void set_string(char **field, const char *s)
{
    char *copy = ste_xstrdup(s);
    free(*field);
    *field = copy;
}

double ste_share(const struct ste_strings *shares, const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; i < shares->n; i++)
        if (strncmp(shares->items[i], name, n) == 0 && shares->items[i][n] == '=')
            return strtod(shares->items[i] + n + 1, NULL);
    return 0;
}

int ste_shares_add(struct ste_strings *shares, const char *key, const char *item, struct ste_err *err)
{
    const size_t n = strcspn(item, "=");
    const char *number = item[n] ? item + n + 1 : item + n;
    char *end, *name = ste_xstrndup(item, n);
    double v = strtod(number, &end);
    int rc = 0;
    if (!n || end == number || *end || !isfinite(v) || v < 0)
        rc = ste_err_set(err, STE_EUSAGE, "%s takes names with shares of 0 or more, as in %s=2, not \"%s\"", key,
                         n ? name : "name", item);
    for (size_t i = 0; rc == 0 && i < shares->n; i++)
        if (strncmp(shares->items[i], item, n + 1) == 0)
            rc = ste_err_set(err, STE_EUSAGE, "%s names %s twice", key, name);
    if (rc == 0) {
        char *one = ste_xasprintf("%s=%.12g", name, v);
        ste_strings_add(shares, one);
        free(one);
    }
    free(name);
    return rc;
}

/* FRESH in the place of L, or gone when RC says that it is not whole. Gives RC. */
static int replace(struct ste_strings *l, struct ste_strings *fresh, int rc)
{
    ste_strings_clear(rc ? fresh : l);
    if (!rc)
        *l = *fresh;
    return rc;
}

/* "name=share,name=share", or the same in braces with colons, as it stands in YAML. */
static int set_shares(const struct ste_option *o, struct ste_strings *l, const char *text, struct ste_err *err)
{
    struct ste_strings fresh = {0};
    int rc = 0;
    while (rc == 0 && text && *(text += strspn(text, " {}\t"))) {
        const size_t n = strcspn(text, ",}"), name = strcspn(text, "=: ,}"), sign = name + strspn(text + name, " ");
        const bool has_sign = sign < n && (text[sign] == '=' || text[sign] == ':');
        const size_t number = has_sign ? sign + 1 + strspn(text + sign + 1, " ") : n;
        char *item = ste_xasprintf("%.*s=%.*s", (int)name, text, number < n ? (int)(n - number) : 0, text + number);
        rc = ste_shares_add(&fresh, o->key, item, err);
        free(item);
        text += n + (text[n] ? 1 : 0);
    }
    return replace(l, &fresh, rc);
}

static void trim(const char **s, size_t *n)
{
    while (*n && strchr(" \t", **s))
        ++*s, --*n;
    while (*n && strchr(" \t", (*s)[*n - 1]))
        --*n;
}

/* "a,b", or the same in brackets, as it stands in YAML; an item in quotes may hold commas. */
static void set_list(struct ste_strings *l, const char *text)
{
    size_t left = strlen(text);
    trim(&text, &left);
    if (left > 1 && *text == '[' && text[left - 1] == ']') {
        text++;
        left -= 2;
    }
    ste_strings_clear(l);
    while (left) {
        trim(&text, &left);
        const char *quote = left && strchr("\"'", *text) ? memchr(text + 1, *text, left - 1) : NULL;
        const size_t skip = quote ? (size_t)(quote + 1 - text) : 0;
        const char *comma = memchr(text + skip, ',', left - skip), *item = text;
        size_t whole = comma ? (size_t)(comma - text) : left, n = whole;
        trim(&item, &n);
        if (quote && n == skip) {
            item++;
            n -= 2;
        }
        char *one = ste_xstrndup(item, n);
        if (n)
            ste_strings_add(l, one);
        free(one);
        text += whole + (comma != NULL);
        left -= whole + (comma != NULL);
    }
}

/* TEXT as --set takes it; NULL sets what an option without a value has. */
static int set_text(const struct ste_option *o, void *opts, const char *text, struct ste_err *err)
{
    void *field = field_of(o, opts);
    char *end;
    switch (o->kind) {
    case STE_OPT_STRING:
        set_string(field, text);
        return 0;
    case STE_OPT_CHOICE:
        if (text && !is_choice(o->choices, text))
            return ste_err_set(err, STE_EUSAGE, "%s must be one of %s, not \"%s\"", o->key, o->choices, text);
        set_string(field, text);
        return 0;
    case STE_OPT_BOOL: {
        bool yes = text && strcmp(text, "true") == 0;
        if (text && !yes && strcmp(text, "false") != 0)
            return ste_err_set(err, STE_EUSAGE, "%s must be true or false, not \"%s\"", o->key, text);
        *(bool *)field = yes;
        return 0;
    }
    case STE_OPT_INT: {
        errno = 0;
        long long v = text ? strtoll(text, &end, 10) : 0;
        if (text && (end == text || *end || errno))
            return ste_err_set(err, STE_EUSAGE, "%s must be a whole number, not \"%s\"", o->key, text);
        if (text && !in_bounds(o, (double)v))
            return out_of_bounds(o, text, err);
        *(long long *)field = v;
        return 0;
    }
    case STE_OPT_REAL: {
        double v = text ? strtod(text, &end) : 0;
        if (text && (end == text || *end || !isfinite(v)))
            return ste_err_set(err, STE_EUSAGE, "%s must be a number, not \"%s\"", o->key, text);
        if (text && !in_bounds(o, v))
            return out_of_bounds(o, text, err);
        *(double *)field = v;
        return 0;
    }
    case STE_OPT_SHARES:
        return set_shares(o, field, text, err);
    case STE_OPT_LIST:
        set_list(field, text ? text : "");
        return 0;
    }
    return 0;
}

void ste_options_init(const struct ste_option *table, void *opts)
{
    for (const struct ste_option *o = table; o->key; o++) {
        void *field = field_of(o, opts);
        if (o->kind == STE_OPT_LIST || o->kind == STE_OPT_SHARES)
            *(struct ste_strings *)field = (struct ste_strings){0};
        else if (o->kind == STE_OPT_STRING || o->kind == STE_OPT_CHOICE)
            *(char **)field = NULL;
        struct ste_err err;
        if (set_text(o, opts, o->initial, &err)) {
            fprintf(stderr, "ste: the table of options is wrong: %s\n", err.msg);
            abort();
        }
    }
}

void ste_options_clear(const struct ste_option *table, void *opts)
{
    for (const struct ste_option *o = table; o->key; o++) {
        void *field = field_of(o, opts);
        if (o->kind == STE_OPT_LIST || o->kind == STE_OPT_SHARES) {
            ste_strings_clear(field);
        } else if (o->kind == STE_OPT_STRING || o->kind == STE_OPT_CHOICE) {
            free(*(char **)field);
            *(char **)field = NULL;
        }
    }
}

static const struct ste_option *find(const struct ste_option *table, const char *key)
{
    for (; table->key; table++)
        if (strcmp(table->key, key) == 0)
            return table;
    return NULL;
}

static int unknown_key(const struct ste_option *table, const char *key, const char *what, struct ste_err *err)
{
    size_t n = 0;
    while (table[n].key)
        n++;
    const char **names = ste_xcalloc(n + 1, sizeof *names);
    for (size_t i = 0; i < n; i++)
        names[i] = table[i].key;
    const char *near = ste_nearest(key, names);
    free(names);
    const char *head = what ? what : "--set", *sep = what ? ": " : " ";
    if (near)
        return ste_err_set(err, STE_EUSAGE, "%s%sthere is no option \"%s\"; did you mean \"%s\"?", head, sep, key,
                           near);
    return ste_err_set(err, STE_EUSAGE, "%s%sthere is no option \"%s\"; `ste help recipe` lists them", head, sep, key);
}

int ste_options_set(const struct ste_option *table, void *opts, const char *assignment, struct ste_err *err)
{
    const char *eq = strchr(assignment, '=');
    if (!eq)
        return ste_err_set(err, STE_EUSAGE, "--set takes key=value, not \"%s\"", assignment);
    char *key = ste_xstrndup(assignment, (size_t)(eq - assignment));
    const struct ste_option *o = find(table, key);
    int rc = o ? set_text(o, opts, eq + 1, err) : unknown_key(table, key, NULL, err);
    free(key);
    return rc;
}

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

static int load_shares(const struct ste_option *o, struct ste_strings *l, const json_t *map, const char *what,
                       struct ste_err *err)
{
    struct ste_strings fresh = {0};
    const char *name;
    json_t *v;
    int rc = 0;
    json_object_foreach((json_t *)map, name, v)
    {
        char *number = scalar_text(v), *item = ste_xasprintf("%s=%s", name, number ? number : "");
        if (rc == 0)
            rc = ste_shares_add(&fresh, o->key, item, err);
        free(number);
        free(item);
    }
    if (rc != 0)
        ste_err_wrap(err, "%s", what);
    return replace(l, &fresh, rc);
}

static int load_value(const struct ste_option *o, void *opts, const json_t *v, const char *what, struct ste_err *err)
{
    if (json_is_null(v))
        return set_text(o, opts, o->initial, err);
    if (o->kind == STE_OPT_LIST) {
        struct ste_strings *l = field_of(o, opts);
        size_t n = json_is_array(v) ? json_array_size(v) : 1;
        struct ste_strings fresh = {0};
        for (size_t i = 0; i < n; i++) {
            char *s = scalar_text(json_is_array(v) ? json_array_get(v, i) : v);
            if (!s) {
                ste_strings_clear(&fresh);
                return ste_err_set(err, STE_EUSAGE, "%s: %s must be a list of strings", what, o->key);
            }
            ste_strings_add(&fresh, s);
            free(s);
        }
        ste_strings_clear(l);
        *l = fresh;
        return 0;
    }
    if (o->kind == STE_OPT_SHARES && json_is_object(v))
        return load_shares(o, field_of(o, opts), v, what, err);
    char *s = scalar_text(v);
    if (!s)
        return ste_err_set(err, STE_EUSAGE, "%s: %s must be one value, not a %s", what, o->key,
                           json_is_array(v) ? "list" : "mapping");
    int rc = set_text(o, opts, s, err);
    if (rc)
        ste_err_wrap(err, "%s", what);
    free(s);
    return rc;
}

static bool is_section(const struct ste_option *table, const char *key)
{
    size_t n = strlen(key);
    for (; table->key; table++)
        if (strncmp(table->key, key, n) == 0 && table->key[n] == '.')
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
        const struct ste_option *o = find(table, key);
        int rc = 0;
        if (o)
            rc = load_value(o, opts, v, what, err);
        else if (!is_section(table, key))
            rc = unknown_key(table, key, what, err);
        else if (json_is_object(v))
            rc = load_mapping(table, opts, v, key, what, err);
        else if (!json_is_null(v)) /* "pair:" with nothing under it is fine */
            rc = ste_err_set(err, STE_EUSAGE, "%s: %s must be a mapping of options", what, key);
        free(key);
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

static json_t *value_json(const struct ste_option *o, const void *opts)
{
    const void *field = field_of_const(o, opts);
    switch (o->kind) {
    case STE_OPT_STRING:
    case STE_OPT_CHOICE: {
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
            free(name);
        }
        return map;
    }
    case STE_OPT_LIST: {
        const struct ste_strings *l = field;
        json_t *list = json_array();
        for (size_t i = 0; i < l->n; i++)
            json_array_append_new(list, json_string(l->items[i]));
        return list;
    }
    }
    return json_null();
}

json_t *ste_options_dump(const struct ste_option *table, const void *opts)
{
    json_t *root = json_object();
    for (const struct ste_option *o = table; o->key; o++) {
        json_t *at = root;
        const char *name = o->key, *dot;
        while ((dot = strchr(name, '.'))) {
            char *section = ste_xstrndup(name, (size_t)(dot - name));
            json_t *in = json_object_get(at, section);
            if (!in) {
                in = json_object();
                json_object_set_new(at, section, in);
            }
            free(section);
            at = in;
            name = dot + 1;
        }
        json_object_set_new(at, name, value_json(o, opts));
    }
    return root;
}

static char *value_text(const struct ste_option *o, const void *opts)
{
    json_t *v = value_json(o, opts);
    char *s;
    if (o->kind == STE_OPT_REAL) { /* the shortest text that reads back as the same number */
        int digits = 6;
        do {
            s = ste_xasprintf("%.*g", digits, json_real_value(v));
            if (strtod(s, NULL) == json_real_value(v) || digits == 17)
                break;
            free(s);
            digits++;
        } while (1);
    } else if (json_is_null(v)) {
        s = ste_xstrdup("(none)");
    } else {
        char *dumped = json_dumps(v, JSON_ENCODE_ANY | JSON_SORT_KEYS);
        s = ste_xstrdup(dumped ? dumped : "");
        free(dumped);
    }
    json_decref(v);
    return s;
}

int ste_options_diff(const struct ste_option *table, const void *old_opts, const void *new_opts, struct ste_buf *lines)
{
    int n = 0;
    for (const struct ste_option *o = table; o->key; o++) {
        if (o->speed_only)
            continue;
        char *was = value_text(o, old_opts), *is = value_text(o, new_opts);
        if (strcmp(was, is) != 0) {
            ste_buf_addf(lines, "%s: %s -> %s\n", o->key, was, is);
            n++;
        }
        free(was);
        free(is);
    }
    return n;
}

/* Words of TEXT behind INDENT spaces, broken at WIDTH columns. */
static void wrap(struct ste_buf *out, const char *text, int indent, int width)
{
    int at = 0;
    while (*text) {
        int n = (int)strcspn(text, " \n");
        if (at && at + 1 + n > width) {
            ste_buf_addc(out, '\n');
            at = 0;
        }
        if (!at) {
            ste_buf_addf(out, "%*s", indent, "");
            at = indent;
        } else {
            ste_buf_addc(out, ' ');
            at++;
        }
        ste_buf_add(out, text, (size_t)n);
        at += n;
        text += n;
        text += strspn(text, " \n");
    }
    ste_buf_addc(out, '\n');
}

void ste_options_help(const struct ste_option *table, int width, struct ste_buf *out)
{
    static const char *const kinds[] = {"TEXT", "N", "NUMBER", "true|false", NULL, "LIST", "NAME=SHARE,..."};
    for (const struct ste_option *o = table; o->key; o++) {
        struct ste_buf head = STE_BUF_INIT;
        ste_buf_addf(&head, "%s = %s", o->key, o->kind == STE_OPT_CHOICE ? o->choices : kinds[o->kind]);
        if (o->initial && *o->initial)
            ste_buf_addf(&head, " (default %s)", o->initial);
        wrap(out, head.s, 2, width);
        ste_buf_reset(&head);
        ste_buf_adds(&head, o->help ? o->help : "");
        if (o->speed_only)
            ste_buf_adds(&head, " (speed only)");
        wrap(out, head.s, 6, width);
        ste_buf_clear(&head);
    }
}
