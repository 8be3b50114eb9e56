#include "model/tokenizer.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "core/mem.h"
#include "core/utf8.h"
#include "model/bytelevel.h"
#include "model/sentencepiece.h"
#include "model/vocabulary.h"

struct ste_tokenizer {
    struct ste_vocabulary v;
    struct ste_bytelevel *bytes; /* one of the two is NULL */
    struct ste_sentencepiece *pieces;
    struct ste_tokens lengths[256]; /* of the added tokens that begin with the byte, longest first, each once */
    bool *strips;                   /* takes the white space behind it; NULL: none does */
    struct ste_tokens ends;         /* the tokens that end an answer */
    int32_t bos, end_of_turn;
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

static bool has(const struct ste_tokens *t, int32_t id)
{
    for (size_t i = 0; i < t->n; i++)
        if (t->ids[i] == id)
            return true;
    return false;
}

/* ---- tokens that are cut out of a text ---- */

static bool is_added(const struct ste_vocabulary *v, int32_t id)
{
    return ste_vocabulary_is_control(v, id) || v->types[id] == STE_TOKEN_USER_DEFINED;
}

static void find_added(struct ste_tokenizer *t)
{
    for (int32_t i = 0; i < t->v.n; i++) {
        struct ste_str s = t->v.tokens[i];
        if (!s.n || s.n > INT32_MAX || !is_added(&t->v, i))
            continue;
        struct ste_tokens *list = &t->lengths[(uint8_t)s.s[0]];
        size_t at = 0;
        while (at < list->n && list->ids[at] > (int32_t)s.n)
            at++;
        if (at < list->n && list->ids[at] == (int32_t)s.n)
            continue;
        ste_tokens_add(list, 0);
        memmove(list->ids + at + 1, list->ids + at, (list->n - at - 1) * sizeof *list->ids);
        list->ids[at] = (int32_t)s.n;
    }
}

/* The added token that stands at S, the longest of them, or -1. User-defined ones ("<tool_call>") are no control
 * tokens: transformers and llama.cpp take them in any text. */
static int32_t added_at(const struct ste_tokenizer *t, const char *s, size_t n, bool special)
{
    const struct ste_tokens *lengths = &t->lengths[(uint8_t)*s];
    for (size_t i = 0; i < lengths->n; i++) {
        size_t len = (size_t)lengths->ids[i];
        int32_t id = len <= n ? ste_vocabulary_find(&t->v, s, len) : -1;
        if (id >= 0 && is_added(&t->v, id) && (special || t->v.types[id] == STE_TOKEN_USER_DEFINED))
            return id;
    }
    return -1;
}

/* ---- what the file says of single tokens ---- */

static int32_t id_of(const struct ste_tokenizer *t, const struct ste_gguf *g, const char *key, int32_t otherwise)
{
    int64_t id;
    if (!ste_gguf_int(g, key, &id))
        id = otherwise;
    return id >= 0 && id < t->v.n ? (int32_t)id : -1;
}

static void add_end(struct ste_tokenizer *t, int32_t id)
{
    if (id >= 0 && !has(&t->ends, id))
        ste_tokens_add(&t->ends, id);
}

static bool contains(struct ste_str s, const char *part)
{
    return memmem(s.s, s.n, part, strlen(part));
}

/* Files name one end; others are known by their text. Converters left some of them as user-defined: they are control
 * tokens all the same. The end of a turn is the first of four texts that the chat template writes, eos before others.
 */
static int find_ends(struct ste_tokenizer *t, const struct ste_gguf *g, bool pieces, struct ste_err *err)
{
    static const char *const texts[] = {"<|im_end|>",    "<|eot_id|>",      "<end_of_turn>", "<|end|>", "<|eom_id|>",
                                        "<|endoftext|>", "<|end_of_text|>", "<EOT>",         "</s>"};
    const int32_t eos = id_of(t, g, "tokenizer.ggml.eos_token_id", pieces ? 2 : -1);
    const int32_t eot = id_of(t, g, "tokenizer.ggml.eot_token_id", -1);
    struct ste_str chat = {"", 0};
    if (eos < 0)
        return ste_err_set(err, STE_EINPUT, "%s does not name its end-of-sequence token (tokenizer.ggml.eos_token_id)",
                           ste_gguf_path(g));
    add_end(t, eos);
    add_end(t, eot);
    add_end(t, id_of(t, g, "tokenizer.ggml.eom_token_id", -1));
    const bool any = !ste_gguf_string(g, "tokenizer.chat_template", &chat);
    t->end_of_turn = -1;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        int32_t id = ste_token_id(t, texts[i]);
        if (id < 0 || !is_added(&t->v, id))
            continue;
        t->v.types[id] = STE_TOKEN_CONTROL;
        add_end(t, id);
        if (i < 4 && (any || contains(chat, texts[i])) && (t->end_of_turn < 0 || id == eos))
            t->end_of_turn = id;
    }
    if (t->end_of_turn < 0)
        t->end_of_turn = eot >= 0 ? eot : eos;
    return 0;
}

static int find_bos(struct ste_tokenizer *t, const struct ste_gguf *g, bool add, struct ste_err *err)
{
    t->bos = -1;
    ste_gguf_bool(g, "tokenizer.ggml.add_bos_token", &add);
    if (add && (t->bos = id_of(t, g, "tokenizer.ggml.bos_token_id", t->pieces ? 1 : -1)) < 0)
        return ste_err_set(err, STE_EINPUT,
                           "%s: texts begin with a token that it does not name (tokenizer.ggml.bos_token_id)",
                           ste_gguf_path(g));
    return 0;
}

/* A tokenizer.json says which tokens take the white space behind them. GGUF has no key for it; of Phi-3 it is known. */
static void find_strips(struct ste_tokenizer *t, const struct ste_gguf *g)
{
    struct ste_str name = {"", 0};
    int64_t *ids;
    uint64_t n;
    ste_gguf_string(g, "general.name", &name);
    char *s = ste_xstrndup(name.s, name.n);
    if (ste_gguf_ints(g, "tokenizer.ste.rstrip", &ids, &n)) {
        t->strips = ste_xcalloc((size_t)t->v.n, sizeof *t->strips);
        for (uint64_t i = 0; i < n; i++)
            if (ids[i] >= 0 && ids[i] < t->v.n)
                t->strips[ids[i]] = true;
        ste_xfree(ids);
    } else if (t->pieces && (strcasestr(s, "phi-3") || strcasestr(s, "phi3"))) {
        static const char *const not [] = {"<unk>", "<s>", "<|endoftext|>"};
        t->strips = ste_xcalloc((size_t)t->v.n, sizeof *t->strips);
        for (int32_t i = 0; i < t->v.n; i++)
            t->strips[i] = is_added(&t->v, i);
        for (int i = 0; i < 3; i++)
            if (ste_token_id(t, not [i]) >= 0)
                t->strips[ste_token_id(t, not [i])] = false;
    }
    ste_xfree(s);
}

static int make(struct ste_tokenizer *t, const struct ste_gguf *g, struct ste_err *err)
{
    const char *path = ste_gguf_path(g);
    struct ste_str s;
    bool add_bos = true;
    int rc;
    if (!ste_gguf_string(g, "tokenizer.ggml.model", &s))
        return ste_err_set(err, STE_EINPUT, "%s has no tokenizer (tokenizer.ggml.model)", path);
    const bool bytes = s.n == 4 && !memcmp(s.s, "gpt2", 4), pieces = s.n == 5 && !memcmp(s.s, "llama", 5);
    if (!bytes && !pieces)
        return ste_err_set(
            err, STE_EINPUT,
            "%s has a tokenizer of kind '%.*s'%s; ste reads byte-level BPE (gpt2) and SentencePiece BPE (llama)", path,
            (int)(s.n < 40 ? s.n : 40), s.s, s.n == 2 && !memcmp(s.s, "t5", 2) ? ", a unigram model" : "");
    if ((rc = ste_vocabulary_read(&t->v, g, err)) || (rc = find_ends(t, g, pieces, err)))
        return rc;
    rc = bytes ? ste_bytelevel_new(&t->bytes, g, &t->v, &add_bos, err)
               : ste_sentencepiece_new(&t->pieces, g, &t->v, err);
    if (rc || (rc = find_bos(t, g, add_bos, err)))
        return rc;
    find_added(t);
    find_strips(t, g);
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
    ste_bytelevel_free(t->bytes);
    ste_sentencepiece_free(t->pieces);
    ste_vocabulary_clear(&t->v);
    for (int i = 0; i < 256; i++)
        ste_tokens_clear(&t->lengths[i]);
    ste_tokens_clear(&t->ends);
    ste_xfree(t->strips);
    ste_xfree(t);
}

/* ---- text to ids ---- */

/* A text without added tokens; BEGINS: the space that some tokenizers put before a text belongs before it. */
static int add_plain(const struct ste_tokenizer *t, const char *s, size_t n, bool begins, struct ste_tokens *out,
                     struct ste_err *err)
{
    if (t->strips && out->n && t->strips[out->ids[out->n - 1]])
        for (; n && isspace((unsigned char)*s); n--)
            s++;
    if (n && t->bytes)
        return ste_bytelevel_encode(t->bytes, s, n, out, err);
    if (n)
        ste_sentencepiece_encode(t->pieces, s, n, begins, out);
    return 0;
}

/* FIRST: a space belongs before TEXT; AFTER: it belongs after each added token. */
static int add_text(const struct ste_tokenizer *t, const char *text, size_t n, bool special, bool first, bool after,
                    struct ste_tokens *out, struct ste_err *err)
{
    size_t bad = ste_utf8_bad(text, n), had = out->n, from = 0;
    int rc = 0;
    if (bad < n)
        return ste_err_set(err, STE_EINPUT, "the text is not UTF-8: byte %zu (0x%02X) of %zu begins no character", bad,
                           (uint8_t)text[bad], n);
    if (n > INT32_MAX)
        return ste_err_set(err, STE_EINPUT, "a text of %zu bytes is too large to be tokenized as one", n);
    for (size_t at = 0; at < n && !rc;) {
        int32_t id = t->lengths[(uint8_t)text[at]].n ? added_at(t, text + at, n - at, special) : -1;
        if (id < 0) {
            at++;
            continue;
        }
        rc = add_plain(t, text + from, at - from, from ? after : first, out, err);
        ste_tokens_add(out, id);
        from = at += t->v.tokens[id].n;
    }
    if (!rc)
        rc = add_plain(t, text + from, n - from, from ? after : first, out, err);
    if (rc)
        out->n = had;
    return rc;
}

static enum ste_prefix prefix_of(const struct ste_tokenizer *t)
{
    return t->pieces ? ste_sentencepiece_prefix(t->pieces) : STE_PREFIX_NONE;
}

int ste_tokenize(const struct ste_tokenizer *t, const char *text, size_t n, bool special, struct ste_tokens *out,
                 struct ste_err *err)
{
    const bool after = prefix_of(t) == STE_PREFIX_ALWAYS, first = out->n ? after : prefix_of(t) != STE_PREFIX_NONE;
    const bool begins = !out->n || is_added(&t->v, out->ids[out->n - 1]);
    return add_text(t, text, n, special, begins && first, after, out, err);
}

int ste_tokenize_on(const struct ste_tokenizer *t, const char *text, size_t n, struct ste_tokens *out,
                    struct ste_err *err)
{
    return add_text(t, text, n, false, false, prefix_of(t) == STE_PREFIX_ALWAYS, out, err);
}

int ste_tokenize_prompt(const struct ste_tokenizer *t, const char *text, size_t n, bool special, struct ste_tokens *out,
                        struct ste_err *err)
{
    int rc = ste_tokenize(t, text, n, special, out, err);
    if (!rc)
        ste_tokens_begin(t, out);
    return rc;
}

void ste_tokens_begin(const struct ste_tokenizer *t, struct ste_tokens *prompt)
{
    if (t->bos < 0 || (prompt->n && prompt->ids[0] == t->bos))
        return;
    ste_tokens_add(prompt, t->bos);
    memmove(prompt->ids + 1, prompt->ids, (prompt->n - 1) * sizeof *prompt->ids);
    prompt->ids[0] = t->bos;
}

int32_t ste_tokenizer_bos(const struct ste_tokenizer *t)
{
    return t->bos;
}

/* ---- ids to text ---- */

void ste_detokenize(const struct ste_tokenizer *t, const int32_t *ids, size_t n, bool special, struct ste_buf *out)
{
    ste_buf_reserve(out, 0);
    for (size_t i = 0; i < n; i++) {
        if (ids[i] < 0 || ids[i] >= t->v.n)
            continue;
        struct ste_str s = t->v.tokens[ids[i]];
        if (t->v.types[ids[i]] == STE_TOKEN_USER_DEFINED || (special && ste_vocabulary_is_control(&t->v, ids[i])))
            ste_buf_add(out, s.s, s.n);
        else if (ste_vocabulary_is_control(&t->v, ids[i]))
            continue;
        else if (t->bytes)
            ste_bytelevel_decode(t->bytes, s, out);
        else
            ste_sentencepiece_decode(t->pieces, ids[i], out);
    }
}

int32_t ste_token_id(const struct ste_tokenizer *t, const char *string)
{
    return ste_vocabulary_find(&t->v, string, strlen(string));
}

int32_t ste_token_at(const struct ste_tokenizer *t, const char *s, size_t n, size_t *length)
{
    const int32_t id = t->lengths[(uint8_t)*s].n ? added_at(t, s, n, true) : -1;
    if (id >= 0)
        *length = t->v.tokens[id].n;
    return id;
}

int32_t ste_token_count(const struct ste_tokenizer *t)
{
    return t->v.n;
}

bool ste_token_is_control(const struct ste_tokenizer *t, int32_t id)
{
    return id >= 0 && id < t->v.n && ste_vocabulary_is_control(&t->v, id);
}

bool ste_token_ends_turn(const struct ste_tokenizer *t, int32_t id)
{
    return has(&t->ends, id);
}

int32_t ste_token_end_of_turn(const struct ste_tokenizer *t)
{
    return t->end_of_turn;
}
