#include "engine/attention.h"

#include <math.h>
#include <string.h>

#include "core/mem.h"

#define MAX_ROWS 64 /* query rows a part */
#define BATCH 48    /* query rows times heads that go through a block together */

struct job {
    const struct ste_kv *kv;
    const struct ste_ops *ops;
    const struct ste_attn_kernels *kern;
    const struct ste_attn_row *rows;
    const float *q;
    float *out;
    size_t ld;
    int layer, n, chunk, n_chunks, group;
};

/* Running state of one row and head. */
struct state {
    float max, sum;
};

/* N (row, head) pairs, all in the same block. */
static void through_block(const struct job *j, const uint16_t *kt, const uint16_t *v, const float *const *q,
                          float *const *acc, struct state *const *st, const int *valid, int n)
{
    _Alignas(64) float s[BATCH * STE_KV_BLOCK];
    int hd = j->kv->head_dim, most = 0;
    for (int i = 0; i < n; i++)
        most = valid[i] > most ? valid[i] : most;
    j->kern->scores(q, n, kt, hd, most, s);
    for (int i = 0; i < n; i++) {
        float *si = s + (size_t)i * STE_KV_BLOCK;
        size_t nv = (size_t)valid[i];
        float m = j->ops->max(si, nv);
        if (st[i]->sum == 0) {
            st[i]->max = m;
        } else if (m > st[i]->max) {
            float shrink = st[i]->max - m;
            j->ops->exp(&shrink, &shrink, 1);
            st[i]->sum *= shrink;
            j->ops->scale(acc[i], shrink, (size_t)hd);
            st[i]->max = m;
        }
        st[i]->sum += j->ops->exp_sub_sum(si, si, st[i]->max, nv);
        for (size_t p = nv; p < STE_KV_BLOCK; p++)
            si[p] = 0; /* positions that only later rows see */
    }
    j->kern->mix(acc, n, s, v, hd, most);
}

/* What is read of the next block comes from far off: it is on its way while this one is used. */
static void prefetch_block(const struct job *j, int block, int head, int n_pos)
{
    enum { LINE = 64 / sizeof(uint16_t) };
    const size_t hd = (size_t)j->kv->head_dim, n = (size_t)n_pos;
    const uint16_t *k = ste_kv_k(j->kv, block, j->layer, head), *v = ste_kv_v(j->kv, block, j->layer, head);
    for (size_t d = 0; d < hd; d++)
        for (size_t i = 0; i < n; i += LINE)
            __builtin_prefetch(k + d * STE_KV_BLOCK + i, 0, 2);
    for (size_t i = 0; i < n * hd; i += LINE)
        __builtin_prefetch(v + i, 0, 2);
}

static int valid_at(const struct ste_attn_row *r, int depth)
{
    int v = r->pos - depth * STE_KV_BLOCK + 1;
    return v < 0 ? 0 : v > STE_KV_BLOCK ? STE_KV_BLOCK : v;
}

/* One KV head, up to MAX_ROWS neighbouring rows, all depths. */
static void part(void *arg, int index)
{
    const struct job *j = arg;
    struct state states[MAX_ROWS * STE_MAX_GROUP];
    const float *q[BATCH];
    float *acc[BATCH];
    struct state *st[BATCH];
    int valid[BATCH];
    int head = index / j->n_chunks;
    int first = (j->n_chunks - 1 - index % j->n_chunks) * j->chunk; /* the longest ones of a prompt start first */
    int last = first + j->chunk < j->n ? first + j->chunk : j->n, deepest = 0;
    size_t hd = (size_t)j->kv->head_dim, at = (size_t)head * (size_t)j->group * hd;

    memset(states, 0, sizeof *states * (size_t)((last - first) * j->group));
    for (int r = first; r < last; r++) {
        memset(j->out + (size_t)r * j->ld + at, 0, (size_t)j->group * hd * sizeof(float));
        deepest = j->rows[r].pos > deepest ? j->rows[r].pos : deepest;
    }
    for (int depth = 0; depth <= deepest / STE_KV_BLOCK; depth++) {
        for (int r = first, end; r < last; r = end) {
            if (!valid_at(&j->rows[r], depth)) {
                end = r + 1;
                continue;
            }
            const int block = j->rows[r].blocks[depth];
            const uint16_t *kt = ste_kv_k(j->kv, block, j->layer, head), *v = ste_kv_v(j->kv, block, j->layer, head);
            int n = 0;
            for (end = r; end < last; end++) {
                if (valid_at(&j->rows[end], depth) && j->rows[end].blocks[depth] != block)
                    break;
            }
            const int next = end < last ? valid_at(&j->rows[end], depth) : 0;
            const int below = valid_at(&j->rows[first], depth + 1);
            if (next)
                prefetch_block(j, j->rows[end].blocks[depth], head, next);
            else if (below)
                prefetch_block(j, j->rows[first].blocks[depth + 1], head, below);
            for (int i = r; i < end; i++) {
                int here = valid_at(&j->rows[i], depth);
                if (!here)
                    continue;
                for (int g = 0; g < j->group; g++) {
                    size_t off = (size_t)i * j->ld + at + (size_t)g * hd;
                    q[n] = j->q + off;
                    acc[n] = j->out + off;
                    st[n] = &states[(i - first) * j->group + g];
                    valid[n++] = here;
                    if (n == BATCH) {
                        through_block(j, kt, v, q, acc, st, valid, n);
                        n = 0;
                    }
                }
            }
            if (n)
                through_block(j, kt, v, q, acc, st, valid, n);
        }
    }
    for (int r = first; r < last; r++)
        for (int g = 0; g < j->group; g++)
            j->ops->scale(j->out + (size_t)r * j->ld + at + (size_t)g * hd,
                          1.0f / states[(r - first) * j->group + g].sum, hd);
}

void ste_attention(const struct ste_kv *kv, int layer, int n_heads, enum ste_isa isa, const struct ste_attn_row *rows,
                   int n, const float *q, float *out, struct ste_pool *pool)
{
    struct job j = {.kv = kv,
                    .ops = ste_ops_of(isa),
                    .kern = ste_attn_kernels_of(isa),
                    .rows = rows,
                    .q = q,
                    .out = out,
                    .layer = layer,
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
