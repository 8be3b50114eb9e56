/*
 * The integer kernels in terms of simd.h: compiled once for each instruction set by int8_SET.c. The dot product of a
 * cell (or half of one, where that has its own scale) is an exact integer; cells are added in order in f32:
 *   acc = fma(dx * dw, isum, acc), and for types with a minimum acc = fma(c, dx * sum(q), acc).
 * With rows in groups the weights of K types are brought to 8 bits with one scale for a group too,
 * whose dot product is an exact integer.
 */
#include "engine/int8.h"
#include "engine/simd.h"
#include "engine/unpack_body.h"

/* Rows and panels of a tile. Where a vector holds a whole panel, two panels share each row's broadcast: as many
 * broadcasts as products would take the load ports longer than the multipliers. */
#if STE_SIMD == 512
#define MAX_ROWS 6
#define MAX_PANELS 2
#else
#define MAX_ROWS 4
#define MAX_PANELS 1
#endif
#define CELLS 16 /* unpacked at a time: 8 KB of weights and 4 KB of scales, for the L1 cache */

/* Of a rounded activation. Two weights of 8 bits times activations do not fit the 16-bit sums of bytes: they are
 * multiplied as words, which takes as many instructions as two sums of their nibbles, and none to part them. */
#ifdef D_WIDE
#define X_BYTES(bits) 1
#define GROUP_BYTES 1
#define D_STARTS(zero) (zero) /* a sum may begin with the zero point's part */
#else
#define X_BYTES(bits) ((bits) == 8 ? 2 : 1)
#define GROUP_BYTES 2
#define D_STARTS(zero) false /* 16-bit sums have no room for it */
#endif

static void put_scales(const struct ste_rounded *out, size_t at, float d, int32_t s0, int32_t s1)
{
    out->d[at] = d;
    out->sum[at] = d * (float)(s0 + s1);
    out->minus[at] = -(s0 + s1);
    out->minus_halves[2 * at] = -s0;
    out->minus_halves[2 * at + 1] = -s1;
}

#if STE_SIMD == 512
/* Four neighbouring cells of a row, the first of which goes to AT in OUT: the same numbers as one by one. */
ALWAYS void round_four(const float *x, const struct ste_rounded *out, size_t at)
{
    vf v[8], most[4];
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++)
        v[i] = v_load(x + i * VL);
#pragma GCC unroll 4
    for (int c = 0; c < 4; c++)
        most[c] = v_max(v_abs(v[2 * c]), v_abs(v[2 * c + 1]));
    const __m128 top = v_max_lanes_of4(most), full = _mm_set1_ps(127),
                 inverse = _mm_maskz_div_ps(_mm_cmp_ps_mask(top, _mm_setzero_ps(), _CMP_GT_OQ), full, top);
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++)
        v[i] = v_mul(v[i], v_lane(inverse, i / 2));
    const vi two[2] = {i_bytes_of4(v), i_bytes_of4(v + 4)};
    int32_t s[16];
    float d[4];
    _mm_storeu_ps(d, _mm_div_ps(top, full));
    i_sums_of16(s, two[0], two[1]);
#pragma GCC unroll 4
    for (int c = 0; c < 4; c++, at += (size_t)out->ld) {
        _mm256_storeu_si256((void *)(out->q + at * STE_CELL),
                            c % 2 ? _mm512_extracti64x4_epi64(two[c / 2], 1) : _mm512_castsi512_si256(two[c / 2]));
        put_scales(out, at, d[c], s[c % 2 * 8 + c / 2], s[c % 2 * 8 + 4 + c / 2]);
    }
}
#endif

/* A group of a row, to AT in OUT and the cells behind it. */
ALWAYS void round_group(const int cells, const float *x, const struct ste_rounded *out, size_t at)
{
    vf most = v_zero();
#pragma GCC unroll 16
    for (int i = 0; i < cells * STE_CELL; i += VL)
        most = v_max(v_abs(v_load(x + i)), most);
    const float top = v_max_lanes(most);
    const vf inverse = v_set1(top > 0 ? 127.0f / top : 0);
#if STE_SIMD == 512
    vi sums = i_set1(0);
#pragma GCC unroll 2
    for (int cell = 0; cell < cells; cell += 2) {
        vf v[4];
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++)
            v[i] = v_mul(v_load(x + cell * STE_CELL + i * VL), inverse);
        const vi bytes = i_bytes_of4(v);
        int8_t *to = out->q + (at + (size_t)(cell * out->ld)) * STE_CELL;
        _mm256_storeu_si256((void *)to, _mm512_castsi512_si256(bytes));
        _mm256_storeu_si256((void *)(to + (size_t)out->ld * STE_CELL), _mm512_extracti64x4_epi64(bytes, 1));
        sums = d_step(sums, _mm512_set1_epi8(1), bytes);
    }
    const vf sum = v_from_i32(sums);
#else
    vf sum = v_zero();
    for (int i = 0; i < cells * STE_CELL; i += VL) {
        const size_t to = (at + (size_t)(i / STE_CELL * out->ld)) * STE_CELL + (size_t)(i % STE_CELL);
        const vf n = v_round(v_mul(v_load(x + i), inverse));
        v_store_s8(out->q + to, n);
#ifndef D_WIDE
        if (out->words)
            v_store_s16(out->words + to, n);
#endif
        sum = v_add(sum, n);
    }
#endif
    out->d[at] = top / 127.0f;
    out->minus[at] = -(int32_t)v_sum_lanes(sum); /* small integers: exact in any order */
}

static void round_rows(const float *x, size_t ldx, int m0, int m, int cell0, int cells, const struct ste_rounded *out)
{
    int cell = 0;
    for (; out->span > 1 && cell < cells; cell += out->span)
        for (int r = 0; r < m; r++) {
            const float *from = x + (size_t)r * ldx + (size_t)cell * STE_CELL;
            const size_t at = (size_t)(cell0 + cell) * (size_t)out->ld + (size_t)(m0 + r);
            if (out->span == 2)
                round_group(2, from, out, at);
            else
                round_group(STE_MAX_SPAN, from, out, at);
        }
#if STE_SIMD == 512
    for (; cell + 4 <= cells; cell += 4)
        for (int r = 0; r < m; r++)
            round_four(x + (size_t)r * ldx + (size_t)cell * STE_CELL, out,
                       (size_t)(cell0 + cell) * (size_t)out->ld + (size_t)(m0 + r));
#endif
    for (; cell < cells; cell++) { /* the outer loop: rows of a cell are neighbours in OUT */
        for (int r = 0; r < m; r++) {
            const float *xr = x + (size_t)r * ldx + (size_t)cell * STE_CELL;
            const size_t at = (size_t)(cell0 + cell) * (size_t)out->ld + (size_t)(m0 + r), to = at * STE_CELL;
            vf v[STE_CELL / VL], most = v_zero(), sum[2] = {v_zero(), v_zero()};
#pragma GCC unroll 4
            for (int i = 0; i < STE_CELL / VL; i++) {
                v[i] = v_load(xr + i * VL);
                most = v_max(v_abs(v[i]), most);
            }
            const float top = v_max_lanes(most), d = top / 127.0f;
            const vf inverse = v_set1(top > 0 ? 127.0f / top : 0);
#pragma GCC unroll 4
            for (int i = 0; i < STE_CELL / VL; i++) {
                vf n = v_round(v_mul(v[i], inverse));
                v_store_s8(out->q + to + i * VL, n);
#ifndef D_WIDE
                if (out->words)
                    v_store_s16(out->words + to + i * VL, n);
#endif
                sum[i * VL / 16] = v_add(sum[i * VL / 16], n);
            }
            /* small integers: exact in any order */
            put_scales(out, at, d, (int32_t)v_sum_lanes(sum[0]), (int32_t)v_sum_lanes(sum[1]));
        }
    }
}

/* Unpacked cells of MAX_PANELS panels: quads[panel][cell][8][64]; d, c [panel][cell][16], cells of two scales twice; in
 * groups d [panel][group][16] alone. */
struct cells {
    const uint8_t *quads;
    const float *d, *c;
    int n;
};
#define PANEL_QUADS(bytes) ((size_t)CELLS * 8 * STE_QUAD_BYTES * (bytes))
#define PANEL_SCALES ((size_t)CELLS * 2 * STE_PANEL)

#ifdef D_WIDE
#define STEPS(bits) 8 /* 32-bit sums: a cell fits in any case */
#else
/* Quads whose products surely fit 16 bits: 2 * (2^bits - 1) * 127 each. */
#define STEPS(bits) ((bits) == 6 ? 2 : (bits) == 5 ? 4 : 8)
#endif

/* What a tile's sums begin with and where they go: at P, with so many floats from row to row and from panel to panel.
 */
struct sums {
    float *p;
    size_t row, panel;
};

/* Packed cells that are wanted next and come from far off. They are sent for while the tiles of these ones are at work,
 * a few lines a cell, LINE and every STEP-th behind it: all at once they would fill the core's buffers and stop it. */
struct ahead {
    const uint8_t *p;
    size_t panel; /* bytes to the next one's */
    int line, step;
};

ALWAYS void send_for(const struct ahead *a, const int np, const int bits, int cell)
{
#pragma GCC unroll 2
    for (int j = 0; j < np; j++)
        for (int line = a->line; line < bits; line += a->step)
            __builtin_prefetch(a->p + (size_t)j * a->panel + (size_t)(cell * bits + line) * STE_QUAD_BYTES);
}

ALWAYS void int8_tile(const int mr, const int np, const int bits, const int sub, const bool zero, const struct cells *w,
                      const struct ste_rounded *x, size_t at, struct sums from, struct sums to, struct ahead ahead)
{
    const int subs = STE_CELL / sub, quads = sub / 4, steps = STEPS(bits) < quads ? STEPS(bits) : quads;
    vf acc[MAX_ROWS][MAX_PANELS * NV];
#pragma GCC unroll 8
    for (int r = 0; r < mr; r++)
#pragma GCC unroll 2
        for (int v = 0; v < np * NV; v++)
            acc[r][v] = v_load(from.p + (size_t)(v / NV) * from.panel + (size_t)r * from.row + v % NV * VL);
    const int8_t *xq = x->q + at * STE_CELL;
    const float *dx = x->d + at, *xsum = x->sum + at;
    const int32_t *minus = sub == 16 ? x->minus_halves + 2 * at : x->minus + at;
    const size_t ld = (size_t)x->ld;
    for (int cell = 0; cell < w->n; cell++, xq += ld * STE_CELL, dx += ld, xsum += ld, minus += ld * (size_t)subs) {
        send_for(&ahead, np, bits, cell);
#pragma GCC unroll 2
        for (int s = 0; s < subs; s++) {
            const uint8_t *wq = w->quads + ((size_t)cell * 8 + (size_t)s * 4) * STE_QUAD_BYTES;
            const size_t sc = ((size_t)cell * (size_t)subs + (size_t)s) * STE_PANEL;
            vi sum[MAX_ROWS][MAX_PANELS * NV] = {0}, start[MAX_ROWS]; /* - zero point * sum(q) */
#pragma GCC unroll 8
            for (int r = 0; zero && r < mr; r++)
                start[r] = i_sll(i_set1(minus[r * subs + s]), bits - 1);
#pragma GCC unroll 4
            for (int q0 = 0; q0 < quads; q0 += steps) {
                dacc part[MAX_ROWS][MAX_PANELS * NV];
#pragma GCC unroll 8
                for (int q = q0; q < q0 + steps; q++) {
                    vi four[MAX_PANELS * NV];
#pragma GCC unroll 2
                    for (int v = 0; v < np * NV; v++)
                        four[v] = i_load(wq + (size_t)(v / NV) * PANEL_QUADS(X_BYTES(bits)) + q * STE_QUAD_BYTES +
                                         v % NV * VL * 4);
#pragma GCC unroll 8
                    for (int r = 0; r < mr; r++) {
                        int32_t word;
                        memcpy(&word, xq + r * STE_CELL + s * 16 + q * 4, sizeof word);
                        vi xr = i_set1(word);
#pragma GCC unroll 2
                        for (int v = 0; v < np * NV; v++)
                            part[r][v] = q > q0           ? d_step_in_place(part[r][v], four[v], xr)
                                         : D_STARTS(zero) ? d_step(d_from(start[r]), four[v], xr)
                                                          : d_first(four[v], xr);
                    }
                }
#pragma GCC unroll 8
                for (int r = 0; r < mr; r++)
#pragma GCC unroll 2
                    for (int v = 0; v < np * NV; v++) {
                        vi n = d_sum(part[r][v]);
                        sum[r][v] = q0 ? i_add(sum[r][v], n) : zero && !D_STARTS(zero) ? i_add(start[r], n) : n;
                    }
            }
#pragma GCC unroll 8
            for (int r = 0; r < mr; r++) {
                vf scale = v_set1(dx[r]);
#pragma GCC unroll 2
                for (int v = 0; v < np * NV; v++) {
                    const size_t of = (size_t)(v / NV) * PANEL_SCALES + sc + (size_t)(v % NV * VL);
                    acc[r][v] = v_fma(v_mul(scale, v_load(w->d + of)), v_from_i32(sum[r][v]), acc[r][v]);
                    if (!zero)
                        acc[r][v] = v_fma(v_load(w->c + of), v_set1(xsum[r]), acc[r][v]);
                }
            }
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < mr; r++)
#pragma GCC unroll 2
        for (int v = 0; v < np * NV; v++)
            v_store(to.p + (size_t)(v / NV) * to.panel + (size_t)r * to.row + v % NV * VL, acc[r][v]);
}

#ifdef D_WIDE
/* The same in groups, for weights brought to 8 bits whose zero point is 128. */
ALWAYS void group_tile(const int mr, const int np, const int bits, const struct cells *w, const struct ste_rounded *x,
                       size_t at, struct sums from, struct sums to, struct ahead ahead)
{
    const size_t ld = (size_t)x->ld;
    const int8_t *xq = x->q + at * STE_CELL;
    for (int first = 0; first < w->n; first += x->span, at += (size_t)x->span * ld) {
        dacc sum[MAX_ROWS][MAX_PANELS * NV] = {0};
#pragma GCC unroll 8
        for (int r = 0; r < mr; r++)
#pragma GCC unroll 2
            for (int v = 0; v < np * NV; v++)
                sum[r][v] = d_from(i_sll(i_set1(x->minus[at + (size_t)r]), 7));
        for (int cell = first; cell < first + x->span; cell++, xq += ld * STE_CELL) {
            const uint8_t *wq = w->quads + (size_t)cell * 8 * STE_QUAD_BYTES;
            send_for(&ahead, np, bits, cell);
#pragma GCC unroll 8
            for (int q = 0; q < 8; q++) {
                vi four[MAX_PANELS * NV];
#pragma GCC unroll 2
                for (int v = 0; v < np * NV; v++)
                    four[v] = i_load(wq + (size_t)(v / NV) * PANEL_QUADS(1) + q * STE_QUAD_BYTES + v % NV * VL * 4);
#pragma GCC unroll 8
                for (int r = 0; r < mr; r++) {
                    int32_t word;
                    memcpy(&word, xq + r * STE_CELL + q * 4, sizeof word);
                    const vi xr = i_set1(word);
#pragma GCC unroll 2
                    for (int v = 0; v < np * NV; v++)
                        sum[r][v] = d_step_in_place(sum[r][v], four[v], xr);
                }
            }
        }
        const float *d = w->d + (size_t)(first / x->span) * STE_PANEL;
#pragma GCC unroll 8
        for (int r = 0; r < mr; r++) {
            const vf scale = v_set1(x->d[at + (size_t)r]);
#pragma GCC unroll 2
            for (int v = 0; v < np * NV; v++) {
                /* Kept in registers, these would drive the integers out. */
                float *t = to.p + (size_t)(v / NV) * to.panel + (size_t)r * to.row + v % NV * VL;
                const float *f =
                    first ? t : from.p + (size_t)(v / NV) * from.panel + (size_t)r * from.row + v % NV * VL;
                v_store(t, v_fma(v_mul(scale, v_load(d + (size_t)(v / NV) * PANEL_SCALES + v % NV * VL)),
                                 v_from_i32(d_sum(sum[r][v])), v_load(f)));
            }
        }
    }
}
#else
/* The same for weights of 8 bits, unpacked to words less their zero point: quads[cell][16][64]; a scale for SPAN cells.
 */
ALWAYS void words_tile(const int mr, const int bits, int span, const struct cells *w, const struct ste_rounded *x,
                       size_t at, struct sums from, struct sums to, struct ahead ahead)
{
    const size_t ld = (size_t)x->ld;
    const int16_t *xq = x->words + at * STE_CELL;
    for (int first = 0; first < w->n; first += span, at += (size_t)span * ld) {
        vi sum[MAX_ROWS][NV];
#pragma GCC unroll 8
        for (int r = 0; r < mr; r++)
#pragma GCC unroll 2
            for (int v = 0; v < NV; v++)
                sum[r][v] = i_set1(0);
        for (int cell = first; cell < first + span; cell++, xq += ld * STE_CELL) {
            const uint8_t *words = w->quads + (size_t)cell * 16 * STE_QUAD_BYTES;
            send_for(&ahead, 1, bits, cell);
#pragma GCC unroll 16
            for (int q = 0; q < 16; q++) {
                vi two[NV];
#pragma GCC unroll 2
                for (int v = 0; v < NV; v++)
                    two[v] = i_load(words + q * STE_QUAD_BYTES + v * VL * 4);
#pragma GCC unroll 8
                for (int r = 0; r < mr; r++) {
                    int32_t pair;
                    memcpy(&pair, xq + r * STE_CELL + q * 2, sizeof pair);
                    vi xr = i_set1(pair);
#pragma GCC unroll 2
                    for (int v = 0; v < NV; v++)
                        sum[r][v] = i_step_words(sum[r][v], two[v], xr);
                }
            }
        }
#pragma GCC unroll 8
        for (int r = 0; r < mr; r++) {
            vf scale = v_set1(x->d[at + (size_t)r]);
#pragma GCC unroll 2
            for (int v = 0; v < NV; v++) {
                /* Sums leave no registers for it. */
                float *t = to.p + (size_t)r * to.row + v * VL, *f = first ? t : from.p + (size_t)r * from.row + v * VL;
                v_store(t, v_fma(v_mul(scale, v_load(w->d + (size_t)(first / span) * STE_PANEL + v * VL)),
                                 v_from_i32(sum[r][v]), v_load(f)));
            }
        }
    }
}
#endif

ALWAYS void int8_rows(const bool groups, const int np, const int bits, const int sub, const bool zero,
                      const struct cells *u, int k, const struct ste_rounded *x, int m0, int m, struct sums from,
                      struct sums to, struct ahead ahead)
{
    ahead.step = (m + MAX_ROWS - 1) / MAX_ROWS;
    /* Tiles of about as many rows each: one of few would wait for its sums, which are too few to hide how long a
     * product takes. */
    for (int r = 0, rows, tiles = ahead.step; r < m; r += rows, tiles--, ahead.line++) {
        rows = (m - r + tiles - 1) / tiles;
        const size_t at = (size_t)(k / STE_CELL) * (size_t)x->ld + (size_t)(m0 + r);
        const struct sums f = {from.p + (size_t)r * from.row, from.row, from.panel},
                          t = {to.p + (size_t)r * to.row, to.row, to.panel};
#ifdef D_WIDE
#define TILE(R)                                                                                                        \
    case R:                                                                                                            \
        if (groups)                                                                                                    \
            group_tile(R, np, bits, u, x, at, f, t, ahead);                                                            \
        else                                                                                                           \
            int8_tile(R, np, bits, sub, zero, u, x, at, f, t, ahead);                                                  \
        break
#else
#define TILE(R)                                                                                                        \
    case R:                                                                                                            \
        if (groups || bits == 8)                                                                                       \
            words_tile(R, bits, groups ? x->span : 1, u, x, at, f, t, ahead);                                          \
        else                                                                                                           \
            int8_tile(R, np, bits, sub, zero, u, x, at, f, t, ahead);                                                  \
        break
#endif
        switch (rows) {
            TILE(1);
            TILE(2);
            TILE(3);
            TILE(4);
#if MAX_ROWS == 6
            TILE(5);
            TILE(6);
#endif
        }
#undef TILE
    }
}

/* The Vth part of a cell's quads; in two BYTES each, words less a zero point of 128. */
ALWAYS void store_quads(const int bytes, int v, const vi quad[8], uint8_t *dst)
{
#pragma GCC unroll 8
    for (int q = 0; q < 8; q++) {
        uint8_t *to = dst + q * bytes * STE_QUAD_BYTES + v * VL * 4;
#ifndef D_WIDE
        if (bytes == 2) {
            i_store(to, i_sub_words(i_words(quad[q], 0), 128));
            i_store(to + STE_QUAD_BYTES, i_sub_words(i_words(quad[q], 1), 128));
        } else
#endif
            i_store(to, quad[q]);
    }
}

ALWAYS void unpack_cell(const int bits, const uint8_t *src, uint8_t *dst)
{
#pragma GCC unroll 2
    for (int v = 0; v < NV; v++) {
        vi quad[8];
        quads_of(bits, src, v, quad);
        store_quads(X_BYTES(bits), v, quad, dst);
    }
}

/* Bytes of scales to 8 cells. */
#define SCALE_BYTES(scale)                                                                                             \
    ((scale) == STE_SCALE_BLOCK ? 256 : (scale) == STE_SCALE_MIN ? 512 : (scale) == STE_SCALE_K ? 384 : 352)

/* A group of a panel as bytes of zero point 128: w ~ D * (byte - 128), with one D for a row's part of the block that
 * the group lies in. Rounded to 1/256: byte = (q * FACTOR + ADD) / 256, without a remainder. The largest may be 127,
 * less what FACTOR's own rounding may add to it. */
#define LARGEST 126.8f
struct group {
    vf d[NV];
    vi factor[STE_MAX_SPAN][2][NV], add[STE_MAX_SPAN][2][NV]; /* of each cell, or half cell; in both words of a lane */
};

ALWAYS void scale_group(const enum ste_scale scale, const struct ste_matrix *w, int panel, int cell, int span,
                        struct group *g)
{
    const uint8_t *block = w->scales + (size_t)panel * w->panel_scales + (size_t)(cell / 8) * SCALE_BYTES(scale),
                  *own = block + (scale == STE_SCALE_K ? 64 : 32) + (size_t)(cell % 8) * 32;
    const float *largest = (const float *)(const void *)(block + SCALE_BYTES(scale) - STE_PANEL * sizeof(float));
    const uint16_t *d = (const uint16_t *)(const void *)block, *dmin = d + STE_PANEL;
    const vi half = i_set1(128 * 256 + 128);
#pragma GCC unroll 2
    for (int v = 0; v < NV; v++) {
        const vf top = v_load(largest + v * VL),
                 inverse = v_keep(v_div(v_set1(LARGEST * 256), top), top, v_set1(1e-30f)),
                 by = v_mul(v_load_f16(d + v * VL), inverse);
        g->d[v] = v_mul(top, v_set1(1 / LARGEST));
        if (scale == STE_SCALE_K) {
            const vf minus = v_mul(v_load_f16(dmin + v * VL), v_mul(inverse, v_set1(-1)));
            for (int i = 0; i < span; i++) {
                g->factor[i][0][v] = i_spread(i_from_v(v_mul(v_from_u8(own + i * 32 + v * VL), by)));
                g->add[i][0][v] = i_spread(i_add(i_from_v(v_mul(v_from_u8(own + i * 32 + 16 + v * VL), minus)), half));
            }
        } else
            for (int i = 0; i < span; i++)
#pragma GCC unroll 2
                for (int s = 0; s < 2; s++) {
                    const vi factor = i_from_v(v_mul(v_from_s8((const int8_t *)own + i * 32 + s * 16 + v * VL), by));
                    g->factor[i][s][v] = i_spread(factor);
                    g->add[i][s][v] = i_spread(i_sub(half, i_sll(factor, 5))); /* zero is 32 */
                }
    }
}

/* The Vth part of the quads of cell I of the group. */
ALWAYS void scaled_quads(const int bits, const int sub, const uint8_t *src, const struct group *g, int i, int v,
                         vi quad[8])
{
    if (bits == 4) {
#pragma GCC unroll 8
        for (int q = 0; q < 8; q++)
            quad[q] = i_scale_nibbles(i_load(src + q / 2 * STE_QUAD_BYTES + v * VL * 4), q % 2, g->factor[i][0][v],
                                      g->add[i][0][v]);
        return;
    }
    quads_of(bits, src, v, quad);
#pragma GCC unroll 8
    for (int q = 0; q < 8; q++)
        quad[q] = i_scale_bytes(quad[q], g->factor[i][q * 4 / sub][v], g->add[i][q * 4 / sub][v]);
}

ALWAYS void prefetch_cell(const int bits, const uint8_t *p)
{
#pragma GCC unroll 8
    for (int line = 0; line < bits; line++)
        __builtin_prefetch(p + line * STE_QUAD_BYTES);
}

/* N cells of a panel; as many from NEXT_CELL of NEXT on will be wanted next: their scales are sent for. */
ALWAYS void unpack_cells(int span, const bool groups, const int bits, const int sub, const bool zero,
                         const enum ste_scale scale, const struct ste_matrix *w, int panel, int cell, int n,
                         struct ste_panel next, int next_cell, uint8_t *quads, float *d, float *c)
{
    const int subs = STE_CELL / sub;
    const uint8_t *src = cell_at(w, panel, cell);
    const uint8_t *s8 =
        next.w->scales + (size_t)next.panel * next.w->panel_scales + (size_t)(next_cell / 8) * SCALE_BYTES(scale);
    for (int i = 0; i < (n + 7) / 8 * SCALE_BYTES(scale); i += 64)
        __builtin_prefetch(s8 + i);
    struct group all[CELLS / 2]; /* first: it takes as long as a group to know one */
    for (int i = 0; groups && i < n; i += span)
        scale_group(scale, w, panel, cell + i, span, &all[i / span]);
    for (int i = 0; groups && i < n; i += span, d += STE_PANEL) {
        const struct group *g = &all[i / span];
        for (int v = 0; v < NV; v++)
            v_store(d + v * VL, g->d[v]);
        for (int j = 0; j < span; j++, src += bits * STE_QUAD_BYTES, quads += 8 * STE_QUAD_BYTES * GROUP_BYTES)
#pragma GCC unroll 2
            for (int v = 0; v < NV; v++) {
                vi quad[8];
                scaled_quads(bits, sub, src, g, j, v, quad);
                store_quads(GROUP_BYTES, v, quad, quads);
            }
    }
    for (int i = 0; !groups && i < n; i++) {
        vf vd[2][NV], vc[2][NV];
        load_scales(scale, w, panel, cell + i, vd, vc);
        unpack_cell(bits, src, quads);
#pragma GCC unroll 2
        for (int s = 0; s < subs; s++)
#pragma GCC unroll 2
            for (int v = 0; v < NV; v++) {
                v_store(d + s * STE_PANEL + v * VL, vd[s][v]);
                if (!zero)
                    v_store(c + s * STE_PANEL + v * VL, vc[s][v]);
            }
        src += bits * STE_QUAD_BYTES;
        quads += 8 * STE_QUAD_BYTES * X_BYTES(bits);
        d += subs * STE_PANEL;
        c += subs * STE_PANEL;
    }
}

/* For one row nothing is gained by keeping what was unpacked. The sums are int8_tile's. */
ALWAYS void single(const int bits, const int sub, const bool zero, const enum ste_scale scale,
                   const struct ste_matrix *w, int panel, int k, int cells, const struct ste_rounded *x, int m0,
                   const float *from, float *to)
{
    const int subs = STE_CELL / sub, quads = sub / 4, steps = STEPS(bits) < quads ? STEPS(bits) : quads;
    size_t at = (size_t)(k / STE_CELL) * (size_t)x->ld + (size_t)m0;
    vf acc[NV];
    for (int v = 0; v < NV; v++)
        acc[v] = v_load(from + v * VL);
    const uint8_t *src = cell_at(w, panel, k / STE_CELL), *scales = w->scales + (size_t)panel * w->panel_scales +
                                                                    (size_t)(k / STE_CELL / 8) * SCALE_BYTES(scale);
    for (int cell = 0; cell < cells; cell++, at += (size_t)x->ld, src += bits * STE_QUAD_BYTES) {
        const int8_t *xq = X_BYTES(bits) == 2 ? (const int8_t *)(x->words + at * STE_CELL) : x->q + at * STE_CELL;
        vf d[2][NV], c[2][NV], dx = v_set1(x->d[at]);
        load_scales(scale, w, panel, k / STE_CELL + cell, d, c);
        prefetch_cell(bits, src + CELLS * bits * STE_QUAD_BYTES);
        if (cell % 2 == 0)
            __builtin_prefetch(scales + (cell + CELLS) * SCALE_BYTES(scale) / 8);
#pragma GCC unroll 2
        for (int v = 0; v < NV; v++) {
            vi quad[8];
            quads_of(bits, src, v, quad);
#pragma GCC unroll 2
            for (int s = 0; s < subs; s++) {
                vi sum = i_set1(0);
#ifndef D_WIDE
#pragma GCC unroll 8
                for (int q = 0; bits == 8 && q < 8; q++) {
                    int32_t pairs[2];
                    memcpy(pairs, xq + q * 8, sizeof pairs);
                    sum = i_step_words(sum, i_words(quad[q], 0), i_set1(pairs[0]));
                    sum = i_step_words(sum, i_words(quad[q], 1), i_set1(pairs[1]));
                }
#endif
#pragma GCC unroll 4
                for (int q0 = 0; X_BYTES(bits) == 1 && q0 < quads; q0 += steps) {
                    dacc part;
#pragma GCC unroll 8
                    for (int q = q0; q < q0 + steps; q++) {
                        int32_t word;
                        memcpy(&word, xq + s * 16 + q * 4, sizeof word);
                        vi xr = i_set1(word), four = quad[s * 4 + q];
                        part = q == q0 ? d_first(four, xr) : d_step(part, four, xr);
                    }
                    sum = i_add(sum, d_sum(part));
                }
                if (zero)
                    sum = i_add(
                        sum, i_sll(i_set1(sub == 16 ? x->minus_halves[2 * at + (size_t)s] : x->minus[at]), bits - 1));
                acc[v] = v_fma(v_mul(dx, d[s][v]), v_from_i32(sum), acc[v]);
                if (!zero)
                    acc[v] = v_fma(c[s][v], v_set1(x->sum[at]), acc[v]);
            }
        }
    }
    for (int v = 0; v < NV; v++)
        v_store(to + v * VL, acc[v]);
}

/* The same in groups: group_tile's and words_tile's sums, in several chains, or each product would wait for the last.
 */
#define CHAINS 4
ALWAYS void single_groups(const int bits, const int sub, const enum ste_scale scale, const struct ste_matrix *w,
                          int panel, int k, int cells, const struct ste_rounded *x, int m0, const float *from,
                          float *to)
{
    size_t at = (size_t)(k / STE_CELL) * (size_t)x->ld + (size_t)m0;
    vf acc[NV];
    for (int v = 0; v < NV; v++)
        acc[v] = v_load(from + v * VL);
    const uint8_t *src = cell_at(w, panel, k / STE_CELL), *scales = w->scales + (size_t)panel * w->panel_scales +
                                                                    (size_t)(k / STE_CELL / 8) * SCALE_BYTES(scale);
    struct group groups[2];
    int turn = 0;
    scale_group(scale, w, panel, k / STE_CELL, x->span, &groups[0]);
    for (int cell = 0; cell < cells; cell += x->span, turn ^= 1) {
        const struct group *g = &groups[turn];
        /* The next one's in the meantime: it takes as long as a group to know them. */
        if (cell + x->span < cells)
            scale_group(scale, w, panel, k / STE_CELL + cell + x->span, x->span, &groups[turn ^ 1]);
        for (int i = 0; i < x->span * SCALE_BYTES(scale) / 8; i += 64)
            __builtin_prefetch(scales + (cell + CELLS) * SCALE_BYTES(scale) / 8 + i);
        const vf dx = v_set1(x->d[at]);
        vi sum[NV][CHAINS];
        for (int v = 0; v < NV; v++)
            for (int i = 0; i < CHAINS; i++)
                sum[v][i] = i_set1(GROUP_BYTES == 1 && i == 0 ? x->minus[at] * 128 : 0);
        for (int i = 0; i < x->span; i++, at += (size_t)x->ld, src += bits * STE_QUAD_BYTES) {
            prefetch_cell(bits, src + CELLS * bits * STE_QUAD_BYTES);
#pragma GCC unroll 2
            for (int v = 0; v < NV; v++) {
                vi quad[8];
                scaled_quads(bits, sub, src, g, i, v, quad);
#pragma GCC unroll 8
                for (int q = 0; q < 8; q++) {
#ifdef D_WIDE
                    int32_t word;
                    memcpy(&word, x->q + at * STE_CELL + q * 4, sizeof word);
                    vi *s = &sum[v][q % CHAINS];
                    *s = d_sum(d_step(d_from(*s), quad[q], i_set1(word)));
#else
                    int32_t pairs[2];
                    memcpy(pairs, x->words + at * STE_CELL + q * 4, sizeof pairs);
                    vi *s = &sum[v][q % CHAINS];
                    *s = i_step_words(*s, i_sub_words(i_words(quad[q], 0), 128), i_set1(pairs[0]));
                    *s = i_step_words(*s, i_sub_words(i_words(quad[q], 1), 128), i_set1(pairs[1]));
#endif
                }
            }
        }
        for (int v = 0; v < NV; v++)
            acc[v] = v_fma(v_mul(dx, g->d[v]),
                           v_from_i32(i_add(i_add(sum[v][0], sum[v][1]), i_add(sum[v][2], sum[v][3]))), acc[v]);
    }
    for (int v = 0; v < NV; v++)
        v_store(to + v * VL, acc[v]);
}

ALWAYS void mul_type(const bool groups, const int bits, const int sub, const bool zero, const enum ste_scale scale,
                     const struct ste_matrix *w, int p0, int np, struct ste_panel after, int k0, int kc,
                     const struct ste_rounded *x, int m0, int m, const float *bias, float *sums, float *y, size_t ldy)
{
    const int bytes = groups ? GROUP_BYTES : X_BYTES(bits);
    _Alignas(64) uint8_t quads[MAX_PANELS * PANEL_QUADS(2)];
    _Alignas(64) float d[MAX_PANELS * PANEL_SCALES], c[MAX_PANELS * PANEL_SCALES];
    /* As many cells each time, rather than some and a small rest. */
    const int cells = kc / STE_CELL, times = (cells + CELLS - 1) / CELLS, least = (cells + times - 1) / times,
              each = groups ? (least + x->span - 1) / x->span * x->span : least;
    for (int p = 0, wide; p < np; p += wide, sums += (size_t)wide * (size_t)m * STE_PANEL) {
        wide = np - p < MAX_PANELS ? np - p : MAX_PANELS;
        const int first = (p0 + p) * STE_PANEL,
                  n = w->out - first < wide * STE_PANEL ? w->out - first : wide * STE_PANEL;
        const bool begins = k0 == 0, ends = k0 + kc == w->in, whole = n == wide * STE_PANEL;
        _Alignas(64) float start[MAX_PANELS * STE_PANEL] = {0};
        if (begins && bias)
            memcpy(start, bias + first, (size_t)n * sizeof *bias);
        const struct sums from_start = {start, 0, STE_PANEL}, between = {sums, STE_PANEL, (size_t)m * STE_PANEL},
                          to_y = {y + (size_t)p * STE_PANEL, ldy, STE_PANEL};
        for (int j = 0; m == 1 && j < wide; j++) {
            const float *f = (begins ? start : sums) + j * STE_PANEL;
            float *t = (ends && whole ? to_y.p : sums) + j * STE_PANEL;
            if (groups)
                single_groups(bits, sub, scale, w, p0 + p + j, k0, cells, x, m0, f, t);
            else
                single(bits, sub, zero, scale, w, p0 + p + j, k0, cells, x, m0, f, t);
        }
        for (int k = k0; m > 1 && k < k0 + kc; k += each * STE_CELL) {
            struct cells u = {quads, d, c, (k0 + kc - k) / STE_CELL};
            if (u.n > each)
                u.n = each;
            /* Weights come from far off. What is unpacked next: */
            const bool along = k + each * STE_CELL < k0 + kc;
            const struct ste_panel next = !along && p + wide == np && ends
                                              ? after
                                              : (struct ste_panel){w, along           ? p0 + p
                                                                      : p + wide < np ? p0 + p + wide
                                                                                      : p0};
            const int next_cell = (along ? k + each * STE_CELL : p + wide < np ? k0 : ends ? 0 : k0 + kc) / STE_CELL;
            for (int j = 0; j < wide; j++)
                unpack_cells(x->span, groups, bits, sub, zero, scale, w, p0 + p + j, k / STE_CELL, u.n,
                             (struct ste_panel){next.w, next.panel + j}, next_cell,
                             quads + (size_t)j * PANEL_QUADS(bytes), d + (size_t)j * PANEL_SCALES,
                             c + (size_t)j * PANEL_SCALES);
            const struct sums from = k == 0 ? from_start : between, to = ends && whole && !along ? to_y : between;
            const struct ahead ahead = {cell_at(next.w, next.panel, next_cell), next.w->panel_weights, 0, 1};
            if (MAX_PANELS == 2 && wide == 2)
                int8_rows(groups, MAX_PANELS, bits, sub, zero, &u, k, x, m0, m, from, to, ahead);
            else
                int8_rows(groups, 1, bits, sub, zero, &u, k, x, m0, m, from, to, ahead);
        }
        for (int r = 0; ends && !whole && r < m; r++)
            for (int i = 0; i < n; i++)
                to_y.p[(size_t)r * ldy + (size_t)i] =
                    sums[(size_t)(i / STE_PANEL * m + r) * STE_PANEL + (size_t)i % STE_PANEL];
    }
}

static void mul_int8(const struct ste_matrix *w, int p0, int np, struct ste_panel after, int k0, int kc,
                     const struct ste_rounded *x, int m0, int m, const float *bias, float *sums, float *y, size_t ldy)
{
#define CALL_IN(groups, bits, scale)                                                                                   \
    mul_type(groups, bits, (scale) == STE_SCALE_K16 ? 16 : 32, (scale) == STE_SCALE_K16 || (scale) == STE_SCALE_BLOCK, \
             scale, w, p0, np, after, k0, kc, x, m0, m, bias, sums, y, ldy)
#define CALL(bits, scale)                                                                                              \
    if (((scale) == STE_SCALE_K || (scale) == STE_SCALE_K16) && x->span > 1)                                           \
        CALL_IN(true, bits, scale);                                                                                    \
    else                                                                                                               \
        CALL_IN(false, bits, scale)
    BY_TYPE(w, CALL);
#undef CALL
#undef CALL_IN
}

#ifdef D_WIDE
#define WORDS_FOR 0
#else
#define WORDS_FOR 8
#endif
const struct ste_int8_kernels INT8_KERNELS = {
    .words_for = WORDS_FOR, .groups_pay = STE_SIMD == 512, .round = round_rows, .mul = mul_int8};
