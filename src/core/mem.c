#include "core/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/domain.h"

void *ste_xtake(void *p, size_t size)
{
    if (!p)
        ste_no_memory(size);
    ste_domain_hold(p);
    return p;
}

void *ste_xmalloc(size_t size)
{
    return ste_xtake(malloc(size ? size : 1), size);
}

void *ste_xcalloc(size_t n, size_t size)
{
    return ste_xtake(calloc(n ? n : 1, size ? size : 1), n * size);
}

void *ste_xrealloc(void *p, size_t size)
{
    if (p)
        ste_domain_let_go(p);
    void *q = realloc(p, size ? size : 1);
    if (!q && p)
        ste_domain_hold(p);
    return ste_xtake(q, size);
}

void ste_xfree(void *p)
{
    if (p)
        ste_domain_let_go(p)(p);
}

char *ste_xstrdup(const char *s)
{
    return s ? ste_xmemdup(s, strlen(s) + 1) : NULL;
}

char *ste_xstrndup(const char *s, size_t n)
{
    char *p = ste_xmalloc(n + 1);
    memcpy(p, s, n);
    p[n] = 0;
    return p;
}

void *ste_xmemdup(const void *p, size_t n)
{
    void *q = ste_xmalloc(n);
    if (n)
        memcpy(q, p, n);
    return q;
}

char *ste_xasprintf(const char *fmt, ...)
{
    va_list ap;
    char *s = NULL;
    va_start(ap, fmt);
    int n = vasprintf(&s, fmt, ap);
    va_end(ap);
    return ste_xtake(n < 0 ? NULL : s, 0);
}

static void unmap(void *p, size_t size)
{
    munmap(p, size);
}

void ste_big_own(void *p, size_t size)
{
    ste_own(p, size, unmap);
}

int ste_big_alloc(void **out, size_t size, const char *what, struct ste_err *err)
{
    *out = NULL;
    size = size ? size : 1;
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return ste_err_set(err, STE_ENOMEM,
                           "cannot get %.1f MB of memory for %s; free some memory or use a smaller model",
                           (double)size / 1e6, what);
    madvise(p, size, MADV_HUGEPAGE);
    ste_big_own(p, size);
    *out = p;
    return 0;
}

void ste_big_free(void *p, size_t size)
{
    if (!p)
        return;
    ste_disown(p, unmap);
    unmap(p, size ? size : 1);
}
