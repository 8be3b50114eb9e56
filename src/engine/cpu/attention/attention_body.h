/*
 * The two products of attention in terms of simd.h: compiled once for each instruction set by attention_SET.c, which
 * defines STE_SIMD and ATTN_KERNELS, the name of the table. K and V widen on their way into the registers: TILE_ROWS
 * rows share what is read, and a block that few rows look at is not written out as f32 first.
 */
#include "engine/cpu/attention/attention.h"
#include "engine/cpu/simd/simd.h"

#if STE_SIMD == 512
#define TILE_ROWS 12
#else
#define TILE_ROWS 6
#endif
#define TILE_SUMS 12
#define LINE 64
/* 16 columns to a tile, or 32 where that leaves too few sums to hide how long one takes */
#define WIDE(R) ((R)*2 * NV <= TILE_SUMS ? 2 : 1)

ALWAYS void send_for(struct ste_attn_ahead ahead, int line)
{
    if (line < ahead.lines)
        __builtin_prefetch(ahead.p + (size_t)line * LINE);
}

/* All of those for the first tile of rows, so many to a tile of columns. */
ALWAYS struct ste_attn_ahead lines_of(struct ste_attn_ahead all, int row, int tile, int each)
{
    return row ? (struct ste_attn_ahead){NULL, 0}
               : (struct ste_attn_ahead){all.p + (size_t)tile * (size_t)each * LINE, all.lines - tile * each};
}

/* R rows by COLUMNS * 16 positions, one pass over head_dim. */
ALWAYS void scores_tile(const int R, const int columns, const float *const *q, const uint16_t *keys, int head_dim,
                        float *s, struct ste_attn_ahead ahead)
{
    vf a[TILE_SUMS];
    const int n = columns * NV;
#pragma GCC unroll 12
    for (int i = 0; i < R * n; i++)
        a[i] = v_zero();
    for (int d = 0; d < head_dim; d++) {
        vf k[2 * NV];
        send_for(ahead, d);
#pragma GCC unroll 4
        for (int v = 0; v < n; v++)
            k[v] = v_load_f16(keys + ((size_t)(v / NV * head_dim) + (size_t)d) * STE_KV_RUN + v % NV * VL);
#pragma GCC unroll 12
        for (int r = 0; r < R; r++) {
            vf x = v_set1(q[r][d]);
#pragma GCC unroll 4
            for (int v = 0; v < n; v++)
                a[r * n + v] = v_fma(x, k[v], a[r * n + v]);
        }
    }
#pragma GCC unroll 12
    for (int i = 0; i < R * n; i++)
        v_store(s + i / n * STE_KV_BLOCK + i % n * VL, a[i]);
}

/* R rows by COLUMNS * 16 of head_dim. */
ALWAYS void mix_tile(const int R, const int columns, float *const *acc, const float *shrink, const float *p,
                     const uint16_t *values, int head_dim, int n_pos, int at, struct ste_attn_ahead ahead)
{
    vf a[TILE_SUMS];
    const int n = columns * NV;
#pragma GCC unroll 12
    for (int i = 0; i < R * n; i++)
        a[i] = v_mul(v_load(acc[i / n] + at + i % n * VL), v_set1(shrink[i / n]));
    for (int j = 0; j < n_pos; j++) {
        vf x[2 * NV];
        send_for(ahead, j);
#pragma GCC unroll 4
        for (int v = 0; v < n; v++)
            x[v] = v_load_f16(values + (size_t)j * (size_t)head_dim + at + v * VL);
#pragma GCC unroll 12
        for (int r = 0; r < R; r++) {
            vf weight = v_set1(p[r * STE_KV_BLOCK + j]);
#pragma GCC unroll 4
            for (int v = 0; v < n; v++)
                a[r * n + v] = v_fma(weight, x[v], a[r * n + v]);
        }
    }
#pragma GCC unroll 12
    for (int i = 0; i < R * n; i++)
        v_store(acc[i / n] + at + i % n * VL, a[i]);
}

/* CALL(R) for tiles of TILE_ROWS rows, then for the R that are left. */
#define CASE(R, CALL)                                                                                                  \
    case R:                                                                                                            \
        CALL(R);                                                                                                       \
        break
#define CASES_TO_6(CALL)                                                                                               \
    CASE(1, CALL);                                                                                                     \
    CASE(2, CALL);                                                                                                     \
    CASE(3, CALL);                                                                                                     \
    CASE(4, CALL);                                                                                                     \
    CASE(5, CALL);                                                                                                     \
    CASE(6, CALL)
#if TILE_ROWS == 12
#define CASES(CALL)                                                                                                    \
    CASES_TO_6(CALL);                                                                                                  \
    CASE(7, CALL);                                                                                                     \
    CASE(8, CALL);                                                                                                     \
    CASE(9, CALL);                                                                                                     \
    CASE(10, CALL);                                                                                                    \
    CASE(11, CALL);                                                                                                    \
    CASE(12, CALL)
#else
#define CASES(CALL) CASES_TO_6(CALL)
#endif
#define EACH_TILE(n, CALL)                                                                                             \
    for (int r = 0; r < (n); r += TILE_ROWS)                                                                           \
        switch ((n)-r < TILE_ROWS ? (n)-r : TILE_ROWS) {                                                               \
            CASES(CALL);                                                                                               \
        }

/* Over all columns: pairs of 16 where a tile of R rows takes two, then single ones. */
#define EACH_COLUMN(R, n_columns, TILE)                                                                                \
    do {                                                                                                               \
        int c = 0, t = 0;                                                                                              \
        for (; c + 16 * WIDE(R) <= (n_columns); c += 16 * WIDE(R), t++)                                                \
            TILE(R, WIDE(R));                                                                                          \
        for (; c < (n_columns); c += 16, t++)                                                                          \
            TILE(R, 1);                                                                                                \
    } while (0)

static void scores(const float *const *q, int n, const uint16_t *k, int head_dim, int n_pos, float *s,
                   struct ste_attn_ahead ahead)
{
#define TILE(R, columns)                                                                                               \
    scores_tile(R, columns, q + r, k + (size_t)c * (size_t)head_dim, head_dim, s + (size_t)r * STE_KV_BLOCK + c,       \
                lines_of(ahead, r, t, head_dim))
#define CALL(R) EACH_COLUMN(R, n_pos, TILE)
    EACH_TILE(n, CALL)
#undef CALL
#undef TILE
}

/* Rows by themselves, step by step: what one row waits for, the others fill. */
static void weigh(float *s, int n, const int *from, const int *valid, int n_pos, struct ste_attn_state *const *states,
                  float *shrink)
{
    for (int i = 0; i < n; i++) {
        float *si = s + (size_t)i * STE_KV_BLOCK;
        const int whole = (valid[i] + 15) / 16 * 16;
        for (int p = 0; p < from[i]; p++)
            si[p] = -INFINITY; /* what is out of the window weighs nothing, */
        for (int p = valid[i]; p < whole; p++)
            si[p] = -INFINITY; /* nor does what only later rows see */
        for (int p = whole; p < n_pos; p++)
            si[p] = 0;
        vf most[NV];
        for (int v = 0; v < NV; v++)
            most[v] = v_set1(-INFINITY);
        for (int p = 0; p < whole; p += 16)
            for (int v = 0; v < NV; v++)
                most[v] = v_max(v_load(si + p + v * VL), most[v]);
        const float max = v_max_lanes(NV == 1 ? most[0] : v_max(most[0], most[NV - 1]));
        const float before = states[i]->max;
        states[i]->max = max > before ? max : before;
        shrink[i] = before - states[i]->max;
    }
    for (int i = 0; i < n; i += VL) /* SHRINK has room for whole vectors */
        v_store(shrink + i, v_exp(v_load(shrink + i)));
    for (int i = 0; i < n; i++) {
        float *si = s + (size_t)i * STE_KV_BLOCK;
        const vf max = v_set1(states[i]->max);
        vf sum[NV];
        for (int v = 0; v < NV; v++)
            sum[v] = v_zero();
        for (int p = 0; p < valid[i]; p += 16)
            for (int v = 0; v < NV; v++) {
                const vf e = v_exp(v_sub(v_load(si + p + v * VL), max));
                v_store(si + p + v * VL, e);
                sum[v] = v_add(sum[v], e);
            }
        states[i]->sum = states[i]->sum * shrink[i] + v_sum_lanes(NV == 1 ? sum[0] : v_add(sum[0], sum[NV - 1]));
    }
}

static void mix(float *const *acc, int n, const float *shrink, const float *s, const uint16_t *v, int head_dim,
                int n_pos, struct ste_attn_ahead ahead)
{
#define TILE(R, columns)                                                                                               \
    mix_tile(R, columns, acc + r, shrink + r, s + (size_t)r * STE_KV_BLOCK, v, head_dim, n_pos, c,                     \
             lines_of(ahead, r, t, n_pos))
#define CALL(R) EACH_COLUMN(R, head_dim, TILE)
    EACH_TILE(n, CALL)
#undef CALL
#undef TILE
}

const struct ste_attn_kernels ATTN_KERNELS = {scores, weigh, mix};
