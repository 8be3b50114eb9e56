/*
 * The prefix tree of the KV cache: which block of 64 absolute positions holds which tokens, by number; what is in the
 * blocks is the device's matter (device.h). A block's parent holds the 64 positions before it, so that (adapter, tokens
 * so far) names a block and sequences with a common prefix use the same ones. Blocks are counted by the sequences that
 * use them; one that no sequence uses stays until its room is needed, the least recently used first.
 */
#ifndef STE_ENGINE_KV_H
#define STE_ENGINE_KV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/device.h"

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

/* The first N positions of block FROM are to be copied to block TO; N 0: nothing is. */
struct ste_kv_copy {
    int to, from;
    size_t n;
};

struct ste_kv *ste_kv_new(int n_blocks);
void ste_kv_free(struct ste_kv *kv);
/* How many of the first N tokens are there for this adapter. */
size_t ste_kv_find(const struct ste_kv *kv, uint64_t adapter, const int32_t *ids, size_t n);
/* Starts a sequence that will have at most N_MAX positions with what is there of the first N_PREFIX tokens: whole
 * blocks are shared, the matching part of one more is to be copied by the caller, before anything else: COPY says
 * what. Returns how many positions are then covered, or -1 when room for N_MAX cannot be promised now. */
long ste_kv_start(struct ste_kv *kv, struct ste_chain *c, uint64_t adapter, const int32_t *ids, size_t n_prefix,
                  size_t n_max, struct ste_kv_copy *copy);
/* Makes room for positions below N; always succeeds within N_MAX. */
void ste_kv_extend(struct ste_kv *kv, struct ste_chain *c, size_t n);
/* Positions FROM .. TO-1 are computed; IDS are the tokens from position 0. */
void ste_kv_commit(struct ste_kv *kv, struct ste_chain *c, const int32_t *ids, size_t from, size_t to);
/* Ends a sequence. Its first KEEP positions stay findable; what was generated after them goes at once. */
void ste_kv_stop(struct ste_kv *kv, struct ste_chain *c, size_t keep);

#endif
