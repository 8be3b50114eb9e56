#include "eval/agreement.h"

#include <math.h>

#include "core/mem.h"
#include "eval/bootstrap.h"

static bool agrees(const struct ste_outcome *o)
{
    return ste_outcome_final(o) == (o->tie ? STE_FINAL_TIE : STE_FINAL_CHOSEN);
}

void ste_agreement_of(const struct ste_outcome *o, size_t n, bool with_ties, uint64_t seed, struct ste_agreement *out)
{
    *out = (struct ste_agreement){0};
    struct ste_clusters c;
    ste_clusters_init(&c, 1);
    for (size_t i = 0; i < n; i++) {
        if (!o[i].judged || (!with_ties && (o[i].tie || ste_outcome_final(&o[i]) == STE_FINAL_TIE)))
            continue;
        double value = agrees(&o[i]);
        out->votes++;
        out->agree += value > 0;
        ste_clusters_add(&c, o[i].prompt_key, &value);
    }
    out->rate.value = out->votes ? (double)out->agree / (double)out->votes : NAN;
    struct ste_rate *const rates[] = {&out->rate};
    ste_bootstrap(&c, 1, NULL, seed, rates);
    ste_clusters_clear(&c);
}

/* Cohen's kappa of two raters' categories 0 .. K-1 on N items; items where either is negative are left out. NAN without
 * an item, 1 where both always say the same one thing. */
static double kappa_of(const int *x, const int *y, size_t n, int k)
{
    double *of = ste_xcalloc(2 * (size_t)k, sizeof *of), agree = 0, used = 0, chance = 0;
    for (size_t i = 0; i < n; i++) {
        if (x[i] < 0 || y[i] < 0)
            continue;
        used++;
        agree += x[i] == y[i];
        of[x[i]]++;
        of[k + y[i]]++;
    }
    for (int c = 0; c < k; c++)
        chance += of[c] * of[k + c];
    ste_xfree(of);
    if (used == 0)
        return NAN;
    chance /= used * used;
    agree /= used;
    return chance < 1 ? (agree - chance) / (1 - chance) : 1;
}

/* Categories 0 and 1 are the answers, 2 a tie; -1 is left out. Item 2 i is pair i, 2 i + 1 with the names exchanged. */
static void put(int *labels, size_t i, enum ste_final f)
{
    static const int names[STE_N_FINAL] = {0, 1, 2, -1};
    labels[2 * i] = names[f];
    labels[2 * i + 1] = f == STE_FINAL_CHOSEN || f == STE_FINAL_REJECTED ? 1 - names[f] : names[f];
}

static double kappa_of_labels(const struct ste_outcome *x, const struct ste_outcome *y, size_t n)
{
    int *a = ste_xcalloc(2 * n + 1, sizeof *a), *b = ste_xcalloc(2 * n + 1, sizeof *b);
    for (size_t i = 0; i < n; i++) {
        bool judged = x[i].judged && (!y || y[i].judged);
        put(a, i, judged ? ste_outcome_final(&x[i]) : STE_FINAL_INVALID);
        put(b, i, y ? ste_outcome_final(&y[i]) : x[i].tie ? STE_FINAL_TIE : STE_FINAL_CHOSEN);
    }
    double kappa = kappa_of(a, b, 2 * n, 3);
    ste_xfree(a);
    ste_xfree(b);
    return kappa;
}

double ste_kappa_of(const struct ste_outcome *o, size_t n)
{
    return kappa_of_labels(o, NULL, n);
}

double ste_kappa_between(const struct ste_outcome *x, const struct ste_outcome *y, size_t n)
{
    return kappa_of_labels(x, y, n);
}

struct ste_rate ste_wilson(size_t successes, size_t n)
{
    if (n == 0)
        return (struct ste_rate){NAN, NAN, NAN};
    const double z = 1.959963984540054, m = (double)n, p = (double)successes / m, scale = 1 / (1 + z * z / m),
                 middle = (p + z * z / (2 * m)) * scale, half = z * scale * sqrt(p * (1 - p) / m + z * z / (4 * m * m));
    return (struct ste_rate){p, middle - half, middle + half};
}
