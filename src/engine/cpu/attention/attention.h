/*
 * Causal grouped-query attention over the KV cache. Block by block of 64 absolute positions, each row keeps a running
 * maximum, sum and weighted V (online softmax, Milakov and Gimelshein, arXiv 1805.02867). At each depth the rows whose
 * block is the same one are taken together, so a shared prefix is read once for all of them; what a row gets depends on
 * its own sequence only. One form serves prefill, decoding and any mix of them.
 */
#ifndef STE_ENGINE_CPU_ATTENTION_H
#define STE_ENGINE_CPU_ATTENTION_H

#include "engine/cpu/kernels.h"
#include "engine/cpu/kv_store.h"

#define STE_MAX_GROUP 16 /* query heads to a KV head */

struct ste_attn_row {
    const int *blocks; /* of its sequence */
    int pos;           /* sees positions 0 .. POS */
};

/* Q and OUT are (N, n_heads * head_dim); Q is already scaled. A row sees WINDOW positions, its own the last of them; 0:
 * all. Rows of the sequences that share
 * blocks must be neighbours. INPUTS, whose X is OUT, are rounded as parts of OUT are done; NULL: nobody's. */
void ste_attention(const struct ste_kv_store *kv, int layer, int window, int n_heads, enum ste_isa isa,
                   const struct ste_attn_row *rows, int n, const float *q, float *out, struct ste_inputs *inputs,
                   struct ste_pool *pool);

/* Running state of one row and head: begins with -INFINITY and 0. */
struct ste_attn_state {
    float max, sum;
};

/* Cache lines that are wanted soon and come from far off: they are sent for one by one, while others are at work. */
struct ste_attn_ahead {
    const char *p;
    int lines;
};

/* What is done with a block, once for each instruction set, in this order. Sums run in the order of head_dim and of
 * positions, fused; those of weights in 16 lanes, folded in halves. */
struct ste_attn_kernels {
    /* S (n, 64) = Q . K^T for the first N_POS positions (rounded up to 16); K as kv_store.h has it */
    void (*scores)(const float *const *q, int n, const uint16_t *k, int head_dim, int n_pos, float *s,
                   struct ste_attn_ahead ahead);
    /* S = exp(S - max) for positions FROM[i] .. VALID[i] - 1 of row i, and 0 for the others up to N_POS, where the
     * row's maximum is raised to the block's. Each row's weights are added to its sum; by SHRINK[i] what came before
     * counts less. */
    void (*weigh)(float *s, int n, const int *from, const int *valid, int n_pos, struct ste_attn_state *const *states,
                  float *shrink);
    /* ACC (n, head_dim) = ACC * SHRINK + S (n, 64) . V (64, head_dim), f16, over the first N_POS positions; head_dim is
     * a multiple of 16 */
    void (*mix)(float *const *acc, int n, const float *shrink, const float *s, const uint16_t *v, int head_dim,
                int n_pos, struct ste_attn_ahead ahead);
};
extern const struct ste_attn_kernels ste_attn_portable, ste_attn_avx2, ste_attn_avx512;
const struct ste_attn_kernels *ste_attn_kernels_of(enum ste_isa isa);

#endif
