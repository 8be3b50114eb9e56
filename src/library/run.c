/* Runs of ste.h: the loop and its report. */
#include <jansson.h>

#include "core/context.h"
#include "core/json.h"
#include "loop/loop.h"
#include "report/report.h"

static int load_recipe(struct ste_recipe *r, const char *recipe, const char *const *sets, size_t n_sets,
                       struct ste_err *err)
{
    int rc = ste_recipe_load(r, recipe, err);
    for (size_t i = 0; rc == 0 && i < n_sets; i++)
        rc = ste_options_set(ste_recipe_options, r, sets[i], err);
    return rc == 0 ? ste_recipe_check(r, err) : rc;
}

int ste_run(const char *recipe, const char *dir, const char *const *sets, size_t n_sets,
            const struct ste_context *context, struct ste_err *err)
{
    const struct ste_context *was = ste_context_set(context);
    struct ste_recipe r;
    struct ste_loop *l = NULL;
    json_t *report = NULL;
    int rc = load_recipe(&r, recipe, sets, n_sets, err);
    if (rc == 0)
        rc = ste_loop_open(&l, dir, &r, err);
    if (rc == 0)
        rc = ste_report_end(l->store, ste_loop_run(l, err), &report, err);
    json_decref(report);
    ste_loop_close(l);
    ste_recipe_clear(&r);
    ste_context_set(was);
    return rc;
}

int ste_run_report(const char *dir, char **json, const struct ste_context *context, struct ste_err *err)
{
    const struct ste_context *was = ste_context_set(context);
    json_t *report = NULL;
    *json = NULL;
    int rc = ste_report_read(&report, dir, err);
    if (rc == 0)
        *json = json_dumps(report, JSON_INDENT(2) | JSON_SORT_KEYS | JSON_REAL_PRECISION(6));
    json_decref(report);
    ste_context_set(was);
    return rc;
}
