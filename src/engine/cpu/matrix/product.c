/* Products with packed matrices: how the work is cut into parts, one thread each, and blocks that fit the caches. */
#include "engine/cpu/bf16/bf16.h"
#include "engine/cpu/int8/int8.h"
#include "engine/cpu/matrix/matrix.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/domain.h"
#include "core/mem.h"

struct scratch {
    void *p;
    size_t size;
};

/* OURS: what a thread keeps is no call's and goes back with the thread. */
static void *at_least(struct scratch *s, size_t size, bool ours)
{
    if (s->size >= size)
        return s->p;
    (ours ? ste_xfree : free)(s->p);
    *s = (struct scratch){0};
    size = (size + size / 4 + 4095) / 4096 * 4096;
    void *p = aligned_alloc(64, size);
    if (ours)
        ste_xtake(p, size);
    else if (!p)
        ste_no_memory(size);
    *s = (struct scratch){p, size};
    return p;
}

/* Of a thread: of the call, whose parts read it in other threads, and of the part that the thread is at. */
enum { OF_CALL, OF_PART, N_SCRATCHES };
static pthread_key_t scratch_key;
static pthread_once_t scratch_once = PTHREAD_ONCE_INIT;

static void scratch_free(void *arg)
{
    struct scratch *s = arg;
    for (int i = 0; i < N_SCRATCHES; i++)
        free(s[i].p);
    free(s);
}

static void scratch_init(void)
{
    pthread_key_create(&scratch_key, scratch_free);
}

static void *scratch(int which, size_t size)
{
    pthread_once(&scratch_once, scratch_init);
    struct scratch *s = pthread_getspecific(scratch_key);
    if (!s) {
        s = calloc(N_SCRATCHES, sizeof *s);
        if (!s || pthread_setspecific(scratch_key, s) != 0) {
            free(s);
            ste_no_memory(N_SCRATCHES * sizeof *s);
        }
    }
    return at_least(&s[which], size, false);
}

void *ste_scratch(size_t size)
{
    return scratch(OF_CALL, size);
}

void *ste_part_scratch(size_t size)
{
    return scratch(OF_PART, size);
}

#define TILE_PANELS 2      /* of a tile */
#define ROWS 256           /* of X to a part: a block of 256 inputs of them is 256 KB, for the L2 cache */
#define Y_FLOATS (1 << 15) /* of a part's results, 128 KB */
#define INPUTS_F32 256
#define BYTES_INT8 (384 << 10) /* of a part's X at a time: few rows go through all of their inputs at once */

struct ste_inputs {
    const float *x;
    size_t ldx;
    int m, width;
    enum ste_activations act;
    const struct ste_int8_kernels *int8; /* NULL: not rounded so */
    const struct ste_bf16_kernels *bf16;
    struct ste_rounded rounded;
    struct ste_bf16_rows rows;
    bool own; /* MEMORY, and not the thread's scratch: of both kinds of rounding, which one matrix alone never needs */
    struct scratch memory[2];
};

struct ste_inputs *ste_inputs_new(void)
{
    struct ste_inputs *in = ste_xcalloc(1, sizeof *in);
    in->own = true;
    return in;
}

void ste_inputs_free(struct ste_inputs *in)
{
    for (int i = 0; in && i < 2; i++)
        ste_xfree(in->memory[i].p);
    ste_xfree(in);
}

static void *room(struct ste_inputs *in, int which, size_t size)
{
    return in->own ? at_least(&in->memory[which], size, true) : ste_scratch(size);
}

static void begin_bf16(struct ste_inputs *in, enum ste_activations act, enum ste_isa isa)
{
    const size_t words = STE_BF16_SIZE(in->m, in->width);
    in->bf16 = ste_bf16_kernels_of(isa, act);
    in->rows.width = in->width;
    in->rows.high = room(in, 0, (act == STE_ACT_BF16X3 ? 2 : 1) * words * sizeof(uint16_t));
    in->rows.low = act == STE_ACT_BF16X3 ? in->rows.high + words : NULL;
}

/* How a product is made. */
enum way { IN_F32, IN_INT8, IN_BF16 };

/* Weights that are bf16 are multiplied with such X wherever X is rounded at all: exact ones with integers would need
 * more than either. */
static enum way way_of(const struct ste_matrix *w, enum ste_activations act)
{
    if (ste_matrix_is_quantized(w))
        return ste_activations_are_int8(act) ? IN_INT8 : ste_activations_are_bf16(act) ? IN_BF16 : IN_F32;
    const bool whole = w->bits == STE_BF16_BITS && w->in % STE_CELL == 0;
    return whole && ste_activations_round_for(act, STE_BF16) ? IN_BF16 : IN_F32;
}

static void begin_int8(struct ste_inputs *in, const struct ste_product *products, int n, int span)
{
    struct ste_rounded *r = &in->rounded;
    const int ld = STE_ROUNDED_LD(in->m);
    const size_t all = (size_t)ld * (size_t)in->width, cells = all / STE_CELL, bytes = (all + 63) / 64 * 64;
    bool words = false, sum = false, halves = false, sum_halves = false, minus[STE_ZEROS] = {false};
    in->int8 = ste_int8_kernels_of(products[0].w->isa);
    for (int i = 0; i < n; i++) {
        const enum ste_scale scale = products[i].w->scale;
        const int bits = STE_VALUE_BITS(span > 1 ? 8 : products[i].w->bits);
        words = words || (in->int8->words_for && (span > 1 || bits == in->int8->words_for));
        if (span > 1 || scale == STE_SCALE_BLOCK || scale == STE_SCALE_TABLE)
            minus[STE_ZERO_OF(bits)] = true;
        halves = halves || (span == 1 && scale == STE_SCALE_K16);
        sum = sum || (span == 1 && (scale == STE_SCALE_MIN || scale == STE_SCALE_K));
        sum_halves = sum_halves || (span == 1 && scale == STE_SCALE_K16_MIN);
    }
    char *s = room(in, 1, (words ? 3 : 1) * bytes + (6 + STE_ZEROS) * cells * sizeof(float));
    *r = (struct ste_rounded){.in = in->width, .ld = ld, .q = (int8_t *)s, .span = span};
    s += bytes;
    if (words) {
        r->words = (int16_t *)(void *)s;
        s += 2 * bytes;
    }
    r->d = (float *)(void *)s;
    r->sum = sum ? r->d + cells : NULL;
    r->sum_halves = sum_halves ? r->d + 2 * cells : NULL;
    int32_t *next = (int32_t *)(void *)(r->d + 4 * cells);
    r->minus_halves = halves ? next : NULL;
    next += 2 * cells;
    for (int i = 0; i < STE_ZEROS; i++, next += cells)
        r->minus[i] = minus[i] ? next : NULL;
}

void ste_inputs_begin(struct ste_inputs *in, const struct ste_product *products, int n, enum ste_activations act,
                      const float *x, size_t ldx, int m)
{
    bool ways[IN_BF16 + 1] = {false}, blocks = true; /* all quantized ones have blocks of 256 */
    in->x = x;
    in->ldx = ldx;
    in->m = m;
    in->width = products[0].w->in;
    in->act = act;
    in->int8 = NULL;
    in->bf16 = NULL;
    for (int i = 0; i < n; i++) {
        const enum way way = way_of(products[i].w, act);
        ways[way] = true;
        blocks = blocks && (way != IN_INT8 || STE_SCALE_IS_K(products[i].w->scale));
    }
    if (ways[IN_INT8])
        begin_int8(in, products, n, !blocks || act == STE_ACT_INT8 ? 1 : act == STE_ACT_INT8_G64 ? 2 : 4);
    if (ways[IN_BF16])
        begin_bf16(in, ste_activations_are_int8(act) ? STE_ACT_BF16_DOT : act, products[0].w->isa);
}

int ste_inputs_rows(const struct ste_inputs *in)
{
    return in->bf16 ? STE_TILE_ROWS : 1;
}

int ste_inputs_columns(const struct ste_inputs *in)
{
    return in->bf16 ? in->width : in->int8 ? in->rounded.span * STE_CELL : 1;
}

void ste_inputs_round(struct ste_inputs *in, int m0, int m, int k0, int k)
{
    if (in->int8)
        in->int8->round(in->x + (size_t)m0 * in->ldx + k0, in->ldx, m0, m, k0 / STE_CELL, k / STE_CELL, &in->rounded);
    if (in->bf16)
        in->bf16->round(in->x, in->ldx, m0, m, &in->rows);
}

static int ceil_div(int a, int b)
{
    return (a + b - 1) / b;
}

static void round_part(void *arg, int part)
{
    struct ste_inputs *in = arg;
    const int m0 = part * STE_TILE_ROWS;
    ste_inputs_round(in, m0, in->m - m0 < STE_TILE_ROWS ? in->m - m0 : STE_TILE_ROWS, 0, in->width);
}

static void round_all(struct ste_inputs *in, struct ste_pool *pool)
{
    if (in->int8 || in->bf16)
        ste_pool_run(in->m >= 4 * STE_TILE_ROWS ? pool : NULL, round_part, in, ceil_div(in->m, STE_TILE_ROWS));
}

/* Of one call: each product is cut into parts of some rows and panels. */
struct cut {
    const struct ste_product *p;
    int rows, row_parts, panels, first_part;
};
struct work {
    const struct ste_inputs *in;
    struct cut cuts[STE_MAX_PRODUCTS];
    int n, threads;
    bool accumulate;         /* backward */
    struct ste_inputs *next; /* of two gated products */
    enum ste_gate gate;
};

/* Rows and panels of a part; some are empty. */
struct piece {
    int m0, m, p0, np;
};

static struct piece piece_of(const struct cut *c, const struct ste_inputs *in, int panels, int part)
{
    const int m0 = part % c->row_parts * c->rows, p0 = part / c->row_parts * c->panels;
    return (struct piece){m0, in->m - m0 < c->rows ? in->m - m0 : c->rows, p0,
                          panels - p0 < c->panels ? panels - p0 : c->panels};
}

/* What a thread likely takes of W when it has done PIECE: the others take what lies between. */
static struct ste_panel taken_next(const struct work *t, const struct cut *c, const struct ste_matrix *w,
                                   const struct piece *piece)
{
    const int next = piece->p0 + t->threads * c->panels;
    return (struct ste_panel){w, next < w->panels ? next : piece->p0};
}

/* Rows m0..m0+m of P's panels p0..p0+np into Y (m, 16 * np). SUMS: Y_FLOATS of scratch. */
static void mul_int8(const struct ste_inputs *in, const struct ste_product *p, int p0, int np, struct ste_panel after,
                     int m0, int m, float *sums, float *y, size_t ldy)
{
    const int width = p->w->in, inputs = BYTES_INT8 / m / 256 * 256;
    for (int k = 0; k < width; k += inputs)
        in->int8->mul(p->w, p0, np, after, k, width - k < inputs ? width - k : inputs, &in->rounded, m0, m, p->bias,
                      sums, y, ldy);
}

static void product_part(void *arg, int part)
{
    const struct work *t = arg;
    const struct ste_inputs *in = t->in;
    const struct cut *c = &t->cuts[t->n - 1];
    while (part < c->first_part)
        c--;
    part -= c->first_part;
    const struct ste_product *p = c->p;
    const struct ste_matrix *w = p->w;
    const struct piece piece = piece_of(c, in, w->panels, part);
    const int m0 = piece.m0, m = piece.m, p0 = piece.p0, np = piece.np;
    if (m <= 0 || np <= 0)
        return;
    const enum way way = way_of(w, in->act);
    if (way == IN_BF16) {
        in->bf16->mul(w, p0, np, &in->rows, m0, m, p->bias, p->y, p->ldy);
        return;
    }
    float *y = ste_part_scratch(Y_FLOATS * sizeof *y);
    if (way == IN_INT8) {
        mul_int8(in, p, p0, np, taken_next(t, c, w, &piece), m0, m, y,
                 p->y + (size_t)m0 * p->ldy + (size_t)p0 * STE_PANEL, p->ldy);
        return;
    }
    for (int j = 0; j < np; j++) {
        float row[STE_PANEL] = {0};
        const int first = (p0 + j) * STE_PANEL;
        for (int k = 0; p->bias && k < STE_PANEL && first + k < w->out; k++)
            row[k] = p->bias[first + k];
        for (int r = 0; r < m; r++)
            memcpy(y + ((size_t)j * (size_t)m + (size_t)r) * STE_PANEL, row, sizeof row);
    }
    const float *x = in->x + (size_t)m0 * in->ldx;
    const struct ste_matrix_kernels *kernels = ste_matrix_kernels_of(w->isa);
    for (int k = 0; k < w->in; k += INPUTS_F32)
        kernels->f32(w, p0, np, k, w->in - k < INPUTS_F32 ? w->in - k : INPUTS_F32, x, in->ldx, m, y);
    for (int r = 0; r < m; r++) {
        float *to = p->y + (size_t)(m0 + r) * p->ldy + (size_t)p0 * STE_PANEL;
        for (int j = 0; j < np; j++) {
            const int left = w->out - (p0 + j) * STE_PANEL;
            memcpy(to + j * STE_PANEL, y + ((size_t)j * (size_t)m + (size_t)r) * STE_PANEL,
                   (size_t)(left < STE_PANEL ? left : STE_PANEL) * sizeof *y);
        }
    }
}

/* Parts of P's product, of ALL panels of the call, so many of which must stay TOGETHER: returned is how many. */
static int cut(struct cut *c, const struct ste_inputs *in, const struct ste_product *p, int all, int threads,
               int together)
{
    const bool bf16 = way_of(p->w, in->act) == IN_BF16;
    const int multiple = bf16 ? 2 * STE_TILE_ROWS : 12; /* rows of a tile */
    int most_rows = bf16 ? STE_BF16_ROWS : ROWS;
    if (!bf16 &&
        most_rows > Y_FLOATS / STE_PANEL / together / multiple * multiple) /* what is TOGETHER must have room */
        most_rows = Y_FLOATS / STE_PANEL / together / multiple * multiple;
    c->p = p;
    c->row_parts = ceil_div(in->m, most_rows);
    c->rows = ceil_div(ceil_div(in->m, c->row_parts), multiple) * multiple;
    if (c->rows > in->m && !bf16)
        c->rows = in->m;
    /* Some parts a thread, so that none waits long for the last; few enough to read X seldom. */
    const int most = (bf16 ? STE_BF16_COLUMNS / STE_PANEL : Y_FLOATS / STE_PANEL / c->rows) / together * together;
    c->panels = ceil_div(ceil_div(all * c->row_parts, threads * 6), together) * together;
    if (c->panels > most)
        c->panels = most;
    return c->row_parts * ceil_div(p->w->panels, c->panels);
}

void ste_inputs_mul(const struct ste_inputs *in, const struct ste_product *products, int n, struct ste_pool *pool)
{
    struct work t = {.in = in, .n = n, .threads = ste_pool_size(pool)};
    int all = 0, parts = 0;
    for (int i = 0; i < n; i++)
        all += products[i].w->panels;
    for (int i = 0; i < n; i++) {
        t.cuts[i].first_part = parts;
        parts += cut(&t.cuts[i], in, &products[i], all, t.threads, TILE_PANELS);
    }
    ste_pool_run(pool, product_part, &t, parts);
}

static void gated_part(void *arg, int part)
{
    const struct work *t = arg;
    const struct ste_inputs *in = t->in, *to = t->next;
    const struct cut *c = t->cuts;
    const struct ste_product *gate = c->p, *up = c->p + 1;
    float *y = ste_part_scratch(3 * Y_FLOATS * sizeof *y), *up_y = y + Y_FLOATS, *sums = up_y + Y_FLOATS;
    const struct piece piece = piece_of(c, in, gate->w->panels, part);
    const int m0 = piece.m0, m = piece.m, p0 = piece.p0, np = piece.np;
    if (m <= 0 || np <= 0)
        return;
    const size_t width = (size_t)np * STE_PANEL;
    mul_int8(in, gate, p0, np, (struct ste_panel){up->w, p0}, m0, m, sums, y, width);
    mul_int8(in, up, p0, np, taken_next(t, c, gate->w, &piece), m0, m, sums, up_y, width);
    for (size_t r = 0; r < (size_t)m; r++)
        ste_ops_of(gate->w->isa)->gate(t->gate, y + r * width, y + r * width, up_y + r * width, width);
    to->int8->round(y, width, m0, m, p0 * STE_PANEL / STE_CELL, (int)width / STE_CELL, &to->rounded);
}

bool ste_inputs_gate(const struct ste_inputs *in, const struct ste_product pair[2], enum ste_gate kind,
                     struct ste_inputs *next, struct ste_pool *pool)
{
    struct work t = {.in = in, .n = 1, .threads = ste_pool_size(pool), .next = next, .gate = kind};
    if (!next->int8 || next->bf16 || way_of(pair[0].w, in->act) != IN_INT8 || way_of(pair[1].w, in->act) != IN_INT8)
        return false;
    /* A part's result must be whole groups of the next product's inputs. */
    const int together = next->rounded.span * STE_CELL / STE_PANEL;
    ste_pool_run(pool, gated_part, &t, cut(&t.cuts[0], in, &pair[0], 2 * pair[0].w->panels, t.threads, together));
    return true;
}

void ste_matrix_mul(const struct ste_matrix *w, enum ste_activations act, const float *x, size_t ldx, int m,
                    const float *bias, float *y, size_t ldy, struct ste_pool *pool)
{
    const struct ste_product p = {w, bias, y, ldy};
    struct ste_inputs in = {0};
    if (m <= 0)
        return;
    ste_inputs_begin(&in, &p, 1, act, x, ldx, m);
    round_all(&in, pool);
    ste_inputs_mul(&in, &p, 1, pool);
}

/* ---- backward ---- */

#define BACK_ROWS 192
#define BACK_INPUTS 128 /* columns of W to a part */
#define BACK_PANELS 16  /* 256 rows of W at a time: 128 KB turned around, for the L2 cache */

struct back {
    const struct ste_matrix *w;
    const struct ste_matrix_kernels *f32;
    const float *dy;
    float *dx;
    size_t lddy, lddx;
    int m, rows, row_parts;
    bool accumulate;
};

static void back_part(void *arg, int part)
{
    const struct back *t = arg;
    const struct ste_matrix *w = t->w;
    enum { TURNED = BACK_INPUTS * BACK_PANELS * STE_PANEL, ACC = BACK_INPUTS * BACK_ROWS };
    float *turned = ste_part_scratch((TURNED + ACC) * sizeof *turned), *acc = turned + TURNED;
    const int m0 = part % t->row_parts * t->rows, k0 = part / t->row_parts * BACK_INPUTS;
    const int m = t->m - m0 < t->rows ? t->m - m0 : t->rows;
    const int kc = w->in - k0 < BACK_INPUTS ? w->in - k0 : BACK_INPUTS, groups = ceil_div(kc, STE_PANEL);
    if (m <= 0)
        return;
    for (int g = 0; g < groups; g++)
        for (int r = 0; r < m; r++) {
            float *to = acc + ((size_t)g * (size_t)m + (size_t)r) * STE_PANEL;
            const int left = kc - g * STE_PANEL;
            memset(to, 0, STE_PANEL * sizeof *to);
            if (t->accumulate)
                memcpy(to, t->dx + (size_t)(m0 + r) * t->lddx + k0 + g * STE_PANEL,
                       (size_t)(left < STE_PANEL ? left : STE_PANEL) * sizeof *to);
        }
    for (int p = 0; p < w->panels; p += BACK_PANELS) {
        const int np = w->panels - p < BACK_PANELS ? w->panels - p : BACK_PANELS;
        const int n = w->out - p * STE_PANEL < np * STE_PANEL ? w->out - p * STE_PANEL : np * STE_PANEL;
        t->f32->columns(w, p, np, k0, kc, turned);
        for (int g = 0; g < groups; g++)
            t->f32->tile(m, n, t->dy + (size_t)m0 * t->lddy + p * STE_PANEL, t->lddy,
                         turned + (size_t)g * (size_t)np * STE_PANEL * STE_PANEL, STE_PANEL,
                         acc + (size_t)g * (size_t)m * STE_PANEL, STE_PANEL);
    }
    for (int r = 0; r < m; r++)
        for (int g = 0; g < groups; g++) {
            const int left = kc - g * STE_PANEL;
            memcpy(t->dx + (size_t)(m0 + r) * t->lddx + k0 + g * STE_PANEL,
                   acc + ((size_t)g * (size_t)m + (size_t)r) * STE_PANEL,
                   (size_t)(left < STE_PANEL ? left : STE_PANEL) * sizeof *acc);
        }
}

/* The same with rounded dY. */
static void back_bf16_part(void *arg, int part)
{
    const struct work *t = arg;
    const struct ste_inputs *in = t->in; /* dY; Y is dX */
    const struct cut *c = t->cuts;
    const struct piece piece = piece_of(c, in, c->p->w->in / STE_PANEL, part); /* panels: of columns */
    if (piece.m > 0 && piece.np > 0)
        in->bf16->back(c->p->w, piece.p0, piece.np, &in->rows, piece.m0, piece.m, t->accumulate, c->p->y, c->p->ldy);
}

static void mul_back_bf16(const struct ste_matrix *w, enum ste_activations act, const float *dy, size_t lddy, int m,
                          float *dx, size_t lddx, bool accumulate, struct ste_pool *pool)
{
    struct ste_inputs in = {.x = dy, .ldx = lddy, .m = m, .width = w->out, .act = act};
    const struct ste_product p = {w, NULL, dx, lddx};
    const int columns = w->in / STE_PANEL, most = STE_BF16_COLUMNS / STE_PANEL, row_parts = ceil_div(m, STE_BF16_ROWS);
    struct cut c = {&p, ceil_div(ceil_div(m, row_parts), 2 * STE_TILE_ROWS) * 2 * STE_TILE_ROWS, row_parts,
                    ceil_div(ceil_div(columns * row_parts, ste_pool_size(pool) * 6), 2) * 2, 0};
    if (c.panels > most)
        c.panels = most;
    struct work t = {.in = &in, .cuts = {c}, .n = 1, .accumulate = accumulate};
    begin_bf16(&in, act, w->isa);
    round_all(&in, pool);
    ste_pool_run(pool, back_bf16_part, &t, row_parts * ceil_div(columns, c.panels));
}

void ste_matrix_mul_back(const struct ste_matrix *w, enum ste_activations act, const float *dy, size_t lddy, int m,
                         float *dx, size_t lddx, bool accumulate, struct ste_pool *pool)
{
    if (m <= 0)
        return;
    if (ste_activations_are_bf16(act) && ste_matrix_is_quantized(w)) {
        mul_back_bf16(w, act, dy, lddy, m, dx, lddx, accumulate, pool);
        return;
    }
    struct back t = {w, ste_matrix_kernels_of(w->isa), dy, dx, lddy, lddx, m, 0, ceil_div(m, BACK_ROWS), accumulate};
    t.rows = ceil_div(ceil_div(m, t.row_parts), 6) * 6;
    ste_pool_run(pool, back_part, &t, t.row_parts * ceil_div(w->in, BACK_INPUTS));
}
