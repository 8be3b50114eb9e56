/*
 * SentencePiece's BPE (tokenizer.ggml.model = llama): the characters of a text merge without regard to words, a space
 * being U+2581. Which pairs merge follows from the tokens' scores, or is listed where a tokenizer.json was the source.
 * A character that is no token becomes the tokens of its bytes.
 */
#ifndef STE_MODEL_SENTENCEPIECE_H
#define STE_MODEL_SENTENCEPIECE_H

#include "core/buf.h"
#include "model/tokenizer.h"
#include "model/vocabulary.h"

struct ste_sentencepiece; /* read-only after it is made */
/* V must live as long. */
int ste_sentencepiece_new(struct ste_sentencepiece **out, const struct ste_gguf *g, const struct ste_vocabulary *v,
                          struct ste_err *err);
void ste_sentencepiece_free(struct ste_sentencepiece *p);

/* Where a text that has none before it gets a space in front. */
enum ste_prefix {
    STE_PREFIX_NONE,
    STE_PREFIX_ALWAYS, /* at the text's start and after each added token */
    STE_PREFIX_FIRST   /* at the start of a whole prompt alone */
};
enum ste_prefix ste_sentencepiece_prefix(const struct ste_sentencepiece *p);

/* Appends the ids of a text without added tokens, which is valid UTF-8; PREFIX: with a space in front. */
void ste_sentencepiece_encode(const struct ste_sentencepiece *p, const char *text, size_t n, bool prefix,
                              struct ste_tokens *out);
/* Appends the bytes of a token. */
void ste_sentencepiece_decode(const struct ste_sentencepiece *p, int32_t id, struct ste_buf *out);

#endif
