#include "engine/cpu/kv_store.h"

#include <string.h>

#include "core/mem.h"

size_t ste_kv_store_block_bytes(const struct ste_hparams *hp)
{
    return (size_t)STE_KV_BLOCK * 2 * (size_t)hp->head_dim * (size_t)hp->n_kv_heads * (size_t)hp->n_layers *
           sizeof(uint16_t);
}

int ste_kv_store_init(struct ste_kv_store *kv, const struct ste_hparams *hp, int n_blocks, struct ste_err *err)
{
    void *data = NULL;
    uint64_t bytes;
    *kv = (struct ste_kv_store){.n_layers = hp->n_layers,
                                .n_kv_heads = hp->n_kv_heads,
                                .head_dim = hp->head_dim,
                                .head_size = 2 * (size_t)STE_KV_BLOCK * (size_t)hp->head_dim,
                                .block_size = ste_kv_store_block_bytes(hp) / sizeof(uint16_t)};
    if (ste_mul_overflows((uint64_t)n_blocks, ste_kv_store_block_bytes(hp), &bytes))
        return ste_err_set(err, STE_ENOMEM, "a KV cache of %d blocks is larger than memory can be", n_blocks);
    int rc = ste_big_alloc(&data, bytes, "the KV cache", err);
    kv->data = data;
    kv->data_bytes = rc ? 0 : bytes;
    return rc;
}

void ste_kv_store_clear(struct ste_kv_store *kv)
{
    if (kv->data)
        ste_big_free(kv->data, kv->data_bytes);
    *kv = (struct ste_kv_store){0};
}

void ste_kv_store_copy(const struct ste_kv_store *kv, int to, int from, size_t n)
{
    const size_t hd = (size_t)kv->head_dim, runs = (n + STE_KV_RUN - 1) / STE_KV_RUN;
    for (int l = 0; l < kv->n_layers; l++) {
        for (int h = 0; h < kv->n_kv_heads; h++) {
            memcpy(ste_kv_k(kv, to, l, h), ste_kv_k(kv, from, l, h), runs * STE_KV_RUN * hd * sizeof *kv->data);
            memcpy(ste_kv_v(kv, to, l, h), ste_kv_v(kv, from, l, h), n * hd * sizeof *kv->data);
        }
    }
}
