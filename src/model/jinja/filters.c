/* Filters and tests. */
#include <math.h>
#include <stdlib.h>

#include "model/jinja/internal.h"

/* ---- of lists ---- */

/* "a.b" or 0, of V, as the argument `attribute` names it. */
static struct value attribute(struct run *r, struct value v, struct value path)
{
    if (path.kind != TEXT)
        return jinja_item(r, v, path);
    for (size_t from = 0; from <= path.t.n && !r->failed;) {
        const size_t dot = jinja_text_find(r, path.t, LITERAL("."), from);
        const struct text part = jinja_text_part(path.t, from, dot - from);
        bool digits = part.n > 0 && part.n < 10;
        int64_t i = 0;
        for (size_t k = 0; k < part.n; k++) {
            digits = digits && part.s[k] >= '0' && part.s[k] <= '9';
            i = digits ? 10 * i + part.s[k] - '0' : 0;
        }
        if (v.kind == UNDEFINED)
            break;
        v = jinja_item(r, v, digits ? jinja_int(i) : jinja_text(part));
        from = dot + 1;
    }
    return v;
}

/* As jinja_items; nothing of what is false. */
static const struct list *some_items(struct run *r, struct value v)
{
    return jinja_items(r, jinja_is_true(v) ? v : jinja_undefined(LITERAL("")));
}

static struct args rest(const struct args *a, int from)
{
    struct args out = {.n = 0};
    int position = 0;
    for (int i = 0; i < a->n; i++) {
        if (!a->names[i].n && position++ < from)
            continue;
        out.names[out.n] = a->names[i];
        out.values[out.n++] = a->values[i];
    }
    return out;
}

/* select, reject, selectattr, rejectattr: the items of which a test, or truth, holds. */
static struct value chosen(struct run *r, struct value v, const struct args *a, bool attr, bool holds)
{
    const struct list *items = some_items(r, v);
    const struct value *path = attr ? jinja_arg(a, 0, NULL) : NULL, *name = jinja_arg(a, attr, NULL);
    const struct args with = rest(a, attr + 1);
    struct value out = jinja_list(r);
    if ((attr && !path) || (name && name->kind != TEXT)) {
        jinja_run_fail(r, "select and reject need a test's name, selectattr and rejectattr an attribute before it");
        return out;
    }
    for (size_t i = 0; i < items->n && !r->failed; i++) {
        struct value x = items->items[i];
        if (path)
            x = attribute(r, x, *path);
        if (jinja_is_true(name ? jinja_test(r, x, name->t, &with) : x) == holds)
            jinja_list_add(r, out.list, items->items[i]);
    }
    return out;
}

static struct value mapped(struct run *r, struct value v, const struct args *a)
{
    const struct list *items = some_items(r, v);
    const struct value *path = jinja_arg(a, -1, "attribute"), *other = jinja_arg(a, -1, "default"),
                       *name = jinja_arg(a, 0, NULL);
    const struct args with = rest(a, 1);
    struct value out = jinja_list(r);
    if (!path && (!name || name->kind != TEXT))
        jinja_run_fail(r, "map needs a filter's name or an attribute");
    for (size_t i = 0; i < items->n && !r->failed; i++) {
        struct value x = path ? attribute(r, items->items[i], *path) : jinja_filter(r, items->items[i], name->t, &with);
        jinja_list_add(r, out.list, path && other && x.kind == UNDEFINED ? *other : x);
    }
    return out;
}

static struct value joined(struct run *r, struct value v, const struct args *a)
{
    const struct list *items = jinja_items(r, v);
    const struct text by = jinja_string(r, jinja_arg_or(a, 0, "d", jinja_text(LITERAL(""))));
    const struct value *path = jinja_arg(a, 1, "attribute");
    struct making m = MAKING;
    for (size_t i = 0; i < items->n && !r->failed; i++) {
        if (i)
            jinja_put(r, &m.s, &m.marks, by);
        jinja_put_value(r, &m.s, &m.marks, path ? attribute(r, items->items[i], *path) : items->items[i]);
    }
    return jinja_text(jinja_made(r, &m));
}

static struct value folded(struct run *r, struct value v, bool any_case)
{
    return v.kind == TEXT && any_case ? jinja_text(jinja_letters(r, v.t, LOWER)) : v;
}

/* Items in order, equal ones as they stood; BY: 0 for dictsort's keys, an attribute, or NULL. */
static struct value sorted(struct run *r, struct value v, const struct value *by, bool down, bool any_case)
{
    const struct list *items = jinja_items(r, v);
    struct value out = jinja_list(r), keys = jinja_list(r);
    for (size_t i = 0; i < items->n && !r->failed; i++) {
        struct value key = by ? attribute(r, items->items[i], *by) : items->items[i];
        key = folded(r, key, any_case);
        jinja_list_add(r, out.list, items->items[i]);
        jinja_list_add(r, keys.list, key);
        for (size_t k = i; k > 0 && !r->failed && jinja_run_step(r, 1); k--) {
            const int c = jinja_order(r, keys.list->items[k - 1], key);
            if (down ? c >= 0 : c <= 0)
                break;
            const struct value item = out.list->items[k];
            out.list->items[k] = out.list->items[k - 1];
            out.list->items[k - 1] = item;
            keys.list->items[k] = keys.list->items[k - 1];
            keys.list->items[k - 1] = key;
        }
    }
    return out;
}

static struct value unique(struct run *r, struct value v)
{
    const struct list *items = jinja_items(r, v);
    struct value out = jinja_list(r), keys = jinja_list(r);
    for (size_t i = 0; i < items->n && !r->failed; i++) {
        const struct value key = folded(r, items->items[i], true);
        size_t k = 0;
        while (k < keys.list->n && !jinja_equal(r, keys.list->items[k], key))
            k++;
        if (k == keys.list->n) {
            jinja_list_add(r, keys.list, key);
            jinja_list_add(r, out.list, items->items[i]);
        }
    }
    return out;
}

static struct value turned(struct run *r, struct value v)
{
    struct value out = jinja_list(r);
    struct making m = MAKING;
    const struct list *items = jinja_items(r, v);
    for (size_t i = items->n; i-- > 0 && !r->failed;)
        if (v.kind == TEXT)
            jinja_put(r, &m.s, &m.marks, items->items[i].t);
        else
            jinja_list_add(r, out.list, items->items[i]);
    const struct text t = jinja_made(r, &m);
    return v.kind == TEXT ? jinja_text(t) : out;
}

static struct value least(struct run *r, struct value v, int sign)
{
    const struct list *items = jinja_items(r, v);
    struct value out = jinja_undefined(LITERAL("the item"));
    for (size_t i = 0; i < items->n && !r->failed; i++)
        if (i == 0 || sign * jinja_order(r, folded(r, items->items[i], true), folded(r, out, true)) < 0)
            out = items->items[i];
    return out;
}

/* ---- of single values ---- */

static struct value length(struct run *r, struct value v)
{
    switch (v.kind) {
    case UNDEFINED:
        return jinja_int(0);
    case TEXT:
        return jinja_int(jinja_run_step(r, v.t.n / 64) ? (int64_t)jinja_text_length(v.t) : 0);
    case LIST:
        return jinja_int((int64_t)v.list->n);
    case DICT:
        return jinja_int((int64_t)v.dict->n);
    default:
        jinja_run_fail(r, "%s has no length", jinja_kind_name(v));
        return v;
    }
}

static struct value to_int(struct run *r, struct value v, const struct args *a)
{
    char digits[32] = "", *end = digits;
    if (v.kind == INT || v.kind == BOOL)
        return jinja_int(v.kind == INT ? v.i : v.b);
    if (v.kind == REAL && fabs(v.r) < 9e18)
        return jinja_int((int64_t)v.r);
    const struct text t = v.kind == TEXT ? jinja_strip(v.t, NULL, true, true) : LITERAL("");
    if (t.n < sizeof digits)
        memcpy(digits, t.s, t.n);
    const double x = strtod(digits, &end);
    if (!*digits || *end || !(fabs(x) < 9e18))
        return jinja_arg_or(a, 0, "default", jinja_int(0));
    return strpbrk(digits, ".eE") ? jinja_int((int64_t)x) : jinja_int(strtoll(digits, NULL, 10));
}

static struct value indented(struct run *r, struct text t, const struct args *a)
{
    const struct value width = jinja_arg_or(a, 0, "width", jinja_int(4));
    const bool first = jinja_is_true(jinja_arg_or(a, 1, "first", jinja_bool(false))),
               blank = jinja_is_true(jinja_arg_or(a, 2, "blank", jinja_bool(false)));
    struct making m = MAKING, by = MAKING;
    if (width.kind == TEXT)
        jinja_put(r, &by.s, &by.marks, width.t);
    for (int64_t i = 0; width.kind == INT && i < width.i && jinja_run_step(r, 1); i++)
        jinja_put(r, &by.s, &by.marks, LITERAL(" "));
    const struct text blanks = jinja_made(r, &by);
    for (size_t from = 0; from <= t.n && !r->failed;) {
        const size_t to = jinja_text_find(r, t, LITERAL("\n"), from);
        if (from == 0 ? first : to > from || blank)
            jinja_put(r, &m.s, &m.marks, blanks);
        jinja_put(r, &m.s, &m.marks, jinja_text_part(t, from, to - from + (to < t.n)));
        from = to + 1;
    }
    return jinja_text(jinja_made(r, &m));
}

/* ---- by name ---- */

enum filter {
    CAPITALIZE,
    COUNT,
    D,
    DEFAULT,
    DICTSORT,
    FIRST,
    INDENT,
    TO_INT,
    ITEMS,
    JOIN,
    LAST,
    LENGTH,
    TO_LIST,
    TO_LOWER,
    MAP,
    MAX,
    MIN,
    REJECT,
    REJECTATTR,
    REPLACE,
    REVERSE,
    SAFE,
    SELECT,
    SELECTATTR,
    SORT,
    STRING,
    TOJSON,
    TRIM,
    UNIQUE,
    TO_UPPER,
    N_FILTERS
};
static const char *const filters[N_FILTERS] = {
    "capitalize", "count",  "d",      "default",    "dictsort", "first",  "indent", "int",    "items",      "join",
    "last",       "length", "list",   "lower",      "map",      "max",    "min",    "reject", "rejectattr", "replace",
    "reverse",    "safe",   "select", "selectattr", "sort",     "string", "tojson", "trim",   "unique",     "upper"};

static struct value default_(struct value v, const struct args *a)
{
    const bool falsy = jinja_is_true(jinja_arg_or(a, 1, "boolean", jinja_bool(false)));
    return v.kind == UNDEFINED || (falsy && !jinja_is_true(v))
               ? jinja_arg_or(a, 0, "default_value", jinja_text(LITERAL("")))
               : v;
}

static struct value of_list(struct run *r, enum filter f, struct value v, const struct args *a)
{
    const struct value none = jinja_none();
    switch (f) {
    case DICTSORT:
    case ITEMS: {
        const struct method m = {v, LITERAL("items")};
        const struct value first = jinja_int(0), pairs = v.kind == DICT ? jinja_call_method(r, &m, a) : jinja_list(r);
        if (v.kind != DICT && v.kind != UNDEFINED)
            jinja_run_fail(r, "%s has no items", jinja_kind_name(v));
        return f == ITEMS ? pairs
                          : sorted(r, pairs, &first, jinja_is_true(jinja_arg_or(a, 2, "reverse", none)),
                                   !jinja_is_true(jinja_arg_or(a, 0, "case_sensitive", none)));
    }
    case JOIN:
        return joined(r, v, a);
    case TO_LIST: {
        const struct list *items = jinja_items(r, v);
        struct value out = jinja_list(r);
        for (size_t i = 0; i < items->n && !r->failed; i++)
            jinja_list_add(r, out.list, items->items[i]);
        return out;
    }
    case FIRST:
    case LAST: {
        const struct list *items = jinja_items(r, v);
        return items->n ? items->items[f == FIRST ? 0 : items->n - 1] : jinja_undefined(LITERAL("the item"));
    }
    case MAP:
        return mapped(r, v, a);
    case REVERSE:
        return turned(r, v);
    case SELECT:
    case REJECT:
        return chosen(r, v, a, false, f == SELECT);
    case SELECTATTR:
    case REJECTATTR:
        return chosen(r, v, a, true, f == SELECTATTR);
    case SORT:
        return sorted(r, v, jinja_arg(a, 2, "attribute"), jinja_is_true(jinja_arg_or(a, 0, "reverse", none)),
                      !jinja_is_true(jinja_arg_or(a, 1, "case_sensitive", none)));
    case UNIQUE:
        return unique(r, v);
    default:
        return least(r, v, f == MIN ? 1 : -1);
    }
}

struct value jinja_filter(struct run *r, struct value v, struct text name, const struct args *a)
{
    int f = 0;
    while (f < N_FILTERS && !jinja_text_is(name, filters[f]))
        f++;
    switch (f) {
    case N_FILTERS:
        jinja_run_fail(r, "the filter '%.*s' is not supported", (int)(name.n < 40 ? name.n : 40), name.s);
        return v;
    case D:
    case DEFAULT:
        return default_(v, a);
    case COUNT:
    case LENGTH:
        return length(r, v);
    case TO_INT:
        return to_int(r, v, a);
    case TOJSON:
        return jinja_tojson(r, v, a);
    case STRING:
    case SAFE:
        return jinja_text(jinja_string(r, v));
    case TRIM:
        return jinja_text(jinja_strip(jinja_string(r, v), jinja_arg(a, 0, "chars"), true, true));
    case INDENT:
        return indented(r, jinja_string(r, v), a);
    case TO_UPPER:
    case TO_LOWER:
    case CAPITALIZE:
        return jinja_text(jinja_letters(r, jinja_string(r, v),
                                        f == TO_UPPER   ? UPPER
                                        : f == TO_LOWER ? LOWER
                                                        : CAPITALIZED));
    case REPLACE: {
        const struct text t = jinja_string(r, v), what = jinja_string(r, jinja_arg_or(a, 0, "old", jinja_none())),
                          by = jinja_string(r, jinja_arg_or(a, 1, "new", jinja_none()));
        const struct value most = jinja_arg_or(a, 2, "count", jinja_int(-1));
        return jinja_text(jinja_replace(r, t, what, by, most.kind == INT ? most.i : -1));
    }
    default:
        return of_list(r, (enum filter)f, v, a);
    }
}

struct value jinja_test(struct run *r, struct value v, struct text name, const struct args *a)
{
    static const char *const compared[][2] = {{"eq", "=="},      {"equalto", "=="}, {"ne", "!="}, {"lt", "<"},
                                              {"lessthan", "<"}, {"le", "<="},      {"gt", ">"},  {"greaterthan", ">"},
                                              {"ge", ">="},      {"in", "in"}};
    const struct value other = jinja_arg_or(a, 0, NULL, jinja_none());
    const bool whole = v.kind == INT || v.kind == BOOL,
               many = v.kind == TEXT || v.kind == LIST || v.kind == DICT || v.kind == UNDEFINED;
    const struct {
        const char *name;
        bool holds;
    } kinds[] = {{"defined", v.kind != UNDEFINED},
                 {"undefined", v.kind == UNDEFINED},
                 {"none", v.kind == NONE},
                 {"string", v.kind == TEXT},
                 {"mapping", v.kind == DICT},
                 {"iterable", many},
                 {"sequence", many},
                 {"number", whole || v.kind == REAL},
                 {"integer", v.kind == INT},
                 {"float", v.kind == REAL},
                 {"boolean", v.kind == BOOL},
                 {"true", v.kind == BOOL && v.b},
                 {"false", v.kind == BOOL && !v.b},
                 {"callable", v.kind == MACRO || v.kind == FUNCTION || v.kind == METHOD},
                 {"odd", v.kind == INT && v.i % 2 != 0},
                 {"even", v.kind == INT && v.i % 2 == 0},
                 {"sameas", v.kind == other.kind && jinja_equal(r, v, other)}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (jinja_text_is(name, kinds[i].name))
            return jinja_bool(kinds[i].holds);
    for (size_t i = 0; i < sizeof compared / sizeof *compared; i++)
        if (jinja_text_is(name, compared[i][0]))
            return jinja_bool(jinja_compare(r, (struct text){compared[i][1], NULL, strlen(compared[i][1])}, v, other));
    if (jinja_text_is(name, "divisibleby") && v.kind == INT && other.kind == INT && other.i != 0)
        return jinja_bool(other.i == -1 || v.i % other.i == 0);
    if (jinja_text_is(name, "upper") || jinja_text_is(name, "lower")) {
        const struct text t = jinja_string(r, v), cased = jinja_letters(r, t, *name.s == 'u' ? UPPER : LOWER);
        return jinja_bool(jinja_text_equal(t, cased) &&
                          !jinja_text_equal(jinja_letters(r, t, UPPER), jinja_letters(r, t, LOWER)));
    }
    jinja_run_fail(r, "the test '%.*s' is not supported", (int)(name.n < 40 ? name.n : 40), name.s);
    return jinja_none();
}
