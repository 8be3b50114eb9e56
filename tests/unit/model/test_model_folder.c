/* Folders of Hugging Face's: what they become, what is wrong with them by name, and the file that is made of one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "core/json.h"
#include "model/convert.h"
#include "model/folder.h"
#include "model/model.h"
#include "model/safetensors.h"
#include "tiny_model.h"

enum { D = 8, FF = 16, MOST = 40 };

/* ---- a folder of a few kilobytes ---- */

static void put(const char *dir, const char *name, const char *text)
{
    char *path = ste_path_join(dir, name);
    gw_write(path, text, strlen(text));
    free(path);
}

static void put_json(const char *dir, const char *name, json_t *j)
{
    char *text = json_dumps(j, 0);
    put(dir, name, text);
    json_decref(j);
    free(text);
}

static void drop(const char *dir, const char *name)
{
    char *path = ste_path_join(dir, name);
    unlink(path);
    free(path);
}

static json_t *config(const char *type)
{
    return json_pack("{s:[s],s:s,s:i,s:i,s:i,s:i,s:i,s:f,s:i,s:b}", "architectures", "LlamaForCausalLM", "model_type",
                     type, "num_hidden_layers", 2, "hidden_size", D, "intermediate_size", FF, "num_attention_heads", 2,
                     "max_position_embeddings", 64, "rms_norm_eps", 1e-5, "vocab_size", TINY_VOCAB,
                     "tie_word_embeddings", 1);
}

static void tokenizer(const char *dir)
{
    json_t *vocab = json_object();
    char c[3];
    for (int i = 0; i < TINY_BYTES; i++)
        json_object_set_new(vocab, tiny_byte(i, c), json_integer(i));
    json_object_set_new(vocab, "he", json_integer(TINY_HE));
    json_object_set_new(vocab, "ll", json_integer(TINY_LL));
    json_t *added = json_pack("[{s:i,s:s,s:b},{s:i,s:s,s:b},{s:i,s:s,s:b}]", "id", TINY_START, "content",
                              "<|im_start|>", "special", 1, "id", TINY_END, "content", "<|im_end|>", "special", 1, "id",
                              TINY_TOOL, "content", "<tool>", "special", 0);
    json_t *pre = json_pack("{s:s,s:[{s:s,s:b},{s:s,s:b,s:b,s:b}]}", "type", "Sequence", "pretokenizers", "type",
                            "Digits", "individual_digits", 1, "type", "ByteLevel", "add_prefix_space", 0,
                            "trim_offsets", 1, "use_regex", 1);
    json_t *model = json_pack("{s:s,s:o,s:[s,s]}", "type", "BPE", "vocab", vocab, "merges", "h e", "l l");
    put_json(dir, "tokenizer.json",
             json_pack("{s:o,s:n,s:o,s:o}", "added_tokens", added, "normalizer", "pre_tokenizer", pre, "model", model));
    put(dir, "tokenizer_config.json",
        "{\"eos_token\": \"<|im_end|>\", \"chat_template\": [{\"name\": \"tool_use\", \"template\": \"no\"},"
        "{\"name\": \"default\", \"template\": \"{{ messages[0].content }}\"}]}");
}

struct tensors {
    struct ste_st_tensor t[MOST];
    size_t n;
};

/* F32, ROWS x COLS or, with ROWS 0, COLS; values that no other tensor has. */
static void add(struct tensors *s, char *name, uint64_t rows, uint64_t cols)
{
    const uint64_t n = cols * (rows ? rows : 1);
    float *v = ste_xmalloc(n * sizeof *v);
    for (uint64_t i = 0; i < n; i++)
        v[i] = (float)((i * 37 + s->n * 11) % 101) / 101 - 0.5f;
    s->t[s->n++] =
        (struct ste_st_tensor){name, STE_ST_F32, rows ? 2 : 1, {rows ? rows : cols, rows ? cols : 1}, v, n * 4};
}

static void all(struct tensors *s, const char *prefix)
{
    static const char *const linear[] = {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
                                         "mlp.gate_proj",    "mlp.up_proj",      "mlp.down_proj"};
    add(s, ste_xasprintf("%smodel.embed_tokens.weight", prefix), TINY_VOCAB, D);
    add(s, ste_xasprintf("%smodel.norm.weight", prefix), 0, D);
    for (int i = 0; i < 2; i++) {
        for (int l = 0; l < 7; l++)
            add(s, ste_xasprintf("%smodel.layers.%d.%s.weight", prefix, i, linear[l]), l == 4 || l == 5 ? FF : D,
                l == 6 ? FF : D);
        add(s, ste_xasprintf("%smodel.layers.%d.input_layernorm.weight", prefix, i), 0, D);
        add(s, ste_xasprintf("%smodel.layers.%d.post_attention_layernorm.weight", prefix, i), 0, D);
    }
}

static void clear(struct tensors *s)
{
    for (size_t i = 0; i < s->n; i++) {
        free(s->t[i].name);
        free((void *)(uintptr_t)s->t[i].data);
    }
    s->n = 0;
}

static void weights(const char *dir, const char *name, const struct ste_st_tensor *t, size_t n)
{
    char *path = ste_path_join(dir, name);
    assert_int_equal(ste_safetensors_write(path, t, n, NULL), 0);
    free(path);
}

static void whole(const char *dir, const char *type)
{
    struct tensors s = {0};
    put_json(dir, "config.json", config(type));
    tokenizer(dir);
    all(&s, "");
    weights(dir, "model.safetensors", s.t, s.n);
    clear(&s);
}

static char *folder(void)
{
    char *path = gw_temp("x");
    *strrchr(path, '/') = 0;
    whole(path, "llama");
    return path;
}

static void remove_folder(char *dir)
{
    DIR *d = opendir(dir);
    for (struct dirent *e; (e = readdir(d));)
        if (e->d_name[0] != '.')
            drop(dir, e->d_name);
    closedir(d);
    assert_int_equal(rmdir(dir), 0);
    free(dir);
}

static void refused(const char *dir, const char *says)
{
    struct ste_err err = {0};
    struct ste_model *m;
    assert_int_equal(ste_model_open(&m, dir, &err), STE_EINPUT);
    assert_null(m);
    if (!strstr(err.msg, says) || !strstr(err.msg, dir) || strchr(err.msg, '\n'))
        fail_msg("'%s' does not say '%s'", err.msg, says);
}

/* ---- what it becomes ---- */

static void a_folder_is_a_model(void **state)
{
    char *dir = folder();
    struct ste_model *m;
    struct ste_err err = {0};
    struct ste_str s;
    if (ste_model_open(&m, dir, &err))
        fail_msg("%s", err.msg);
    assert_string_equal(m->hp.arch->name, "llama");
    assert_true(m->hp.rope == STE_ROPE_HALVES && !m->hp.interleaved && m->output == m->embedding);
    assert_true(m->hp.n_layers == 2 && m->hp.head_dim == D / 2 && m->hp.n_kv_heads == 2);
    assert_true(ste_gguf_string(m->gguf, "tokenizer.chat_template", &s) && s.n == 25 && s.s[0] == '{');
    assert_true(ste_token_ends_turn(m->tokenizer, TINY_END));
    ste_gguf_drop_pages(m->gguf);
    assert_true(((const float *)m->embedding->data)[0] == -0.5f);
    char was[65];
    strcpy(was, m->sha256);
    ste_model_close(m);
    put(dir, "chat_template.jinja", "from the file");
    put(dir, "generation_config.json", "{\"eos_token_id\": [258, 260]}");
    assert_int_equal(ste_model_open(&m, dir, NULL), 0);
    assert_true(ste_gguf_string(m->gguf, "tokenizer.chat_template", &s) && s.n == 13);
    assert_true(ste_token_ends_turn(m->tokenizer, 258) && ste_token_ends_turn(m->tokenizer, 260));
    assert_string_not_equal(was, m->sha256); /* another template is another model */
    ste_model_close(m);
    remove_folder(dir);
}

/* In parts, in bf16, and within one that sees: the same model. */
static void forms_of_a_folder(void **state)
{
    char *dir = folder();
    struct tensors s = {0};
    json_t *map = json_object(), *outer;
    struct ste_model *m;
    struct ste_err err = {0};
    all(&s, "language_model.");
    for (size_t i = 0; i < s.n; i++)
        json_object_set_new(map, s.t[i].name, json_string(i < 5 ? "a.safetensors" : "b.safetensors"));
    drop(dir, "model.safetensors");
    weights(dir, "a.safetensors", s.t, 5);
    json_object_set_new(map, "vision_tower.x", json_string("b.safetensors"));
    add(&s, ste_xstrdup("vision_tower.x"), 0, 3);
    uint16_t *bf16 = ste_xcalloc(D, 2); /* the last norm, as bf16 */
    bf16[0] = 0x3FC0;
    struct ste_st_tensor *norm = &s.t[s.n - 2];
    free((void *)(uintptr_t)norm->data);
    *norm = (struct ste_st_tensor){norm->name, STE_ST_BF16, 1, {D}, bf16, 2 * D};
    weights(dir, "b.safetensors", s.t + 5, s.n - 5);
    clear(&s);
    outer = json_pack("{s:s,s:o}", "model_type", "llava", "text_config", config("llama"));
    put_json(dir, "config.json", outer);
    put_json(dir, "model.safetensors.index.json", json_pack("{s:o}", "weight_map", map));
    if (ste_model_open(&m, dir, &err))
        fail_msg("%s", err.msg);
    const struct ste_tensor *n = m->layers[1].norm[STE_NORM_FFN];
    assert_true(n->type == STE_F32 && ((const float *)n->data)[0] == 1.5f);
    ste_model_close(m);
    drop(dir, "a.safetensors");
    refused(dir, "lacks a.safetensors, which model.safetensors.index.json names");
    put(dir, "model.safetensors.index.json", "{\"weight_map\": {\"x\": \"../b.safetensors\"}}");
    refused(dir, "the file of 'x' is no file's name");
    put(dir, "model.safetensors.index.json", "{\"weight_map\": {\"x\": \"b.safetensors\"}}");
    refused(dir, "b.safetensors lacks the tensor 'x', which model.safetensors.index.json says it has");
    put(dir, "model.safetensors.index.json", "{}");
    refused(dir, "has no weight_map");
    remove_folder(dir);
}

/* ---- what is wrong ---- */

static void lies_of_a_config(void **state)
{
    static const struct {
        const char *key, *value, *says;
    } wrong[] = {
        {"model_type", "\"mamba\"", "the model's type is 'mamba'"},
        {"model_type", "7", "does not say the model's type"},
        {"architectures", "[\"LlamaForSequenceClassification\"]", "writes no text"},
        {"quantization_config", "{\"quant_method\": \"fp8\"}", "quantized (quantization_config, by fp8)"},
        {"num_local_experts", "8", "mixture of experts (num_local_experts)"},
        {"hidden_act", "\"relu\"", "the activation is 'relu'"},
        {"hidden_size", "\"8\"", "hidden_size must be a positive whole number"},
        {"hidden_size", "0", "hidden_size must be a positive whole number"},
        {"hidden_size", "16", "tensor 'token_embd.weight' is 8 x 261, its keys say 16 x 261"},
        {"intermediate_size", "null", "does not say intermediate_size"},
        {"num_hidden_layers", "3", "lacks the tensor 'blk.2."},
        {"num_hidden_layers", "1", "has a tensor 'model.layers.1."},
        {"num_hidden_layers", "2000000", "are more than any model has"},
        {"num_attention_heads", "2147483647", "not from 1 to 4096"},
        {"vocab_size", "300", "token_embd.weight' is 8 x 261"},
        {"tie_word_embeddings", "false", "lacks the tensor 'lm_head.weight'"},
        {"rope_scaling", "{\"type\": \"dynamic\", \"factor\": 2}", "rope_type is 'dynamic'"},
        {"rope_scaling", "{\"rope_type\": \"linear\", \"factor\": -1}", "factor is no positive number"},
        {"rope_parameters", "{\"rope_type\": \"longrope\", \"long_factor\": [1], \"short_factor\": [1, 2]}",
         "long_factor must be a list of 2 numbers"},
        {"rope_theta", "\"x\"", "rope_theta is no positive number"},
        {"sliding_window", "-4", "sliding_window is no positive whole number"},
        {"no_rope_layers", "[1, 0]", "no_rope_layers leaves out other layers"},
    };
    char *dir = folder();
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        json_t *c = config("llama");
        json_object_set_new(c, wrong[i].key, json_loads(wrong[i].value, JSON_DECODE_ANY, NULL));
        put_json(dir, "config.json", c);
        refused(dir, wrong[i].says);
    }
    put(dir, "config.json", "[]");
    refused(dir, "config.json is no JSON object");
    put(dir, "config.json", "{\"a\":");
    refused(dir, "config.json");
    drop(dir, "config.json");
    refused(dir, "is a folder, and no model: it has no config.json");
    remove_folder(dir);
}

static void lies_of_the_weights(void **state)
{
    char *dir = folder(), *path = ste_path_join(dir, "model.safetensors");
    struct tensors s = {0};
    struct ste_buf b = STE_BUF_INIT;
    all(&s, "");
    drop(dir, "model.safetensors");
    refused(dir, "has no weights");
    put(dir, "pytorch_model.bin", "x");
    refused(dir, "pickled Python");
    add(&s, ste_xstrdup("model.layers.0.self_attn.gate.weight"), D, D);
    weights(dir, "model.safetensors", s.t, s.n);
    refused(dir, "a tensor 'model.layers.0.self_attn.gate.weight', which ste does not compute for llama models");
    s.t[--s.n].n_dims = 1;
    free(s.t[s.n].name);
    free((void *)(uintptr_t)s.t[s.n].data);
    weights(dir, "model.safetensors", s.t, s.n);
    assert_int_equal(ste_file_read(path, 1 << 20, &b, NULL), 0);
    char *type = strstr(b.s + 8, "\"F32\"");
    memcpy(type, "\"I32\"", 5);
    gw_write(path, b.s, b.len);
    refused(dir, "other than F32, F16 and BF16 (it is I32)");
    gw_write(path, b.s, b.len / 2);
    refused(dir, "model.safetensors");
    drop(dir, "tokenizer.json");
    refused(dir, "has no tokenizer.json");
    ste_buf_clear(&b);
    clear(&s);
    free(path);
    remove_folder(dir);
}

/* ---- the file that is made of it ---- */

static const float *row(const struct ste_gguf *g, const char *name, int i)
{
    const struct ste_tensor *t = ste_gguf_tensor(g, name);
    return (const float *)t->data + (uint64_t)i * t->shape[0];
}

static void rows_go_where_files_have_them(void **state)
{
    char *dir = folder(), *path = ste_path_join(dir, "x.gguf");
    struct ste_gguf *g, *out = ste_gguf_new(path), *back;
    struct ste_convert c = {0};
    struct ste_model *m, *n;
    assert_int_equal(ste_folder_open(&g, dir, NULL), 0);
    c.from = g;
    assert_int_equal(ste_convert_begin(&c, out, NULL), 0);
    assert_int_equal(ste_convert_write(&c, out, path, NULL), 0);
    assert_int_equal(ste_gguf_open(&back, path, NULL), 0);
    static const int from[D] = {0, 2, 1, 3, 4, 6, 5, 7}; /* heads of 4: row 2j + s was row 2s + j */
    for (int i = 0; i < D; i++) {
        assert_memory_equal(row(back, "blk.1.attn_q.weight", i), row(g, "blk.1.attn_q.weight", from[i]), D * 4);
        assert_memory_equal(row(back, "blk.0.attn_k.weight", i), row(g, "blk.0.attn_k.weight", from[i]), D * 4);
        assert_memory_equal(row(back, "blk.0.attn_v.weight", i), row(g, "blk.0.attn_v.weight", i), D * 4);
    }
    ste_gguf_close(back);
    ste_gguf_close(out);
    out = ste_gguf_new(path);
    c.mix = ste_mix_of("q8_0");
    assert_int_equal(ste_convert_begin(&c, out, NULL), 0);
    assert_int_equal(ste_gguf_tensor(out, "blk.0.attn_q.weight")->type, STE_F16); /* 8 weights are no block of 32 */
    assert_int_equal(ste_gguf_tensor(out, "blk.0.attn_norm.weight")->type, STE_F32);
    ste_gguf_close(out);
    ste_gguf_close(g);
    assert_int_equal(ste_model_open(&m, dir, NULL), 0);
    assert_int_equal(ste_model_open(&n, path, NULL), 0);
    assert_true(n->hp.interleaved && n->hp.rope == STE_ROPE_ADJACENT);
    char was[65];
    strcpy(was, m->sha256);
    assert_int_equal(ste_model_type(m, m->layers[0].linear[STE_Q]), STE_F32);
    assert_int_equal(ste_model_load_as(m, "", NULL), 0);
    assert_string_equal(was, m->sha256);
    assert_int_equal(ste_model_load_as(m, "f16", NULL), 0);
    assert_string_not_equal(was, m->sha256);
    assert_int_equal(ste_model_type(m, m->layers[0].linear[STE_Q]), STE_F16);
    assert_int_equal(ste_model_load_as(m, "q9", NULL), STE_EUSAGE);
    ste_model_close(m);
    ste_model_close(n);
    free(path);
    remove_folder(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_folder_is_a_model),
        cmocka_unit_test(forms_of_a_folder),
        cmocka_unit_test(lies_of_a_config),
        cmocka_unit_test(lies_of_the_weights),
        cmocka_unit_test(rows_go_where_files_have_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
