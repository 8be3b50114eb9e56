#include "model/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/utf8.h"
#include "model/bpe.h"
#include "model/pretokenize.h"

enum { TYPE_CONTROL = 3, TYPE_USER_DEFINED = 4 }; /* tokenizer.ggml.token_type */

struct ste_tokenizer {
    struct ste_str *tokens; /* in gpt2's byte alphabet; control and user-defined ones as they are. Point into the map */
    int64_t *types;
    int32_t n;
    uint32_t *slots; /* open-addressed by string: id + 1 */
    size_t mask;
    int32_t byte_id[256];    /* -1: the vocabulary lacks the byte */
    int16_t byte_of[0x144];  /* gpt2's alphabet: the byte of a code point, or -1 */
    int32_t *added, n_added; /* control and user-defined tokens, longest first */
    bool begins_added[256];
    struct ste_merges merges;
    struct ste_pretokenizer *pre;
    int32_t eos, end_of_turn, end_of_text;
};

void ste_tokens_add(struct ste_tokens *t, int32_t id)
{
    STE_GROW(t->ids, t->cap, t->n + 1);
    t->ids[t->n++] = id;
}

void ste_tokens_clear(struct ste_tokens *t)
{
    ste_xfree(t->ids);
    *t = (struct ste_tokens){0};
}

/* ---- vocabulary ---- */

static uint32_t *slot(const struct ste_tokenizer *t, const char *s, size_t n)
{
    uint64_t h = 0xCBF29CE484222325;
    for (size_t i = 0; i < n; i++)
        h = (h ^ (uint8_t)s[i]) * 0x100000001B3;
    size_t i = (h ^ h >> 32) & t->mask;
    for (; t->slots[i]; i = (i + 1) & t->mask) {
        struct ste_str k = t->tokens[t->slots[i] - 1];
        if (k.n == n && !memcmp(k.s, s, n))
            break;
    }
    return &t->slots[i];
}

static int32_t find(const struct ste_tokenizer *t, const char *s, size_t n)
{
    return (int32_t)*slot(t, s, n) - 1;
}

/* gpt2 writes bytes as printable characters: those of Latin-1 that are printable as themselves, the others from U+0100
 * on in order. */
static int byte_alphabet(struct ste_tokenizer *t)
{
    int next = 0x100, missing = 0;
    for (size_t i = 0; i < sizeof t->byte_of / sizeof *t->byte_of; i++)
        t->byte_of[i] = -1;
    for (int b = 0; b < 256; b++) {
        bool itself = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
        int c = itself ? b : next++;
        char utf8[2] = {(char)(c < 0x80 ? c : 0xC0 | c >> 6), (char)(0x80 | (c & 63))};
        t->byte_of[c] = (int16_t)b;
        t->byte_id[b] = find(t, utf8, c < 0x80 ? 1 : 2);
        missing += t->byte_id[b] < 0;
    }
    return missing;
}

static int read_vocabulary(struct ste_tokenizer *t, const struct ste_gguf *g, struct ste_err *err)
{
    const char *path = ste_gguf_path(g);
    uint64_t n, n_types;
    if (!ste_gguf_strings(g, "tokenizer.ggml.tokens", &t->tokens, &n))
        return ste_err_set(err, STE_EINPUT, "%s has no vocabulary (tokenizer.ggml.tokens)", path);
    if (n < 256 || n > 1 << 24)
        return ste_err_set(err, STE_EINPUT, "%s has a vocabulary of %llu tokens, which is no byte-level one", path,
                           (unsigned long long)n);
    if (!ste_gguf_ints(g, "tokenizer.ggml.token_type", &t->types, &n_types) || n_types != n)
        return ste_err_set(err, STE_EINPUT,
                           "%s: tokenizer.ggml.token_type does not give a type for each of the %llu tokens", path,
                           (unsigned long long)n);
    t->n = (int32_t)n;
    t->mask = 1;
    while (t->mask < 2 * n)
        t->mask *= 2;
    t->slots = ste_xcalloc(t->mask, sizeof *t->slots);
    t->mask--;
    for (int32_t i = 0; i < t->n; i++) {
        uint32_t *s = slot(t, t->tokens[i].s, t->tokens[i].n);
        if (!*s)
            *s = (uint32_t)i + 1;
    }
    if (byte_alphabet(t) > 128)
        return ste_err_set(err, STE_EINPUT,
                           "%s: the vocabulary lacks most of the single bytes, so it is no byte-level one", path);
    return 0;
}

static int read_merges(struct ste_tokenizer *t, const struct ste_gguf *g, struct ste_err *err)
{
    const char *path = ste_gguf_path(g);
    struct ste_str *merges;
    struct ste_buf both = STE_BUF_INIT;
    uint64_t n;
    int rc = 0;
    if (!ste_gguf_strings(g, "tokenizer.ggml.merges", &merges, &n) || !n) {
        return ste_err_set(err, STE_EINPUT,
                           "%s has no merges (tokenizer.ggml.merges), without which its tokenizer cannot be used",
                           path);
    }
    ste_merges_init(&t->merges, n);
    for (uint64_t i = 0; i < n && !rc; i++) {
        struct ste_str m = merges[i];
        const char *space = m.n > 2 ? memchr(m.s + 1, ' ', m.n - 1) : NULL;
        size_t left = space ? (size_t)(space - m.s) : 0, right = space ? m.n - left - 1 : 0;
        if (!right) {
            rc = ste_err_set(err, STE_EINPUT, "%s: merge %llu is not two tokens with a space between", path,
                             (unsigned long long)i);
            break;
        }
        ste_buf_reset(&both);
        ste_buf_add(&both, m.s, left);
        ste_buf_add(&both, space + 1, right);
        int32_t a = find(t, m.s, left), b = find(t, space + 1, right), ab = find(t, both.s, both.len);
        if (a < 0 || b < 0 || ab < 0)
            rc = ste_err_set(err, STE_EINPUT, "%s: merge %llu has a part or a result that is not in the vocabulary",
                             path, (unsigned long long)i);
        else
            ste_merges_add(&t->merges, a, b, (uint32_t)i, ab);
    }
    ste_xfree(merges);
    ste_buf_clear(&both);
    return rc;
}

struct by_length {
    uint64_t n;
    int32_t id;
};

static int longer_first(const void *a, const void *b)
{
    const struct by_length *x = a, *y = b;
    return x->n != y->n ? (x->n < y->n ? 1 : -1) : x->id - y->id;
}

static void find_added(struct ste_tokenizer *t)
{
    struct by_length *list = ste_xcalloc((size_t)t->n, sizeof *list);
    for (int32_t i = 0; i < t->n; i++)
        if ((t->types[i] == TYPE_CONTROL || t->types[i] == TYPE_USER_DEFINED) && t->tokens[i].n)
            list[t->n_added++] = (struct by_length){t->tokens[i].n, i};
    qsort(list, (size_t)t->n_added, sizeof *list, longer_first);
    t->added = ste_xcalloc((size_t)t->n_added, sizeof *t->added);
    for (int32_t i = 0; i < t->n_added; i++) {
        t->added[i] = list[i].id;
        t->begins_added[(uint8_t)t->tokens[list[i].id].s[0]] = true;
    }
    ste_xfree(list);
}

static int make(struct ste_tokenizer *t, const struct ste_gguf *g, struct ste_err *err)
{
    const char *path = ste_gguf_path(g);
    struct ste_str s;
    int64_t eos;
    int rc;
    if (!ste_gguf_string(g, "tokenizer.ggml.model", &s))
        return ste_err_set(err, STE_EINPUT, "%s has no tokenizer (tokenizer.ggml.model)", path);
    if (s.n != 4 || memcmp(s.s, "gpt2", 4))
        return ste_err_set(err, STE_EINPUT, "%s has a tokenizer of kind '%.*s'; ste reads byte-level BPE (gpt2)", path,
                           (int)(s.n < 40 ? s.n : 40), s.s);
    if (!ste_gguf_string(g, "tokenizer.ggml.pre", &s))
        return ste_err_set(err, STE_EINPUT, "%s does not name its pre-tokenizer (tokenizer.ggml.pre)", path);
    if ((rc = ste_pretokenizer_new(&t->pre, s, err))) {
        ste_err_wrap(err, "%s", path);
        return rc;
    }
    if ((rc = read_vocabulary(t, g, err)) || (rc = read_merges(t, g, err)))
        return rc;
    find_added(t);
    if (!ste_gguf_int(g, "tokenizer.ggml.eos_token_id", &eos) || eos < 0 || eos >= t->n)
        return ste_err_set(err, STE_EINPUT, "%s does not name its end-of-sequence token (tokenizer.ggml.eos_token_id)",
                           path);
    t->eos = (int32_t)eos;
    t->end_of_turn = ste_token_id(t, "<|im_end|>");
    t->end_of_text = ste_token_id(t, "<|endoftext|>");
    if (t->end_of_turn < 0)
        t->end_of_turn = t->eos;
    return 0;
}

int ste_tokenizer_new(struct ste_tokenizer **out, const struct ste_gguf *g, struct ste_err *err)
{
    struct ste_tokenizer *t = ste_xcalloc(1, sizeof *t);
    int rc = make(t, g, err);
    *out = t;
    if (rc) {
        ste_tokenizer_free(t);
        *out = NULL;
    }
    return rc;
}

void ste_tokenizer_free(struct ste_tokenizer *t)
{
    if (!t)
        return;
    ste_xfree(t->tokens);
    ste_xfree(t->types);
    ste_xfree(t->slots);
    ste_xfree(t->added);
    ste_merges_clear(&t->merges);
    ste_pretokenizer_free(t->pre);
    ste_xfree(t);
}

/* ---- text to ids ---- */

struct job {
    const struct ste_tokenizer *t;
    struct ste_tokens *out;
};

static int add_word(void *arg, const char *s, size_t n)
{
    struct job *j = arg;
    struct ste_tokens *out = j->out;
    size_t k = 0;
    STE_GROW(out->ids, out->cap, out->n + n);
    int32_t *ids = out->ids + out->n;
    for (size_t i = 0; i < n; i++) { /* a byte that the vocabulary lacks is left out, as the references do */
        ids[k] = j->t->byte_id[(uint8_t)s[i]];
        k += ids[k] >= 0;
    }
    out->n += ste_bpe(&j->t->merges, ids, k);
    return 0;
}

/* The added token that stands at S, the longest of them, or -1. User-defined ones ("<tool_call>") are no control
 * tokens: transformers and llama.cpp take them in any text. */
static int32_t added_at(const struct ste_tokenizer *t, const char *s, size_t n, bool special)
{
    if (!t->begins_added[(uint8_t)*s])
        return -1;
    for (int32_t i = 0; i < t->n_added; i++) {
        int32_t id = t->added[i];
        struct ste_str k = t->tokens[id];
        if (k.n <= n && !memcmp(k.s, s, k.n) && (special || t->types[id] == TYPE_USER_DEFINED))
            return id;
    }
    return -1;
}

int ste_tokenize(const struct ste_tokenizer *t, const char *text, size_t n, bool special, struct ste_tokens *out,
                 struct ste_err *err)
{
    size_t bad = ste_utf8_bad(text, n), had = out->n, from = 0;
    struct job job = {t, out};
    int rc = 0;
    if (bad < n)
        return ste_err_set(err, STE_EINPUT, "the text is not UTF-8: byte %zu (0x%02X) of %zu begins no character", bad,
                           (uint8_t)text[bad], n);
    if (n > INT32_MAX)
        return ste_err_set(err, STE_EINPUT, "a text of %zu bytes is too large to be tokenized as one", n);
    for (size_t at = 0; at < n && !rc;) {
        int32_t id = added_at(t, text + at, n - at, special);
        if (id < 0) {
            at++;
            continue;
        }
        if (at > from)
            rc = ste_pretokenize(t->pre, text + from, at - from, add_word, &job, err);
        ste_tokens_add(out, id);
        from = at += t->tokens[id].n;
    }
    if (!rc && from < n)
        rc = ste_pretokenize(t->pre, text + from, n - from, add_word, &job, err);
    if (rc)
        out->n = had;
    return rc;
}

/* ---- ids to text ---- */

/* Bytes of a normal token; one with a character outside the byte alphabet stands for itself. */
static void add_bytes(const struct ste_tokenizer *t, struct ste_str k, struct ste_buf *out)
{
    size_t had = out->len;
    for (uint64_t i = 0; i < k.n;) {
        uint8_t b = (uint8_t)k.s[i];
        unsigned c = b;
        if (b >= 0x80)
            c = b >= 0xC2 && b < 0xC8 && i + 1 < k.n ? (unsigned)(b & 31) << 6 | ((uint8_t)k.s[i + 1] & 63) : 0xFFFF;
        if (c >= sizeof t->byte_of / sizeof *t->byte_of || t->byte_of[c] < 0) {
            out->len = had;
            ste_buf_add(out, k.s, k.n);
            return;
        }
        ste_buf_addc(out, (char)t->byte_of[c]);
        i += b < 0x80 ? 1 : 2;
    }
}

void ste_detokenize(const struct ste_tokenizer *t, const int32_t *ids, size_t n, bool special, struct ste_buf *out)
{
    ste_buf_reserve(out, 0);
    for (size_t i = 0; i < n; i++) {
        if (ids[i] < 0 || ids[i] >= t->n)
            continue;
        struct ste_str k = t->tokens[ids[i]];
        if (t->types[ids[i]] == TYPE_USER_DEFINED || (special && t->types[ids[i]] == TYPE_CONTROL))
            ste_buf_add(out, k.s, k.n);
        else if (t->types[ids[i]] != TYPE_CONTROL)
            add_bytes(t, k, out);
    }
}

int32_t ste_token_id(const struct ste_tokenizer *t, const char *string)
{
    return find(t, string, strlen(string));
}

int32_t ste_token_at(const struct ste_tokenizer *t, const char *s, size_t n, size_t *length)
{
    const int32_t id = added_at(t, s, n, true);
    if (id >= 0)
        *length = t->tokens[id].n;
    return id;
}

int32_t ste_token_count(const struct ste_tokenizer *t)
{
    return t->n;
}

bool ste_token_is_control(const struct ste_tokenizer *t, int32_t id)
{
    return id >= 0 && id < t->n && t->types[id] == TYPE_CONTROL;
}

bool ste_token_ends_turn(const struct ste_tokenizer *t, int32_t id)
{
    return id >= 0 && (id == t->eos || id == t->end_of_turn || id == t->end_of_text);
}

int32_t ste_token_end_of_turn(const struct ste_tokenizer *t)
{
    return t->end_of_turn;
}
