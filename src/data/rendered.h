/*
 * Dialogues out of rendered chat templates: trainers hand over the text that their policy read and wrote, with the
 * control tokens as text. Known are the marks of ChatML, Llama 3 and 4, Gemma, Phi, Zephyr, Mistral and DeepSeek. What
 * a text between the marks says of itself is believed, so only prompts of one's own data are read like this; an answer
 * is only cut off its prompt, and less the mark that ends it.
 */
#ifndef STE_DATA_RENDERED_H
#define STE_DATA_RENDERED_H

#include "data/dialogue.h"

/* Reads TEXT, a prompt that ends where the assistant begins, or goes on to its answer. *ANSWER is the place in TEXT
 * where that answer begins. Without marks that are known, or where they make no dialogue that ends so: all of TEXT is
 * what the user says, *ANSWER is NULL. D is fresh. */
void ste_rendered_read(struct ste_dialogue *d, const char *text, const char **answer);
/* The length of ANSWER less blanks and marks of an end at its own end. */
size_t ste_rendered_answer_length(const char *answer);
/* Where in QUERY, a prompt and its answer, the answer begins: behind PROMPT, or, where a trainer cut the prompt's
 * beginning off, behind the longest end of PROMPT that QUERY begins with, if that ends with a mark. NULL: QUERY does
 * not go on from PROMPT. */
const char *ste_rendered_behind(const char *query, const char *prompt);

#endif
