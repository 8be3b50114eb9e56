/*
 * Memory that runs out, as an error of a call. A domain has all that the calls of one handle hold: each allocation of
 * ste_x* (mem.h) and each value of jansson that is made while such a call runs, by its thread or by those that work for
 * it, and each thing that is not memory and was told of by ste_own. Where there is no memory, ste_no_memory ends the
 * call from wherever it is: what is owned is given back, the last one first, then the memory, and ste_domain_call
 * returns STE_ENOMEM. So code between the two neither checks an allocation nor cleans up after one; it only tells of
 * what it opens. Code of others that calls back must not be left that way (ste_domain_try).
 *
 * jansson's own allocations get here by json_set_alloc_funcs, once a process, around the functions that were set; what
 * is made outside of a domain is left to these.
 */
#ifndef STE_CORE_DOMAIN_H
#define STE_CORE_DOMAIN_H

#include <stdbool.h>
#include <stddef.h>

#include "core/err.h"

struct ste_domain;
struct ste_domain *ste_domain_new(void); /* NULL: no memory for it */
/* One that ends with the process: its memory is not noted, since nobody is left to miss it. */
struct ste_domain *ste_domain_of_process(void);
/* Gives back the domain alone: its calls have given back what they held, or memory ran out. NULL is allowed. */
void ste_domain_free(struct ste_domain *d);

/* FN(ARG, ERR), whose result is returned, within the domain; once memory has run out only STE_ENOMEM. */
int ste_domain_call(struct ste_domain *d, int (*fn)(void *arg, struct ste_err *err), void *arg, struct ste_err *err);

/* FN(ARG) within D, by a thread that works for it, or that comes from code which must not be left. False: memory ran
 * out; what FN did is half done, and ste_no_memory must be called where it may be. D NULL: no domain. */
bool ste_domain_try(struct ste_domain *d, void (*fn)(void *arg), void *arg);
struct ste_domain *ste_domain(void); /* that the thread works for, or NULL */

/* Ends the call; the process, by abort, where there is none. SIZE: what was asked for, 0: not known. */
_Noreturn void ste_no_memory(size_t size);

/* The caller's functions run outside of the domain: what they make is theirs. ste_domain_leave returns what
 * ste_domain_enter takes. */
struct ste_frame;
struct ste_frame *ste_domain_leave(void);
void ste_domain_enter(struct ste_frame *f);

/* OF is to be given back by END(OF, N) should memory run out; where there is none to note that, it does. ste_disown:
 * the caller gives it back itself. Outside of a domain both do nothing. */
void ste_own(void *of, size_t n, void (*end)(void *of, size_t n));
void ste_disown(void *of, void (*end)(void *of, size_t n));

/* For mem.c: P belongs to the domain, or no longer. ste_domain_hold frees P where it cannot be noted. */
void ste_domain_hold(void *p);
/* The function that frees P. */
typedef void ste_free_fn(void *);
ste_free_fn *ste_domain_let_go(void *p);

#endif
