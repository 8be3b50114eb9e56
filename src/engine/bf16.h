/*
 * The kernels of the bf16 path: activations and weights of 8 significant bits, sums in f32 as the tile instruction
 * TDPBF16PS forms them (Intel's instruction set reference): of a cell's 32 inputs the even and the odd ones are each
 * summed by fused multiply-adds in order, then
 *   acc = acc + (even + odd).
 * Every instruction set does that, so all give the same bits; AMX does it 16 times as fast.
 *
 * Activations are rounded to the nearest bf16, ties to even. A weight d * q + c is made a little larger and cut off:
 *   the upper half of fma(b + q, d * g, c * g - b * (d * g)), b = 128 (256 for 8 bits), g = 1 + 2^-7/3,
 * which errs by at most 2/3 of the last place and by none on average, as rounding does, but costs two instructions
 * less.
 *
 * The instruction takes numbers below the normal range for 0. None comes up: activations below 2^-55 are made 0 when
 * they are rounded, and quantized weights are multiples of 2^-42.
 */
#ifndef STE_ENGINE_BF16_H
#define STE_ENGINE_BF16_H

#include "engine/matrix.h"
#include "engine/tiles.h"

/* Tiles are so fast that weights are better not unpacked again for other rows; X and sums come from the L2 cache. */
#define STE_BF16_ROWS 512
#define STE_BF16_PANELS 16
#define STE_BF16_GROW (1.0f + 0x1p-7f / 3)

/* bf16 words of M rounded rows: (ceil(m/16), in/32, 16, 32), a tile of the instruction side by side. */
#define STE_BF16_SIZE(m, in) (((size_t)(m) + STE_TILE_ROWS - 1) / STE_TILE_ROWS * STE_TILE_ROWS * (size_t)(in))

struct ste_bf16_kernels {
    /* Rows m0..m0+m of X into the same rows of OUT; m0 begins a tile, and rows that fill the last tile become 0. */
    void (*round)(const struct ste_matrix *w, const float *x, size_t ldx, int m0, int m, uint16_t *out);
    /* Y (rows, out) = X . W^T + bias (may be NULL): rows m0..m0+m, where m0 begins a tile, and the columns of W's
     * panels p0..p0+np. At most STE_BF16_ROWS rows and STE_BF16_PANELS panels. */
    void (*mul)(const struct ste_matrix *w, int p0, int np, const uint16_t *x, int m0, int m, const float *bias,
                float *y, size_t ldy);
};
extern const struct ste_bf16_kernels ste_bf16_portable, ste_bf16_avx2, ste_bf16_avx512, ste_bf16_amx;
const struct ste_bf16_kernels *ste_bf16_kernels_of(enum ste_isa isa);

#endif
