/* General f32 products, in blocks packed for the kernels' tiles. */
#include "engine/matrix.h"

#include <string.h>

#define ROWS 192    /* of A to a part */
#define INPUTS 256  /* k at a time: a panel of B is then 16 KB, for the L1 cache */
#define PANELS 8    /* of 16 columns to a part, at most: its sums are 96 KB */
#define FEW_ROWS 24 /* for which copying B costs more than reading it where it lies */

struct gemm {
    const struct ste_matrix_kernels *kernels;
    bool ta, tb, turned; /* C is written turned around */
    int m, n, k, rows, row_parts, panels;
    const float *a, *b;
    float *c, alpha, beta;
    size_t lda, ldb, ldc;
};

/* B's rows k0.., columns j0.. as (kc, 16), zero beyond the last column. */
static const float *panel_of_b(const struct gemm *g, int k0, int kc, int j0, int m, float *buffer, size_t *ld)
{
    const int cols = g->n - j0 < STE_PANEL ? g->n - j0 : STE_PANEL;
    *ld = STE_PANEL;
    if (!g->tb && cols == STE_PANEL && m <= FEW_ROWS) {
        *ld = g->ldb;
        return g->b + (size_t)k0 * g->ldb + j0;
    }
    if (cols < STE_PANEL)
        memset(buffer, 0, (size_t)kc * STE_PANEL * sizeof *buffer);
    if (g->tb)
        g->kernels->transpose(g->b + (size_t)j0 * g->ldb + k0, g->ldb, cols, kc, buffer, STE_PANEL);
    else
        for (int k = 0; k < kc; k++)
            memcpy(buffer + (size_t)k * STE_PANEL, g->b + (size_t)(k0 + k) * g->ldb + j0,
                   (size_t)cols * sizeof *buffer);
    return buffer;
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
    } else if (cols == STE_PANEL) {
        for (int i = 0; i < m; i++)
            write_row(g, sums + i * STE_PANEL, STE_PANEL, g->c + (size_t)(i0 + i) * g->ldc + j0);
    } else {
        for (int i = 0; i < m; i++)
            write_row(g, sums + i * STE_PANEL, cols, g->c + (size_t)(i0 + i) * g->ldc + j0);
    }
}

static void gemm_part(void *arg, int part)
{
    const struct gemm *g = arg;
    _Alignas(64) float sums[PANELS * ROWS * STE_PANEL], packed_a[ROWS * INPUTS], packed_b[INPUTS * STE_PANEL];
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
        for (int p = 0; p < panels; p++) {
            size_t ldb;
            const float *b = panel_of_b(g, k, kc, (p0 + p) * STE_PANEL, m, packed_b, &ldb);
            g->kernels->tile(m, kc, a, lda, b, ldb, sums + (size_t)p * block, STE_PANEL);
        }
    }
    for (int p = 0; p < panels; p++)
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
    g.row_parts = (g.m + ROWS - 1) / ROWS;
    g.rows = ((g.m + g.row_parts - 1) / g.row_parts + 5) / 6 * 6;
    if (g.rows > g.m)
        g.rows = g.m;
    g.panels = (all * g.row_parts + threads * 4 - 1) / (threads * 4);
    if (g.panels > PANELS)
        g.panels = PANELS;
    ste_pool_run(pool, gemm_part, &g, g.row_parts * ((all + g.panels - 1) / g.panels));
}
