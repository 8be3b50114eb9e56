/*
 * The CPU's storage of the KV cache: f16, all layers and heads of a block in one piece. Within a block, for each layer
 * and KV head: K, turned in runs of 16 positions, (4, head_dim, 16), then V, (64, head_dim). What the first positions
 * take is in one piece.
 */
#ifndef STE_ENGINE_CPU_KV_STORE_H
#define STE_ENGINE_CPU_KV_STORE_H

#include "engine/device.h"

#define STE_KV_RUN 16 /* positions whose K lie turned together */

struct ste_kv_store {
    int n_layers, n_kv_heads, head_dim;
    size_t head_size, block_size; /* f16 elements of one head's K and V; of a block */
    uint16_t *data;
    size_t data_bytes;
};

size_t ste_kv_store_block_bytes(const struct ste_hparams *hp);
int ste_kv_store_init(struct ste_kv_store *kv, const struct ste_hparams *hp, int n_blocks, struct ste_err *err);
void ste_kv_store_clear(struct ste_kv_store *kv);
/* The first N positions of block FROM to block TO. */
void ste_kv_store_copy(const struct ste_kv_store *kv, int to, int from, size_t n);

static inline uint16_t *ste_kv_k(const struct ste_kv_store *kv, int block, int layer, int head)
{
    return kv->data + (size_t)block * kv->block_size + (size_t)(layer * kv->n_kv_heads + head) * kv->head_size;
}
/* Where a position's K begins, an element every STE_KV_RUN, from that of the block. */
static inline size_t ste_kv_k_at(const struct ste_kv_store *kv, size_t in_block)
{
    return in_block / STE_KV_RUN * STE_KV_RUN * (size_t)kv->head_dim + in_block % STE_KV_RUN;
}
static inline uint16_t *ste_kv_v(const struct ste_kv_store *kv, int block, int layer, int head)
{
    return ste_kv_k(kv, block, layer, head) + (size_t)STE_KV_BLOCK * (size_t)kv->head_dim;
}

#endif
