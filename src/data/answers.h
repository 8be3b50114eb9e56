/*
 * Answers of several models to the same prompts. A row is one answer: any prompt field, the text under output, response
 * or answer, and the model under generator or model (else the file's name names it); or all of a prompt: "answers":
 * {MODEL: text}; or FastChat's model answers (question_id, model_id, choices), of which the first turn is taken, with
 * the file of their questions. Rows of one prompt are brought together by its text.
 */
#ifndef STE_DATA_ANSWERS_H
#define STE_DATA_ANSWERS_H

#include "core/options.h"
#include "data/dialogue.h"

struct ste_answered {
    char *id; /* the first row's id, or its place from 1 */
    struct ste_dialogue prompt;
    char **texts; /* [models.n]; NULL: that model gave none */
    size_t n_texts;
};

struct ste_answers {
    struct ste_strings models; /* in the order in which they were met */
    struct ste_answered *prompts;
    size_t n, cap;
};

/* QUESTIONS may be NULL. Fewer than two models, a prompt answered twice by one model, a row without text: STE_EINPUT.
 */
int ste_answers_read(struct ste_answers *out, const struct ste_strings *paths, const char *questions,
                     struct ste_err *err);
void ste_answers_clear(struct ste_answers *a);
const char *ste_answer_of(const struct ste_answers *a, size_t prompt, size_t model); /* NULL: none */

/* Single answers, to be scored: any prompt field, the text under output, response or answer. */
struct ste_answer_row {
    char *id; /* the row's, or "FILE-NAME:LINE" */
    struct ste_dialogue prompt;
    char *text;
    struct ste_strings references;
    json_t *row; /* for output */
};
struct ste_answer_rows {
    struct ste_answer_row *items;
    size_t n, cap;
};
/* Adds ROW, whose reference is taken, with ID where it has none. */
int ste_answer_row_add(struct ste_answer_rows *out, json_t *row, const char *id, bool references, const char *where,
                       struct ste_err *err);
/* LIMIT 0: all. REFERENCES: each row must have some (data/pairs.h). */
int ste_answer_rows_read(struct ste_answer_rows *out, const char *path, size_t limit, bool references,
                         struct ste_err *err);
void ste_answer_rows_clear(struct ste_answer_rows *a);

#endif
