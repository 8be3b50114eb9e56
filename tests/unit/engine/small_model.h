/* A random model of two layers, large enough for several KV blocks and small enough to be computed again in double. */
#ifndef STE_TEST_SMALL_MODEL_H
#define STE_TEST_SMALL_MODEL_H

#include <math.h>

#include "../model/tiny_model.h"
#include "core/rng.h"
#include "engine/engine.h"

enum { SM_LAYERS = 2, SM_D = 64, SM_HEADS = 4, SM_KV = 2, SM_HD = 16, SM_FF = 96, SM_CTX = 1024 };

static void sm_tensor(struct gw *w, const char *name, int cols, int rows, double mean, double sd, struct ste_rng *rng)
{
    size_t n = (size_t)cols * (size_t)(rows ? rows : 1);
    float *v = ste_xcalloc(n, sizeof *v);
    for (size_t i = 0; i < n; i++)
        v[i] = (float)(mean + sd * ste_rng_normal(rng));
    gw_tensor(w, name, 0, rows ? 2 : 1, (const uint64_t[]){(uint64_t)cols, (uint64_t)rows}, v, n * 4);
    free(v);
}

static struct ste_model *sm_open(char **path, const char *arch)
{
    static const char *const linear[] = {"attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"};
    static const int in[] = {SM_D, SM_D, SM_D, SM_HEADS * SM_HD, SM_D, SM_D, SM_FF};
    static const int out[] = {SM_HEADS * SM_HD, SM_KV * SM_HD, SM_KV * SM_HD, SM_D, SM_FF, SM_FF, SM_D};
    bool qwen = !strcmp(arch, "qwen2");
    struct gw w = {0};
    struct ste_buf b = STE_BUF_INIT;
    struct ste_rng rng;
    char key[64];
    ste_rng_init(&rng, 7, 1);
#define KEY(name) (snprintf(key, sizeof key, "%s.%s", arch, name), key)
    gw_key_str(&w, "general.architecture", arch);
    gw_key_u32(&w, KEY("block_count"), SM_LAYERS);
    gw_key_u32(&w, KEY("context_length"), SM_CTX);
    gw_key_u32(&w, KEY("embedding_length"), SM_D);
    gw_key_u32(&w, KEY("feed_forward_length"), SM_FF);
    gw_key_u32(&w, KEY("attention.head_count"), SM_HEADS);
    gw_key_u32(&w, KEY("attention.head_count_kv"), SM_KV);
    gw_key_f32(&w, KEY("attention.layer_norm_rms_epsilon"), 1e-5f);
    gw_key_f32(&w, KEY("rope.freq_base"), 10000.0f);
    tiny_tokenizer(&w, qwen ? "qwen2" : "smollm", NULL);
    sm_tensor(&w, "token_embd.weight", SM_D, TINY_VOCAB, 0, 1, &rng);
    sm_tensor(&w, "output_norm.weight", SM_D, 0, 0.4, 0.05, &rng);
    for (int i = 0; i < SM_LAYERS; i++) {
        for (int l = 0; l < 7; l++) {
            snprintf(key, sizeof key, "blk.%d.%s.weight", i, linear[l]);
            sm_tensor(&w, key, in[l], out[l], 0, 0.2, &rng);
            snprintf(key, sizeof key, "blk.%d.%s.bias", i, linear[l]);
            if (l < 3 && qwen)
                sm_tensor(&w, key, out[l], 0, 0, 0.5, &rng);
        }
        snprintf(key, sizeof key, "blk.%d.attn_norm.weight", i);
        sm_tensor(&w, key, SM_D, 0, 1, 0.1, &rng);
        snprintf(key, sizeof key, "blk.%d.ffn_norm.weight", i);
        sm_tensor(&w, key, SM_D, 0, 1, 0.1, &rng);
    }
    gw_file(&w, &b);
    *path = gw_temp("m.gguf");
    gw_write(*path, b.s, b.len);
    ste_buf_clear(&b);
#undef KEY
    struct ste_model *m = NULL;
    struct ste_err err = {0};
    if (ste_model_open(&m, *path, &err)) {
        fprintf(stderr, "%s\n", err.msg);
        abort();
    }
    return m;
}

/* An adapter that changes every layer. */
static inline struct ste_lora *sm_lora(const struct ste_model *m)
{
    struct ste_lora *l = NULL;
    struct ste_rng rng;
    if (ste_lora_new(&l, &m->hp, 4, 8, 5, NULL))
        abort();
    ste_rng_init(&rng, 9, 2);
    for (int i = 0; i < l->n_layers; i++)
        for (int k = 0; k < STE_N_LINEAR; k++)
            for (size_t j = 0; j < (size_t)l->pairs[i][k].out * 4; j++)
                l->pairs[i][k].b[j] = (float)(0.1 * ste_rng_normal(&rng));
    ste_lora_rehash(l);
    return l;
}

#endif
