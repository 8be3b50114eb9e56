/*
 * The layout of a run's folder, in one place:
 *   run.db                  the rows (store.h)          recipe.resolved.yaml  every option that made them
 *   adapters/iter-N         what iteration N trained    report.json           what the run did
 *   training/iter-N         states of a training that is under way; what another program was given to train, and left
 *   answers.db              what servers answered (llm/cache.h)
 *   spent.db                what that took (spent.h)
 * The caller frees every path.
 */
#ifndef STE_STORE_RUN_H
#define STE_STORE_RUN_H

#include <stdbool.h>

#include "core/err.h"
#include "core/strings.h"

#define STE_RUN_RECIPE "recipe.resolved.yaml"
#define STE_RUN_REPORT "report.json"
#define STE_RUN_DATABASE "run.db"
#define STE_RUN_LOCK "run.lock"

bool ste_run_is(const char *dir); /* it has a recipe */
char *ste_run_adapters(const char *dir);
char *ste_run_adapter(const char *dir, long iteration);
char *ste_run_training(const char *dir, long iteration);
char *ste_run_answers(const char *dir);
char *ste_run_spent(const char *dir);
bool ste_run_has_adapter(const char *dir, long iteration); /* in PEFT's form */
long ste_run_newest(const char *dir);                      /* the last iteration that has an adapter; 0: none */
/* Removes what a killed process left half-written of an iteration's adapter. Nobody else may write there. */
void ste_run_clean_adapter(const char *dir, long iteration);
/* Copies the adapters of the run in FROM to the one in TO. */
int ste_run_copy_adapters(const char *from, const char *to, struct ste_err *err);
/* The run whose adapter stands in PEFT_DIR, or NULL. */
char *ste_run_of_adapter(const char *peft_dir);
/* Adds the names, in their order, of the runs in FOLDER: of what lies in it and is a folder with a store. Links are
 * passed over, and so are names that are not UTF-8: a name can be shown, and leads nowhere else. */
int ste_run_names(const char *folder, struct ste_strings *names, struct ste_err *err);
/* The folder of the run NAME of these, which the caller frees; NULL: there is none, whatever NAME holds. */
char *ste_run_named(const char *folder, const char *name);
/* Says whether a ste works on the run, as its lock has it. */
bool ste_run_works(const char *dir);
/* When its store was written last, in seconds since 1970; 0: never. */
double ste_run_written(const char *dir);
/* Says whether its report is as new as its store, to the two seconds that closing a store may take. */
bool ste_run_reported(const char *dir);
/* A number of 1 to 6 digits and nothing else: an iteration as users and folders write it. -1: none. */
long ste_run_iteration(const char *text);

#endif
