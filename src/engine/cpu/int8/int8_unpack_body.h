/* Packed weights to what the tiles take: included by int8_body.h. */

/* The Vth part of a cell's quads; in two BYTES each, words less a zero point of 128. */
ALWAYS void store_quads(const int bytes, int v, const vi quad[8], uint8_t *dst)
{
#pragma GCC unroll 8
    for (int q = 0; q < 8; q++) {
        uint8_t *to = dst + q * bytes * STE_QUAD_BYTES + v * VL * 4;
#ifndef D_WIDE
        if (bytes == 2) {
            i_store(to, i_sub_words(i_words(quad[q], 0), 128));
            i_store(to + STE_QUAD_BYTES, i_sub_words(i_words(quad[q], 1), 128));
        } else
#endif
            i_store(to, quad[q]);
    }
}

ALWAYS void unpack_cell(const int bits, const struct ste_matrix *w, const uint8_t *src, uint8_t *dst)
{
#pragma GCC unroll 2
    for (int v = 0; v < NV; v++) {
        vi quad[8];
        quads_of(bits, w, src, v, quad);
        store_quads(X_BYTES(bits), v, quad, dst);
    }
}

/* Bytes of scales to 8 cells. */
#define SCALE_BYTES(scale)                                                                                             \
    ((scale) == STE_SCALE_BLOCK                               ? 256                                                    \
     : (scale) == STE_SCALE_MIN || (scale) == STE_SCALE_TABLE ? 512                                                    \
     : (scale) == STE_SCALE_K                                 ? STE_K_SCALES                                           \
     : (scale) == STE_SCALE_K16                               ? STE_K16_SCALES                                         \
                                                              : STE_K16_MIN_SCALES)

/* Those of the 8 cells that CELL is of. */
ALWAYS const uint8_t *scales_at(const enum ste_scale scale, const struct ste_matrix *w, int panel, int cell)
{
    return w->scales + (size_t)panel * w->panel_scales + (size_t)(cell / 8) * SCALE_BYTES(scale);
}

/* A group of a panel as bytes of zero point 128: w ~ D * (byte - 128), with one D for a row's part of the block that
 * the group lies in. Rounded to 1/256: byte = (q * FACTOR + ADD) / 256, without a remainder. The largest may be 127,
 * less what FACTOR's own rounding may add to it. */
#define LARGEST 126.8f
struct group {
    vf d[NV];
    vi factor[STE_MAX_SPAN][2][NV], add[STE_MAX_SPAN][2][NV]; /* of each cell, or half cell; in both words of a lane */
};

ALWAYS void scale_group(const enum ste_scale scale, const struct ste_matrix *w, int panel, int cell, int span,
                        struct group *g)
{
    const uint8_t *block = scales_at(scale, w, panel, cell),
                  *own = block + (STE_SCALE_HAS_MIN(scale) ? 64 : 32) +
                         (size_t)(cell % 8) * (scale == STE_SCALE_K16_MIN ? 64 : 32);
    const float *largest = (const float *)(const void *)(block + STE_LARGEST_AT(SCALE_BYTES(scale)));
    const uint16_t *d = (const uint16_t *)(const void *)block, *dmin = d + STE_PANEL;
    const vi half = i_set1(128 * 256 + 128);
#pragma GCC unroll 2
    for (int v = 0; v < NV; v++) {
        const vf top = v_load(largest + v * VL),
                 inverse = v_keep(v_div(v_set1(LARGEST * 256), top), top, v_set1(1e-30f)),
                 by = v_mul(v_load_f16(d + v * VL), inverse);
        g->d[v] = v_mul(top, v_set1(1 / LARGEST));
        if (scale == STE_SCALE_K) {
            const vf minus = v_mul(v_load_f16(dmin + v * VL), v_mul(inverse, v_set1(-1)));
            for (int i = 0; i < span; i++) {
                g->factor[i][0][v] = i_spread(i_from_v(v_mul(v_from_u8(own + i * 32 + v * VL), by)));
                g->add[i][0][v] = i_spread(i_add(i_from_v(v_mul(v_from_u8(own + i * 32 + 16 + v * VL), minus)), half));
            }
        } else if (scale == STE_SCALE_K16_MIN) {
            const vf minus = v_mul(v_load_f16(dmin + v * VL), v_mul(inverse, v_set1(-1)));
            for (int i = 0; i < span; i++)
#pragma GCC unroll 2
                for (int s = 0; s < 2; s++) {
                    const int8_t *at = (const int8_t *)own + i * 64 + s * 16 + v * VL;
                    g->factor[i][s][v] = i_spread(i_from_v(v_mul(v_from_s8(at), by)));
                    g->add[i][s][v] = i_spread(i_add(i_from_v(v_mul(v_from_s8(at + 32), minus)), half));
                }
        } else
            for (int i = 0; i < span; i++)
#pragma GCC unroll 2
                for (int s = 0; s < 2; s++) {
                    const vi factor = i_from_v(v_mul(v_from_s8((const int8_t *)own + i * 32 + s * 16 + v * VL), by));
                    g->factor[i][s][v] = i_spread(factor);
                    g->add[i][s][v] = i_spread(i_sub(half, i_sll(factor, 5))); /* zero is 32 */
                }
    }
}

/* The Vth part of the quads of cell I of the group. */
ALWAYS void scaled_quads(const int bits, const int sub, const struct ste_matrix *w, const uint8_t *src,
                         const struct group *g, int i, int v, vi quad[8])
{
    if (bits == 4) {
#pragma GCC unroll 8
        for (int q = 0; q < 8; q++)
            quad[q] = i_scale_nibbles(i_load(src + q / 2 * STE_QUAD_BYTES + v * VL * 4), q % 2,
                                      g->factor[i][q * 4 / sub][v], g->add[i][q * 4 / sub][v]);
        return;
    }
    quads_of(bits, w, src, v, quad);
#pragma GCC unroll 8
    for (int q = 0; q < 8; q++)
        quad[q] = i_scale_bytes(quad[q], g->factor[i][q * 4 / sub][v], g->add[i][q * 4 / sub][v]);
}

ALWAYS void prefetch_cell(const int bits, const uint8_t *p)
{
    const int stored = STE_STORED_BITS(bits);
#pragma GCC unroll 8
    for (int line = 0; line < stored; line++)
        __builtin_prefetch(p + line * STE_QUAD_BYTES);
}

/* N cells of a panel; as many from NEXT_CELL of NEXT on will be wanted next: their scales are sent for. */
ALWAYS void unpack_cells(int span, const bool groups, const int bits, const int sub, const bool zero,
                         const enum ste_scale scale, const struct ste_matrix *w, int panel, int cell, int n,
                         struct ste_panel next, int next_cell, uint8_t *quads, float *d, float *c)
{
    const int subs = STE_CELL / sub;
    const uint8_t *src = cell_at(w, panel, cell);
    const uint8_t *s8 = scales_at(scale, next.w, next.panel, next_cell);
    for (int i = 0; i < (n + 7) / 8 * SCALE_BYTES(scale); i += 64)
        __builtin_prefetch(s8 + i);
    struct group all[CELLS / 2]; /* first: it takes as long as a group to know one */
    for (int i = 0; groups && i < n; i += span)
        scale_group(scale, w, panel, cell + i, span, &all[i / span]);
    for (int i = 0; groups && i < n; i += span, d += STE_PANEL) {
        const struct group *g = &all[i / span];
        for (int v = 0; v < NV; v++)
            v_store(d + v * VL, g->d[v]);
        for (int j = 0; j < span; j++, src += bits * STE_QUAD_BYTES, quads += 8 * STE_QUAD_BYTES * GROUP_BYTES)
#pragma GCC unroll 2
            for (int v = 0; v < NV; v++) {
                vi quad[8];
                scaled_quads(bits, sub, w, src, g, j, v, quad);
                store_quads(GROUP_BYTES, v, quad, quads);
            }
    }
    for (int i = 0; !groups && i < n; i++) {
        vf vd[2][NV], vc[2][NV];
        load_scales(scale, w, panel, cell + i, vd, vc);
        unpack_cell(bits, w, src, quads);
#pragma GCC unroll 2
        for (int s = 0; s < subs; s++)
#pragma GCC unroll 2
            for (int v = 0; v < NV; v++) {
                v_store(d + s * STE_PANEL + v * VL, vd[s][v]);
                if (!zero)
                    v_store(c + s * STE_PANEL + v * VL, vc[s][v]);
            }
        src += STE_STORED_BITS(bits) * STE_QUAD_BYTES;
        quads += 8 * STE_QUAD_BYTES * X_BYTES(bits);
        d += subs * STE_PANEL;
        c += subs * STE_PANEL;
    }
}
