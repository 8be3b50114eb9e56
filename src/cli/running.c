#include "cli/running.h"

#include "core/mem.h"

void ste_running_flags(struct ste_llm_params *to, const struct ste_llm_params *flags)
{
    to->threads = flags->threads ? flags->threads : to->threads;
    to->batch = flags->batch ? flags->batch : to->batch;
    to->ctx = flags->ctx ? flags->ctx : to->ctx;
    to->activations = flags->activations != STE_ACT_AUTO ? flags->activations : to->activations;
    if (*flags->isa) {
        ste_xfree(to->isa);
        to->isa = ste_xstrdup(flags->isa);
    }
}

int ste_running_recipe(struct ste_recipe *r, const char *recipe, const struct ste_strings *sets,
                       const struct ste_llm_params *flags, struct ste_err *err)
{
    int rc = ste_recipe_load(r, recipe, err);
    for (size_t i = 0; rc == 0 && i < sets->n; i++)
        rc = ste_options_set(ste_recipe_options, r, sets->items[i], err);
    if (rc != 0)
        return rc;
    ste_running_flags(&r->engine, flags);
    return ste_recipe_check(r, err);
}

int ste_running_open(struct ste_loop **out, const char *dir, const struct ste_llm_params *flags, struct ste_err *err)
{
    int rc = ste_loop_open(out, dir, NULL, err);
    if (rc != 0)
        return rc;
    struct ste_llm_params *engine = &(*out)->recipe.engine;
    const long long ctx = engine->ctx;
    ste_running_flags(engine, flags);
    if (engine->ctx == ctx && flags->activations == STE_ACT_AUTO)
        return 0;
    ste_loop_close(*out);
    *out = NULL;
    return ste_err_set(err, STE_EUSAGE, "--ctx and --activations would change the result of the run in %s", dir);
}
