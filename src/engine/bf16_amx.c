/* The bf16 products by AMX tiles: 16 rows of X times a panel, a cell at a time. */
#define STE_SIMD 512
#define BF16_TILES
#include "engine/bf16_body.h"
#include "engine/tiles.h"

#define CELLS 8 /* of two panels unpacked at a time: 16 KB, for the L1 cache */

#define X_IN_CACHE ((size_t)512 << 10) /* bytes of rounded rows that one may read again for each pair of panels */
#define TILE_WORDS (STE_TILE_ROWS * STE_CELL)

/* Two inputs of the 16 rows as one row of a tile: their upper halves. */
ALWAYS vi pair(vf first, vf second)
{
    return i_or(i_srl(i_from_bits(first), 16), i_and(i_from_bits(second), i_set1((int32_t)0xffff0000u)));
}

ALWAYS void unpack_type(const int bits, const enum ste_scale scale, const struct ste_matrix *w, int panel, int cell,
                        size_t ahead, uint16_t *dst)
{
    vf d[2][NV], c[2][NV], f[4];
    vi quad[8];
    const uint8_t *src = cell_at(w, panel, cell);
    bf16_scales(bits, scale, w, panel, cell, d, c);
#pragma GCC unroll 8
    for (int line = 0; line < bits; line++)
        __builtin_prefetch(src + ahead + line * 64);
    quads_of(bits, src, 0, quad);
#pragma GCC unroll 8
    for (int q = 0; q < 8; q++) {
        const int half = bits == 6 ? q / 4 : 0;
        bf16_weights(bits, src, 0, quad, q, d[half][0], c[half][0], f);
        i_store(dst + 2 * q * STE_CELL, pair(f[0], f[1]));
        i_store(dst + (2 * q + 1) * STE_CELL, pair(f[2], f[3]));
    }
}

/* A cell of 16 rows as a tile; the weights AHEAD bytes further on are wanted next. */
static void unpack(const struct ste_matrix *w, int panel, int cell, size_t ahead, uint16_t *dst)
{
#define CALL(bits, scale) unpack_type(bits, scale, w, panel, cell, ahead, dst)
    BF16_BY_TYPE(w, CALL);
#undef CALL
}

/* The work on a few cells of two panels. */
struct step {
    int panel, panels, cell, cells;
};

/* The weights of a step are unpacked while the tiles of the one before are multiplied, a cell now and then: vectors and
 * tiles are different units, and a core reads far enough ahead to keep both busy. */
struct unpacking {
    const struct ste_matrix *w;
    struct step step;
    uint16_t *to;
    int done, todo; /* cells, counted over the step's panels */
    int due, slots; /* one falls due every slots/todo calls */
    size_t ahead;   /* bytes from a cell to that of the step after it */
};

ALWAYS void unpack_next(struct unpacking *u)
{
    const int panel = u->done / u->step.cells, cell = u->done % u->step.cells;
    unpack(u->w, u->step.panel + panel, u->step.cell + cell, u->ahead,
           u->to + (size_t)(panel * CELLS + cell) * TILE_WORDS);
    u->done++;
}

/* The Ith step: all inputs of two panels first, in the order of memory, where X is so small that it stays in the cache;
 * else all panels for a few inputs first. */
static struct step step_at(const struct ste_matrix *w, int p0, int np, bool inputs_first, int i)
{
    const int pairs = (np + 1) / 2, cells = w->in / STE_CELL, blocks = (cells + CELLS - 1) / CELLS;
    struct step s = {.panel = inputs_first ? i / blocks * 2 : i % pairs * 2,
                     .cell = (inputs_first ? i % blocks : i / pairs) * CELLS};
    s.panels = np - s.panel < 2 ? np - s.panel : 2;
    s.cells = cells - s.cell < CELLS ? cells - s.cell : CELLS;
    s.panel += p0;
    return s;
}

/* Where the sums of 2 x 2 tiles come from and go to: floats from row to row (0: a row for all), to the second panel, to
 * the second tile of rows. */
struct place {
    float *at;
    size_t row, panel, group;
};

/* GROUPS tiles of rows times PANELS panels over N cells. X_GROUP, B_PANEL: words. */
ALWAYS void tiles(const int groups, const int panels, int n, const uint16_t *x, size_t x_group, const uint16_t *b,
                  size_t b_panel, const struct place *from, const struct place *to, struct unpacking *u)
{
    TILE_LOAD(0, from->at, from->row * sizeof(float));
    if (panels == 2)
        TILE_LOAD(1, from->at + from->panel, from->row * sizeof(float));
    if (groups == 2)
        TILE_LOAD(2, from->at + from->group, from->row * sizeof(float));
    if (groups == 2 && panels == 2)
        TILE_LOAD(3, from->at + from->group + from->panel, from->row * sizeof(float));
    for (; n > 0; n--, x += TILE_WORDS, b += TILE_WORDS) {
        TILE_LOAD(4, x, STE_TILE_BYTES);
        TILE_LOAD(6, b, STE_TILE_BYTES);
        TILE_DOT_BF16(0, 4, 6);
        if (panels == 2) {
            TILE_LOAD(7, b + b_panel, STE_TILE_BYTES);
            TILE_DOT_BF16(1, 4, 7);
        }
        if (groups == 2) {
            TILE_LOAD(5, x + x_group, STE_TILE_BYTES);
            TILE_DOT_BF16(2, 5, 6);
        }
        if (groups == 2 && panels == 2)
            TILE_DOT_BF16(3, 5, 7);
        for (u->due += u->todo; u->due >= u->slots; u->due -= u->slots)
            unpack_next(u);
    }
    TILE_STORE(0, to->at, to->row * sizeof(float));
    if (panels == 2)
        TILE_STORE(1, to->at + to->panel, to->row * sizeof(float));
    if (groups == 2)
        TILE_STORE(2, to->at + to->group, to->row * sizeof(float));
    if (groups == 2 && panels == 2)
        TILE_STORE(3, to->at + to->group + to->panel, to->row * sizeof(float));
}

/* The first M rows of GROUPS x PANELS tiles of 16 x 16 to Y, whose last panel may be narrower. */
static void copy_ragged(const struct place *from, int m, int panels, int columns, float *y, size_t ldy)
{
    for (int r = 0; r < m; r++)
        for (int p = 0; p < panels; p++) {
            const int left = columns - p * STE_PANEL;
            memcpy(y + (size_t)r * ldy + (size_t)p * STE_PANEL,
                   from->at + (size_t)(r / STE_TILE_ROWS) * from->group + (size_t)(r % STE_TILE_ROWS) * from->row +
                       (size_t)p * from->panel,
                   (size_t)(left < STE_PANEL ? left : STE_PANEL) * sizeof *y);
        }
}

static void mul_tiles(const struct ste_matrix *w, int p0, int np, const uint16_t *x, int m0, int m, const float *bias,
                      float *y, size_t ldy)
{
    if (m <= FEW_ROWS) {
        mul_few(w, p0, np, x, m0, m, bias, y, ldy);
        return;
    }
    _Alignas(64) uint16_t b[2][2 * CELLS * TILE_WORDS];
    _Alignas(64) float sums[STE_BF16_PANELS * STE_BF16_ROWS * STE_PANEL], start[STE_BF16_PANELS * STE_PANEL] = {0};
    struct ste_tile_config config = {.palette = 1};
    for (int t = 0; t < 8; t++) {
        config.row_bytes[t] = STE_TILE_BYTES;
        config.rows[t] = STE_TILE_ROWS;
    }
    TILE_CONFIG(config);
    for (int i = 0; bias && i < np * STE_PANEL && p0 * STE_PANEL + i < w->out; i++)
        start[i] = bias[p0 * STE_PANEL + i];
    const int cells = w->in / STE_CELL, steps = (cells + CELLS - 1) / CELLS * ((np + 1) / 2);
    const size_t group = (size_t)cells * TILE_WORDS, b_panel = CELLS * TILE_WORDS, row = STE_PANEL,
                 tile = STE_TILE_ROWS * STE_PANEL;
    const int tall = (m + STE_TILE_ROWS - 1) / STE_TILE_ROWS, passes = (tall + 1) / 2;
    const bool inputs_first = (size_t)tall * group * sizeof *x <= X_IN_CACHE;
    struct step s = step_at(w, p0, np, inputs_first, 0);
    struct unpacking u = {.w = w, .step = s, .to = b[0]};
    u.ahead = inputs_first ? CELLS * w->cell_bytes : 2 * w->panel_weights;
    x += (size_t)(m0 / STE_TILE_ROWS) * group;
    y += (size_t)m0 * ldy;
    while (u.done < s.panels * s.cells)
        unpack_next(&u);
    for (int i = 0; i < steps; i++, s = u.step) {
        const uint16_t *xs = x + (size_t)s.cell * TILE_WORDS, *bs = b[i % 2];
        u.done = u.due = u.todo = 0;
        u.slots = passes * s.cells;
        u.to = b[(i + 1) % 2];
        if (i + 1 < steps) {
            u.step = step_at(w, p0, np, inputs_first, i + 1);
            u.todo = u.step.panels * u.step.cells;
        }
        const int first = (s.panel - p0) * STE_PANEL, columns = w->out - s.panel * STE_PANEL;
        for (int pass = 0; pass < passes; pass++, xs += 2 * group) {
            const int groups = tall - 2 * pass < 2 ? 1 : 2, rows = m - pass * 2 * STE_TILE_ROWS;
            struct place kept = {sums + ((size_t)(s.panel - p0) * (size_t)tall + (size_t)pass * 2) * tile, row,
                                 (size_t)tall * tile, tile};
            struct place from = kept, to = kept;
            float *ys = y + (size_t)pass * 2 * STE_TILE_ROWS * ldy + s.panel * STE_PANEL;
            const bool last = s.cell + s.cells == cells,
                       whole = rows >= groups * STE_TILE_ROWS && columns >= s.panels * STE_PANEL;
            if (s.cell == 0)
                from = (struct place){start + first, 0, STE_PANEL, 0};
            if (last && whole)
                to = (struct place){ys, ldy, STE_PANEL, STE_TILE_ROWS * ldy};
            if (last && whole)
                for (int r = 2 * STE_TILE_ROWS; r < 4 * STE_TILE_ROWS && r < rows; r++) {
                    __builtin_prefetch(ys + (size_t)r * ldy, 1);
                    __builtin_prefetch(ys + (size_t)r * ldy + STE_PANEL, 1);
                }
            if (groups == 1 && s.panels == 1)
                tiles(1, 1, s.cells, xs, group, bs, b_panel, &from, &to, &u);
            else if (groups == 1)
                tiles(1, 2, s.cells, xs, group, bs, b_panel, &from, &to, &u);
            else if (s.panels == 1)
                tiles(2, 1, s.cells, xs, group, bs, b_panel, &from, &to, &u);
            else
                tiles(2, 2, s.cells, xs, group, bs, b_panel, &from, &to, &u);
            if (last && !whole)
                copy_ragged(&kept, rows < groups * STE_TILE_ROWS ? rows : groups * STE_TILE_ROWS, s.panels, columns, ys,
                            ldy);
        }
    }
    TILE_RELEASE();
}

const struct ste_bf16_kernels ste_bf16_amx = {.round = round_rows, .mul = mul_tiles};
