/*
 * The kernels of the bf16 paths: activations and weights of 8 significant bits, sums in f32 as the tile instruction
 * TDPBF16PS forms them (Intel's instruction set reference): of 32 inputs the even and the odd ones are each summed by
 * fused multiply-adds in order, then
 *   acc = acc + (even + odd).
 * Every instruction set does that, so all give the same bits; AMX does it 16 times as fast.
 *
 * Dot: the sums are those of AVX512_BF16's VDPBF16PS instead, one for all inputs, of each two of them the odd one
 * first: acc = fma(even, fma(odd, acc)), which that instruction does twice as fast as f32 (VDPBF16PS, measured on Zen
 * 5; ste_isa_choose tries it).
 *
 * Plain bf16: activations are rounded to the nearest, ties to even. A weight d * q + c is made a little larger and cut
 * off: the upper half of fma(b + q, d * g, c * g - b * (d * g)), b = 128 (256 for 8 bits), g = 1 + 2^-7/3, which errs
 * by at most 2/3 of the last place and by none on average, as rounding does, but costs two instructions less.
 * (Backward: of fma(q, d, c) * g.)
 *
 * Split (BF16x3): every number is the sum of two bf16 ones, high and low, and three of the four products are summed,
 * for each 32 inputs low x high, high x high, high x low (weights named last): a relative error of some 2^-16, that of
 * f32 sums of some hundred inputs. PyTorch calls this the float32 matmul precision "high".
 *
 * Weights that are bf16 (STE_BF16_BITS) are taken as they are, forward; they are not split.
 *
 * The instruction takes numbers below the normal range for 0. None comes up: activations below 2^-55 are made 0 when
 * they are rounded, quantized weights are multiples of 2^-42, and
 * bf16 ones below 2^-57 are made 0 when they are packed.
 */
#ifndef STE_ENGINE_CPU_BF16_H
#define STE_ENGINE_CPU_BF16_H

#include "engine/cpu/matrix/matrix.h"
#include "engine/cpu/bf16/tiles.h"

/* Tiles are so fast that weights are better not unpacked again for other rows; X and sums come from the L2 cache. */
#define STE_BF16_ROWS 512
#define STE_BF16_COLUMNS 256
#define STE_BF16_GROW (1.0f + 0x1p-7f / 3)

/* bf16 words of M rounded rows: (ceil(m/16), ceil(width/32), 16, 32), a tile of the instruction side by side. */
#define STE_BF16_SIZE(m, width)                                                                                        \
    (((size_t)(m) + STE_TILE_ROWS - 1) / STE_TILE_ROWS * STE_TILE_ROWS *                                               \
     (((size_t)(width) + STE_CELL - 1) / STE_CELL * STE_CELL))

/* Rounded rows; LOW is NULL where they are not split. */
struct ste_bf16_rows {
    uint16_t *high, *low;
    int width; /* numbers a row */
};

struct ste_bf16_kernels {
    /* Rows m0..m0+m of X into the same rows of OUT; m0 begins a tile. What fills the last tiles becomes 0. */
    void (*round)(const float *x, size_t ldx, int m0, int m, const struct ste_bf16_rows *out);
    /* Both: rows m0..m0+m, where m0 begins a tile, and N tiles of 16 columns from N0 on; at most STE_BF16_ROWS rows and
     * STE_BF16_COLUMNS columns.
     * Y (rows, out) = X (rows, in) . W^T + bias, which may be NULL. */
    void (*mul)(const struct ste_matrix *w, int n0, int n, const struct ste_bf16_rows *x, int m0, int m,
                const float *bias, float *y, size_t ldy);
    /* DX (rows, in) = DY (rows, out) . W, added to DX when ACCUMULATE; N0 and N are even. */
    void (*back)(const struct ste_matrix *w, int n0, int n, const struct ste_bf16_rows *dy, int m0, int m,
                 bool accumulate, float *dx, size_t lddx);
};
extern const struct ste_bf16_kernels ste_bf16_portable, ste_bf16_avx2, ste_bf16_avx512, ste_bf16_amx;
extern const struct ste_bf16_kernels ste_bf16_dot_portable, ste_bf16_dot_avx2, ste_bf16_dot_avx512, ste_bf16_dot_vdp;
const struct ste_bf16_kernels *ste_bf16_kernels_of(enum ste_isa isa, enum ste_activations act);

#endif
