#include "engine/attention.h"

#include <math.h>
#include <string.h>

#include "core/mem.h"

#define MAX_ROWS 64 /* query rows a part */
#define BATCH 48    /* query rows times heads that go through a block together */

static void scores_portable(const float *const *q, int n, const float *kt, int head_dim, int n_pos, float *s)
{
    for (int r = 0; r < n; r++) {
        float *sr = s + (size_t)r * STE_KV_BLOCK;
        for (int p = 0; p < n_pos; p++)
            sr[p] = 0;
        for (int d = 0; d < head_dim; d++)
            for (int p = 0; p < n_pos; p++)
                sr[p] = fmaf(q[r][d], kt[(size_t)d * STE_KV_BLOCK + (size_t)p], sr[p]);
    }
}

static void mix_portable(float *const *acc, int n, const float *p, const float *v, int head_dim, int n_pos)
{
    for (int r = 0; r < n; r++)
        for (int j = 0; j < n_pos; j++)
            for (int d = 0; d < head_dim; d++)
                acc[r][d] = fmaf(p[(size_t)r * STE_KV_BLOCK + (size_t)j], v[(size_t)j * (size_t)head_dim + (size_t)d],
                                 acc[r][d]);
}

const struct ste_attn_kernels ste_attn_portable = {scores_portable, mix_portable};

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

/* N (row, head) pairs, all in the same block, whose K and V stand ready as f32. */
static void through_block(const struct job *j, const float *kt, const float *v, const float *const *q,
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

static void load_block(const struct job *j, int block, int head, int n_pos, float *kt, float *v)
{
    size_t hd = (size_t)j->kv->head_dim;
    const uint16_t *k16 = ste_kv_k(j->kv, block, j->layer, head), *v16 = ste_kv_v(j->kv, block, j->layer, head);
    size_t up = ((size_t)n_pos + 15) & ~(size_t)15;
    if (up == STE_KV_BLOCK) {
        j->ops->from_f16(kt, k16, hd * STE_KV_BLOCK);
    } else {
        for (size_t d = 0; d < hd; d++)
            j->ops->from_f16(kt + d * STE_KV_BLOCK, k16 + d * STE_KV_BLOCK, up);
    }
    j->ops->from_f16(v, v16, hd * (size_t)n_pos);
}

/* The rows of the next block come from far off: they are on their way while this one is used. */
static void prefetch_block(const struct job *j, int block, int head)
{
    const size_t bytes = (size_t)j->kv->head_dim * STE_KV_BLOCK * sizeof(uint16_t);
    const char *k = (const char *)ste_kv_k(j->kv, block, j->layer, head),
               *v = (const char *)ste_kv_v(j->kv, block, j->layer, head);
    for (size_t i = 0; i < bytes; i += 64) {
        __builtin_prefetch(k + i, 0, 2);
        __builtin_prefetch(v + i, 0, 2);
    }
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
    _Alignas(64) float kt[STE_MAX_HEAD_DIM * STE_KV_BLOCK], v[STE_MAX_HEAD_DIM * STE_KV_BLOCK];
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
            int block = j->rows[r].blocks[depth], most = 0, n = 0;
            for (end = r; end < last; end++) {
                int here = valid_at(&j->rows[end], depth);
                if (here && j->rows[end].blocks[depth] != block)
                    break;
                most = here > most ? here : most;
            }
            load_block(j, block, head, most, kt, v);
            if (valid_at(&j->rows[r], depth + 1))
                prefetch_block(j, j->rows[r].blocks[depth + 1], head);
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
                    .kern = &ste_attn_portable,
                    .rows = rows,
                    .q = q,
                    .out = out,
                    .layer = layer,
                    .n = n,
                    .group = n_heads / kv->n_kv_heads};
    j.ld = (size_t)n_heads * (size_t)kv->head_dim;
#if defined(__x86_64__)
    if (isa == STE_ISA_AVX2)
        j.kern = &ste_attn_avx2;
    else if (isa >= STE_ISA_AVX512)
        j.kern = &ste_attn_avx512;
#endif
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
