/*
 * A dialogue is what a judge sees of a prompt: an optional system message, then user and assistant turns, the last
 * one the user's. All of the field's prompt fields read into it: prompt, else messages, conversations or conversation,
 * else instruction. A conversation that ends with an answer is read up to its last question.
 */
#ifndef STE_DATA_DIALOGUE_H
#define STE_DATA_DIALOGUE_H

#include <jansson.h>
#include <stddef.h>

#include "core/buf.h"
#include "core/err.h"

enum ste_role { STE_ROLE_SYSTEM, STE_ROLE_USER, STE_ROLE_ASSISTANT };

struct ste_turn {
    enum ste_role role;
    char *text;
};

struct ste_dialogue {
    struct ste_turn *turns;
    size_t n;
};

const char *ste_role_name(enum ste_role role); /* "system", "user", "assistant" */
void ste_dialogue_add(struct ste_dialogue *d, enum ste_role role, const char *text, size_t len);
void ste_dialogue_clear(struct ste_dialogue *d);
/* Reads any of the prompt fields of ROW; WHERE is "FILE:LINE". Where it is empty or missing: STE_EINPUT. */
int ste_dialogue_read(struct ste_dialogue *d, const json_t *row, const char *where, struct ste_err *err);
/* Adds the messages of LIST, whoever speaks last. What D has then is the caller's to clear, whatever this returns. */
int ste_dialogue_add_messages(struct ste_dialogue *d, const json_t *list, const char *where, struct ste_err *err);
void ste_dialogue_cut(struct ste_dialogue *d, size_t n); /* the first N turns stay */
size_t ste_dialogue_asked(const struct ste_dialogue *d); /* turns up to the last of the user's; 0: none */
/* Puts the row's "system" before a dialogue that has none, and checks that the user says something last. */
int ste_dialogue_end(struct ste_dialogue *d, const json_t *row, const char *where, struct ste_err *err);
/* Canonical: [{"content","role"}...]; a lone user turn too. */
json_t *ste_dialogue_json(const struct ste_dialogue *d);
/* Adds the same as canonical JSON. */
void ste_dialogue_canonical(const struct ste_dialogue *d, struct ste_buf *out);
/* Reads the text of such a list; WHAT names it. */
int ste_dialogue_parse(struct ste_dialogue *out, const char *json, const char *what, struct ste_err *err);
int ste_dialogue_from_json(struct ste_dialogue *d, const json_t *messages, const char *where, struct ste_err *err);
/* Adds it as plain text for a rubric: a lone user turn is its text, several turns are "User: ..." / "Assistant: ..."
 * paragraphs. */
void ste_dialogue_text(const struct ste_dialogue *d, struct ste_buf *out);
/* Adds the turns from FROM on as one answer: the text of a lone one, then "User: ..." / "Assistant: ..." paragraphs. */
void ste_dialogue_answer(const struct ste_dialogue *d, size_t from, struct ste_buf *out);

#endif
