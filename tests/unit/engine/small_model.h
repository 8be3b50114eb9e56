/* A random model of two layers, large enough for several KV blocks and small enough to be computed again in double. */
#ifndef STE_TEST_SMALL_MODEL_H
#define STE_TEST_SMALL_MODEL_H

#include <math.h>

#include "../model/tiny_model.h"
#include "core/rng.h"
#include "engine/engine.h"
#include "model/positions.h"

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

/* The tensors of a block, as the architecture's description names them. */
static inline void sm_layer(struct gw *w, const struct ste_hparams *hp, int i, struct ste_rng *rng)
{
    const struct ste_arch *arch = hp->arch;
    char name[64];
    for (int l = 0; l < STE_N_LINEAR; l++) {
        int out, in;
        ste_linear_shape(hp, (enum ste_linear)l, &out, &in);
        const struct ste_fused *f = ste_fused_of(arch, (enum ste_linear)l);
        int rows = out, more;
        for (int k = 1; f && k < f->n; k++, rows += more)
            ste_linear_shape(hp, (enum ste_linear)((int)f->first + k), &more, &in);
        snprintf(name, sizeof name, "blk.%d.%s.weight", i, f ? f->gguf : arch->linear[l].gguf);
        if (!f || (int)f->first == l)
            sm_tensor(w, name, in, rows, 0, 0.2, rng);
        snprintf(name, sizeof name, "blk.%d.%s.bias", i, arch->linear[l].gguf);
        if (arch->bias[l])
            sm_tensor(w, name, out, 0, 0, 0.5, rng);
    }
    for (int n = 0; n < STE_N_NORM; n++) {
        snprintf(name, sizeof name, "blk.%d.%s.weight", i, arch->norm[n].gguf);
        if (arch->norm[n].gguf)
            sm_tensor(w, name, ste_width(hp, arch->norm[n].width), 0, 1, 0.1, rng);
    }
}

/* A file of ARCH; its own keys are all real numbers here. */
static inline char *sm_write(const struct ste_arch *arch)
{
    const struct ste_hparams hp = {
        .arch = arch, .d_model = SM_D, .n_heads = SM_HEADS, .n_kv_heads = SM_KV, .head_dim = SM_HD, .d_ff = SM_FF};
    struct gw w = {0};
    struct ste_buf b = STE_BUF_INIT;
    struct ste_rng rng;
    char key[64];
    ste_rng_init(&rng, 7, 1);
#define KEY(of) (snprintf(key, sizeof key, "%s.%s", arch->name, of), key)
    gw_key_str(&w, "general.architecture", arch->name);
    gw_key_u32(&w, KEY("block_count"), SM_LAYERS);
    gw_key_u32(&w, KEY("context_length"), SM_CTX);
    gw_key_u32(&w, KEY("embedding_length"), SM_D);
    gw_key_u32(&w, KEY("feed_forward_length"), SM_FF);
    gw_key_u32(&w, KEY("attention.head_count"), SM_HEADS);
    gw_key_u32(&w, KEY("attention.head_count_kv"), SM_KV);
    gw_key_f32(&w, KEY("attention.layer_norm_rms_epsilon"), 1e-5f);
    gw_key_f32(&w, KEY("rope.freq_base"), 10000.0f);
    for (const struct ste_key *k = arch->keys; k && k->name; k++)
        gw_key_f32(&w, KEY(k->name), 0.3f);
    tiny_tokenizer(&w, strcmp(arch->name, "qwen2") ? "smollm" : "qwen2", NULL);
    sm_tensor(&w, "token_embd.weight", SM_D, TINY_VOCAB, 0, 1, &rng);
    sm_tensor(&w, "output_norm.weight", SM_D, 0, 0.4, 0.05, &rng);
    for (int i = 0; i < SM_LAYERS; i++)
        sm_layer(&w, &hp, i, &rng);
    gw_file(&w, &b);
    char *path = gw_temp("m.gguf");
    gw_write(path, b.s, b.len);
    ste_buf_clear(&b);
#undef KEY
    return path;
}

static inline struct ste_model *sm_open(char **path, const char *name)
{
    struct ste_model *m = NULL;
    struct ste_err err = {0};
    *path = sm_write(strcmp(name, "qwen2") ? &ste_arch_llama : &ste_arch_qwen2);
    if (ste_model_open(&m, *path, &err)) {
        fprintf(stderr, "%s\n", err.msg);
        abort();
    }
    return m;
}

/* Windows that end within blocks, one of them with half a head turned; the other layer turns longer; queries grow. */
static inline void sm_stretch(struct ste_model *m)
{
    ste_rotary_plain(&m->hp.rotary[STE_ROTARY_SLIDING], 500, SM_HD / 2);
    m->layers[0].rotary = STE_ROTARY_SLIDING;
    m->layers[0].window = 20;
    m->layers[1].window = 70;
    m->hp.rotary[STE_ROTARY_FULL].magnitude = 1.1;
    m->hp.rotary[STE_ROTARY_FULL].inv_freq[2] /= 4;
    m->hp.temperature_scale = 0.1;
    m->hp.temperature_length = 40;
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
            for (size_t j = 0; j < (size_t)l->factors[i][k].out * 4; j++)
                l->factors[i][k].b[j] = (float)(0.1 * ste_rng_normal(&rng));
    ste_lora_rehash(l);
    return l;
}

#endif
