/*
 * What the caller decides for the calls that a thread makes: settings that a program reads from its environment, whether
 * to stop, what is said and shown while work goes on. The library itself reads no environment, installs no signal
 * handler and writes to no descriptor that it was not given; without a context nothing is set, nothing stops and nothing
 * is said. The program's own context is in cli/context.c.
 */
#ifndef STE_CORE_CONTEXT_H
#define STE_CORE_CONTEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "core/err.h"

struct ste_progress; /* log.h */

enum ste_progress_event { STE_PROGRESS_BEGINS, STE_PROGRESS_CHANGES, STE_PROGRESS_ENDS };

struct ste_context {
    /* The value of NAME ("HOME", "STE_PROMPTS"), which lives as long as the context; NULL where it has none. */
    const char *(*setting)(void *arg, const char *name);
    /* Asked between units of work; true ends it with STE_EINTERRUPTED once what came is saved. */
    bool (*cancelled)(void *arg);
    /* A message of one line or more, without a line feed at its end. */
    void (*say)(void *arg, bool warning, const char *text);
    /* Work that begins, went on and ends. It may be called by several threads, one at a time. */
    void (*progress)(void *arg, struct ste_progress *p, enum ste_progress_event what);
    /* SIZE bytes are not to be had. It does not return; without it the process is aborted. */
    void (*no_memory)(void *arg, size_t size);
    void *arg; /* of all of them; each may be NULL */
};

/* Of the calling thread, from now on; it must stay until another takes its place. NULL: none. Returns the former one. */
const struct ste_context *ste_context_set(const struct ste_context *c);
const struct ste_context *ste_context(void); /* never NULL */

/* NULL where it is not set, or set to "". */
const char *ste_setting(const char *name);
bool ste_cancelled(void);
int ste_cancel_check(struct ste_err *err); /* 0 or STE_EINTERRUPTED with the sentence */

#endif
