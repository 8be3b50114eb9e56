#include "model/mix.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static const struct ste_mix mixes[] = {
    {"F32", STE_F32, 0},      {"F16", STE_F16, 1},      {"BF16", STE_BF16, 32},   {"Q8_0", STE_Q8_0, 7},
    {"Q4_0", STE_Q4_0, 2},    {"Q4_1", STE_Q4_1, 3},    {"Q5_0", STE_Q5_0, 8},    {"Q5_1", STE_Q5_1, 9},
    {"Q4_K_S", STE_Q4_K, 14}, {"Q4_K_M", STE_Q4_K, 15}, {"Q5_K_S", STE_Q5_K, 16}, {"Q5_K_M", STE_Q5_K, 17},
    {"Q6_K", STE_Q6_K, 18},
};
enum { Q4_K_S = 14, Q4_K_M = 15, Q5_K_M = 17 };

const struct ste_mix *ste_mix_of(const char *name)
{
    if (strcasecmp(name, "Q4_K") == 0)
        name = "Q4_K_M";
    else if (strcasecmp(name, "Q5_K") == 0)
        name = "Q5_K_M";
    for (size_t i = 0; i < sizeof mixes / sizeof *mixes; i++)
        if (strcasecmp(name, mixes[i].name) == 0)
            return &mixes[i];
    return NULL;
}

const char *ste_mix_names(void)
{
    return "F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K_S, Q4_K_M, Q5_K_S, Q5_K_M or Q6_K";
}

/* Layers in which the mixes called M spend more: the first and the last eighth, and every third between. */
static bool gets_more(int layer, int n)
{
    return layer < n / 8 || layer >= 7 * n / 8 || (layer - n / 8) % 3 == 2;
}

static bool ends_with(const char *s, const char *end)
{
    const size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

/* Of a matrix, before its shape is looked at. */
static enum ste_type wanted(const struct ste_mix *mix, const char *name, int n_layers, bool tied)
{
    int layer = 0;
    const bool m = mix->file_type == Q4_K_M || mix->file_type == Q5_K_M;
    if (mix->type == STE_Q8_0 || ste_type_block(mix->type) == 1)
        return mix->type;
    if (strcmp(name, "output.weight") == 0 || (tied && strcmp(name, "token_embd.weight") == 0))
        return STE_Q6_K;
    if (sscanf(name, "blk.%d.", &layer) != 1)
        return mix->type;
    if (m && ends_with(name, ".attn_qkv.weight")) /* V is a third of it */
        return mix->type == STE_Q4_K ? STE_Q5_K : STE_Q6_K;
    const bool v = ends_with(name, ".attn_v.weight");
    if (v || ends_with(name, ".ffn_down.weight")) {
        if (m && gets_more(layer, n_layers))
            return STE_Q6_K;
        if (mix->file_type == Q4_K_S && layer < (v ? 4 : n_layers / 8))
            return STE_Q5_K;
    }
    return mix->type;
}

enum ste_type ste_mix_type(const struct ste_mix *mix, const struct ste_tensor *t, int n_layers, bool tied)
{
    if (t->n_dims < 2 || !ends_with(t->name, ".weight") || strstr(t->name, "_norm."))
        return STE_F32;
    enum ste_type type = wanted(mix, t->name, n_layers, tied);
    if (t->shape[0] % (uint64_t)ste_type_block(type))
        type = type == STE_Q4_K ? STE_Q5_0 : type == STE_Q5_K ? STE_Q5_1 : STE_Q8_0;
    return t->shape[0] % (uint64_t)ste_type_block(type) ? STE_F16 : type;
}
