/* Splits a text into the words that BPE works on, by the pattern that GGUF calls tokenizer.ggml.pre. */
#ifndef STE_MODEL_PRETOKENIZE_H
#define STE_MODEL_PRETOKENIZE_H

#include <stddef.h>

#include "core/err.h"
#include "model/gguf.h"

struct ste_pretokenizer; /* read-only after it is made */
/* STE_EINPUT for a name that is not known; the sentence lists those that are. */
int ste_pretokenizer_new(struct ste_pretokenizer **out, struct ste_str name, struct ste_err *err);
void ste_pretokenizer_free(struct ste_pretokenizer *p);

/* Calls WORD for each word of TEXT, which is valid UTF-8, in order; together they are the text (in NFC where the
 * tokenizer says so). Stops at and returns what WORD returns when that is not 0. */
int ste_pretokenize(const struct ste_pretokenizer *p, const char *text, size_t n,
                    int (*word)(void *arg, const char *s, size_t n), void *arg, struct ste_err *err);

#endif
