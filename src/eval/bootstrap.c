#include "eval/bootstrap.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/rng.h"

void ste_clusters_init(struct ste_clusters *c, int n_values)
{
    *c = (struct ste_clusters){.n_values = n_values};
}

void ste_clusters_add(struct ste_clusters *c, uint64_t key, const double *values)
{
    size_t i = 0;
    while (i < c->n && c->keys[i] != key)
        i++;
    size_t width = (size_t)c->n_values;
    if (i == c->n) {
        if (c->n == c->cap) {
            c->cap = c->cap ? 2 * c->cap : 64;
            c->keys = ste_xrealloc(c->keys, c->cap * sizeof *c->keys);
            c->pairs = ste_xrealloc(c->pairs, c->cap * sizeof *c->pairs);
            c->sums = ste_xrealloc(c->sums, c->cap * width * sizeof *c->sums);
        }
        c->keys[i] = key;
        c->pairs[i] = 0;
        memset(c->sums + i * width, 0, width * sizeof *c->sums);
        c->n++;
    }
    c->pairs[i]++;
    for (size_t v = 0; v < width; v++)
        c->sums[i * width + v] += values[v];
}

void ste_clusters_clear(struct ste_clusters *c)
{
    ste_xfree(c->keys);
    ste_xfree(c->pairs);
    ste_xfree(c->sums);
    *c = (struct ste_clusters){0};
}

int ste_by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double quantile(const double *sorted, size_t n, double q)
{
    double at = q * (double)(n - 1);
    size_t i = (size_t)at;
    if (i + 1 >= n)
        return sorted[n - 1];
    return sorted[i] + (at - (double)i) * (sorted[i + 1] - sorted[i]);
}

void ste_bootstrap_bounds(double *means, double *lo, double *hi)
{
    qsort(means, STE_BOOTSTRAP_DRAWS, sizeof *means, ste_by_value);
    *lo = quantile(means, STE_BOOTSTRAP_DRAWS, 0.025);
    *hi = quantile(means, STE_BOOTSTRAP_DRAWS, 0.975);
}

void ste_bootstrap(const struct ste_clusters *suites, size_t n, const double *weights, uint64_t seed,
                   struct ste_rate *const *rates)
{
    ste_bootstrap_derived(suites, n, weights, seed, NULL, rates);
}

void ste_bootstrap_derived(const struct ste_clusters *suites, size_t n, const double *weights, uint64_t seed,
                           void (*derive)(double *means), struct ste_rate *const *rates)
{
    size_t width = n ? (size_t)suites[0].n_values : 0;
    double used = 0;
    double *means = ste_xcalloc((width ? width : 1) * STE_BOOTSTRAP_DRAWS, sizeof *means); /* (width, draws) */
    double *sums = ste_xcalloc(width ? width : 1, sizeof *sums);
    for (size_t s = 0; s < n; s++) {
        const struct ste_clusters *c = &suites[s];
        if (c->n == 0)
            continue;
        double weight = weights ? weights[s] : 1;
        used += weight;
        struct ste_rng rng;
        ste_rng_init(&rng, seed, (uint32_t)s);
        for (size_t d = 0; d < STE_BOOTSTRAP_DRAWS; d++) {
            double pairs = 0;
            memset(sums, 0, width * sizeof *sums);
            for (size_t k = 0; k < c->n; k++) {
                uint32_t i = ste_rng_below(&rng, (uint32_t)c->n);
                pairs += c->pairs[i];
                for (size_t v = 0; v < width; v++)
                    sums[v] += c->sums[i * width + v];
            }
            for (size_t v = 0; v < width; v++)
                means[v * STE_BOOTSTRAP_DRAWS + d] += weight * sums[v] / pairs;
        }
    }
    for (size_t d = 0; d < STE_BOOTSTRAP_DRAWS; d++) {
        for (size_t v = 0; v < width; v++)
            sums[v] = used > 0 ? means[v * STE_BOOTSTRAP_DRAWS + d] / used : NAN;
        if (derive)
            derive(sums);
        for (size_t v = 0; v < width; v++)
            means[v * STE_BOOTSTRAP_DRAWS + d] = sums[v];
    }
    for (size_t v = 0; v < width; v++) {
        rates[v]->lo = rates[v]->hi = NAN;
        if (used > 0)
            ste_bootstrap_bounds(means + v * STE_BOOTSTRAP_DRAWS, &rates[v]->lo, &rates[v]->hi);
    }
    ste_xfree(means);
    ste_xfree(sums);
}
