#include "model/bpe.h"

#include <string.h>

#include "core/buf.h"
#include "core/mem.h"

#define EMPTY UINT64_MAX

void ste_merges_init(struct ste_merges *m, size_t n)
{
    size_t size = 16;
    while (size < 2 * n)
        size *= 2;
    m->slots = ste_xmalloc(size * sizeof *m->slots);
    for (size_t i = 0; i < size; i++)
        m->slots[i].pair = EMPTY;
    m->mask = size - 1;
}

void ste_merges_clear(struct ste_merges *m)
{
    ste_xfree(m->slots);
    *m = (struct ste_merges){0};
}

static uint64_t pair_of(int32_t left, int32_t right)
{
    return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}

static struct ste_merge *slot_of(const struct ste_merges *m, uint64_t pair)
{
    uint64_t h = pair * 0x9E3779B97F4A7C15;
    size_t i = (h ^ h >> 32) & m->mask;
    while (m->slots[i].pair != pair && m->slots[i].pair != EMPTY)
        i = (i + 1) & m->mask;
    return &m->slots[i];
}

void ste_merges_add(struct ste_merges *m, int32_t left, int32_t right, uint32_t rank, int32_t id)
{
    struct ste_merge *s = slot_of(m, pair_of(left, right));
    if (s->pair == EMPTY)
        *s = (struct ste_merge){pair_of(left, right), rank, id};
}

int ste_merges_read(struct ste_merges *m, const struct ste_vocabulary *v, const struct ste_str *merges, uint64_t n,
                    struct ste_err *err)
{
    struct ste_buf both = STE_BUF_INIT;
    int rc = 0;
    ste_merges_init(m, n);
    for (uint64_t i = 0; i < n && !rc; i++) {
        struct ste_str s = merges[i];
        const char *space = s.n > 2 ? memchr(s.s + 1, ' ', s.n - 1) : NULL;
        size_t left = space ? (size_t)(space - s.s) : 0, right = space ? s.n - left - 1 : 0;
        if (!right) {
            rc = ste_err_set(err, STE_EINPUT, "merge %llu is not two tokens with a space between",
                             (unsigned long long)i);
            break;
        }
        ste_buf_reset(&both);
        ste_buf_add(&both, s.s, left);
        ste_buf_add(&both, space + 1, right);
        int32_t a = ste_vocabulary_find(v, s.s, left), b = ste_vocabulary_find(v, space + 1, right);
        int32_t ab = ste_vocabulary_find(v, both.s, both.len);
        if (a < 0 || b < 0 || ab < 0)
            rc = ste_err_set(err, STE_EINPUT, "merge %llu has a part or a result that is not in the vocabulary",
                             (unsigned long long)i);
        else if (ste_vocabulary_is_plain(v, ab))
            ste_merges_add(m, a, b, (uint32_t)i, ab);
    }
    ste_buf_clear(&both);
    return rc;
}

static const struct ste_merge *find(const struct ste_merges *m, int32_t left, int32_t right)
{
    const struct ste_merge *s = slot_of(m, pair_of(left, right));
    return s->pair == EMPTY ? NULL : s;
}

size_t ste_bpe_short(const struct ste_merges *m, int32_t *ids, size_t n)
{
    const struct ste_merge *pairs[STE_BPE_SHORT]; /* pairs[i]: how ids[i] and ids[i + 1] merge, or NULL */
    for (size_t i = 0; i + 1 < n; i++)
        pairs[i] = find(m, ids[i], ids[i + 1]);
    while (n > 1) {
        size_t best = n;
        for (size_t i = 0; i + 1 < n; i++)
            if (pairs[i] && (best == n || pairs[i]->rank < pairs[best]->rank))
                best = i;
        if (best == n)
            break;
        ids[best] = pairs[best]->id;
        n--;
        memmove(ids + best + 1, ids + best + 2, (n - best - 1) * sizeof *ids);
        if (best + 1 < n) {
            memmove(pairs + best, pairs + best + 1, (n - best - 1) * sizeof *pairs);
            pairs[best] = find(m, ids[best], ids[best + 1]);
        }
        if (best > 0)
            pairs[best - 1] = find(m, ids[best - 1], ids[best]);
    }
    return n;
}

/* A heap of merges that were possible when they were put in; ordered by rank, then position. */
struct candidate {
    uint64_t order; /* rank << 32 | position of the left one */
    int32_t left, right, id;
};
struct heap {
    struct candidate *c;
    size_t n, cap;
};

static void push(struct heap *h, struct candidate c)
{
    STE_GROW(h->c, h->cap, h->n + 1);
    size_t i = h->n++;
    for (; i && c.order < h->c[(i - 1) / 2].order; i = (i - 1) / 2)
        h->c[i] = h->c[(i - 1) / 2];
    h->c[i] = c;
}

static struct candidate pop(struct heap *h)
{
    struct candidate top = h->c[0], last = h->c[--h->n];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= h->n)
            break;
        if (child + 1 < h->n && h->c[child + 1].order < h->c[child].order)
            child++;
        if (last.order <= h->c[child].order)
            break;
        h->c[i] = h->c[child];
        i = child;
    }
    h->c[i] = last;
    return top;
}

static void consider(const struct ste_merges *m, struct heap *h, const int32_t *ids, uint32_t left, uint32_t right)
{
    const struct ste_merge *s = find(m, ids[left], ids[right]);
    if (s)
        push(h, (struct candidate){(uint64_t)s->rank << 32 | left, ids[left], ids[right], s->id});
}

size_t ste_bpe_long(const struct ste_merges *m, int32_t *ids, size_t n)
{
    const uint32_t none = UINT32_MAX;
    struct heap h = {0};
    uint32_t *next = ste_xmalloc(n * sizeof *next), *prev = ste_xmalloc(n * sizeof *prev);
    for (size_t i = 0; i < n; i++) {
        prev[i] = i ? (uint32_t)i - 1 : none;
        next[i] = i + 1 < n ? (uint32_t)i + 1 : none;
    }
    for (uint32_t i = 0; i + 1 < n; i++)
        consider(m, &h, ids, i, i + 1);
    while (h.n) {
        struct candidate c = pop(&h);
        uint32_t left = (uint32_t)c.order, right = ids[left] == c.left ? next[left] : none;
        if (right == none || ids[right] != c.right)
            continue; /* one of the two has merged with another since */
        ids[left] = c.id;
        ids[right] = -1; /* gone */
        next[left] = next[right];
        if (next[right] != none) {
            prev[next[right]] = left;
            consider(m, &h, ids, left, next[left]);
        }
        if (prev[left] != none)
            consider(m, &h, ids, prev[left], left);
    }
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (ids[i] >= 0)
            ids[kept++] = ids[i];
    ste_xfree(h.c);
    ste_xfree(next);
    ste_xfree(prev);
    return kept;
}

size_t ste_bpe(const struct ste_merges *m, int32_t *ids, size_t n)
{
    return n <= STE_BPE_SHORT ? ste_bpe_short(m, ids, n) : ste_bpe_long(m, ids, n);
}
