/*
 * The integer kernels in terms of simd.h: compiled once for each instruction set by int8_SET.c. The dot product of a
 * cell (or half of one, where that has its own scale) is an exact integer; cells are added in order in f32:
 *   acc = fma(dx * dw, isum, acc), and for types with a minimum acc = fma(c, dx * sum(q), acc).
 */
#include "engine/int8.h"
#include "engine/simd.h"
#include "engine/unpack_body.h"

#define MAX_ROWS 4
#define CELLS 16 /* unpacked at a time: 8 KB of weights and 4 KB of scales, for the L1 cache */

ALWAYS float sum_lanes(vf v) /* of small integers: exact in any order */
{
    float f[VL], s = 0;
    v_store(f, v);
    for (int i = 0; i < VL; i++)
        s += f[i];
    return s;
}

ALWAYS float max_lanes(vf v)
{
    float f[VL], m = 0;
    v_store(f, v);
    for (int i = 0; i < VL; i++)
        m = f[i] > m ? f[i] : m;
    return m;
}

static void round_rows(const struct ste_matrix *w, const float *x, size_t ldx, int m0, int m,
                       const struct ste_rounded *out)
{
    const int cells = w->in / STE_CELL, subs = STE_CELL / w->sub;
    for (int r = 0; r < m; r++) {
        const float *xr = x + (size_t)(m0 + r) * ldx;
        int8_t *q = out->q + (size_t)(m0 + r) * (size_t)w->in;
        for (int cell = 0; cell < cells; cell++, xr += STE_CELL, q += STE_CELL) {
            const size_t at = (size_t)(m0 + r) * (size_t)cells + (size_t)cell;
            vf v[STE_CELL / VL], most = v_zero(), sum[2];
            for (int i = 0; i < STE_CELL / VL; i++) {
                v[i] = v_load(xr + i * VL);
                most = v_max(v_abs(v[i]), most);
            }
            float top = max_lanes(most), d = top / 127.0f;
            vf inverse = v_set1(top > 0 ? 127.0f / top : 0);
            sum[0] = sum[1] = v_zero();
            for (int i = 0; i < STE_CELL / VL; i++) {
                vf n = v_round(v_mul(v[i], inverse));
                v_store_s8(q + i * VL, n);
                sum[i * VL / 16] = v_add(sum[i * VL / 16], n);
            }
            out->d[at] = d;
            float s0 = sum_lanes(sum[0]), s1 = sum_lanes(sum[1]);
            if (!w->zero) {
                out->fix.f[at] = d * (s0 + s1);
            } else if (subs == 1) {
                out->fix.i[at] = -w->zero * (int32_t)(s0 + s1);
            } else {
                out->fix.i[at * 2] = -w->zero * (int32_t)s0;
                out->fix.i[at * 2 + 1] = -w->zero * (int32_t)s1;
            }
        }
    }
}

/* A panel's unpacked cells: quads[cell][8][64]; d, c [cell][subs][16]. */
struct cells {
    const uint8_t *quads;
    const float *d, *c;
    int n;
};

#ifdef D_WIDE
#define STEPS(bits) 8 /* 32-bit sums: a cell fits in any case */
#else
/* Quads whose products surely fit 16 bits: 2 * (2^bits - 1) * 127 each. Bytes go through two sums, of their nibbles. */
#define STEPS(bits) ((bits) == 6 ? 2 : (bits) == 5 ? 4 : 8)
#endif

/* Of the panel, nv vectors of rows from vector V0 on. */
ALWAYS void int8_tile(const int mr, const int v0, const int nv, const int bits, const int sub, const bool zero,
                      const struct cells *w, const int8_t *x, size_t ldx, const float *dx, const int32_t *fix_i,
                      const float *fix_f, size_t ldd, float *y)
{
    const int subs = STE_CELL / sub, quads = sub / 4, steps = STEPS(bits) < quads ? STEPS(bits) : quads;
    vf acc[MAX_ROWS][NV];
    y += v0 * VL;
#pragma GCC unroll 8
    for (int r = 0; r < mr; r++)
#pragma GCC unroll 2
        for (int v = 0; v < nv; v++)
            acc[r][v] = v_load(y + r * STE_PANEL + v * VL);
    for (int cell = 0; cell < w->n; cell++)
#pragma GCC unroll 2
        for (int s = 0; s < subs; s++) {
            const uint8_t *wq = w->quads + ((size_t)cell * 8 + (size_t)s * 4) * STE_QUAD_BYTES + v0 * VL * 4;
            const int8_t *xq = x + (size_t)cell * STE_CELL + (size_t)s * 16;
            const size_t sc = ((size_t)cell * (size_t)subs + (size_t)s) * STE_PANEL + (size_t)(v0 * VL);
            vi sum[MAX_ROWS][NV];
#pragma GCC unroll 4
            for (int q0 = 0; q0 < quads; q0 += steps) {
                dacc part[MAX_ROWS][NV];
#ifndef D_WIDE
                dacc tops[MAX_ROWS][NV];
#endif
#pragma GCC unroll 8
                for (int q = q0; q < q0 + steps; q++) {
                    vi four[NV];
#ifndef D_WIDE
                    vi top[NV];
#endif
#pragma GCC unroll 2
                    for (int v = 0; v < nv; v++) {
                        four[v] = i_load(wq + q * STE_QUAD_BYTES + v * VL * 4);
#ifndef D_WIDE
                        top[v] = i_and(i_srl(four[v], 4), i_set1(0x0f0f0f0f));
                        if (bits == 8)
                            four[v] = i_and(four[v], i_set1(0x0f0f0f0f));
#endif
                    }
#pragma GCC unroll 8
                    for (int r = 0; r < mr; r++) {
                        int32_t word;
                        memcpy(&word, xq + (size_t)r * ldx + q * 4, sizeof word);
                        vi xr = i_set1(word);
#pragma GCC unroll 2
                        for (int v = 0; v < nv; v++) {
                            part[r][v] = q == q0 ? d_first(four[v], xr) : d_step(part[r][v], four[v], xr);
#ifndef D_WIDE
                            if (bits == 8)
                                tops[r][v] = q == q0 ? d_first(top[v], xr) : d_step(tops[r][v], top[v], xr);
#endif
                        }
                    }
                }
#pragma GCC unroll 8
                for (int r = 0; r < mr; r++)
#pragma GCC unroll 2
                    for (int v = 0; v < nv; v++) {
                        vi n = d_sum(part[r][v]);
#ifndef D_WIDE
                        if (bits == 8)
                            n = i_add(n, i_sll(d_sum(tops[r][v]), 4));
#endif
                        sum[r][v] = q0 ? i_add(sum[r][v], n) : n;
                    }
            }
#pragma GCC unroll 8
            for (int r = 0; r < mr; r++) {
                const size_t at = (size_t)r * ldd + (size_t)cell;
                vf scale = v_set1(dx[at]);
#pragma GCC unroll 2
                for (int v = 0; v < nv; v++) {
                    vi n = sum[r][v];
                    if (zero)
                        n = i_add(n, i_set1(fix_i[at * (size_t)subs + (size_t)s]));
                    acc[r][v] = v_fma(v_mul(scale, v_load(w->d + sc + v * VL)), v_from_i32(n), acc[r][v]);
                    if (!zero)
                        acc[r][v] = v_fma(v_load(w->c + sc + v * VL), v_set1(fix_f[at]), acc[r][v]);
                }
            }
        }
#pragma GCC unroll 8
    for (int r = 0; r < mr; r++)
#pragma GCC unroll 2
        for (int v = 0; v < nv; v++)
            v_store(y + r * STE_PANEL + v * VL, acc[r][v]);
}

ALWAYS void int8_rows(const int bits, const int sub, const bool zero, const struct ste_matrix *w, const struct cells *u,
                      int k, const struct ste_rounded *x, int m0, int m, float *y)
{
    const size_t in = (size_t)w->in, cells = in / STE_CELL, subs = STE_CELL / (size_t)sub;
    for (int r = 0; r < m;) {
        const size_t row = (size_t)(m0 + r), at = row * cells + (size_t)(k / STE_CELL);
        const int8_t *q = x->q + row * in + (size_t)k;
        const float *dx = x->d + at;
        const int32_t *fix_i = zero ? x->fix.i + at * subs : NULL;
        const float *fix_f = zero ? NULL : x->fix.f + at;
        float *yr = y + (size_t)r * STE_PANEL;
#define TILE(rows, v0, nv) int8_tile(rows, v0, nv, bits, sub, zero, u, q, in, dx, fix_i, fix_f, cells, yr)
        if (m - r >= 4) {
            /* Two sums for each vector: half a panel at a time. */
            for (int v = 0; bits == 8 && v < NV; v++)
                TILE(4, v, 1);
            if (bits != 8)
                TILE(4, 0, NV);
            r += 4;
        } else if (m - r >= 2) {
            TILE(2, 0, NV);
            r += 2;
        } else {
            TILE(1, 0, NV);
            r++;
        }
#undef TILE
    }
}

ALWAYS void unpack_cell(const int bits, const uint8_t *src, uint8_t *dst)
{
#pragma GCC unroll 2
    for (int v = 0; v < NV; v++) {
        vi quad[8];
        quads_of(bits, src, v, quad);
#pragma GCC unroll 8
        for (int q = 0; q < 8; q++)
            i_store(dst + q * STE_QUAD_BYTES + v * VL * 4, quad[q]);
    }
}

ALWAYS void prefetch_cell(const struct ste_matrix *w, int panel, int cell)
{
    const uint8_t *p = cell_at(w, panel, cell);
    for (size_t line = 0; line < w->cell_bytes; line += 64)
        __builtin_prefetch(p + line);
}

/* For one row nothing is gained by keeping what was unpacked. The sums are int8_tile's. */
ALWAYS void single(const int bits, const int sub, const bool zero, const enum ste_scale scale,
                   const struct ste_matrix *w, int panel, int k, int cells, const struct ste_rounded *x, int m0,
                   float *y)
{
    const int subs = STE_CELL / sub, quads = sub / 4, steps = STEPS(bits) < quads ? STEPS(bits) : quads;
    const size_t at = (size_t)m0 * (size_t)(w->in / STE_CELL) + (size_t)(k / STE_CELL);
    const int8_t *xq = x->q + (size_t)m0 * (size_t)w->in + (size_t)k;
    vf acc[NV];
    for (int v = 0; v < NV; v++)
        acc[v] = v_load(y + v * VL);
    for (int cell = 0; cell < cells; cell++, xq += STE_CELL) {
        vf d[2][NV], c[2][NV], dx = v_set1(x->d[at + (size_t)cell]);
        load_scales(scale, w, panel, k / STE_CELL + cell, d, c);
        prefetch_cell(w, panel, k / STE_CELL + cell + CELLS);
#pragma GCC unroll 2
        for (int v = 0; v < NV; v++) {
            vi quad[8];
            quads_of(bits, cell_at(w, panel, k / STE_CELL + cell), v, quad);
#pragma GCC unroll 2
            for (int s = 0; s < subs; s++) {
                vi sum = i_set1(0);
#pragma GCC unroll 4
                for (int q0 = 0; q0 < quads; q0 += steps) {
                    dacc part, top;
#pragma GCC unroll 8
                    for (int q = q0; q < q0 + steps; q++) {
                        int32_t word;
                        memcpy(&word, xq + s * 16 + q * 4, sizeof word);
                        vi xr = i_set1(word), four = quad[s * 4 + q];
#ifndef D_WIDE
                        if (bits == 8) {
                            vi high = i_and(i_srl(four, 4), i_set1(0x0f0f0f0f));
                            top = q == q0 ? d_first(high, xr) : d_step(top, high, xr);
                            four = i_and(four, i_set1(0x0f0f0f0f));
                        }
#endif
                        part = q == q0 ? d_first(four, xr) : d_step(part, four, xr);
                    }
                    sum = i_add(sum, d_sum(part));
#ifndef D_WIDE
                    if (bits == 8)
                        sum = i_add(sum, i_sll(d_sum(top), 4));
#else
                    (void)top;
#endif
                }
                const size_t one = at + (size_t)cell;
                if (zero)
                    sum = i_add(sum, i_set1(x->fix.i[one * (size_t)subs + (size_t)s]));
                acc[v] = v_fma(v_mul(dx, d[s][v]), v_from_i32(sum), acc[v]);
                if (!zero)
                    acc[v] = v_fma(c[s][v], v_set1(x->fix.f[one]), acc[v]);
            }
        }
    }
    for (int v = 0; v < NV; v++)
        v_store(y + v * VL, acc[v]);
}

ALWAYS void mul_type(const int bits, const int sub, const bool zero, const enum ste_scale scale,
                     const struct ste_matrix *w, int p0, int np, int k0, int kc, const struct ste_rounded *x, int m0,
                     int m, float *y)
{
    _Alignas(64) uint8_t quads[CELLS * 8 * STE_QUAD_BYTES];
    _Alignas(64) float d[CELLS * 2 * STE_PANEL], c[CELLS * 2 * STE_PANEL];
    const int subs = STE_CELL / sub;
    for (int p = 0; p < np; p++, y += (size_t)m * STE_PANEL) {
        if (m == 1) {
            single(bits, sub, zero, scale, w, p0 + p, k0, kc / STE_CELL, x, m0, y);
            continue;
        }
        for (int k = k0; k < k0 + kc; k += CELLS * STE_CELL) {
            struct cells u = {quads, d, c, (k0 + kc - k) / STE_CELL};
            if (u.n > CELLS)
                u.n = CELLS;
            for (int i = 0; i < u.n; i++) {
                const int cell = k / STE_CELL + i;
                vf vd[2][NV], vc[2][NV];
                load_scales(scale, w, p0 + p, cell, vd, vc);
                prefetch_cell(w, p0 + p, cell + CELLS);
                unpack_cell(bits, cell_at(w, p0 + p, cell), quads + (size_t)i * 8 * STE_QUAD_BYTES);
#pragma GCC unroll 2
                for (int s = 0; s < subs; s++)
#pragma GCC unroll 2
                    for (int v = 0; v < NV; v++) {
                        v_store(d + (i * subs + s) * STE_PANEL + v * VL, vd[s][v]);
                        if (!zero)
                            v_store(c + (i * subs + s) * STE_PANEL + v * VL, vc[s][v]);
                    }
            }
            int8_rows(bits, sub, zero, w, &u, k, x, m0, m, y);
        }
    }
}

static void mul_int8(const struct ste_matrix *w, int p0, int np, int k0, int kc, const struct ste_rounded *x, int m0,
                     int m, float *y)
{
#define TYPE(bits, sub, zero, scale) mul_type(bits, sub, zero, scale, w, p0, np, k0, kc, x, m0, m, y)
    if (w->scale == STE_SCALE_K16)
        TYPE(6, 16, true, STE_SCALE_K16);
    else if (w->scale == STE_SCALE_K && w->bits == 4)
        TYPE(4, 32, false, STE_SCALE_K);
    else if (w->scale == STE_SCALE_K)
        TYPE(5, 32, false, STE_SCALE_K);
    else if (w->scale == STE_SCALE_MIN && w->bits == 4)
        TYPE(4, 32, false, STE_SCALE_MIN);
    else if (w->scale == STE_SCALE_MIN)
        TYPE(5, 32, false, STE_SCALE_MIN);
    else if (w->bits == 4)
        TYPE(4, 32, true, STE_SCALE_BLOCK);
    else if (w->bits == 5)
        TYPE(5, 32, true, STE_SCALE_BLOCK);
    else
        TYPE(8, 32, true, STE_SCALE_BLOCK);
#undef TYPE
}

const struct ste_int8_kernels INT8_KERNELS = {.round = round_rows, .mul = mul_int8};
