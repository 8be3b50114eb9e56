/*
 * Causal grouped-query attention over the KV cache. Block by block of 64 absolute positions, each row keeps a running
 * maximum, sum and weighted V (online softmax, Milakov and Gimelshein, arXiv 1805.02867). At each depth the rows whose
 * block is the same one are taken together, so a shared prefix is read once for all of them; what a row gets depends on
 * its own sequence only. One form serves prefill, decoding and any mix of them.
 */
#ifndef STE_ENGINE_ATTENTION_H
#define STE_ENGINE_ATTENTION_H

#include "engine/kernels.h"
#include "engine/kv.h"

#define STE_MAX_HEAD_DIM 256
#define STE_MAX_GROUP 16 /* query heads to a KV head */

struct ste_attn_row {
    const int *blocks; /* of its sequence */
    int pos;           /* sees positions 0 .. POS */
};

/* Q and OUT are (N, n_heads * head_dim); Q is already scaled by 1/sqrt(head_dim). Rows of the sequences that share
 * blocks must be neighbours. */
void ste_attention(const struct ste_kv *kv, int layer, int n_heads, enum ste_isa isa, const struct ste_attn_row *rows,
                   int n, const float *q, float *out, struct ste_pool *pool);

/* The two products, once for each instruction set. Sums run in the order of head_dim and of positions, fused. */
struct ste_attn_kernels {
    /* S (n, 64) = Q . K^T for the first N_POS positions (rounded up to 16); KT is (head_dim, 64), f16 */
    void (*scores)(const float *const *q, int n, const uint16_t *kt, int head_dim, int n_pos, float *s);
    /* ACC (n, head_dim) += P (n, 64) . V (64, head_dim), f16, over the first N_POS positions; head_dim is a multiple
     * of 16 */
    void (*mix)(float *const *acc, int n, const float *p, const uint16_t *v, int head_dim, int n_pos);
};
extern const struct ste_attn_kernels ste_attn_portable, ste_attn_avx2, ste_attn_avx512;
const struct ste_attn_kernels *ste_attn_kernels_of(enum ste_isa isa);

#endif
