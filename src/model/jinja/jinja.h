/*
 * An interpreter of the part of Jinja that published chat templates use, as transformers sets it up: trim_blocks and
 * lstrip_blocks on, nothing escaped, values that never change but for namespaces. It reads and writes nothing but its
 * arguments, and its work is bounded: template, steps, memory, depth and output each have a limit.
 *
 * A text knows of each of its bytes where it came from, through every filter, method and operator: from the template
 * (0) or from the caller's data (the mark that it was given).
 */
#ifndef STE_MODEL_JINJA_JINJA_H
#define STE_MODEL_JINJA_JINJA_H

#include <jansson.h>
#include <stdint.h>

#include "core/buf.h"
#include "core/err.h"

#define STE_JINJA_MAX_TEMPLATE (256 << 10) /* bytes */
#define STE_JINJA_MAX_STEPS 2000000
#define STE_JINJA_MAX_OUTPUT (16 << 20)  /* bytes of one text, and of what is rendered */
#define STE_JINJA_MAX_MEMORY (256 << 20) /* bytes of all values of one rendering */
#define STE_JINJA_MAX_DEPTH 300          /* of expressions, statements and macros within each other */

struct ste_jinja; /* read-only after it is made: any thread may render it */

/* NAME stands in errors before the line: "NAME, line 3: ...". STE_EINPUT: TEXT is no such template. */
int ste_jinja_new(struct ste_jinja **out, const char *name, const char *text, size_t n, struct ste_err *err);
void ste_jinja_free(struct ste_jinja *j);

struct ste_jinja_date {
    int year, month, day; /* 1 to 12, 1 to 31 */
};
/* The mark of the string that stands in OBJECT under KEY, or in a list, where KEY is ""; NULL in place of the function:
 * all are 0. */
typedef uint8_t ste_jinja_mark(const void *arg, const json_t *object, const char *key);

struct ste_jinja_input {
    const json_t *variables; /* an object: each is a variable */
    ste_jinja_mark *mark;
    const void *arg;            /* of MARK */
    struct ste_jinja_date date; /* what strftime_now says, at midnight */
};
/* Appends the text and, for each of its bytes, its mark. STE_EINPUT: the template raises an error, does what cannot be
 * done, or reaches a limit; *RAISED (may be NULL) tells the first from the others. */
int ste_jinja_render(const struct ste_jinja *j, const struct ste_jinja_input *in, struct ste_buf *text,
                     struct ste_buf *marks, bool *raised, struct ste_err *err);

#endif
