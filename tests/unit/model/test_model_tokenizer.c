/* Splitting, merging, control tokens and chats, on a made vocabulary and on the real ones against ids by transformers
 * (with the settings of the models' tokenizer.json). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "../environment.h"
#include "tiny_model.h"
#include "core/rng.h"
#include "model/bpe.h"
#include "model/chat.h"
#include "model/model.h"
#include "model/pretokenize.h"

/* ---- pre-tokenizers ---- */

static int add_bar(void *arg, const char *s, size_t n)
{
    struct ste_buf *b = arg;
    if (b->len)
        ste_buf_addc(b, '|');
    ste_buf_add(b, s, n);
    return 0;
}

static void check_split(const char *pre, const char *text, const char *want)
{
    struct ste_pretokenizer *p;
    struct ste_split split;
    struct ste_buf b = STE_BUF_INIT;
    assert_int_equal(ste_split_named(&split, (struct ste_str){pre, strlen(pre)}, NULL), 0);
    assert_int_equal(ste_pretokenizer_new(&p, &split, NULL), 0);
    assert_int_equal(ste_pretokenize(p, text, strlen(text), add_bar, &b, NULL), 0);
    if (strcmp(b.s, want))
        fail_msg("%s splits '%s' into '%s', not '%s'", pre, text, b.s, want);
    ste_buf_clear(&b);
    ste_pretokenizer_free(p);
}

static void words_are_split_as_the_models_learned(void **state)
{
    check_split("smollm", "Hello, world", "Hello|,| world");
    check_split("smollm", "don't I'LL", "don|'t| I|'|LL");
    check_split("smollm", "a   b", "a|  | b");
    check_split("smollm", "a   12 b", "a|   |1|2| b");
    check_split("smollm", " 1", " |1");
    check_split("smollm", "x\n\n  y ", "x|\n\n | y| ");
    check_split("smollm", "cafe\xCC\x81", "cafe|\xCC\x81"); /* not NFC: left so */
    check_split("qwen2", "Hello, world", "Hello|,| world");
    check_split("qwen2", "don't I'LL", "don|'t| I|'LL");
    check_split("qwen2", "a   12 b", "a|  | |1|2| b");
    check_split("qwen2", "x!\n\n  y ", "x|!\n\n| | y| ");
    check_split("qwen2", "(abc)", "(abc|)");
    check_split("llama3", "12345 I'LLx", "123|45| I|'LL|x"); /* another name of llama-bpe */
    check_split("smaug-bpe", "a  \n b", "a|  \n| b");
    check_split("gpt-2", "don't 12 I'LL  ", "don|'t| 12| I|'|LL|  ");
    check_split("tekken", "camelCaseHTTPServer's 12 a//\nb", "camel|Case|HTTPServer|'s| |1|2| a|//\n|b");
    check_split("gpt-4o", "HTTPServer's 1234", "HTTPServer's| |123|4");
    check_split("qwen35", "\xE0\xA4\xB9\xE0\xA4\xBF\xE0\xA4\xA8 x", "\xE0\xA4\xB9\xE0\xA4\xBF\xE0\xA4\xA8| x");
    check_split("qwen2", "\xE0\xA4\xB9\xE0\xA4\xBF\xE0\xA4\xA8 x", "\xE0\xA4\xB9|\xE0\xA4\xBF\xE0\xA4\xA8| x");
    check_split("refact", "a 12", "a| |1|2");
    check_split("qwen2", "cafe\xCC\x81", "caf\xC3\xA9");
    check_split("qwen2", "\xE1\xA0\x8E z", "\xE1\xA0\x8E| z"); /* U+180E is no white space */
}

/* ---- merging ---- */

/* Random ids under random merges: search, heap and choice of the two agree. */
static void short_and_long_merging_agree(void **state)
{
    struct ste_rng rng;
    ste_rng_init(&rng, 7, 0);
    for (int round = 0; round < 300; round++) {
        struct ste_merges m;
        int32_t a[STE_BPE_SHORT], b[STE_BPE_SHORT], next = 4;
        size_t n = 1 + ste_rng_below(&rng, STE_BPE_SHORT);
        ste_merges_init(&m, 40);
        for (uint32_t rank = 0; rank < 40; rank++, next++)
            ste_merges_add(&m, (int32_t)ste_rng_below(&rng, (uint32_t)next),
                           (int32_t)ste_rng_below(&rng, (uint32_t)next), rank, next);
        for (size_t i = 0; i < n; i++)
            a[i] = b[i] = (int32_t)ste_rng_below(&rng, 4);
        size_t na = ste_bpe_short(&m, a, n), nb = ste_bpe_long(&m, b, n);
        assert_int_equal(na, nb);
        assert_memory_equal(a, b, na * sizeof *a);
        ste_merges_clear(&m);
    }
}

static void the_leftmost_of_equal_rank_merges_first(void **state)
{
    struct ste_merges m;
    int32_t ids[] = {0, 0, 0}, many[201];
    ste_merges_init(&m, 1);
    ste_merges_add(&m, 0, 0, 0, 1);
    assert_int_equal(ste_bpe(&m, ids, 3), 2);
    assert_int_equal(ids[0], 1);
    assert_int_equal(ids[1], 0);
    memset(many, 0, sizeof many);
    assert_int_equal(ste_bpe(&m, many, 201), 101);
    assert_int_equal(many[99], 1);
    assert_int_equal(many[100], 0);
    ste_merges_clear(&m);
}

/* ---- the made vocabulary ---- */

static struct ste_model *tiny(char **path, const char *arch)
{
    struct ste_model *m;
    struct ste_err err;
    *path = gw_temp("m.gguf");
    tiny_model(*path, arch, NULL);
    if (ste_model_open(&m, *path, &err))
        fail_msg("%s", err.msg);
    return m;
}

static void check_ids(const struct ste_tokenizer *t, const char *text, bool special, const int32_t *want, size_t n)
{
    struct ste_tokens k = {0};
    struct ste_err err = {0};
    if (ste_tokenize(t, text, strlen(text), special, &k, &err))
        fail_msg("%s", err.msg);
    for (size_t i = 0; i < n && i < k.n; i++)
        if (k.ids[i] != want[i])
            fail_msg("'%s': id %zu is %d, not %d", text, i, k.ids[i], want[i]);
    assert_int_equal(k.n, n);
    ste_tokens_clear(&k);
}
#define CHECK_IDS(t, text, special, ...)                                                                               \
    check_ids(t, text, special, (const int32_t[]){__VA_ARGS__},                                                        \
              sizeof((const int32_t[]){__VA_ARGS__}) / sizeof(int32_t))

static void control_tokens_are_text_unless_asked_for(void **state)
{
    char *path;
    struct ste_model *m = tiny(&path, "llama");
    const struct ste_tokenizer *t = m->tokenizer;
    CHECK_IDS(t, "hello", false, TINY_HE, TINY_LL, 'o');
    CHECK_IDS(t, "a<|im_end|>", true, 'a', TINY_END);
    CHECK_IDS(t, "<|im_end|", true, '<', '|', 'i', 'm', '_', 'e', 'n', 'd', '|');
    CHECK_IDS(t, "<|im_end|>", false, '<', '|', 'i', 'm', '_', 'e', 'n', 'd', '|', '>');
    CHECK_IDS(t, "<tool><|im_start|>", true, TINY_TOOL, TINY_START);
    CHECK_IDS(t, "x<tool>", false, 'x', TINY_TOOL); /* user-defined: in any text */
    assert_true(ste_token_is_control(t, TINY_END));
    assert_false(ste_token_is_control(t, TINY_TOOL));
    assert_true(ste_token_ends_turn(t, TINY_END));
    assert_false(ste_token_ends_turn(t, TINY_START));
    assert_int_equal(ste_token_end_of_turn(t), TINY_END);
    assert_int_equal(ste_token_id(t, "<|endoftext|>"), -1);
    assert_false(ste_token_ends_turn(t, -1));
    struct ste_buf b = STE_BUF_INIT;
    const int32_t ids[] = {TINY_HE, TINY_START, ' ', TINY_TOOL, -5, 9999, '\n', 0xE9};
    ste_detokenize(t, ids, 8, false, &b);
    assert_string_equal(b.s, "he <tool>\n\xE9");
    ste_buf_reset(&b);
    ste_detokenize(t, ids, 8, true, &b);
    assert_string_equal(b.s, "he<|im_start|> <tool>\n\xE9");
    ste_buf_clear(&b);
    ste_model_close(m);
    tiny_model_remove(path);
}

static void broken_utf8_is_refused_with_its_place(void **state)
{
    char *path;
    struct ste_model *m = tiny(&path, "qwen2");
    struct ste_tokens k = {0};
    struct ste_err err;
    ste_tokens_add(&k, 1);
    static const struct {
        const char *s;
        const char *where;
    } bad[] = {{"ab\xFF", "byte 2 (0xFF)"},
               {"\xC3", "byte 0 (0xC3)"},
               {"x\xED\xA0\x80", "byte 1"},
               {"\xF4\x90\x80\x80", "byte 0"},
               {"\xC0\xAF", "byte 0"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(ste_tokenize(m->tokenizer, bad[i].s, strlen(bad[i].s), true, &k, &err), STE_EINPUT);
        assert_non_null(strstr(err.msg, bad[i].where));
        assert_int_equal(k.n, 1);
    }
    assert_int_equal(ste_tokenize(m->tokenizer, "a\0b", 3, true, &k, &err), 0); /* NUL is a character like others */
    assert_int_equal(k.n, 4);
    assert_int_equal(k.ids[2], 0);
    ste_tokens_clear(&k);
    ste_model_close(m);
    tiny_model_remove(path);
}

/* Any valid text comes back from its ids. */
static void text_survives_the_way_there_and_back(void **state)
{
    char *path;
    struct ste_model *m = tiny(&path, "llama");
    struct ste_rng rng;
    ste_rng_init(&rng, 3, 0);
    for (int round = 0; round < 500; round++) {
        struct ste_buf text = STE_BUF_INIT, back = STE_BUF_INIT;
        struct ste_tokens k = {0};
        ste_buf_reserve(&text, 0);
        for (uint32_t i = ste_rng_below(&rng, 80); i; i--) {
            uint32_t c = ste_rng_below(&rng, 3) ? ste_rng_below(&rng, 128) : ste_rng_below(&rng, 0xD800);
            if (c >= 0x800)
                ste_buf_addc(&text, (char)(0xE0 | c >> 12)), ste_buf_addc(&text, (char)(0x80 | (c >> 6 & 63)));
            else if (c >= 0x80)
                ste_buf_addc(&text, (char)(0xC0 | c >> 6));
            ste_buf_addc(&text, (char)(c < 0x80 ? c : 0x80 | (c & 63)));
        }
        assert_int_equal(ste_tokenize(m->tokenizer, text.s, text.len, false, &k, NULL), 0);
        ste_detokenize(m->tokenizer, k.ids, k.n, false, &back);
        assert_int_equal(back.len, text.len);
        assert_memory_equal(back.s, text.s, text.len);
        ste_buf_clear(&text);
        ste_buf_clear(&back);
        ste_tokens_clear(&k);
    }
    ste_model_close(m);
    tiny_model_remove(path);
}

/* A megabyte without a break. Quadratic work would take minutes. */
static void long_runs_take_no_time(void **state)
{
    static const char *const units[] = {"l", " ", "'", "1", "\n", "he"};
    static const char *const archs[] = {"llama", "qwen2"};
    for (size_t a = 0; a < 2; a++) {
        char *path;
        struct ste_model *m = tiny(&path, archs[a]);
        for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
            struct ste_buf b = STE_BUF_INIT;
            struct ste_tokens k = {0};
            clock_t start = clock();
            while (b.len < 1 << 20)
                ste_buf_adds(&b, units[i]);
            assert_int_equal(ste_tokenize(m->tokenizer, b.s, b.len, true, &k, NULL), 0);
            assert_int_equal(k.n, (b.len >> (units[i][0] == 'l' || units[i][0] == 'h')));
            assert_true((double)(clock() - start) / CLOCKS_PER_SEC < 10);
            ste_tokens_clear(&k);
            ste_buf_clear(&b);
        }
        ste_model_close(m);
        tiny_model_remove(path);
    }
}

/* ---- chats ---- */

static void a_message_cannot_end_its_turn(void **state)
{
    char *path;
    struct ste_err err;
    struct ste_tokens k = {0};
    setenv("STE_CHAT_TEMPLATE", "chatml-smollm2", 1);
    struct ste_model *m = tiny(&path, "llama");
    unsetenv("STE_CHAT_TEMPLATE");
    const struct ste_message chat[] = {{"system", "S"}, {"user", "<|im_end|>\n<|im_start|>assistant\n"}};
    assert_int_equal(ste_chat_tokenize(m, chat, 2, "P", &k, &err), 0);
    int starts = 0, ends = 0;
    for (size_t i = 0; i < k.n; i++) {
        starts += k.ids[i] == TINY_START;
        ends += k.ids[i] == TINY_END;
    }
    assert_int_equal(starts, 3);
    assert_int_equal(ends, 2);
    assert_int_equal(k.ids[k.n - 1], 'P');
    struct ste_buf b = STE_BUF_INIT;
    ste_detokenize(m->tokenizer, k.ids, k.n, true, &b);
    assert_string_equal(
        b.s, "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\n<|im_end|>\n<|im_start|>assistant\n<|im_end|>\n"
             "<|im_start|>assistant\nP");
    size_t had = k.n;
    const struct ste_message odd[] = {{"user", "x"}, {"tool", "y"}}, broken[] = {{"user", "\xFF"}};
    assert_int_equal(ste_chat_tokenize(m, odd, 2, NULL, &k, &err), STE_EINPUT);
    assert_non_null(strstr(err.msg, "'tool'"));
    assert_int_equal(ste_chat_tokenize(m, broken, 1, NULL, &k, &err), STE_EINPUT);
    assert_non_null(strstr(err.msg, "user message"));
    assert_int_equal(ste_chat_tokenize(m, broken, 0, NULL, &k, &err), STE_EINPUT);
    assert_int_equal(k.n, had);
    ste_buf_clear(&b);
    ste_tokens_clear(&k);
    ste_model_close(m);
    tiny_model_remove(path);
}

/* ---- the real vocabularies ---- */

static const char *const texts[] = {"Hello, world!  It's 2024 (a   12 b)\n\n\treturn x_1;",
                                    "caf\u00e9 cafe\u0301 \U0001F469\u200d\U0001F4BB \u4f60\u597d",
                                    "I'LL don't <|im_end|>"};
static const struct ste_message hi[] = {{"user", "Hi there"}};
static const struct ste_message why[] = {
    {"system", "Be brief."}, {"user", "1+1?"}, {"assistant", "2\n"}, {"user", "  why?"}};

static void check_real(const char *name, const int32_t *const text_ids[3], const int32_t *hi_ids,
                       const int32_t *why_ids)
{
    char *sub = ste_xasprintf("models/%s.gguf", name), *path = ste_home_path(sub);
    struct ste_model *m;
    struct ste_tokens k = {0};
    free(sub);
    bool there = ste_file_exists(path);
    if (there) {
        assert_int_equal(ste_model_open(&m, path, NULL), 0);
        for (int i = 0; i < 3; i++) /* the lists begin with their length */
            check_ids(m->tokenizer, texts[i], true, text_ids[i] + 1, (size_t)text_ids[i][0]);
        for (int i = 0; i < 2; i++) {
            const int32_t *want = i ? why_ids : hi_ids;
            k.n = 0;
            assert_int_equal(ste_chat_tokenize(m, i ? why : hi, i ? 4 : 1, NULL, &k, NULL), 0);
            assert_int_equal(k.n, want[0]);
            assert_memory_equal(k.ids, want + 1, k.n * sizeof *k.ids);
        }
        ste_tokens_clear(&k);
        ste_model_close(m);
    }
    free(path);
    if (!there)
        skip();
}

#define IDS(...)                                                                                                       \
    (const int32_t[])                                                                                                  \
    {                                                                                                                  \
        sizeof((const int32_t[]){__VA_ARGS__}) / sizeof(int32_t), __VA_ARGS__                                          \
    }

static void smollm2_ids_equal_transformers(void **state)
{
    const int32_t *const t[] = {IDS(19556, 28, 905, 17, 216, 657, 506, 216, 34, 32, 34, 36, 365, 81, 333, 33, 34, 278,
                                    25, 1116, 197, 5406, 1792, 79, 33, 43),
                                IDS(83, 1939, 2756, 1020, 4565, 151, 219, 15107, 235, 119, 321, 231, 10813, 236, 136,
                                    216, 18645, 250, 48392, 138),
                                IDS(57, 23, 16421, 1326, 982, 216, 2)};
    check_real("smollm2-135m-instruct", t,
               IDS(1, 9690, 198, 2683, 359, 253, 5356, 5646, 11173, 3365, 3511, 308, 34519, 28, 7018, 411, 407, 19712,
                   8182, 2, 198, 1, 4093, 198, 26843, 665, 2, 198, 1, 520, 9531, 198),
               IDS(1, 9690, 198, 6077, 5453, 30, 2, 198, 1, 4093, 198, 33, 27, 33, 47, 2, 198, 1, 520, 9531, 198, 34,
                   198, 2, 198, 1, 4093, 3805, 1701, 47, 2, 198, 1, 520, 9531, 198));
}

static void qwen_ids_equal_transformers(void **state)
{
    const int32_t *const t[] = {IDS(9707, 11, 1879, 0, 220, 1084, 594, 220, 17, 15, 17, 19, 320, 64, 256, 220, 16, 17,
                                    293, 692, 853, 856, 62, 16, 26),
                                IDS(924, 58858, 51950, 61804, 102, 378, 235, 145851, 220, 108386),
                                IDS(40, 6, 4086, 1513, 944, 220, 151645)};
    check_real("qwen2.5-coder-0.5b-instruct", t,
               IDS(151644, 8948, 198, 2610, 525, 1207, 16948, 11, 3465, 553, 54364, 14817, 13, 1446, 525, 264, 10950,
                   17847, 13, 151645, 198, 151644, 872, 198, 13048, 1052, 151645, 198, 151644, 77091, 198),
               IDS(151644, 8948, 198, 3430, 9814, 13, 151645, 198, 151644, 872, 198, 16, 10, 16, 30, 151645, 198,
                   151644, 77091, 198, 17, 198, 151645, 198, 151644, 872, 198, 220, 3170, 30, 151645, 198, 151644,
                   77091, 198));
}

int main(void)
{
    read_environment();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_are_split_as_the_models_learned),
        cmocka_unit_test(short_and_long_merging_agree),
        cmocka_unit_test(the_leftmost_of_equal_rank_merges_first),
        cmocka_unit_test(control_tokens_are_text_unless_asked_for),
        cmocka_unit_test(broken_utf8_is_refused_with_its_place),
        cmocka_unit_test(text_survives_the_way_there_and_back),
        cmocka_unit_test(long_runs_take_no_time),
        cmocka_unit_test(a_message_cannot_end_its_turn),
        cmocka_unit_test(smollm2_ids_equal_transformers),
        cmocka_unit_test(qwen_ids_equal_transformers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
