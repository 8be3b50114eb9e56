/* Opening whole models: the real SmolLM2 when it is there, and small made ones with one thing wrong each. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <cmocka.h>

#include "../environment.h"
#include "tiny_model.h"
#include "model/chat.h"
#include "model/model.h"

static void a_made_model_opens(void **state)
{
    const char *archs[] = {"llama", "qwen2"};
    for (int i = 0; i < 2; i++) {
        char *path = gw_temp("m.gguf");
        struct ste_err err = {0};
        struct ste_model *m;
        tiny_model(path, archs[i], NULL);
        if (ste_model_open(&m, path, &err))
            fail_msg("%s", err.msg);
        assert_string_equal(m->hp.arch->name, archs[i]);
        assert_int_equal(m->hp.n_layers, 2);
        assert_int_equal(m->hp.head_dim, 4);
        assert_int_equal(m->hp.n_kv_heads, 2);
        assert_int_equal(m->hp.rope, i ? STE_ROPE_HALVES : STE_ROPE_ADJACENT);
        assert_ptr_equal(m->output, m->embedding); /* tied */
        assert_int_equal(m->layers[1].bias[STE_K] != NULL, i == 1);
        assert_null(m->layers[1].bias[STE_O]);
        assert_int_equal(strlen(m->sha256), 64);
        ste_model_close(m);
        tiny_model_remove(path);
    }
}

static void the_hash_is_kept_beside_the_file(void **state)
{
    char *path = gw_temp("m.gguf"), *beside = ste_xasprintf("%s.sha256", path);
    struct ste_model *m;
    struct ste_buf b = STE_BUF_INIT;
    char hash[65];
    tiny_model(path, "llama", NULL);
    assert_int_equal(ste_model_open(&m, path, NULL), 0);
    strcpy(hash, m->sha256);
    ste_model_close(m);
    assert_int_equal(ste_file_read(beside, 300, &b, NULL), 0);
    assert_memory_equal(b.s, hash, 64);
    /* What is written there is believed while size and time fit ... */
    b.s[0] = b.s[0] == '0' ? '1' : '0';
    gw_write(beside, b.s, b.len);
    assert_int_equal(ste_model_open(&m, path, NULL), 0);
    assert_int_equal(m->sha256[0], b.s[0]);
    ste_model_close(m);
    /* ... and no longer than that. */
    char *time = strrchr(b.s, ' ');
    time[1] = time[1] == '1' ? '2' : '1';
    gw_write(beside, b.s, b.len);
    assert_int_equal(ste_model_open(&m, path, NULL), 0);
    assert_string_equal(m->sha256, hash);
    ste_model_close(m);
    ste_buf_clear(&b);
    free(beside);
    tiny_model_remove(path);
}

static void what_is_wrong_is_named(void **state)
{
    static const char *const wrong[][2] = {
        {"no arch", "does not name its architecture"},
        {"other arch", "architecture 'mamba' (state-space layers); ste runs llama"},
        {"no layers", "llama.block_count"},
        {"heads", "cannot share"},
        {"width", "does not divide"},
        {"eps", "not a positive number"},
        {"scaling", "stretches its positions (llama.rope.scaling.type is ntk)"},
        {"factor", "llama.rope.scaling.factor is -4, not a positive number"},
        {"window", "llama.attention.sliding_window is -1"},
        {"part", "is part 2 of 5 of a model by its keys"},
        {"adapter", "is a LoRA adapter for llama.cpp, not a model"},
        {"mmproj", "is no model: its general.type is 'mmproj'"},
        {"experts", "mixture of experts"},
        {"rope dims", "turns 3 of a head's 4 dimensions"},
        {"missing", "lacks the tensor 'blk.1.ffn_up.weight'"},
        {"shape", "tensor 'blk.0.attn_q.weight' is 8 x 6, its keys say 8 x 8"},
        {"norm type", "type F16, not F32"},
        {"sinks", "'blk.0.attn_sinks.weight', which ste does not compute"},
        {"bias shape", "tensor 'blk.0.attn_k.bias' is 6 x 1, its keys say 8 x 1"},
        {"layers of two widths", "llama.feed_forward_length is 16 for the first and 8 for layer 1"},
        {"vocab", "tensor 'token_embd.weight'"},
        {"no tokens", "has no vocabulary"},
        {"types", "does not give a type"},
        {"no merges", "has no merges"},
        {"merge form", "merge 1 is not two tokens"},
        {"merge vocab", "merge 1 has a part"},
        {"no eos", "end-of-sequence"},
        {"pre", "pre-tokenizer 'deepseek-llm' is not known"},
        {"no pre", "does not name its pre-tokenizer"},
        {"kind", "tokenizer of kind 'spm'"},
    };
    char *path = gw_temp("m.gguf");
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct ste_err err = {0};
        struct ste_model *m;
        tiny_model(path, "llama", wrong[i][0]);
        assert_int_equal(ste_model_open(&m, path, &err), STE_EINPUT);
        assert_null(m);
        if (!strstr(err.msg, wrong[i][1]) || !strstr(err.msg, path))
            fail_msg("%s: '%s'", wrong[i][0], err.msg);
    }
    static const char *const right[] = {"factor 1", "old factor", "whole factor",       "none",
                                        "one part", "bias",       "layers of one width"};
    for (size_t i = 0; i < sizeof right / sizeof *right; i++) {
        struct ste_err err = {0};
        struct ste_model *m;
        tiny_model(path, "llama", right[i]);
        if (ste_model_open(&m, path, &err))
            fail_msg("%s: '%s'", right[i], err.msg);
        ste_model_close(m);
    }
    tiny_model_remove(path);
}

/* One byte flipped at every place before the weights: the model is refused in a sentence, or can be used in bounds. The
 * time of change is set back each time, so that the kept hash serves and nothing is synced. */
static void no_flipped_byte_is_followed_astray(void **state)
{
    static const uint8_t flips[] = {0x01, 0x80, 0xFF};
    const struct timespec times[2] = {{1000, 0}, {1000, 0}};
    char *path = gw_temp("m.gguf");
    struct ste_buf b = STE_BUF_INIT, text = STE_BUF_INIT;
    struct ste_tokens k = {0};
    struct ste_model *m;
    int taken = 0, refused = 0;
    setenv("STE_CHAT_TEMPLATE", "chatml-smollm2", 1);
    tiny_model(path, "qwen2", NULL);
    assert_int_equal(ste_file_read(path, 1 << 20, &b, NULL), 0);
    const char *weights = memmem(b.s, b.len, "blk.1.ffn_norm.weight", 21);
    assert_non_null(weights);
    for (size_t at = 0; at < (size_t)(weights - b.s) + 60; at++)
        for (size_t f = 0; f < sizeof flips; f++) {
            struct ste_err err = {0};
            b.s[at] ^= (char)flips[f];
            gw_write(path, b.s, b.len);
            assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
            if (ste_model_open(&m, path, &err)) {
                refused++;
                assert_non_null(strstr(err.msg, path));
                assert_null(strchr(err.msg, '\n'));
            } else {
                const struct ste_message hello = {"user", "hello, <tool> wo\xCC\x81rld 12"};
                taken++;
                k.n = 0;
                ste_buf_reset(&text);
                if (ste_chat_tokenize(m, &hello, 1, NULL, &k, &err) == 0)
                    ste_detokenize(m->tokenizer, k.ids, k.n, true, &text);
                for (size_t i = 0; i < k.n; i++)
                    assert_true(k.ids[i] >= 0 && k.ids[i] < m->hp.n_vocab);
                ste_model_close(m);
            }
            b.s[at] ^= (char)flips[f];
        }
    assert_true(taken > 1000 && refused > 1000);
    unsetenv("STE_CHAT_TEMPLATE");
    ste_tokens_clear(&k);
    ste_buf_clear(&b);
    ste_buf_clear(&text);
    tiny_model_remove(path);
}

static void a_template_can_be_named(void **state)
{
    char *path = gw_temp("m.gguf");
    struct ste_model *m;
    struct ste_err err = {0};
    struct ste_tokens ids = {0};
    const struct ste_message hello = {"user", "hi"};
    tiny_model(path, "llama", NULL);
    assert_int_equal(ste_model_open(&m, path, NULL), 0);
    assert_int_equal(ste_chat_tokenize(m, &hello, 1, NULL, &ids, &err), STE_EINPUT);
    assert_non_null(strstr(err.msg, "--chat-template (chatml-smollm2)"));
    ste_model_close(m);
    setenv("STE_CHAT_TEMPLATE", "chatml-qwen2.5", 1);
    assert_int_equal(ste_model_open(&m, path, NULL), 0);
    assert_int_equal(ste_chat_tokenize(m, &hello, 1, NULL, &ids, NULL), 0);
    assert_true(ids.n > 10);
    ste_model_close(m);
    setenv("STE_CHAT_TEMPLATE", "jinja", 1);
    assert_int_equal(ste_model_open(&m, path, &err), STE_EUSAGE);
    assert_non_null(strstr(err.msg, "chatml-qwen2.5, "));
    setenv("STE_CHAT_TEMPLATE", "llama3", 1);
    assert_int_equal(ste_model_open(&m, path, &err), STE_EUSAGE);
    assert_non_null(strstr(err.msg, "<|start_header_id|>"));
    unsetenv("STE_CHAT_TEMPLATE");
    setenv("STE_CHAT_DATE", "2024-02-30", 1);
    assert_int_equal(ste_model_open(&m, path, &err), STE_EUSAGE);
    assert_non_null(strstr(err.msg, "'2024-02-30'"));
    unsetenv("STE_CHAT_DATE");
    ste_tokens_clear(&ids);
    tiny_model_remove(path);
}

/* The text of the prompt of N messages under the template TEXT of a file. */
static void check_chat(const char *template, const struct ste_message *messages, size_t n, const char *want)
{
    struct ste_gguf *g;
    struct ste_buf text = STE_BUF_INIT;
    struct ste_err err = {0};
    struct ste_tokens ids = {0};
    char *path = gw_temp("m.gguf");
    tiny_model(path, "llama", NULL);
    assert_int_equal(ste_gguf_open(&g, path, NULL), 0);
    ste_gguf_set_string(g, "tokenizer.chat_template", template, strlen(template));
    struct ste_model m = {.gguf = g};
    assert_int_equal(ste_tokenizer_new(&m.tokenizer, g, NULL), 0);
    assert_int_equal(ste_chat_choose(&m, NULL, "2025-12-01", NULL), 0);
    if (ste_chat_tokenize(&m, messages, n, "p", &ids, &err))
        ste_buf_adds(&text, err.msg);
    ste_detokenize(m.tokenizer, ids.ids, ids.n, true, &text);
    if (!strstr(text.s, want))
        fail_msg("%s: '%s', not '%s'", template, text.s, want);
    ste_buf_clear(&text);
    ste_tokens_clear(&ids);
    ste_chat_free(m.chat);
    ste_tokenizer_free(m.tokenizer);
    ste_gguf_close(g);
    tiny_model_remove(path);
}

static void a_file_has_its_own_template(void **state)
{
    const struct ste_message m[] = {{"system", "S"}, {"user", "U"}, {"assistant", "A"}, {"user", "V"}};
    check_chat("{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}|", m, 4,
               "<system>S<user>U<assistant>A<user>V|p");
    /* one that has no place for a system message */
    check_chat("{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('none') }}{% endif %}<{{ "
               "m.content }}>{% endfor %}",
               m, 4, "<S\n\nU><A><V>p");
    check_chat("{% for m in messages if m.role != 'system' %}<{{ m.content }}>{% endfor %}", m, 2, "<S\n\nU>p");
    /* one that reads a switch in it has a place for it */
    check_chat("{{ messages[0].content|replace('S', '') }}{% for m in messages[1:] %}<{{ m.content }}>{% endfor %}", m,
               2, "<U>p");
    check_chat("{{ strftime_now('%d %b %Y') }}{{ enable_thinking }}{{ tools is none }}{% for m in messages %}{{ m.content }}{% endfor %}", m, 2,
               "01 Dec 2025FalseTrueSUp");
    check_chat("x\n{{ y.z }}", m, 2, "m.gguf: the chat template, line 2: 'y' is undefined");
    check_chat("{% if %}", m, 2, "m.gguf: the chat template, line 1: ");
    check_chat("{{ messages[0].content }}", m, 2, "the chat template shows nothing of the last message");
    check_chat("{{ raise_exception('odd') }}", m, 2, "line 1: the template says: odd");
}

static void smollm2_opens(void **state)
{
    char *path = ste_home_path("models/smollm2-135m-instruct.gguf");
    struct ste_model *m;
    struct ste_err err = {0};
    if (!ste_file_exists(path)) {
        free(path);
        skip();
    }
    if (ste_model_open(&m, path, &err))
        fail_msg("%s", err.msg);
    assert_int_equal(m->hp.n_layers, 30);
    assert_int_equal(m->hp.d_model, 576);
    assert_int_equal(m->hp.n_heads, 9);
    assert_int_equal(m->hp.n_kv_heads, 3);
    assert_int_equal(m->hp.head_dim, 64);
    assert_int_equal(m->hp.d_ff, 1536);
    assert_int_equal(m->hp.n_vocab, 49152);
    assert_true(m->hp.rope_base == 100000);
    assert_string_equal(m->sha256, "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53");
    ste_model_close(m);
    free(path);
}

int main(void)
{
    read_environment();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_made_model_opens),      cmocka_unit_test(the_hash_is_kept_beside_the_file),
        cmocka_unit_test(what_is_wrong_is_named),  cmocka_unit_test(no_flipped_byte_is_followed_astray),
        cmocka_unit_test(a_template_can_be_named), cmocka_unit_test(a_file_has_its_own_template),
        cmocka_unit_test(smollm2_opens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
