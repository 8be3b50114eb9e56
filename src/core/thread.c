#include "core/thread.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/mem.h"

/* Looks before a thread sleeps, some tens of microseconds: in the midst of a forward pass the next job comes sooner,
 * and waking a sleeper takes longer than many a job. */
#define LOOKS 2000

struct ste_pool {
    int n_threads; /* with the caller */
    pthread_t *threads;
    pthread_mutex_t lock;
    pthread_cond_t start, done;
    atomic_ulong job; /* counts jobs, so that a worker sees a new one */
    bool open;        /* the job may still be joined */
    atomic_int busy;  /* workers that joined it and are not through */
    bool stop;
    void (*fn)(void *, int);
    void *arg;
    int n_parts;
    atomic_int next;
};

static void look_away(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

static void take_parts(struct ste_pool *p)
{
    int part;
    while ((part = atomic_fetch_add_explicit(&p->next, 1, memory_order_relaxed)) < p->n_parts)
        p->fn(p->arg, part);
}

static void *worker(void *arg)
{
    struct ste_pool *p = arg;
    unsigned long seen = 0;
    for (;;) {
        for (int i = 0; i < LOOKS && atomic_load_explicit(&p->job, memory_order_relaxed) == seen; i++)
            look_away();
        pthread_mutex_lock(&p->lock);
        while (p->job == seen && !p->stop)
            pthread_cond_wait(&p->start, &p->lock);
        if (p->stop)
            break;
        seen = p->job;
        bool join = p->open; /* or woken too late: the others have done it all */
        p->busy += join;
        pthread_mutex_unlock(&p->lock);
        if (!join)
            continue;
        take_parts(p);
        pthread_mutex_lock(&p->lock);
        if (--p->busy == 0)
            pthread_cond_signal(&p->done);
        pthread_mutex_unlock(&p->lock);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
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
    while (p->n_threads < want && pthread_create(&p->threads[p->n_threads - 1], NULL, worker, p) == 0)
        p->n_threads++; /* fewer threads than asked for change the speed only */
    return p;
}

void ste_pool_free(struct ste_pool *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->stop = true;
    pthread_cond_broadcast(&p->start);
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < p->n_threads - 1; i++)
        pthread_join(p->threads[i], NULL);
    pthread_cond_destroy(&p->start);
    pthread_cond_destroy(&p->done);
    pthread_mutex_destroy(&p->lock);
    free(p->threads);
    free(p);
}

int ste_pool_size(const struct ste_pool *p)
{
    return p ? p->n_threads : 1;
}

void ste_pool_run(struct ste_pool *p, void (*fn)(void *, int), void *arg, int n_parts)
{
    if (!p || p->n_threads == 1 || n_parts <= 1) {
        for (int i = 0; i < n_parts; i++)
            fn(arg, i);
        return;
    }
    pthread_mutex_lock(&p->lock);
    p->fn = fn;
    p->arg = arg;
    p->n_parts = n_parts;
    atomic_store(&p->next, 0);
    p->open = true;
    p->job++;
    pthread_cond_broadcast(&p->start);
    pthread_mutex_unlock(&p->lock);
    take_parts(p);
    /* A worker that has not woken by now has nothing left to do, and beside other load its waking can take long: only
     * those that joined are waited for. */
    pthread_mutex_lock(&p->lock);
    p->open = false;
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < LOOKS && atomic_load_explicit(&p->busy, memory_order_relaxed) > 0; i++)
        look_away();
    pthread_mutex_lock(&p->lock);
    while (p->busy > 0)
        pthread_cond_wait(&p->done, &p->lock);
    pthread_mutex_unlock(&p->lock);
}
