#include "core/thread.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <unistd.h>

#include "core/domain.h"
#include "core/mem.h"

/* Looks before a thread sleeps, some tens of microseconds: in the midst of a forward pass the next job comes sooner,
 * and waking a sleeper takes longer than many a job. */
#define LOOKS 2000

/* Of the state: which job it is in the high half, then whether the job may still be joined, and how many workers are
 * in it. One word, so that a job is given out and joined without a lock: two threads that meet at a lock for each of
 * some hundred jobs a token would put each other to sleep. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define STACK (8 << 20) /* there no two variables share a place */
#else
#define STACK (1 << 20) /* of a worker: what a thread gets unasked can be 128 KB (musl) or what ulimit -s says */
#endif
#define ONE_JOB (1ull << 32)
#define OPEN (1ull << 31)
#define BUSY (OPEN - 1)

struct ste_pool {
    int n_threads; /* with the caller */
    pthread_t *threads;
    atomic_ullong state;
    void (*fn)(void *, int); /* of the job: written before it opens, read by those that joined it */
    void *arg;
    int n_parts;
    struct ste_domain *domain; /* of the caller */
    atomic_bool no_memory;     /* some part ended so: the caller tells, once no thread is at the job any more */
    atomic_int next;
    pthread_mutex_t lock; /* for sleeping only */
    pthread_cond_t start, done;
    atomic_int asleep;   /* workers that wait for START */
    atomic_bool waiting; /* the caller waits for DONE */
    atomic_bool stop;
};

static void look_away(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

static void parts(void *arg)
{
    struct ste_pool *p = arg;
    int part;
    while ((part = atomic_fetch_add_explicit(&p->next, 1, memory_order_relaxed)) < p->n_parts)
        p->fn(p->arg, part);
}

static void take_parts(struct ste_pool *p)
{
    if (!ste_domain_try(p->domain, parts, p))
        atomic_store(&p->no_memory, true);
}

static unsigned long long job_of(struct ste_pool *p)
{
    return atomic_load_explicit(&p->state, memory_order_relaxed) / ONE_JOB;
}

static void *worker(void *arg)
{
    struct ste_pool *p = arg;
    unsigned long long seen = 0;
    for (;;) {
        for (int i = 0; i < LOOKS && job_of(p) == seen; i++)
            look_away();
        if (job_of(p) == seen) {
            pthread_mutex_lock(&p->lock);
            /* A worker counts itself asleep before it looks at STATE; the caller opens a job before it looks at ASLEEP:
             * so one of the two sees the other. */
            atomic_fetch_add(&p->asleep, 1);
            while (atomic_load(&p->state) / ONE_JOB == seen && !atomic_load(&p->stop))
                pthread_cond_wait(&p->start, &p->lock);
            atomic_fetch_sub(&p->asleep, 1);
            pthread_mutex_unlock(&p->lock);
        }
        if (atomic_load(&p->stop))
            return NULL;
        unsigned long long state = atomic_load(&p->state);
        bool joined = false; /* not where it woke too late: the others have done it all */
        while (state & OPEN && !joined)
            joined = atomic_compare_exchange_weak(&p->state, &state, state + 1);
        seen = state / ONE_JOB;
        if (!joined)
            continue;
        take_parts(p);
        atomic_fetch_sub(&p->state, 1);
        if (atomic_load(&p->waiting)) {
            pthread_mutex_lock(&p->lock);
            pthread_cond_signal(&p->done);
            pthread_mutex_unlock(&p->lock);
        }
    }
}

static void end_threads(void *of, size_t n)
{
    struct ste_pool *p = of;
    pthread_mutex_lock(&p->lock);
    atomic_store(&p->stop, true);
    pthread_cond_broadcast(&p->start);
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < p->n_threads - 1; i++)
        pthread_join(p->threads[i], NULL);
    pthread_cond_destroy(&p->start);
    pthread_cond_destroy(&p->done);
    pthread_mutex_destroy(&p->lock);
}

struct ste_pool *ste_pool_new(int n_threads)
{
    struct ste_pool *p = ste_xcalloc(1, sizeof *p);
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    int want = n_threads > 0 ? n_threads : cores > 0 ? (int)cores : 1;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->start, NULL);
    pthread_cond_init(&p->done, NULL);
    p->threads = ste_xcalloc((size_t)want, sizeof *p->threads);
    p->n_threads = 1;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK);
    while (p->n_threads < want && pthread_create(&p->threads[p->n_threads - 1], &attr, worker, p) == 0)
        p->n_threads++; /* fewer threads than asked for change the speed only */
    pthread_attr_destroy(&attr);
    ste_own(p, 0, end_threads);
    return p;
}

void ste_pool_free(struct ste_pool *p)
{
    if (!p)
        return;
    ste_disown(p, end_threads);
    end_threads(p, 0);
    ste_xfree(p->threads);
    ste_xfree(p);
}

int ste_pool_size(const struct ste_pool *p)
{
    return p ? p->n_threads : 1;
}

/* A worker that has not woken by now has nothing left to do, and beside other load its waking can take long: only those
 * that joined are waited for. */
static void wait_for_workers(struct ste_pool *p)
{
    atomic_fetch_and(&p->state, ~OPEN);
    for (int i = 0; i < LOOKS && atomic_load(&p->state) & BUSY; i++)
        look_away();
    if (!(atomic_load(&p->state) & BUSY))
        return;
    pthread_mutex_lock(&p->lock);
    atomic_store(&p->waiting, true);
    while (atomic_load(&p->state) & BUSY)
        pthread_cond_wait(&p->done, &p->lock);
    atomic_store(&p->waiting, false);
    pthread_mutex_unlock(&p->lock);
}

void ste_pool_run(struct ste_pool *p, void (*fn)(void *, int), void *arg, int n_parts)
{
    if (!p || p->n_threads == 1 || n_parts <= 1) {
        for (int i = 0; i < n_parts; i++)
            fn(arg, i);
        return;
    }
    p->fn = fn;
    p->arg = arg;
    p->n_parts = n_parts;
    p->domain = ste_domain();
    atomic_store(&p->no_memory, false);
    atomic_store(&p->next, 0);
    atomic_fetch_add(&p->state, ONE_JOB + OPEN);
    if (atomic_load(&p->asleep) > 0) {
        pthread_mutex_lock(&p->lock);
        pthread_cond_broadcast(&p->start);
        pthread_mutex_unlock(&p->lock);
    }
    take_parts(p);
    wait_for_workers(p);
    if (atomic_load(&p->no_memory))
        ste_no_memory(0);
}
