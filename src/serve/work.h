/*
 * The model behind the server: one thread has it, and takes questions from all clients' jobs by turns, so that each
 * client gets its share and the batch stays full. A job is a pump (llm/pump.h) without its loop: what a command asks of
 * a model in a loop of its own, a route hands over and is told when it is done.
 */
#ifndef STE_SERVE_WORK_H
#define STE_SERVE_WORK_H

#include "llm/pump.h"

struct ste_work;

struct ste_job {
    const char *client;   /* who shares with whom; copied */
    struct ste_pump pump; /* its llm is set by the work; its callbacks are called on the work's thread */
    /* Text of the free part that TICKET has so far, each time that there is more of it (the whole text, TEXT is valid
     * UTF-8 and only grows); NULL: it is not wanted. A model that cannot say gives none before the answer. */
    void (*grows)(void *arg, uint64_t ticket, const char *text, size_t n);
    bool (*gone)(
        void *arg); /* asked now and then: nobody waits any more; what is in flight is cancelled. NULL: never */
    /* The job is over, by its last answer or by an error (STE_EINTERRUPTED: gone, or the server stops). Called once, on
     * the work's thread; ARG may be freed here. */
    void (*over)(void *arg, int rc, const struct ste_err *err);
};

/* Hands a job over, from any thread. STE_EBUSY: as much as is allowed waits already (the reply is 503 with
 * Retry-After), and over is not called. */
int ste_work_add(struct ste_work *w, const struct ste_job *job, struct ste_err *err);

#endif
