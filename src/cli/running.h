/* What the commands of a run share. */
#ifndef STE_CLI_RUNNING_H
#define STE_CLI_RUNNING_H

#include "cli/cli.h"
#include "loop/loop.h"

/* RECIPE with the --set assignments and, over its engine.* options, what FLAGS say. The caller clears R, whatever this
 * returns. */
int ste_running_recipe(struct ste_recipe *r, const char *recipe, const struct ste_strings *sets,
                       const struct ste_llm_params *flags, struct ste_err *err);
/* What FLAGS say over what is there; those that say nothing leave it. */
void ste_running_flags(struct ste_llm_params *to, const struct ste_llm_params *flags);
/* The run in DIR, which must be there; speed flags may differ. */
int ste_running_open(struct ste_loop **out, const char *dir, const struct ste_llm_params *flags, struct ste_err *err);

#endif
