#include "cli/running.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/mem.h"

static int set(struct ste_recipe *r, const char *key, const char *value, struct ste_err *err)
{
    char *assignment = ste_xasprintf("%s=%s", key, value);
    int rc = ste_options_set(ste_recipe_options, r, assignment, err);
    free(assignment);
    return rc;
}

static int set_number(struct ste_recipe *r, const char *key, long long value, struct ste_err *err)
{
    char text[32];
    snprintf(text, sizeof text, "%lld", value);
    return value ? set(r, key, text, err) : 0;
}

int ste_running_flags(struct ste_recipe *r, const struct ste_llm_params *f, struct ste_err *err)
{
    int rc = set_number(r, "engine.threads", f->threads, err);
    if (rc == 0)
        rc = set_number(r, "engine.batch", f->batch, err);
    if (rc == 0)
        rc = set_number(r, "engine.ctx", f->ctx, err);
    if (rc == 0 && f->isa)
        rc = set(r, "engine.isa", f->isa, err);
    if (rc == 0 && f->activations)
        rc = set(r, "engine.activations", f->activations, err);
    return rc;
}

int ste_running_recipe(struct ste_recipe *r, const char *recipe, const struct ste_strings *sets,
                       const struct ste_llm_params *f, struct ste_err *err)
{
    int rc = ste_recipe_load(r, recipe, err);
    for (size_t i = 0; rc == 0 && i < sets->n; i++)
        rc = ste_options_set(ste_recipe_options, r, sets->items[i], err);
    if (rc == 0)
        rc = ste_running_flags(r, f, err);
    if (rc == 0)
        rc = ste_recipe_check(r, err);
    return rc;
}

int ste_running_open(struct ste_loop **out, const char *dir, const struct ste_llm_params *f, struct ste_err *err)
{
    int rc = ste_loop_open(out, dir, NULL, err);
    if (rc != 0)
        return rc;
    struct ste_recipe was = (*out)->recipe;
    rc = ste_running_flags(&(*out)->recipe, f, err);
    if (rc == 0 && (was.ctx != (*out)->recipe.ctx || f->activations))
        rc = ste_err_set(err, STE_EUSAGE, "--ctx and --activations would change the result of the run in %s", dir);
    if (rc != 0) {
        ste_loop_close(*out);
        *out = NULL;
    }
    return rc;
}
