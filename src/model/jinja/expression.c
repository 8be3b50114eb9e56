#include "model/jinja/internal.h"

/* ---- tokens ---- */

const struct token *jinja_peek(const struct parser *p, size_t ahead)
{
    const size_t i = p->at + ahead;
    return &p->tokens[p->failed || i >= p->n ? p->n - 1 : i];
}

bool jinja_next_is(const struct parser *p, enum token_kind kind, const char *text)
{
    const struct token *t = jinja_peek(p, 0);
    return t->kind == kind && (!text || jinja_text_is(t->text, text));
}

bool jinja_take(struct parser *p, enum token_kind kind, const char *text)
{
    const bool it_is = jinja_next_is(p, kind, text);
    p->at += it_is;
    return it_is;
}

bool jinja_take_op(struct parser *p, const char *text)
{
    return jinja_take(p, T_OP, text);
}

bool jinja_take_word(struct parser *p, const char *text)
{
    return jinja_take(p, T_NAME, text);
}

void jinja_expected(struct parser *p, const char *what)
{
    const struct token *t = jinja_peek(p, 0);
    if (t->kind == T_END)
        jinja_parse_fail(p, t->line, "the template ends where %s is expected", what);
    else
        jinja_parse_fail(p, t->line, "'%.*s' stands where %s is expected", (int)(t->text.n < 40 ? t->text.n : 40),
                         t->text.s, what);
}

void jinja_need_op(struct parser *p, const char *text)
{
    if (!jinja_take_op(p, text))
        jinja_expected(p, text);
}

struct text jinja_need_name(struct parser *p, const char *what)
{
    const struct text t = jinja_peek(p, 0)->text;
    if (!jinja_take(p, T_NAME, NULL))
        jinja_expected(p, what);
    return t;
}

/* ---- nodes ---- */

struct node *jinja_new(struct parser *p, enum op kind)
{
    struct node *n = jinja_arena_get(&p->j->arena, sizeof *n);
    n->op = kind;
    n->line = jinja_peek(p, 0)->line;
    return n;
}

struct node *jinja_new_on(struct parser *p, enum op kind, struct node *a)
{
    struct node *n = jinja_new(p, kind);
    n->a = a;
    n->line = a->line;
    return n;
}

struct node *jinja_new_constant(struct parser *p, struct value v)
{
    struct node *n = jinja_new(p, E_CONST);
    n->value = v;
    return n;
}

void jinja_add_kid(struct parser *p, struct node *n, struct node *kid)
{
    if (n->n == n->cap) {
        struct node **more = jinja_arena_get(&p->j->arena, (n->cap ? 2 * n->cap : 4) * sizeof *more);
        if (n->n)
            memcpy(more, n->kids, n->n * sizeof *more);
        n->cap = n->cap ? 2 * n->cap : 4;
        n->kids = more;
    }
    n->kids[n->n++] = kid;
}

bool jinja_enter(struct parser *p)
{
    if (++p->depth > STE_JINJA_MAX_DEPTH)
        jinja_parse_fail(p, jinja_peek(p, 0)->line, "more than %d things stand within each other", STE_JINJA_MAX_DEPTH);
    return !p->failed;
}

/* ---- expressions, in the order in which they bind ---- */

static struct node *unary(struct parser *p, bool filters);

static void arguments(struct parser *p, struct node *call)
{
    while (!jinja_take_op(p, ")") && !p->failed) {
        struct node *arg = jinja_new(p, E_KEYWORD);
        if (jinja_next_is(p, T_OP, "*") || jinja_next_is(p, T_OP, "**"))
            jinja_parse_fail(p, arg->line, "arguments that are unpacked (*) are not supported");
        if (jinja_peek(p, 0)->kind == T_NAME && jinja_peek(p, 1)->kind == T_OP &&
            jinja_text_is(jinja_peek(p, 1)->text, "=")) {
            arg->name = jinja_need_name(p, "a name");
            jinja_need_op(p, "=");
        }
        arg->a = jinja_expression(p);
        jinja_add_kid(p, call, arg);
        if (!jinja_next_is(p, T_OP, ")"))
            jinja_need_op(p, ",");
        if (call->n > MAX_ARGS)
            jinja_parse_fail(p, call->line, "a call has more than %d arguments", MAX_ARGS);
    }
}

static struct node *subscript(struct parser *p, struct node *of)
{
    struct node *n = jinja_new_on(p, E_ITEM, of), *part[3] = {0};
    int k = 0;
    for (; k < 3 && !p->failed; k++) {
        if (!jinja_next_is(p, T_OP, ":") && !jinja_next_is(p, T_OP, "]"))
            part[k] = jinja_expression(p);
        if (!jinja_take_op(p, ":"))
            break;
        n->op = E_SLICE;
    }
    jinja_need_op(p, "]");
    if (n->op == E_ITEM && !part[0])
        jinja_parse_fail(p, n->line, "nothing stands between [ and ]");
    n->b = part[0];
    n->c = part[1];
    n->d = part[2];
    return n;
}

static struct node *postfix(struct parser *p, struct node *a)
{
    while (!p->failed) {
        if (jinja_take_op(p, ".")) {
            const struct token *t = jinja_peek(p, 0);
            if (t->kind == T_INT) {
                a = jinja_new_on(p, E_ITEM, a);
                a->b = jinja_new_constant(p, jinja_int(t->i));
                p->at++;
            } else {
                a = jinja_new_on(p, E_ATTR, a);
                a->name = jinja_need_name(p, "a name");
            }
        } else if (jinja_take_op(p, "[")) {
            a = subscript(p, a);
        } else if (jinja_take_op(p, "(")) {
            a = jinja_new_on(p, E_CALL, a);
            arguments(p, a);
        } else {
            break;
        }
    }
    return a;
}

static struct node *primary(struct parser *p)
{
    const struct token *t = jinja_peek(p, 0);
    struct node *n = jinja_new(p, E_CONST);
    p->at += t->kind == T_NAME || t->kind == T_TEXT || t->kind == T_INT || t->kind == T_REAL;
    if (t->kind == T_NAME) {
        if (jinja_text_is(t->text, "true") || jinja_text_is(t->text, "True"))
            n->value = jinja_bool(true);
        else if (jinja_text_is(t->text, "false") || jinja_text_is(t->text, "False"))
            n->value = jinja_bool(false);
        else if (jinja_text_is(t->text, "none") || jinja_text_is(t->text, "None"))
            n->value = jinja_none();
        else
            n->op = E_NAME;
        n->name = t->text;
    } else if (t->kind == T_TEXT) {
        n->value = jinja_text(t->text);
        for (; jinja_next_is(p, T_TEXT, NULL); p->at++) { /* one behind the other */
            const struct text a = n->value.t, b = jinja_peek(p, 0)->text;
            char *both = jinja_arena_get(&p->j->arena, a.n + b.n + 1);
            memcpy(both, a.s, a.n);
            memcpy(both + a.n, b.s, b.n);
            n->value = jinja_text((struct text){both, NULL, a.n + b.n});
            if (a.n + b.n > STE_JINJA_MAX_TEMPLATE)
                jinja_parse_fail(p, n->line, "a text is too long");
        }
    } else if (t->kind == T_INT) {
        n->value = jinja_int(t->i);
    } else if (t->kind == T_REAL) {
        n->value = jinja_real(t->r);
    } else if (jinja_take_op(p, "(")) {
        n = jinja_tuple(p, true, ")");
        jinja_need_op(p, ")");
    } else if (jinja_take_op(p, "[")) {
        for (n->op = E_LIST; !jinja_take_op(p, "]") && !p->failed;) {
            jinja_add_kid(p, n, jinja_expression(p));
            if (!jinja_next_is(p, T_OP, "]"))
                jinja_need_op(p, ",");
        }
    } else if (jinja_take_op(p, "{")) {
        for (n->op = E_DICT; !jinja_take_op(p, "}") && !p->failed;) {
            jinja_add_kid(p, n, jinja_expression(p));
            jinja_need_op(p, ":");
            jinja_add_kid(p, n, jinja_expression(p));
            if (!jinja_next_is(p, T_OP, "}"))
                jinja_need_op(p, ",");
        }
    } else {
        jinja_expected(p, "a value");
    }
    return n;
}

struct node *jinja_one_filter(struct parser *p, struct node *a)
{
    struct node *n = jinja_new_on(p, E_FILTER, a);
    n->name = jinja_need_name(p, "a filter's name");
    if (jinja_take_op(p, "("))
        arguments(p, n);
    return n;
}

static struct node *test(struct parser *p, struct node *a)
{
    const bool negated = jinja_take_word(p, "not");
    struct node *n = jinja_new_on(p, E_TEST, a);
    n->name = jinja_need_name(p, "a test's name");
    const struct token *t = jinja_peek(p, 0);
    const bool names = t->kind == T_NAME && !jinja_next_is(p, T_NAME, "else") && !jinja_next_is(p, T_NAME, "or") &&
                       !jinja_next_is(p, T_NAME, "and") && !jinja_next_is(p, T_NAME, "if") &&
                       !jinja_next_is(p, T_NAME, "is") && !jinja_next_is(p, T_NAME, "in") &&
                       !jinja_next_is(p, T_NAME, "not");
    const bool opens = t->kind == T_OP && (jinja_text_is(t->text, "[") || jinja_text_is(t->text, "{"));
    if (jinja_take_op(p, "(")) {
        arguments(p, n);
    } else if (names || opens || t->kind == T_TEXT || t->kind == T_INT || t->kind == T_REAL) {
        struct node *arg = jinja_new(p, E_KEYWORD);
        arg->a = postfix(p, primary(p));
        jinja_add_kid(p, n, arg);
    }
    return negated ? jinja_new_on(p, E_NOT, n) : n;
}

static struct node *unary(struct parser *p, bool filters)
{
    struct node *n;
    if (!jinja_enter(p)) {
        n = jinja_new(p, E_CONST);
    } else if (jinja_next_is(p, T_OP, "-") || jinja_next_is(p, T_OP, "+")) {
        const enum op sign = jinja_take_op(p, "-") ? E_NEG : (p->at++, E_POS);
        n = unary(p, false);
        n = jinja_new_on(p, sign, n);
    } else {
        n = primary(p);
    }
    n = postfix(p, n);
    while (filters && !p->failed) {
        if (jinja_take_op(p, "|")) {
            n = jinja_one_filter(p, n);
        } else if (jinja_take_word(p, "is")) {
            n = test(p, n);
        } else if (jinja_take_op(p, "(")) {
            n = jinja_new_on(p, E_CALL, n);
            arguments(p, n);
        } else {
            break;
        }
    }
    p->depth--;
    return n;
}

/* Operators of two values, the loosest first; each level is left-associative. */
static const char *const levels[][5] = {{"+", "-"}, {"~"}, {"*", "/", "//", "%"}, {"**"}};
enum { LEVELS = sizeof levels / sizeof *levels };

static struct node *binary(struct parser *p, int level)
{
    if (level == LEVELS)
        return unary(p, true);
    struct node *a = binary(p, level + 1);
    for (size_t i = 0; levels[level][i] && !p->failed;) {
        const struct text name = jinja_peek(p, 0)->text;
        if (!jinja_take_op(p, levels[level][i])) {
            i++;
            continue;
        }
        a = jinja_new_on(p, E_BINARY, a);
        a->name = name;
        a->b = binary(p, level + 1);
        i = 0;
    }
    return a;
}

static struct node *compare(struct parser *p)
{
    static const char *const ops[] = {"==", "!=", "<=", ">=", "<", ">"};
    struct node *a = binary(p, 0), *all = NULL;
    while (!p->failed) {
        struct node *part = jinja_new(p, E_KEYWORD);
        for (size_t i = 0; i < sizeof ops / sizeof *ops && !part->name.n; i++)
            if (jinja_take_op(p, ops[i]))
                part->name = (struct text){ops[i], NULL, strlen(ops[i])};
        if (part->name.n)
            ;
        else if (jinja_take_word(p, "in"))
            part->name = LITERAL("in");
        else if (jinja_next_is(p, T_NAME, "not") && jinja_peek(p, 1)->kind == T_NAME &&
                 jinja_text_is(jinja_peek(p, 1)->text, "in")) {
            part->name = LITERAL("not in");
            p->at += 2;
        } else
            break;
        part->a = binary(p, 0);
        all = all ? all : jinja_new_on(p, E_COMPARE, a);
        jinja_add_kid(p, all, part);
    }
    return all ? all : a;
}

static struct node *negation(struct parser *p)
{
    struct node *n;
    if (!jinja_enter(p) || !jinja_take_word(p, "not")) {
        n = compare(p);
    } else {
        n = negation(p);
        n = jinja_new_on(p, E_NOT, n);
    }
    p->depth--;
    return n;
}

static struct node *conjunction(struct parser *p)
{
    struct node *a = negation(p);
    while (jinja_take_word(p, "and")) {
        a = jinja_new_on(p, E_AND, a);
        a->b = negation(p);
    }
    return a;
}

static struct node *disjunction(struct parser *p)
{
    struct node *a = conjunction(p);
    while (jinja_take_word(p, "or")) {
        a = jinja_new_on(p, E_OR, a);
        a->b = conjunction(p);
    }
    return a;
}

struct node *jinja_expression(struct parser *p)
{
    struct node *a = disjunction(p);
    while (jinja_take_word(p, "if")) {
        struct node *b = disjunction(p);
        a = jinja_new_on(p, E_COND, a);
        a->b = b;
        if (!jinja_enter(p))
            break;
        a->c = jinja_take_word(p, "else") ? jinja_expression(p) : NULL;
        p->depth--;
    }
    return a;
}

struct node *jinja_tuple(struct parser *p, bool condition, const char *end)
{
    struct node *n = jinja_new(p, E_TUPLE);
    bool comma = false;
    while (!p->failed && !(end && jinja_next_is(p, T_OP, end)) && jinja_peek(p, 0)->kind != T_BLOCK_END) {
        jinja_add_kid(p, n, condition ? jinja_expression(p) : disjunction(p));
        if (!jinja_take_op(p, ","))
            break;
        comma = true;
    }
    if (!n->n && !end)
        jinja_expected(p, "a value");
    return n->n == 1 && !comma ? n->kids[0] : n;
}
