/* What the commands of a run share. */
#ifndef STE_CLI_RUNNING_H
#define STE_CLI_RUNNING_H

#include "cli/cli.h"
#include "loop/loop.h"

struct ste_running_flags {
    struct ste_strings sets;
    struct ste_llm_params engine;
};
extern const struct ste_option ste_running_options[];

/* RECIPE with the --set assignments and, over its engine.* options, what the flags say. The caller clears R, whatever
 * this returns. */
int ste_running_recipe(struct ste_recipe *r, const char *recipe, const struct ste_running_flags *f,
                       struct ste_err *err);
/* Puts what FLAGS say over what is there; those that say nothing leave it. */
void ste_running_engine(struct ste_llm_params *to, const struct ste_llm_params *flags);
/* Opens the run in DIR, which must be there. Only speed flags may differ from the run's own: else STE_EUSAGE. */
int ste_running_open(struct ste_loop **out, const char *dir, const struct ste_llm_params *flags, struct ste_err *err);
/* Prints the report as text or as JSON. */
void ste_running_print(const json_t *report, bool json);

#endif
