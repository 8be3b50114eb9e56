/*
 * The bf16 kernels in terms of simd.h: compiled once for each instruction set by bf16_SET.c, which defines STE_SIMD,
 * BF16_KERNELS and BF16_DOT_KERNELS, the names of the tables; BF16_TILES or BF16_PAIRS where an instruction does the
 * products instead (bf16_steps_body.h).
 */
#include "engine/cpu/bf16/bf16.h"
#include "engine/cpu/simd/simd.h"
#include "engine/cpu/matrix/unpack_body.h"

static size_t tile_of(int width, int row, int cell)
{
    return ((size_t)(row / STE_TILE_ROWS) * (size_t)((width + STE_CELL - 1) / STE_CELL) + (size_t)cell) *
           STE_TILE_ROWS * STE_CELL;
}

static void round_rows(const float *x, size_t ldx, int m0, int m, const struct ste_bf16_rows *out)
{
    const int whole = (m + STE_TILE_ROWS - 1) / STE_TILE_ROWS * STE_TILE_ROWS;
    const vf least = v_set1(0x1p-55f);
    for (int r = 0; r < whole; r++)
        for (int k = 0; k < out->width; k += STE_CELL)
            for (int i = 0; i < STE_CELL; i += VL) {
                const size_t to =
                    tile_of(out->width, m0 + r, k / STE_CELL) + (size_t)(r % STE_TILE_ROWS * STE_CELL + i);
                const float *from = x + (size_t)(m0 + r) * ldx + k + i;
                vf v = v_zero(), high;
                if (r < m && out->width - k - i >= VL) {
                    v = v_load(from);
                } else if (r < m && out->width - k - i > 0) {
                    float f[VL] = {0};
                    memcpy(f, from, (size_t)(out->width - k - i) * sizeof *f);
                    v = v_load(f);
                }
                high = v_to_bf16(v_keep(v, v_abs(v), least));
                i_store_high16(out->high + to, i_from_bits(high));
                if (out->low) {
                    v = v_sub(v, high);
                    i_store_high16(out->low + to, i_from_bits(v_to_bf16(v_keep(v, v_abs(v), least))));
                }
            }
}

ALWAYS vf v_upper(vf a) /* cut off to bf16 */
{
    return v_from_bits(i_and(i_from_bits(a), i_set1((int32_t)0xffff0000u)));
}

/* What V_UPPER leaves, such that its own upper half is the nearest bf16. */
ALWAYS vf v_rest(vf a)
{
    return v_from_bits(i_add(i_from_bits(v_sub(a, v_upper(a))), i_set1(0x8000)));
}

/* A cell's d and c for bf16_weights. */
ALWAYS void bf16_scales(const int bits, const enum ste_scale scale, const bool split, const struct ste_matrix *w,
                        int panel, int cell, vf d[2][NV], vf c[2][NV])
{
    const vf grow = v_set1(split ? 1.0f : STE_BF16_GROW),
             minus_base = v_set1(STE_VALUE_BITS(bits) == 8 ? -256.0f : -128.0f);
    load_scales(scale, w, panel, cell, d, c);
    for (int half = 0; half < 2; half++)
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
    const int value_bits = STE_VALUE_BITS(bits), place = value_bits == 8 ? 15 : 16;
    const vi mask = i_set1(((1 << value_bits) - 1) << place), base = i_set1(value_bits == 8 ? 0x43800000 : 0x43000000);
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
        const int from = 8 * j + (bits == 4 && q % 2 ? 4 : 0);
        vi n = bits == 4 ? i_load(src + q / 2 * STE_QUAD_BYTES + v * VL * 4) : quad[q];
        n = from < place ? i_sll(n, place - from) : from > place ? i_srl(n, from - place) : n;
        f[j] = v_fma(v_from_bits(i_or(i_and(n, mask), base)), d, c);
    }
}

#ifndef BF16_PAIRS
#define FEW_ROWS 3   /* so few that unpacked weights need not be kept */
#define FEW_CELLS 32 /* whose inputs are made floats at a time */

/* Y (panel, r, 16) of MR rows += X (mr, FEW_CELLS * 32 floats) . W over N cells of a panel. */
ALWAYS void few_rows(const int mr, const int bits, const enum ste_scale scale, const struct ste_matrix *w, int panel,
                     int cell, int n, const float *x, float *y)
{
    const int stored = STE_STORED_BITS(bits);
    vf acc[FEW_ROWS][NV];
#pragma GCC unroll 4
    for (int r = 0; r < mr; r++)
#pragma GCC unroll 2
        for (int v = 0; v < NV; v++)
            acc[r][v] = v_load(y + r * STE_PANEL + v * VL);
    for (; n > 0; n--, cell++, x += STE_CELL) {
        const uint8_t *src = cell_at(w, panel, cell);
        vf d[2][NV], c[2][NV];
        bf16_scales(bits, scale, false, w, panel, cell, d, c);
#pragma GCC unroll 8
        for (int line = 0; line < stored; line++)
            __builtin_prefetch(src + (16 * stored + line) * STE_QUAD_BYTES);
#pragma GCC unroll 2
        for (int v = 0; v < NV; v++) {
            vi quad[8];
            vf sum[FEW_ROWS][2], f[4];
            quads_of(bits, w, src, v, quad);
#pragma GCC unroll 4
            for (int r = 0; r < mr; r++)
                sum[r][0] = sum[r][1] = v_zero();
#pragma GCC unroll 8
            for (int q = 0; q < 8; q++) {
                bf16_weights(bits, src, v, quad, q, d[q / 4][v], c[q / 4][v], f);
#pragma GCC unroll 4
                for (int j = 0; j < 4; j++) {
                    f[j] = v_upper(f[j]);
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

static void few_rows_of(const struct ste_matrix *w, int mr, int panel, int cell, int n, const float *x, float *y)
{
#define CALL(bits, scale)                                                                                              \
    (mr == 1   ? few_rows(1, bits, scale, w, panel, cell, n, x, y)                                                     \
     : mr == 2 ? few_rows(2, bits, scale, w, panel, cell, n, x, y)                                                     \
               : few_rows(3, bits, scale, w, panel, cell, n, x, y))
    BY_TYPE(w, CALL);
#undef CALL
}

/* As the table's MUL, for at most FEW_ROWS rows that are not split. */
static void mul_few(const struct ste_matrix *w, int n0, int n, const struct ste_bf16_rows *x, int m0, int m,
                    const float *bias, float *y, size_t ldy)
{
    _Alignas(64) float sums[STE_BF16_COLUMNS / STE_PANEL][FEW_ROWS * STE_PANEL] = {0},
                                                                     xf[FEW_ROWS][FEW_CELLS * STE_CELL];
    const int cells = w->in / STE_CELL;
    for (int p = 0; bias && p < n; p++)
        for (int i = 0; i < m * STE_PANEL; i++)
            if ((n0 + p) * STE_PANEL + i % STE_PANEL < w->out)
                sums[p][i] = bias[(n0 + p) * STE_PANEL + i % STE_PANEL];
    for (int cell = 0; cell < cells; cell += FEW_CELLS) {
        const int some = cells - cell < FEW_CELLS ? cells - cell : FEW_CELLS;
        for (int i = 0; i < some * m; i++) {
            const int r = i / some;
            const uint16_t *from = x->high + tile_of(w->in, m0 + r, cell + i % some) + r % STE_TILE_ROWS * STE_CELL;
            uint32_t bits[STE_CELL];
            for (int k = 0; k < STE_CELL; k++)
                bits[k] = (uint32_t)from[k] << 16;
            memcpy(&xf[r][i % some * STE_CELL], bits, sizeof bits);
        }
        for (int p = 0; p < n; p++)
            few_rows_of(w, m, n0 + p, cell, some, xf[0], sums[p]);
    }
    for (int p = 0; p < n; p++)
        for (int r = 0; r < m; r++) {
            const int left = w->out - (n0 + p) * STE_PANEL;
            memcpy(y + (size_t)(m0 + r) * ldy + (size_t)(n0 + p) * STE_PANEL, sums[p] + r * STE_PANEL,
                   (size_t)(left < STE_PANEL ? left : STE_PANEL) * sizeof *y);
        }
}
#endif

#if !defined(BF16_TILES) && !defined(BF16_PAIRS)
ALWAYS vf from_bf16(uint16_t x)
{
    return v_from_bits(i_set1((int32_t)((uint32_t)x << 16)));
}

/* One row of SUMS (16) += one row of X's tile . B (32, 16) */
static void cell_product(const uint16_t *x, const float *b, float *sums)
{
    vf even[NV], odd[NV];
    for (int v = 0; v < NV; v++)
        even[v] = odd[v] = v_zero();
    for (int k = 0; k < STE_CELL; k += 2)
        for (int v = 0; v < NV; v++) {
            even[v] = v_fma(from_bf16(x[k]), v_load(b + k * STE_PANEL + v * VL), even[v]);
            odd[v] = v_fma(from_bf16(x[k + 1]), v_load(b + (k + 1) * STE_PANEL + v * VL), odd[v]);
        }
    for (int v = 0; v < NV; v++)
        v_store(sums + v * VL, v_add(v_load(sums + v * VL), v_add(even[v], odd[v])));
}

/* The same in the order of VDPBF16PS. */
static void cell_dot(const uint16_t *x, const float *b, float *sums)
{
    vf sum[NV];
    for (int v = 0; v < NV; v++)
        sum[v] = v_load(sums + v * VL);
    for (int k = 0; k < STE_CELL; k += 2)
        for (int v = 0; v < NV; v++) {
            sum[v] = v_fma(from_bf16(x[k + 1]), v_load(b + (k + 1) * STE_PANEL + v * VL), sum[v]);
            sum[v] = v_fma(from_bf16(x[k]), v_load(b + k * STE_PANEL + v * VL), sum[v]);
        }
    for (int v = 0; v < NV; v++)
        v_store(sums + v * VL, sum[v]);
}

/* SUMS (m, 16) += 32 numbers of each row of X . W, which is HIGH + LOW (32, 16) or HIGH. */
static void cell_products(bool dot, const struct ste_bf16_rows *x, int cell, int m0, int m, const float *high,
                          const float *low, float *sums)
{
    for (int r = 0; r < m; r++, sums += STE_PANEL) {
        const size_t at = tile_of(x->width, m0 + r, cell) + (size_t)(r % STE_TILE_ROWS * STE_CELL);
        if (dot) {
            cell_dot(x->high + at, high, sums);
            continue;
        }
        if (x->low)
            cell_product(x->low + at, high, sums);
        cell_product(x->high + at, high, sums);
        if (x->low)
            cell_product(x->high + at, low, sums);
    }
}

ALWAYS void forward_weights(const int bits, const enum ste_scale scale, const bool split, const struct ste_matrix *w,
                            int panel, int cell, float *high, float *low)
{
    const uint8_t *src = cell_at(w, panel, cell);
    vf d[2][NV], c[2][NV];
    bf16_scales(bits, scale, split, w, panel, cell, d, c);
    for (int v = 0; v < NV; v++) {
        vi quad[8];
        vf f[4];
        quads_of(bits, w, src, v, quad);
        for (int q = 0; q < 8; q++) {
            bf16_weights(bits, src, v, quad, q, d[q / 4][v], c[q / 4][v], f);
            for (int j = 0; j < 4; j++) {
                v_store(high + (4 * q + j) * STE_PANEL + v * VL, v_upper(f[j]));
                if (split)
                    v_store(low + (4 * q + j) * STE_PANEL + v * VL, v_upper(v_rest(f[j])));
            }
        }
    }
}

static void forward_weights_of(const struct ste_matrix *w, bool split, int panel, int cell, float *high, float *low)
{
    if (w->bits == STE_BF16_BITS) {
        expand(w, panel, cell * STE_CELL, STE_CELL, high);
        return;
    }
#define CALL(bits, scale) forward_weights(bits, scale, split, w, panel, cell, high, low)
    BY_TYPE(w, CALL);
#undef CALL
}

/* W's rows of two panels, inputs of half a cell: (32, 16). */
static void back_weights(const struct ste_matrix *w, bool split, int pair, int half_cell, float *high, float *low)
{
    float f[STE_CELL * STE_PANEL];
    for (int p = 0; p < 2; p++) {
        memset(f, 0, sizeof f);
        if (2 * pair + p < w->panels)
            expand(w, 2 * pair + p, half_cell / 2 * STE_CELL, STE_CELL, f);
        for (int r = 0; r < STE_PANEL; r++)
            for (int i = 0; i < STE_PANEL; i++) {
                const int at = (p * STE_PANEL + r) * STE_PANEL + i;
                high[at] = f[(half_cell % 2 * STE_PANEL + i) * STE_PANEL + r];
            }
    }
    for (int i = 0; i < STE_CELL * STE_PANEL; i += VL) {
        vf v = v_load(high + i);
        if (split)
            v_store(low + i, v_upper(v_rest(v)));
        v_store(high + i, v_upper(split ? v : v_mul(v, v_set1(STE_BF16_GROW))));
    }
}

static void mul_in_order(bool dot, const struct ste_matrix *w, int n0, int n, const struct ste_bf16_rows *x, int m0,
                         int m, const float *bias, float *y, size_t ldy)
{
    _Alignas(64) float high[STE_CELL * STE_PANEL], low[STE_CELL * STE_PANEL], sums[STE_BF16_ROWS * STE_PANEL];
    for (int p = n0; p < n0 + n; p++) {
        const int left = w->out - p * STE_PANEL, columns = left < STE_PANEL ? left : STE_PANEL;
        memset(sums, 0, (size_t)m * STE_PANEL * sizeof *sums);
        for (int r = 0; bias && r < m; r++)
            memcpy(sums + r * STE_PANEL, bias + p * STE_PANEL, (size_t)columns * sizeof *sums);
        for (int cell = 0; cell < w->in / STE_CELL; cell++) {
            forward_weights_of(w, x->low, p, cell, high, low);
            cell_products(dot, x, cell, m0, m, high, low, sums);
        }
        for (int r = 0; r < m; r++)
            memcpy(y + (size_t)(m0 + r) * ldy + (size_t)p * STE_PANEL, sums + r * STE_PANEL,
                   (size_t)columns * sizeof *y);
    }
}

static void back_in_order(bool dot, const struct ste_matrix *w, int n0, int n, const struct ste_bf16_rows *dy, int m0,
                          int m, bool accumulate, float *dx, size_t lddx)
{
    _Alignas(64) float high[STE_CELL * STE_PANEL], low[STE_CELL * STE_PANEL], sums[STE_BF16_ROWS * STE_PANEL];
    for (int half_cell = n0; half_cell < n0 + n; half_cell++) {
        memset(sums, 0, (size_t)m * STE_PANEL * sizeof *sums);
        for (int pair = 0; pair < (w->panels + 1) / 2; pair++) {
            back_weights(w, dy->low, pair, half_cell, high, low);
            cell_products(dot, dy, pair, m0, m, high, low, sums);
        }
        for (int r = 0; r < m; r++)
            for (int i = 0; i < STE_PANEL; i += VL) {
                float *to = dx + (size_t)(m0 + r) * lddx + (size_t)half_cell * STE_PANEL + i;
                vf sum = v_load(sums + r * STE_PANEL + i);
                v_store(to, accumulate ? v_add(v_load(to), sum) : sum);
            }
    }
}

static void mul_bf16(const struct ste_matrix *w, int n0, int n, const struct ste_bf16_rows *x, int m0, int m,
                     const float *bias, float *y, size_t ldy)
{
    if (m <= FEW_ROWS && !x->low && ste_matrix_is_quantized(w))
        mul_few(w, n0, n, x, m0, m, bias, y, ldy);
    else
        mul_in_order(false, w, n0, n, x, m0, m, bias, y, ldy);
}

static void back_bf16(const struct ste_matrix *w, int n0, int n, const struct ste_bf16_rows *dy, int m0, int m,
                      bool accumulate, float *dx, size_t lddx)
{
    back_in_order(false, w, n0, n, dy, m0, m, accumulate, dx, lddx);
}

static void mul_dot(const struct ste_matrix *w, int n0, int n, const struct ste_bf16_rows *x, int m0, int m,
                    const float *bias, float *y, size_t ldy)
{
    mul_in_order(true, w, n0, n, x, m0, m, bias, y, ldy);
}

static void back_dot(const struct ste_matrix *w, int n0, int n, const struct ste_bf16_rows *dy, int m0, int m,
                     bool accumulate, float *dx, size_t lddx)
{
    back_in_order(true, w, n0, n, dy, m0, m, accumulate, dx, lddx);
}

const struct ste_bf16_kernels BF16_KERNELS = {.round = round_rows, .mul = mul_bf16, .back = back_bf16};
const struct ste_bf16_kernels BF16_DOT_KERNELS = {.round = round_rows, .mul = mul_dot, .back = back_dot};
#endif
