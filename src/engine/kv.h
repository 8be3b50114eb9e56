/*
 * The KV cache: blocks of 64 absolute positions, f16, all layers and heads of a block in one piece. Blocks form a
 * prefix tree: a block's parent holds the 64 positions before it, so that (adapter, tokens so far) names a block and
 * sequences with a common prefix use the same ones. Blocks are counted by the sequences that use them; one that no
 * sequence uses stays until its memory is needed, the least recently used first.
 *
 * Within a block, for each layer and KV head: K, turned in runs of 16 positions, (4, head_dim, 16), then V, (64,
 * head_dim). What the first positions take is in one piece.
 */
#ifndef STE_ENGINE_KV_H
#define STE_ENGINE_KV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"

#define STE_KV_BLOCK 64
#define STE_KV_RUN 16 /* positions whose K lie turned together */

struct ste_kv_block {
    int ref;                     /* sequences that use it */
    int parent;                  /* a block, or a root (negative) */
    int first_child, prev, next; /* -1: none */
    int n;                       /* positions that are computed */
    uint64_t used;               /* when it was last let go */
    int32_t tokens[STE_KV_BLOCK];
};

struct ste_kv_root { /* one for each adapter in use */
    uint64_t adapter;
    int first_child;
    bool in_use;
};

struct ste_kv {
    int n_layers, n_kv_heads, head_dim;
    size_t head_size, block_size; /* f16 elements of one head's K and V; of a block */
    uint16_t *data;
    size_t data_bytes;
    struct ste_kv_block *blocks;
    int n_blocks, *free_list, n_free, n_idle; /* idle: in the tree, used by nobody */
    int reserved;                             /* promised to running sequences and not yet taken */
    uint64_t clock;
    struct ste_kv_root *roots;
    int n_roots, cap_roots;
};

/* The blocks of one sequence, in the order of positions. */
struct ste_chain {
    int root, *blocks, n, cap;
    int reserved; /* blocks it may still take */
};

int ste_kv_new(struct ste_kv **out, int n_layers, int n_kv_heads, int head_dim, int n_blocks, struct ste_err *err);
void ste_kv_free(struct ste_kv *kv);
/* How many of the first N tokens are there for this adapter. */
size_t ste_kv_find(const struct ste_kv *kv, uint64_t adapter, const int32_t *ids, size_t n);
/* Starts a sequence that will have at most N_MAX positions with what is there of the first N_PREFIX tokens: whole
 * blocks are shared, the matching part of one more is copied. Returns how many positions are covered, or -1 when
 * memory for N_MAX cannot be promised now. */
long ste_kv_start(struct ste_kv *kv, struct ste_chain *c, uint64_t adapter, const int32_t *ids, size_t n_prefix,
                  size_t n_max);
/* Makes room for positions below N; always succeeds within N_MAX. */
void ste_kv_extend(struct ste_kv *kv, struct ste_chain *c, size_t n);
/* Positions FROM .. TO-1 are computed; IDS are the tokens from position 0. */
void ste_kv_commit(struct ste_kv *kv, struct ste_chain *c, const int32_t *ids, size_t from, size_t to);
/* Ends a sequence. Its first KEEP positions stay findable; what was generated after them goes at once. */
void ste_kv_stop(struct ste_kv *kv, struct ste_chain *c, size_t keep);

static inline uint16_t *ste_kv_k(const struct ste_kv *kv, int block, int layer, int head)
{
    return kv->data + (size_t)block * kv->block_size + (size_t)(layer * kv->n_kv_heads + head) * kv->head_size;
}
/* Where a position's K begins, an element every STE_KV_RUN, from that of the block. */
static inline size_t ste_kv_k_at(const struct ste_kv *kv, size_t in_block)
{
    return in_block / STE_KV_RUN * STE_KV_RUN * (size_t)kv->head_dim + in_block % STE_KV_RUN;
}
static inline uint16_t *ste_kv_v(const struct ste_kv *kv, int block, int layer, int head)
{
    return ste_kv_k(kv, block, layer, head) + (size_t)STE_KV_BLOCK * (size_t)kv->head_dim;
}

#endif
