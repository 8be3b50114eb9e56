/* A context with the settings of the environment, for tests of what depends on one. */
#ifndef STE_TEST_ENVIRONMENT_H
#define STE_TEST_ENVIRONMENT_H

#include <stdlib.h>

#include "core/context.h"

static const char *environment_setting(void *arg, const char *name)
{
    return getenv(name);
}

static inline void read_environment(void)
{
    static const struct ste_context c = {.setting = environment_setting};
    ste_context_set(&c);
}

#endif
