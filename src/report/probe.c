/* What a seed's own pairs say about teaching it: its figures, and a forecast by seeds that were taught before. */
#include <math.h>
#include <string.h>

#include "core/file.h"
#include "report/fields.h"
#include "report/report.h"

/* Seeds that were taught by recipes/demo.yaml, on their own held-out pairs (docs/learning.md, "What the probe goes
 * by"): medians over five seeds of the recipe, of the smallest model one. */
static const struct {
    const char *model;
    double usable; /* share of the pairs of `modify` that the check left */
    double before, after;
} taught[] = {
    {"smollm2-135m-instruct", 0.90, 0.426, 0.817},
    {"qwen2.5-coder-0.5b-instruct", 0.67, 0.575, 0.868},
};
#define N_TAUGHT (sizeof taught / sizeof *taught)

/* The seed's figures on all pairs. */
static const json_t *of_seed(const json_t *report)
{
    return ste_field_find(json_object_get(report, "evaluation"), "test", "", 0);
}

/* The share of the pairs of KIND that are usable; NAN: there are none. */
static double usable(const json_t *report, const char *kind)
{
    const json_t *all = json_object_get(report, "kinds");
    for (size_t i = 0; i < json_array_size(all); i++) {
        const json_t *row = json_array_get(all, i);
        if (strcmp(ste_field_text(row, "kind"), kind) == 0)
            return ste_field_real(row, "kept") / ste_field_real(row, "pairs");
    }
    return NAN;
}

/* Two-order accuracy of the half that the seed is surest of. */
static double surest_half(const json_t *seed)
{
    const json_t *curve = json_object_get(seed, "coverage_curve");
    for (size_t i = 0; i < json_array_size(curve); i++)
        if (fabs(ste_field_real(json_array_get(curve, i), "coverage") - 0.5) < 0.01)
            return ste_field_real(json_array_get(curve, i), "accuracy");
    return NAN;
}

/* The taught seed that told its own pairs as well as this one. */
static size_t most_like(double two_order)
{
    size_t best = 0;
    for (size_t i = 1; i < N_TAUGHT; i++)
        if (fabs(taught[i].before - two_order) < fabs(taught[best].before - two_order))
            best = i;
    return best;
}

void ste_report_forecast(json_t *report)
{
    const json_t *seed = of_seed(report);
    const double modify = usable(report, "modify"), other = usable(report, "other");
    json_t *f = json_object();
    json_object_set_new(report, "forecast", f);
    json_object_set_new(f, "usable_modify", isnan(modify) ? json_null() : json_real(modify));
    json_object_set_new(f, "usable_other", isnan(other) ? json_null() : json_real(other));
    if (!seed)
        return;
    json_object_set_new(f, "first_position", json_real(ste_field_real(seed, "first_position")));
    json_object_set_new(f, "two_order", json_real(ste_field_real(seed, "two_order")));
    json_object_set_new(f, "two_order_surest_half", json_real(surest_half(seed)));
    json_object_set_new(f, "like", json_string(taught[most_like(ste_field_real(seed, "two_order"))].model));
}

void ste_report_forecast_text(const json_t *report, const char *model, struct ste_buf *out)
{
    const json_t *seed = of_seed(report);
    const double modify = usable(report, "modify");
    ste_buf_addf(out, "\nWhat that says of %s as a seed\n", ste_path_base(model));
    if (!seed || isnan(modify)) {
        ste_buf_adds(out, "  Nothing: no pair of the kind modify was left to be judged.\n");
        return;
    }
    const size_t like = most_like(ste_field_real(seed, "two_order"));
    ste_buf_addf(out,
                 "  labels    %.0f %% of the pairs of modify pass the check by its likelihoods\n"
                 "  position  %.0f %% of its verdicts name the first answer; fair are 50\n"
                 "  telling   two-order accuracy %.2f [%.2f, %.2f], of the surest half %.2f\n",
                 100 * modify, 100 * ste_field_real(seed, "first_position"), ste_field_real(seed, "two_order"),
                 ste_field_real(seed, "two_order_lo"), ste_field_real(seed, "two_order_hi"), surest_half(seed));
    ste_buf_adds(out, "\n  Taught by the recipe demo, two-order accuracy on their own held-out pairs\n"
                      "                                  modify usable  before  after  gain\n");
    for (size_t i = 0; i < N_TAUGHT; i++)
        ste_buf_addf(out, "  %-30s        %4.0f %%    %.2f   %.2f  %+.2f%s\n", taught[i].model, 100 * taught[i].usable,
                     taught[i].before, taught[i].after, taught[i].after - taught[i].before,
                     i == like ? "  like it" : "");
}
