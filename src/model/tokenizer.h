/*
 * gpt2-style byte-level BPE with the pre-tokenizers of the catalogue's models. Ids equal those of
 * transformers and llama.cpp for every valid UTF-8 text.
 */
#ifndef STE_MODEL_TOKENIZER_H
#define STE_MODEL_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/buf.h"
#include "core/err.h"
#include "model/gguf.h"

struct ste_tokens {
    int32_t *ids;
    size_t n, cap;
};
void ste_tokens_add(struct ste_tokens *t, int32_t id);
void ste_tokens_clear(struct ste_tokens *t);

struct ste_tokenizer; /* read-only after it is made: any thread may use it */
int ste_tokenizer_new(struct ste_tokenizer **out, const struct ste_gguf *g, struct ste_err *err);
void ste_tokenizer_free(struct ste_tokenizer *t);

/* Appends the ids of TEXT. SPECIAL: control tokens' strings ("<|im_end|>") become those tokens; false: they are plain
 * text. No BOS is added. Text that is not UTF-8 is STE_EINPUT with the byte offset. */
int ste_tokenize(const struct ste_tokenizer *t, const char *text, size_t n, bool special, struct ste_tokens *out,
                 struct ste_err *err);
/* Appends the bytes of the ids; SPECIAL: control tokens as their strings, else as nothing. May end within a character.
 */
void ste_detokenize(const struct ste_tokenizer *t, const int32_t *ids, size_t n, bool special, struct ste_buf *out);
/* The id of a token by its exact string in the vocabulary (control tokens), or -1. */
int32_t ste_token_id(const struct ste_tokenizer *t, const char *string);
/* The longest control or user-defined token at S, within N bytes, or -1; *LENGTH, of its string, is set only then. */
int32_t ste_token_at(const struct ste_tokenizer *t, const char *s, size_t n, size_t *length);
int32_t ste_token_count(const struct ste_tokenizer *t);
bool ste_token_is_control(const struct ste_tokenizer *t, int32_t id);
bool ste_token_ends_turn(const struct ste_tokenizer *t, int32_t id); /* eos and <|im_end|>, <|endoftext|> */
int32_t ste_token_end_of_turn(const struct ste_tokenizer *t);        /* the one the chat template writes */

#endif
