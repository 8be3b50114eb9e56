/* From packed cells to bytes and scales, for the kernels' bodies; included after simd.h. */

static inline const uint8_t *cell_at(const struct ste_matrix *w, int panel, int cell)
{
    return w->weights + (size_t)panel * w->panel_weights + (size_t)cell * w->cell_bytes;
}

/* VL rows (the Vth of a panel) of a cell of W, at SRC, as unsigned bytes: its 8 quads. */
ALWAYS void quads_of(const int bits, const struct ste_matrix *w, const uint8_t *src, int v, vi quad[8])
{
    const vi low = i_set1(0x0f0f0f0f), table = i_sixteen(w->table);
    vi high[2];
    src += (size_t)v * VL * 4;
    if (bits == 8) {
#pragma GCC unroll 8
        for (int q = 0; q < 8; q++)
            quad[q] = i_load(src + q * STE_QUAD_BYTES);
        return;
    }
    if (bits < 4) {
        const vi third = bits == 3 ? i_load(src + 2 * STE_QUAD_BYTES) : low;
#pragma GCC unroll 8
        for (int q = 0; q < 8; q++) {
            const vi pairs = i_load(src + q / 4 * STE_QUAD_BYTES);
            quad[q] = i_and(q % 4 ? i_srl(pairs, 2 * (q % 4)) : pairs, i_set1(0x03030303));
            if (bits == 3)
                quad[q] = i_or(quad[q], i_and(q < 2 ? i_sll(third, 2 - q) : i_srl(third, q - 2), i_set1(0x04040404)));
        }
        return;
    }
    high[0] = high[1] = low;
    if (bits == 5 || bits == 6)
        high[0] = i_load(src + 4 * STE_QUAD_BYTES);
    if (bits == 6)
        high[1] = i_load(src + 5 * STE_QUAD_BYTES);
#pragma GCC unroll 8
    for (int q = 0; q < 8; q++) {
        vi two = i_load(src + q / 2 * STE_QUAD_BYTES);
        vi n = i_and(q % 2 ? i_srl(two, 4) : two, low);
        if (bits == STE_TABLE) {
            n = i_look_up(table, n);
        } else if (bits == 5) {
            vi b = q < 4 ? i_sll(high[0], 4 - q) : i_srl(high[0], q - 4);
            n = i_or(n, i_and(b, i_set1(0x10101010)));
        } else if (bits == 6) {
            vi b = q % 4 < 2 ? i_sll(high[q / 4], 4 - 2 * (q % 4)) : i_srl(high[q / 4], 2 * (q % 4) - 4);
            n = i_or(n, i_and(b, i_set1(0x30303030)));
        }
        quad[q] = n;
    }
}

/* The d and c of a cell's two halves, which are one where there is no scale for each. SCALE is W's, given apart so that
 * it may be a constant. */
ALWAYS void load_scales(const enum ste_scale scale, const struct ste_matrix *w, int panel, int cell, vf d[2][NV],
                        vf c[2][NV])
{
    const uint8_t *s = w->scales + (size_t)panel * w->panel_scales;
    const vf minus_zero_point = v_set1((float)-w->zero);
#pragma GCC unroll 4
    for (int v = 0; v < NV; v++) {
        const size_t half = (size_t)v * VL * 2, byte = (size_t)v * VL; /* of 16-bit and 8-bit scales */
        d[0][v] = d[1][v] = c[0][v] = c[1][v] = v_zero();
        switch (scale) {
        case STE_SCALE_BLOCK:
            d[0][v] = v_load_f16((const uint16_t *)(const void *)(s + (size_t)cell * 32 + half));
            c[0][v] = v_mul(d[0][v], minus_zero_point);
            break;
        case STE_SCALE_TABLE:
            d[0][v] = v_load((const float *)(const void *)(s + (size_t)cell * 64) + v * VL);
            c[0][v] = v_mul(d[0][v], minus_zero_point);
            break;
        case STE_SCALE_MIN:
            d[0][v] = v_load_f16((const uint16_t *)(const void *)(s + (size_t)cell * 64 + half));
            c[0][v] = v_load_f16((const uint16_t *)(const void *)(s + (size_t)cell * 64 + 32 + half));
            break;
        case STE_SCALE_K: {
            const uint8_t *super = s + (size_t)(cell / 8) * STE_K_SCALES, *own = super + 64 + (size_t)(cell % 8) * 32;
            d[0][v] = v_mul(v_load_f16((const uint16_t *)(const void *)(super + half)), v_from_u8(own + byte));
            c[0][v] = v_sub(v_zero(), v_mul(v_load_f16((const uint16_t *)(const void *)(super + 32 + half)),
                                            v_from_u8(own + 16 + byte)));
            break;
        }
        case STE_SCALE_K16: {
            const uint8_t *super = s + (size_t)(cell / 8) * STE_K16_SCALES, *own = super + 32 + (size_t)(cell % 8) * 32;
            vf all = v_load_f16((const uint16_t *)(const void *)(super + half));
            for (int h = 0; h < 2; h++) {
                d[h][v] = v_mul(all, v_from_s8((const int8_t *)own + h * 16 + byte));
                c[h][v] = v_mul(d[h][v], minus_zero_point);
            }
            break;
        }
        case STE_SCALE_K16_MIN: {
            const uint8_t *super = s + (size_t)(cell / 8) * STE_K16_MIN_SCALES,
                          *own = super + 64 + (size_t)(cell % 8) * 64 + byte;
            vf all = v_load_f16((const uint16_t *)(const void *)(super + half)),
               min = v_load_f16((const uint16_t *)(const void *)(super + 32 + half));
            for (int h = 0; h < 2; h++) {
                d[h][v] = v_mul(all, v_from_s8((const int8_t *)own + h * 16));
                c[h][v] = v_sub(v_zero(), v_mul(min, v_from_s8((const int8_t *)own + 32 + h * 16)));
            }
            break;
        }
        case STE_SCALE_NONE:
            break;
        }
        if (!STE_SCALE_HALVES(scale)) {
            d[1][v] = d[0][v];
            c[1][v] = c[0][v];
        }
    }
}

#define AHEAD 4 /* cells to prefetch */

ALWAYS void expand_bits(const int bits, const struct ste_matrix *w, int panel, int cell, int cells, float *dst)
{
    const int stored = STE_STORED_BITS(bits);
    for (; cells > 0; cells--, cell++, dst += STE_CELL * STE_PANEL) {
        const uint8_t *src = cell_at(w, panel, cell);
        vf d[2][NV], c[2][NV];
        load_scales(w->scale, w, panel, cell, d, c);
#pragma GCC unroll 8
        for (int line = 0; line < stored; line++)
            __builtin_prefetch(src + (AHEAD * stored + line) * STE_QUAD_BYTES);
#pragma GCC unroll 2
        for (int v = 0; v < NV; v++) {
            vi quad[8];
            quads_of(bits, w, src, v, quad);
#pragma GCC unroll 8
            for (int q = 0; q < 8; q++)
#pragma GCC unroll 4
                for (int j = 0; j < 4; j++)
                    v_store(dst + (4 * q + j) * STE_PANEL + v * VL,
                            v_fma(v_from_byte(quad[q], j), d[q / 4][v], c[q / 4][v]));
        }
    }
}

/* Those of 16 bits: K0 is even, KC may be odd. */
ALWAYS void expand_f16(const struct ste_matrix *w, int panel, int k0, int kc, float *dst)
{
    const uint8_t *src = w->weights + ((size_t)panel * w->panel_weights + (size_t)k0 * STE_PANEL * 2);
    for (int i = 0; i < kc * STE_PANEL; i += VL) {
        if (i % STE_CELL == 0)
            __builtin_prefetch(src + 2 * (i + AHEAD * STE_QUAD_BYTES));
        v_store(dst + i, v_load_f16((const uint16_t *)(const void *)src + i));
    }
}

ALWAYS void expand_bf16(const struct ste_matrix *w, int panel, int k0, int kc, float *dst)
{
    const uint8_t *src = w->weights + ((size_t)panel * w->panel_weights + (size_t)k0 * STE_PANEL * 2);
    for (int k = 0; k < kc; k += 2, src += STE_QUAD_BYTES) {
        __builtin_prefetch(src + 2 * AHEAD * STE_QUAD_BYTES);
#pragma GCC unroll 4
        for (int v = 0; v < NV; v++) {
            const vi two = i_load(src + (size_t)v * VL * 4);
            v_store(dst + k * STE_PANEL + v * VL, v_from_bits(i_sll(two, 16)));
            if (k + 1 < kc)
                v_store(dst + (k + 1) * STE_PANEL + v * VL, v_from_bits(i_and(two, i_set1((int32_t)0xffff0000u))));
        }
    }
}

/* Inputs k0..k0+kc of a panel as f32, (kc, 16): whole cells where W is quantized. */
ALWAYS void expand(const struct ste_matrix *w, int panel, int k0, int kc, float *dst)
{
    const int cell = k0 / STE_CELL, cells = kc / STE_CELL;
    switch (w->bits) {
    case 2:
        expand_bits(2, w, panel, cell, cells, dst);
        break;
    case 3:
        expand_bits(3, w, panel, cell, cells, dst);
        break;
    case 4:
        expand_bits(4, w, panel, cell, cells, dst);
        break;
    case 5:
        expand_bits(5, w, panel, cell, cells, dst);
        break;
    case 6:
        expand_bits(6, w, panel, cell, cells, dst);
        break;
    case STE_TABLE:
        expand_bits(STE_TABLE, w, panel, cell, cells, dst);
        break;
    case STE_F16_BITS:
        expand_f16(w, panel, k0, kc, dst);
        break;
    case STE_BF16_BITS:
        expand_bf16(w, panel, k0, kc, dst);
        break;
    default:
        expand_bits(8, w, panel, cell, cells, dst);
    }
}

/* CALL(bits, scale) with W's type as constants. */
#define BY_TYPE(w, CALL)                                                                                               \
    do {                                                                                                               \
        if ((w)->scale == STE_SCALE_K16)                                                                               \
            CALL(6, STE_SCALE_K16);                                                                                    \
        else if ((w)->scale == STE_SCALE_K16_MIN && (w)->bits == 2)                                                    \
            CALL(2, STE_SCALE_K16_MIN);                                                                                \
        else if ((w)->scale == STE_SCALE_K16_MIN)                                                                      \
            CALL(3, STE_SCALE_K16_MIN);                                                                                \
        else if ((w)->scale == STE_SCALE_TABLE)                                                                        \
            CALL(STE_TABLE, STE_SCALE_TABLE);                                                                          \
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
