/*
 * The context (ste.h) of the calls that a thread makes. Without one nothing is set, nothing stops and nothing is said.
 * The library's doors set it (library/); the program's own is in cli/context.c.
 */
#ifndef STE_CORE_CONTEXT_H
#define STE_CORE_CONTEXT_H

#include "core/err.h"

/* Sets the context of the calling thread; it must stay until another takes its place. NULL: none. Returns the former
 * one. */
const struct ste_context *ste_context_set(const struct ste_context *c);
const struct ste_context *ste_context(void); /* never NULL */

/* Reads a setting; NULL where it is not set, or set to "". */
const char *ste_setting(const char *name);
bool ste_cancelled(void);
int ste_cancel_check(struct ste_err *err); /* 0 or STE_EINTERRUPTED with the sentence */

#endif
