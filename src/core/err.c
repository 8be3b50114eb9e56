#include "core/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/utf8.h"

/* A sentence that is too long ends behind a whole character; of one that is cut within it, or of bytes that are no
 * text, a question mark stays. */
static void whole_characters(struct ste_err *err)
{
    char *s = err->msg;
    size_t n = ste_utf8_whole(s, strlen(s)), bad;
    s[n] = 0;
    while ((bad = ste_utf8_bad(s, n)) < n) {
        size_t rest = bad + 1;
        while (((unsigned char)s[rest] & 0xC0) == 0x80)
            rest++;
        s[bad] = '?';
        memmove(s + bad + 1, s + rest, n - rest + 1);
        n -= rest - bad - 1;
    }
}

int ste_err_set(struct ste_err *err, int code, const char *fmt, ...)
{
    if (err) {
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(err->msg, sizeof err->msg, fmt, ap);
        va_end(ap);
        whole_characters(err);
        err->code = code;
    }
    return code;
}

int ste_err_errno(struct ste_err *err, const char *fmt, ...)
{
    const int e = errno, code = e == ENOMEM ? STE_ENOMEM : STE_EIO;
    if (err) {
        va_list ap;
        va_start(ap, fmt);
        int n = vsnprintf(err->msg, sizeof err->msg, fmt, ap);
        va_end(ap);
        if (n >= 0 && (size_t)n < sizeof err->msg)
            snprintf(err->msg + n, sizeof err->msg - n, ": %s%s", strerror(e),
                     e == ENOSPC ? " (free some space and run the same command again)" : "");
        whole_characters(err);
        err->code = code;
    }
    return code;
}

int ste_err_wrap(struct ste_err *err, const char *fmt, ...)
{
    if (!err)
        return STE_EFAIL;
    char head[512], rest[sizeof err->msg];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(head, sizeof head, fmt, ap);
    va_end(ap);
    memcpy(rest, err->msg, sizeof rest);
    int n = snprintf(err->msg, sizeof err->msg, "%s: ", head);
    if (n > 0 && (size_t)n < sizeof err->msg)
        snprintf(err->msg + n, sizeof err->msg - (size_t)n, "%.*s", (int)(sizeof err->msg - (size_t)n - 1), rest);
    whole_characters(err);
    return err->code;
}

int ste_err_pass(struct ste_err *err, const struct ste_err *late, int rc)
{
    if (!late->code)
        return rc;
    if (err && rc) {
        const size_t n = strlen(err->msg);
        snprintf(err->msg + n, sizeof err->msg - n, "; and %.*s", (int)(sizeof err->msg - 1), late->msg);
        whole_characters(err);
    } else if (err) {
        *err = *late;
    }
    return rc ? rc : late->code;
}
