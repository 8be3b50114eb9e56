/*
 * Chat templates, recognised by their text in the file and rendered by built-in code. A rendered prompt is tokenized in
 * segments: the template's own markers are control tokens; everything else (the messages) is plain text, in which
 * "<|im_end|>" is eight ordinary characters and more. Neighbouring plain segments are tokenized as one text, as
 * transformers does, so for messages without control strings the ids equal apply_chat_template's.
 */
#ifndef STE_MODEL_CHAT_H
#define STE_MODEL_CHAT_H

#include "data/dialogue.h"
#include "model/model.h"

struct ste_message {
    const char *role;    /* "system", "user", "assistant" */
    const char *content; /* UTF-8, NUL-terminated */
};

/* A dialogue's turns as messages, whose texts stay the dialogue's. The caller frees the array. */
struct ste_message *ste_chat_messages(const struct ste_dialogue *d);

/* Templates by name ("chatml-smollm2", "chatml-qwen2.5"): each adds its default system prompt when there is no
 * system message. Finds by the template's text in the GGUF; NULL when it is not known. */
const struct ste_chat_template *ste_chat_recognise(const struct ste_gguf *g);
const struct ste_chat_template *ste_chat_by_name(const char *name);
const char *ste_chat_name(const struct ste_chat_template *c);

/* Appends the prompt's ids, ending where the assistant's answer begins. PREFILL (may be NULL) is the plain start of
 * that answer. STE_EINPUT when the model has no known template: the error says how to name one. */
int ste_chat_tokenize(const struct ste_model *m, const struct ste_message *messages, size_t n, const char *prefill,
                      struct ste_tokens *out, struct ste_err *err);

#endif
