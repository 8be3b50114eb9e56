/* Which model speaks in which role; models are opened when first asked and stay open to the end of the run. */
#ifndef STE_LOOP_ROLES_H
#define STE_LOOP_ROLES_H

#include "loop/loop.h"

void ste_loop_models_close(struct ste_loop *l);

#endif
