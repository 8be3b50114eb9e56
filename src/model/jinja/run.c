#include "core/mem.h"
#include "model/jinja/internal.h"

void jinja_run_fail(struct run *r, const char *fmt, ...)
{
    va_list ap;
    if (r->failed)
        return;
    r->failed = true;
    va_start(ap, fmt);
    jinja_say(r->err, r->j->name, r->line, fmt, ap);
    va_end(ap);
}

bool jinja_run_step(struct run *r, size_t n)
{
    r->steps += n;
    if (r->steps > STE_JINJA_MAX_STEPS)
        jinja_run_fail(r, "the template takes more than %d steps; it may go on for ever", STE_JINJA_MAX_STEPS);
    else if (r->arena.used > STE_JINJA_MAX_MEMORY)
        jinja_run_fail(r, "the template takes more than %d MB", STE_JINJA_MAX_MEMORY >> 20);
    return !r->failed;
}

/* ---- names ---- */

void jinja_bind(struct run *r, struct text name, struct value v)
{
    for (struct binding *b = r->scope->bindings; b; b = b->next)
        if (jinja_text_equal(b->name, name)) {
            b->value = v;
            return;
        }
    struct binding *b = jinja_arena_get(&r->arena, sizeof *b);
    *b = (struct binding){name, v, r->scope->bindings};
    r->scope->bindings = b;
}

static void push(struct run *r, struct scope *s, struct scope *up)
{
    *s = (struct scope){up, NULL};
    r->scope = s;
}

static void assign(struct run *r, const struct node *target, struct value v)
{
    if (target->op == E_NAME) {
        jinja_bind(r, target->name, v);
    } else if (target->op == E_ATTR) {
        const struct value ns = jinja_eval(r, target->a);
        if (ns.kind != NAMESPACE)
            jinja_run_fail(r, "'%.*s' is no namespace, so that nothing in it can be set", (int)target->a->name.n,
                           target->a->name.s);
        else
            jinja_dict_set(r, ns.dict, jinja_text(target->name), v);
    } else {
        const struct list *items = jinja_items(r, v);
        if (items->n != target->n)
            jinja_run_fail(r, "%zu values cannot be given to %zu names", items->n, target->n);
        for (size_t i = 0; i < target->n && !r->failed; i++)
            assign(r, target->kids[i], items->items[i]);
    }
}

/* ---- statements ---- */

enum flow { ON, BREAK, CONTINUE };

static enum flow execute(struct run *r, const struct node *n);

/* What N writes, as a text, in a scope of its own. */
static struct value captured(struct run *r, const struct node *n)
{
    struct making m = MAKING;
    struct ste_buf *text = r->text, *marks = r->marks;
    struct scope own, *was = r->scope;
    r->text = &m.s;
    r->marks = &m.marks;
    push(r, &own, was);
    execute(r, n);
    r->scope = was;
    r->text = text;
    r->marks = marks;
    return jinja_text(jinja_made(r, &m));
}

static struct value filtered(struct run *r, struct value v, const struct node *filters)
{
    const struct value was = r->hole;
    r->hole = v;
    if (filters)
        v = jinja_eval(r, filters);
    r->hole = was;
    return v;
}

static void loop(struct run *r, const struct node *n)
{
    const struct list *items = jinja_items(r, jinja_eval(r, n->b));
    struct scope own, *was = r->scope;
    if (n->d) { /* the condition sees the target, and no loop */
        struct list *kept = jinja_list(r).list;
        for (size_t i = 0; i < items->n && !r->failed; i++) {
            push(r, &own, was);
            assign(r, n->a, items->items[i]);
            if (jinja_is_true(jinja_eval(r, n->d)))
                jinja_list_add(r, kept, items->items[i]);
        }
        items = kept;
    }
    enum flow flow = ON;
    r->loops++;
    for (size_t i = 0; i < items->n && flow != BREAK && jinja_run_step(r, 1); i++) {
        struct loop *l = jinja_arena_get(&r->arena, sizeof *l);
        *l = (struct loop){items, i, r->loops};
        push(r, &own, was);
        jinja_bind(r, LITERAL("loop"), (struct value){.kind = LOOP, .loop = l});
        assign(r, n->a, items->items[i]);
        flow = execute(r, n->c);
    }
    r->loops--;
    r->scope = was;
    if (!items->n && n->e)
        execute(r, n->e);
}

struct value jinja_call_macro(struct run *r, const struct node *macro, const struct args *args)
{
    struct scope own, *was = r->scope;
    int used = 0;
    push(r, &own, r->top);
    for (size_t i = 0; i < macro->n && !r->failed; i++) {
        const struct node *p = macro->kids[i];
        char name[64] = "";
        if (p->name.n < sizeof name)
            memcpy(name, p->name.s, p->name.n);
        const struct value *given = jinja_arg(args, (int)i, name);
        used += given != NULL;
        jinja_bind(r, p->name, given ? *given : p->a ? jinja_eval(r, p->a) : jinja_undefined(p->name));
    }
    if (used < args->n)
        jinja_run_fail(r, "the macro %.*s is given an argument that it does not take", (int)macro->name.n,
                       macro->name.s);
    const struct value v = r->failed ? jinja_none() : captured(r, macro->c);
    r->scope = was;
    return v;
}

static enum flow execute_if(struct run *r, const struct node *n)
{
    for (size_t i = 0; i + 1 < n->n && !r->failed; i += 2)
        if (jinja_is_true(jinja_eval(r, n->kids[i])))
            return execute(r, n->kids[i + 1]);
    return n->n % 2 && !r->failed ? execute(r, n->kids[n->n - 1]) : ON;
}

static enum flow execute_one(struct run *r, const struct node *n)
{
    struct scope own, *was = r->scope;
    enum flow flow = ON;
    switch (n->op) {
    case S_BLOCK:
        for (size_t i = 0; i < n->n && flow == ON && !r->failed; i++)
            flow = execute(r, n->kids[i]);
        return flow;
    case S_DATA:
        jinja_put(r, r->text, r->marks, n->value.t);
        break;
    case S_PRINT:
        jinja_put_value(r, r->text, r->marks, jinja_eval(r, n->a));
        break;
    case S_IF:
        return execute_if(r, n);
    case S_FOR:
        loop(r, n);
        break;
    case S_SET:
        assign(r, n->a, jinja_eval(r, n->b));
        break;
    case S_SET_BLOCK:
        assign(r, n->a, filtered(r, captured(r, n->c), n->b));
        break;
    case S_MACRO:
        jinja_bind(r, n->name, (struct value){.kind = MACRO, .macro = n});
        break;
    case S_FILTER:
        jinja_put_value(r, r->text, r->marks, filtered(r, captured(r, n->c), n->b));
        break;
    case S_BREAK:
        return BREAK;
    case S_CONTINUE:
        return CONTINUE;
    default: /* S_SCOPE */
        push(r, &own, was);
        flow = execute(r, n->c);
        r->scope = was;
        return flow;
    }
    return ON;
}

static enum flow execute(struct run *r, const struct node *n)
{
    if (!jinja_run_step(r, 1))
        return ON;
    r->line = n->line;
    if (++r->depth > STE_JINJA_MAX_DEPTH)
        jinja_run_fail(r, "more than %d things stand within each other", STE_JINJA_MAX_DEPTH);
    const enum flow flow = r->failed ? ON : execute_one(r, n);
    r->depth--;
    return flow;
}

int ste_jinja_render(const struct ste_jinja *j, const struct ste_jinja_input *in, struct ste_buf *text,
                     struct ste_buf *marks, bool *raised, struct ste_err *err)
{
    struct run r = {.j = j, .in = in, .err = err, .line = 1, .text = text, .marks = marks};
    const size_t had = text->len, had_marks = marks->len;
    struct scope globals, top;
    const char *key;
    json_t *v;
    push(&r, &globals, NULL);
    for (int i = 0; i < F_N; i++)
        jinja_bind(&r, (struct text){jinja_functions[i], NULL, strlen(jinja_functions[i])},
                   (struct value){.kind = FUNCTION, .i = i});
    json_object_foreach((json_t *)(uintptr_t)in->variables, key, v)
        jinja_bind(&r, (struct text){key, NULL, strlen(key)}, jinja_from_json(&r, v, in->variables, key));
    push(&r, &top, &globals);
    r.top = &top;
    execute(&r, j->root);
    jinja_arena_clear(&r.arena);
    if (raised)
        *raised = r.raised;
    if (r.failed) {
        ste_buf_cut(text, had);
        ste_buf_cut(marks, had_marks);
    }
    return r.failed ? STE_EINPUT : 0;
}
