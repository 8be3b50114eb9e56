/*
 * tokenizer.json of Hugging Face's `tokenizers` as the keys that a GGUF has for a tokenizer. What GGUF has no key for
 * goes under ours, which tokenizer.c reads:
 *   tokenizer.ste.split            strings: expressions that no tokenizer.ggml.pre names; then with
 *   tokenizer.ste.nfc, .ignore_merges    bools
 *   tokenizer.ste.merges           bool: SentencePiece's merges are those of tokenizer.ggml.merges, not of the scores
 *   tokenizer.ste.prefix_first, .prefix_not_before_space    bools: where no space is put before a text
 *   tokenizer.ste.rstrip           ints: tokens that take the white space behind them
 */
#ifndef STE_MODEL_TOKENIZER_JSON_H
#define STE_MODEL_TOKENIZER_JSON_H

#include <jansson.h>

#include "core/err.h"
#include "model/gguf.h"

/* Sets G's keys from the values of tokenizer.json and tokenizer_config.json (NULL: there is none). N_VOCAB: rows of the
 * model's embedding; ids without a token up to there are unused ones, "[PAD<id>]". WHAT names the file in messages.
 * STE_EINPUT: what ste's tokenizers do not do, by its name, and values that lie. The tokens that end an answer are set
 * as far as tokenizer_config.json names them. */
int ste_tokenizer_json_keys(struct ste_gguf *g, const json_t *tokenizer, const json_t *config, int64_t n_vocab,
                            const char *what, struct ste_err *err);

#endif
