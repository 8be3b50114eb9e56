#include "core/buf.h"

#include <stdio.h>
#include <string.h>

#include "core/domain.h"
#include "core/mem.h"

char ste_buf_nothing[1];

void ste_buf_reserve(struct ste_buf *b, size_t more)
{
    if (more >= SIZE_MAX / 2 - b->len)
        ste_no_memory(SIZE_MAX);
    if (!b->cap)
        b->s = NULL;
    STE_GROW(b->s, b->cap, b->len + more + 1);
    b->s[b->len] = 0;
}

void ste_buf_add(struct ste_buf *b, const void *p, size_t n)
{
    ste_buf_reserve(b, n);
    if (n)
        memcpy(b->s + b->len, p, n);
    b->len += n;
    b->s[b->len] = 0;
}

void ste_buf_adds(struct ste_buf *b, const char *s)
{
    ste_buf_add(b, s, strlen(s));
}

void ste_buf_addc(struct ste_buf *b, char c)
{
    ste_buf_reserve(b, 1);
    b->s[b->len++] = c;
    b->s[b->len] = 0;
}

void ste_buf_vaddf(struct ste_buf *b, const char *fmt, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    if (n > 0) {
        ste_buf_reserve(b, (size_t)n);
        vsnprintf(b->s + b->len, (size_t)n + 1, fmt, again);
        b->len += (size_t)n;
    }
    va_end(again);
}

void ste_buf_addf(struct ste_buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    ste_buf_vaddf(b, fmt, ap);
    va_end(ap);
}

void ste_buf_cut(struct ste_buf *b, size_t len)
{
    b->len = len;
    if (b->cap)
        b->s[len] = 0;
}

void ste_buf_reset(struct ste_buf *b)
{
    ste_buf_cut(b, 0);
}

char *ste_buf_detach(struct ste_buf *b)
{
    ste_buf_reserve(b, 0);
    char *s = b->s;
    *b = (struct ste_buf)STE_BUF_INIT;
    return s;
}

void ste_buf_clear(struct ste_buf *b)
{
    if (b->cap)
        ste_xfree(b->s);
    *b = (struct ste_buf)STE_BUF_INIT;
}
