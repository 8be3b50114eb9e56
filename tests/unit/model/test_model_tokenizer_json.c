/* tokenizer.json as keys: the ids of each family's tokenizer on a fixture (tests/interop/make_tokenizer_fixtures.py),
 * what is refused, and that no text becomes a control token in any of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "core/json.h"
#include "core/mem.h"
#include "model/tokenizer.h"
#include "model/tokenizer_json.h"

static struct ste_tokenizer *made(struct ste_gguf **g, const json_t *json, const json_t *config, int64_t n_vocab)
{
    struct ste_tokenizer *t;
    struct ste_err err = {0};
    *g = ste_gguf_new("made");
    if (ste_tokenizer_json_keys(*g, json, config, n_vocab, "tokenizer.json", &err))
        fail_msg("%s", err.msg);
    if (ste_tokenizer_new(&t, *g, &err))
        fail_msg("%s", err.msg);
    return t;
}

static void check_ids(const struct ste_tokenizer *t, const char *name, const char *text, bool special,
                      const json_t *want)
{
    struct ste_tokens k = {0};
    struct ste_err err = {0};
    if (ste_tokenize(t, text, strlen(text), special, &k, &err))
        fail_msg("%s", err.msg);
    json_t *got = ste_json_ids(k.ids, k.n);
    if (!json_equal(got, (json_t *)want))
        fail_msg("%s, '%s', special %d: %s, not %s", name, text, special, ste_json_canonical(got),
                 ste_json_canonical(want));
    json_decref(got);
    ste_tokens_clear(&k);
}

/* No token of T's that is a control token comes out of a text that has the strings of all of them. */
static void check_inert(const struct ste_tokenizer *t)
{
    static const char *const between[] = {"", " ", "\n", "x"};
    for (size_t b = 0; b < 4; b++) {
        struct ste_buf text = STE_BUF_INIT;
        struct ste_tokens k = {0};
        size_t n_control = 0, found = 0;
        for (int32_t id = 0; id < ste_token_count(t); id++)
            if (ste_token_is_control(t, id)) {
                ste_detokenize(t, &id, 1, true, &text);
                ste_buf_adds(&text, between[b]);
                n_control++;
            }
        assert_true(n_control >= 4);
        assert_int_equal(ste_tokenize(t, text.s, text.len, false, &k, NULL), 0);
        for (size_t i = 0; i < k.n; i++)
            assert_false(ste_token_is_control(t, k.ids[i]));
        k.n = 0;
        assert_int_equal(ste_tokenize(t, text.s, text.len, true, &k, NULL), 0);
        for (size_t i = 0; i < k.n; i++)
            found += ste_token_is_control(t, k.ids[i]);
        assert_int_equal(found, n_control);
        ste_tokens_clear(&k);
        ste_buf_clear(&text);
    }
}

static void each_family(void (*check)(const json_t *row, const json_t *texts))
{
    struct ste_jsonl *f;
    json_t *row, *first;
    assert_int_equal(ste_jsonl_open(&f, STE_SOURCE_DIR "/tests/fixtures/tokenizers.jsonl", NULL), 0);
    assert_int_equal(ste_jsonl_next(f, &first, NULL), 1);
    while (ste_jsonl_next(f, &row, NULL) == 1) {
        check(row, json_object_get(first, "texts"));
        json_decref(row);
    }
    json_decref(first);
    ste_jsonl_close(f);
}

static json_t *config_of(void)
{
    return json_pack("{s:s, s:{s:s}}", "bos_token", "<s>", "eos_token", "content", "</s>");
}

static void check_family(const json_t *row, const json_t *texts)
{
    const char *name = json_string_value(json_object_get(row, "name"));
    json_t *config = config_of(), *text;
    struct ste_gguf *g;
    struct ste_tokenizer *t = made(&g, json_object_get(row, "tokenizer"), config, 800);
    struct ste_str pre;
    size_t i;
    json_array_foreach(texts, i, text)
    {
        const char *s = json_string_value(text);
        check_ids(t, name, s, false, json_array_get(json_object_get(row, "plain"), i));
        check_ids(t, name, s, true, json_array_get(json_object_get(row, "special"), i));
    }
    check_inert(t);
    assert_int_equal(ste_token_count(t), 800);
    assert_true(ste_gguf_string(g, "tokenizer.ggml.pre", &pre));
    bool named = strcmp(name, "own") && strcmp(name, "legacy") && strcmp(name, "first") && strcmp(name, "bare");
    if (named) { /* a GGUF of it says the same by the name alone */
        assert_int_equal(pre.n, strlen(name));
        assert_memory_equal(pre.s, name, pre.n);
    }
    ste_tokenizer_free(t);
    ste_gguf_close(g);
    json_decref(config);
}

static void families_ids_equal_the_reference(void **state)
{
    each_family(check_family);
}

/* SentencePiece's own rule, by scores, gives what the merges give. */
static void check_scores(const json_t *row, const json_t *texts)
{
    json_t *config = config_of(), *text;
    struct ste_gguf *g;
    struct ste_tokenizer *t = made(&g, json_object_get(row, "tokenizer"), config, 0), *scored;
    bool merges = false;
    size_t i;
    if (ste_gguf_bool(g, "tokenizer.ste.merges", &merges) && merges) {
        ste_gguf_set_bool(g, "tokenizer.ste.merges", false);
        assert_int_equal(ste_tokenizer_new(&scored, g, NULL), 0);
        json_array_foreach(texts, i, text)
        {
            check_ids(scored, "by score", json_string_value(text), false,
                      json_array_get(json_object_get(row, "plain"), i));
        }
        check_inert(scored);
        ste_tokenizer_free(scored);
    }
    ste_tokenizer_free(t);
    ste_gguf_close(g);
    json_decref(config);
}

static void scores_merge_as_the_list_does(void **state)
{
    each_family(check_scores);
}

/* A quarter of a megabyte without a break. Quadratic work would take minutes. */
static void check_long(const json_t *row, const json_t *texts)
{
    static const char *const units[] = {"a", "A", " ", "'", "1", "\n", "<", "the", "\u00e9", "\u4e2d", "\u0301", " \n"};
    json_t *config = config_of();
    struct ste_gguf *g;
    struct ste_tokenizer *t = made(&g, json_object_get(row, "tokenizer"), config, 0);
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        struct ste_buf b = STE_BUF_INIT;
        struct ste_tokens k = {0};
        clock_t start = clock();
        while (b.len < 1 << 18)
            ste_buf_adds(&b, units[i]);
        assert_int_equal(ste_tokenize(t, b.s, b.len, true, &k, NULL), 0);
        if ((double)(clock() - start) / CLOCKS_PER_SEC > 5)
            fail_msg("%s takes too long for '%s'", json_string_value(json_object_get(row, "name")), units[i]);
        ste_tokens_clear(&k);
        ste_buf_clear(&b);
    }
    ste_tokenizer_free(t);
    ste_gguf_close(g);
    json_decref(config);
}

static void long_runs_take_no_time(void **state)
{
    each_family(check_long);
}

/* ---- beginnings and ends ---- */

static json_t *family(const char *name)
{
    struct ste_jsonl *f;
    json_t *row = NULL, *t = NULL;
    assert_int_equal(ste_jsonl_open(&f, STE_SOURCE_DIR "/tests/fixtures/tokenizers.jsonl", NULL), 0);
    while (!t && ste_jsonl_next(f, &row, NULL) == 1) {
        if (json_is_string(json_object_get(row, "name")) &&
            !strcmp(json_string_value(json_object_get(row, "name")), name))
            t = json_incref(json_object_get(row, "tokenizer"));
        json_decref(row);
    }
    ste_jsonl_close(f);
    assert_non_null(t);
    return t;
}

static void a_prompt_has_one_bos_where_the_model_learnt_one(void **state)
{
    static const struct {
        const char *name;
        int add; /* add_bos_token; -1: not said */
        bool bos;
    } cases[] = {{"llama-bpe", -1, true}, {"llama-bpe", 0, false}, {"dbrx", -1, false}, {"dbrx", 1, true},
                 {"legacy", -1, true},    {"legacy", 0, false},    {"bare", 1, true}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *json = family(cases[i].name), *config = config_of();
        struct ste_tokens k = {0}, plain = {0};
        struct ste_gguf *g;
        if (cases[i].add >= 0)
            json_object_set_new(config, "add_bos_token", json_boolean(cases[i].add));
        struct ste_tokenizer *t = made(&g, json, config, 0);
        const int32_t bos = cases[i].bos ? ste_token_id(t, "<s>") : -1;
        assert_int_equal(ste_tokenizer_bos(t), bos);
        assert_int_equal(ste_tokenize(t, "hi", 2, true, &plain, NULL), 0);
        assert_int_equal(ste_tokenize_prompt(t, "hi", 2, true, &k, NULL), 0);
        assert_int_equal(k.n, plain.n + cases[i].bos);
        if (cases[i].bos)
            assert_int_equal(k.ids[0], bos);
        assert_memory_equal(k.ids + cases[i].bos, plain.ids, plain.n * sizeof *plain.ids);
        k.n = 0; /* it stands there already: no second one */
        assert_int_equal(ste_tokenize_prompt(t, "<s>hi", 5, true, &k, NULL), 0);
        assert_int_equal(k.ids[0], ste_token_id(t, "<s>"));
        assert_true(k.ids[1] != k.ids[0]);
        ste_tokens_clear(&k);
        ste_tokens_clear(&plain);
        ste_tokenizer_free(t);
        ste_gguf_close(g);
        json_decref(json);
        json_decref(config);
    }
}

/* A space goes before a text, not before one that goes on; a token that takes white space takes that of the next. */
static void text_that_goes_on_gets_no_space(void **state)
{
    json_t *json = family("legacy"), *config = config_of();
    struct ste_gguf *g;
    struct ste_tokenizer *t = made(&g, json, config, 0);
    struct ste_tokens k = {0};
    struct ste_buf b = STE_BUF_INIT;
    assert_int_equal(ste_tokenize(t, "the", 3, false, &k, NULL), 0);
    assert_int_equal(ste_tokenize_on(t, "re", 2, &k, NULL), 0);
    ste_tokens_add(&k, ste_token_id(t, "<|end|>"));
    assert_int_equal(ste_tokenize(t, "\n \tx", 4, false, &k, NULL), 0);
    ste_tokens_add(&k, ste_token_id(t, "[INST]"));
    assert_int_equal(ste_tokenize(t, " y", 2, false, &k, NULL), 0);
    ste_detokenize(t, k.ids, k.n, true, &b);
    assert_string_equal(b.s, " there<|end|> x[INST]  y");
    assert_int_equal(ste_token_end_of_turn(t), ste_token_id(t, "<|end|>"));
    assert_true(ste_token_ends_turn(t, ste_token_id(t, "</s>")));
    assert_true(ste_token_ends_turn(t, ste_token_id(t, "<|end|>")));
    assert_false(ste_token_ends_turn(t, ste_token_id(t, "[INST]")));
    ste_buf_clear(&b);
    ste_tokens_clear(&k);
    ste_tokenizer_free(t);
    ste_gguf_close(g);
    json_decref(json);
    json_decref(config);
}

/* ---- what is refused ---- */

static void refused(const char *what, json_t *json, int64_t n_vocab, const char *want)
{
    struct ste_gguf *g = ste_gguf_new("made");
    struct ste_tokenizer *t = NULL;
    struct ste_err err = {0};
    json_t *config = config_of();
    int rc = ste_tokenizer_json_keys(g, json, config, n_vocab, "tokenizer.json", &err);
    if (!rc)
        rc = ste_tokenizer_new(&t, g, &err);
    if (rc != STE_EINPUT || !strstr(err.msg, want))
        fail_msg("%s: '%s'", what, rc ? err.msg : "no error");
    ste_gguf_close(g);
    json_decref(config);
    json_decref(json);
}

static json_t *model_of(json_t *json)
{
    return json_object_get(json, "model");
}

static json_t *with(const char *family_name, const char *part, const char *value)
{
    json_t *json = family(family_name), *v = ste_json_parse(value, strlen(value), "value", NULL);
    assert_non_null(v);
    const char *dot = strchr(part, '.');
    if (dot)
        json_object_set_new(json_object_get(json, "model"), dot + 1, v);
    else
        json_object_set_new(json, part, v);
    return json;
}

static void what_lies_is_refused_in_a_sentence(void **state)
{
    json_t *j = family("dbrx");
    json_array_append_new(json_object_get(model_of(j), "merges"), json_pack("[s, s]", "a", "zz"));
    refused("unknown token", j, 0, "has a part or a result that is not in the vocabulary");
    j = family("dbrx");
    json_array_append_new(json_object_get(model_of(j), "merges"), json_pack("[s, s]", "", "a"));
    refused("cyclic", j, 0, "would go on for ever");
    j = family("dbrx");
    json_array_append_new(json_object_get(model_of(j), "merges"), json_string(" a"));
    refused("cyclic, as text", j, 0, "would go on for ever");
    j = family("dbrx");
    json_array_append_new(json_object_get(model_of(j), "merges"), json_integer(3));
    refused("no merge", j, 0, "does not join two tokens");
    j = family("dbrx");
    json_array_append_new(json_object_get(j, "added_tokens"), json_pack("{s:i, s:s}", "id", 500, "content", ""));
    refused("empty added token", j, 0, "is empty; take it out");
    j = family("dbrx");
    json_array_append_new(json_object_get(j, "added_tokens"), json_pack("{s:i, s:s}", "id", 7, "content", "<seven>"));
    refused("same id", j, 0, "have the same id, 7");
    j = family("dbrx");
    json_array_append_new(json_object_get(j, "added_tokens"), json_pack("{s:i, s:s}", "id", 500, "content", "a"));
    refused("two ids", j, 0, "'a' has two ids");
    j = family("dbrx");
    json_object_set_new(json_object_get(model_of(j), "vocab"), "zzz", json_integer(7));
    refused("same id in the vocabulary", j, 0, "have the same id, 7");
    j = family("dbrx");
    json_object_del(json_object_get(model_of(j), "vocab"), "a");
    refused("hole", j, 0, "the vocabulary has no token");
    j = family("dbrx");
    json_object_set_new(json_object_get(model_of(j), "vocab"), "zzz", json_integer(1 << 30));
    refused("large id", j, 0, "its ids go up to 16777216 or more");
    j = family("dbrx");
    json_array_append_new(json_object_get(j, "added_tokens"),
                          json_pack("{s:I, s:s}", "id", (json_int_t)INT64_MAX, "content", "x!"));
    refused("largest id", j, 0, "its ids go up to 16777216 or more");
    refused("large vocabulary", family("dbrx"), INT64_MAX, "is none");
    j = family("dbrx");
    json_object_set_new(json_object_get(model_of(j), "vocab"), "zzz", json_integer(-1));
    refused("negative id", j, 0, "the id of 'zzz' is none");
    refused("fewer rows", family("dbrx"), 300, "the model's vocabulary 300");
    refused("no merges", with("dbrx", "model.merges", "[]"), 0, "has no merges");
    refused("no vocabulary", with("dbrx", "model.vocab", "7"), 0, "ste reads BPE");
}

static void what_ste_does_not_do_is_named(void **state)
{
    static const struct {
        const char *family, *part, *value, *want;
    } cases[] = {
        {"dbrx", "model.type", "\"Unigram\"", "model of type 'Unigram'"},
        {"dbrx", "model.dropout", "0.1", "dropout"},
        {"dbrx", "normalizer", "{\"type\": \"Lowercase\"}", "normalizer has 'Lowercase'"},
        {"dbrx", "pre_tokenizer", "{\"type\": \"BertPreTokenizer\"}", "pre_tokenizer has 'BertPreTokenizer'"},
        {"dbrx", "pre_tokenizer", "{\"type\": \"ByteLevel\", \"add_prefix_space\": true}", "add_prefix_space"},
        {"dbrx", "pre_tokenizer",
         "{\"type\": \"Split\", \"pattern\": {\"Regex\": \" \"}, \"behavior\": \"MergedWithNext\"}", "drops or joins"},
        {"dbrx", "pre_tokenizer", "null", "neither byte-level"},
        {"first", "pre_tokenizer", "{\"type\": \"Metaspace\", \"replacement\": \"\u2581\"}", "with split"},
        {"first", "model.byte_fallback", "false", "no byte_fallback"},
    };
    static const char *const expressions[][2] = {{"[a[b]]", "a class within a class"},
                                                 {"[a&&b]", "&& in a class"},
                                                 {"\\\\h+", "\\h"},
                                                 {"a{1,3}+", "behind an interval"},
                                                 {"(a", "cannot compile"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refused(cases[i].value, with(cases[i].family, cases[i].part, cases[i].value), 0, cases[i].want);
    for (size_t i = 0; i < sizeof expressions / sizeof *expressions; i++) {
        char *v = ste_xasprintf("{\"type\":\"Sequence\", \"pretokenizers\": [{\"type\": \"Split\", \"behavior\": "
                                "\"Isolated\", \"pattern\": {\"Regex\": \"%s\"}}, {\"type\": \"ByteLevel\", "
                                "\"add_prefix_space\": false, \"use_regex\": false}]}",
                                expressions[i][0]);
        refused(expressions[i][0], with("dbrx", "pre_tokenizer", v), 0, expressions[i][1]);
        ste_xfree(v);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(families_ids_equal_the_reference),
        cmocka_unit_test(scores_merge_as_the_list_does),
        cmocka_unit_test(long_runs_take_no_time),
        cmocka_unit_test(a_prompt_has_one_bos_where_the_model_learnt_one),
        cmocka_unit_test(text_that_goes_on_gets_no_space),
        cmocka_unit_test(what_lies_is_refused_in_a_sentence),
        cmocka_unit_test(what_ste_does_not_do_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
