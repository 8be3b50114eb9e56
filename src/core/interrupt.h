/* Ctrl-C. Long work asks ste_interrupted() between units of work, finishes its commit and returns
 * STE_EINTERRUPTED. A second signal ends the process at once. */
#ifndef STE_CORE_INTERRUPT_H
#define STE_CORE_INTERRUPT_H

#include <stdbool.h>

#include "core/err.h"

void ste_interrupt_install(void); /* SIGINT and SIGTERM */
bool ste_interrupted(void);
int ste_interrupt_check(struct ste_err *err); /* 0 or STE_EINTERRUPTED with the sentence */

#endif
