/* Pair merges on token ids: of all neighbours that may merge, the pair of lowest rank does, the leftmost first. */
#ifndef STE_MODEL_BPE_H
#define STE_MODEL_BPE_H

#include <stddef.h>
#include <stdint.h>

#include "model/vocabulary.h"

struct ste_merge {
    uint64_t pair; /* left id << 32 | right id */
    uint32_t rank;
    int32_t id; /* of the two as one */
};

struct ste_merges {
    struct ste_merge *slots;
    size_t mask;
};

void ste_merges_init(struct ste_merges *m, size_t n);
/* The first of two equal pairs counts. */
void ste_merges_add(struct ste_merges *m, int32_t left, int32_t right, uint32_t rank, int32_t id);
void ste_merges_clear(struct ste_merges *m);
/* Merges as files write them, "LEFT RIGHT" in the order of rank, into a new M. A merge whose result is no plain token
 * (ste_vocabulary_find_plain) is left out: so no text becomes a control token. STE_EINPUT: one that is not two tokens
 * with a space between, or has a part or a result that is no token. */
int ste_merges_read(struct ste_merges *m, const struct ste_vocabulary *v, const struct ste_str *merges, uint64_t n,
                    struct ste_err *err);

/* Merges IDS in place until nothing merges; the number that is left. O(n log n); n below 2^32. */
size_t ste_bpe(const struct ste_merges *m, int32_t *ids, size_t n);
/* Both do what ste_bpe does, which takes the short one for up to STE_BPE_SHORT ids: it searches plainly, O(n^2), which
 * is faster there. */
size_t ste_bpe_short(const struct ste_merges *m, int32_t *ids, size_t n);
size_t ste_bpe_long(const struct ste_merges *m, int32_t *ids, size_t n);

enum { STE_BPE_SHORT = 48 };

#endif
