/*
 * A model's tokenizer: byte-level BPE (gpt2) or SentencePiece's BPE (llama), under the tokens that are cut out of a
 * text before: control tokens ("<|im_end|>"), where they are asked for, and user-defined ones ("<think>"), always. Ids
 * equal those of Hugging Face's `tokenizers` and of llama.cpp for every valid UTF-8 text, but that plain text never
 * becomes a control token.
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

/* Appends the ids of TEXT, which goes on from what OUT has. Some tokenizers put a space before a text at the start or
 * behind an added token, or take the white space behind such a token away. SPECIAL: control tokens' strings become
 * those tokens; false: they are plain text. No BOS is added. Text that is not UTF-8 is STE_EINPUT with the byte
 * offset. */
int ste_tokenize(const struct ste_tokenizer *t, const char *text, size_t n, bool special, struct ste_tokens *out,
                 struct ste_err *err);
/* The same for plain text that goes on from another that OUT does not have: no space is put before it. */
int ste_tokenize_on(const struct ste_tokenizer *t, const char *text, size_t n, struct ste_tokens *out,
                    struct ste_err *err);
/* The same for a whole prompt, into an empty OUT, and ste_tokens_begin. */
int ste_tokenize_prompt(const struct ste_tokenizer *t, const char *text, size_t n, bool special, struct ste_tokens *out,
                        struct ste_err *err);
/* Puts the BOS token before a whole prompt, where the tokenizer adds one and it is not there. */
void ste_tokens_begin(const struct ste_tokenizer *t, struct ste_tokens *prompt);
/* The token that a prompt begins with, or -1 where the model was taught without one. */
int32_t ste_tokenizer_bos(const struct ste_tokenizer *t);

/* Appends the bytes of the ids; SPECIAL: control tokens as their strings, else as nothing. May end within a character.
 * A space that was put before the text is part of it. */
void ste_detokenize(const struct ste_tokenizer *t, const int32_t *ids, size_t n, bool special, struct ste_buf *out);
/* The id of a token by its exact string in the vocabulary (control tokens), or -1. */
int32_t ste_token_id(const struct ste_tokenizer *t, const char *string);
/* The longest control or user-defined token at S, within N bytes, or -1; *LENGTH, of its string, is set only then. */
int32_t ste_token_at(const struct ste_tokenizer *t, const char *s, size_t n, size_t *length);
int32_t ste_token_count(const struct ste_tokenizer *t);
bool ste_token_is_control(const struct ste_tokenizer *t, int32_t id);
/* The tokens that end an answer: those that the file names, and control tokens that do in any family. */
bool ste_token_ends_turn(const struct ste_tokenizer *t, int32_t id);
int32_t ste_token_end_of_turn(const struct ste_tokenizer *t); /* the one the chat template writes */

#endif
