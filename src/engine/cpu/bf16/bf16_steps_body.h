/*
 * The bf16 products by an instruction that takes pairs of bf16 numbers: weights are unpacked to such pairs for a few
 * blocks of two tiles of columns, a step, and multiplied with all rows. Included by bf16_amx.c and bf16_vdp.c, which
 * say before it what a core does with two tiles of rows (BF16_TILES or BF16_PAIRS, see the two forms of TILES below).
 */
#include "engine/cpu/bf16/bf16_body.h"

#define CELLS 8 /* of two panels unpacked at a time: 16 KB, for the L1 cache */

#define X_IN_CACHE ((size_t)512 << 10) /* bytes of rounded rows that one may read again for each pair of panels */
#define TILE_WORDS (STE_TILE_ROWS * STE_CELL)

/* Two inputs of the 16 rows as one row of a tile: their upper halves. */
ALWAYS vi pair(vf first, vf second)
{
    return i_or(i_srl(i_from_bits(first), 16), i_from_bits(v_upper(second)));
}

#define COLUMN_TILES 2                          /* side by side */
#define LOW (COLUMN_TILES * CELLS * TILE_WORDS) /* from high weights to low ones */

/* A cell of a panel as a tile; the weights AHEAD bytes further on are wanted next. */
ALWAYS void unpack_type(const int bits, const enum ste_scale scale, const bool split, const struct ste_matrix *w,
                        int panel, int cell, size_t ahead, uint16_t *dst)
{
    vf d[2][NV], c[2][NV], f[4];
    vi quad[8];
    const uint8_t *src = cell_at(w, panel, cell);
    const int stored = STE_STORED_BITS(bits);
    bf16_scales(bits, scale, split, w, panel, cell, d, c);
#pragma GCC unroll 8
    for (int line = 0; line < stored; line++)
        __builtin_prefetch(src + ahead + line * 64);
    quads_of(bits, w, src, 0, quad);
#pragma GCC unroll 8
    for (int q = 0; q < 8; q++) {
        bf16_weights(bits, src, 0, quad, q, d[q / 4][0], c[q / 4][0], f);
        i_store(dst + 2 * q * STE_CELL, pair(f[0], f[1]));
        i_store(dst + (2 * q + 1) * STE_CELL, pair(f[2], f[3]));
        if (split) {
            i_store(dst + LOW + 2 * q * STE_CELL, pair(v_rest(f[0]), v_rest(f[1])));
            i_store(dst + LOW + (2 * q + 1) * STE_CELL, pair(v_rest(f[2]), v_rest(f[3])));
        }
    }
}

/* Two panels' rows of a cell, turned around: a tile of its first 16 inputs, and one of its last CELLS tiles on. */
ALWAYS void unpack_turned(const int bits, const enum ste_scale scale, const bool split, const struct ste_matrix *w,
                          int pair_of, int cell, size_t ahead, uint16_t *dst)
{
    const int stored = STE_STORED_BITS(bits);
    for (int p = 0; p < 2; p++) {
        const int panel = 2 * pair_of + p;
        uint16_t *to = dst + p * STE_PANEL / 2 * STE_CELL;
        if (panel >= w->panels) {
            for (int t = 0; t < 4; t++)
                memset(to + (size_t)(t % 2 * CELLS * TILE_WORDS + t / 2 * LOW), 0, TILE_WORDS / 2 * sizeof *to);
            continue;
        }
        const uint8_t *src = cell_at(w, panel, cell);
        vf d[2][NV], c[2][NV];
        vi quad[8];
        _Alignas(64) float ds[2][STE_PANEL], cs[2][STE_PANEL];
        _Alignas(64) uint8_t bytes[2][4][64]; /* of half a cell: rows i, 4+i, 8+i, 12+i */
        load_scales(scale, w, panel, cell, d, c);
        for (int half = 0; half < 2; half++) {
            v_store(ds[half], d[half][0]);
            v_store(cs[half], c[half][0]);
        }
#pragma GCC unroll 8
        for (int line = 0; line < stored; line++)
            __builtin_prefetch(src + ahead + line * 64);
        quads_of(bits, w, src, 0, quad);
#pragma GCC unroll 2
        for (int half = 0; half < 2; half++) {
            const vi *q = quad + 4 * half;
            vi a = _mm512_unpacklo_epi32(q[0], q[1]), b = _mm512_unpackhi_epi32(q[0], q[1]),
               e = _mm512_unpacklo_epi32(q[2], q[3]), f = _mm512_unpackhi_epi32(q[2], q[3]);
            i_store(bytes[half][0], _mm512_unpacklo_epi64(a, e));
            i_store(bytes[half][1], _mm512_unpackhi_epi64(a, e));
            i_store(bytes[half][2], _mm512_unpacklo_epi64(b, f));
            i_store(bytes[half][3], _mm512_unpackhi_epi64(b, f));
        }
        const vf grow = v_set1(STE_BF16_GROW);
#pragma GCC unroll 8
        for (int r = 0; r < STE_PANEL; r += 2)
#pragma GCC unroll 2
            for (int half = 0; half < 2; half++) {
                vf f0 = v_fma(v_from_u8(bytes[half][r % 4] + r / 4 * 16), v_set1(ds[half][r]), v_set1(cs[half][r])),
                   f1 = v_fma(v_from_u8(bytes[half][r % 4 + 1] + r / 4 * 16), v_set1(ds[half][r + 1]),
                              v_set1(cs[half][r + 1]));
                uint16_t *at = to + half * CELLS * TILE_WORDS + r / 2 * STE_CELL;
                if (split) {
                    i_store(at, pair(f0, f1));
                    i_store(at + LOW, pair(v_rest(f0), v_rest(f1)));
                } else {
                    i_store(at, pair(v_mul(f0, grow), v_mul(f1, grow)));
                }
            }
    }
}

/* Forward: a cell of panel AT; TURNED: of the ATth pair of panels. */
static void unpack(const struct ste_matrix *w, bool turned, bool split, int at, int cell, size_t ahead, uint16_t *dst)
{
    if (w->bits == STE_BF16_BITS) { /* a tile already */
        const uint8_t *src = cell_at(w, at, cell);
#pragma GCC unroll 16
        for (int i = 0; i < STE_TILE_ROWS; i++) {
            __builtin_prefetch(src + ahead + i * STE_TILE_BYTES);
            i_store(dst + i * STE_CELL, i_load(src + i * STE_TILE_BYTES));
        }
        return;
    }
#define CALL(bits, scale)                                                                                              \
    (turned  ? split ? unpack_turned(bits, scale, true, w, at, cell, ahead, dst)                                       \
                     : unpack_turned(bits, scale, false, w, at, cell, ahead, dst)                                      \
      : split ? unpack_type(bits, scale, true, w, at, cell, ahead, dst)                                                \
             : unpack_type(bits, scale, false, w, at, cell, ahead, dst))
    BY_TYPE(w, CALL);
#undef CALL
}

/* A product: forward, or backward with a turned W. Its N side is cut into tiles of 16 columns (panels; half cells), its
 * K side, that of the sums, into blocks of 32 (cells; pairs of panels). */
struct product {
    const struct ste_matrix *w;
    const struct ste_bf16_rows *x;
    bool turned, k_first;
    int n0, n, k; /* column tiles from N0 on, blocks */
};

/* A few blocks of two column tiles. */
struct step {
    int n, wide, k, count;
};

/* The Ith step: all blocks of two column tiles first, in the order of memory, where X is so small that it stays in the
 * cache; else all columns for a few blocks first. */
static struct step step_at(const struct product *t, int i)
{
    const int pairs = (t->n + 1) / 2, chunks = (t->k + CELLS - 1) / CELLS;
    struct step s = {.n = t->k_first ? i / chunks * 2 : i % pairs * 2,
                     .k = (t->k_first ? i % chunks : i / pairs) * CELLS};
    s.wide = t->n - s.n < 2 ? 1 : 2;
    s.count = t->k - s.k < CELLS ? t->k - s.k : CELLS;
    return s;
}

/* The weights of a step are unpacked while the tiles of the one before are multiplied, a block now and then: vectors
 * and tiles are different units, and a core reads far enough ahead to keep both busy. */
struct unpacking {
    const struct product *t;
    struct step step;
    uint16_t *to;
    int done, todo; /* blocks, forward for each column tile */
    int due, slots; /* one falls due every slots/todo calls */
    size_t ahead;   /* bytes to the weights of the step after it */
};

static int blocks_of(const struct product *t, const struct step *s)
{
    return t->turned ? s->count : s->count * s->wide;
}

ALWAYS void unpack_next(struct unpacking *u)
{
    const struct product *t = u->t;
    const int column = u->done / u->step.count, block = u->done % u->step.count, n = t->n0 + u->step.n + column,
              k = u->step.k + block;
    uint16_t *to = u->to + (size_t)(column * CELLS + block) * TILE_WORDS;
    unpack(t->w, t->turned, t->x->low, t->turned ? k : n, t->turned ? n / 2 : k, u->ahead, to);
    u->done++;
}

/* Where the sums of 2 x 2 tiles come from and go to: floats from row to row (0: a row for all), to the second tile of
 * columns, to the second one of rows. */
struct place {
    float *at;
    size_t row, column, group;
};

#ifdef BF16_TILES
/* GROUPS tiles of rows times WIDE ones of columns over N blocks. X_LOW, X_GROUP: words. */
ALWAYS void tiles(const int groups, const int wide, const bool split, int n, const uint16_t *x, ptrdiff_t x_low,
                  size_t x_group, const uint16_t *b, const struct place *from, const struct place *to,
                  struct unpacking *u)
{
    TILE_LOAD(0, from->at, from->row * sizeof(float));
    if (wide == 2)
        TILE_LOAD(1, from->at + from->column, from->row * sizeof(float));
    if (groups == 2)
        TILE_LOAD(2, from->at + from->group, from->row * sizeof(float));
    if (groups == 2 && wide == 2)
        TILE_LOAD(3, from->at + from->group + from->column, from->row * sizeof(float));
#define DOTS                                                                                                           \
    TILE_DOT_BF16(0, 4, 6);                                                                                            \
    if (wide == 2)                                                                                                     \
        TILE_DOT_BF16(1, 4, 7);                                                                                        \
    if (groups == 2)                                                                                                   \
        TILE_DOT_BF16(2, 5, 6);                                                                                        \
    if (groups == 2 && wide == 2)                                                                                      \
    TILE_DOT_BF16(3, 5, 7)
    for (; n > 0; n--, x += TILE_WORDS, b += TILE_WORDS) {
        TILE_LOAD(6, b, STE_TILE_BYTES);
        if (wide == 2)
            TILE_LOAD(7, b + CELLS * TILE_WORDS, STE_TILE_BYTES);
        if (split) {
            TILE_LOAD(4, x + x_low, STE_TILE_BYTES);
            if (groups == 2)
                TILE_LOAD(5, x + x_low + x_group, STE_TILE_BYTES);
            DOTS;
        }
        TILE_LOAD(4, x, STE_TILE_BYTES);
        if (groups == 2)
            TILE_LOAD(5, x + x_group, STE_TILE_BYTES);
        DOTS;
        if (split) {
            TILE_LOAD(6, b + LOW, STE_TILE_BYTES);
            if (wide == 2)
                TILE_LOAD(7, b + LOW + CELLS * TILE_WORDS, STE_TILE_BYTES);
            DOTS;
        }
        for (u->due += u->todo; u->due >= u->slots; u->due -= u->slots)
            unpack_next(u);
    }
#undef DOTS
    TILE_STORE(0, to->at, to->row * sizeof(float));
    if (wide == 2)
        TILE_STORE(1, to->at + to->column, to->row * sizeof(float));
    if (groups == 2)
        TILE_STORE(2, to->at + to->group, to->row * sizeof(float));
    if (groups == 2 && wide == 2)
        TILE_STORE(3, to->at + to->group + to->column, to->row * sizeof(float));
}
#else
/* A block of PAIR_ROWS rows times WIDE columns stays in registers. */
#define PAIR_ROWS 8

ALWAYS void tiles(const int groups, const int wide, int n, const uint16_t *x, size_t x_group, const uint16_t *b,
                  const struct place *from, const struct place *to, struct unpacking *u)
{
    for (int r0 = 0; r0 < groups * STE_TILE_ROWS; r0 += PAIR_ROWS) {
        const size_t group = (size_t)(r0 / STE_TILE_ROWS), row = (size_t)(r0 % STE_TILE_ROWS);
        const float *first = from->at + group * from->group + row * from->row;
        float *last = to->at + group * to->group + row * to->row;
        vf acc[PAIR_ROWS][COLUMN_TILES];
#pragma GCC unroll 8
        for (size_t r = 0; r < PAIR_ROWS; r++)
#pragma GCC unroll 2
            for (size_t c = 0; c < (size_t)wide; c++)
                acc[r][c] = v_load(first + r * from->row + c * from->column);
        for (int block = 0; block < n; block++) {
            const uint16_t *xs = x + group * x_group + (size_t)block * TILE_WORDS + row * STE_CELL,
                           *bs = b + (size_t)block * TILE_WORDS;
#pragma GCC unroll 2
            for (int k = 0; k < STE_CELL; k += 2) {
                vi w[COLUMN_TILES];
#pragma GCC unroll 2
                for (int c = 0; c < wide; c++)
                    w[c] = i_load(bs + c * CELLS * TILE_WORDS + k * STE_PANEL);
#pragma GCC unroll 8
                for (int r = 0; r < PAIR_ROWS; r++) {
                    int32_t two;
                    memcpy(&two, xs + r * STE_CELL + k, sizeof two);
#pragma GCC unroll 2
                    for (int c = 0; c < wide; c++)
                        acc[r][c] = _mm512_dpbf16_ps(acc[r][c], (__m512bh)i_set1(two), (__m512bh)w[c]);
                }
            }
        }
#pragma GCC unroll 8
        for (size_t r = 0; r < PAIR_ROWS; r++)
#pragma GCC unroll 2
            for (size_t c = 0; c < (size_t)wide; c++)
                v_store(last + r * to->row + c * to->column, acc[r][c]);
    }
    for (u->due += n * u->todo; u->due >= u->slots; u->due -= u->slots)
        unpack_next(u);
}
#endif

/* The first M rows of tiles of 16 x 16 to Y, or added to it; COLUMNS are left there. */
static void copy_out(const struct place *from, int m, int wide, int columns, bool add, float *y, size_t ldy)
{
    for (int r = 0; r < m; r++)
        for (int p = 0; p < wide; p++) {
            const int left = columns - p * STE_PANEL;
            const float *sums = from->at + (size_t)(r / STE_TILE_ROWS) * from->group +
                                (size_t)(r % STE_TILE_ROWS) * from->row + (size_t)p * from->column;
            float *to = y + (size_t)r * ldy + (size_t)p * STE_PANEL;
            if (left >= STE_PANEL)
                v_store(to, add ? v_add(v_load(to), v_load(sums)) : v_load(sums));
            else
                for (int i = 0; i < left; i++)
                    to[i] = add ? to[i] + sums[i] : sums[i];
        }
}

/* Rows m0..m0+m of Y (rows, COLUMNS) = START (n * 16) + X . W's side, or += that without a start. */
static void run(const struct product *t, int columns, int m0, int m, const float *start, bool add, float *y, size_t ldy)
{
    _Alignas(64) uint16_t b[2][2 * LOW];
    float *sums = ste_part_scratch(STE_BF16_COLUMNS * STE_BF16_ROWS * sizeof *sums);
#ifdef BF16_TILES
    struct ste_tile_config config = {.palette = 1};
    for (int i = 0; i < 8; i++) {
        config.row_bytes[i] = STE_TILE_BYTES;
        config.rows[i] = STE_TILE_ROWS;
    }
    TILE_CONFIG(config);
    const ptrdiff_t x_low = t->x->low ? t->x->low - t->x->high : 0;
#define TILES(groups, wide)                                                                                            \
    (t->x->low ? tiles(groups, wide, true, s.count, xs, x_low, group, bs, &from, &to, &u)                              \
               : tiles(groups, wide, false, s.count, xs, x_low, group, bs, &from, &to, &u))
#else
#define TILES(groups, wide) tiles(groups, wide, s.count, xs, group, bs, &from, &to, &u)
#endif
    const int steps = (t->k + CELLS - 1) / CELLS * ((t->n + 1) / 2);
    const size_t group = (size_t)t->k * TILE_WORDS, tile = STE_TILE_ROWS * STE_PANEL;
    const int tall = (m + STE_TILE_ROWS - 1) / STE_TILE_ROWS, passes = (tall + 1) / 2;
    const uint16_t *x = t->x->high + (size_t)(m0 / STE_TILE_ROWS) * group;
    struct step s = step_at(t, 0);
    struct unpacking u = {.t = t, .step = s, .to = b[0]};
    const size_t per_k = t->turned ? 2 * t->w->panel_weights : t->w->cell_bytes,
                 per_pair = t->turned ? t->w->cell_bytes : 2 * t->w->panel_weights;
    u.ahead = t->k_first ? CELLS * per_k : per_pair;
    y += (size_t)m0 * ldy;
    while (u.done < blocks_of(t, &s))
        unpack_next(&u);
    for (int i = 0; i < steps; i++, s = u.step) {
        const uint16_t *xs = x + (size_t)s.k * TILE_WORDS, *bs = b[i % 2];
        u.done = u.due = u.todo = 0;
        u.slots = passes * s.count;
        u.to = b[(i + 1) % 2];
        if (i + 1 < steps) {
            u.step = step_at(t, i + 1);
            u.todo = blocks_of(t, &u.step);
        }
        const int left = columns - (t->n0 + s.n) * STE_PANEL;
        for (int pass = 0; pass < passes; pass++, xs += 2 * group) {
            const int groups = tall - 2 * pass < 2 ? 1 : 2, rows = m - pass * 2 * STE_TILE_ROWS;
            struct place kept = {sums + ((size_t)s.n * (size_t)tall + (size_t)pass * 2) * tile, STE_PANEL,
                                 (size_t)tall * tile, tile};
            struct place from = kept, to = kept;
            float *ys = y + (size_t)pass * 2 * STE_TILE_ROWS * ldy + (t->n0 + s.n) * STE_PANEL;
            const bool last = s.k + s.count == t->k,
                       direct = last && !add && rows >= groups * STE_TILE_ROWS && left >= s.wide * STE_PANEL;
            if (s.k == 0)
                from = (struct place){(float *)(uintptr_t)start + s.n * STE_PANEL, 0, STE_PANEL, 0};
            if (direct) {
                to = (struct place){ys, ldy, STE_PANEL, STE_TILE_ROWS * ldy};
                for (int r = 2 * STE_TILE_ROWS; r < 4 * STE_TILE_ROWS && r < rows; r++) {
                    __builtin_prefetch(ys + (size_t)r * ldy, 1);
                    __builtin_prefetch(ys + (size_t)r * ldy + STE_PANEL, 1);
                }
            }
            if (groups == 1 && s.wide == 1)
                TILES(1, 1);
            else if (groups == 1)
                TILES(1, 2);
            else if (s.wide == 1)
                TILES(2, 1);
            else
                TILES(2, 2);
            if (last && !direct)
                copy_out(&kept, rows < groups * STE_TILE_ROWS ? rows : groups * STE_TILE_ROWS, s.wide, left, add, ys,
                         ldy);
        }
    }
#ifdef BF16_TILES
    TILE_RELEASE();
#endif
}

static bool stays_in_cache(const struct ste_bf16_rows *x, int m)
{
    return STE_BF16_SIZE(m, x->width) * sizeof *x->high * (x->low ? 2 : 1) <= X_IN_CACHE;
}

static void mul_tiles(const struct ste_matrix *w, int n0, int n, const struct ste_bf16_rows *x, int m0, int m,
                      const float *bias, float *y, size_t ldy)
{
#ifdef BF16_TILES
    if (m <= FEW_ROWS && !x->low && ste_matrix_is_quantized(w)) {
        mul_few(w, n0, n, x, m0, m, bias, y, ldy);
        return;
    }
#endif
    _Alignas(64) float start[STE_BF16_COLUMNS] = {0};
    for (int i = 0; bias && i < n * STE_PANEL && n0 * STE_PANEL + i < w->out; i++)
        start[i] = bias[n0 * STE_PANEL + i];
    const struct product t = {w, x, false, stays_in_cache(x, m), n0, n, w->in / STE_CELL};
    run(&t, w->out, m0, m, start, false, y, ldy);
}

static void back_tiles(const struct ste_matrix *w, int n0, int n, const struct ste_bf16_rows *dy, int m0, int m,
                       bool accumulate, float *dx, size_t lddx)
{
    _Alignas(64) const float start[STE_BF16_COLUMNS] = {0};
    const struct product t = {w, dy, true, stays_in_cache(dy, m), n0, n, (w->panels + 1) / 2};
    run(&t, w->in, m0, m, start, accumulate, dx, lddx);
}

const struct ste_bf16_kernels BF16_KERNELS = {.round = round_rows, .mul = mul_tiles, .back = back_tiles};
