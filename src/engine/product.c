/* Products with packed matrices: how the work is cut into parts, one thread each, and blocks that fit the caches. */
#include "engine/bf16.h"
#include "engine/int8.h"
#include "engine/matrix.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"

struct scratch {
    void *p;
    size_t size;
};
static pthread_key_t scratch_key;
static pthread_once_t scratch_once = PTHREAD_ONCE_INIT;

static void scratch_free(void *arg)
{
    struct scratch *s = arg;
    free(s->p);
    free(s);
}

static void scratch_init(void)
{
    pthread_key_create(&scratch_key, scratch_free);
}

void *ste_scratch(size_t size)
{
    pthread_once(&scratch_once, scratch_init);
    struct scratch *s = pthread_getspecific(scratch_key);
    if (!s) {
        s = ste_xcalloc(1, sizeof *s);
        pthread_setspecific(scratch_key, s);
    }
    if (s->size < size) {
        free(s->p);
        s->size = (size + size / 4 + 4095) / 4096 * 4096;
        s->p = aligned_alloc(64, s->size);
        if (!s->p)
            s->p = ste_xmalloc(SIZE_MAX); /* says so and ends */
    }
    return s->p;
}

#define ROWS 192           /* of X to a part: a block of 256 inputs of them is 192 KB, for the L2 cache */
#define Y_FLOATS (1 << 15) /* of a part's results, 128 KB */
#define INPUTS_F32 256
#define INPUTS_INT8 1024

/* Of one call. */
struct work {
    struct ste_product products[STE_MAX_PRODUCTS];
    int n, first_part[STE_MAX_PRODUCTS + 1];
    const struct ste_matrix_kernels *f32;
    const struct ste_int8_kernels *int8;
    const struct ste_bf16_kernels *bf16;
    const float *x;
    size_t ldx;
    int m, rows, row_parts, panels; /* rows and panels to a part */
    bool accumulate;                /* backward */
    struct ste_rounded rounded;
    struct ste_bf16_rows x_bf16;
};

static int ceil_div(int a, int b)
{
    return (a + b - 1) / b;
}

static void product_part(void *arg, int part)
{
    const struct work *t = arg;
    int i = 0;
    while (part >= t->first_part[i + 1])
        i++;
    part -= t->first_part[i];
    const struct ste_product *p = &t->products[i];
    const struct ste_matrix *w = p->w;
    _Alignas(64) float y[Y_FLOATS];
    const int m0 = part % t->row_parts * t->rows, p0 = part / t->row_parts * t->panels;
    const int m = t->m - m0 < t->rows ? t->m - m0 : t->rows;
    const int np = w->panels - p0 < t->panels ? w->panels - p0 : t->panels;
    if (m <= 0 || np <= 0)
        return;
    if (t->bf16) {
        t->bf16->mul(w, p0, np, &t->x_bf16, m0, m, p->bias, p->y, p->ldy);
        return;
    }
    for (int k = 0; t->int8 && k < w->in; k += INPUTS_INT8)
        t->int8->mul(w, p0, np, k, w->in - k < INPUTS_INT8 ? w->in - k : INPUTS_INT8, &t->rounded, m0, m, p->bias, y,
                     p->y + (size_t)m0 * p->ldy, p->ldy);
    if (t->int8)
        return;
    for (int j = 0; j < np; j++) {
        float row[STE_PANEL] = {0};
        const int first = (p0 + j) * STE_PANEL;
        for (int k = 0; p->bias && k < STE_PANEL && first + k < w->out; k++)
            row[k] = p->bias[first + k];
        for (int r = 0; r < m; r++)
            memcpy(y + ((size_t)j * (size_t)m + (size_t)r) * STE_PANEL, row, sizeof row);
    }
    for (int k = 0; k < w->in; k += INPUTS_F32)
        t->f32->f32(w, p0, np, k, w->in - k < INPUTS_F32 ? w->in - k : INPUTS_F32, t->x + (size_t)m0 * t->ldx, t->ldx, m, y);
    for (int r = 0; r < m; r++) {
        float *to = p->y + (size_t)(m0 + r) * p->ldy + (size_t)p0 * STE_PANEL;
        for (int j = 0; j < np; j++) {
            const int left = w->out - (p0 + j) * STE_PANEL;
            memcpy(to + j * STE_PANEL, y + ((size_t)j * (size_t)m + (size_t)r) * STE_PANEL,
                   (size_t)(left < STE_PANEL ? left : STE_PANEL) * sizeof *y);
        }
    }
}

#define ROUND_ROWS 16

static void round_bf16_part(void *arg, int part)
{
    const struct work *t = arg;
    const int m0 = part * ROUND_ROWS, m = t->m - m0 < ROUND_ROWS ? t->m - m0 : ROUND_ROWS;
    t->bf16->round(t->x, t->ldx, m0, m, &t->x_bf16);
}

static void round_bf16(struct work *t, enum ste_activations act, int width, struct ste_pool *pool)
{
    const size_t words = STE_BF16_SIZE(t->m, width);
    t->x_bf16.width = width;
    t->x_bf16.high = ste_scratch((act == STE_ACT_BF16X3 ? 2 : 1) * words * sizeof(uint16_t));
    t->x_bf16.low = act == STE_ACT_BF16X3 ? t->x_bf16.high + words : NULL;
    ste_pool_run(pool, round_bf16_part, t, ceil_div(t->m, ROUND_ROWS));
}

static void round_int8_part(void *arg, int part)
{
    const struct work *t = arg;
    const int rows = t->m >= 4 * ROUND_ROWS ? ROUND_ROWS : ceil_div(t->m, 4), m0 = part * rows;
    if (m0 < t->m)
        t->int8->round(t->x, t->ldx, m0, t->m - m0 < rows ? t->m - m0 : rows, &t->rounded);
}

static void round_int8(struct work *t, int in, struct ste_pool *pool)
{
    struct ste_rounded *r = &t->rounded;
    const int ld = STE_ROUNDED_LD(t->m);
    const size_t all = (size_t)ld * (size_t)in, cells = all / STE_CELL, bytes = (all + 63) / 64 * 64;
    bool words = false;
    for (int i = 0; i < t->n; i++)
        words = words || t->products[i].w->bits == t->int8->words_for;
    char *s = ste_scratch((words ? 3 : 1) * bytes + 5 * cells * sizeof(float));
    *r = (struct ste_rounded){.in = in, .ld = ld, .q = (int8_t *)s};
    s += bytes;
    if (words) {
        r->words = (int16_t *)(void *)s;
        s += 2 * bytes;
    }
    r->d = (float *)(void *)s;
    r->sum = r->d + cells;
    r->minus = (int32_t *)(void *)(r->sum + cells);
    r->minus_halves = r->minus + cells;
    ste_pool_run(t->m >= 8 ? pool : NULL, round_int8_part, t, t->m >= 4 * ROUND_ROWS ? ceil_div(t->m, ROUND_ROWS) : 4);
}

static bool rounds(const struct ste_product *p, enum ste_activations act)
{
    return act != STE_ACT_F32 && p->w->bits != 32;
}

void ste_matrix_mul_each(const struct ste_product *products, int n, enum ste_activations act, const float *x,
                         size_t ldx, int m, struct ste_pool *pool)
{
    for (int i = 1; i < n; i++)
        if (rounds(&products[i], act) != rounds(&products[0], act)) { /* no X is the same for them */
            ste_matrix_mul_each(products, i, act, x, ldx, m, pool);
            products += i;
            n -= i;
            i = 0;
        }
    if (m <= 0)
        return;
    const struct ste_matrix *w = products[0].w;
    struct work t = {.n = n, .x = x, .ldx = ldx, .m = m};
    memcpy(t.products, products, (size_t)n * sizeof *products);
    if (!rounds(products, act)) {
        t.f32 = ste_matrix_kernels_of(w->isa);
    } else if (act == STE_ACT_INT8) {
        t.int8 = ste_int8_kernels_of(w->isa);
        round_int8(&t, w->in, pool);
    } else {
        t.bf16 = ste_bf16_kernels_of(w->isa);
        round_bf16(&t, act, w->in, m >= 4 * ROUND_ROWS ? pool : NULL);
    }
    const int multiple = t.bf16 ? 2 * STE_TILE_ROWS : 12;
    t.row_parts = ceil_div(m, t.bf16 ? STE_BF16_ROWS : ROWS);
    t.rows = ceil_div(ceil_div(m, t.row_parts), multiple) * multiple;
    if (t.rows > m && !t.bf16)
        t.rows = m;
    /* Some parts a thread, so that none waits long for the last; few enough to read X seldom. */
    const int threads = ste_pool_size(pool),
              most = t.bf16 ? STE_BF16_COLUMNS / STE_PANEL : Y_FLOATS / STE_PANEL / t.rows;
    const int together = 2; /* panels */
    int panels = 0;
    for (int i = 0; i < n; i++)
        panels += products[i].w->panels;
    t.panels = ceil_div(ceil_div(panels * t.row_parts, threads * 6), together) * together;
    if (t.panels > most)
        t.panels = most;
    for (int i = 0; i < n; i++)
        t.first_part[i + 1] = t.first_part[i] + t.row_parts * ceil_div(products[i].w->panels, t.panels);
    ste_pool_run(pool, product_part, &t, t.first_part[n]);
}

void ste_matrix_mul(const struct ste_matrix *w, enum ste_activations act, const float *x, size_t ldx, int m,
                    const float *bias, float *y, size_t ldy, struct ste_pool *pool)
{
    ste_matrix_mul_each(&(struct ste_product){w, bias, y, ldy}, 1, act, x, ldx, m, pool);
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
    _Alignas(64) float turned[BACK_INPUTS * BACK_PANELS * STE_PANEL];
    _Alignas(64) float acc[BACK_INPUTS * BACK_ROWS];
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
    const struct ste_product *p = t->products; /* Y is dX */
    const int columns = p->w->in / STE_PANEL, m0 = part % t->row_parts * t->rows, n0 = part / t->row_parts * t->panels;
    const int m = t->m - m0 < t->rows ? t->m - m0 : t->rows;
    if (m > 0 && n0 < columns)
        t->bf16->back(p->w, n0, columns - n0 < t->panels ? columns - n0 : t->panels, &t->x_bf16, m0, m, t->accumulate,
                      p->y, p->ldy);
}

static void mul_back_bf16(const struct ste_matrix *w, enum ste_activations act, const float *dy, size_t lddy, int m,
                          float *dx, size_t lddx, bool accumulate, struct ste_pool *pool)
{
    struct work t = {.products = {{w, NULL, dx, lddx}},
                     .n = 1,
                     .bf16 = ste_bf16_kernels_of(w->isa),
                     .x = dy,
                     .ldx = lddy,
                     .m = m,
                     .accumulate = accumulate,
                     .row_parts = ceil_div(m, STE_BF16_ROWS)};
    const int columns = w->in / STE_PANEL, most = STE_BF16_COLUMNS / STE_PANEL;
    t.rows = ceil_div(ceil_div(m, t.row_parts), 2 * STE_TILE_ROWS) * 2 * STE_TILE_ROWS;
    t.panels = ceil_div(ceil_div(columns * t.row_parts, ste_pool_size(pool) * 6), 2) * 2;
    if (t.panels > most)
        t.panels = most;
    round_bf16(&t, act, w->out, pool);
    ste_pool_run(pool, back_bf16_part, &t, t.row_parts * ceil_div(columns, t.panels));
}

void ste_matrix_mul_back(const struct ste_matrix *w, enum ste_activations act, const float *dy, size_t lddy, int m,
                         float *dx, size_t lddx, bool accumulate, struct ste_pool *pool)
{
    if (m <= 0)
        return;
    if ((act == STE_ACT_BF16 || act == STE_ACT_BF16X3) && w->bits != 32) {
        mul_back_bf16(w, act, dy, lddy, m, dx, lddx, accumulate, pool);
        return;
    }
    struct back t = {w, ste_matrix_kernels_of(w->isa), dy, dx, lddy, lddx, m, 0, ceil_div(m, BACK_ROWS), accumulate};
    t.rows = ceil_div(ceil_div(m, t.row_parts), 6) * 6;
    ste_pool_run(pool, back_part, &t, t.row_parts * ceil_div(w->in, BACK_INPUTS));
}
