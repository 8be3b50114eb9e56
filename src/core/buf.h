/* A growing byte string, always NUL-terminated. The struct owns its bytes until ste_buf_detach. */
#ifndef STE_CORE_BUF_H
#define STE_CORE_BUF_H

#include <stdarg.h>
#include <stddef.h>

struct ste_buf {
    char *s; /* never NULL once something was added; NULL when fresh */
    size_t len, cap;
};
#define STE_BUF_INIT                                                                                                   \
    {                                                                                                                  \
        0                                                                                                              \
    }

void ste_buf_reserve(struct ste_buf *b, size_t more);
void ste_buf_add(struct ste_buf *b, const void *p, size_t n);
void ste_buf_adds(struct ste_buf *b, const char *s);
void ste_buf_addc(struct ste_buf *b, char c);
void ste_buf_addf(struct ste_buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void ste_buf_vaddf(struct ste_buf *b, const char *fmt, va_list ap);
/* Empties it, keeping the memory. */
void ste_buf_reset(struct ste_buf *b);
/* The string ("" when empty) passes to the caller, who frees it; the buffer is fresh again. */
char *ste_buf_detach(struct ste_buf *b);
void ste_buf_clear(struct ste_buf *b);

#endif
