#include "eval/rating.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/rng.h"
#include "eval/bootstrap.h"

enum { DRAWS = 500, STEPS = 100 };

/* wins (n, n): of the row over the column. */
static double *wins_of(const struct ste_match *m, size_t n_matches, int n, double *wins)
{
    memset(wins, 0, (size_t)n * (size_t)n * sizeof *wins);
    for (size_t k = 0; k < n_matches; k++) {
        wins[m[k].i * n + m[k].j] += m[k].score;
        wins[m[k].j * n + m[k].i] += 1 - m[k].score;
    }
    return wins;
}

/* Models that are reached from 0 along wins (or against them); finite ratings need all of them both ways. */
static int unreached(const double *wins, int n, bool against)
{
    bool *seen = ste_xcalloc((size_t)n, sizeof *seen);
    int *stack = ste_xcalloc((size_t)n, sizeof *stack), top = 0, which = -1;
    seen[0] = true;
    stack[top++] = 0;
    while (top) {
        int i = stack[--top];
        for (int j = 0; j < n; j++)
            if (!seen[j] && (against ? wins[j * n + i] : wins[i * n + j]) > 0) {
                seen[j] = true;
                stack[top++] = j;
            }
    }
    for (int j = 0; j < n && which < 0; j++)
        if (!seen[j])
            which = j;
    ste_xfree(seen);
    ste_xfree(stack);
    return which;
}

static double likelihood(const double *wins, int n, double penalty, const double *r)
{
    double sum = 0;
    for (int i = 0; i < n; i++) {
        sum -= penalty * r[i] * r[i];
        for (int j = 0; j < n; j++)
            if (wins[i * n + j] > 0) {
                double d = r[i] - r[j];
                sum -= wins[i * n + j] * (d > 0 ? log1p(exp(-d)) : log1p(exp(d)) - d);
            }
    }
    return sum;
}

/* Solves H x = g in place (Cholesky; H positive definite). False when it is not. */
static bool solve(double *h, double *g, int n)
{
    for (int i = 0; i < n; i++)
        for (int j = 0; j <= i; j++) {
            double s = h[i * n + j];
            for (int k = 0; k < j; k++)
                s -= h[i * n + k] * h[j * n + k];
            if (i == j && !(s > 0))
                return false;
            h[i * n + j] = i == j ? sqrt(s) : s / h[j * n + j];
        }
    for (int i = 0; i < n; i++) {
        for (int k = 0; k < i; k++)
            g[i] -= h[i * n + k] * g[k];
        g[i] /= h[i * n + i];
    }
    for (int i = n - 1; i >= 0; i--) {
        for (int k = i + 1; k < n; k++)
            g[i] -= h[k * n + i] * g[k];
        g[i] /= h[i * n + i];
    }
    return true;
}

/* The gradient, and minus the Hessian plus ones: what is added is the direction in which all ratings move together,
 * along which the likelihood does not change. */
static void derivatives(const double *wins, int n, double penalty, const double *r, double *g, double *h)
{
    for (int i = 0; i < n * n; i++)
        h[i] = 1;
    for (int i = 0; i < n; i++) {
        g[i] = -2 * penalty * r[i];
        h[i * n + i] += 2 * penalty;
        for (int j = 0; j < n; j++) {
            double games = wins[i * n + j] + wins[j * n + i], p = 1 / (1 + exp(r[j] - r[i]));
            if (i == j || games == 0)
                continue;
            g[i] += wins[i * n + j] - games * p;
            h[i * n + i] += games * p * (1 - p);
            h[i * n + j] -= games * p * (1 - p);
        }
    }
}

static void fit(const double *wins, int n, double penalty, double *r)
{
    size_t size = (size_t)n;
    double *g = ste_xcalloc(size, sizeof *g), *h = ste_xcalloc(size * size, sizeof *h),
           *next = ste_xcalloc(size, sizeof *r);
    memset(r, 0, size * sizeof *r);
    double now = likelihood(wins, n, penalty, r);
    for (int step = 0; step < STEPS; step++) {
        derivatives(wins, n, penalty, r, g, h);
        if (!solve(h, g, n))
            break;
        double scale = 1, after = -INFINITY, most = 0;
        for (int half = 0; half < 40 && !(after >= now); half++, scale /= 2) {
            for (int i = 0; i < n; i++)
                next[i] = r[i] + scale * g[i];
            after = likelihood(wins, n, penalty, next);
        }
        for (int i = 0; i < n; i++)
            most = fmax(most, fabs(next[i] - r[i]));
        memcpy(r, next, size * sizeof *r);
        now = after;
        if (most < 1e-12)
            break;
    }
    double mean = 0;
    for (int i = 0; i < n; i++)
        mean += r[i] / n;
    for (int i = 0; i < n; i++)
        r[i] -= mean;
    ste_xfree(g);
    ste_xfree(h);
    ste_xfree(next);
}

int ste_rate_models(const struct ste_match *m, size_t n_matches, int n, double penalty, double *ratings, int *which,
                    struct ste_err *err)
{
    double *wins = wins_of(m, n_matches, n, ste_xcalloc((size_t)n * (size_t)n, sizeof *wins));
    int rc = 0;
    *which = -1;
    for (int way = 0; way < 2 && penalty == 0 && *which < 0; way++)
        *which = unreached(wins, n, way);
    if (*which >= 0)
        rc = ste_err_set(err, STE_EINPUT,
                         "model %d and the first one are not tied by wins and losses: no finite rating", *which);
    else
        fit(wins, n, penalty, ratings);
    ste_xfree(wins);
    return rc;
}

static int by_cluster(const void *a, const void *b)
{
    const struct ste_match *x = a, *y = b;
    return (x->cluster > y->cluster) - (x->cluster < y->cluster);
}

void ste_rate_intervals(const struct ste_match *m, size_t n_matches, int n, double penalty, uint64_t seed,
                        struct ste_rate *out)
{
    size_t size = (size_t)n, n_clusters = 0;
    struct ste_match *sorted = ste_xcalloc(n_matches + 1, sizeof *sorted);
    size_t *first = ste_xcalloc(n_matches + 1, sizeof *first);
    double *wins = ste_xcalloc(size * size, sizeof *wins), *r = ste_xcalloc(size, sizeof *r),
           *all = ste_xcalloc(size * DRAWS, sizeof *all);
    memcpy(sorted, m, n_matches * sizeof *m);
    qsort(sorted, n_matches, sizeof *sorted, by_cluster);
    for (size_t k = 0; k < n_matches; k++)
        if (k == 0 || sorted[k].cluster != sorted[k - 1].cluster)
            first[n_clusters++] = k;
    first[n_clusters] = n_matches;
    struct ste_rng rng;
    ste_rng_init(&rng, seed, 0);
    for (int d = 0; d < DRAWS; d++) {
        memset(wins, 0, size * size * sizeof *wins);
        for (size_t k = 0; k < n_clusters; k++) {
            size_t c = ste_rng_below(&rng, (uint32_t)n_clusters);
            for (size_t at = first[c]; at < first[c + 1]; at++) {
                wins[sorted[at].i * n + sorted[at].j] += sorted[at].score;
                wins[sorted[at].j * n + sorted[at].i] += 1 - sorted[at].score;
            }
        }
        bool finite = unreached(wins, n, false) < 0 && unreached(wins, n, true) < 0;
        fit(wins, n, penalty > 0 || finite ? penalty : 0.01, r);
        for (size_t i = 0; i < size; i++)
            all[i * DRAWS + (size_t)d] = r[i];
    }
    for (size_t i = 0; i < size; i++) {
        qsort(all + i * DRAWS, DRAWS, sizeof *all, ste_by_value);
        out[i].lo = all[i * DRAWS + DRAWS / 40];
        out[i].hi = all[i * DRAWS + DRAWS - 1 - DRAWS / 40];
    }
    ste_xfree(sorted);
    ste_xfree(first);
    ste_xfree(wins);
    ste_xfree(r);
    ste_xfree(all);
}

double ste_elo(double rating)
{
    return 1000 + rating * 400 / log(10);
}
