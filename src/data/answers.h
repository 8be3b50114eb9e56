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

#endif
