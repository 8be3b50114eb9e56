/* Methods of texts and mappings, and the functions. */
#include <locale.h>
#include <time.h>

#include <utf8proc.h>

#include "model/jinja/internal.h"

/* ---- texts ---- */

/* Bytes of the white space at AT, as Python's strip takes it; 0: it is none. */
static size_t space_at(struct text t, size_t at)
{
    const uint8_t *s = (const uint8_t *)t.s + at;
    const size_t n = t.n - at;
    if ((*s >= 9 && *s <= 13) || (*s >= 0x1C && *s <= 0x20))
        return 1;
    if (n >= 2 && *s == 0xC2 && (s[1] == 0x85 || s[1] == 0xA0))
        return 2;
    if (n < 3)
        return 0;
    const bool there = (*s == 0xE1 && s[1] == 0x9A && s[2] == 0x80) ||
                       (*s == 0xE2 && s[1] == 0x80 && (s[2] <= 0x8A || s[2] == 0xA8 || s[2] == 0xA9 || s[2] == 0xAF)) ||
                       (*s == 0xE2 && s[1] == 0x81 && s[2] == 0x9F) || (*s == 0xE3 && s[1] == 0x80 && s[2] == 0x80);
    return there ? 3 : 0;
}

static bool strips(struct text t, size_t at, size_t n, const struct value *chars)
{
    if (!chars || chars->kind != TEXT)
        return space_at(t, at) == n;
    return memmem(chars->t.s, chars->t.n, t.s + at, n) != NULL;
}

struct text jinja_strip(struct text t, const struct value *chars, bool left, bool right)
{
    size_t from = 0, to = t.n;
    for (size_t n; left && from < to && strips(t, from, n = jinja_text_step(t, from), chars);)
        from += n;
    while (right && to > from) {
        size_t last = to - 1;
        while (last > from && ((uint8_t)t.s[last] & 0xC0) == 0x80)
            last--;
        if (!strips(t, last, to - last, chars))
            break;
        to = last;
    }
    return jinja_text_part(t, from, to - from);
}

struct text jinja_letters(struct run *r, struct text t, enum letters how)
{
    struct making m = MAKING;
    bool first = true;
    for (size_t i = 0, n; i < t.n && !r->failed; i += n) {
        utf8proc_int32_t c;
        utf8proc_uint8_t out[4];
        uint8_t marks[4];
        n = (size_t)utf8proc_iterate((const utf8proc_uint8_t *)t.s + i, (utf8proc_ssize_t)(t.n - i), &c);
        if (n > 4 || c < 0)
            break;
        const bool upper = how == UPPER || (how != LOWER && first);
        const utf8proc_category_t kind = utf8proc_category(c);
        first = how == TITLE && !(kind >= UTF8PROC_CATEGORY_LU && kind <= UTF8PROC_CATEGORY_LO);
        c = upper ? utf8proc_toupper(c) : utf8proc_tolower(c);
        memset(marks, t.marks ? t.marks[i] : 0, sizeof marks);
        jinja_put(r, &m.s, &m.marks, (struct text){(char *)out, marks, (size_t)utf8proc_encode_char(c, out)});
        jinja_run_step(r, 1);
    }
    return jinja_made(r, &m);
}

struct text jinja_replace(struct run *r, struct text t, struct text what, struct text by, int64_t most)
{
    struct making m = MAKING;
    size_t from = 0, at = 0;
    while (most-- != 0 && jinja_run_step(r, 1)) {
        const size_t next = jinja_text_find(r, t, what, at);
        if (next == t.n && (what.n || at > t.n))
            break;
        jinja_put(r, &m.s, &m.marks, jinja_text_part(t, from, next - from));
        jinja_put(r, &m.s, &m.marks, by);
        from = next + what.n;
        if (!what.n && next == t.n)
            break;
        at = what.n ? from : next + jinja_text_step(t, next);
    }
    if (from == 0 && !m.s.len)
        return jinja_made(r, &m), t;
    jinja_put(r, &m.s, &m.marks, jinja_text_part(t, from, t.n - from));
    return jinja_made(r, &m);
}

static struct value split_at(struct run *r, struct text t, struct text by, int64_t most)
{
    struct value out = jinja_list(r);
    size_t from = 0;
    while (most-- != 0 && !r->failed) {
        const size_t next = jinja_text_find(r, t, by, from);
        if (next == t.n)
            break;
        jinja_list_add(r, out.list, jinja_text(jinja_text_part(t, from, next - from)));
        from = next + by.n;
    }
    jinja_list_add(r, out.list, jinja_text(jinja_text_part(t, from, t.n - from)));
    return out;
}

static struct value rsplit_at(struct run *r, struct text t, struct text by, int64_t most)
{
    const struct value all = split_at(r, t, by, -1);
    const size_t n = all.list->n;
    if (most < 0 || (uint64_t)most + 1 >= n)
        return all;
    struct value out = jinja_list(r);
    size_t head = by.n * (n - (size_t)most - 1);
    for (size_t i = 0; i < n - (size_t)most; i++)
        head += all.list->items[i].t.n;
    jinja_list_add(r, out.list, jinja_text(jinja_text_part(t, 0, head)));
    for (size_t i = n - (size_t)most; i < n; i++)
        jinja_list_add(r, out.list, all.list->items[i]);
    return out;
}

/* At runs of white space, with none at the ends. */
static struct value split_words(struct run *r, struct text t, int64_t most)
{
    struct value out = jinja_list(r);
    for (t = jinja_strip(t, NULL, true, false); t.n && !r->failed; t = jinja_strip(t, NULL, true, false)) {
        size_t n = 0;
        while (n < t.n && !space_at(t, n))
            n += jinja_text_step(t, n);
        if (most-- == 0)
            n = t.n;
        jinja_list_add(r, out.list, jinja_text(jinja_text_part(t, 0, n)));
        t = jinja_text_part(t, n, t.n - n);
    }
    return out;
}

static bool affix(struct run *r, struct text t, struct value v, bool end)
{
    if (v.kind == LIST) {
        for (size_t i = 0; i < v.list->n; i++)
            if (v.list->items[i].kind == TEXT && affix(r, t, v.list->items[i], end))
                return true;
        return false;
    }
    if (v.kind != TEXT)
        jinja_run_fail(r, "startswith and endswith ask for a text, not for %s", jinja_kind_name(v));
    else if (v.t.n <= t.n)
        return jinja_text_equal(jinja_text_part(t, end ? t.n - v.t.n : 0, v.t.n), v.t);
    return false;
}

/* {} and {0} in T are the arguments. */
static struct value format(struct run *r, struct text t, const struct args *args)
{
    struct making m = MAKING;
    int next = 0;
    for (size_t i = 0; i < t.n && !r->failed; i++) {
        const char c = t.s[i], d = i + 1 < t.n ? t.s[i + 1] : 0;
        if ((c != '{' && c != '}') || c == d) {
            jinja_put(r, &m.s, &m.marks, jinja_text_part(t, i, 1));
            i += c == d && (c == '{' || c == '}');
            continue;
        }
        const bool numbered = d >= '0' && d <= '9' && i + 2 < t.n && t.s[i + 2] == '}';
        const struct value *v =
            c == '{' && (d == '}' || numbered) ? jinja_arg(args, numbered ? d - '0' : next, NULL) : NULL;
        if (!v)
            jinja_run_fail(r, "format knows {} and {0}, each with an argument");
        else
            jinja_put_value(r, &m.s, &m.marks, *v);
        next++;
        i += numbered ? 2 : 1;
    }
    return jinja_text(jinja_made(r, &m));
}

static const char *const text_methods[] = {
    "split", "rsplit", "strip",      "lstrip", "rstrip", "startswith",   "endswith",     "replace", "upper",
    "lower", "title",  "capitalize", "find",   "format", "removeprefix", "removesuffix", "join"};
static const char *const dict_methods[] = {"items", "keys", "values", "get"};

static bool in(struct text name, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (jinja_text_is(name, names[i]))
            return true;
    return false;
}
#define IN(name, names) in(name, names, sizeof names / sizeof *names)

bool jinja_has_method(struct value v, struct text name)
{
    return v.kind == TEXT ? IN(name, text_methods) : v.kind == DICT && IN(name, dict_methods);
}

static struct text need_text(struct run *r, const struct args *a, int at, const char *name)
{
    const struct value v = jinja_arg_or(a, at, name, jinja_none());
    if (v.kind == TEXT)
        return v.t;
    jinja_run_fail(r, "a text is needed, not %s", jinja_kind_name(v));
    return LITERAL("");
}

static int64_t need_whole(struct run *r, const struct args *a, int at, const char *name, int64_t if_none)
{
    const struct value v = jinja_arg_or(a, at, name, jinja_int(if_none));
    if (v.kind != INT)
        jinja_run_fail(r, "a whole number is needed, not %s", jinja_kind_name(v));
    return v.kind == INT ? v.i : 0;
}

static struct value split(struct run *r, struct text t, const struct args *a, bool right)
{
    const int64_t most = need_whole(r, a, 1, "maxsplit", -1);
    if (jinja_arg_or(a, 0, "sep", jinja_none()).kind == NONE)
        return split_words(r, t, most);
    const struct text by = need_text(r, a, 0, "sep");
    if (!by.n)
        jinja_run_fail(r, "a text cannot be split at an empty text");
    if (r->failed)
        return jinja_none();
    return right ? rsplit_at(r, t, by, most) : split_at(r, t, by, most);
}

static struct value text_method(struct run *r, struct text t, struct text name, const struct args *a)
{
    const struct value *chars = jinja_arg(a, 0, NULL);
    const char c = *name.s, last = name.s[name.n - 1];
    if (jinja_text_is(name, "split") || jinja_text_is(name, "rsplit"))
        return split(r, t, a, c == 'r');
    if (name.n >= 5 && !memcmp(name.s + name.n - 5, "strip", 5))
        return jinja_run_step(r, t.n / 64) ? jinja_text(jinja_strip(t, chars, c != 'r', c != 'l')) : jinja_none();
    if (jinja_text_is(name, "startswith") || jinja_text_is(name, "endswith"))
        return jinja_bool(affix(r, t, jinja_arg_or(a, 0, NULL, jinja_none()), c == 'e'));
    if (jinja_text_is(name, "replace")) {
        const struct text what = need_text(r, a, 0, "old");
        return jinja_text(jinja_replace(r, t, what, need_text(r, a, 1, "new"), need_whole(r, a, 2, "count", -1)));
    }
    if (jinja_text_is(name, "upper") || jinja_text_is(name, "lower") || jinja_text_is(name, "title") ||
        jinja_text_is(name, "capitalize"))
        return jinja_text(jinja_letters(r, t, c == 'u' ? UPPER : c == 'l' ? LOWER : c == 't' ? TITLE : CAPITALIZED));
    if (jinja_text_is(name, "find")) {
        const size_t found = jinja_text_find(r, t, need_text(r, a, 0, NULL), 0);
        return jinja_int(found < t.n ? (int64_t)jinja_text_length(jinja_text_part(t, 0, found)) : -1);
    }
    if (jinja_text_is(name, "format"))
        return format(r, t, a);
    if (jinja_text_is(name, "removeprefix") || jinja_text_is(name, "removesuffix")) {
        const struct text x = need_text(r, a, 0, NULL);
        const bool there = affix(r, t, jinja_text(x), last == 'x' && name.s[6] == 's');
        return jinja_text(there ? jinja_text_part(t, name.s[6] == 'p' ? x.n : 0, t.n - x.n) : t);
    }
    struct args with = {.n = 1, .values = {jinja_text(t)}}; /* join */
    return jinja_filter(r, jinja_arg_or(a, 0, NULL, jinja_none()), LITERAL("join"), &with);
}

static struct value dict_method(struct run *r, struct value of, struct text name, const struct args *a)
{
    if (jinja_text_is(name, "get")) {
        const struct value *v = jinja_dict_get(r, of.dict, jinja_arg_or(a, 0, NULL, jinja_none()));
        return v ? *v : jinja_arg_or(a, 1, NULL, jinja_none());
    }
    struct value out = jinja_list(r);
    for (size_t i = 0; i < of.dict->n && !r->failed; i++) {
        struct value pair = jinja_list(r);
        pair.tuple = true;
        jinja_list_add(r, pair.list, of.dict->keys[i]);
        jinja_list_add(r, pair.list, of.dict->values[i]);
        jinja_list_add(r, out.list, *name.s == 'i' ? pair : *name.s == 'k' ? of.dict->keys[i] : of.dict->values[i]);
    }
    return out;
}

struct value jinja_call_method(struct run *r, const struct method *m, const struct args *args)
{
    return m->of.kind == TEXT ? text_method(r, m->of.t, m->name, args) : dict_method(r, m->of, m->name, args);
}

/* ---- functions ---- */

const char *const jinja_functions[F_N] = {"namespace", "raise_exception", "strftime_now", "range", "dict"};

/* The date that the caller gave, at midnight, whatever the locale of the process. */
static struct value strftime_now(struct run *r, struct text format)
{
    char form[64] = "", out[256] = "";
    struct tm day = {.tm_year = r->in->date.year - 1900, .tm_mon = r->in->date.month - 1, .tm_mday = r->in->date.day};
    locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (format.n < sizeof form)
        memcpy(form, format.s, format.n);
    timegm(&day); /* finds the day of the week */
    const bool written = plain && strftime_l(out, sizeof out, form, &day, plain) > 0;
    if (plain)
        freelocale(plain);
    if (!written && format.n)
        jinja_run_fail(r, "strftime_now cannot write '%s'", form);
    struct making m = MAKING;
    jinja_put(r, &m.s, &m.marks, (struct text){out, NULL, strlen(out)});
    return jinja_text(jinja_made(r, &m));
}

static struct value range(struct run *r, const struct args *a)
{
    const bool one = !jinja_arg(a, 1, NULL);
    const int64_t from = one ? 0 : need_whole(r, a, 0, NULL, 0), to = need_whole(r, a, one ? 0 : 1, NULL, 0),
                  step = need_whole(r, a, 2, NULL, 1);
    struct value out = jinja_list(r);
    if (step == 0 || from < -INT32_MAX || from > INT32_MAX || to < -INT32_MAX || to > INT32_MAX || step < -INT32_MAX ||
        step > INT32_MAX)
        jinja_run_fail(r, "range cannot go so");
    for (int64_t i = from; !r->failed && (step > 0 ? i < to : i > to); i += step)
        jinja_list_add(r, out.list, jinja_int(i));
    return out;
}

struct value jinja_call_function(struct run *r, enum function f, const struct args *a)
{
    struct value out = jinja_none();
    switch (f) {
    case F_RAISE:
        if (!r->failed) {
            const struct text why = jinja_string(r, jinja_arg_or(a, 0, "message", jinja_none()));
            jinja_run_fail(r, "the template says: %.*s", (int)(why.n < 300 ? why.n : 300), why.s);
            r->raised = true;
        }
        break;
    case F_STRFTIME:
        return strftime_now(r, need_text(r, a, 0, "format"));
    case F_RANGE:
        return range(r, a);
    default:
        out = jinja_dict(r);
        out.kind = f == F_NAMESPACE ? NAMESPACE : DICT;
        for (int i = 0; i < a->n && !r->failed; i++)
            if (a->names[i].n)
                jinja_dict_set(r, out.dict, jinja_text(a->names[i]), a->values[i]);
            else if (a->values[i].kind == DICT)
                for (size_t k = 0; k < a->values[i].dict->n; k++)
                    jinja_dict_set(r, out.dict, a->values[i].dict->keys[k], a->values[i].dict->values[k]);
            else
                jinja_run_fail(r, "only a mapping can be given without a name");
    }
    return out;
}
