/* What the readers of asked.h share. */
#ifndef STE_SERVE_ASKED_ROWS_H
#define STE_SERVE_ASKED_ROWS_H

#include "serve/asked.h"

/* READ of each of ROWS, a list that errors call WHAT. */
int ste_asked_each(struct ste_asked *a, const json_t *rows, const char *what,
                   int (*read)(struct ste_asked *a, const json_t *row, const char *where, struct ste_err *err),
                   json_t *bad, struct ste_err *err);
/* For who reads rows in another way: row INDEX is wrong as WHY says, which is FIRST if none was before; and what comes
 * of all that were. */
void ste_asked_add_bad(json_t *bad, size_t index, struct ste_err *why, struct ste_err *first);
int ste_asked_bad(const json_t *bad, const struct ste_err *first, struct ste_err *err);
json_t *ste_asked_message(struct ste_err *err); /* its sentence, which may quote half a character */
/* The id of a prompt with one answer, two or none (B or both ""): the same whichever stands first. Caller frees. */
char *ste_asked_id(const struct ste_dialogue *prompt, const char *a, const char *b);
/* The N bytes of TEXT as an answer to be scored; PROMPT passes to it. ID may be NULL. */
void ste_asked_add_answer(struct ste_asked *a, const char *id, struct ste_dialogue *prompt, const char *text, size_t n);
struct ste_group *ste_asked_add_group(struct ste_asked *a); /* an empty one */

#endif
