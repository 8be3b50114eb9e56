/*
 * The integer kernels in terms of simd.h: compiled once for each instruction set by int8_SET.c. The dot product of a
 * cell (or half of one, where that has its own scale) is an exact integer; cells are added in order in f32:
 *   acc = fma(dx * dw, isum, acc), and for types with a minimum acc = fma(c, dx * sum(q), acc).
 * With rows in groups the weights of K types are brought to 8 bits with one scale for a block of 256, and the dot
 * product of a whole group is an exact integer.
 */
#include "engine/cpu/int8/int8.h"
#include "engine/cpu/simd/simd.h"
#include "engine/cpu/matrix/unpack_body.h"

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
#define X_BYTES(bits) (STE_VALUE_BITS(bits) == 8 ? 2 : 1)
#define GROUP_BYTES 2
#define D_STARTS(zero) false /* 16-bit sums have no room for it */
#endif

#define ZERO(bits) (1 << ((bits)-1)) /* of types that have no minimum */

#include "engine/cpu/int8/int8_round_body.h"
#include "engine/cpu/int8/int8_tile_body.h"
#include "engine/cpu/int8/int8_unpack_body.h"

/* One row, whose cells from FIRST on lie from AT on in X: nothing is gained by keeping what was unpacked. The sums are
 * int8_tile's. */
ALWAYS void single(const int bits, const int sub, const bool zero, const enum ste_scale scale,
                   const struct ste_matrix *w, int panel, int first, int cells, const struct ste_rounded *x, size_t at,
                   const float *from, float *to)
{
    const int subs = STE_CELL / sub, quads = sub / 4, steps = STEPS(bits) < quads ? STEPS(bits) : quads,
              bytes = X_BYTES(bits);
    const uint8_t *src = cell_at(w, panel, first), *scales = scales_at(scale, w, panel, first);
    vf acc[NV];
    for (int v = 0; v < NV; v++)
        acc[v] = v_load(from + v * VL);
    for (int cell = 0; cell < cells; cell++, at += (size_t)x->ld, src += STE_STORED_BITS(bits) * STE_QUAD_BYTES) {
        const int8_t *xq = bytes == 2 ? (const int8_t *)(x->words + at * STE_CELL) : x->q + at * STE_CELL;
        vf d[2][NV], c[2][NV], dx = v_set1(x->d[at]);
        load_scales(scale, w, panel, first + cell, d, c);
        prefetch_cell(bits, src + CELLS * STE_STORED_BITS(bits) * STE_QUAD_BYTES);
        if (cell % 2 == 0)
            __builtin_prefetch(scales + (cell + CELLS) * SCALE_BYTES(scale) / 8);
#pragma GCC unroll 2
        for (int v = 0; v < NV; v++) {
            vi quad[8];
            quads_of(bits, w, src, v, quad);
#pragma GCC unroll 2
            for (int s = 0; s < subs; s++) {
                vi sum = i_set1(0);
#ifndef D_WIDE
#pragma GCC unroll 8
                for (int q = 0; bytes == 2 && q < 8; q++) {
                    int32_t pairs[2];
                    memcpy(pairs, xq + q * 8, sizeof pairs);
                    sum = i_step_words(sum, i_words(quad[q], 0), i_set1(pairs[0]));
                    sum = i_step_words(sum, i_words(quad[q], 1), i_set1(pairs[1]));
                }
#endif
#pragma GCC unroll 4
                for (int q0 = 0; bytes == 1 && q0 < quads; q0 += steps) {
                    dacc part;
#pragma GCC unroll 8
                    for (int q = q0; q < q0 + steps; q++) {
                        int32_t word;
                        memcpy(&word, xq + s * 16 + q * 4, sizeof word);
                        vi xr = i_set1(word), four = quad[(s * 4 + q) & 7];
                        part = q == q0 ? d_first(four, xr) : d_step(part, four, xr);
                    }
                    sum = i_add(sum, d_sum(part));
                }
                if (zero)
                    sum = i_add(
                        sum, i_set1(sub == 16 ? x->minus_halves[2 * at + (size_t)s] : x->minus[STE_ZERO_OF(bits)][at]));
                acc[v] = v_fma(v_mul(dx, d[s][v]), v_from_i32(sum), acc[v]);
                if (!zero)
                    acc[v] = v_fma(c[s][v], v_set1(sum_at(x, sub, at, s)), acc[v]);
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
                          int panel, int first, int cells, const struct ste_rounded *x, size_t at, const float *from,
                          float *to)
{
    const uint8_t *src = cell_at(w, panel, first), *scales = scales_at(scale, w, panel, first);
    vf acc[NV];
    for (int v = 0; v < NV; v++)
        acc[v] = v_load(from + v * VL);
    struct group groups[2];
    int turn = 0;
    scale_group(scale, w, panel, first, x->span, &groups[0]);
    for (int cell = 0; cell < cells; cell += x->span, turn ^= 1) {
        const struct group *g = &groups[turn];
        /* The next one's in the meantime: it takes as long as a group to know them. */
        if (cell + x->span < cells)
            scale_group(scale, w, panel, first + cell + x->span, x->span, &groups[turn ^ 1]);
        for (int i = 0; i < x->span * SCALE_BYTES(scale) / 8; i += 64)
            __builtin_prefetch(scales + (cell + CELLS) * SCALE_BYTES(scale) / 8 + i);
        const vf dx = v_set1(x->d[at]);
        vi sum[NV][CHAINS];
        for (int v = 0; v < NV; v++)
            for (int i = 0; i < CHAINS; i++)
                sum[v][i] = i_set1(GROUP_BYTES == 1 && i == 0 ? x->minus[STE_ZERO_OF(8)][at] : 0);
        for (int i = 0; i < x->span; i++, at += (size_t)x->ld, src += STE_STORED_BITS(bits) * STE_QUAD_BYTES) {
            prefetch_cell(bits, src + CELLS * STE_STORED_BITS(bits) * STE_QUAD_BYTES);
#pragma GCC unroll 2
            for (int v = 0; v < NV; v++) {
                vi quad[8];
                scaled_quads(bits, sub, w, src, g, i, v, quad);
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
            const size_t at = (size_t)(k0 / STE_CELL) * (size_t)x->ld + (size_t)m0;
            const float *f = (begins ? start : sums) + j * STE_PANEL;
            float *t = (ends && whole ? to_y.p : sums) + j * STE_PANEL;
            if (groups)
                single_groups(bits, sub, scale, w, p0 + p + j, k0 / STE_CELL, cells, x, at, f, t);
            else
                single(bits, sub, zero, scale, w, p0 + p + j, k0 / STE_CELL, cells, x, at, f, t);
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
    mul_type(groups, bits, STE_SCALE_HALVES(scale) ? 16 : 32, !STE_SCALE_HAS_MIN(scale), scale, w, p0, np, after, k0,  \
             kc, x, m0, m, bias, sums, y, ldy)
#define CALL(bits, scale)                                                                                              \
    if (STE_SCALE_IS_K(scale) && x->span > 1)                                                                          \
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
