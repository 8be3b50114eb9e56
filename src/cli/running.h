/* What the commands of a run share. */
#ifndef STE_CLI_RUNNING_H
#define STE_CLI_RUNNING_H

#include "cli/cli.h"
#include "loop/loop.h"

/* Engine flags over the recipe's engine.* options; only those that were given. */
int ste_running_flags(struct ste_recipe *r, const struct ste_llm_params *f, struct ste_err *err);
/* RECIPE with the --set assignments and the engine flags. */
int ste_running_recipe(struct ste_recipe *r, const char *recipe, const struct ste_strings *sets,
                       const struct ste_llm_params *f, struct ste_err *err);
/* The run in DIR, which must be there; speed flags may differ. */
int ste_running_open(struct ste_loop **out, const char *dir, const struct ste_llm_params *f, struct ste_err *err);

#endif
