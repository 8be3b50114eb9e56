/* Runs of ste.h: the loop and its report. */
#include <jansson.h>
#include <string.h>

#include "core/domain.h"
#include "core/json.h"
#include "core/mem.h"
#include "loop/loop.h"
#include "library/door.h"
#include "report/report.h"

static int load_recipe(struct ste_recipe *r, const char *recipe, const char *const *sets, size_t n_sets,
                       struct ste_err *err)
{
    int rc = ste_recipe_load(r, recipe, err);
    for (size_t i = 0; rc == 0 && i < n_sets; i++)
        rc = ste_options_set(ste_recipe_options, r, sets[i], err);
    return rc == 0 ? ste_recipe_check(r, err) : rc;
}

struct run_call {
    const char *recipe, *dir;
    const char *const *sets;
    size_t n_sets;
    char **json;
};

static int run(void *arg, struct ste_err *err)
{
    const struct run_call *c = arg;
    struct ste_recipe r;
    struct ste_loop *l = NULL;
    int rc = load_recipe(&r, c->recipe, c->sets, c->n_sets, err);
    if (rc == 0)
        rc = ste_loop_open(&l, c->dir, &r, err);
    if (rc == 0)
        rc = ste_report_end(l->store, ste_loop_run(l, err), NULL, err);
    ste_loop_close(l);
    ste_recipe_clear(&r);
    return rc;
}

static int read_report(void *arg, struct ste_err *err)
{
    const struct run_call *c = arg;
    json_t *report = NULL;
    int rc = ste_report_read(&report, c->dir, err);
    if (rc == 0)
        *c->json = ste_door_give(json_dumps(report, JSON_INDENT(2) | JSON_SORT_KEYS | JSON_REAL_PRECISION(6)));
    json_decref(report);
    return rc;
}

/* FN in a domain of its own. */
static int call(int (*fn)(void *, struct ste_err *), struct run_call *c, const struct ste_context *context,
                struct ste_err *err)
{
    struct ste_domain *d = ste_domain_new();
    if (!d)
        return ste_err_set(err, STE_ENOMEM, "out of memory");
    int rc = ste_door_call(d, context, fn, c, err);
    ste_domain_free(d);
    return rc;
}

int ste_run(const char *recipe, const char *dir, const char *const *sets, size_t n_sets,
            const struct ste_context *context, struct ste_err *err)
{
    return call(run, &(struct run_call){.recipe = recipe, .dir = dir, .sets = sets, .n_sets = n_sets}, context, err);
}

int ste_run_report(const char *dir, char **json, const struct ste_context *context, struct ste_err *err)
{
    *json = NULL;
    return call(read_report, &(struct run_call){.dir = dir, .json = json}, context, err);
}
