#include "model/arch.h"

#include <string.h>

const struct ste_arch *const ste_archs[] = {&ste_arch_llama, &ste_arch_qwen2, NULL};

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

const char *ste_linear_peft_name(const struct ste_arch *arch, enum ste_linear l)
{
    const char *path = arch->linear[l].peft, *dot = path ? strrchr(path, '.') : NULL;
    return dot ? dot + 1 : path;
}
