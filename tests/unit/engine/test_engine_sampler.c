/* The sampler against a plain one that sorts the whole vocabulary. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/rng.h"
#include "engine/sampler.h"

enum { V = 5000 };

struct item {
    double w;
    int id;
};

static int by_weight(const void *pa, const void *pb)
{
    const struct item *a = pa, *b = pb;
    return a->w != b->w ? (a->w > b->w ? -1 : 1) : a->id - b->id;
}

/* How probable each token is under the filters; 0 where they leave it out. */
static void plain(const float *logits, const struct ste_sampling *p, double *prob)
{
    static struct item items[V];
    double max = -INFINITY, total = 0;
    for (int i = 0; i < V; i++)
        max = fmax(max, (double)logits[i]);
    for (int i = 0; i < V; i++)
        items[i] = (struct item){exp(((double)logits[i] - max) / p->temperature), i};
    qsort(items, V, sizeof *items, by_weight);
    int n = p->top_k > 0 && p->top_k < V ? p->top_k : V;
    for (int i = 0; i < n; i++)
        total += items[i].w;
    if (p->top_p < 1) {
        double run = 0;
        int k = 0;
        while (k < n && run < p->top_p * total)
            run += items[k++].w;
        n = k;
    }
    while (n > 1 && items[n - 1].w < p->min_p)
        n--;
    total = 0;
    for (int i = 0; i < n; i++)
        total += items[i].w;
    memset(prob, 0, V * sizeof *prob);
    for (int i = 0; i < n; i++)
        prob[items[i].id] = items[i].w / total;
}

static void draws_follow_the_filtered_distribution(void **state)
{
    static const struct ste_sampling grid[] = {
        {1, 0, 1, 0},   {0.7, 0, 0.9, 0}, {2, 0, 0.95, 0},  {1, 40, 1, 0},     {1, 1, 1, 0},       {0.7, 20, 0.8, 0.02},
        {1, 0, 1, 0.1}, {5, 0, 0.999, 0}, {1, 0, 0.5, 0.3}, {3, 6000, 0.9, 0}, {1, 300, 1, 0.001}, {0.1, 0, 0.9, 0},
    };
    static float logits[V];
    static double prob[V];
    static int count[V];
    enum ste_isa isa;
    struct ste_sampler s = {0};
    struct ste_rng rng;
    ste_isa_choose(NULL, &isa, NULL);
    const struct ste_ops *ops = ste_ops_of(isa);
    ste_rng_init(&rng, 3, 3);
    for (size_t g = 0; g < sizeof grid / sizeof *grid; g++) {
        enum { DRAWS = 4000 };
        for (int i = 0; i < V; i++)
            logits[i] = (float)(3 * ste_rng_normal(&rng));
        plain(logits, &grid[g], prob);
        memset(count, 0, sizeof count);
        double chi = 0, lp = 0;
        int cells = 0, rest = 0;
        double rest_p = 0;
        for (int d = 0; d < DRAWS; d++) {
            float logprob;
            int id = ste_sample(&s, ops, logits, V, &grid[g], ste_sample_uniform(g + 1, (uint64_t)d), &logprob);
            count[id]++;
            if (prob[id] <= 0)
                fail_msg("setting %zu drew token %d, which the filters leave out", g, id);
            double sum = 0;
            if (d == 0) {
                for (int i = 0; i < V; i++)
                    sum += exp((double)logits[i]);
                lp = (double)logits[id] - log(sum) - (double)logprob;
                assert_true(fabs(lp) < 1e-5);
            }
        }
        for (int i = 0; i < V; i++) { /* cells of at least ten expected draws, the others together */
            double e = prob[i] * DRAWS;
            if (e >= 10) {
                chi += (count[i] - e) * (count[i] - e) / e;
                cells++;
            } else {
                rest += count[i];
                rest_p += e;
            }
        }
        if (rest_p >= 10) {
            chi += (rest - rest_p) * (rest - rest_p) / rest_p;
            cells++;
        }
        if (cells > 1 && chi > cells + 5 * sqrt(2.0 * cells) + 5)
            fail_msg("setting %zu: chi square %.1f on %d cells", g, chi, cells);
    }
    ste_sampler_clear(&s);
}

static void ties_go_to_the_lower_id(void **state)
{
    float logits[200] = {0};
    struct ste_sampler s = {0};
    const struct ste_ops *ops = ste_ops_of(STE_ISA_PORTABLE);
    logits[150] = logits[77] = logits[160] = 4;
    struct ste_sampling greedy = {0, 0, 1, 0}, two = {1, 2, 1, 0};
    assert_int_equal(ste_sample(&s, ops, logits, 200, &greedy, 0.5, NULL), 77);
    for (int d = 0; d < 100; d++) {
        int id = ste_sample(&s, ops, logits, 200, &two, ste_sample_uniform(1, (uint64_t)d), NULL);
        assert_true(id == 77 || id == 150);
    }
    ste_sampler_clear(&s);
}

/* So many candidates that they are sorted by their bits, most of them equal to others. */
static void ties_among_many_are_cut_by_id(void **state)
{
    static float logits[V];
    static double prob[V];
    struct ste_sampler s = {0};
    struct ste_rng rng;
    const struct ste_ops *ops = ste_ops_of(STE_ISA_PORTABLE);
    const struct ste_sampling most = {1, 2500, 1, 0};
    ste_rng_init(&rng, 4, 4);
    for (int i = 0; i < V; i++)
        logits[i] = (float)floor(2 * ste_rng_normal(&rng)) / 2;
    plain(logits, &most, prob);
    for (int d = 0; d < 20000; d++) {
        const int id = ste_sample(&s, ops, logits, V, &most, ste_sample_uniform(9, (uint64_t)d), NULL);
        assert_true(prob[id] > 0);
    }
    ste_sampler_clear(&s);
}

static void the_ends_of_the_unit_interval_are_safe(void **state)
{
    float logits[1500];
    struct ste_sampler s = {0};
    const struct ste_ops *ops = ste_ops_of(STE_ISA_PORTABLE);
    for (int i = 0; i < 1500; i++)
        logits[i] = i == 3 || i == 1400 ? 0 : -INFINITY;
    struct ste_sampling all = {1, 0, 1, 0}, some = {1, 0, 0.99, 0};
    double last = 1 - 0x1p-53;
    assert_int_equal(ste_sample(&s, ops, logits, 1500, &all, 0, NULL), 3);
    assert_int_equal(ste_sample(&s, ops, logits, 1500, &all, last, NULL), 1400);
    assert_int_equal(ste_sample(&s, ops, logits, 1500, &some, 0, NULL), 3);
    assert_int_equal(ste_sample(&s, ops, logits, 1500, &some, last, NULL), 1400);
    ste_sampler_clear(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(draws_follow_the_filtered_distribution),
        cmocka_unit_test(ties_go_to_the_lower_id),
        cmocka_unit_test(ties_among_many_are_cut_by_id),
        cmocka_unit_test(the_ends_of_the_unit_interval_are_safe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
