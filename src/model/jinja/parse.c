#include "core/mem.h"
#include "core/utf8.h"
#include "model/jinja/internal.h"

/* ---- tokens ---- */

static const struct token *peek(const struct parser *p, size_t ahead)
{
    const size_t i = p->at + ahead;
    return &p->tokens[p->failed || i >= p->n ? p->n - 1 : i];
}

static bool is(const struct parser *p, enum token_kind kind, const char *text)
{
    const struct token *t = peek(p, 0);
    return t->kind == kind && (!text || jinja_text_is(t->text, text));
}

static bool take(struct parser *p, enum token_kind kind, const char *text)
{
    const bool it_is = is(p, kind, text);
    p->at += it_is;
    return it_is;
}

static bool op(struct parser *p, const char *text)
{
    return take(p, T_OP, text);
}

static bool word(struct parser *p, const char *text)
{
    return take(p, T_NAME, text);
}

static void expected(struct parser *p, const char *what)
{
    const struct token *t = peek(p, 0);
    if (t->kind == T_END)
        jinja_parse_fail(p, t->line, "the template ends where %s is expected", what);
    else
        jinja_parse_fail(p, t->line, "'%.*s' stands where %s is expected", (int)(t->text.n < 40 ? t->text.n : 40),
                         t->text.s, what);
}

static void need_op(struct parser *p, const char *text)
{
    if (!op(p, text))
        expected(p, text);
}

static struct text need_name(struct parser *p, const char *what)
{
    const struct text t = peek(p, 0)->text;
    if (!take(p, T_NAME, NULL))
        expected(p, what);
    return t;
}

/* ---- nodes ---- */

static struct node *new_node(struct parser *p, enum op kind)
{
    struct node *n = jinja_arena_get(&p->j->arena, sizeof *n);
    n->op = kind;
    n->line = peek(p, 0)->line;
    return n;
}

static struct node *new_on(struct parser *p, enum op kind, struct node *a)
{
    struct node *n = new_node(p, kind);
    n->a = a;
    n->line = a->line;
    return n;
}

static struct node *new_constant(struct parser *p, struct value v)
{
    struct node *n = new_node(p, E_CONST);
    n->value = v;
    return n;
}

static void add_kid(struct parser *p, struct node *n, struct node *kid)
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

static bool enter(struct parser *p)
{
    if (++p->depth > STE_JINJA_MAX_DEPTH)
        jinja_parse_fail(p, peek(p, 0)->line, "more than %d things stand within each other", STE_JINJA_MAX_DEPTH);
    return !p->failed;
}

/* ---- expressions, in the order in which they bind ---- */

static struct node *expression(struct parser *p);
static struct node *tuple(struct parser *p, bool condition, const char *end);
static struct node *unary(struct parser *p, bool filters);

static void arguments(struct parser *p, struct node *call)
{
    while (!op(p, ")") && !p->failed) {
        struct node *arg = new_node(p, E_KEYWORD);
        if (is(p, T_OP, "*") || is(p, T_OP, "**"))
            jinja_parse_fail(p, arg->line, "arguments that are unpacked (*) are not supported");
        if (peek(p, 0)->kind == T_NAME && peek(p, 1)->kind == T_OP && jinja_text_is(peek(p, 1)->text, "=")) {
            arg->name = need_name(p, "a name");
            need_op(p, "=");
        }
        arg->a = expression(p);
        add_kid(p, call, arg);
        if (!is(p, T_OP, ")"))
            need_op(p, ",");
        if (call->n > MAX_ARGS)
            jinja_parse_fail(p, call->line, "a call has more than %d arguments", MAX_ARGS);
    }
}

static struct node *subscript(struct parser *p, struct node *of)
{
    struct node *n = new_on(p, E_ITEM, of), *part[3] = {0};
    int k = 0;
    for (; k < 3 && !p->failed; k++) {
        if (!is(p, T_OP, ":") && !is(p, T_OP, "]"))
            part[k] = expression(p);
        if (!op(p, ":"))
            break;
        n->op = E_SLICE;
    }
    need_op(p, "]");
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
        if (op(p, ".")) {
            const struct token *t = peek(p, 0);
            if (t->kind == T_INT) {
                a = new_on(p, E_ITEM, a);
                a->b = new_constant(p, jinja_int(t->i));
                p->at++;
            } else {
                a = new_on(p, E_ATTR, a);
                a->name = need_name(p, "a name");
            }
        } else if (op(p, "[")) {
            a = subscript(p, a);
        } else if (op(p, "(")) {
            a = new_on(p, E_CALL, a);
            arguments(p, a);
        } else {
            break;
        }
    }
    return a;
}

static struct node *primary(struct parser *p)
{
    const struct token *t = peek(p, 0);
    struct node *n = new_node(p, E_CONST);
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
        for (; is(p, T_TEXT, NULL); p->at++) { /* one behind the other */
            const struct text a = n->value.t, b = peek(p, 0)->text;
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
    } else if (op(p, "(")) {
        n = tuple(p, true, ")");
        need_op(p, ")");
    } else if (op(p, "[")) {
        for (n->op = E_LIST; !op(p, "]") && !p->failed;) {
            add_kid(p, n, expression(p));
            if (!is(p, T_OP, "]"))
                need_op(p, ",");
        }
    } else if (op(p, "{")) {
        for (n->op = E_DICT; !op(p, "}") && !p->failed;) {
            add_kid(p, n, expression(p));
            need_op(p, ":");
            add_kid(p, n, expression(p));
            if (!is(p, T_OP, "}"))
                need_op(p, ",");
        }
    } else {
        expected(p, "a value");
    }
    return n;
}

static struct node *filter(struct parser *p, struct node *a)
{
    struct node *n = new_on(p, E_FILTER, a);
    n->name = need_name(p, "a filter's name");
    if (op(p, "("))
        arguments(p, n);
    return n;
}

static struct node *test(struct parser *p, struct node *a)
{
    const bool negated = word(p, "not");
    struct node *n = new_on(p, E_TEST, a);
    n->name = need_name(p, "a test's name");
    const struct token *t = peek(p, 0);
    const bool names = t->kind == T_NAME && !is(p, T_NAME, "else") && !is(p, T_NAME, "or") && !is(p, T_NAME, "and") &&
                       !is(p, T_NAME, "if") && !is(p, T_NAME, "is") && !is(p, T_NAME, "in") && !is(p, T_NAME, "not");
    const bool opens = t->kind == T_OP && (jinja_text_is(t->text, "[") || jinja_text_is(t->text, "{"));
    if (op(p, "(")) {
        arguments(p, n);
    } else if (names || opens || t->kind == T_TEXT || t->kind == T_INT || t->kind == T_REAL) {
        struct node *arg = new_node(p, E_KEYWORD);
        arg->a = postfix(p, primary(p));
        add_kid(p, n, arg);
    }
    return negated ? new_on(p, E_NOT, n) : n;
}

static struct node *unary(struct parser *p, bool filters)
{
    struct node *n;
    if (!enter(p)) {
        n = new_node(p, E_CONST);
    } else if (is(p, T_OP, "-") || is(p, T_OP, "+")) {
        const enum op sign = op(p, "-") ? E_NEG : (p->at++, E_POS);
        n = unary(p, false);
        n = new_on(p, sign, n);
    } else {
        n = primary(p);
    }
    n = postfix(p, n);
    while (filters && !p->failed) {
        if (op(p, "|")) {
            n = filter(p, n);
        } else if (word(p, "is")) {
            n = test(p, n);
        } else if (op(p, "(")) {
            n = new_on(p, E_CALL, n);
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
        const struct text name = peek(p, 0)->text;
        if (!op(p, levels[level][i])) {
            i++;
            continue;
        }
        a = new_on(p, E_BINARY, a);
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
        struct node *part = new_node(p, E_KEYWORD);
        for (size_t i = 0; i < sizeof ops / sizeof *ops && !part->name.n; i++)
            if (op(p, ops[i]))
                part->name = (struct text){ops[i], NULL, strlen(ops[i])};
        if (part->name.n)
            ;
        else if (word(p, "in"))
            part->name = LITERAL("in");
        else if (is(p, T_NAME, "not") && peek(p, 1)->kind == T_NAME && jinja_text_is(peek(p, 1)->text, "in")) {
            part->name = LITERAL("not in");
            p->at += 2;
        } else
            break;
        part->a = binary(p, 0);
        all = all ? all : new_on(p, E_COMPARE, a);
        add_kid(p, all, part);
    }
    return all ? all : a;
}

static struct node *negation(struct parser *p)
{
    struct node *n;
    if (!enter(p) || !word(p, "not")) {
        n = compare(p);
    } else {
        n = negation(p);
        n = new_on(p, E_NOT, n);
    }
    p->depth--;
    return n;
}

static struct node *conjunction(struct parser *p)
{
    struct node *a = negation(p);
    while (word(p, "and")) {
        a = new_on(p, E_AND, a);
        a->b = negation(p);
    }
    return a;
}

static struct node *disjunction(struct parser *p)
{
    struct node *a = conjunction(p);
    while (word(p, "or")) {
        a = new_on(p, E_OR, a);
        a->b = conjunction(p);
    }
    return a;
}

static struct node *expression(struct parser *p)
{
    struct node *a = disjunction(p);
    while (word(p, "if")) {
        struct node *b = disjunction(p);
        a = new_on(p, E_COND, a);
        a->b = b;
        if (!enter(p))
            break;
        a->c = word(p, "else") ? expression(p) : NULL;
        p->depth--;
    }
    return a;
}

/* Expressions with commas between are a tuple; END: none may stand there, or NULL. */
static struct node *tuple(struct parser *p, bool condition, const char *end)
{
    struct node *n = new_node(p, E_TUPLE);
    bool comma = false;
    while (!p->failed && !(end && is(p, T_OP, end)) && peek(p, 0)->kind != T_BLOCK_END) {
        add_kid(p, n, condition ? expression(p) : disjunction(p));
        if (!op(p, ","))
            break;
        comma = true;
    }
    if (!n->n && !end)
        expected(p, "a value");
    return n->n == 1 && !comma ? n->kids[0] : n;
}

/* ---- statements ---- */

static struct node *body(struct parser *p);

static void end_block(struct parser *p)
{
    if (!take(p, T_BLOCK_END, NULL))
        expected(p, "%}");
}

/* {% NAME %}, with which the block that began at LINE ends. */
static void need_end(struct parser *p, const char *name, int line)
{
    if (p->failed)
        return;
    if (!(peek(p, 0)->kind == T_BLOCK && jinja_text_is(peek(p, 1)->text, name))) {
        if (peek(p, 0)->kind == T_END)
            jinja_parse_fail(p, line, "the block that begins here has no {%% %s %%}", name);
        else
            jinja_parse_fail(p, peek(p, 0)->line, "{%% %.*s %%} stands where {%% %s %%} is expected",
                             (int)(peek(p, 1)->text.n < 40 ? peek(p, 1)->text.n : 40), peek(p, 1)->text.s, name);
    }
    p->at += 2;
    if (!strcmp(name, "endmacro"))
        take(p, T_NAME, NULL);
    end_block(p);
}

static bool block_is(const struct parser *p, const char *name)
{
    return peek(p, 0)->kind == T_BLOCK && peek(p, 1)->kind == T_NAME && jinja_text_is(peek(p, 1)->text, name);
}

static struct node *if_block(struct parser *p, struct node *n)
{
    n->op = S_IF;
    add_kid(p, n, expression(p));
    end_block(p);
    add_kid(p, n, body(p));
    while (block_is(p, "elif")) {
        p->at += 2;
        add_kid(p, n, expression(p));
        end_block(p);
        add_kid(p, n, body(p));
    }
    if (block_is(p, "else")) {
        p->at += 2;
        end_block(p);
        add_kid(p, n, body(p));
    }
    need_end(p, "endif", n->line);
    return n;
}

/* A name, names with commas between, or with DOTS one of a namespace. */
static struct node *target(struct parser *p, bool dots)
{
    struct node *n = new_node(p, E_TUPLE);
    bool comma = false;
    const bool open = op(p, "(");
    do {
        struct node *name = new_node(p, E_NAME);
        name->name = need_name(p, "a name");
        if (dots && op(p, ".")) {
            name = new_on(p, E_ATTR, name);
            name->name = need_name(p, "a name");
        }
        add_kid(p, n, name);
        comma = op(p, ",");
    } while (comma && peek(p, 0)->kind == T_NAME && !is(p, T_NAME, "in"));
    if (open)
        need_op(p, ")");
    return n->n == 1 && !comma ? n->kids[0] : n;
}

static struct node *for_block(struct parser *p, struct node *n)
{
    n->op = S_FOR;
    n->a = target(p, false);
    if (!word(p, "in"))
        expected(p, "in");
    n->b = tuple(p, false, NULL);
    if (word(p, "if"))
        n->d = expression(p);
    if (is(p, T_NAME, "recursive"))
        jinja_parse_fail(p, n->line, "a recursive loop is not supported");
    end_block(p);
    n->c = body(p);
    if (block_is(p, "else")) {
        p->at += 2;
        end_block(p);
        n->e = body(p);
    }
    need_end(p, "endfor", n->line);
    return n;
}

static struct node *filters_on_hole(struct parser *p)
{
    struct node *n = new_node(p, E_HOLE);
    do
        n = filter(p, n);
    while (op(p, "|"));
    return n;
}

static struct node *set_block(struct parser *p, struct node *n)
{
    n->op = S_SET;
    n->a = target(p, true);
    if (op(p, "=")) {
        n->b = tuple(p, true, NULL);
        end_block(p);
        return n;
    }
    n->op = S_SET_BLOCK;
    n->b = op(p, "|") ? filters_on_hole(p) : NULL;
    end_block(p);
    n->c = body(p);
    need_end(p, "endset", n->line);
    return n;
}

static struct node *macro_block(struct parser *p, struct node *n)
{
    n->op = S_MACRO;
    n->name = need_name(p, "a macro's name");
    need_op(p, "(");
    while (!op(p, ")") && !p->failed) {
        struct node *parameter = new_node(p, E_KEYWORD);
        parameter->name = need_name(p, "a parameter's name");
        parameter->a = op(p, "=") ? expression(p) : NULL;
        add_kid(p, n, parameter);
        if (!is(p, T_OP, ")"))
            need_op(p, ",");
        if (n->n > MAX_ARGS)
            jinja_parse_fail(p, n->line, "a macro has more than %d parameters", MAX_ARGS);
    }
    end_block(p);
    n->c = body(p);
    need_end(p, "endmacro", n->line);
    return n;
}

static struct node *statement(struct parser *p)
{
    struct node *n = new_node(p, S_SCOPE);
    const struct text name = need_name(p, "a statement");
    if (jinja_text_is(name, "if"))
        return if_block(p, n);
    if (jinja_text_is(name, "for"))
        return for_block(p, n);
    if (jinja_text_is(name, "set"))
        return set_block(p, n);
    if (jinja_text_is(name, "macro"))
        return macro_block(p, n);
    if (jinja_text_is(name, "generation")) {
        end_block(p);
        n->c = body(p);
        need_end(p, "endgeneration", n->line);
    } else if (jinja_text_is(name, "filter")) {
        n->op = S_FILTER;
        n->b = filters_on_hole(p);
        end_block(p);
        n->c = body(p);
        need_end(p, "endfilter", n->line);
    } else if (jinja_text_is(name, "break") || jinja_text_is(name, "continue")) {
        n->op = jinja_text_is(name, "break") ? S_BREAK : S_CONTINUE;
        end_block(p);
    } else {
        jinja_parse_fail(p, n->line, "the statement '%.*s' is not supported", (int)(name.n < 40 ? name.n : 40), name.s);
    }
    return n;
}

/* Up to a statement that ends or divides a block. */
static struct node *body(struct parser *p)
{
    struct node *n = new_node(p, S_BLOCK);
    while (enter(p) && peek(p, 0)->kind != T_END) {
        const struct token *t = peek(p, 0);
        struct node *kid;
        if (t->kind == T_BLOCK) {
            const struct text name = peek(p, 1)->text;
            if ((name.n > 3 && !memcmp(name.s, "end", 3)) || jinja_text_is(name, "else") || jinja_text_is(name, "elif"))
                break;
            p->at++;
            kid = statement(p);
        } else if (t->kind == T_VARIABLE) {
            p->at++;
            kid = new_node(p, S_PRINT);
            kid->a = tuple(p, true, NULL);
            if (!take(p, T_VARIABLE_END, NULL))
                expected(p, "}}");
        } else {
            p->at++;
            kid = new_constant(p, jinja_text(t->text));
            kid->op = S_DATA;
        }
        add_kid(p, n, kid);
        p->depth--;
    }
    p->depth--;
    return n;
}

int ste_jinja_new(struct ste_jinja **out, const char *name, const char *text, size_t n, struct ste_err *err)
{
    struct ste_jinja *j = ste_xcalloc(1, sizeof *j);
    struct parser p = {.j = j, .err = err};
    const size_t bad = n > STE_JINJA_MAX_TEMPLATE ? n : ste_utf8_bad(text, n);
    int lines = 1;
    j->name = ste_xstrdup(name);
    for (size_t i = 0; i < bad; i++)
        lines += text[i] == '\n';
    if (n > STE_JINJA_MAX_TEMPLATE)
        jinja_parse_fail(&p, lines, "the template has %zu bytes; ste takes %d at most", n, STE_JINJA_MAX_TEMPLATE);
    else if (bad < n || (n && memchr(text, 0, n)))
        jinja_parse_fail(&p, lines, "the template is no text in UTF-8");
    if (!p.failed)
        jinja_lex(&p, text, n);
    if (!p.failed) {
        j->root = body(&p);
        if (peek(&p, 0)->kind != T_END)
            jinja_parse_fail(&p, peek(&p, 0)->line, "{%% %.*s %%} ends nothing",
                             (int)(peek(&p, 1)->text.n < 40 ? peek(&p, 1)->text.n : 40), peek(&p, 1)->text.s);
    }
    ste_xfree(p.tokens);
    *out = j;
    if (p.failed) {
        ste_jinja_free(j);
        *out = NULL;
        return STE_EINPUT;
    }
    return 0;
}

void ste_jinja_free(struct ste_jinja *j)
{
    if (!j)
        return;
    jinja_arena_clear(&j->arena);
    ste_xfree(j->name);
    ste_xfree(j);
}
