#include "model/arch.h"

#include <string.h>

const struct ste_arch *const ste_archs[] = {&ste_arch_llama,
                                            &ste_arch_qwen2,
                                            &ste_arch_qwen3,
                                            &ste_arch_granite,
                                            &ste_arch_granite4,
                                            &ste_arch_olmo2,
                                            &ste_arch_phi3,
                                            &ste_arch_gemma3,
                                            &ste_arch_smollm3,
                                            &ste_arch_mistral3,
                                            NULL};

const char *ste_arch_lacks(const char *name, size_t n)
{
    static const struct {
        const char *name, *lacks; /* the first whose name is the beginning of it */
    } known[] = {{"qwen35", "layers of linear attention"},
                 {"qwen3next", "layers of linear attention and experts"},
                 {"kimi-linear", "layers of linear attention"},
                 {"granitehybrid", "state-space layers"},
                 {"mamba", "state-space layers"},
                 {"jamba", "state-space layers"},
                 {"falcon-h1", "state-space layers"},
                 {"nemotron_h", "state-space layers"},
                 {"plamo2", "state-space layers"},
                 {"rwkv", "recurrent layers"},
                 {"lfm2", "layers of convolution"},
                 {"gemma3n", "embeddings for each layer and several streams between layers"},
                 {"gemma4", "layers of different shapes and embeddings for each layer"},
                 {"gemma2", "bounded scores and logits"},
                 {"qwen2vl", "positions in three dimensions"},
                 {"qwen3vl", "positions in three dimensions"},
                 {"clip", "the part of a model that reads pictures"},
                 {"llama4", "experts"},
                 {"gpt-oss", "experts"},
                 {"deepseek2", "experts and compressed attention"},
                 {"dbrx", "experts"},
                 {"grok", "experts"}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (n >= strlen(known[i].name) && !memcmp(name, known[i].name, strlen(known[i].name)))
            return known[i].lacks;
    return memmem(name, n, "moe", 3) ? "experts" : NULL;
}

int ste_width(const struct ste_hparams *hp, enum ste_width w)
{
    switch (w) {
    case STE_WIDTH_MODEL:
        return hp->d_model;
    case STE_WIDTH_Q:
        return hp->n_heads * hp->head_dim;
    case STE_WIDTH_KV:
        return hp->n_kv_heads * hp->head_dim;
    case STE_WIDTH_HEAD:
        return hp->head_dim;
    case STE_WIDTH_FF:
        return hp->d_ff;
    }
    return 0;
}

void ste_linear_shape(const struct ste_hparams *hp, enum ste_linear l, int *out, int *in)
{
    *out = ste_width(hp, hp->arch->linear[l].out);
    *in = ste_width(hp, hp->arch->linear[l].in);
}

uint64_t ste_hf_row(uint64_t row, uint64_t head)
{
    return head ? row / head * head + row % head % 2 * (head / 2) + row % head / 2 : row;
}

const struct ste_fused *ste_fused_of(const struct ste_arch *arch, enum ste_linear l)
{
    for (const struct ste_fused *f = arch->fused; f < arch->fused + STE_MAX_FUSED; f++)
        if (f->peft && l >= f->first && (int)l < (int)f->first + f->n)
            return f;
    return NULL;
}

const char *ste_linear_peft_name(const struct ste_arch *arch, enum ste_linear l)
{
    const struct ste_fused *f = ste_fused_of(arch, l);
    const char *path = f ? f->peft : arch->linear[l].peft, *dot = path ? strrchr(path, '.') : NULL;
    return dot ? dot + 1 : path;
}
