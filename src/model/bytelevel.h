/* Byte-level BPE as gpt2 has it (tokenizer.ggml.model = gpt2): a text is split into words, and the bytes of each merge.
 */
#ifndef STE_MODEL_BYTELEVEL_H
#define STE_MODEL_BYTELEVEL_H

#include "core/buf.h"
#include "model/tokenizer.h"
#include "model/vocabulary.h"

struct ste_bytelevel; /* read-only after it is made */
/* V must live as long. *ADD_BOS: what the pre-tokenizer's name says of it. */
int ste_bytelevel_new(struct ste_bytelevel **out, const struct ste_gguf *g, const struct ste_vocabulary *v,
                      bool *add_bos, struct ste_err *err);
void ste_bytelevel_free(struct ste_bytelevel *b);

/* Appends the ids of a text without added tokens, which is valid UTF-8. */
int ste_bytelevel_encode(const struct ste_bytelevel *b, const char *text, size_t n, struct ste_tokens *out,
                         struct ste_err *err);
/* Appends the bytes of a token; one with a character outside the byte alphabet stands for itself. */
void ste_bytelevel_decode(const struct ste_bytelevel *b, struct ste_str token, struct ste_buf *out);

#endif
