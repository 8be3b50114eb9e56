/* Products of unpacked weights and rounded rows, a tile of sums at a time: included by int8_body.h. */

/* Unpacked cells of MAX_PANELS panels: quads[panel][cell][8][64]; d, c [panel][cell][16], cells of two scales twice; in
 * groups d [panel][group][16] alone. */
struct cells {
    const uint8_t *quads;
    const float *d, *c;
    int n;
};
#define PANEL_QUADS(bytes) ((size_t)CELLS * 8 * STE_QUAD_BYTES * (bytes))
#define PANEL_SCALES ((size_t)CELLS * 2 * STE_PANEL)

#ifdef D_WIDE
#define STEPS(bits) 8 /* 32-bit sums: a cell fits in any case */
#else
/* Quads whose products surely fit 16 bits: 2 * (2^bits - 1) * 127 each. */
#define STEPS(bits) ((bits) == 6 ? 2 : (bits) == 5 ? 4 : 8)
#endif

/* What a tile's sums begin with and where they go: at P, with so many floats from row to row and from panel to panel.
 */
struct sums {
    float *p;
    size_t row, panel;
};

/* Packed cells that are wanted next and come from far off. They are sent for while the tiles of these ones are at work,
 * a few lines a cell, LINE and every STEP-th behind it: all at once they would fill the core's buffers and stop it. */
struct ahead {
    const uint8_t *p;
    size_t panel; /* bytes to the next one's */
    int line, step;
};

ALWAYS void send_for(const struct ahead *a, const int np, const int bits, int cell)
{
#pragma GCC unroll 2
    for (int j = 0; j < np; j++)
        for (int line = a->line; line < STE_STORED_BITS(bits); line += a->step)
            __builtin_prefetch(a->p + (size_t)j * a->panel +
                               (size_t)(cell * STE_STORED_BITS(bits) + line) * STE_QUAD_BYTES);
}

/* Of a row of a cell, or of its half S. */
ALWAYS float sum_at(const struct ste_rounded *x, const int sub, size_t at, int s)
{
    return sub == 16 ? x->sum_halves[2 * at + (size_t)s] : x->sum[at];
}

ALWAYS void int8_tile(const int mr, const int np, const int bits, const int sub, const bool zero, const struct cells *w,
                      const struct ste_rounded *x, size_t at, struct sums from, struct sums to, struct ahead ahead)
{
    const int subs = STE_CELL / sub, quads = sub / 4, steps = STEPS(bits) < quads ? STEPS(bits) : quads;
    vf acc[MAX_ROWS][MAX_PANELS * NV];
#pragma GCC unroll 8
    for (int r = 0; r < mr; r++)
#pragma GCC unroll 2
        for (int v = 0; v < np * NV; v++)
            acc[r][v] = v_load(from.p + (size_t)(v / NV) * from.panel + (size_t)r * from.row + v % NV * VL);
    const int8_t *xq = x->q + at * STE_CELL;
    const size_t ld = (size_t)x->ld;
    for (int cell = 0; cell < w->n; cell++, xq += ld * STE_CELL, at += ld) {
        send_for(&ahead, np, bits, cell);
#pragma GCC unroll 2
        for (int s = 0; s < subs; s++) {
            const uint8_t *wq = w->quads + ((size_t)cell * 8 + (size_t)s * 4) * STE_QUAD_BYTES;
            const size_t sc = ((size_t)cell * (size_t)subs + (size_t)s) * STE_PANEL;
            vi sum[MAX_ROWS][MAX_PANELS * NV] = {0}, start[MAX_ROWS]; /* - zero point * sum(q) */
#pragma GCC unroll 8
            for (int r = 0; zero && r < mr; r++) {
                const size_t row = at + (size_t)r;
                start[r] = i_set1(sub == 16 ? x->minus_halves[2 * row + (size_t)s] : x->minus[STE_ZERO_OF(bits)][row]);
            }
#pragma GCC unroll 4
            for (int q0 = 0; q0 < quads; q0 += steps) {
                dacc part[MAX_ROWS][MAX_PANELS * NV];
#pragma GCC unroll 8
                for (int q = q0; q < q0 + steps; q++) {
                    vi four[MAX_PANELS * NV];
#pragma GCC unroll 2
                    for (int v = 0; v < np * NV; v++)
                        four[v] = i_load(wq + (size_t)(v / NV) * PANEL_QUADS(X_BYTES(bits)) + q * STE_QUAD_BYTES +
                                         v % NV * VL * 4);
#pragma GCC unroll 8
                    for (int r = 0; r < mr; r++) {
                        int32_t word;
                        memcpy(&word, xq + r * STE_CELL + s * 16 + q * 4, sizeof word);
                        vi xr = i_set1(word);
#pragma GCC unroll 2
                        for (int v = 0; v < np * NV; v++)
                            part[r][v] = q > q0           ? d_step(part[r][v], four[v], xr)
                                         : D_STARTS(zero) ? d_step(d_from(start[r]), four[v], xr)
                                                          : d_first(four[v], xr);
                    }
                }
#pragma GCC unroll 8
                for (int r = 0; r < mr; r++)
#pragma GCC unroll 2
                    for (int v = 0; v < np * NV; v++) {
                        vi n = d_sum(part[r][v]);
                        sum[r][v] = q0 ? i_add(sum[r][v], n) : zero && !D_STARTS(zero) ? i_add(start[r], n) : n;
                    }
            }
#pragma GCC unroll 8
            for (int r = 0; r < mr; r++) {
                vf scale = v_set1(x->d[at + (size_t)r]);
#pragma GCC unroll 2
                for (int v = 0; v < np * NV; v++) {
                    const size_t of = (size_t)(v / NV) * PANEL_SCALES + sc + (size_t)(v % NV * VL);
                    acc[r][v] = v_fma(v_mul(scale, v_load(w->d + of)), v_from_i32(sum[r][v]), acc[r][v]);
                    if (!zero)
                        acc[r][v] = v_fma(v_load(w->c + of), v_set1(sum_at(x, sub, at + (size_t)r, s)), acc[r][v]);
                }
            }
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < mr; r++)
#pragma GCC unroll 2
        for (int v = 0; v < np * NV; v++)
            v_store(to.p + (size_t)(v / NV) * to.panel + (size_t)r * to.row + v % NV * VL, acc[r][v]);
}

#ifdef D_WIDE
/* The same in groups, for weights brought to 8 bits whose zero point is 128. */
ALWAYS void group_tile(const int mr, const int np, const int bits, const struct cells *w, const struct ste_rounded *x,
                       size_t at, struct sums from, struct sums to, struct ahead ahead)
{
    const size_t ld = (size_t)x->ld;
    const int8_t *xq = x->q + at * STE_CELL;
    for (int first = 0; first < w->n; first += x->span, at += (size_t)x->span * ld) {
        dacc sum[MAX_ROWS][MAX_PANELS * NV] = {0};
#pragma GCC unroll 8
        for (int r = 0; r < mr; r++)
#pragma GCC unroll 2
            for (int v = 0; v < np * NV; v++)
                sum[r][v] = d_from(i_set1(x->minus[STE_ZERO_OF(8)][at + (size_t)r]));
        for (int cell = first; cell < first + x->span; cell++, xq += ld * STE_CELL) {
            const uint8_t *wq = w->quads + (size_t)cell * 8 * STE_QUAD_BYTES;
            send_for(&ahead, np, bits, cell);
#pragma GCC unroll 8
            for (int q = 0; q < 8; q++) {
                vi four[MAX_PANELS * NV];
#pragma GCC unroll 2
                for (int v = 0; v < np * NV; v++)
                    four[v] = i_load(wq + (size_t)(v / NV) * PANEL_QUADS(1) + q * STE_QUAD_BYTES + v % NV * VL * 4);
#pragma GCC unroll 8
                for (int r = 0; r < mr; r++) {
                    int32_t word;
                    memcpy(&word, xq + r * STE_CELL + q * 4, sizeof word);
                    const vi xr = i_set1(word);
#pragma GCC unroll 2
                    for (int v = 0; v < np * NV; v++)
                        sum[r][v] = d_step(sum[r][v], four[v], xr);
                }
            }
        }
        const float *d = w->d + (size_t)(first / x->span) * STE_PANEL;
#pragma GCC unroll 8
        for (int r = 0; r < mr; r++) {
            const vf scale = v_set1(x->d[at + (size_t)r]);
#pragma GCC unroll 2
            for (int v = 0; v < np * NV; v++) {
                /* Kept in registers, these would drive the integers out. */
                float *t = to.p + (size_t)(v / NV) * to.panel + (size_t)r * to.row + v % NV * VL;
                const float *f =
                    first ? t : from.p + (size_t)(v / NV) * from.panel + (size_t)r * from.row + v % NV * VL;
                v_store(t, v_fma(v_mul(scale, v_load(d + (size_t)(v / NV) * PANEL_SCALES + v % NV * VL)),
                                 v_from_i32(d_sum(sum[r][v])), v_load(f)));
            }
        }
    }
}
#else
/* The same for weights of 8 bits, unpacked to words less their zero point: quads[cell][16][64]; a scale for SPAN cells.
 */
ALWAYS void words_tile(const int mr, const int bits, int span, const struct cells *w, const struct ste_rounded *x,
                       size_t at, struct sums from, struct sums to, struct ahead ahead)
{
    const size_t ld = (size_t)x->ld;
    const int16_t *xq = x->words + at * STE_CELL;
    for (int first = 0; first < w->n; first += span, at += (size_t)span * ld) {
        vi sum[MAX_ROWS][NV];
#pragma GCC unroll 8
        for (int r = 0; r < mr; r++)
#pragma GCC unroll 2
            for (int v = 0; v < NV; v++)
                sum[r][v] = i_set1(0);
        for (int cell = first; cell < first + span; cell++, xq += ld * STE_CELL) {
            const uint8_t *words = w->quads + (size_t)cell * 16 * STE_QUAD_BYTES;
            send_for(&ahead, 1, bits, cell);
#pragma GCC unroll 16
            for (int q = 0; q < 16; q++) {
                vi two[NV];
#pragma GCC unroll 2
                for (int v = 0; v < NV; v++)
                    two[v] = i_load(words + q * STE_QUAD_BYTES + v * VL * 4);
#pragma GCC unroll 8
                for (int r = 0; r < mr; r++) {
                    int32_t pair;
                    memcpy(&pair, xq + r * STE_CELL + q * 2, sizeof pair);
                    vi xr = i_set1(pair);
#pragma GCC unroll 2
                    for (int v = 0; v < NV; v++)
                        sum[r][v] = i_step_words(sum[r][v], two[v], xr);
                }
            }
        }
#pragma GCC unroll 8
        for (int r = 0; r < mr; r++) {
            vf scale = v_set1(x->d[at + (size_t)r]);
#pragma GCC unroll 2
            for (int v = 0; v < NV; v++) {
                /* Sums leave no registers for it. */
                float *t = to.p + (size_t)r * to.row + v * VL, *f = first ? t : from.p + (size_t)r * from.row + v * VL;
                v_store(t, v_fma(v_mul(scale, v_load(w->d + (size_t)(first / span) * STE_PANEL + v * VL)),
                                 v_from_i32(sum[r][v]), v_load(f)));
            }
        }
    }
}
#endif

ALWAYS void int8_rows(const bool groups, const int np, const int bits, const int sub, const bool zero,
                      const struct cells *u, int k, const struct ste_rounded *x, int m0, int m, struct sums from,
                      struct sums to, struct ahead ahead)
{
    ahead.step = (m + MAX_ROWS - 1) / MAX_ROWS;
    /* Tiles of about as many rows each: one of few would wait for its sums, which are too few to hide how long a
     * product takes. */
    for (int r = 0, rows, tiles = ahead.step; r < m; r += rows, tiles--, ahead.line++) {
        rows = (m - r + tiles - 1) / tiles;
        const size_t at = (size_t)(k / STE_CELL) * (size_t)x->ld + (size_t)(m0 + r);
        const struct sums f = {from.p + (size_t)r * from.row, from.row, from.panel},
                          t = {to.p + (size_t)r * to.row, to.row, to.panel};
#ifdef D_WIDE
#define TILE(R)                                                                                                        \
    case R:                                                                                                            \
        if (groups)                                                                                                    \
            group_tile(R, np, bits, u, x, at, f, t, ahead);                                                            \
        else                                                                                                           \
            int8_tile(R, np, bits, sub, zero, u, x, at, f, t, ahead);                                                  \
        break
#else
#define TILE(R)                                                                                                        \
    case R:                                                                                                            \
        if (groups || STE_VALUE_BITS(bits) == 8)                                                                       \
            words_tile(R, bits, groups ? x->span : 1, u, x, at, f, t, ahead);                                          \
        else                                                                                                           \
            int8_tile(R, np, bits, sub, zero, u, x, at, f, t, ahead);                                                  \
        break
#endif
        switch (rows) {
            TILE(1);
            TILE(2);
            TILE(3);
            TILE(4);
#if MAX_ROWS == 6
            TILE(5);
            TILE(6);
#endif
        }
#undef TILE
    }
}
