#include "eval/calibration.h"

#include <math.h>

#include "eval/bootstrap.h"

static double log_odds(const struct ste_outcome *o)
{
    return o->tie ? NAN : ste_outcome_log_odds(o);
}

static double softplus(double x)
{
    return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
}

double ste_log_loss(const struct ste_outcome *o)
{
    double sum = 0;
    for (int order = 0; order < 2; order++) {
        const double a = o->order[order].logprob_a, b = o->order[order].logprob_b;
        sum += softplus(order == STE_ORDER_AB ? b - a : a - b);
    }
    return sum / 2;
}

static double nll_of(const struct ste_outcome *o, size_t n, double temperature, size_t *pairs)
{
    double sum = 0;
    *pairs = 0;
    for (size_t i = 0; i < n; i++) {
        double m = log_odds(&o[i]);
        if (isnan(m))
            continue;
        (*pairs)++;
        sum += softplus(-m / temperature);
    }
    return *pairs ? sum / (double)*pairs : NAN;
}

/* The likelihood is convex in 1 / T and so has one optimum in log T: golden section. */
static double fit_temperature(const struct ste_outcome *o, size_t n)
{
    const double golden = 0.6180339887498949;
    double lo = log(0.01), hi = log(100);
    size_t pairs;
    if (isnan(nll_of(o, n, 1, &pairs)))
        return 1;
    for (int i = 0; i < 80; i++) {
        double a = hi - golden * (hi - lo), b = lo + golden * (hi - lo);
        if (nll_of(o, n, exp(a), &pairs) <= nll_of(o, n, exp(b), &pairs))
            hi = b;
        else
            lo = a;
    }
    return exp((lo + hi) / 2);
}

void ste_calibration_of(const struct ste_outcome *o, size_t n, double temperature, uint64_t seed,
                        struct ste_calibration *out)
{
    double right[STE_N_BINS] = {0}, sure[STE_N_BINS] = {0}, sum = 0;
    *out = (struct ste_calibration){.temperature = temperature};
    struct ste_clusters c;
    ste_clusters_init(&c, 1);
    for (size_t i = 0; i < n; i++) {
        double m = log_odds(&o[i]);
        if (isnan(m))
            continue;
        double p = 1 / (1 + exp(-fabs(m) / temperature)), value = m > 0;
        int bin = (int)(p * STE_N_BINS);
        bin = bin < STE_N_BINS ? bin : STE_N_BINS - 1;
        out->bins[bin].pairs++;
        right[bin] += value;
        sure[bin] += p;
        sum += value;
        ste_clusters_add(&c, o[i].prompt_key, &value);
    }
    out->nll = nll_of(o, n, temperature, &out->pairs);
    double pairs = out->pairs ? (double)out->pairs : NAN;
    for (int b = 0; b < STE_N_BINS; b++) {
        out->ece += fabs(right[b] - sure[b]) / pairs;
        out->bins[b].sure = sure[b] / (double)out->bins[b].pairs;
        out->bins[b].right = right[b] / (double)out->bins[b].pairs;
    }
    out->accuracy.value = sum / pairs;
    struct ste_rate *const rates[] = {&out->accuracy};
    ste_bootstrap(&c, 1, NULL, seed, rates);
    ste_clusters_clear(&c);
}

int ste_fit_temperature_on(struct ste_session *j, const char *path, const struct ste_pairs_params *p,
                           double *temperature, struct ste_err *err)
{
    char *only[] = {(char *)(uintptr_t)path};
    const struct ste_strings paths = {only, 1};
    struct ste_pair_files files = {0};
    struct ste_outcome **outcomes = NULL;
    int rc = ste_pair_files_read(&files, &paths, STE_PAIRS_LABELLED, p, err);
    if (!rc)
        rc = ste_eval_files(j, &files, false, &outcomes, err);
    if (!rc)
        *temperature = fit_temperature(outcomes[0], files.files[0].n);
    ste_outcome_arrays_free(outcomes, &files);
    ste_pair_files_clear(&files);
    return rc;
}
