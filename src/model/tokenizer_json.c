#include "model/tokenizer_json.h"

#include <string.h>

#include "core/buf.h"
#include "core/mem.h"
#include "model/pretokenize.h"
#include "model/vocabulary.h"

#define SPACE "\xE2\x96\x81" /* U+2581 */

enum { MOST_TOKENS = 1 << 24, MOST_HOLES = 1 << 16 };

struct reading {
    struct ste_gguf *g;
    const json_t *root, *model, *vocab, *config;
    const char *what;
    struct ste_err *err;
    /* what normalizer and pre_tokenizer do */
    struct ste_split split;
    bool bytes, spaces, prefix, prefix_first, not_before_space;
    /* by id; the strings are the JSON's, or NAMES' */
    struct ste_str *tokens;
    int32_t *types;
    int64_t n;
    struct ste_buf names; /* of ids without a token */
};

static const char *text_of(const json_t *j, const char *key)
{
    const char *s = json_string_value(json_object_get(j, key));
    return s ? s : "";
}

static bool is(const json_t *j, const char *key, const char *value)
{
    return !strcmp(text_of(j, key), value);
}

static int refuse(struct reading *r, const char *part, const json_t *j, const char *why)
{
    return ste_err_set(r->err, STE_EINPUT, "%s: its %s has '%.40s'%s, which ste does not do", r->what, part,
                       text_of(j, "type"), why);
}

/* ---- normalizer and pre_tokenizer ---- */

/* Calls STEP for J, or for each of its parts where it is a sequence of them. */
static int each(struct reading *r, const json_t *j, const char *parts, int (*step)(struct reading *r, const json_t *j))
{
    const json_t *list = json_object_get(j, parts), *part;
    size_t i;
    int rc = 0;
    if (!json_is_object(j))
        return 0;
    if (!is(j, "type", "Sequence"))
        return step(r, j);
    json_array_foreach(list, i, part)
    {
        if ((rc = each(r, part, parts, step)))
            break;
    }
    return rc;
}

static int normalizer(struct reading *r, const json_t *j)
{
    if (is(j, "type", "NFC"))
        r->split.nfc = true;
    else if (is(j, "type", "Prepend") && is(j, "prepend", SPACE))
        r->prefix = true;
    else if (is(j, "type", "Replace") && is(json_object_get(j, "pattern"), "String", " ") && is(j, "content", SPACE))
        r->spaces = true;
    else
        return refuse(r, "normalizer", j, "");
    return 0;
}

static int add_stage(struct reading *r, const char *expression)
{
    if (r->split.n == STE_SPLIT_MAX)
        return ste_err_set(r->err, STE_EINPUT, "%s: its pre_tokenizer splits more than %d times", r->what,
                           STE_SPLIT_MAX);
    r->split.stages[r->split.n++] = (struct ste_str){expression, strlen(expression)};
    return 0;
}

static int split(struct reading *r, const json_t *j)
{
    const json_t *pattern = json_object_get(j, "pattern");
    const char *regex = json_string_value(json_object_get(pattern, "Regex"));
    if (r->spaces && is(pattern, "String", " "))
        return 0; /* no spaces are left */
    const bool kept =
        is(j, "behavior", "Isolated") || (is(j, "behavior", "Removed") && json_is_true(json_object_get(j, "invert")));
    if (!kept)
        return refuse(r, "pre_tokenizer", j, " that drops or joins what it finds");
    return regex ? add_stage(r, regex) : refuse(r, "pre_tokenizer", j, " at a fixed string");
}

static int metaspace(struct reading *r, const json_t *j)
{
    const char *scheme = text_of(j, "prepend_scheme");
    if (!json_is_false(json_object_get(j, "split")))
        return refuse(r, "pre_tokenizer", j, " with split");
    if (!is(j, "replacement", SPACE))
        return refuse(r, "pre_tokenizer", j, " with another character for a space");
    r->spaces = r->not_before_space = true;
    r->prefix_first = !strcmp(scheme, "first");
    r->prefix = *scheme ? strcmp(scheme, "never") != 0 : json_is_true(json_object_get(j, "add_prefix_space"));
    return 0;
}

static int pre_tokenizer(struct reading *r, const json_t *j)
{
    if (is(j, "type", "Split"))
        return split(r, j);
    if (is(j, "type", "Metaspace"))
        return metaspace(r, j);
    if (is(j, "type", "Digits"))
        return add_stage(r,
                         json_is_true(json_object_get(j, "individual_digits")) ? STE_SPLIT_DIGIT : STE_SPLIT_DIGIT "+");
    if (!is(j, "type", "ByteLevel"))
        return refuse(r, "pre_tokenizer", j, "");
    if (json_is_true(json_object_get(j, "add_prefix_space")))
        return refuse(r, "pre_tokenizer", j, " with add_prefix_space");
    r->bytes = true;
    return json_is_false(json_object_get(j, "use_regex")) ? 0 : add_stage(r, STE_SPLIT_GPT2);
}

static int read_pipeline(struct reading *r)
{
    int rc = each(r, json_object_get(r->root, "normalizer"), "normalizers", normalizer);
    if (!rc)
        rc = each(r, json_object_get(r->root, "pre_tokenizer"), "pretokenizers", pre_tokenizer);
    if (!rc && r->bytes == r->spaces)
        rc = ste_err_set(r->err, STE_EINPUT,
                         "%s is neither byte-level (ByteLevel) nor of SentencePiece's kind (U+2581 for a space); ste "
                         "reads these two",
                         r->what);
    if (!rc && r->spaces && r->split.n)
        rc =
            ste_err_set(r->err, STE_EINPUT, "%s splits words, which ste does for byte-level tokenizers alone", r->what);
    return rc;
}

/* ---- vocabulary ---- */

static int put(struct reading *r, const char *token, const json_t *id_, int32_t type)
{
    const int64_t id = json_is_integer(id_) ? json_integer_value(id_) : -1;
    if (!*token)
        return ste_err_set(r->err, STE_EINPUT, "%s: the token of id %lld is empty", r->what, (long long)id);
    if (id < 0 || id >= r->n)
        return ste_err_set(r->err, STE_EINPUT, "%s: the id of '%.60s' is none from 0 to %lld", r->what, token,
                           (long long)r->n - 1);
    if (r->tokens[id].s && strcmp(r->tokens[id].s, token))
        return ste_err_set(r->err, STE_EINPUT, "%s: '%.60s' and '%.60s' have the same id, %lld", r->what,
                           r->tokens[id].s, token, (long long)id);
    r->tokens[id] = (struct ste_str){token, strlen(token)};
    r->types[id] = type;
    return 0;
}

static bool has_form(const char *s, const char *begin, const char *end)
{
    size_t n = strlen(s), b = strlen(begin), e = strlen(end);
    return n > b + e && !memcmp(s, begin, b) && !memcmp(s + n - e, end, e);
}

/* Some files leave control tokens unmarked; converters to GGUF know them by the same forms. */
static bool looks_special(const char *s)
{
    return has_form(s, "<|", "|>") || has_form(s, "<\xEF\xBD\x9C", "\xEF\xBD\x9C>") || has_form(s, "<unused", ">") ||
           !strcmp(s, "<pad>") || !strcmp(s, "<mask>") || !strcmp(s, "<2mass>") || !strcmp(s, "[@BOS@]");
}

static int add_added(struct reading *r)
{
    const json_t *added = json_object_get(r->root, "added_tokens"), *t;
    int32_t *strips = ste_xcalloc(json_array_size(added) + 1, sizeof *strips);
    size_t i, n_strips = 0;
    int rc = 0;
    json_array_foreach(added, i, t)
    {
        const char *s = text_of(t, "content");
        const json_t *id = json_object_get(t, "id"), *base = json_object_get(r->vocab, s);
        const bool control = json_is_true(json_object_get(t, "special")) || looks_special(s);
        if (!*s)
            rc = ste_err_set(r->err, STE_EINPUT, "%s: added token %zu is empty; take it out", r->what, i);
        else if (base && !json_equal((json_t *)base, (json_t *)id))
            rc = ste_err_set(r->err, STE_EINPUT, "%s: '%.60s' has two ids, in the vocabulary and as an added token",
                             r->what, s);
        else
            rc = put(r, s, id, control ? STE_TOKEN_CONTROL : STE_TOKEN_USER_DEFINED);
        if (rc)
            break;
        if (json_is_true(json_object_get(t, "rstrip")))
            strips[n_strips++] = (int32_t)json_integer_value(id);
    }
    if (!rc && n_strips)
        ste_gguf_set_ints(r->g, "tokenizer.ste.rstrip", strips, n_strips);
    ste_xfree(strips);
    return rc;
}

/* Ids without a token get one, unused, as converters to GGUF write it. Among the vocabulary's own there may be none. */
static int fill_holes(struct reading *r, int64_t own)
{
    for (int64_t i = 0; i < own; i++)
        if (!r->tokens[i].s)
            return ste_err_set(r->err, STE_EINPUT, "%s: the vocabulary has no token %lld, though it goes up to %lld",
                               r->what, (long long)i, (long long)own - 1);
    for (int64_t i = own; i < r->n; i++) /* the texts first: they move while the buffer grows */
        if (!r->tokens[i].s) {
            const size_t had = r->names.len;
            ste_buf_addf(&r->names, "[PAD%lld]", (long long)i);
            r->tokens[i].n = r->names.len - had;
            r->types[i] = STE_TOKEN_UNUSED;
        }
    const char *name = r->names.s;
    for (int64_t i = own; i < r->n; i++)
        if (!r->tokens[i].s) {
            r->tokens[i].s = name;
            name += r->tokens[i].n;
        }
    return 0;
}

/* One more than the largest id that ID and MOST are; what is no id in any vocabulary counts as one too large. */
static int64_t beyond(const json_t *id, int64_t most)
{
    const int64_t v = json_integer_value(id) < MOST_TOKENS ? json_integer_value(id) + 1 : MOST_TOKENS + 1;
    return v > most ? v : most;
}

static int read_vocabulary(struct reading *r, int64_t n_vocab)
{
    const json_t *added = json_object_get(r->root, "added_tokens"), *t;
    const char *token;
    json_t *id;
    size_t i;
    int64_t own = 0, most;
    int rc = 0;
    json_object_foreach((json_t *)r->vocab, token, id)
    {
        own = beyond(id, own);
    }
    most = own;
    json_array_foreach(added, i, t)
    {
        most = beyond(json_object_get(t, "id"), most);
    }
    const int64_t count = (int64_t)(json_object_size(r->vocab) + json_array_size(added));
    if (n_vocab < 0 || n_vocab > MOST_TOKENS)
        return ste_err_set(r->err, STE_EINPUT, "%s: the model's vocabulary of %lld is none", r->what,
                           (long long)n_vocab);
    if (own > count || most > count + MOST_HOLES || (n_vocab && most > n_vocab))
        return ste_err_set(r->err, STE_EINPUT,
                           "%s: its ids go up to %lld or more, but it has %lld tokens and the model's vocabulary %lld",
                           r->what, (long long)most - 1, (long long)count, (long long)n_vocab);
    r->n = most > n_vocab ? most : n_vocab;
    r->tokens = ste_xcalloc((size_t)r->n + 1, sizeof *r->tokens);
    r->types = ste_xcalloc((size_t)r->n + 1, sizeof *r->types);
    json_object_foreach((json_t *)r->vocab, token, id)
    {
        const bool byte = r->spaces && strlen(token) == 6 && has_form(token, "<0x", ">");
        if ((rc = put(r, token, id, byte ? STE_TOKEN_BYTE : STE_TOKEN_NORMAL)))
            return rc;
    }
    const char *unknown = text_of(r->model, "unk_token");
    if ((rc = add_added(r)) || (rc = fill_holes(r, own)))
        return rc;
    if (*unknown && (id = json_object_get(r->vocab, unknown))) {
        if (r->spaces)
            r->types[json_integer_value(id)] = STE_TOKEN_UNKNOWN;
        ste_gguf_set_int(r->g, "tokenizer.ggml.unknown_token_id", json_integer_value(id));
    }
    ste_gguf_set_strings(r->g, "tokenizer.ggml.tokens", r->tokens, (uint64_t)r->n);
    ste_gguf_set_ints(r->g, "tokenizer.ggml.token_type", r->types, (uint64_t)r->n);
    return 0;
}

/* ---- merges ---- */

/* Adds merge I to LIST as "LEFT RIGHT"; the length of LEFT, or 0 where it is none. */
static size_t add_merge(const json_t *m, struct ste_buf *list)
{
    const char *left = json_string_value(json_array_get(m, 0)), *right = json_string_value(json_array_get(m, 1));
    const char *both = json_string_value(m), *space = both && *both ? strchr(both + 1, ' ') : NULL;
    if (both)
        ste_buf_adds(list, both);
    else if (left && right && json_array_size(m) == 2 && !strchr(left, ' ') && !strchr(right, ' '))
        ste_buf_addf(list, "%s %s", left, right);
    if (both)
        return space && space[1] && *both != ' ' ? (size_t)(space - both) : 0;
    return left && right && *left && *right && !strchr(left, ' ') && !strchr(right, ' ') ? strlen(left) : 0;
}

/* A token's score is minus the rank of the first merge that makes it, for programs that have no merges here. */
static void set_scores(struct reading *r, const struct ste_str *merges, const size_t *lefts, size_t n)
{
    float *scores = ste_xcalloc((size_t)r->n, sizeof *scores);
    struct ste_buf both = STE_BUF_INIT;
    for (int64_t i = 0; i < r->n; i++)
        scores[i] = r->types[i] == STE_TOKEN_NORMAL ? -(float)(n + 1) : r->types[i] == STE_TOKEN_BYTE ? 0 : -1000;
    for (size_t i = n; i-- > 0;) {
        ste_buf_reset(&both);
        ste_buf_add(&both, merges[i].s, lefts[i]);
        ste_buf_add(&both, merges[i].s + lefts[i] + 1, merges[i].n - lefts[i] - 1);
        const json_t *id = json_object_get(r->vocab, both.s);
        if (id && r->types[json_integer_value(id)] == STE_TOKEN_NORMAL)
            scores[json_integer_value(id)] = -(float)i;
    }
    ste_gguf_set_reals(r->g, "tokenizer.ggml.scores", scores, (uint64_t)r->n);
    ste_gguf_set_bool(r->g, "tokenizer.ste.merges", true);
    ste_buf_clear(&both);
    ste_xfree(scores);
}

static int read_merges(struct reading *r)
{
    const json_t *list = json_object_get(r->model, "merges"), *m;
    const size_t n = json_array_size(list);
    struct ste_str *merges = ste_xcalloc(n + 1, sizeof *merges);
    size_t *lefts = ste_xcalloc(n + 1, sizeof *lefts), i;
    struct ste_buf text = STE_BUF_INIT;
    int rc = n ? 0 : ste_err_set(r->err, STE_EINPUT, "%s has no merges", r->what);
    json_array_foreach(list, i, m)
    {
        const size_t at = text.len;
        if (!(lefts[i] = add_merge(m, &text))) {
            rc = ste_err_set(r->err, STE_EINPUT,
                             "%s: merge %zu does not join two tokens; a merge with nothing would go on for ever",
                             r->what, i);
            break;
        }
        merges[i].n = text.len - at;
    }
    for (size_t k = 0, at = 0; k < n && !rc; at += merges[k++].n)
        merges[k].s = text.s + at;
    if (!rc) {
        ste_gguf_set_strings(r->g, "tokenizer.ggml.merges", merges, n);
        if (r->spaces)
            set_scores(r, merges, lefts, n);
    }
    ste_buf_clear(&text);
    ste_xfree(merges);
    ste_xfree(lefts);
    return rc;
}

/* ---- single tokens ---- */

static int64_t id_of(const struct reading *r, const char *token)
{
    for (int64_t i = r->n - 1; i >= 0 && *token; i--) /* they are mostly the last */
        if (r->tokens[i].n == strlen(token) && !memcmp(r->tokens[i].s, token, r->tokens[i].n))
            return i;
    return -1;
}

/* The token with which the post_processor begins a text; "": none. */
static const char *first_of(const json_t *j)
{
    const json_t *parts = json_object_get(j, "processors"), *part;
    const char *s = "";
    size_t i;
    if (is(j, "type", "TemplateProcessing"))
        s = text_of(json_object_get(json_array_get(json_object_get(j, "single"), 0), "SpecialToken"), "id");
    json_array_foreach(parts, i, part)
    {
        s = *s ? s : first_of(part);
    }
    return s;
}

static void set_single(struct reading *r)
{
    static const char *const names[][2] = {{"bos_token", "tokenizer.ggml.bos_token_id"},
                                           {"eos_token", "tokenizer.ggml.eos_token_id"},
                                           {"pad_token", "tokenizer.ggml.padding_token_id"}};
    const char *first = first_of(json_object_get(r->root, "post_processor"));
    const json_t *add = json_object_get(r->config, "add_bos_token");
    int64_t id, bos = -1;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const json_t *t = json_object_get(r->config, names[i][0]);
        if ((id = id_of(r, json_is_object(t) ? text_of(t, "content") : text_of(r->config, names[i][0]))) < 0)
            continue;
        ste_gguf_set_int(r->g, names[i][1], id);
        bos = i ? bos : id;
    }
    if (bos < 0 && (bos = id_of(r, first)) >= 0)
        ste_gguf_set_int(r->g, names[0][1], bos);
    ste_gguf_set_bool(r->g, "tokenizer.ggml.add_bos_token",
                      bos >= 0 && (json_is_boolean(add) ? json_is_true(add) : bos == id_of(r, first)));
}

static void set_kind(struct reading *r)
{
    const char *splits, *name;
    ste_gguf_set_string(r->g, "tokenizer.ggml.model", r->bytes ? "gpt2" : "llama", r->bytes ? 4 : 5);
    if (r->spaces) {
        ste_gguf_set_string(r->g, "tokenizer.ggml.pre", "default", 7);
        ste_gguf_set_bool(r->g, "tokenizer.ggml.add_space_prefix", r->prefix);
        ste_gguf_set_bool(r->g, "tokenizer.ste.prefix_first", r->prefix_first);
        ste_gguf_set_bool(r->g, "tokenizer.ste.prefix_not_before_space", r->not_before_space);
        return;
    }
    r->split.ignore_merges = json_is_true(json_object_get(r->model, "ignore_merges"));
    if (!(name = ste_split_name(&r->split, &splits))) {
        name = splits ? splits : "default";
        ste_gguf_set_strings(r->g, "tokenizer.ste.split", r->split.stages, r->split.n);
        ste_gguf_set_bool(r->g, "tokenizer.ste.nfc", r->split.nfc);
        ste_gguf_set_bool(r->g, "tokenizer.ste.ignore_merges", r->split.ignore_merges);
    }
    ste_gguf_set_string(r->g, "tokenizer.ggml.pre", name, strlen(name));
}

static int read_all(struct reading *r, int64_t n_vocab)
{
    const char *type = text_of(r->model, "type");
    int rc;
    if ((*type && strcmp(type, "BPE")) || !json_is_object(r->vocab))
        return ste_err_set(r->err, STE_EINPUT, "%s has a model of type '%.40s'; ste reads BPE", r->what, type);
    if (json_number_value(json_object_get(r->model, "dropout")) > 0 ||
        *text_of(r->model, "continuing_subword_prefix") || *text_of(r->model, "end_of_word_suffix"))
        return ste_err_set(
            r->err, STE_EINPUT,
            "%s has dropout, a continuing_subword_prefix or an end_of_word_suffix, which ste does not do", r->what);
    if ((rc = read_pipeline(r)))
        return rc;
    if (r->spaces && !json_is_true(json_object_get(r->model, "byte_fallback")))
        return ste_err_set(r->err, STE_EINPUT, "%s has no byte_fallback, without which texts would lose characters",
                           r->what);
    if ((rc = read_vocabulary(r, n_vocab)) || (rc = read_merges(r)))
        return rc;
    set_single(r);
    set_kind(r);
    return 0;
}

int ste_tokenizer_json_keys(struct ste_gguf *g, const json_t *tokenizer, const json_t *config, int64_t n_vocab,
                            const char *what, struct ste_err *err)
{
    const json_t *model = json_object_get(tokenizer, "model");
    struct reading r = {.g = g,
                        .root = tokenizer,
                        .model = model,
                        .vocab = json_object_get(model, "vocab"),
                        .config = config,
                        .what = what,
                        .err = err,
                        .names = STE_BUF_INIT};
    int rc = read_all(&r, n_vocab);
    ste_xfree(r.tokens);
    ste_xfree(r.types);
    ste_buf_clear(&r.names);
    return rc;
}
