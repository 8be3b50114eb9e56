/*
 * Splits a text into the words that byte-level BPE works on. A splitting is one expression, or several, each of which
 * works on the pieces that the one before made; what an expression matches and what lies between are pieces. They are
 * written as tokenizer.json has them (Oniguruma's syntax), and common ones have a name: tokenizer.ggml.pre.
 */
#ifndef STE_MODEL_PRETOKENIZE_H
#define STE_MODEL_PRETOKENIZE_H

#include <stdbool.h>
#include <stddef.h>

#include "core/err.h"
#include "model/gguf.h"

#define STE_SPLIT_DIGIT "\\p{N}"
#define STE_SPLIT_GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
enum { STE_SPLIT_MAX = 4 };
struct ste_split {
    struct ste_str stages[STE_SPLIT_MAX];
    size_t n;
    bool nfc;           /* the text is brought into Unicode's form NFC first */
    bool ignore_merges; /* a word that is a token is taken whole, without merging */
    bool add_bos;       /* where tokenizer.ggml.add_bos_token says nothing */
};
/* By the name, or one of its names in other files. STE_EINPUT for one that is not known lists those that are. */
int ste_split_named(struct ste_split *out, struct ste_str name, struct ste_err *err);
/* The name of a splitting that does the same (add_bos aside); NULL: none has one. *SPLITS: one of this name splits the
 * same, though it differs in NFC or ignore_merges; NULL: none does. */
const char *ste_split_name(const struct ste_split *s, const char **splits);

struct ste_pretokenizer; /* read-only after it is made */
/* STE_EINPUT for an expression that PCRE2 cannot compile or reads in another way than Oniguruma. */
int ste_pretokenizer_new(struct ste_pretokenizer **out, const struct ste_split *s, struct ste_err *err);
void ste_pretokenizer_free(struct ste_pretokenizer *p);

/* Calls WORD for each word of TEXT, which is valid UTF-8, in order; together they are the text (in NFC where the
 * tokenizer says so). Stops at and returns what WORD returns when that is not 0. */
int ste_pretokenize(const struct ste_pretokenizer *p, const char *text, size_t n,
                    int (*word)(void *arg, const char *s, size_t n), void *arg, struct ste_err *err);

#endif
