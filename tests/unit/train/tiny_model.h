/* A tiny random model in memory, F32 and Q8_0 tensors, in both forms of RoPE. */
#ifndef TINY_MODEL_H
#define TINY_MODEL_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/rng.h"
#include "model/positions.h"
#include "train/train.h"

enum { TINY_LAYERS = 2, TINY_D = 32, TINY_HEADS = 4, TINY_KV = 2, TINY_HD = 8, TINY_FF = 64, TINY_VOCAB = 100 };

struct tiny {
    struct ste_model m;
    struct ste_tensor tensors[64];
    int n;
    struct ste_layer layers[TINY_LAYERS];
};

static const struct ste_tensor *tiny_tensor(struct tiny *y, enum ste_type type, int in, int out, double mean, double sd,
                                            struct ste_rng *rng)
{
    struct ste_tensor *t = &y->tensors[y->n++];
    size_t n = (size_t)in * (size_t)out;
    *t = (struct ste_tensor){
        .name = "tiny", .type = type, .n_dims = out > 1 ? 2 : 1, .shape = {(uint64_t)in, (uint64_t)out, 1, 1}};
    float *f = malloc(n * sizeof *f);
    for (size_t i = 0; i < n; i++)
        f[i] = (float)(mean + sd * ste_rng_normal(rng));
    if (type == STE_F32) {
        t->data = f;
        t->size = n * sizeof *f;
        return t;
    }
    struct ste_block_q8_0 *b = malloc(n / 32 * sizeof *b);
    for (size_t k = 0; k < n / 32; k++) {
        float top = 0;
        for (int i = 0; i < 32; i++)
            top = fmaxf(top, fabsf(f[k * 32 + (size_t)i]));
        b[k].d = ste_f32_to_f16(top / 127);
        for (int i = 0; i < 32; i++)
            b[k].qs[i] = (int8_t)fmaxf(-127, fminf(127, roundf(f[k * 32 + (size_t)i] / ste_f16_to_f32(b[k].d))));
    }
    free(f);
    t->data = b;
    t->size = n / 32 * sizeof *b;
    return t;
}

static struct tiny *tiny_new(enum ste_rope rope, bool biases, bool tied, uint64_t seed)
{
    struct tiny *y = calloc(1, sizeof *y);
    struct ste_rng rng;
    ste_rng_init(&rng, seed, 1);
    strcpy(y->m.sha256, "tiny");
    y->m.hp = (struct ste_hparams){.arch = rope == STE_ROPE_HALVES ? &ste_arch_qwen2 : &ste_arch_llama,
                                   .rope = rope,
                                   .interleaved = rope == STE_ROPE_ADJACENT,
                                   .n_layers = TINY_LAYERS,
                                   .d_model = TINY_D,
                                   .n_heads = TINY_HEADS,
                                   .n_kv_heads = TINY_KV,
                                   .head_dim = TINY_HD,
                                   .d_ff = TINY_FF,
                                   .n_vocab = TINY_VOCAB,
                                   .n_ctx_train = 512,
                                   .rope_base = 100,
                                   .rms_eps = 1e-5,
                                   .attn_scale = 1 / sqrt(TINY_HD),
                                   .embedding_scale = 1,
                                   .residual_scale = 1,
                                   .output_scale = 1};
    ste_rotary_plain(&y->m.hp.rotary[STE_ROTARY_FULL], 100, TINY_HD);
    y->m.embedding = tiny_tensor(y, STE_Q8_0, TINY_D, TINY_VOCAB, 0, 1, &rng);
    y->m.output = tied ? y->m.embedding : tiny_tensor(y, STE_F32, TINY_D, TINY_VOCAB, 0, 0.5, &rng);
    y->m.output_norm = tiny_tensor(y, STE_F32, TINY_D, 1, 1, 0.2, &rng);
    y->m.layers = y->layers;
    for (int l = 0; l < TINY_LAYERS; l++) {
        y->layers[l].norm[STE_NORM_ATTN] = tiny_tensor(y, STE_F32, TINY_D, 1, 1, 0.2, &rng);
        y->layers[l].norm[STE_NORM_FFN] = tiny_tensor(y, STE_F32, TINY_D, 1, 1, 0.2, &rng);
        for (int i = 0; i < STE_N_LINEAR; i++) {
            int out, in;
            ste_linear_shape(&y->m.hp, (enum ste_linear)i, &out, &in);
            y->layers[l].linear[i] = tiny_tensor(y, i % 2 ? STE_F32 : STE_Q8_0, in, out, 0, 1.5 / sqrt(in), &rng);
            if (biases && i <= STE_V)
                y->layers[l].bias[i] = tiny_tensor(y, STE_F32, out, 1, 0, 0.5, &rng);
        }
    }
    return y;
}

static void tiny_free(struct tiny *y)
{
    for (int i = 0; i < y->n; i++)
        free((void *)(uintptr_t)y->tensors[i].data);
    free(y);
}

/* Examples of the given lengths with random tokens; the prompt is about half. */
static struct ste_example *tiny_examples(const int *lengths, int n, uint64_t seed)
{
    struct ste_example *e = calloc((size_t)n, sizeof *e);
    struct ste_rng rng;
    ste_rng_init(&rng, seed, 2);
    for (int i = 0; i < n; i++) {
        int32_t *t = malloc((size_t)lengths[i] * sizeof *t);
        for (int k = 0; k < lengths[i]; k++)
            t[k] = (int32_t)ste_rng_below(&rng, TINY_VOCAB);
        e[i] = (struct ste_example){t, lengths[i], lengths[i] / 2, i % 3 == 1 ? 0.5f : 1.0f, NULL};
    }
    return e;
}

static void tiny_examples_free(struct ste_example *e, int n)
{
    for (int i = 0; i < n; i++)
        free((void *)(uintptr_t)e[i].tokens);
    free(e);
}

/* B random too, so that every gradient is far from zero. */
static inline void tiny_fill_b(struct ste_lora *l, uint64_t seed)
{
    struct ste_rng rng;
    ste_rng_init(&rng, seed, 3);
    for (int i = 0; i < l->n_layers; i++)
        for (int k = 0; k < STE_N_LINEAR; k++)
            for (int c = 0; c < l->factors[i][k].out * l->r; c++)
                l->factors[i][k].b[c] = (float)(0.1 * ste_rng_normal(&rng));
}

#endif
