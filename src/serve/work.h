/*
 * The model behind the server: one thread has it, and takes questions from all clients' jobs by turns, so that each
 * client gets its share and the batch stays full. A job is a pump (llm/pump.h) without its loop: what a command asks of
 * a model in a loop of its own, a route hands over and is told when it is done. New jobs join while others generate.
 *
 * The next question is taken from the client with the fewest in flight, of those from the one whose turn is longest
 * ago, and in the same way from one of its jobs: so clients share the batch, and not only the number of questions,
 * however long their answers are.
 */
#ifndef STE_SERVE_WORK_H
#define STE_SERVE_WORK_H

#include "core/context.h"
#include "llm/pump.h"

struct ste_work;

struct ste_work_params {
    struct ste_llm *llm; /* the caller's, who leaves it alone until ste_work_stop; NULL: jobs run as a whole only */
    int adapter;         /* the judge's, which is dropped where a newer one takes its place; 0: none */
    const char *folder;  /* that it was loaded from; NULL: not known */
    const char *judge;   /* what the user calls the judge, for reloading; NULL: it is not reloaded */
    size_t max_jobs;     /* that may be there at once, waiting or not; 0: 1024. One client may have half of them */
    const struct ste_context
        *context; /* of the work's thread, but for what stops it: it stops by ste_work_stop alone */
};
int ste_work_start(struct ste_work **out, const struct ste_work_params *p, struct ste_err *err);
/* No job is taken any more; those that are there have SECONDS to end, then they are interrupted. Frees W; what adapters
 * it has loaded stay the llm's. NULL is allowed. */
void ste_work_stop(struct ste_work *w, double seconds);

struct ste_job {
    const char *client; /* who shares with whom; copied */
    void *arg;          /* of the functions below; the pump has its own */
    /* The job's first question is about to be asked (or it is about to run): ADAPTER, the judge's newest (0: none),
     * stays loaded until it is over. It may fill PUMP, which is the job's. Of what is returned, negative ends the job.
     * NULL: nothing is to be done. */
    int (*begins)(void *arg, struct ste_llm *llm, int adapter, struct ste_pump *pump, struct ste_err *err);
    struct ste_pump
        pump; /* its llm is set by the work; its callbacks are called on the work's thread; it never ticks */
    /* In place of a pump: work that has the thread for itself, such as a reward model's. NULL: the pump. */
    int (*run)(void *arg, struct ste_llm *llm, struct ste_err *err);
    /* Text of the free part that TICKET has so far, each time that there is more of it (the whole text, TEXT is valid
     * UTF-8 and only grows); NULL: it is not wanted. A model that cannot say gives none before the answer. */
    void (*grows)(void *arg, uint64_t ticket, const struct ste_written *so_far);
    bool (*gone)(
        void *arg); /* asked now and then: nobody waits any more; what is in flight is cancelled. NULL: never */
    /* The job is over, by its last answer or by an error (STE_EINTERRUPTED: gone, or the server stops). Called once, on
     * the work's thread; ARG may be freed here. */
    void (*over)(void *arg, int rc, const struct ste_err *err);
};

/* Hands a job over, from any thread. STE_EBUSY: as much as is allowed waits already (the reply is 503 with
 * Retry-After), or the server stops, and over is not called. */
int ste_work_add(struct ste_work *w, const struct ste_job *job, struct ste_err *err);

/* Loads the newest adapter of the judge beside the one that is there; jobs that began keep theirs, which is dropped
 * behind the last of them. It waits in the queue as a job; DONE is called on the work's thread: 0, CHANGED: it is
 * another one; STE_EUSAGE: the judge cannot be reloaded. What ste_work_add returns. DONE may be NULL. */
int ste_work_reload(struct ste_work *w, void (*done)(void *arg, int rc, bool changed, const struct ste_err *err),
                    void *arg, struct ste_err *err);

struct ste_work_state {
    size_t jobs, in_flight, clients; /* now */
    uint64_t jobs_done, jobs_failed, refused, reloads;
    uint64_t answers, read, written; /* READ, WRITTEN: tokens, of answers that came */
    char adapter[65];                /* SHA-256 of the judge's; "": none */
    char folder[512];                /* its folder; "": not known */
    int code; /* what ended the thread before it was stopped (STE_ENOMEM): the server is to end */
};
void ste_work_state(struct ste_work *w, struct ste_work_state *out); /* from any thread */

#endif
