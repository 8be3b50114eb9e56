/* Row operations: accurate, and the same bits on every instruction set. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/cpu/kernels.h"
#include "model/positions.h"

#define MAX 200

static uint32_t seed = 7;

static void fill(float *x, size_t n, float range)
{
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        x[i] = ((float)(seed >> 8) / 8388608.0f - 1) * range;
    }
}

static bool have(enum ste_isa isa)
{
    enum ste_isa got;
    return ste_isa_choose(ste_isa_name(isa), &got, NULL) == 0;
}

static void same(const void *a, const void *b, size_t bytes, const char *what, enum ste_isa isa, size_t n)
{
    if (memcmp(a, b, bytes) != 0)
        fail_msg("%s of %zu on %s differs from portable", what, n, ste_isa_name(isa));
}

static void test_sets_agree(void **s)
{
    (void)s;
    const struct ste_ops *p = ste_ops_of(STE_ISA_PORTABLE);
    for (enum ste_isa isa = STE_ISA_AVX2; isa <= STE_ISA_AVX512; isa++) {
        if (!have(isa))
            continue;
        const struct ste_ops *o = ste_ops_of(isa);
        for (size_t n = 1; n < MAX; n++) {
            float a[MAX], b[MAX], x[MAX], y[MAX], u, v;
            uint16_t h[MAX], g[MAX];
            fill(a, n, 20);
            fill(b, n, 3);
#define SCALAR(what, of_o, of_p)                                                                                       \
    u = (of_o);                                                                                                        \
    v = (of_p);                                                                                                        \
    same(&u, &v, sizeof u, what, isa, n)
            SCALAR("dot", o->dot(a, b, n), p->dot(a, b, n));
            SCALAR("sum_squares", o->sum_squares(a, n), p->sum_squares(a, n));
            SCALAR("max", o->max(a, n), p->max(a, n));
            SCALAR("exp_sub_sum", o->exp_sub_sum(x, a, 19, n), p->exp_sub_sum(y, a, 19, n));
            same(x, y, n * sizeof *x, "exp_sub_sum", isa, n);
#define VECTOR(what, call)                                                                                             \
    memcpy(x, b, sizeof x);                                                                                            \
    memcpy(y, b, sizeof y);                                                                                            \
    {                                                                                                                  \
        float *r = x;                                                                                                  \
        const struct ste_ops *q = o;                                                                                   \
        call;                                                                                                          \
        r = y;                                                                                                         \
        q = p;                                                                                                         \
        call;                                                                                                          \
    }                                                                                                                  \
    same(x, y, n * sizeof *x, what, isa, n)
            VECTOR("add", q->add(r, a, n));
            VECTOR("axpy", q->axpy(r, 1.7f, a, n));
            VECTOR("scale", q->scale(r, 0.3f, n));
            VECTOR("exp", q->exp(r, a, n));
            VECTOR("rmsnorm", q->rmsnorm(r, a, b, 1e-5f, n));
            VECTOR("silu", q->gate(STE_GATE_SILU, r, a, b, n));
            VECTOR("gelu", q->gate(STE_GATE_GELU, r, a, b, n));
            float z[MAX]; /* of what goes back, both results: their sum */
#define OVER(call) (memcpy(z, a, sizeof z), (call), q->add(r, z, n))
            VECTOR("silu backward", OVER(q->gate_backward(STE_GATE_SILU, z, r, b, n)));
            VECTOR("gelu backward", OVER(q->gate_backward(STE_GATE_GELU, z, r, b, n)));
            VECTOR("rmsnorm backward", OVER(q->rmsnorm_backward(r, b, b, z, 1e-5f, n)));
            o->to_f16(h, a, n);
            p->to_f16(g, a, n);
            same(h, g, n * sizeof *h, "to_f16", isa, n);
            o->from_f16(x, h, n);
            p->from_f16(y, h, n);
            same(x, y, n * sizeof *x, "from_f16", isa, n);
        }
    }
}

/* An infinity would reach rows that must not see it; a NaN is to be seen. */
static void test_beyond_f16(void **s)
{
    (void)s;
    for (enum ste_isa isa = STE_ISA_PORTABLE; isa <= STE_ISA_AVX512; isa++) {
        if (!have(isa))
            continue;
        float x[19] = {1e9f, -65520, 65504, NAN};
        uint16_t h[19];
        x[18] = 1e9f;
        ste_ops_of(isa)->to_f16(h, x, 19);
        assert_true(h[0] == 0x7bff && h[1] == 0xfbff && h[2] == 0x7bff && (h[3] & 0x7fff) > 0x7c00 && h[18] == 0x7bff);
    }
}

static double ulps(float got, double want)
{
    float w = (float)want;
    double ulp = (double)nextafterf(fabsf(w), INFINITY) - (double)fabsf(w);
    return fabs((double)got - want) / ulp;
}

static void test_exp(void **s)
{
    (void)s;
    for (enum ste_isa isa = STE_ISA_PORTABLE; isa <= STE_ISA_AVX512; isa++) {
        if (!have(isa))
            continue;
        const struct ste_ops *o = ste_ops_of(isa);
        double worst = 0;
        for (float x = -103.5f; x < 88.7f; x += 0.00317f) {
            float y;
            o->exp(&y, &x, 1);
            double e = ulps(y, exp((double)x));
            worst = e > worst ? e : worst;
        }
        if (worst > 2)
            fail_msg("exp is off by %.2f ulp on %s", worst, ste_isa_name(isa));
        const float x[] = {0, -INFINITY, INFINITY, -200, 100, NAN, 1e30f, -1e30f};
        float y[8];
        o->exp(y, x, 8);
        assert_true(y[0] == 1 && y[1] == 0 && isinf(y[2]) && y[3] == 0 && isinf(y[4]));
        assert_true(isnan(y[5]) && isinf(y[6]) && y[7] == 0);
    }
}

static void test_against_double(void **s)
{
    (void)s;
    const struct ste_ops *o = ste_ops_of(STE_ISA_PORTABLE);
    for (size_t n = 1; n < MAX; n += 13) {
        float a[MAX], b[MAX], y[MAX];
        double dot = 0, squares = 0, sum = 0;
        fill(a, n, 5);
        fill(b, n, 1);
        for (size_t i = 0; i < n; i++) {
            dot += (double)a[i] * (double)b[i];
            squares += (double)a[i] * (double)a[i];
            sum += exp((double)a[i] - 5);
        }
        assert_true(fabs((double)o->dot(a, b, n) - dot) < 1e-4);
        assert_true(fabs((double)o->exp_sub_sum(y, a, 5, n) - sum) < 1e-5 * sum);
        o->rmsnorm(y, a, b, 1e-6f, n);
        for (size_t i = 0; i < n; i++)
            assert_true(fabs((double)y[i] - (double)a[i] * (double)b[i] / sqrt(squares / (double)n + 1e-6)) < 1e-5);
        o->gate(STE_GATE_SILU, y, a, b, n);
        for (size_t i = 0; i < n; i++)
            assert_true(fabs((double)y[i] - (double)a[i] / (1 + exp(-(double)a[i])) * (double)b[i]) < 1e-5);
        float c[MAX];
        memcpy(c, b, sizeof c); /* in place, over either input */
        o->gate(STE_GATE_SILU, c, a, c, n);
        same(c, y, n * sizeof *c, "silu over up", STE_ISA_PORTABLE, n);
        memcpy(c, a, sizeof c);
        o->gate(STE_GATE_SILU, c, c, b, n);
        same(c, y, n * sizeof *c, "silu over gate", STE_ISA_PORTABLE, n);
    }
}

static double gated(enum ste_gate kind, double x, double up)
{
    const double pi = 3.14159265358979323846;
    if (kind == STE_GATE_GELU)
        return x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x * x * x))) / 2 * up;
    return x / (1 + exp(-x)) * up;
}

/* Both gates and their gradients, against finite differences in double. */
static void test_gates(void **s)
{
    (void)s;
    const struct ste_ops *o = ste_ops_of(STE_ISA_PORTABLE);
    const double h = 1e-5;
    for (enum ste_gate kind = STE_GATE_SILU; kind <= STE_GATE_GELU; kind++) {
        float x[MAX], up[MAX], y[MAX], dx[MAX], du[MAX], dy[MAX];
        fill(x, MAX, 6);
        fill(up, MAX, 2);
        fill(dy, MAX, 1);
        memcpy(dx, x, sizeof dx);
        memcpy(du, up, sizeof du);
        o->gate(kind, y, x, up, MAX);
        o->gate_backward(kind, dx, du, dy, MAX);
        for (size_t i = 0; i < MAX; i++) {
            const double a = (double)x[i], b = (double)up[i], d = (double)dy[i];
            assert_true(fabs((double)y[i] - gated(kind, a, b)) < 2e-6 * (1 + fabs(a * b)));
            assert_true(fabs((double)du[i] - d * gated(kind, a, 1)) < 2e-6 * (1 + fabs(a)));
            assert_true(fabs((double)dx[i] - d * (gated(kind, a + h, b) - gated(kind, a - h, b)) / (2 * h)) < 1e-5);
        }
    }
}

static void test_rmsnorm_backward(void **s)
{
    (void)s;
    enum { N = 37 };
    const struct ste_ops *o = ste_ops_of(STE_ISA_PORTABLE);
    const double h = 1e-5, eps = 1e-3;
    float x[N], w[N], dy[N], g[N], dx[N];
    fill(x, N, 3);
    fill(w, N, 1);
    fill(dy, N, 1);
    memcpy(g, dy, sizeof g);
    for (int i = 0; i < N; i++)
        dx[i] = 0.5f; /* it is added to */
    o->rmsnorm_backward(dx, x, w, g, (float)eps, N);
    for (int i = 0; i < N; i++) {
        double f[2];
        for (int side = 0; side < 2; side++) {
            double sum = 0, moved[N];
            for (int k = 0; k < N; k++) {
                moved[k] = (double)x[k] + (k == i ? (side ? h : -h) : 0);
                sum += moved[k] * moved[k];
            }
            f[side] = 0;
            for (int k = 0; k < N; k++)
                f[side] += (double)dy[k] * (double)w[k] * moved[k] / sqrt(sum / N + eps);
        }
        assert_true(fabs((double)dx[i] - 0.5 - (f[1] - f[0]) / (2 * h)) < 1e-5);
    }
}

static void test_rope(void **s)
{
    (void)s;
    for (int n = 0; n < 2 * (STE_ISA_AVX512 + 1); n++) {
        const int dim = 64, pos = 37, form = n % 2;
        const struct ste_ops *ops = ste_ops_of((enum ste_isa)(n / 2));
        if (!have((enum ste_isa)(n / 2)))
            continue;
        float table[64], x[128], y[128], z[128];
        fill(x, 128, 1);
        memcpy(y, x, sizeof y);
        memcpy(z, x, sizeof z);
        struct ste_rotary rotary;
        ste_rotary_plain(&rotary, 10000.0, dim);
        ste_rope_table(&rotary, pos, table);
        ops->rope((enum ste_rope)form, table, dim, y, 2, dim, false);
        ste_ops_of(STE_ISA_PORTABLE)->rope((enum ste_rope)form, table, dim, z, 2, dim, false);
        same(y, z, sizeof y, "rope", (enum ste_isa)(n / 2), (size_t)dim);
        for (int h = 0; h < 2; h++)
            for (int i = 0; i < dim / 2; i++) {
                int a = h * dim + (form == STE_ROPE_ADJACENT ? 2 * i : i);
                int b = form == STE_ROPE_ADJACENT ? a + 1 : a + dim / 2;
                double t = pos * pow(10000.0, -2.0 * i / dim);
                assert_true(fabs((double)y[a] - ((double)x[a] * cos(t) - (double)x[b] * sin(t))) < 1e-6);
                assert_true(fabs((double)y[b] - ((double)x[a] * sin(t) + (double)x[b] * cos(t))) < 1e-6);
            }
        ops->rope((enum ste_rope)form, table, dim, y, 2, dim, true);
        for (int i = 0; i < 128; i++)
            assert_true(fabsf(x[i] - y[i]) < 1e-6f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sets_agree),       cmocka_unit_test(test_exp),
                                       cmocka_unit_test(test_against_double),   cmocka_unit_test(test_gates),
                                       cmocka_unit_test(test_rmsnorm_backward), cmocka_unit_test(test_rope),
                                       cmocka_unit_test(test_beyond_f16)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
