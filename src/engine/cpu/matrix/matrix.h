/*
 * The packed form of a weight matrix, and the kernels that read it: shared by the files of engine/ only.
 *
 * A panel holds STE_PANEL rows of W; rows past the last are zero. Quantized types: a cell is 32 inputs of a panel. Its
 * weights are unsigned integers Q of 2 to 8 bits and the value is d * q + c, rounded once, which is what
 * ste_dequantize gives. A quad is four neighbouring inputs of each of the 16 rows: 16 lanes of four bytes.
 *   2 low bits   of types of 2 or 3 bits, 2 x 64 bytes: bits 2i of the first to quads 0..3, of the second to quads 4..7
 *   3rd bit      64 bytes: bit i of a byte belongs to quad i
 *   4 low bits   4 x 64 bytes: quad 2g in the low nibbles, quad 2g+1 in the high ones
 *   5th bit      64 bytes: bit i of a byte belongs to quad i
 *   5th and 6th  2 x 64 bytes: bits 2i of the first to quads 0..3, of the second to quads 4..7
 *   8 bits       8 x 64 bytes, a quad each
 *   table        as 4 bits, which choose one of the matrix's 16 bytes: Q is of 8 bits
 * The scales lie apart from the weights, 16 rows side by side, as compact as in the file:
 *   STE_SCALE_BLOCK    a cell: d (f16); STE_SCALE_MIN: d, m (f16); c = m
 *   STE_SCALE_K        8 cells: d, dmin (f16), then for each cell scale and min (u8); d * scale, c = -dmin * min
 *   STE_SCALE_K16      8 cells: d (f16), then for each half cell a scale (s8)
 *   STE_SCALE_K16_MIN  8 cells: d, dmin (f16), then for each cell its halves' scales (s8), then minima (s8)
 *   STE_SCALE_TABLE    a cell: d (f32)
 * Behind those of 8 cells of a K type: the largest |w| that their scales allow (f32), for products in groups.
 * Types whose zero is not 0 (all but those with a minimum) have c = -zero * d. MXFP4's
 * scales below 2^-42 are 0 (bf16.h): of its weights, those below 2^-39 may be lost, and of BF16's those below 2^-57.
 * F32, F16: as they are, 16 rows side by side for each input. BF16: the same, but two inputs at a time, those of a row in
 * neighbouring words, an odd last one with a 0 beside it: 32 inputs are what VDPBF16PS and TDPBF16PS take.
 */
#ifndef STE_ENGINE_CPU_MATRIX_H
#define STE_ENGINE_CPU_MATRIX_H

#include "engine/cpu/kernels.h"

#define STE_CELL 32
#define STE_QUAD_BYTES 64

/* Bytes of scales of a panel's 8 cells, and where the largest |w| lie among those of K types. */
#define STE_K_SCALES 384
#define STE_K16_SCALES 352
#define STE_K16_MIN_SCALES 640
#define STE_LARGEST_AT(bytes) ((bytes)-STE_PANEL * 4)

enum ste_scale {
    STE_SCALE_NONE,
    STE_SCALE_BLOCK,
    STE_SCALE_MIN,
    STE_SCALE_TABLE,
    STE_SCALE_K,
    STE_SCALE_K16,
    STE_SCALE_K16_MIN
};
/* A scale for 8 cells, with those of its parts. */
#define STE_SCALE_IS_K(scale) ((scale) >= STE_SCALE_K)
/* A scale for half a cell. */
#define STE_SCALE_HALVES(scale) ((scale) >= STE_SCALE_K16)
/* The integers have a minimum, C is no multiple of d. */
#define STE_SCALE_HAS_MIN(scale) ((scale) == STE_SCALE_MIN || (scale) == STE_SCALE_K || (scale) == STE_SCALE_K16_MIN)

#define STE_TABLE 9 /* as the bits of a matrix: 4 that choose one of 16 bytes */
#define STE_F16_BITS 16
#define STE_BF16_BITS 17 /* 16 of another kind */
#define STE_F32_BITS 32
#define STE_STORED_BITS(bits) ((bits) == STE_TABLE ? 4 : (bits))
#define STE_VALUE_BITS(bits) ((bits) == STE_TABLE ? 8 : (bits))

struct ste_matrix {
    int out, in, panels;
    int bits; /* 2 to 6, 8, STE_TABLE; or STE_F16_BITS, STE_BF16_BITS, STE_F32_BITS */
    int zero; /* the integer that stands for 0; 0 for types with a minimum */
    enum ste_scale scale;
    uint8_t table[16]; /* of STE_TABLE */
    uint8_t *weights, *scales;
    size_t weights_size, scales_size; /* allocated */
    size_t cell_bytes;                /* weights of a cell; of 32 inputs */
    size_t panel_weights, panel_scales;
    enum ste_isa isa;
};

/* Its weights are integers with scales; others are taken as they are. */
static inline bool ste_matrix_is_quantized(const struct ste_matrix *w)
{
    return w->scale != STE_SCALE_NONE;
}

struct ste_matrix_kernels {
    /* Y (np, m, 16) += X (m, k0..k0+kc) . W's panels from p0 on */
    void (*f32)(const struct ste_matrix *w, int p0, int np, int k0, int kc, const float *x, size_t ldx, int m,
                float *y);
    /* Inputs k0..k0+kc (a multiple of 16, or up to the end) of W's panels p0..p0+np, as (kc/16, np*16, 16). */
    void (*columns)(const struct ste_matrix *w, int p0, int np, int k0, int kc, float *dst);
    /* C (m, 16) += X (m, k) . B (k, 16); LDX, LDB, LDC in floats. */
    void (*tile)(int m, int k, const float *x, size_t ldx, const float *b, size_t ldb, float *c, size_t ldc);
    /* C (m, panels * 16) = alpha * SUMS (panels, m, 16) + beta * C; with beta 0, C is not read. */
    void (*write)(int m, int panels, const float *sums, float alpha, float beta, float *c, size_t ldc);
    /* DST (cols, ld) = the transpose of SRC (rows, cols) */
    void (*transpose)(const float *src, size_t ld_src, int rows, int cols, float *dst, size_t ld_dst);
};
extern const struct ste_matrix_kernels ste_matrix_portable, ste_matrix_avx2, ste_matrix_avx512;
extern const struct ste_ops ste_ops_portable, ste_ops_avx2, ste_ops_avx512;
const struct ste_matrix_kernels *ste_matrix_kernels_of(enum ste_isa isa);

/* Memory that the calling thread keeps from call to call: at least SIZE bytes, 64-byte aligned. A part of a job takes
 * the second, since the thread's first may be what all parts of the job read: stacks can be as small as 128 KB. */
void *ste_scratch(size_t size);
void *ste_part_scratch(size_t size);

#endif
