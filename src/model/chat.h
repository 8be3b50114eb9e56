/*
 * Chat templates. A model's own, from its file, is rendered by the interpreter (jinja/); where a file has none, or a
 * wrong one, a template is named: texts of ours that write what a family's models read, in the same language.
 *
 * What is rendered knows of each byte whether the template wrote it or a message has it. Only the template's own text
 * becomes control tokens; in a message "<|im_end|>" is ten ordinary characters. What stands between two control tokens
 * is tokenized as one text, as transformers does, so for messages without control strings the ids equal those of
 * apply_chat_template. A prompt begins with the BOS token where the tokenizer adds one, or the template writes it;
 * never with two.
 *
 * Thinking is switched off where a template can (enable_thinking, thinking). The date is a fixed one, so that the same
 * question has the same prompt on every day.
 */
#ifndef STE_MODEL_CHAT_H
#define STE_MODEL_CHAT_H

#include "data/dialogue.h"
#include "model/model.h"

#define STE_CHAT_DATE "2024-07-26" /* unless another is named */

struct ste_message {
    const char *role;    /* "system", "user", "assistant" */
    const char *content; /* UTF-8, NUL-terminated */
};

/* A dialogue's turns as messages, whose texts stay the dialogue's. The caller frees the array. */
struct ste_message *ste_chat_messages(const struct ste_dialogue *d);

/* Gives M the template NAME (chat_named.h) and the date that templates see, "2024-07-26"; NULL or "": what the
 * settings STE_CHAT_TEMPLATE and STE_CHAT_DATE say, else the file's own template and STE_CHAT_DATE. The file's template
 * may be broken: ste_chat_tokenize then says so. STE_EUSAGE: there is no such name or date, or M's vocabulary lacks
 * what the template writes. ste_model_open has done it with NULL for both. */
int ste_chat_choose(struct ste_model *m, const char *name, const char *date, struct ste_err *err);
void ste_chat_free(struct ste_chat_template *c);

/* Appends the prompt's ids, ending where the assistant's answer begins. PREFILL (may be NULL) is the plain start of
 * that answer. Where the template has no place for a system message, it stands before the first user's. STE_EINPUT: the
 * model has no template (the error says how to name one), or it fails or refuses these messages. */
int ste_chat_tokenize(const struct ste_model *m, const struct ste_message *messages, size_t n, const char *prefill,
                      struct ste_tokens *out, struct ste_err *err);

#endif
