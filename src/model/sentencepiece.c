#include "model/sentencepiece.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "model/bpe.h"

#define SPACE "\xE2\x96\x81" /* U+2581 */

struct ste_sentencepiece {
    const struct ste_vocabulary *v;
    int32_t ascii[128]; /* of single characters; -1: none */
    int32_t byte_id[256];
    int32_t unknown;
    struct ste_merges merges;
    enum ste_prefix prefix;
    bool not_before_space; /* the prefix: a text that begins with a space has one */
};

/* ---- which pairs merge ---- */

struct scored {
    float score;
    int32_t id;
};

static int higher_first(const void *a, const void *b)
{
    const struct scored *x = a, *y = b;
    return x->score != y->score ? (x->score < y->score ? 1 : -1) : x->id - y->id;
}

/* All ways in which two tokens are a third: its score is their rank, and equal scores are equal ranks. The pieces of
 * a text are tokens at all times, so this is the whole of SentencePiece's rule. */
static void add_splits(struct ste_sentencepiece *p, int32_t id, uint32_t rank, struct ste_tokens *pairs)
{
    struct ste_str s = p->v->tokens[id];
    for (uint64_t cut = 1; cut < s.n; cut++) {
        if (((uint8_t)s.s[cut] & 0xC0) == 0x80)
            continue;
        int32_t left = ste_vocabulary_find_plain(p->v, s.s, cut);
        int32_t right = left < 0 ? -1 : ste_vocabulary_find_plain(p->v, s.s + cut, s.n - cut);
        if (right < 0)
            continue;
        ste_tokens_add(pairs, left);
        ste_tokens_add(pairs, right);
        ste_tokens_add(pairs, (int32_t)rank);
        ste_tokens_add(pairs, id);
    }
}

static int merges_by_score(struct ste_sentencepiece *p, const struct ste_gguf *g, struct ste_err *err)
{
    float *scores;
    uint64_t n;
    uint32_t rank = 0;
    struct ste_tokens pairs = {0};
    if (!ste_gguf_reals(g, "tokenizer.ggml.scores", &scores, &n) || n != (uint64_t)p->v->n)
        return ste_err_set(err, STE_EINPUT, "%s: tokenizer.ggml.scores does not give a score for each of the %d tokens",
                           ste_gguf_path(g), p->v->n);
    struct scored *order = ste_xcalloc(n, sizeof *order);
    for (int32_t i = 0; i < p->v->n; i++) /* a score that is no number is the lowest */
        order[i] = (struct scored){scores[i] >= -INFINITY ? scores[i] : -INFINITY, i};
    qsort(order, n, sizeof *order, higher_first);
    for (uint64_t i = 0; i < n; i++) {
        rank += i && order[i].score != order[i - 1].score;
        if (ste_vocabulary_is_plain(p->v, order[i].id))
            add_splits(p, order[i].id, rank, &pairs);
    }
    ste_merges_init(&p->merges, pairs.n / 4);
    for (const int32_t *q = pairs.ids; q < pairs.ids + pairs.n; q += 4)
        ste_merges_add(&p->merges, q[0], q[1], (uint32_t)q[2], q[3]);
    ste_tokens_clear(&pairs);
    ste_xfree(order);
    ste_xfree(scores);
    return 0;
}

static int read_merges(struct ste_sentencepiece *p, const struct ste_gguf *g, struct ste_err *err)
{
    struct ste_str *merges;
    uint64_t n;
    bool listed = false;
    ste_gguf_bool(g, "tokenizer.ste.merges", &listed);
    if (!listed || !ste_gguf_strings(g, "tokenizer.ggml.merges", &merges, &n))
        return merges_by_score(p, g, err);
    int rc = ste_merges_read(&p->merges, p->v, merges, n, err);
    if (rc)
        ste_err_wrap(err, "%s", ste_gguf_path(g));
    ste_xfree(merges);
    return rc;
}

/* ---- the rest of the file ---- */

static int read_prefix(struct ste_sentencepiece *p, const struct ste_gguf *g, struct ste_err *err)
{
    bool on = true, extra = false, first = false;
    ste_gguf_bool(g, "tokenizer.ggml.remove_extra_whitespaces", &extra);
    if (extra)
        return ste_err_set(err, STE_EINPUT, "%s: its tokenizer removes white space, which ste does not do",
                           ste_gguf_path(g));
    ste_gguf_bool(g, "tokenizer.ggml.add_space_prefix", &on);
    ste_gguf_bool(g, "tokenizer.ste.prefix_first", &first);
    ste_gguf_bool(g, "tokenizer.ste.prefix_not_before_space", &p->not_before_space);
    p->prefix = !on ? STE_PREFIX_NONE : first ? STE_PREFIX_FIRST : STE_PREFIX_ALWAYS;
    return 0;
}

int ste_sentencepiece_new(struct ste_sentencepiece **out, const struct ste_gguf *g, const struct ste_vocabulary *v,
                          struct ste_err *err)
{
    struct ste_sentencepiece *p = *out = ste_xcalloc(1, sizeof *p);
    int64_t unknown = 0;
    p->v = v;
    for (int c = 0; c < 128; c++)
        p->ascii[c] = ste_vocabulary_find_plain(v, c == ' ' ? SPACE : (char[]){(char)c}, c == ' ' ? 3 : 1);
    bool all = true;
    for (int b = 0; b < 256; b++) {
        char name[8];
        int n = snprintf(name, sizeof name, "<0x%02X>", b);
        int32_t id = ste_vocabulary_find(v, name, (size_t)n);
        p->byte_id[b] = id >= 0 && v->types[id] == STE_TOKEN_BYTE ? id : -1;
        all = all && p->byte_id[b] >= 0;
    }
    ste_gguf_int(g, "tokenizer.ggml.unknown_token_id", &unknown);
    if (!all && (unknown < 0 || unknown >= v->n))
        return ste_err_set(err, STE_EINPUT, "%s: its vocabulary has neither all bytes nor an unknown token",
                           ste_gguf_path(g));
    p->unknown = (int32_t)unknown;
    int rc = read_prefix(p, g, err);
    return rc ? rc : read_merges(p, g, err);
}

void ste_sentencepiece_free(struct ste_sentencepiece *p)
{
    if (!p)
        return;
    ste_merges_clear(&p->merges);
    ste_xfree(p);
}

enum ste_prefix ste_sentencepiece_prefix(const struct ste_sentencepiece *p)
{
    return p->prefix;
}

/* ---- text to ids and back ---- */

static size_t add_character(const struct ste_sentencepiece *p, const char *s, size_t n, int32_t *ids)
{
    int32_t id = (uint8_t)*s < 0x80 ? p->ascii[(uint8_t)*s] : ste_vocabulary_find_plain(p->v, s, n);
    size_t k = 0;
    if (id >= 0)
        ids[k++] = id;
    else if (*s == ' ')
        return add_character(p, SPACE, 3, ids);
    for (; id < 0 && k < n; k++) {
        if (p->byte_id[(uint8_t)s[k]] < 0) {
            ids[0] = p->unknown;
            return 1;
        }
        ids[k] = p->byte_id[(uint8_t)s[k]];
    }
    return k;
}

void ste_sentencepiece_encode(const struct ste_sentencepiece *p, const char *text, size_t n, bool prefix,
                              struct ste_tokens *out)
{
    size_t k = 0;
    STE_GROW(out->ids, out->cap, out->n + (p->ascii[' '] < 0 ? 3 * n : n) + 3);
    int32_t *ids = out->ids + out->n;
    bool spaced = n && (*text == ' ' || (n >= 3 && !memcmp(text, SPACE, 3)));
    if (prefix && n && !(p->not_before_space && spaced))
        k = add_character(p, " ", 1, ids);
    for (size_t at = 0; at < n;) {
        uint8_t c = (uint8_t)text[at];
        size_t len = c < 0x80 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
        k += add_character(p, text + at, len, ids + k);
        at += len;
    }
    out->n += ste_bpe(&p->merges, ids, k);
}

void ste_sentencepiece_decode(const struct ste_sentencepiece *p, int32_t id, struct ste_buf *out)
{
    struct ste_str s = p->v->tokens[id];
    if (p->v->types[id] == STE_TOKEN_BYTE && s.n == 6) {
        ste_buf_addc(out, (char)strtol((char[]){s.s[3], s.s[4], 0}, NULL, 16));
        return;
    }
    for (uint64_t i = 0; i < s.n;) {
        bool space = i + 3 <= s.n && !memcmp(s.s + i, SPACE, 3);
        ste_buf_addc(out, space ? ' ' : s.s[i]);
        i += space ? 3 : 1;
    }
}
