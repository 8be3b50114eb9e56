#include "core/mem.h"
#include "core/utf8.h"
#include "model/jinja/internal.h"

/* ---- statements ---- */

static struct node *body(struct parser *p);

static void end_block(struct parser *p)
{
    if (!jinja_take(p, T_BLOCK_END, NULL))
        jinja_expected(p, "%}");
}

/* {% NAME %}, with which the block that began at LINE ends. */
static void need_end(struct parser *p, const char *name, int line)
{
    if (p->failed)
        return;
    if (!(jinja_peek(p, 0)->kind == T_BLOCK && jinja_text_is(jinja_peek(p, 1)->text, name))) {
        if (jinja_peek(p, 0)->kind == T_END)
            jinja_parse_fail(p, line, "the block that begins here has no {%% %s %%}", name);
        else
            jinja_parse_fail(p, jinja_peek(p, 0)->line, "{%% %.*s %%} stands where {%% %s %%} is expected",
                             (int)(jinja_peek(p, 1)->text.n < 40 ? jinja_peek(p, 1)->text.n : 40),
                             jinja_peek(p, 1)->text.s, name);
    }
    p->at += 2;
    if (!strcmp(name, "endmacro"))
        jinja_take(p, T_NAME, NULL);
    end_block(p);
}

static bool block_is(const struct parser *p, const char *name)
{
    return jinja_peek(p, 0)->kind == T_BLOCK && jinja_peek(p, 1)->kind == T_NAME &&
           jinja_text_is(jinja_peek(p, 1)->text, name);
}

static struct node *if_block(struct parser *p, struct node *n)
{
    n->op = S_IF;
    jinja_add_kid(p, n, jinja_expression(p));
    end_block(p);
    jinja_add_kid(p, n, body(p));
    while (block_is(p, "elif")) {
        p->at += 2;
        jinja_add_kid(p, n, jinja_expression(p));
        end_block(p);
        jinja_add_kid(p, n, body(p));
    }
    if (block_is(p, "else")) {
        p->at += 2;
        end_block(p);
        jinja_add_kid(p, n, body(p));
    }
    need_end(p, "endif", n->line);
    return n;
}

/* A name, names with commas between, or with DOTS one of a namespace. */
static struct node *target(struct parser *p, bool dots)
{
    struct node *n = jinja_new(p, E_TUPLE);
    bool comma = false;
    const bool open = jinja_take_op(p, "(");
    do {
        struct node *name = jinja_new(p, E_NAME);
        name->name = jinja_need_name(p, "a name");
        if (dots && jinja_take_op(p, ".")) {
            name = jinja_new_on(p, E_ATTR, name);
            name->name = jinja_need_name(p, "a name");
        }
        jinja_add_kid(p, n, name);
        comma = jinja_take_op(p, ",");
    } while (comma && jinja_peek(p, 0)->kind == T_NAME && !jinja_next_is(p, T_NAME, "in"));
    if (open)
        jinja_need_op(p, ")");
    return n->n == 1 && !comma ? n->kids[0] : n;
}

static struct node *for_block(struct parser *p, struct node *n)
{
    n->op = S_FOR;
    n->a = target(p, false);
    if (!jinja_take_word(p, "in"))
        jinja_expected(p, "in");
    n->b = jinja_tuple(p, false, NULL);
    if (jinja_take_word(p, "if"))
        n->d = jinja_expression(p);
    if (jinja_next_is(p, T_NAME, "recursive"))
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
    struct node *n = jinja_new(p, E_HOLE);
    do
        n = jinja_one_filter(p, n);
    while (jinja_take_op(p, "|"));
    return n;
}

static struct node *set_block(struct parser *p, struct node *n)
{
    n->op = S_SET;
    n->a = target(p, true);
    if (jinja_take_op(p, "=")) {
        n->b = jinja_tuple(p, true, NULL);
        end_block(p);
        return n;
    }
    n->op = S_SET_BLOCK;
    n->b = jinja_take_op(p, "|") ? filters_on_hole(p) : NULL;
    end_block(p);
    n->c = body(p);
    need_end(p, "endset", n->line);
    return n;
}

static struct node *macro_block(struct parser *p, struct node *n)
{
    n->op = S_MACRO;
    n->name = jinja_need_name(p, "a macro's name");
    jinja_need_op(p, "(");
    while (!jinja_take_op(p, ")") && !p->failed) {
        struct node *parameter = jinja_new(p, E_KEYWORD);
        parameter->name = jinja_need_name(p, "a parameter's name");
        parameter->a = jinja_take_op(p, "=") ? jinja_expression(p) : NULL;
        jinja_add_kid(p, n, parameter);
        if (!jinja_next_is(p, T_OP, ")"))
            jinja_need_op(p, ",");
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
    struct node *n = jinja_new(p, S_SCOPE);
    const struct text name = jinja_need_name(p, "a statement");
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
    struct node *n = jinja_new(p, S_BLOCK);
    while (jinja_enter(p) && jinja_peek(p, 0)->kind != T_END) {
        const struct token *t = jinja_peek(p, 0);
        struct node *kid;
        if (t->kind == T_BLOCK) {
            const struct text name = jinja_peek(p, 1)->text;
            if ((name.n > 3 && !memcmp(name.s, "end", 3)) || jinja_text_is(name, "else") || jinja_text_is(name, "elif"))
                break;
            p->at++;
            kid = statement(p);
        } else if (t->kind == T_VARIABLE) {
            p->at++;
            kid = jinja_new(p, S_PRINT);
            kid->a = jinja_tuple(p, true, NULL);
            if (!jinja_take(p, T_VARIABLE_END, NULL))
                jinja_expected(p, "}}");
        } else {
            p->at++;
            kid = jinja_new_constant(p, jinja_text(t->text));
            kid->op = S_DATA;
        }
        jinja_add_kid(p, n, kid);
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
        if (jinja_peek(&p, 0)->kind != T_END)
            jinja_parse_fail(&p, jinja_peek(&p, 0)->line, "{%% %.*s %%} ends nothing",
                             (int)(jinja_peek(&p, 1)->text.n < 40 ? jinja_peek(&p, 1)->text.n : 40),
                             jinja_peek(&p, 1)->text.s);
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
