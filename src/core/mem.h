/*
 * Memory. Small allocations go through ste_x*: they return memory, or end the call of the library with STE_ENOMEM
 * (domain.h). Large ones (weights, caches) go through ste_big_alloc, whose failure is reported with the size that was
 * asked for and what for.
 */
#ifndef STE_CORE_MEM_H
#define STE_CORE_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"

void *ste_xmalloc(size_t size);
void *ste_xcalloc(size_t n, size_t size);
void *ste_xrealloc(void *p, size_t size);
char *ste_xstrdup(const char *s);
char *ste_xstrndup(const char *s, size_t n);
void *ste_xmemdup(const void *p, size_t n);
char *ste_xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* P, which malloc or who uses it returned for SIZE bytes (0: not known), as one of ours. NULL: there was no memory. */
void *ste_xtake(void *p, size_t size);
void ste_xfree(void *p); /* of ours, and a text of jansson's; NULL is allowed */

/* 64-byte aligned and zeroed; free with ste_big_free. WHAT names it in the error. */
int ste_big_alloc(void **out, size_t size, const char *what, struct ste_err *err);
void ste_big_free(void *p, size_t size);
/* P, which was mapped by the caller, is given back by ste_big_free too. */
void ste_big_own(void *p, size_t size);

/* Checked arithmetic for sizes read from files: true when the result does not fit. */
static inline bool ste_mul_overflows(uint64_t a, uint64_t b, uint64_t *out)
{
    return __builtin_mul_overflow(a, b, out);
}
static inline bool ste_add_overflows(uint64_t a, uint64_t b, uint64_t *out)
{
    return __builtin_add_overflow(a, b, out);
}

/* Grows the array ITEMS (a pointer lvalue) with capacity CAP so that it holds at least NEED items. */
#define STE_GROW(items, cap, need)                                                                                     \
    do {                                                                                                               \
        if ((size_t)(need) > (size_t)(cap)) {                                                                          \
            size_t grow_to_ = (size_t)(cap) ? (size_t)(cap)*2 : 8;                                                     \
            if (grow_to_ < (size_t)(need))                                                                             \
                grow_to_ = (size_t)(need);                                                                             \
            (items) = ste_xrealloc((items), grow_to_ * sizeof *(items));                                               \
            (cap) = grow_to_;                                                                                          \
        }                                                                                                              \
    } while (0)

#endif
