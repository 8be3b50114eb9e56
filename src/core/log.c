#include "core/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <time.h>

#include "core/buf.h"
#include "core/context.h"
#include "core/domain.h"
#include "core/mem.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* over the counts of all */

double ste_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Under the lock. */
static void tell(struct ste_progress *p, enum ste_progress_event what)
{
    const struct ste_context *c = ste_context();
    struct ste_frame *frame = ste_domain_leave();
    if (c->progress)
        c->progress(c->arg, p, what);
    ste_domain_enter(frame);
}

static void end(void *of, size_t n)
{
    pthread_mutex_lock(&lock);
    tell(of, STE_PROGRESS_ENDS);
    pthread_mutex_unlock(&lock);
}

struct ste_progress *ste_progress_new(const char *what, const char *unit, uint64_t total)
{
    struct ste_progress *p = ste_xcalloc(1, sizeof *p);
    p->what = ste_xstrdup(what);
    p->unit = ste_xstrdup(unit);
    p->total = total;
    p->start = ste_now();
    pthread_mutex_lock(&lock);
    tell(p, STE_PROGRESS_BEGINS);
    pthread_mutex_unlock(&lock);
    ste_own(p, 0, end);
    return p;
}

void ste_progress_total(struct ste_progress *p, uint64_t total)
{
    if (!p)
        return;
    pthread_mutex_lock(&lock);
    p->total = total;
    pthread_mutex_unlock(&lock);
}

void ste_progress_had(struct ste_progress *p, uint64_t n)
{
    if (!p)
        return;
    pthread_mutex_lock(&lock);
    p->had += n;
    p->done += n;
    pthread_mutex_unlock(&lock);
}

void ste_progress_add(struct ste_progress *p, uint64_t n)
{
    if (!p)
        return;
    pthread_mutex_lock(&lock);
    p->done += n;
    tell(p, STE_PROGRESS_CHANGES);
    pthread_mutex_unlock(&lock);
}

void ste_progress_note(struct ste_progress *p, const char *fmt, ...)
{
    if (!p)
        return;
    struct ste_buf b = STE_BUF_INIT;
    va_list ap;
    va_start(ap, fmt);
    ste_buf_vaddf(&b, fmt, ap);
    va_end(ap);
    char *was = p->note, *note = ste_buf_detach(&b);
    pthread_mutex_lock(&lock);
    p->note = note;
    pthread_mutex_unlock(&lock);
    ste_xfree(was);
}

void ste_progress_end(struct ste_progress *p)
{
    if (!p)
        return;
    ste_disown(p, end);
    end(p, 0);
    ste_xfree(p->what);
    ste_xfree(p->unit);
    ste_xfree(p->note);
    ste_xfree(p);
}

static void say(bool warning, const char *fmt, va_list ap)
{
    const struct ste_context *c = ste_context();
    struct ste_buf b = STE_BUF_INIT;
    if (!c->say)
        return;
    ste_buf_vaddf(&b, fmt, ap);
    struct ste_frame *frame = ste_domain_leave();
    c->say(c->arg, warning, b.s);
    ste_domain_enter(frame);
    ste_buf_clear(&b);
}

void ste_info(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    say(false, fmt, ap);
    va_end(ap);
}

void ste_warn(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    say(true, fmt, ap);
    va_end(ap);
}
