#include "model/bytelevel.h"

#include <string.h>

#include "core/mem.h"
#include "model/bpe.h"
#include "model/pretokenize.h"

enum { ALPHABET_END = 0x144 };

struct ste_bytelevel {
    const struct ste_vocabulary *v;
    int32_t byte_id[256];          /* -1: the vocabulary lacks the byte */
    char spelled[256][2];          /* gpt2's alphabet in UTF-8; of one byte where the second is 0 */
    int16_t byte_of[ALPHABET_END]; /* the byte of a code point, or -1 */
    struct ste_merges merges;
    struct ste_pretokenizer *pre;
    bool ignore_merges;
};

/* gpt2 writes bytes as printable characters: those of Latin-1 that are printable as themselves, the others from U+0100
 * on in order. */
static int byte_alphabet(struct ste_bytelevel *l)
{
    int next = 0x100, missing = 0;
    memset(l->byte_of, 0xFF, sizeof l->byte_of);
    for (int b = 0; b < 256; b++) {
        bool itself = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
        int c = itself ? b : next++;
        char *utf8 = l->spelled[b];
        utf8[0] = (char)(c < 0x80 ? c : 0xC0 | c >> 6);
        utf8[1] = (char)(c < 0x80 ? 0 : 0x80 | (c & 63));
        l->byte_of[c] = (int16_t)b;
        l->byte_id[b] = ste_vocabulary_find_plain(l->v, utf8, c < 0x80 ? 1 : 2);
        missing += l->byte_id[b] < 0;
    }
    return missing;
}

static int read_merges(struct ste_bytelevel *l, const struct ste_gguf *g, struct ste_err *err)
{
    const char *path = ste_gguf_path(g);
    struct ste_str *merges;
    uint64_t n;
    int rc = 0;
    if (!ste_gguf_strings(g, "tokenizer.ggml.merges", &merges, &n) || !n) {
        return ste_err_set(err, STE_EINPUT,
                           "%s has no merges (tokenizer.ggml.merges), without which its tokenizer cannot be used",
                           path);
    }
    rc = ste_merges_read(&l->merges, l->v, merges, n, err);
    if (rc)
        ste_err_wrap(err, "%s", path);
    ste_xfree(merges);
    return rc;
}

/* By its name, or by the expressions that a tokenizer.json brought (tokenizer_json.h). */
static int read_split(const struct ste_gguf *g, struct ste_split *out, struct ste_err *err)
{
    struct ste_str s, *stages = NULL;
    uint64_t n;
    int rc = 0;
    if (ste_gguf_strings(g, "tokenizer.ste.split", &stages, &n)) {
        *out = (struct ste_split){.n = n < STE_SPLIT_MAX ? n : STE_SPLIT_MAX};
        memcpy(out->stages, stages, out->n * sizeof *stages);
        ste_gguf_bool(g, "tokenizer.ste.nfc", &out->nfc);
        ste_gguf_bool(g, "tokenizer.ste.ignore_merges", &out->ignore_merges);
        if (n > STE_SPLIT_MAX)
            rc = ste_err_set(err, STE_EINPUT, "more than %d splitting expressions", STE_SPLIT_MAX);
        ste_xfree(stages);
    } else if (!ste_gguf_string(g, "tokenizer.ggml.pre", &s)) {
        rc = ste_err_set(err, STE_EINPUT, "it does not name its pre-tokenizer (tokenizer.ggml.pre)");
    } else
        rc = ste_split_named(out, s, err);
    return rc;
}

int ste_bytelevel_new(struct ste_bytelevel **out, const struct ste_gguf *g, const struct ste_vocabulary *v,
                      bool *add_bos, struct ste_err *err)
{
    struct ste_bytelevel *l = *out = ste_xcalloc(1, sizeof *l);
    struct ste_split split;
    l->v = v;
    int rc = read_split(g, &split, err);
    if (rc || (rc = ste_pretokenizer_new(&l->pre, &split, err)))
        ste_err_wrap(err, "%s", ste_gguf_path(g));
    if (!rc && byte_alphabet(l) > 128)
        rc = ste_err_set(err, STE_EINPUT,
                         "%s: the vocabulary lacks most of the single bytes, so it is no byte-level one",
                         ste_gguf_path(g));
    if (!rc)
        rc = read_merges(l, g, err);
    l->ignore_merges = !rc && split.ignore_merges;
    *add_bos = !rc && split.add_bos;
    return rc;
}

void ste_bytelevel_free(struct ste_bytelevel *l)
{
    if (!l)
        return;
    ste_merges_clear(&l->merges);
    ste_pretokenizer_free(l->pre);
    ste_xfree(l);
}

struct job {
    const struct ste_bytelevel *l;
    struct ste_tokens *out;
    struct ste_buf spelled;
};

/* The token that a word is as a whole, or -1. */
static int32_t whole(struct job *j, const char *s, size_t n)
{
    ste_buf_reset(&j->spelled);
    for (size_t i = 0; i < n; i++) {
        const char *c = j->l->spelled[(uint8_t)s[i]];
        ste_buf_add(&j->spelled, c, c[1] ? 2 : 1);
    }
    return ste_vocabulary_find_plain(j->l->v, j->spelled.s, j->spelled.len);
}

static int add_word(void *arg, const char *s, size_t n)
{
    struct job *j = arg;
    struct ste_tokens *out = j->out;
    size_t k = 0;
    STE_GROW(out->ids, out->cap, out->n + n);
    int32_t *ids = out->ids + out->n;
    if (j->l->ignore_merges && (ids[0] = whole(j, s, n)) >= 0) {
        out->n++;
        return 0;
    }
    for (size_t i = 0; i < n; i++) { /* a byte that the vocabulary lacks is left out, as the references do */
        ids[k] = j->l->byte_id[(uint8_t)s[i]];
        k += ids[k] >= 0;
    }
    out->n += ste_bpe(&j->l->merges, ids, k);
    return 0;
}

int ste_bytelevel_encode(const struct ste_bytelevel *l, const char *text, size_t n, struct ste_tokens *out,
                         struct ste_err *err)
{
    struct job j = {l, out, STE_BUF_INIT};
    int rc = ste_pretokenize(l->pre, text, n, add_word, &j, err);
    ste_buf_clear(&j.spelled);
    return rc;
}

void ste_bytelevel_decode(const struct ste_bytelevel *l, struct ste_str k, struct ste_buf *out)
{
    size_t had = out->len;
    for (uint64_t i = 0; i < k.n;) {
        uint8_t b = (uint8_t)k.s[i];
        unsigned c = b;
        if (b >= 0x80)
            c = b >= 0xC2 && b < 0xC8 && i + 1 < k.n ? (unsigned)(b & 31) << 6 | ((uint8_t)k.s[i + 1] & 63) : 0xFFFF;
        if (c >= ALPHABET_END || l->byte_of[c] < 0) {
            out->len = had;
            ste_buf_add(out, k.s, k.n);
            return;
        }
        ste_buf_addc(out, (char)l->byte_of[c]);
        i += b < 0x80 ? 1 : 2;
    }
}
