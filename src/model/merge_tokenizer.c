/* A GGUF file's vocabulary as a folder's tokenizer.json, and what lies beside it. */
#include <stdio.h>
#include <string.h>

#include "core/file.h"
#include "core/json.h"
#include "core/mem.h"
#include "model/merge_internal.h"
#include "model/pretokenize.h"

enum { CONTROL = 3, USER = 4, UNUSED = 5 }; /* tokenizer.ggml.token_type */

struct vocabulary {
    struct ste_str *tokens, *merges;
    int64_t *types;
    uint64_t n, n_merges;
    struct ste_split split;
    int64_t bos, eos; /* -1: none */
    bool add_bos;
};

static json_t *text(struct ste_str s)
{
    return json_stringn(s.s, s.n);
}

static int read_vocabulary(struct vocabulary *v, const struct ste_gguf *g, struct ste_err *err)
{
    struct ste_str model, pre;
    uint64_t n_types = 0;
    if (!ste_gguf_string(g, "tokenizer.ggml.model", &model) || model.n != 4 || memcmp(model.s, "gpt2", 4) != 0 ||
        !ste_gguf_string(g, "tokenizer.ggml.pre", &pre))
        return ste_err_set(
            err, STE_EUSAGE,
            "no folder is made of %s: its tokenizer is not byte-level BPE; name a .gguf file, or give the "
            "base as a folder",
            ste_gguf_path(g));
    int rc = ste_split_named(&v->split, pre, err);
    if (rc)
        return rc;
    if (!ste_gguf_strings(g, "tokenizer.ggml.tokens", &v->tokens, &v->n) ||
        !ste_gguf_ints(g, "tokenizer.ggml.token_type", &v->types, &n_types) || n_types != v->n ||
        !ste_gguf_strings(g, "tokenizer.ggml.merges", &v->merges, &v->n_merges))
        return ste_err_set(err, STE_EINPUT, "%s lacks the tokens, their types or the merges of its tokenizer",
                           ste_gguf_path(g));
    v->bos = v->eos = -1;
    v->add_bos = v->split.add_bos;
    ste_gguf_int(g, "tokenizer.ggml.bos_token_id", &v->bos);
    ste_gguf_int(g, "tokenizer.ggml.eos_token_id", &v->eos);
    ste_gguf_bool(g, "tokenizer.ggml.add_bos_token", &v->add_bos);
    v->bos = v->bos < (int64_t)v->n ? v->bos : -1;
    v->eos = v->eos < (int64_t)v->n ? v->eos : -1;
    return 0;
}

static json_t *model_json(const struct vocabulary *v)
{
    json_t *ids = json_object(), *merges = json_array();
    bool whole = true;
    for (uint64_t i = 0; i < v->n; i++) {
        char *key = ste_xstrndup(v->tokens[i].s, v->tokens[i].n);
        if (v->types[i] != UNUSED && json_object_set_new(ids, key, json_integer((json_int_t)i)) != 0)
            whole = false;
        ste_xfree(key);
    }
    for (uint64_t i = 0; i < v->n_merges; i++)
        whole &= json_array_append_new(merges, text(v->merges[i])) == 0;
    json_t *j = json_pack("{s:s, s:n, s:n, s:s, s:s, s:b, s:b, s:b, s:o, s:o}", "type", "BPE", "dropout", "unk_token",
                          "continuing_subword_prefix", "", "end_of_word_suffix", "", "fuse_unk", 0, "byte_fallback", 0,
                          "ignore_merges", v->split.ignore_merges, "vocab", ids, "merges", merges);
    if (whole)
        return j;
    json_decref(j);
    return NULL;
}

static json_t *added_json(const struct vocabulary *v)
{
    json_t *list = json_array();
    for (uint64_t i = 0; i < v->n; i++)
        if (v->types[i] == CONTROL || v->types[i] == USER)
            json_array_append_new(list, json_pack("{s:I, s:o, s:b, s:b, s:b, s:b, s:b}", "id", (json_int_t)i, "content",
                                                  text(v->tokens[i]), "single_word", 0, "lstrip", 0, "rstrip", 0,
                                                  "normalized", 0, "special", v->types[i] == CONTROL));
    return list;
}

static json_t *level(bool regex)
{
    return json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel", "add_prefix_space", 0, "trim_offsets", 1, "use_regex",
                     regex);
}

static json_t *splits(const struct vocabulary *v)
{
    json_t *list = json_array();
    for (size_t i = 0; i < v->split.n; i++)
        json_array_append_new(list, json_pack("{s:s, s:{s:o}, s:s, s:b}", "type", "Split", "pattern", "Regex",
                                              text(v->split.stages[i]), "behavior", "Isolated", "invert", 0));
    json_array_append_new(list, level(false));
    return json_pack("{s:s, s:o}", "type", "Sequence", "pretokenizers", list);
}

/* Puts BOS before what is encoded, where the model was taught with it. */
static json_t *template(const struct vocabulary *v)
{
    if (!v->add_bos || v->bos < 0)
        return json_null();
    char *bos = ste_xstrndup(v->tokens[v->bos].s, v->tokens[v->bos].n);
    json_t *j = json_pack(
        "{s:s, s:[{s:{s:s, s:i}}, {s:{s:s, s:i}}], s:[{s:{s:s, s:i}}, {s:{s:s, s:i}}, {s:{s:s, s:i}}], "
        "s:{s:{s:s, s:[I], s:[s]}}}",
        "type", "TemplateProcessing", "single", "SpecialToken", "id", bos, "type_id", 0, "Sequence", "id", "A",
        "type_id", 0, "pair", "SpecialToken", "id", bos, "type_id", 0, "Sequence", "id", "A", "type_id", 0, "Sequence",
        "id", "B", "type_id", 1, "special_tokens", bos, "id", bos, "ids", (json_int_t)v->bos, "tokens", bos);
    ste_xfree(bos);
    return j;
}

static int put(const char *dir, const char *name, json_t *j, size_t indent, struct ste_err *err)
{
    char *path = ste_path_join(dir, name), *s = j ? json_dumps(j, indent) : NULL;
    int rc = s ? ste_file_write(path, s, strlen(s), err)
               : ste_err_set(err, STE_EINPUT, "cannot write %s: a text of the base is not UTF-8", path);
    json_decref(j);
    ste_xfree(s);
    ste_xfree(path);
    return rc;
}

static int put_all(const struct vocabulary *v, const struct ste_model *m, const char *dir, struct ste_err *err)
{
    struct ste_str chat;
    json_t *model = model_json(v), *config, *generation = json_object();
    json_t *j = model ? json_pack("{s:s, s:n, s:n, s:o, s:o, s:o, s:o, s:o, s:o}", "version", "1.0", "truncation",
                                  "padding", "added_tokens", added_json(v), "normalizer",
                                  v->split.nfc ? json_pack("{s:s}", "type", "NFC") : json_null(), "pre_tokenizer",
                                  splits(v), "post_processor", template(v), "decoder", level(true), "model", model)
                      : NULL;
    int rc = put(dir, "tokenizer.json", j, JSON_COMPACT, err);
    config = json_pack("{s:s, s:b, s:i}", "tokenizer_class", "PreTrainedTokenizerFast", "clean_up_tokenization_spaces",
                       0, "model_max_length", m->hp.n_ctx_train);
    if (v->bos >= 0) {
        json_object_set_new(config, "bos_token", text(v->tokens[v->bos]));
        json_object_set_new(generation, "bos_token_id", json_integer(v->bos));
    }
    if (v->eos >= 0) {
        json_object_set_new(config, "eos_token", text(v->tokens[v->eos]));
        json_object_set_new(generation, "eos_token_id", json_integer(v->eos));
    }
    if (!rc)
        rc = put(dir, "tokenizer_config.json", json_incref(config), JSON_INDENT(2), err);
    if (!rc)
        rc = put(dir, "generation_config.json", json_incref(generation), JSON_INDENT(2), err);
    json_decref(config);
    json_decref(generation);
    if (!rc && ste_gguf_string(m->gguf, "tokenizer.chat_template", &chat)) {
        char *path = ste_path_join(dir, "chat_template.jinja");
        rc = ste_file_write(path, chat.s, chat.n, err);
        ste_xfree(path);
    }
    return rc;
}

int ste_merge_put_tokenizer(const struct ste_model *m, const char *dir, struct ste_err *err)
{
    struct vocabulary v = {0};
    int rc = read_vocabulary(&v, m->gguf, err);
    if (!rc)
        rc = put_all(&v, m, dir, err);
    ste_xfree(v.tokens);
    ste_xfree(v.merges);
    ste_xfree(v.types);
    return rc;
}
