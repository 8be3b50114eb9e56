/* What the parts of the interpreter share: lex.c, expression.c, parse.c, value.c, eval.c, run.c, filters.c, methods.c,
 * json.c. */
#ifndef STE_MODEL_JINJA_INTERNAL_H
#define STE_MODEL_JINJA_INTERNAL_H

#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#include "model/jinja/jinja.h"

/* "NAME, line LINE: ..." in one line, whatever the texts in it hold. */
void jinja_say(struct ste_err *err, const char *name, int line, const char *fmt, va_list ap);

/* ---- memory: freed all at once ---- */

struct arena {
    struct arena_block *blocks;
    size_t used; /* bytes of all blocks */
};
void *jinja_arena_get(struct arena *a, size_t size); /* zeroed */
void jinja_arena_clear(struct arena *a);

/* ---- values ---- */

enum kind { UNDEFINED, NONE, BOOL, INT, REAL, TEXT, LIST, DICT, NAMESPACE, LOOP, MACRO, FUNCTION, METHOD };

/* UTF-8, not NUL-terminated. MARKS: one a byte; NULL: all 0. Parts of a text share its bytes. */
struct text {
    const char *s;
    const uint8_t *marks;
    size_t n;
};

struct value {
    enum kind kind;
    bool tuple; /* a LIST that prints with parentheses */
    union {
        bool b;
        int64_t i; /* FUNCTION: enum function */
        double r;
        struct text t; /* UNDEFINED: its name */
        struct list *list;
        struct dict *dict; /* DICT, NAMESPACE */
        const struct loop *loop;
        const struct node *macro;
        struct method *method;
    };
};

struct list {
    size_t n, cap;
    struct value *items;
};
struct dict {
    size_t n, cap;
    struct value *keys, *values;
};
struct method {
    struct value of;
    struct text name;
};
struct loop {
    const struct list *items;
    size_t i, depth;
};

/* ---- the tree ---- */

enum op {
    /* statements */
    S_BLOCK,     /* kids */
    S_DATA,      /* value */
    S_PRINT,     /* a */
    S_IF,        /* kids: condition, body, ..., and a last body where there is an else */
    S_FOR,       /* a: target, b: over, c: body, d: condition, e: else; those may be NULL */
    S_SET,       /* a: target, b: value */
    S_SET_BLOCK, /* a: target, c: body, b: filters on E_HOLE or NULL */
    S_MACRO,     /* name, kids: parameters (E_KEYWORD, a: default or NULL), c: body */
    S_SCOPE,     /* c: body */
    S_FILTER,    /* b: filters on E_HOLE, c: body */
    S_BREAK,
    S_CONTINUE,
    /* expressions */
    E_CONST,   /* value */
    E_NAME,    /* name */
    E_LIST,    /* kids */
    E_TUPLE,   /* kids */
    E_DICT,    /* kids: key, value, ... */
    E_ATTR,    /* a, name */
    E_ITEM,    /* a, b */
    E_SLICE,   /* a; b: start, c: stop, d: step; NULL: none */
    E_CALL,    /* a; kids: arguments */
    E_FILTER,  /* a, name; kids: arguments */
    E_TEST,    /* a, name; kids: arguments */
    E_KEYWORD, /* name, a: an argument */
    E_NOT,
    E_NEG,
    E_POS,
    E_AND,
    E_OR,
    E_COND,    /* a if b else c (NULL: undefined) */
    E_BINARY,  /* a, b; name: the operator */
    E_COMPARE, /* a; kids: E_KEYWORD with the operator as name */
    E_HOLE,    /* what a block's filters are applied to */
};
struct node {
    enum op op;
    int line;
    struct text name;
    struct value value;
    struct node *a, *b, *c, *d, *e;
    struct node **kids;
    size_t n, cap;
};

struct ste_jinja {
    struct arena arena;
    char *name;
    struct node *root;
};

/* ---- lex.c ---- */

enum token_kind {
    T_END,
    T_DATA,
    T_VARIABLE,
    T_VARIABLE_END,
    T_BLOCK,
    T_BLOCK_END,
    T_NAME,
    T_TEXT,
    T_INT,
    T_REAL,
    T_OP
};
struct token {
    enum token_kind kind;
    int line;
    struct text text; /* T_TEXT: without its escapes */
    int64_t i;
    double r;
};
struct parser {
    struct ste_jinja *j;
    struct ste_err *err;
    bool failed; /* then every token is T_END, so that all comes to its end */
    struct token *tokens;
    size_t n, cap, at;
    int depth;
};
void jinja_lex(struct parser *p, const char *s, size_t n);
/* Keeps the first sentence: "NAME, line LINE: ...". */
void jinja_parse_fail(struct parser *p, int line, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* ---- expression.c: tokens, nodes and expressions; parse.c has the statements ---- */

const struct token *jinja_peek(const struct parser *p, size_t ahead);
/* The next token is of KIND and, unless that is NULL, TEXT. */
bool jinja_next_is(const struct parser *p, enum token_kind kind, const char *text);
bool jinja_take(struct parser *p, enum token_kind kind, const char *text); /* and goes on behind it */
bool jinja_take_op(struct parser *p, const char *text);
bool jinja_take_word(struct parser *p, const char *text);
void jinja_expected(struct parser *p, const char *what); /* an error: the next token is not WHAT */
void jinja_need_op(struct parser *p, const char *text);
struct text jinja_need_name(struct parser *p, const char *what);
struct node *jinja_new(struct parser *p, enum op kind); /* at the next token's line */
struct node *jinja_new_on(struct parser *p, enum op kind, struct node *a);
struct node *jinja_new_constant(struct parser *p, struct value v);
void jinja_add_kid(struct parser *p, struct node *n, struct node *kid);
bool jinja_enter(struct parser *p); /* one deeper; the caller takes it back from p->depth */
struct node *jinja_expression(struct parser *p);
/* Expressions with commas between are a tuple. CONDITION: they may have "if"; END: an empty one may stand before it. */
struct node *jinja_tuple(struct parser *p, bool condition, const char *end);
struct node *jinja_one_filter(struct parser *p, struct node *a); /* behind its "|" */

/* ---- a rendering ---- */

struct binding {
    struct text name;
    struct value value;
    struct binding *next;
};
struct scope {
    struct scope *up;
    struct binding *bindings;
};
struct run {
    const struct ste_jinja *j;
    const struct ste_jinja_input *in;
    struct arena arena;
    struct ste_err *err;
    bool failed, raised; /* failed: every evaluation gives undefined at once, so that all comes to its end */
    int line, depth;
    size_t steps, loops;
    struct scope *top, *scope;
    struct ste_buf *text, *marks; /* where output goes */
    struct value hole;
};
void jinja_run_fail(struct run *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Counts N steps; false: no more. */
bool jinja_run_step(struct run *r, size_t n);

/* ---- value.c ---- */

#define LITERAL(x) ((struct text){x, NULL, sizeof x - 1})
bool jinja_text_is(struct text t, const char *s);
bool jinja_text_equal(struct text a, struct text b);
struct text jinja_text_part(struct text t, size_t from, size_t n);
size_t jinja_text_find(struct run *r, struct text t, struct text what, size_t from); /* T.n: it is not there */
/* Bytes of the character at AT. */
size_t jinja_text_step(struct text t, size_t at);
size_t jinja_text_length(struct text t); /* characters */
struct value jinja_undefined(struct text name);
struct value jinja_none(void);
struct value jinja_bool(bool b);
struct value jinja_int(int64_t i);
struct value jinja_real(double x);
struct value jinja_text(struct text t);
struct value jinja_list(struct run *r);
struct value jinja_dict(struct run *r);
void jinja_list_add(struct run *r, struct list *l, struct value v);
void jinja_dict_set(struct run *r, struct dict *d, struct value key, struct value v);
const struct value *jinja_dict_get(struct run *r, const struct dict *d, struct value key); /* NULL: none */
bool jinja_is_true(struct value v);
bool jinja_equal(struct run *r, struct value a, struct value b);
/* Below 0, 0 or above; what has no order is an error. */
int jinja_order(struct run *r, struct value a, struct value b);
const char *jinja_kind_name(struct value v);
/* What a loop goes over: items, characters, keys. What cannot be gone over is an error. */
struct list *jinja_items(struct run *r, struct value v);

/* Text that is being made. */
struct making {
    struct ste_buf s, marks;
};
#define MAKING                                                                                                         \
    {                                                                                                                  \
        STE_BUF_INIT, STE_BUF_INIT                                                                                     \
    }
void jinja_put(struct run *r, struct ste_buf *s, struct ste_buf *marks, struct text t);
void jinja_put_value(struct run *r, struct ste_buf *s, struct ste_buf *marks, struct value v); /* as print does */
struct text jinja_made(struct run *r, struct making *m);                                       /* M is cleared */
struct text jinja_string(struct run *r, struct value v);
void jinja_put_real(double x, char out[40]); /* as Python writes it */

/* ---- eval.c, run.c, filters.c, methods.c, json.c ---- */

#define MAX_ARGS 12
struct args {
    struct value values[MAX_ARGS];
    struct text names[MAX_ARGS]; /* N 0: by position */
    int n;
};
/* The argument NAME, else the one at position AT; NULL: it was not given. */
const struct value *jinja_arg(const struct args *a, int at, const char *name);
struct value jinja_arg_or(const struct args *a, int at, const char *name, struct value other);

struct value jinja_eval(struct run *r, const struct node *n);
struct value jinja_binary(struct run *r, struct text op, struct value a, struct value b);
bool jinja_compare(struct run *r, struct text op, struct value a, struct value b);
struct value jinja_attr(struct run *r, struct value v, struct text name);
struct value jinja_item(struct run *r, struct value v, struct value key);
void jinja_bind(struct run *r, struct text name, struct value v);
struct value jinja_call_macro(struct run *r, const struct node *macro, const struct args *args);
struct value jinja_filter(struct run *r, struct value v, struct text name, const struct args *args);
struct value jinja_test(struct run *r, struct value v, struct text name, const struct args *args);
bool jinja_has_method(struct value v, struct text name);
struct value jinja_call_method(struct run *r, const struct method *m, const struct args *args);
enum function { F_NAMESPACE, F_RAISE, F_STRFTIME, F_RANGE, F_DICT, F_N };
extern const char *const jinja_functions[F_N];
struct value jinja_call_function(struct run *r, enum function f, const struct args *args);
struct text jinja_strip(struct text t, const struct value *chars, bool left, bool right);
enum letters { UPPER, LOWER, CAPITALIZED, TITLE };
struct text jinja_letters(struct run *r, struct text t, enum letters how);
struct text jinja_replace(struct run *r, struct text t, struct text what, struct text by, int64_t most);
struct value jinja_tojson(struct run *r, struct value v, const struct args *args);
struct value jinja_from_json(struct run *r, const json_t *v, const json_t *object, const char *key);

#endif
