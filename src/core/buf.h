/*
 * A growing byte string that always ends with a NUL. S is never NULL and LEN never counts the NUL, so that S is a C
 * string from STE_BUF_INIT on: a fresh buffer points at one shared NUL and owns nothing (CAP 0), which nobody writes
 * to. The struct owns its bytes until ste_buf_detach; ste_buf_clear frees them. Where there is no memory, the call of
 * the library ends with STE_ENOMEM, as with all small allocations (mem.h).
 */
#ifndef STE_CORE_BUF_H
#define STE_CORE_BUF_H

#include <stdarg.h>
#include <stddef.h>

struct ste_buf {
    char *s;
    size_t len, cap;
};
extern char ste_buf_nothing[1];
#define STE_BUF_INIT                                                                                                   \
    {                                                                                                                  \
        ste_buf_nothing, 0, 0                                                                                          \
    }

/* Makes room for MORE bytes behind LEN, and the NUL: S can be written up to S + LEN + MORE, and LEN raised by hand. */
void ste_buf_reserve(struct ste_buf *b, size_t more);
/* Appends N bytes from P, which may hold NULs and, with N 0, may be NULL. P must not lie in the buffer. */
void ste_buf_add(struct ste_buf *b, const void *p, size_t n);
/* Appends a C string. */
void ste_buf_adds(struct ste_buf *b, const char *s);
/* Appends one byte. */
void ste_buf_addc(struct ste_buf *b, char c);
/* Appends what printf would write. */
void ste_buf_addf(struct ste_buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void ste_buf_vaddf(struct ste_buf *b, const char *fmt, va_list ap);
/* Shortens it to LEN bytes, which it has; the memory stays. */
void ste_buf_cut(struct ste_buf *b, size_t len);
/* Empties it; the memory stays. */
void ste_buf_reset(struct ste_buf *b);
/* The string ("" when empty) passes to the caller, who frees it; the buffer is fresh again. */
char *ste_buf_detach(struct ste_buf *b);
/* Frees the bytes; the buffer is fresh again. */
void ste_buf_clear(struct ste_buf *b);

#endif
