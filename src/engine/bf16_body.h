/*
 * The bf16 kernels in terms of simd.h: compiled once for each instruction set by bf16_SET.c, which defines STE_SIMD and
 * BF16_KERNELS, the name of the table; BF16_TILES where the tile instruction does the products instead.
 */
#include "engine/bf16.h"
#include "engine/simd.h"
#include "engine/unpack_body.h"

static void round_rows(const struct ste_matrix *w, const float *x, size_t ldx, int m0, int m, uint16_t *out)
{
    const int cells = w->in / STE_CELL, whole = (m + STE_TILE_ROWS - 1) / STE_TILE_ROWS * STE_TILE_ROWS;
    const vf least = v_set1(0x1p-55f);
    for (int r = 0; r < whole; r++) {
        uint16_t *to =
            out + ((size_t)((m0 + r) / STE_TILE_ROWS) * (size_t)cells * STE_TILE_ROWS + (size_t)(r % STE_TILE_ROWS)) *
                      STE_CELL;
        for (int cell = 0; cell < cells; cell++, to += STE_TILE_ROWS * STE_CELL)
            for (int i = 0; i < STE_CELL; i += VL) {
                vf v = v_zero();
                if (r < m)
                    v = v_load(x + (size_t)(m0 + r) * ldx + (size_t)cell * STE_CELL + i);
                i_store_high16(to + i, i_from_bits(v_to_bf16(v_keep(v, v_abs(v), least))));
            }
    }
}

/* A cell's d and c for bf16_weights. */
ALWAYS void bf16_scales(const int bits, const enum ste_scale scale, const struct ste_matrix *w, int panel, int cell,
                        vf d[2][NV], vf c[2][NV])
{
    const vf grow = v_set1(STE_BF16_GROW), minus_base = v_set1(bits == 8 ? -256.0f : -128.0f);
    load_scales(scale, w, panel, cell, d, c);
    for (int half = 0; half < (bits == 6 ? 2 : 1); half++)
#pragma GCC unroll 2
        for (int v = 0; v < NV; v++) {
            d[half][v] = v_mul(d[half][v], grow);
            c[half][v] = v_fma(minus_base, d[half][v], v_mul(c[half][v], grow));
        }
}

/* VL rows' weights of the Qth four inputs of a cell, whose upper halves are the bf16 ones; QUAD as quads_of gives it.
 * The integers are put where a float has its fraction, under the exponent of 128 or 256, instead of converted. */
ALWAYS void bf16_weights(const int bits, const uint8_t *src, int v, const vi quad[8], const int q, vf d, vf c, vf f[4])
{
    const int place = bits == 8 ? 15 : 16;
    const vi mask = i_set1(((1 << bits) - 1) << place), base = i_set1(bits == 8 ? 0x43800000 : 0x43000000);
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
        const int from = 8 * j + (bits == 4 && q % 2 ? 4 : 0);
        vi n = bits == 4 ? i_load(src + q / 2 * STE_QUAD_BYTES + v * VL * 4) : quad[q];
        n = from < place ? i_sll(n, place - from) : from > place ? i_srl(n, from - place) : n;
        f[j] = v_fma(v_from_bits(i_or(i_and(n, mask), base)), d, c);
    }
}

#define FEW_ROWS 3   /* so few that unpacked weights need not be kept */
#define FEW_CELLS 32 /* whose inputs are made floats at a time */

/* Y (panel, r, 16) of MR rows += X (mr, FEW_CELLS * 32 floats) . W over N cells of a panel. */
ALWAYS void few_rows(const int mr, const int bits, const enum ste_scale scale, const struct ste_matrix *w, int panel,
                     int cell, int n, const float *x, float *y)
{
    const vi upper = i_set1((int32_t)0xffff0000u);
    vf acc[FEW_ROWS][NV];
#pragma GCC unroll 4
    for (int r = 0; r < mr; r++)
#pragma GCC unroll 2
        for (int v = 0; v < NV; v++)
            acc[r][v] = v_load(y + r * STE_PANEL + v * VL);
    for (; n > 0; n--, cell++, x += STE_CELL) {
        const uint8_t *src = cell_at(w, panel, cell);
        vf d[2][NV], c[2][NV];
        bf16_scales(bits, scale, w, panel, cell, d, c);
#pragma GCC unroll 8
        for (int line = 0; line < bits; line++)
            __builtin_prefetch(src + 16 * bits * STE_QUAD_BYTES + line * 64);
#pragma GCC unroll 2
        for (int v = 0; v < NV; v++) {
            vi quad[8];
            vf sum[FEW_ROWS][2], f[4];
            quads_of(bits, src, v, quad);
#pragma GCC unroll 4
            for (int r = 0; r < mr; r++)
                sum[r][0] = sum[r][1] = v_zero();
#pragma GCC unroll 8
            for (int q = 0; q < 8; q++) {
                const int half = bits == 6 ? q / 4 : 0;
                bf16_weights(bits, src, v, quad, q, d[half][v], c[half][v], f);
#pragma GCC unroll 4
                for (int j = 0; j < 4; j++) {
                    f[j] = v_from_bits(i_and(i_from_bits(f[j]), upper));
#pragma GCC unroll 4
                    for (int r = 0; r < mr; r++)
                        sum[r][j % 2] = v_fma(v_set1(x[r * FEW_CELLS * STE_CELL + 4 * q + j]), f[j], sum[r][j % 2]);
                }
            }
#pragma GCC unroll 4
            for (int r = 0; r < mr; r++)
                acc[r][v] = v_add(acc[r][v], v_add(sum[r][0], sum[r][1]));
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < mr; r++)
#pragma GCC unroll 2
        for (int v = 0; v < NV; v++)
            v_store(y + r * STE_PANEL + v * VL, acc[r][v]);
}

/* CALL(bits, scale) with W's type as constants. */
#define BF16_BY_TYPE(w, CALL)                                                                                          \
    do {                                                                                                               \
        if ((w)->scale == STE_SCALE_K16)                                                                               \
            CALL(6, STE_SCALE_K16);                                                                                    \
        else if ((w)->scale == STE_SCALE_K && (w)->bits == 4)                                                          \
            CALL(4, STE_SCALE_K);                                                                                      \
        else if ((w)->scale == STE_SCALE_K)                                                                            \
            CALL(5, STE_SCALE_K);                                                                                      \
        else if ((w)->scale == STE_SCALE_MIN && (w)->bits == 4)                                                        \
            CALL(4, STE_SCALE_MIN);                                                                                    \
        else if ((w)->scale == STE_SCALE_MIN)                                                                          \
            CALL(5, STE_SCALE_MIN);                                                                                    \
        else if ((w)->bits == 4)                                                                                       \
            CALL(4, STE_SCALE_BLOCK);                                                                                  \
        else if ((w)->bits == 5)                                                                                       \
            CALL(5, STE_SCALE_BLOCK);                                                                                  \
        else                                                                                                           \
            CALL(8, STE_SCALE_BLOCK);                                                                                  \
    } while (0)

static void few_rows_of(const struct ste_matrix *w, int mr, int panel, int cell, int n, const float *x, float *y)
{
#define CALL(bits, scale)                                                                                              \
    (mr == 1   ? few_rows(1, bits, scale, w, panel, cell, n, x, y)                                                     \
     : mr == 2 ? few_rows(2, bits, scale, w, panel, cell, n, x, y)                                                     \
               : few_rows(3, bits, scale, w, panel, cell, n, x, y))
    BF16_BY_TYPE(w, CALL);
#undef CALL
}

/* As the table's MUL, for at most FEW_ROWS rows. */
static void mul_few(const struct ste_matrix *w, int p0, int np, const uint16_t *x, int m0, int m, const float *bias,
                    float *y, size_t ldy)
{
    _Alignas(64) float sums[STE_BF16_PANELS][FEW_ROWS * STE_PANEL] = {0}, xf[FEW_ROWS][FEW_CELLS * STE_CELL];
    const int cells = w->in / STE_CELL;
    for (int p = 0; bias && p < np; p++)
        for (int i = 0; i < m * STE_PANEL; i++)
            if ((p0 + p) * STE_PANEL + i % STE_PANEL < w->out)
                sums[p][i] = bias[(p0 + p) * STE_PANEL + i % STE_PANEL];
    for (int cell = 0; cell < cells; cell += FEW_CELLS) {
        const int n = cells - cell < FEW_CELLS ? cells - cell : FEW_CELLS;
        for (int i = 0; i < n * m; i++) {
            const int r = i / n;
            const size_t tile = (size_t)((m0 + r) / STE_TILE_ROWS) * (size_t)cells + (size_t)(cell + i % n);
            const uint16_t *from = x + (tile * STE_TILE_ROWS + (size_t)(r % STE_TILE_ROWS)) * STE_CELL;
            uint32_t bits[STE_CELL];
            for (int k = 0; k < STE_CELL; k++)
                bits[k] = (uint32_t)from[k] << 16;
            memcpy(&xf[r][i % n * STE_CELL], bits, sizeof bits);
        }
        for (int p = 0; p < np; p++)
            few_rows_of(w, m, p0 + p, cell, n, xf[0], sums[p]);
    }
    for (int p = 0; p < np; p++)
        for (int r = 0; r < m; r++) {
            const int left = w->out - (p0 + p) * STE_PANEL;
            memcpy(y + (size_t)(m0 + r) * ldy + (size_t)(p0 + p) * STE_PANEL, sums[p] + r * STE_PANEL,
                   (size_t)(left < STE_PANEL ? left : STE_PANEL) * sizeof *y);
        }
}

#ifndef BF16_TILES
#define MAX_ROWS 4
#define CELLS 8 /* expanded at a time: 16 KB of weights, for the L1 cache */

ALWAYS vf even_of(uint32_t pair)
{
    return v_from_bits(i_set1((int32_t)(pair << 16)));
}
ALWAYS vf odd_of(uint32_t pair)
{
    return v_from_bits(i_set1((int32_t)(pair & 0xffff0000u)));
}

ALWAYS void bf16_expand(const int bits, const enum ste_scale scale, const struct ste_matrix *w, int panel, int cell,
                        float *dst)
{
    const uint8_t *src = cell_at(w, panel, cell);
    vf d[2][NV], c[2][NV];
    bf16_scales(bits, scale, w, panel, cell, d, c);
#pragma GCC unroll 2
    for (int v = 0; v < NV; v++) {
        vi quad[8];
        vf f[4];
        quads_of(bits, src, v, quad);
#pragma GCC unroll 8
        for (int q = 0; q < 8; q++) {
            const int half = bits == 6 ? q / 4 : 0;
            bf16_weights(bits, src, v, quad, q, d[half][v], c[half][v], f);
#pragma GCC unroll 4
            for (int j = 0; j < 4; j++)
                v_store(dst + (4 * q + j) * STE_PANEL + v * VL,
                        v_from_bits(i_and(i_from_bits(f[j]), i_set1((int32_t)0xffff0000u))));
        }
    }
}

static void bf16_expand_of(const struct ste_matrix *w, int panel, int cell, float *dst)
{
#define CALL(bits, scale) bf16_expand(bits, scale, w, panel, cell, dst)
    BF16_BY_TYPE(w, CALL);
#undef CALL
}

/* Y (mr, 16) += X (mr rows of a tile, n cells) . B (n * 32, 16) */
ALWAYS void bf16_tile(const int mr, int n, const uint16_t *x, const float *b, float *y)
{
    for (int cell = 0; cell < n; cell++, x += STE_TILE_ROWS * STE_CELL, b += STE_CELL * STE_PANEL) {
        vf even[MAX_ROWS][NV], odd[MAX_ROWS][NV];
#pragma GCC unroll 8
        for (int r = 0; r < mr; r++)
#pragma GCC unroll 2
            for (int v = 0; v < NV; v++)
                even[r][v] = odd[r][v] = v_zero();
        for (int k = 0; k < STE_CELL; k += 2)
#pragma GCC unroll 8
            for (int r = 0; r < mr; r++) {
                uint32_t pair;
                memcpy(&pair, x + r * STE_CELL + k, sizeof pair);
#pragma GCC unroll 2
                for (int v = 0; v < NV; v++) {
                    even[r][v] = v_fma(even_of(pair), v_load(b + k * STE_PANEL + v * VL), even[r][v]);
                    odd[r][v] = v_fma(odd_of(pair), v_load(b + (k + 1) * STE_PANEL + v * VL), odd[r][v]);
                }
            }
#pragma GCC unroll 8
        for (int r = 0; r < mr; r++)
#pragma GCC unroll 2
            for (int v = 0; v < NV; v++) {
                float *to = y + r * STE_PANEL + v * VL;
                v_store(to, v_add(v_load(to), v_add(even[r][v], odd[r][v])));
            }
    }
}

static void mul_bf16(const struct ste_matrix *w, int p0, int np, const uint16_t *x, int m0, int m, const float *bias,
                     float *y, size_t ldy)
{
    _Alignas(64) float b[CELLS * STE_CELL * STE_PANEL], sums[STE_BF16_ROWS * STE_PANEL];
    const size_t cells = (size_t)(w->in / STE_CELL);
    if (m <= FEW_ROWS) {
        mul_few(w, p0, np, x, m0, m, bias, y, ldy);
        return;
    }
    for (int p = p0; p < p0 + np; p++) {
        const int left = w->out - p * STE_PANEL, columns = left < STE_PANEL ? left : STE_PANEL;
        memset(sums, 0, (size_t)m * STE_PANEL * sizeof *sums);
        for (int r = 0; bias && r < m; r++)
            memcpy(sums + r * STE_PANEL, bias + p * STE_PANEL, (size_t)columns * sizeof *sums);
        for (int k = 0; k < w->in; k += CELLS * STE_CELL) {
            const int n = w->in - k < CELLS * STE_CELL ? w->in - k : CELLS * STE_CELL;
            for (int i = 0; i < n; i += STE_CELL)
                bf16_expand_of(w, p, (k + i) / STE_CELL, b + i * STE_PANEL);
            for (int r = 0; r < m;) {
                const size_t tile = (size_t)((m0 + r) / STE_TILE_ROWS) * cells + (size_t)(k / STE_CELL);
                const uint16_t *xr = x + (tile * STE_TILE_ROWS + (size_t)(r % STE_TILE_ROWS)) * STE_CELL;
                if (m - r >= 4) {
                    bf16_tile(4, n / STE_CELL, xr, b, sums + r * STE_PANEL);
                    r += 4;
                } else {
                    bf16_tile(1, n / STE_CELL, xr, b, sums + r * STE_PANEL);
                    r++;
                }
            }
        }
        for (int r = 0; r < m; r++)
            memcpy(y + (size_t)(m0 + r) * ldy + (size_t)p * STE_PANEL, sums + r * STE_PANEL,
                   (size_t)columns * sizeof *y);
    }
}

const struct ste_bf16_kernels BF16_KERNELS = {.round = round_rows, .mul = mul_bf16};
#endif
