/* GEMM in all its forms against double, and the same bits on every set and number of threads. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"
#include "engine/cpu/kernels.h"

static float *floats(size_t n, uint32_t seed)
{
    float *x = ste_xmalloc(n * sizeof *x);
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        x[i] = (float)(seed >> 8) / 8388608.0f - 1;
    }
    return x;
}

static void check(bool ta, bool tb, int m, int n, int k, float alpha, float beta, struct ste_pool *pool)
{
    const size_t lda = (size_t)(ta ? m : k) + 3, ldb = (size_t)(tb ? k : n) + 1, ldc = (size_t)n + 2;
    float *a = floats((size_t)(ta ? k : m) * lda, 1), *b = floats((size_t)(tb ? n : k) * ldb, 2);
    float *c0 = floats((size_t)m * ldc, 3), *first = NULL;
    for (int isa = STE_ISA_AMX; isa >= STE_ISA_PORTABLE; isa--) {
        enum ste_isa got;
        if (ste_isa_choose(ste_isa_name((enum ste_isa)isa), &got, NULL))
            continue;
        float *c = ste_xmemdup(c0, (size_t)m * ldc * sizeof *c);
        if (beta == 0)
            c[0] = NAN; /* must not be read */
        ste_gemm((enum ste_isa)isa, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc, isa ? pool : NULL);
        for (int i = 0; i < m; i++) {
            for (int j = 0; j < n; j++) {
                double sum = 0;
                for (int l = 0; l < k; l++)
                    sum += (double)(ta ? a[(size_t)l * lda + (size_t)i] : a[(size_t)i * lda + (size_t)l]) *
                           (double)(tb ? b[(size_t)j * ldb + (size_t)l] : b[(size_t)l * ldb + (size_t)j]);
                double want = (double)alpha * sum + (double)beta * (double)c0[(size_t)i * ldc + (size_t)j];
                double got_c = (double)c[(size_t)i * ldc + (size_t)j];
                if (!(fabs(got_c - want) <= 2e-6 * (k + 1)))
                    fail_msg("%d%d %dx%dx%d (%d, %d): %g, not %g", ta, tb, m, n, k, i, j, got_c, want);
                if (first && memcmp(&c[(size_t)i * ldc + (size_t)j], &first[(size_t)i * ldc + (size_t)j], 4) != 0)
                    fail_msg("%s differs at (%d, %d)", ste_isa_name((enum ste_isa)isa), i, j);
            }
            for (size_t j = (size_t)n; j < ldc; j++)
                assert_true(c[(size_t)i * ldc + j] == c0[(size_t)i * ldc + j]);
        }
        free(first);
        first = c;
    }
    free(first);
    free(a);
    free(b);
    free(c0);
}

static void test_all_forms(void **s)
{
    (void)s;
    static const int shapes[][3] = {{1, 1, 1},     {5, 17, 3},     {16, 16, 16}, {200, 16, 300}, {16, 200, 300},
                                    {33, 150, 16}, {197, 40, 257}, {7, 9, 0},    {3, 130, 515}};
    struct ste_pool *pool = ste_pool_new(3);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int form = 0; form < 4; form++) {
            const int *d = shapes[i];
            check(form & 1, form & 2, d[0], d[1], d[2], 1, 0, pool);
            check(form & 1, form & 2, d[0], d[1], d[2], 0.5f, 1, NULL);
        }
    ste_pool_free(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_all_forms)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
