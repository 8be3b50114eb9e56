/* General f32 products, in blocks packed for the kernels' tiles. */
#include "engine/cpu/matrix/matrix.h"

#include <string.h>

#define ROWS 192   /* of A to a part */
#define INPUTS 256 /* k at a time: a panel of B is then 16 KB, for the L1 cache */
#define FEW_ROWS 24
#define FEW_INPUTS 64
#define AHEAD 8  /* rows of B to prefetch */
#define PANELS 8 /* of 16 columns to a part, at most: its sums are 96 KB */

struct gemm {
    const struct ste_matrix_kernels *kernels;
    bool ta, tb, turned; /* C is written turned around */
    int m, n, k, rows, row_parts, panels;
    const float *a, *b;
    float *c, alpha, beta;
    size_t lda, ldb, ldc;
};

/* B's rows k0..k0+kc of PANELS panels from column j0 on as (panels, kc, 16), zero beyond the last column. Rows are read
 * across the panels: a panel's own piece of a row is a single line of the cache. */
static void pack_b(const struct gemm *g, int k0, int kc, int j0, int panels, float *dst)
{
    const size_t size = (size_t)kc * STE_PANEL;
    const int cols = g->n - j0 < panels * STE_PANEL ? g->n - j0 : panels * STE_PANEL;
    const int full = cols / STE_PANEL, rest = cols % STE_PANEL;
    if (rest)
        memset(dst + (size_t)full * size, 0, size * sizeof *dst);
    if (g->tb) {
        for (int p = 0; p < full + (rest > 0); p++)
            g->kernels->transpose(g->b + (size_t)(j0 + p * STE_PANEL) * g->ldb + k0, g->ldb,
                                  p < full ? STE_PANEL : rest, kc, dst + (size_t)p * size, STE_PANEL);
        return;
    }
    for (int k = 0; k < kc; k++) {
        const float *row = g->b + (size_t)(k0 + k) * g->ldb + j0;
        float *to = dst + (size_t)k * STE_PANEL;
        const float *later = k + AHEAD < kc ? row + AHEAD * g->ldb : row; /* its stride is no prefetcher's */
        for (int p = 0; p < full; p++) {
            __builtin_prefetch(later + p * STE_PANEL);
            memcpy(to + (size_t)p * size, row + p * STE_PANEL, STE_PANEL * sizeof *dst);
        }
        if (rest)
            memcpy(to + (size_t)full * size, row + full * STE_PANEL, (size_t)rest * sizeof *dst);
    }
}

static void write_row(const struct gemm *g, const float *sums, int n, float *c)
{
    const float alpha = g->alpha, beta = g->beta;
    if (beta == 0)
        for (int j = 0; j < n; j++)
            c[j] = alpha * sums[j];
    else
        for (int j = 0; j < n; j++)
            c[j] = alpha * sums[j] + beta * c[j];
}

/* SUMS (m, 16) to C's rows from i0, columns from j0. */
static void write_panel(const struct gemm *g, const float *sums, int m, int i0, int j0)
{
    const int cols = g->n - j0 < STE_PANEL ? g->n - j0 : STE_PANEL;
    if (g->turned) {
        float rows[STE_PANEL * ROWS];
        g->kernels->transpose(sums, STE_PANEL, m, STE_PANEL, rows, ROWS);
        for (int j = 0; j < cols; j++)
            write_row(g, rows + j * ROWS, m, g->c + (size_t)(j0 + j) * g->ldc + i0);
    } else {
        for (int i = 0; i < m; i++)
            write_row(g, sums + i * STE_PANEL, cols, g->c + (size_t)(i0 + i) * g->ldc + j0);
    }
}

static void gemm_part(void *arg, int part)
{
    const struct gemm *g = arg;
    enum { SUMS = PANELS * ROWS * STE_PANEL, PACKED_A = ROWS * INPUTS, PACKED_B = PANELS * INPUTS * STE_PANEL };
    float *sums = ste_part_scratch((SUMS + PACKED_A + PACKED_B) * sizeof *sums), *packed_a = sums + SUMS,
          *packed_b = packed_a + PACKED_A;
    const int i0 = part % g->row_parts * g->rows, p0 = part / g->row_parts * g->panels;
    const int m = g->m - i0 < g->rows ? g->m - i0 : g->rows;
    int panels = (g->n + STE_PANEL - 1) / STE_PANEL - p0;
    if (panels > g->panels)
        panels = g->panels;
    if (m <= 0)
        return;
    const size_t block = (size_t)m * STE_PANEL;
    memset(sums, 0, (size_t)panels * block * sizeof *sums);
    for (int k = 0; k < g->k; k += INPUTS) {
        const int kc = g->k - k < INPUTS ? g->k - k : INPUTS;
        const float *a = g->a + (size_t)i0 * g->lda + k;
        size_t lda = g->lda;
        if (g->ta) {
            g->kernels->transpose(g->a + (size_t)k * g->lda + i0, g->lda, kc, m, packed_a, INPUTS);
            a = packed_a;
            lda = INPUTS;
        }
        /* For few rows a copy of B costs more than its strides. */
        const bool in_place = !g->tb && m <= FEW_ROWS && (p0 + panels) * STE_PANEL <= g->n;
        if (in_place) {
            for (int p = 0; p < panels; p++)
                g->kernels->tile(m, kc, a, lda, g->b + (size_t)k * g->ldb + (size_t)(p0 + p) * STE_PANEL, g->ldb,
                                 sums + (size_t)p * block, STE_PANEL);
            continue;
        }
        pack_b(g, k, kc, p0 * STE_PANEL, panels, packed_b);
        for (int p = 0; p < panels; p++)
            g->kernels->tile(m, kc, a, lda, packed_b + (size_t)p * (size_t)kc * STE_PANEL, STE_PANEL,
                             sums + (size_t)p * block, STE_PANEL);
    }
    int full = g->turned ? 0 : (g->n - p0 * STE_PANEL) / STE_PANEL; /* panels that are written side by side */
    if (full > panels)
        full = panels;
    g->kernels->write(m, full, sums, g->alpha, g->beta, g->c + (size_t)i0 * g->ldc + p0 * STE_PANEL, g->ldc);
    for (int p = full; p < panels; p++)
        write_panel(g, sums + (size_t)p * block, m, i0, (p0 + p) * STE_PANEL);
}

void ste_gemm(enum ste_isa isa, bool ta, bool tb, int m, int n, int k, float alpha, const float *a, size_t lda,
              const float *b, size_t ldb, float beta, float *c, size_t ldc, struct ste_pool *pool)
{
    if (m <= 0 || n <= 0)
        return;
    struct gemm g = {.kernels = ste_matrix_kernels_of(isa),
                     .ta = ta,
                     .tb = tb,
                     .m = m,
                     .n = n,
                     .k = k,
                     .a = a,
                     .b = b,
                     .c = c,
                     .alpha = alpha,
                     .beta = beta,
                     .lda = lda,
                     .ldb = ldb,
                     .ldc = ldc};
    /* The tiles like a plain A, or a small turned one: computing C's transpose exchanges A and B. */
    if (ta && (tb || m > n)) {
        g.turned = true;
        g.ta = !tb;
        g.tb = !ta;
        g.m = n;
        g.n = m;
        g.a = b;
        g.b = a;
        g.lda = ldb;
        g.ldb = lda;
    }
    const int threads = ste_pool_size(pool), all = (g.n + STE_PANEL - 1) / STE_PANEL;
    const int rows = g.k <= FEW_INPUTS ? ROWS / 4 : ROWS; /* sums of few products are better kept in the L1 cache */
    g.row_parts = (g.m + rows - 1) / rows;
    g.rows = ((g.m + g.row_parts - 1) / g.row_parts + 5) / 6 * 6;
    if (g.rows > g.m)
        g.rows = g.m;
    g.panels = (all * g.row_parts + threads * 4 - 1) / (threads * 4);
    if (g.panels > PANELS)
        g.panels = PANELS;
    ste_pool_run(pool, gemm_part, &g, g.row_parts * ((all + g.panels - 1) / g.panels));
}
