/*
 * The matrix kernels in terms of simd.h: compiled once for each instruction set by matrix_SET.c, which defines STE_SIMD
 * and MATRIX_KERNELS, the name of the table. Every element of a result has one accumulator at a time, which takes
 * CHAIN inputs in order and then joins the element's total; blocks of inputs begin at multiples of CHAIN.
 */
#include "engine/cpu/matrix/matrix.h"
#include "engine/cpu/simd/simd.h"
#include "engine/cpu/matrix/unpack_body.h"

#define BLOCK 256 /* inputs expanded at a time: 16 KB a panel, for the L1 cache */
#define MAX_ROWS 6
#define CHAIN 128 /* inputs summed before they join the total: blocks keep rounding small over thousands of inputs */

/* C (mr, np * 16) += X (mr, k) . B (k, np * 16), k at most CHAIN. */
ALWAYS void chain(const int mr, const int np, int k, const float *x, size_t ldx, const float *b, size_t ldb,
                  size_t b_panel, float *c, size_t ldc, size_t c_panel)
{
    vf acc[MAX_ROWS][2 * NV];
#pragma GCC unroll 8
    for (int r = 0; r < mr; r++)
#pragma GCC unroll 8
        for (int v = 0; v < np * NV; v++)
            acc[r][v] = v_zero();
    for (int i = 0; i < k; i++) {
        vf w[2 * NV];
#pragma GCC unroll 8
        for (int v = 0; v < np * NV; v++)
            w[v] = v_load(b + (size_t)i * ldb + (size_t)(v / NV) * b_panel + (size_t)(v % NV) * VL);
#pragma GCC unroll 8
        for (int r = 0; r < mr; r++) {
            vf xr = v_set1(x[(size_t)r * ldx + (size_t)i]);
#pragma GCC unroll 8
            for (int v = 0; v < np * NV; v++)
                acc[r][v] = v_fma(xr, w[v], acc[r][v]);
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < mr; r++)
#pragma GCC unroll 8
        for (int v = 0; v < np * NV; v++) {
            float *to = c + (size_t)r * ldc + (size_t)(v / NV) * c_panel + (size_t)(v % NV) * VL;
            v_store(to, v_add(v_load(to), acc[r][v]));
        }
}

/* The same for any k. */
ALWAYS void tile(const int mr, const int np, int k, const float *x, size_t ldx, const float *b, size_t ldb,
                 size_t b_panel, float *c, size_t ldc, size_t c_panel)
{
    for (int i = 0; i < k; i += CHAIN)
        chain(mr, np, k - i < CHAIN ? k - i : CHAIN, x + i, ldx, b + (size_t)i * ldb, ldb, b_panel, c, ldc, c_panel);
}

/* Any number of rows, in tiles of about the same height. */
ALWAYS void tiles(const int np, int m, int k, const float *x, size_t ldx, const float *b, size_t ldb, size_t b_panel,
                  float *c, size_t ldc, size_t c_panel)
{
    for (int left = (m + MAX_ROWS - 1) / MAX_ROWS; left > 0; left--) {
        int mr = (m + left - 1) / left;
        switch (mr) {
#define CASE(n)                                                                                                        \
    case n:                                                                                                            \
        tile(n, np, k, x, ldx, b, ldb, b_panel, c, ldc, c_panel);                                                      \
        break
            CASE(1);
            CASE(2);
            CASE(3);
            CASE(4);
            CASE(5);
            CASE(6);
#undef CASE
        }
        x += (size_t)mr * ldx;
        c += (size_t)mr * ldc;
        m -= mr;
    }
}

static void mul_f32(const struct ste_matrix *w, int p0, int np, int k0, int kc, const float *x, size_t ldx, int m,
                    float *y)
{
    _Alignas(64) float buffer[BLOCK * STE_PANEL];
    /* Few rows leave too few accumulators to keep the multipliers busy: more panels at a time then. */
    const int most = m <= 3 || VL == 16 ? 2 : 1;
    size_t c_panel = (size_t)m * STE_PANEL;
    for (int p = 0; p < np;) {
        int wide = np - p >= most ? most : 1;
        int block = BLOCK / wide;
        for (int k = 0; k < kc; k += block) {
            int n = kc - k < block ? kc - k : block;
            const float *b = buffer;
            size_t b_panel = (size_t)block * STE_PANEL;
            if (w->bits == STE_F32_BITS) {
                b = (const float *)(w->weights + (size_t)(p0 + p) * w->panel_weights) + (size_t)(k0 + k) * STE_PANEL;
                b_panel = w->panel_weights / sizeof(float);
            } else {
                for (int i = 0; i < wide; i++)
                    expand(w, p0 + p + i, k0 + k, n, buffer + (size_t)i * b_panel);
            }
            const float *xk = x + k0 + k;
            float *c = y + (size_t)p * c_panel;
            if (wide == 2)
                tiles(2, m, n, xk, ldx, b, STE_PANEL, b_panel, c, STE_PANEL, c_panel);
            else
                tiles(1, m, n, xk, ldx, b, STE_PANEL, 0, c, STE_PANEL, 0);
        }
        p += wide;
    }
}

static void tile16(int m, int k, const float *x, size_t ldx, const float *b, size_t ldb, float *c, size_t ldc)
{
    tiles(1, m, k, x, ldx, b, ldb, 0, c, ldc, 0);
}

#if STE_SIMD
ALWAYS void transpose8(const float *src, size_t ld_src, float *dst, size_t ld_dst)
{
    __m256 r[8], t[8];
    for (int i = 0; i < 8; i++)
        r[i] = _mm256_loadu_ps(src + (size_t)i * ld_src);
    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
    for (int i = 0; i < 8; i += 4)
        for (int j = 0; j < 2; j++) {
            r[i + 2 * j] = _mm256_shuffle_ps(t[i + j], t[i + j + 2], 0x44);
            r[i + 2 * j + 1] = _mm256_shuffle_ps(t[i + j], t[i + j + 2], 0xee);
        }
    for (int i = 0; i < 4; i++) {
        _mm256_storeu_ps(dst + (size_t)i * ld_dst, _mm256_permute2f128_ps(r[i], r[i + 4], 0x20));
        _mm256_storeu_ps(dst + (size_t)(i + 4) * ld_dst, _mm256_permute2f128_ps(r[i], r[i + 4], 0x31));
    }
}
#endif

static void transpose(const float *src, size_t ld_src, int rows, int cols, float *dst, size_t ld_dst)
{
    int full_rows = 0, full_cols = 0;
#if STE_SIMD
    full_rows = rows & ~7;
    full_cols = cols & ~7;
    for (int i = 0; i < full_rows; i += 8)
        for (int j = 0; j < full_cols; j += 8)
            transpose8(src + (size_t)i * ld_src + j, ld_src, dst + (size_t)j * ld_dst + i, ld_dst);
#endif
    for (int i = 0; i < rows; i++)
        for (int j = i < full_rows ? full_cols : 0; j < cols; j++)
            dst[(size_t)j * ld_dst + (size_t)i] = src[(size_t)i * ld_src + (size_t)j];
}

/* Row by row across the panels: a panel's own piece of a row is a single line of the cache. */
static void write_panels(int m, int panels, const float *sums, float alpha, float beta, float *c, size_t ldc)
{
    const vf a = v_set1(alpha), b = v_set1(beta);
    for (int i = 0; i < m; i++)
        for (int p = 0; p < panels; p++)
#pragma GCC unroll 2
            for (int v = 0; v < NV; v++) {
                float *to = c + (size_t)i * ldc + (size_t)p * STE_PANEL + v * VL;
                vf sum = v_mul(a, v_load(sums + ((size_t)p * (size_t)m + (size_t)i) * STE_PANEL + v * VL));
                v_store(to, beta == 0 ? sum : v_add(sum, v_mul(b, v_load(to))));
            }
}

/* W's panels turned around, for the backward product: columns of W side by side. */
static void columns(const struct ste_matrix *w, int p0, int np, int k0, int kc, float *dst)
{
    _Alignas(64) float buffer[BLOCK * STE_PANEL];
    size_t group = (size_t)np * STE_PANEL * STE_PANEL; /* of 16 columns */
    for (int p = 0; p < np; p++)
        for (int k = 0; k < kc; k += BLOCK) {
            int n = kc - k < BLOCK ? kc - k : BLOCK;
            const float *b = buffer;
            if (w->bits == STE_F32_BITS)
                b = (const float *)(w->weights + (size_t)(p0 + p) * w->panel_weights) + (size_t)(k0 + k) * STE_PANEL;
            else
                expand(w, p0 + p, k0 + k, n, buffer);
            for (int j = 0; j < n; j += STE_PANEL)
                transpose(b + (size_t)j * STE_PANEL, STE_PANEL, n - j < STE_PANEL ? n - j : STE_PANEL, STE_PANEL,
                          dst + (size_t)((k + j) / STE_PANEL) * group + (size_t)p * STE_PANEL * STE_PANEL, STE_PANEL);
        }
}

const struct ste_matrix_kernels MATRIX_KERNELS = {
    .f32 = mul_f32, .columns = columns, .tile = tile16, .write = write_panels, .transpose = transpose};
