/* Means over runs with intervals that draw runs and prompts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>

#include "core/rng.h"
#include "eval/seeds.h"

/* N prompts of a pair each, worth MEAN and, by turns, SPREAD more or less; KEY: where their keys begin. */
static void fill(struct ste_clusters *c, size_t n, double mean, double spread, uint64_t key)
{
    ste_clusters_init(c, 1);
    for (size_t i = 0; i < n; i++)
        ste_clusters_add(c, key + i, (const double[]){mean + (i % 2 ? spread : -spread)});
}

static struct ste_seeds_rate rate_of(const double *means, size_t n, double spread, bool crossed)
{
    struct ste_clusters c[8];
    struct ste_seeds_rate r;
    for (size_t i = 0; i < n; i++)
        fill(&c[i], 100, means[i], spread, crossed ? 1 : 1 + 1000 * i);
    ste_over_seeds(c, n, 3, &r);
    for (size_t i = 0; i < n; i++)
        ste_clusters_clear(&c[i]);
    return r;
}

static void test_one_seed(void **state)
{
    /* As the bootstrap over prompts: a mean of 100 values with a spread of 0.5 has a standard error of 0.05. */
    struct ste_seeds_rate r = rate_of((const double[]){0.2}, 1, 0.5, true);
    assert_float_equal(r.value, 0.2, 1e-12);
    assert_float_equal(r.lo, 0.2 - 0.098, 0.012);
    assert_float_equal(r.hi, 0.2 + 0.098, 0.012);
    assert_true(r.p < 0.005);
}

static void test_seeds_count(void **state)
{
    static const double apart[] = {0.1, 0.2, 0.3, 0.4}, same[] = {0.25, 0.25, 0.25, 0.25};
    const double error = sqrt(0.0125 / 4); /* of the mean of four drawn of APART */
    struct ste_seeds_rate r = rate_of(apart, 4, 0, true);
    assert_float_equal(r.value, 0.25, 1e-12);
    assert_float_equal(r.hi - r.lo, 2 * 1.96 * error, 0.03);
    r = rate_of(same, 4, 0, true);
    assert_float_equal(r.hi - r.lo, 0, 1e-12);
    /* Pairs that all seeds have are no less uncertain for four of them; pairs of their own are. */
    const struct ste_seeds_rate crossed = rate_of(same, 4, 0.5, true), nested = rate_of(same, 4, 0.5, false);
    assert_float_equal(crossed.hi - crossed.lo, 0.196, 0.025);
    assert_float_equal(nested.hi - nested.lo, 0.098, 0.015);
}

static void test_p(void **state)
{
    assert_float_equal(rate_of((const double[]){0, 0}, 2, 0, true).p, 1, 1e-12);
    assert_float_equal(rate_of((const double[]){0.1, 0.1}, 2, 0, true).p, 0.001, 0.0001);
    assert_true(rate_of((const double[]){0.05, 0.02}, 2, 0.5, true).p > 0.3);
    const struct ste_clusters none = {.n_values = 1};
    struct ste_seeds_rate r;
    ste_over_seeds(&none, 1, 1, &r);
    assert_true(isnan(r.value) && isnan(r.p));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_seed),
        cmocka_unit_test(test_seeds_count),
        cmocka_unit_test(test_p),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
