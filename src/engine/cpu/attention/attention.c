#include "engine/cpu/attention/attention.h"

#include <limits.h>
#include <math.h>
#include <string.h>

#define MAX_ROWS 64 /* query rows a part */
#define BATCH 48    /* query rows times heads that go through a block together */

struct job {
    const struct ste_kv_store *kv;
    const struct ste_ops *ops;
    const struct ste_attn_kernels *kern;
    const struct ste_attn_row *rows;
    const float *q;
    float *out;
    struct ste_inputs *inputs;
    size_t ld;
    int layer, window, n, chunk, n_chunks, group;
};

/* A KV head's part of a block. */
struct kv {
    const uint16_t *k, *v;
};

static struct kv kv_at(const struct job *j, int block, int head)
{
    return (struct kv){ste_kv_k(j->kv, block, j->layer, head), ste_kv_v(j->kv, block, j->layer, head)};
}

/* N (row, head) pairs, all in the same block; of NEXT so many positions are used then. */
static void through_block(const struct job *j, struct kv here, const float *const *q, float *const *acc,
                          struct ste_attn_state *const *st, const int *from, const int *valid, int n, struct kv next,
                          int n_next)
{
    enum { LINE = 64 / sizeof(uint16_t) };
    const int next_k = (n_next + STE_KV_RUN - 1) / STE_KV_RUN * STE_KV_RUN;
    _Alignas(64) float s[BATCH * STE_KV_BLOCK], shrink[BATCH];
    int hd = j->kv->head_dim, most = 0;
    for (int i = 0; i < n; i++)
        most = valid[i] > most ? valid[i] : most;
    j->kern->scores(q, n, here.k, hd, most, s, (struct ste_attn_ahead){(const char *)next.k, next_k * hd / LINE});
    j->kern->weigh(s, n, from, valid, most, st, shrink);
    j->kern->mix(acc, n, shrink, s, here.v, hd, most,
                 (struct ste_attn_ahead){(const char *)next.v, (n_next * hd + LINE - 1) / LINE});
}

/* The positions of a block that are out of a row's window: the first FROM. */
static int from_at(const struct job *j, int row, int depth)
{
    const int v = j->window ? j->rows[row].pos + 1 - j->window - depth * STE_KV_BLOCK : 0;
    return v < 0 ? 0 : v;
}

/* How many positions a row has there, those out of its window among them; 0: it sees none. */
static int valid_at(const struct job *j, int row, int depth)
{
    const int v = j->rows[row].pos - depth * STE_KV_BLOCK + 1;
    return v < 0 || from_at(j, row, depth) >= STE_KV_BLOCK ? 0 : v > STE_KV_BLOCK ? STE_KV_BLOCK : v;
}

/* One KV head, up to MAX_ROWS neighbouring rows, all depths. */
static void part(void *arg, int index)
{
    const struct job *j = arg;
    struct ste_attn_state states[MAX_ROWS * STE_MAX_GROUP];
    const float *q[BATCH];
    float *acc[BATCH];
    struct ste_attn_state *st[BATCH];
    int from[BATCH], valid[BATCH];
    int head = index / j->n_chunks;
    int first = (j->n_chunks - 1 - index % j->n_chunks) * j->chunk; /* the longest ones of a prompt start first */
    int last = first + j->chunk < j->n ? first + j->chunk : j->n, deepest = 0, first_depth = INT_MAX;
    size_t hd = (size_t)j->kv->head_dim, at = (size_t)head * (size_t)j->group * hd;

    for (int i = 0; i < (last - first) * j->group; i++)
        states[i] = (struct ste_attn_state){-INFINITY, 0};
    for (int r = first; r < last; r++) {
        memset(j->out + (size_t)r * j->ld + at, 0, (size_t)j->group * hd * sizeof(float));
        const int pos = j->rows[r].pos, start = j->window && pos >= j->window ? pos + 1 - j->window : 0;
        deepest = pos > deepest ? pos : deepest;
        first_depth = start / STE_KV_BLOCK < first_depth ? start / STE_KV_BLOCK : first_depth;
    }
    for (int depth = first_depth; depth <= deepest / STE_KV_BLOCK; depth++) {
        for (int r = first, end; r < last; r = end) {
            if (!valid_at(j, r, depth)) {
                end = r + 1;
                continue;
            }
            const int block = j->rows[r].blocks[depth];
            int n = 0;
            for (end = r; end < last; end++) {
                if (valid_at(j, end, depth) && j->rows[end].blocks[depth] != block)
                    break;
            }
            const int beside = end < last ? valid_at(j, end, depth) : 0;
            const int below = valid_at(j, first, depth + 1);
            int n_next = beside ? beside : below;
            const int next_block = beside  ? j->rows[end].blocks[depth]
                                   : below ? j->rows[first].blocks[depth + 1]
                                           : block;
            const struct kv here = kv_at(j, block, head), next = kv_at(j, next_block, head);
            for (int i = r; i < end; i++) {
                const int seen = valid_at(j, i, depth);
                if (!seen)
                    continue;
                for (int g = 0; g < j->group; g++) {
                    size_t off = (size_t)i * j->ld + at + (size_t)g * hd;
                    q[n] = j->q + off;
                    acc[n] = j->out + off;
                    st[n] = &states[(i - first) * j->group + g];
                    from[n] = from_at(j, i, depth);
                    valid[n++] = seen;
                    if (n == BATCH) {
                        through_block(j, here, q, acc, st, from, valid, n, next, n_next);
                        n = n_next = 0; /* sent for */
                    }
                }
            }
            if (n)
                through_block(j, here, q, acc, st, from, valid, n, next, n_next);
        }
    }
    for (int r = first; r < last; r++)
        for (int g = 0; g < j->group; g++)
            j->ops->scale(j->out + (size_t)r * j->ld + at + (size_t)g * hd,
                          1.0f / states[(r - first) * j->group + g].sum, hd);
    if (j->inputs)
        ste_inputs_round(j->inputs, first, last - first, (int)at, j->group * (int)hd);
}

void ste_attention(const struct ste_kv_store *kv, int layer, int window, int n_heads, enum ste_isa isa,
                   const struct ste_attn_row *rows, int n, const float *q, float *out, struct ste_inputs *inputs,
                   struct ste_pool *pool)
{
    struct job j = {.kv = kv,
                    .ops = ste_ops_of(isa),
                    .kern = ste_attn_kernels_of(isa),
                    .rows = rows,
                    .q = q,
                    .out = out,
                    .inputs = inputs,
                    .layer = layer,
                    .window = window,
                    .n = n,
                    .group = n_heads / kv->n_kv_heads};
    j.ld = (size_t)n_heads * (size_t)kv->head_dim;
    /* Few large parts read a shared block seldom, many small ones keep the threads equally busy. */
    int want = (3 * ste_pool_size(pool) + kv->n_kv_heads - 1) / kv->n_kv_heads;
    j.chunk = (n + want - 1) / want;
    if (j.chunk < 4)
        j.chunk = 4;
    if (j.chunk > MAX_ROWS)
        j.chunk = MAX_ROWS;
    j.n_chunks = (n + j.chunk - 1) / j.chunk;
    ste_pool_run(pool, part, &j, kv->n_kv_heads * j.n_chunks);
}
