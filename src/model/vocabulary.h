/* The tokens of a GGUF by id, and the id of a string. */
#ifndef STE_MODEL_VOCABULARY_H
#define STE_MODEL_VOCABULARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "model/gguf.h"

enum ste_token_type { /* tokenizer.ggml.token_type */
                      STE_TOKEN_NORMAL = 1,
                      STE_TOKEN_UNKNOWN,
                      STE_TOKEN_CONTROL,
                      STE_TOKEN_USER_DEFINED,
                      STE_TOKEN_UNUSED,
                      STE_TOKEN_BYTE
};

struct ste_vocabulary {
    struct ste_str
        *tokens; /* as the file writes them: gpt2's byte alphabet, or U+2581 for a space. Point into the file */
    int64_t *types;
    int32_t n;
    uint32_t *slots; /* open-addressed by string: id + 1 */
    size_t mask;
};

/* STE_EINPUT when the file has no tokens, or no type for each. */
int ste_vocabulary_read(struct ste_vocabulary *v, const struct ste_gguf *g, struct ste_err *err);
void ste_vocabulary_clear(struct ste_vocabulary *v);

/* The first token of this string, whatever its type, or -1. */
int32_t ste_vocabulary_find(const struct ste_vocabulary *v, const char *s, size_t n);
/* The same for what plain text may become. */
int32_t ste_vocabulary_find_plain(const struct ste_vocabulary *v, const char *s, size_t n);
static inline bool ste_vocabulary_is_plain(const struct ste_vocabulary *v, int32_t id)
{
    return v->types[id] == STE_TOKEN_NORMAL || v->types[id] == STE_TOKEN_USER_DEFINED;
}
/* Control tokens, and the unknown one, which stands for no text either. */
static inline bool ste_vocabulary_is_control(const struct ste_vocabulary *v, int32_t id)
{
    return v->types[id] == STE_TOKEN_CONTROL || v->types[id] == STE_TOKEN_UNKNOWN;
}

#endif
