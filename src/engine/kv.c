#include "engine/kv.h"

#include <stdlib.h>
#include <string.h>

#include "core/mem.h"

struct ste_kv *ste_kv_new(int n_blocks)
{
    struct ste_kv *kv = ste_xcalloc(1, sizeof *kv);
    kv->n_blocks = n_blocks;
    kv->blocks = ste_xcalloc((size_t)n_blocks, sizeof *kv->blocks);
    kv->free_list = ste_xcalloc((size_t)n_blocks, sizeof *kv->free_list);
    for (int i = 0; i < n_blocks; i++)
        kv->free_list[kv->n_free++] = n_blocks - 1 - i; /* low blocks first: pages are touched only when needed */
    return kv;
}

void ste_kv_free(struct ste_kv *kv)
{
    if (!kv)
        return;
    ste_xfree(kv->blocks);
    ste_xfree(kv->free_list);
    ste_xfree(kv->roots);
    ste_xfree(kv);
}

/* Roots have the numbers -2, -3, ...: -1 is "none". */
static struct ste_kv_root *root_of(struct ste_kv *kv, int node)
{
    return &kv->roots[-2 - node];
}

static int *first_child(struct ste_kv *kv, int node)
{
    return node >= 0 ? &kv->blocks[node].first_child : &root_of(kv, node)->first_child;
}

static int find_root(const struct ste_kv *kv, uint64_t adapter)
{
    for (int i = 0; i < kv->n_roots; i++)
        if (kv->roots[i].in_use && kv->roots[i].adapter == adapter)
            return -2 - i;
    return -1;
}

static int make_root(struct ste_kv *kv, uint64_t adapter)
{
    int i = 0;
    while (i < kv->n_roots && kv->roots[i].in_use)
        i++;
    if (i == kv->n_roots) {
        STE_GROW(kv->roots, kv->cap_roots, kv->n_roots + 1);
        kv->n_roots++;
    }
    kv->roots[i] = (struct ste_kv_root){.adapter = adapter, .first_child = -1, .in_use = true};
    return -2 - i;
}

static void link_block(struct ste_kv *kv, int block, int parent)
{
    struct ste_kv_block *b = &kv->blocks[block];
    int *head = first_child(kv, parent);
    b->parent = parent;
    b->prev = -1;
    b->next = *head;
    if (b->next >= 0)
        kv->blocks[b->next].prev = block;
    *head = block;
}

static void unlink_block(struct ste_kv *kv, int block)
{
    struct ste_kv_block *b = &kv->blocks[block];
    if (b->prev >= 0)
        kv->blocks[b->prev].next = b->next;
    else
        *first_child(kv, b->parent) = b->next;
    if (b->next >= 0)
        kv->blocks[b->next].prev = b->prev;
    if (b->parent < -1 && *first_child(kv, b->parent) < 0)
        root_of(kv, b->parent)->in_use = false; /* chains keep no root without blocks: see ste_kv_extend */
    kv->free_list[kv->n_free++] = block;
}

/* Of an idle block all descendants are idle too, since whoever uses a block uses all before it. So an idle leaf
 * exists as long as any block is idle. */
static int take_block(struct ste_kv *kv)
{
    if (!kv->n_free) {
        int oldest = -1;
        for (int i = 0; i < kv->n_blocks; i++) {
            const struct ste_kv_block *b = &kv->blocks[i];
            if (b->ref == 0 && b->first_child < 0 && (oldest < 0 || b->used < kv->blocks[oldest].used))
                oldest = i;
        }
        if (oldest < 0)
            abort(); /* a sequence took more than it was promised */
        unlink_block(kv, oldest);
        kv->n_idle--;
    }
    int block = kv->free_list[--kv->n_free];
    struct ste_kv_block *b = &kv->blocks[block];
    b->ref = 1;
    b->n = 0;
    b->first_child = -1;
    return block;
}

static size_t common(const int32_t *a, const int32_t *b, size_t n)
{
    size_t i = 0;
    while (i < n && a[i] == b[i])
        i++;
    return i;
}

/* The child of NODE that shares most with the N tokens at IDS; *MATCH says how many. */
static int best_child(const struct ste_kv *kv, int node, const int32_t *ids, size_t n, size_t *match)
{
    int best = -1;
    *match = 0;
    for (int c = *first_child((struct ste_kv *)kv, node); c >= 0; c = kv->blocks[c].next) {
        size_t have = (size_t)kv->blocks[c].n, m = common(kv->blocks[c].tokens, ids, have < n ? have : n);
        if (m > *match) {
            *match = m;
            best = c;
        }
    }
    return best;
}

size_t ste_kv_find(const struct ste_kv *kv, uint64_t adapter, const int32_t *ids, size_t n)
{
    int node = find_root(kv, adapter);
    size_t done = 0, match = 0;
    while (node != -1 && done < n) {
        node = best_child(kv, node, ids + done, n - done, &match);
        done += match;
        if (match < STE_KV_BLOCK)
            break;
    }
    return done;
}

static void use_block(struct ste_kv *kv, struct ste_chain *c, int block)
{
    if (kv->blocks[block].ref++ == 0)
        kv->n_idle--;
    STE_GROW(c->blocks, c->cap, c->n + 1);
    c->blocks[c->n++] = block;
}

/* The first M positions of one block, for another sequence that goes on differently behind them. */
static struct ste_kv_copy copy_positions(struct ste_kv *kv, int to, int from, size_t m)
{
    memcpy(kv->blocks[to].tokens, kv->blocks[from].tokens, m * sizeof(int32_t));
    kv->blocks[to].n = (int)m;
    return (struct ste_kv_copy){to, from, m};
}

long ste_kv_start(struct ste_kv *kv, struct ste_chain *c, uint64_t adapter, const int32_t *ids, size_t n_prefix,
                  size_t n_max, struct ste_kv_copy *copy)
{
    int total = (int)((n_max + STE_KV_BLOCK - 1) / STE_KV_BLOCK);
    int root = find_root(kv, adapter), node = root;
    int shared = 0, idle = 0, partial = -1;
    size_t match = 0, done = 0;
    while (node != -1 && done < n_prefix) { /* look first, so that nothing is to be undone */
        int child = best_child(kv, node, ids + done, n_prefix - done, &match);
        if (match < STE_KV_BLOCK) {
            partial = child;
            break;
        }
        idle += kv->blocks[child].ref == 0;
        shared++;
        done += STE_KV_BLOCK;
        node = child;
    }
    *copy = (struct ste_kv_copy){0};
    if (total - shared > kv->n_free + kv->n_idle - idle - kv->reserved)
        return -1;

    if (root == -1)
        root = make_root(kv, adapter);
    *c = (struct ste_chain){.root = root};
    node = root;
    for (int i = 0; i < shared; i++) {
        node = best_child(kv, node, ids + (size_t)i * STE_KV_BLOCK, STE_KV_BLOCK, &match);
        use_block(kv, c, node);
    }
    c->reserved = total - shared;
    kv->reserved += c->reserved;

    if (partial >= 0) {
        match =
            common(kv->blocks[partial].tokens, ids + done,
                   n_prefix - done < (size_t)kv->blocks[partial].n ? n_prefix - done : (size_t)kv->blocks[partial].n);
        bool was_idle = kv->blocks[partial].ref == 0;
        /* While it is held it cannot give way; with no other block left, computing again is the way out. */
        if (kv->n_free + kv->n_idle - was_idle > 0) {
            kv->blocks[partial].ref++;
            kv->n_idle -= was_idle;
            ste_kv_extend(kv, c, done + match);
            *copy = copy_positions(kv, c->blocks[c->n - 1], partial, match);
            kv->blocks[partial].ref--;
            kv->n_idle += was_idle;
            if (was_idle)
                kv->blocks[partial].used = ++kv->clock;
            done += match;
        }
    }
    /* A root lives by its blocks: the first one is taken at once. */
    ste_kv_extend(kv, c, 1);
    return (long)done;
}

void ste_kv_extend(struct ste_kv *kv, struct ste_chain *c, size_t n)
{
    while ((size_t)c->n * STE_KV_BLOCK < n) {
        int parent = c->n ? c->blocks[c->n - 1] : c->root;
        int block = take_block(kv);
        /* Taking it may have emptied this very root. */
        if (parent < 0)
            root_of(kv, parent)->in_use = true;
        link_block(kv, block, parent);
        c->reserved--;
        kv->reserved--;
        STE_GROW(c->blocks, c->cap, c->n + 1);
        c->blocks[c->n++] = block;
    }
}

void ste_kv_commit(struct ste_kv *kv, struct ste_chain *c, const int32_t *ids, size_t from, size_t to)
{
    for (size_t p = from; p < to; p++) {
        struct ste_kv_block *b = &kv->blocks[c->blocks[p / STE_KV_BLOCK]];
        b->tokens[p % STE_KV_BLOCK] = ids[p];
        b->n = (int)(p % STE_KV_BLOCK) + 1;
    }
}

/* Whether another block holds the same tokens after the same parent: then this one is not needed. */
static bool has_twin(const struct ste_kv *kv, int block)
{
    const struct ste_kv_block *b = &kv->blocks[block];
    for (int c = *first_child((struct ste_kv *)kv, b->parent); c >= 0; c = kv->blocks[c].next)
        if (c != block && kv->blocks[c].n >= b->n &&
            common(kv->blocks[c].tokens, b->tokens, (size_t)b->n) == (size_t)b->n)
            return true;
    return false;
}

void ste_kv_stop(struct ste_kv *kv, struct ste_chain *c, size_t keep)
{
    for (int i = c->n - 1; i >= 0; i--) {
        struct ste_kv_block *b = &kv->blocks[c->blocks[i]];
        if (--b->ref > 0)
            continue;
        size_t start = (size_t)i * STE_KV_BLOCK;
        if (b->first_child < 0) {
            size_t stay = keep > start ? keep - start : 0;
            if ((size_t)b->n > stay)
                b->n = (int)stay;
            if (b->n == 0 || has_twin(kv, c->blocks[i])) {
                unlink_block(kv, c->blocks[i]);
                continue;
            }
        }
        b->used = ++kv->clock;
        kv->n_idle++;
    }
    kv->reserved -= c->reserved;
    ste_xfree(c->blocks);
    *c = (struct ste_chain){0};
}
