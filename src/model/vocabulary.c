#include "model/vocabulary.h"

#include <string.h>

#include "core/mem.h"

static uint32_t *slot(const struct ste_vocabulary *v, const char *s, size_t n)
{
    uint64_t h = 0xCBF29CE484222325;
    for (size_t i = 0; i < n; i++)
        h = (h ^ (uint8_t)s[i]) * 0x100000001B3;
    size_t i = (h ^ h >> 32) & v->mask;
    for (; v->slots[i]; i = (i + 1) & v->mask) {
        struct ste_str k = v->tokens[v->slots[i] - 1];
        if (k.n == n && !memcmp(k.s, s, n))
            break;
    }
    return &v->slots[i];
}

int32_t ste_vocabulary_find(const struct ste_vocabulary *v, const char *s, size_t n)
{
    return (int32_t)*slot(v, s, n) - 1;
}

int32_t ste_vocabulary_find_plain(const struct ste_vocabulary *v, const char *s, size_t n)
{
    int32_t id = ste_vocabulary_find(v, s, n);
    return id >= 0 && ste_vocabulary_is_plain(v, id) ? id : -1;
}

int ste_vocabulary_read(struct ste_vocabulary *v, const struct ste_gguf *g, struct ste_err *err)
{
    const char *path = ste_gguf_path(g);
    uint64_t n, n_types;
    if (!ste_gguf_strings(g, "tokenizer.ggml.tokens", &v->tokens, &n))
        return ste_err_set(err, STE_EINPUT, "%s has no vocabulary (tokenizer.ggml.tokens)", path);
    if (n < 256 || n > 1 << 24)
        return ste_err_set(err, STE_EINPUT, "%s has a vocabulary of %llu tokens, which cannot spell every text", path,
                           (unsigned long long)n);
    if (!ste_gguf_ints(g, "tokenizer.ggml.token_type", &v->types, &n_types) || n_types != n)
        return ste_err_set(err, STE_EINPUT,
                           "%s: tokenizer.ggml.token_type does not give a type for each of the %llu tokens", path,
                           (unsigned long long)n);
    v->n = (int32_t)n;
    v->mask = 1;
    while (v->mask < 2 * n)
        v->mask *= 2;
    v->slots = ste_xcalloc(v->mask, sizeof *v->slots);
    v->mask--;
    for (int32_t i = 0; i < v->n; i++) {
        uint32_t *s = slot(v, v->tokens[i].s, v->tokens[i].n);
        if (!*s)
            *s = (uint32_t)i + 1;
    }
    return 0;
}

void ste_vocabulary_clear(struct ste_vocabulary *v)
{
    ste_xfree(v->tokens);
    ste_xfree(v->types);
    ste_xfree(v->slots);
    *v = (struct ste_vocabulary){0};
}
