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
    for (int p = p0; p < p0 + np; p++) {
        const int left = w->out - p * STE_PANEL, columns = left < STE_PANEL ? left : STE_PANEL;
        memset(sums, 0, (size_t)m * STE_PANEL * sizeof *sums);
        for (int r = 0; bias && r < m; r++)
            memcpy(sums + r * STE_PANEL, bias + p * STE_PANEL, (size_t)columns * sizeof *sums);
        for (int k = 0; k < w->in; k += CELLS * STE_CELL) {
            const int n = w->in - k < CELLS * STE_CELL ? w->in - k : CELLS * STE_CELL;
            expand(w, p, k, n, b);
            for (int i = 0; i < n * STE_PANEL; i += VL)
                v_store(b + i, v_to_bf16(v_load(b + i)));
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
