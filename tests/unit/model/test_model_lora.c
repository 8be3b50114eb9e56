/* Adapters: what is written reads back, rows are turned for arch llama, wrong folders and files are refused. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tiny_model.h"
#include "core/hash.h"
#include "core/rng.h"
#include "model/lora.h"
#include "model/safetensors.h"

static struct ste_model *open_tiny(char **path, const char *arch)
{
    struct ste_model *m;
    struct ste_err err;
    *path = gw_temp("m.gguf");
    tiny_model(*path, arch, NULL);
    if (ste_model_open(&m, *path, &err))
        fail_msg("%s", err.msg);
    return m;
}

static struct ste_lora *random_lora(const struct ste_model *m)
{
    struct ste_lora *l;
    struct ste_rng rng;
    assert_int_equal(ste_lora_new(&l, &m->hp, 3, 6, 42, NULL), 0);
    ste_rng_init(&rng, 1, 0);
    for (int i = 0; i < l->n_layers; i++)
        for (int k = 0; k < STE_N_LINEAR; k++)
            for (int n = 0; n < l->factors[i][k].out * 3; n++)
                l->factors[i][k].b[n] = (float)ste_rng_normal(&rng);
    ste_lora_rehash(l);
    return l;
}

/* The folder beside PATH, and what lies in it taken away. */
static char *folder(const char *path)
{
    return ste_xasprintf("%s.peft", path);
}
static void remove_folder(char *dir)
{
    const char *const names[] = {"adapter_config.json", "adapter_model.safetensors", "base.json", "mine.txt"};
    for (int i = 0; i < 4; i++) {
        char *p = ste_path_join(dir, names[i]);
        unlink(p);
        free(p);
    }
    assert_int_equal(rmdir(dir), 0);
    free(dir);
}

static void a_new_one_is_as_peft_draws_it(void **state)
{
    char *path;
    struct ste_model *m = open_tiny(&path, "llama");
    struct ste_lora *l, *same, *other, *none;
    assert_int_equal(ste_lora_new(&l, &m->hp, 3, 6, 42, NULL), 0);
    assert_int_equal(ste_lora_new(&same, &m->hp, 3, 6, 42, NULL), 0);
    assert_int_equal(ste_lora_new(&other, &m->hp, 3, 6, 43, NULL), 0);
    assert_string_equal(l->hash, same->hash);
    assert_string_not_equal(l->hash, other->hash);
    double sum2 = 0;
    int n = 0;
    for (int i = 0; i < l->n_layers; i++)
        for (int k = 0; k < STE_N_LINEAR; k++) {
            const struct ste_lora_factors *p = &l->factors[i][k];
            int out, in;
            ste_linear_shape(&m->hp, (enum ste_linear)k, &out, &in);
            assert_int_equal(p->in, in);
            assert_int_equal(p->out, out);
            for (int j = 0; j < 3 * in; j++, n++) {
                double scaled = (double)p->a[j] * (double)p->a[j] * in; /* at most 1, 1/3 on average */
                assert_true(scaled <= 1.0001);
                sum2 += scaled;
            }
            for (int j = 0; j < 3 * out; j++)
                assert_true(p->b[j] == 0);
        }
    assert_true(sum2 / n > 0.28 && sum2 / n < 0.39);
    assert_int_equal(ste_lora_new(&none, &m->hp, 0, 6, 1, NULL), STE_EUSAGE);
    l->factors[1][STE_UP].b[0] = 1;
    ste_lora_rehash(l);
    assert_string_not_equal(l->hash, same->hash);
    ste_lora_free(l);
    ste_lora_free(same);
    ste_lora_free(other);
    ste_model_close(m);
    tiny_model_remove(path);
}

static void a_peft_folder_reads_back(void **state)
{
    static const char *const archs[] = {"llama", "qwen2"};
    for (int a = 0; a < 2; a++) {
        char *path, *dir;
        struct ste_model *m = open_tiny(&path, archs[a]);
        struct ste_lora *l = random_lora(m), *back;
        struct ste_err err = {0};
        dir = folder(path);
        free(l->factors[0][STE_GATE].a); /* a layer that is not adapted */
        free(l->factors[0][STE_GATE].b);
        l->factors[0][STE_GATE] = (struct ste_lora_factors){0};
        for (int again = 0; again < 2; again++) { /* into nothing, then over what is there */
            if (ste_lora_write_peft(l, m, "base", dir, &err) || ste_lora_read_peft(&back, m, dir, &err))
                fail_msg("%s", err.msg);
            assert_string_equal(back->hash, l->hash);
            assert_int_equal(back->r, 3);
            assert_true(back->alpha == 6);
            assert_null(back->factors[0][STE_GATE].a);
            assert_memory_equal(back->factors[1][STE_K].b, l->factors[1][STE_K].b, 8 * 3 * sizeof(float));
            ste_lora_free(back);
        }
        /* Hugging Face's row s * head_dim / 2 + i is GGUF's llama's 2i + s; here head_dim is 4. */
        struct ste_safetensors st;
        char *file = ste_path_join(dir, "adapter_model.safetensors");
        assert_int_equal(ste_safetensors_open(&st, file, &err), 0);
        const struct ste_st_tensor *q =
            ste_safetensors_find(&st, "base_model.model.model.layers.1.self_attn.q_proj.lora_B.weight");
        const struct ste_st_tensor *v =
            ste_safetensors_find(&st, "base_model.model.model.layers.1.self_attn.v_proj.lora_B.weight");
        assert_non_null(q);
        assert_non_null(v);
        assert_int_equal(q->shape[0], 8);
        assert_int_equal(q->shape[1], 3);
        static const int llama_rows[] = {0, 2, 1, 3, 4, 6, 5, 7};
        for (int row = 0; row < 8; row++) {
            int from = a == 0 ? llama_rows[row] : row;
            assert_memory_equal((const float *)q->data + row * 3, l->factors[1][STE_Q].b + from * 3, 12);
            assert_memory_equal((const float *)v->data + row * 3, l->factors[1][STE_V].b + row * 3, 12);
        }
        ste_safetensors_close(&st);
        free(file);
        remove_folder(dir);
        ste_lora_free(l);
        ste_model_close(m);
        tiny_model_remove(path);
    }
}

static void other_files_of_a_folder_stay(void **state)
{
    char *path, *dir;
    struct ste_model *m = open_tiny(&path, "llama");
    struct ste_lora *l = random_lora(m), *back;
    dir = folder(path);
    assert_int_equal(ste_mkdirs(dir, NULL), 0);
    char *mine = ste_path_join(dir, "mine.txt");
    gw_write(mine, "x", 1);
    assert_int_equal(ste_lora_write_peft(l, m, "base", dir, NULL), 0);
    assert_true(ste_file_exists(mine));
    assert_int_equal(ste_lora_read_peft(&back, m, dir, NULL), 0);
    ste_lora_free(back);
    free(mine);
    remove_folder(dir);
    ste_lora_free(l);
    ste_model_close(m);
    tiny_model_remove(path);
}

/* What is more or less than (alpha / r) B A on the base as it stands is refused by its name, with what would help. */
static void other_kinds_of_adapters_are_refused(void **state)
{
    static const struct {
        const char *setting, *says; /* SAYS NULL: a plain adapter */
    } cases[] = {
        {"\"init_lora_weights\": \"pissa\"", "path_initial_model_for_weight_conversion"},
        {"\"init_lora_weights\": \"pissa_niter_16\"", "pissa_niter_16"},
        {"\"init_lora_weights\": \"olora\"", "olora"},
        {"\"init_lora_weights\": \"corda\"", "corda"},
        {"\"init_lora_weights\": \"loftq\"", "merge_and_unload"},
        {"\"init_lora_weights\": \"lora_ga\"", "lora_ga"},
        {"\"init_lora_weights\": \"gaussian\"", NULL},
        {"\"init_lora_weights\": \"eva\"", NULL},
        {"\"init_lora_weights\": true", NULL},
        {"\"alora_invocation_tokens\": [5, 6]", "alora_invocation_tokens"},
        {"\"alora_invocation_tokens\": null", NULL},
        {"\"layer_replication\": [[0, 2], [1, 2]]", "layer_replication"},
        {"\"layer_replication\": null, \"loftq_config\": {}, \"corda_config\": null", NULL},
        {"\"use_dora\": true", "use_dora"},
        {"\"use_rslora\": true", "lora_alpha * sqrt(r)"},
        {"\"use_rslora\": false", NULL},
        {"\"use_something_new\": true", "use_something_new"},
        {"\"target_parameters\": [\"mlp.experts.down_proj\"]", "target_parameters"},
        {"\"arrow_config\": {\"top_k\": 2}", "arrow_config"},
        {"\"rank_pattern\": {\"q_proj\": 8}", "rank_pattern"},
        {"\"bias\": \"lora_only\"", "lora_only"},
        {"\"layers_to_transform\": [0, 1], \"qalora_group_size\": 16, \"lora_dropout\": 0.1", NULL},
    };
    char *path;
    struct ste_model *m = open_tiny(&path, "llama");
    struct ste_lora *l = random_lora(m), *back;
    char *dir = folder(path), *config = ste_path_join(dir, "adapter_config.json");
    struct ste_err err = {0};
    assert_int_equal(ste_lora_write_peft(l, m, "base", dir, &err), 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text = ste_xasprintf("{\"peft_type\": \"LORA\", \"r\": 3, \"lora_alpha\": 6, %s}", cases[i].setting);
        assert_int_equal(ste_file_write(config, text, strlen(text), &err), 0);
        const int rc = ste_lora_read_peft(&back, m, dir, &err);
        if (cases[i].says) {
            assert_null(back);
            if (rc != STE_EINPUT || !strstr(err.msg, cases[i].says) || !strstr(err.msg, config))
                fail_msg("%s: %d, %s", cases[i].setting, rc, err.msg);
        } else if (rc) {
            fail_msg("%s: refused: %s", cases[i].setting, err.msg);
        }
        ste_lora_free(back);
        free(text);
    }
    /* a head that is no number, too */
    ste_lora_add_head(l, m->hp.d_model);
    l->head[2] = NAN;
    assert_int_equal(ste_lora_write_peft(l, m, "base", dir, &err), 0);
    assert_int_equal(ste_lora_read_peft(&back, m, dir, &err), STE_EINPUT);
    assert_non_null(strstr(err.msg, "score.weight' holds a value that is no number (nan at place 3)"));
    remove_folder(dir);
    free(config);
    ste_lora_free(l);
    ste_model_close(m);
    tiny_model_remove(path);
}

static void half_precision_is_read(void **state)
{
    char *path, *dir;
    struct ste_model *m = open_tiny(&path, "qwen2");
    struct ste_lora *back;
    struct ste_err err = {0};
    const uint16_t bf16[16] = {0x3F80, 0xC000, 0x3E80}, f16[16] = {0x3C00, 0xC000, 0x3400}; /* 1, -2, 0.25 */
    struct ste_st_tensor t[] = {{(char *)(uintptr_t) "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight",
                                 STE_ST_BF16,
                                 2,
                                 {2, 8},
                                 bf16,
                                 32},
                                {(char *)(uintptr_t) "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight",
                                 STE_ST_F16,
                                 2,
                                 {8, 2},
                                 f16,
                                 32}};
    static const char config[] =
        "{\"peft_type\":\"LORA\",\"r\":2,\"lora_alpha\":4,\"bias\":\"none\",\"rank_pattern\":{},\"use_dora\":false}";
    dir = folder(path);
    assert_int_equal(ste_mkdirs(dir, NULL), 0);
    char *weights = ste_path_join(dir, "adapter_model.safetensors"), *json = ste_path_join(dir, "adapter_config.json");
    assert_int_equal(ste_safetensors_write(weights, t, 2, NULL), 0);
    gw_write(json, config, sizeof config - 1);
    if (ste_lora_read_peft(&back, m, dir, &err))
        fail_msg("%s", err.msg);
    for (int i = 0; i < 3; i++) {
        static const float want[] = {1, -2, 0.25f};
        assert_true(back->factors[0][STE_Q].a[i] == want[i]);
        assert_true(back->factors[0][STE_Q].b[i] == want[i]);
    }
    assert_null(back->factors[0][STE_K].a);
    ste_lora_free(back);

    /* One thing wrong in the config each. */
    static const char *const bad[][2] = {
        {"{\"peft_type\":\"LOHA\",\"r\":2,\"lora_alpha\":4}", "type LOHA"},
        {"{\"peft_type\":\"LORA\",\"r\":0,\"lora_alpha\":4}", "lacks a rank"},
        {"{\"peft_type\":\"LORA\",\"r\":2}", "lacks a rank"},
        {"{\"peft_type\":\"LORA\",\"r\":2,\"lora_alpha\":4,\"use_dora\":true}", "use_dora"},
        {"{\"peft_type\":\"LORA\",\"r\":2,\"lora_alpha\":4,\"use_rslora\":true}", "use_rslora"},
        {"{\"peft_type\":\"LORA\",\"r\":2,\"lora_alpha\":4,\"bias\":\"all\"}", "bias"},
        {"{\"peft_type\":\"LORA\",\"r\":2,\"lora_alpha\":4,\"alpha_pattern\":{\"q_proj\":1}}", "alpha_pattern"},
        {"{\"peft_type\":\"LORA\",\"r\":3,\"lora_alpha\":4}", "does not fit the model"},
        {"{\"peft_type\":", "adapter_config.json"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        gw_write(json, bad[i][0], strlen(bad[i][0]));
        assert_int_equal(ste_lora_read_peft(&back, m, dir, &err), STE_EINPUT);
        if (!strstr(err.msg, bad[i][1]))
            fail_msg("'%s' does not say '%s'", err.msg, bad[i][1]);
    }
    /* And in the weights. */
    gw_write(json, config, sizeof config - 1);
    assert_int_equal(ste_safetensors_write(weights, t, 1, NULL), 0);
    assert_int_equal(ste_lora_read_peft(&back, m, dir, &err), STE_EINPUT);
    assert_non_null(strstr(err.msg, "but not 'base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight'"));
    t[0].name = (char *)(uintptr_t) "base_model.model.model.layers.2.self_attn.q_proj.lora_A.weight";
    assert_int_equal(ste_safetensors_write(weights, t, 1, NULL), 0);
    assert_int_equal(ste_lora_read_peft(&back, m, dir, &err), STE_EINPUT);
    assert_non_null(strstr(err.msg, "no LoRA tensors"));
    free(weights);
    free(json);
    remove_folder(dir);
    ste_model_close(m);
    tiny_model_remove(path);
}

static void a_gguf_adapter_reads_back(void **state)
{
    char *path;
    struct ste_model *m = open_tiny(&path, "llama");
    struct ste_lora *l = random_lora(m);
    struct ste_gguf *g;
    struct ste_err err = {0};
    char *file = ste_xasprintf("%s.lora", path), first[65], second[65];
    assert_int_equal(ste_lora_write_gguf(l, m, file, &err), 0);
    assert_int_equal(ste_sha256_file(file, first, NULL), 0);
    assert_int_equal(ste_lora_write_gguf(l, m, file, &err), 0);
    assert_int_equal(ste_sha256_file(file, second, NULL), 0);
    assert_string_equal(first, second);
    if (ste_gguf_open(&g, file, &err))
        fail_msg("%s", err.msg);
    struct ste_str s;
    double alpha;
    assert_true(ste_gguf_string(g, "general.type", &s) && s.n == 7 && !memcmp(s.s, "adapter", 7));
    assert_true(ste_gguf_string(g, "adapter.type", &s) && s.n == 4 && !memcmp(s.s, "lora", 4));
    assert_true(ste_gguf_string(g, "general.architecture", &s) && s.n == 5 && !memcmp(s.s, "llama", 5));
    assert_true(ste_gguf_real(g, "adapter.lora.alpha", &alpha) && alpha == 6);
    assert_int_equal(ste_gguf_n_tensors(g), 2 * 2 * STE_N_LINEAR);
    for (int i = 0; i < 2; i++)
        for (int k = 0; k < STE_N_LINEAR; k++) {
            const struct ste_lora_factors *p = &l->factors[i][k];
            char name[64];
            snprintf(name, sizeof name, "blk.%d.%s.weight.lora_a", i, m->hp.arch->linear[k].gguf);
            const struct ste_tensor *a = ste_gguf_tensor(g, name);
            name[strlen(name) - 1] = 'b';
            const struct ste_tensor *b = ste_gguf_tensor(g, name);
            assert_non_null(a);
            assert_non_null(b);
            assert_true(a->shape[0] == (uint64_t)p->in && a->shape[1] == 3 && b->shape[0] == 3 &&
                        b->shape[1] == (uint64_t)p->out);
            assert_memory_equal(a->data, p->a, a->size);
            assert_memory_equal(b->data, p->b, b->size);
        }
    ste_gguf_close(g);
    unlink(file);
    free(file);
    ste_lora_free(l);
    ste_model_close(m);
    tiny_model_remove(path);
}

/* Cut at every length, one byte flipped at every place: an error in one sentence, or tensors within the file. */
static void damaged_safetensors_are_refused(void **state)
{
    char *path = gw_temp("a.safetensors");
    const float values[6] = {1, 2, 3, 4, 5, 6};
    struct ste_st_tensor t[] = {{(char *)(uintptr_t) "x", STE_ST_F32, 2, {2, 3}, values, 24},
                                {(char *)(uintptr_t) "y", STE_ST_F16, 1, {4}, values, 8}};
    struct ste_buf b = STE_BUF_INIT;
    struct ste_safetensors st;
    struct ste_err err;
    int refused = 0;
    assert_int_equal(ste_safetensors_write(path, t, 2, NULL), 0);
    assert_int_equal(ste_file_read(path, 1 << 20, &b, NULL), 0);
    assert_int_equal(ste_safetensors_open(&st, path, &err), 0);
    assert_int_equal(st.n, 2);
    assert_memory_equal(ste_safetensors_find(&st, "x")->data, values, 24);
    assert_null(ste_safetensors_find(&st, "z"));
    ste_safetensors_close(&st);
    for (size_t n = 0; n < b.len; n++) {
        gw_write(path, b.s, n);
        assert_int_equal(ste_safetensors_open(&st, path, &err), STE_EINPUT);
        assert_non_null(strstr(err.msg, path));
    }
    for (size_t at = 0; at < b.len; at++)
        for (int bit = 0; bit < 8; bit++) {
            b.s[at] ^= (char)(1 << bit);
            gw_write(path, b.s, b.len);
            if (ste_safetensors_open(&st, path, &err)) {
                refused++;
            } else {
                unsigned sum = 0;
                for (size_t i = 0; i < st.n; i++)
                    for (uint64_t k = 0; k < st.tensors[i].size; k++)
                        sum += ((const uint8_t *)st.tensors[i].data)[k];
                assert_true(sum < 1 << 20);
                ste_safetensors_close(&st);
            }
            b.s[at] ^= (char)(1 << bit);
        }
    assert_true(refused > 300);
    gw_temp_remove(path);
    ste_buf_clear(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_one_is_as_peft_draws_it),
        cmocka_unit_test(a_peft_folder_reads_back),
        cmocka_unit_test(other_kinds_of_adapters_are_refused),
        cmocka_unit_test(other_files_of_a_folder_stay),
        cmocka_unit_test(half_precision_is_read),
        cmocka_unit_test(a_gguf_adapter_reads_back),
        cmocka_unit_test(damaged_safetensors_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
