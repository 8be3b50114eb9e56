#include <math.h>

#include "model/jinja/internal.h"

/* ---- parts of values ---- */

static struct value loop_attr(const struct loop *l, struct text name)
{
    const int64_t n = (int64_t)l->items->n, i = (int64_t)l->i;
    const struct {
        const char *name;
        int64_t value;
    } numbers[] = {{"index", i + 1},
                   {"index0", i},
                   {"revindex", n - i},
                   {"revindex0", n - i - 1},
                   {"length", n},
                   {"depth", (int64_t)l->depth},
                   {"depth0", (int64_t)l->depth - 1}};
    for (size_t k = 0; k < sizeof numbers / sizeof *numbers; k++)
        if (jinja_text_is(name, numbers[k].name))
            return jinja_int(numbers[k].value);
    if (jinja_text_is(name, "first"))
        return jinja_bool(i == 0);
    if (jinja_text_is(name, "last"))
        return jinja_bool(i == n - 1);
    if (jinja_text_is(name, "previtem") && i > 0)
        return l->items->items[i - 1];
    if (jinja_text_is(name, "nextitem") && i + 1 < n)
        return l->items->items[i + 1];
    return jinja_undefined(name);
}

static void fail_undefined(struct run *r, struct value v)
{
    jinja_run_fail(r, "'%.*s' is undefined", (int)(v.t.n < 60 ? v.t.n : 60), v.t.s);
}

struct value jinja_attr(struct run *r, struct value v, struct text name)
{
    if (v.kind == UNDEFINED)
        fail_undefined(r, v);
    if (v.kind == LOOP)
        return loop_attr(v.loop, name);
    if (jinja_has_method(v, name)) {
        struct method *m = jinja_arena_get(&r->arena, sizeof *m);
        *m = (struct method){v, name};
        return (struct value){.kind = METHOD, .method = m};
    }
    const struct value *found =
        v.kind == DICT || v.kind == NAMESPACE ? jinja_dict_get(r, v.dict, jinja_text(name)) : NULL;
    return found ? *found : jinja_undefined(name);
}

struct value jinja_item(struct run *r, struct value v, struct value key)
{
    const bool at = key.kind == INT || key.kind == BOOL;
    if (v.kind == UNDEFINED)
        fail_undefined(r, v);
    if (v.kind == DICT) {
        const struct value *found = jinja_dict_get(r, v.dict, key);
        if (found)
            return *found;
    } else if ((v.kind == LIST || v.kind == TEXT) && at) {
        const int64_t n = v.kind == LIST ? (int64_t)v.list->n : (int64_t)jinja_text_length(v.t);
        int64_t i = key.kind == BOOL ? key.b : key.i;
        i += i < 0 ? n : 0;
        if (i < 0 || i >= n)
            return jinja_undefined(LITERAL("the item"));
        if (v.kind == LIST)
            return v.list->items[i];
        size_t from = 0;
        if (!jinja_run_step(r, v.t.n / 64))
            return jinja_none();
        for (; i > 0; i--)
            from += jinja_text_step(v.t, from);
        return jinja_text(jinja_text_part(v.t, from, jinja_text_step(v.t, from)));
    }
    return key.kind == TEXT ? jinja_attr(r, v, key.t) : jinja_undefined(LITERAL("the item"));
}

/* One end of a slice of N items as Python takes it; IF_NONE where there is none. */
static int64_t slice_end(struct run *r, const struct node *n, int64_t length, int64_t if_none, int64_t low,
                         int64_t high)
{
    const struct value v = n ? jinja_eval(r, n) : jinja_none();
    if (v.kind == NONE)
        return if_none;
    if (v.kind != INT && v.kind != BOOL) {
        jinja_run_fail(r, "a slice's ends are whole numbers, not %s", jinja_kind_name(v));
        return 0;
    }
    const int64_t i = v.kind == BOOL ? v.b : v.i < 0 ? (v.i < -length ? low : v.i + length) : v.i;
    return i < low ? low : i > high ? high : i;
}

static struct value slice(struct run *r, const struct node *n)
{
    const struct value v = jinja_eval(r, n->a), by = n->d ? jinja_eval(r, n->d) : jinja_none();
    const int64_t step = by.kind == INT ? by.i : 1;
    if (r->failed || (v.kind != LIST && v.kind != TEXT) || step == 0 || (by.kind != INT && by.kind != NONE) ||
        step < -INT32_MAX || step > INT32_MAX) {
        jinja_run_fail(r, step == 0 ? "a slice's step is 0" : "%s cannot be sliced", jinja_kind_name(v));
        return jinja_none();
    }
    const struct list *items = NULL;
    const int64_t length = v.kind == LIST ? (int64_t)v.list->n : (int64_t)jinja_text_length(v.t);
    const int64_t low = step < 0 ? -1 : 0, high = step < 0 ? length - 1 : length;
    const int64_t from = slice_end(r, n->b, length, step < 0 ? high : low, low, high),
                  to = slice_end(r, n->c, length, step < 0 ? low : high, low, high);
    if (v.kind == TEXT && step == 1) {
        size_t a = 0, b;
        int64_t i = 0;
        if (!jinja_run_step(r, v.t.n / 64))
            return jinja_none();
        for (; i < from; i++)
            a += jinja_text_step(v.t, a);
        for (b = a; i < to; i++)
            b += jinja_text_step(v.t, b);
        return jinja_text(jinja_text_part(v.t, a, b - a));
    }
    items = jinja_items(r, v);
    struct value out = jinja_list(r);
    out.tuple = v.tuple && v.kind == LIST;
    for (int64_t i = from; (step < 0 ? i > to : i < to) && !r->failed; i += step)
        jinja_list_add(r, out.list, items->items[i]);
    if (v.kind == LIST)
        return out;
    struct making m = MAKING;
    for (size_t i = 0; i < out.list->n && !r->failed; i++)
        jinja_put(r, &m.s, &m.marks, out.list->items[i].t);
    return jinja_text(jinja_made(r, &m));
}

/* ---- operators ---- */

static bool is_whole(struct value v)
{
    return v.kind == INT || v.kind == BOOL;
}

static double number(struct value v)
{
    return v.kind == REAL ? v.r : v.kind == BOOL ? v.b : (double)v.i;
}

static struct value whole_numbers(struct run *r, char op, bool twice, int64_t a, int64_t b)
{
    int64_t c = 0;
    bool over = false;
    if ((op == '/' || op == '%') && b == 0) {
        jinja_run_fail(r, "a number is divided by 0");
        return jinja_none();
    }
    if (op == '/' && !twice)
        return jinja_real((double)a / (double)b);
    if (op == '+')
        over = __builtin_add_overflow(a, b, &c);
    else if (op == '-')
        over = __builtin_sub_overflow(a, b, &c);
    else if (op == '*' && !twice)
        over = __builtin_mul_overflow(a, b, &c);
    else if (op == '*' && b < 0)
        return jinja_real(pow((double)a, (double)b));
    else if (op == '*')
        for (c = 1; b > 0 && !over && jinja_run_step(r, 1); b--)
            over = __builtin_mul_overflow(c, a, &c);
    else if (b == -1)
        over = op == '/' && __builtin_sub_overflow(0, a, &c);
    else { /* toward minus infinity, as in Python */
        const int64_t rest = a % b, down = rest && (rest < 0) != (b < 0);
        c = op == '/' ? a / b - down : rest + (down ? b : 0);
    }
    if (over)
        jinja_run_fail(r, "a number grows beyond 64 bits");
    return jinja_int(c);
}

static struct value real_numbers(struct run *r, char op, bool twice, double a, double b)
{
    if ((op == '/' || op == '%') && b == 0) {
        jinja_run_fail(r, "a number is divided by 0");
        return jinja_none();
    }
    switch (op) {
    case '+':
        return jinja_real(a + b);
    case '-':
        return jinja_real(a - b);
    case '*':
        return jinja_real(twice ? pow(a, b) : a * b);
    case '/':
        return jinja_real(twice ? floor(a / b) : a / b);
    default:
        return jinja_real(a - b * floor(a / b));
    }
}

static struct text joined(struct run *r, struct text a, struct text b)
{
    struct making m = MAKING;
    if (!a.n || !b.n)
        return a.n ? a : b;
    jinja_put(r, &m.s, &m.marks, a);
    jinja_put(r, &m.s, &m.marks, b);
    return jinja_made(r, &m);
}

static struct value times(struct run *r, struct value v, int64_t n)
{
    struct making m = MAKING;
    struct value out = jinja_list(r);
    for (int64_t k = 0; k < n && jinja_run_step(r, 1); k++)
        if (v.kind == TEXT)
            jinja_put(r, &m.s, &m.marks, v.t);
        else
            for (size_t i = 0; i < v.list->n && !r->failed; i++)
                jinja_list_add(r, out.list, v.list->items[i]);
    const struct text t = jinja_made(r, &m);
    return v.kind == TEXT ? jinja_text(t) : out;
}

struct value jinja_binary(struct run *r, struct text op, struct value a, struct value b)
{
    const char o = *op.s;
    const bool many_a = a.kind == TEXT || a.kind == LIST, many_b = b.kind == TEXT || b.kind == LIST;
    if (o == '~') {
        const struct text left = jinja_string(r, a);
        return jinja_text(joined(r, left, jinja_string(r, b)));
    }
    if (is_whole(a) && is_whole(b))
        return whole_numbers(r, o, op.n == 2, a.kind == BOOL ? a.b : a.i, b.kind == BOOL ? b.b : b.i);
    if ((is_whole(a) || a.kind == REAL) && (is_whole(b) || b.kind == REAL))
        return real_numbers(r, o, op.n == 2, number(a), number(b));
    if (o == '+' && a.kind == TEXT && b.kind == TEXT)
        return jinja_text(joined(r, a.t, b.t));
    if (o == '+' && a.kind == LIST && b.kind == LIST && a.tuple == b.tuple) {
        struct value out = jinja_list(r);
        out.tuple = a.tuple;
        for (size_t i = 0; i < a.list->n + b.list->n && !r->failed; i++)
            jinja_list_add(r, out.list, i < a.list->n ? a.list->items[i] : b.list->items[i - a.list->n]);
        return out;
    }
    if (o == '*' && op.n == 1 && ((many_a && is_whole(b)) || (many_b && is_whole(a))))
        return many_a ? times(r, a, b.kind == BOOL ? b.b : b.i) : times(r, b, a.kind == BOOL ? a.b : a.i);
    if (a.kind == UNDEFINED || b.kind == UNDEFINED)
        fail_undefined(r, a.kind == UNDEFINED ? a : b);
    jinja_run_fail(r, "'%.*s' cannot be done with %s and %s", (int)op.n, op.s, jinja_kind_name(a), jinja_kind_name(b));
    return jinja_none();
}

static bool contains(struct run *r, struct value in, struct value v)
{
    if (in.kind == TEXT) {
        if (v.kind != TEXT)
            jinja_run_fail(r, "only a text can be in a text, not %s", jinja_kind_name(v));
        return v.kind == TEXT && (v.t.n == 0 || jinja_text_find(r, in.t, v.t, 0) < in.t.n);
    }
    if (in.kind == DICT)
        return jinja_dict_get(r, in.dict, v) != NULL;
    const struct list *l = jinja_items(r, in);
    for (size_t i = 0; i < l->n && !r->failed; i++)
        if (jinja_equal(r, l->items[i], v))
            return true;
    return false;
}

bool jinja_compare(struct run *r, struct text op, struct value a, struct value b)
{
    if (jinja_text_is(op, "=="))
        return jinja_equal(r, a, b);
    if (jinja_text_is(op, "!="))
        return !jinja_equal(r, a, b);
    if (jinja_text_is(op, "in"))
        return contains(r, b, a);
    if (jinja_text_is(op, "not in"))
        return !contains(r, b, a);
    if (a.kind == UNDEFINED || b.kind == UNDEFINED)
        fail_undefined(r, a.kind == UNDEFINED ? a : b);
    const int c = jinja_order(r, a, b);
    return *op.s == '<' ? c < 0 || (op.n == 2 && c == 0) : c > 0 || (op.n == 2 && c == 0);
}

static struct value compare(struct run *r, const struct node *n)
{
    struct value a = jinja_eval(r, n->a);
    bool all = true;
    for (size_t i = 0; i < n->n && all && !r->failed; i++) {
        const struct value b = jinja_eval(r, n->kids[i]->a);
        all = !r->failed && jinja_compare(r, n->kids[i]->name, a, b);
        a = b;
    }
    return jinja_bool(all);
}

/* ---- calls ---- */

const struct value *jinja_arg(const struct args *a, int at, const char *name)
{
    int position = 0;
    for (int i = 0; i < a->n; i++)
        if (a->names[i].n ? name && jinja_text_is(a->names[i], name) : position++ == at)
            return &a->values[i];
    return NULL;
}

struct value jinja_arg_or(const struct args *a, int at, const char *name, struct value other)
{
    const struct value *v = jinja_arg(a, at, name);
    return v ? *v : other;
}

static void arguments(struct run *r, const struct node *n, struct args *out)
{
    out->n = 0;
    for (size_t i = 0; i < n->n && !r->failed; i++) {
        out->names[out->n] = n->kids[i]->name;
        out->values[out->n++] = jinja_eval(r, n->kids[i]->a);
    }
}

static struct value call(struct run *r, const struct node *n)
{
    struct args args;
    const struct value f = jinja_eval(r, n->a);
    arguments(r, n, &args);
    if (r->failed)
        return jinja_none();
    r->line = n->line;
    switch (f.kind) {
    case MACRO:
        return jinja_call_macro(r, f.macro, &args);
    case FUNCTION:
        return jinja_call_function(r, (enum function)f.i, &args);
    case METHOD:
        return jinja_call_method(r, f.method, &args);
    case UNDEFINED:
        jinja_run_fail(r, "'%.*s' is undefined, or is no function that ste has", (int)(f.t.n < 60 ? f.t.n : 60), f.t.s);
        break;
    default:
        jinja_run_fail(r, "%s cannot be called", jinja_kind_name(f));
    }
    return jinja_none();
}

static struct value applied(struct run *r, const struct node *n)
{
    struct args args;
    const struct value v = jinja_eval(r, n->a);
    arguments(r, n, &args);
    if (r->failed)
        return jinja_none();
    return n->op == E_FILTER ? jinja_filter(r, v, n->name, &args) : jinja_test(r, v, n->name, &args);
}

/* ---- expressions ---- */

static struct value lookup(struct run *r, struct text name)
{
    for (const struct scope *s = r->scope; s; s = s->up)
        for (const struct binding *b = s->bindings; b; b = b->next)
            if (jinja_text_equal(b->name, name))
                return b->value;
    return jinja_undefined(name);
}

static struct value negative(struct run *r, struct value v)
{
    if (v.kind == REAL)
        return jinja_real(-v.r);
    if (is_whole(v))
        return whole_numbers(r, '-', false, 0, v.kind == BOOL ? v.b : v.i);
    jinja_run_fail(r, "'-' cannot be done with %s", jinja_kind_name(v));
    return v;
}

static struct value collection(struct run *r, const struct node *n)
{
    struct value out = n->op == E_DICT ? jinja_dict(r) : jinja_list(r);
    out.tuple = n->op == E_TUPLE;
    for (size_t i = 0; i < n->n && !r->failed; i++) {
        const struct value v = jinja_eval(r, n->kids[i]);
        if (n->op == E_DICT)
            jinja_dict_set(r, out.dict, v, jinja_eval(r, n->kids[++i]));
        else
            jinja_list_add(r, out.list, v);
    }
    return out;
}

static struct value evaluate(struct run *r, const struct node *n)
{
    struct value v;
    switch (n->op) {
    case E_CONST:
        return n->value;
    case E_NAME:
        return lookup(r, n->name);
    case E_HOLE:
        return r->hole;
    case E_LIST:
    case E_TUPLE:
    case E_DICT:
        return collection(r, n);
    case E_ATTR:
        return jinja_attr(r, jinja_eval(r, n->a), n->name);
    case E_ITEM:
        v = jinja_eval(r, n->a);
        return jinja_item(r, v, jinja_eval(r, n->b));
    case E_SLICE:
        return slice(r, n);
    case E_CALL:
        return call(r, n);
    case E_FILTER:
    case E_TEST:
        return applied(r, n);
    case E_NOT:
        return jinja_bool(!jinja_is_true(jinja_eval(r, n->a)));
    case E_NEG:
        return negative(r, jinja_eval(r, n->a));
    case E_POS:
        return jinja_eval(r, n->a);
    case E_AND:
        v = jinja_eval(r, n->a);
        return jinja_is_true(v) ? jinja_eval(r, n->b) : v;
    case E_OR:
        v = jinja_eval(r, n->a);
        return jinja_is_true(v) ? v : jinja_eval(r, n->b);
    case E_COND:
        if (jinja_is_true(jinja_eval(r, n->b)))
            return jinja_eval(r, n->a);
        return n->c ? jinja_eval(r, n->c) : jinja_undefined(LITERAL("the value without else"));
    case E_BINARY:
        v = jinja_eval(r, n->a);
        return jinja_binary(r, n->name, v, jinja_eval(r, n->b));
    case E_COMPARE:
        return compare(r, n);
    default:
        return jinja_none();
    }
}

struct value jinja_eval(struct run *r, const struct node *n)
{
    struct value v = jinja_none();
    if (!jinja_run_step(r, 1))
        return v;
    if (++r->depth > STE_JINJA_MAX_DEPTH)
        jinja_run_fail(r, "more than %d things stand within each other", STE_JINJA_MAX_DEPTH);
    if (!r->failed) {
        r->line = n->line;
        v = evaluate(r, n);
    }
    r->depth--;
    return r->failed ? jinja_none() : v;
}
