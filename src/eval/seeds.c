#include "eval/seeds.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "core/mem.h"
#include "core/rng.h"

static bool same_prompts(const struct ste_clusters *runs, size_t n)
{
    for (size_t i = 1; i < n; i++)
        if (runs[i].n != runs[0].n || memcmp(runs[i].keys, runs[0].keys, runs[0].n * sizeof *runs[0].keys) != 0)
            return false;
    return true;
}

/* How often each of N prompts is drawn. */
static void draw(struct ste_rng *rng, size_t n, double *times)
{
    memset(times, 0, n * sizeof *times);
    for (size_t k = 0; k < n; k++)
        times[ste_rng_below(rng, (uint32_t)n)]++;
}

/* Adds to SUMS the means over the pairs of C, each prompt taken TIMES; NULL: once. */
static void add_means(const struct ste_clusters *c, const double *times, double *sums)
{
    const size_t width = (size_t)c->n_values;
    double pairs = 0;
    for (size_t k = 0; k < c->n; k++)
        pairs += c->pairs[k] * (times ? times[k] : 1);
    for (size_t v = 0; v < width; v++) {
        double sum = 0;
        for (size_t k = 0; k < c->n; k++)
            sum += c->sums[k * width + v] * (times ? times[k] : 1);
        sums[v] += sum / pairs;
    }
}

static void set_rate(double *means, struct ste_seeds_rate *r)
{
    size_t below = 0, above = 0;
    for (size_t d = 0; d < STE_BOOTSTRAP_DRAWS; d++) {
        below += means[d] <= 0;
        above += means[d] >= 0;
    }
    ste_bootstrap_bounds(means, &r->lo, &r->hi);
    r->p = fmin(1, 2 * ((double)(below < above ? below : above) + 1) / (STE_BOOTSTRAP_DRAWS + 1));
}

void ste_over_seeds(const struct ste_clusters *runs, size_t n, uint64_t key, struct ste_seeds_rate *rates)
{
    const size_t width = n ? (size_t)runs[0].n_values : 0;
    const bool crossed = same_prompts(runs, n);
    size_t most = 0, least = SIZE_MAX;
    for (size_t i = 0; i < n; i++) {
        most = runs[i].n > most ? runs[i].n : most;
        least = runs[i].n < least ? runs[i].n : least;
    }
    for (size_t v = 0; v < width; v++)
        rates[v] = (struct ste_seeds_rate){NAN, NAN, NAN, NAN};
    if (n == 0 || least == 0)
        return;
    double *means = ste_xcalloc(width * STE_BOOTSTRAP_DRAWS, sizeof *means); /* (width, draws) */
    double *times = ste_xcalloc(most, sizeof *times), *sums = ste_xcalloc(width, sizeof *sums);
    for (size_t i = 0; i < n; i++)
        add_means(&runs[i], NULL, sums);
    for (size_t v = 0; v < width; v++)
        rates[v].value = sums[v] / (double)n;
    struct ste_rng seeds, prompts;
    ste_rng_init(&seeds, key, 0);
    ste_rng_init(&prompts, key, 1);
    for (size_t d = 0; d < STE_BOOTSTRAP_DRAWS; d++) {
        memset(sums, 0, width * sizeof *sums);
        for (size_t i = 0; i < n; i++) {
            const struct ste_clusters *c = &runs[ste_rng_below(&seeds, (uint32_t)n)];
            if (i == 0 || !crossed)
                draw(&prompts, c->n, times);
            add_means(c, times, sums);
        }
        for (size_t v = 0; v < width; v++)
            means[v * STE_BOOTSTRAP_DRAWS + d] = sums[v] / (double)n;
    }
    for (size_t v = 0; v < width; v++)
        set_rate(means + v * STE_BOOTSTRAP_DRAWS, &rates[v]);
    ste_xfree(means);
    ste_xfree(times);
    ste_xfree(sums);
}
