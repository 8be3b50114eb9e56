#include <math.h>

#include "core/mem.h"
#include "eval/bootstrap.h"
#include "eval/eval.h"

/* Adds the rows of a suite; how many of them are right. */
static double add_rows(const struct ste_outcome *o, size_t n, struct ste_clusters *c)
{
    double all = 0;
    for (size_t i = 0; i < n;) {
        const size_t first = i;
        double right = 1;
        for (; i < n && o[i].row_key == o[first].row_key && (i == first || o[i].row_key); i++)
            right *= ste_outcome_two_order_right(&o[i]);
        if (!o[first].row_key)
            continue;
        ste_clusters_add(c, o[first].prompt_key, &right);
        all += right;
    }
    return all;
}

void ste_best_of(const struct ste_outcome *const *outcomes, const size_t *n, size_t suites, const double *weights,
                 uint64_t seed, struct ste_best *out)
{
    struct ste_clusters *c = ste_xcalloc(suites + 1, sizeof *c);
    double sum = 0, of = 0;
    *out = (struct ste_best){.rate = {NAN, NAN, NAN}};
    for (size_t s = 0; s < suites; s++) {
        ste_clusters_init(&c[s], 1);
        const double right = add_rows(outcomes[s], n[s], &c[s]);
        double rows = 0;
        for (size_t k = 0; k < c[s].n; k++)
            rows += c[s].pairs[k];
        if (rows == 0)
            continue;
        const double weight = weights ? weights[s] : 1;
        sum += weight * right / rows;
        of += weight;
        out->rows += (size_t)rows;
    }
    if (out->rows) {
        out->rate.value = sum / of;
        ste_bootstrap(c, suites, weights, seed, (struct ste_rate *[]){&out->rate});
    }
    for (size_t s = 0; s < suites; s++)
        ste_clusters_clear(&c[s]);
    ste_xfree(c);
}
