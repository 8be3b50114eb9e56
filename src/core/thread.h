/*
 * A pool of threads: a process may have several, one a model that is open. Idle threads look for work for some tens of
 * microseconds, then sleep. The parts of a job are handed out in order to whoever is free; results must not depend on
 * which thread takes which part.
 */
#ifndef STE_CORE_THREAD_H
#define STE_CORE_THREAD_H

struct ste_pool;

/* N_THREADS counts the caller; 0 means one a core. */
struct ste_pool *ste_pool_new(int n_threads);
void ste_pool_free(struct ste_pool *p);
int ste_pool_size(const struct ste_pool *p); /* 1 for NULL */

/* Runs fn(arg, part) for part = 0 .. n_parts-1 and returns when all are done. The caller works too.
 * A NULL pool runs them in the caller. Not to be called from within a part. */
void ste_pool_run(struct ste_pool *p, void (*fn)(void *arg, int part), void *arg, int n_parts);

#endif
