#include "core/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/context.h"

static _Noreturn void out_of_memory(size_t size)
{
    const struct ste_context *c = ste_context();
    if (c->no_memory)
        c->no_memory(c->arg, size);
    abort();
}

void *ste_xmalloc(size_t size)
{
    void *p = malloc(size ? size : 1);
    if (!p)
        out_of_memory(size);
    return p;
}

void *ste_xcalloc(size_t n, size_t size)
{
    void *p = calloc(n ? n : 1, size ? size : 1);
    if (!p)
        out_of_memory(n * size);
    return p;
}

void *ste_xrealloc(void *p, size_t size)
{
    p = realloc(p, size ? size : 1);
    if (!p)
        out_of_memory(size);
    return p;
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
    if (n < 0)
        out_of_memory(0);
    return s;
}

int ste_big_alloc(void **out, size_t size, const char *what, struct ste_err *err)
{
    *out = NULL;
    void *p = mmap(NULL, size ? size : 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return ste_err_set(err, STE_ENOMEM,
                           "cannot get %.1f MB of memory for %s; free some memory or use a smaller model",
                           (double)size / 1e6, what);
    madvise(p, size, MADV_HUGEPAGE);
    *out = p;
    return 0;
}

void ste_big_free(void *p, size_t size)
{
    if (p)
        munmap(p, size ? size : 1);
}
