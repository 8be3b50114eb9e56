#include "loop/internal.h"

#include <stdlib.h>

#include "core/interrupt.h"
#include "core/mem.h"

#define COMMIT_SECONDS 2.0

struct flight {
    uint64_t *tickets;
    size_t n, cap;
};

static void remember(struct flight *f, uint64_t ticket)
{
    STE_GROW(f->tickets, f->cap, f->n + 1);
    f->tickets[f->n++] = ticket;
}

static void forget(struct flight *f, uint64_t ticket)
{
    for (size_t i = 0; i < f->n; i++)
        if (f->tickets[i] == ticket) {
            f->tickets[i] = f->tickets[--f->n];
            return;
        }
}

/* Asks until the window is full or there is nothing to ask. */
static int fill(const struct ste_drive *d, struct flight *f, struct ste_err *err)
{
    size_t window = ste_llm_window(d->llm);
    while (ste_llm_in_flight(d->llm) < window) {
        struct ste_ask ask = {0};
        int rc = d->next(d->arg, &ask, err);
        if (rc <= 0)
            return rc;
        uint64_t ticket = 0;
        struct ste_err why = {0};
        rc = ste_llm_submit(d->llm, &ask, &ticket, &why);
        if (rc == 0)
            remember(f, ticket);
        d->submitted(d->arg, ask.tag, ticket);
        if (rc == STE_ETOOLONG) {
            ste_warn("%s", why.msg);
            rc = d->too_long(d->arg, ask.tag, err);
        } else if (rc != 0 && err) {
            *err = why;
        }
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int work(struct ste_loop *l, const struct ste_drive *d, struct flight *f, struct ste_err *err)
{
    double committed = ste_now();
    for (;;) {
        int rc = ste_interrupt_check(err);
        if (rc == 0)
            rc = fill(d, f, err);
        if (rc != 0)
            return rc;
        struct ste_answer a = {0};
        rc = ste_llm_next(d->llm, &a, err);
        if (rc <= 0)
            return rc; /* 0: nothing in flight, and fill found nothing to ask */
        forget(f, a.ticket);
        rc = d->answer(d->arg, &a, err);
        ste_answer_clear(&a);
        if (rc != 0)
            return rc;
        if (ste_now() - committed > COMMIT_SECONDS) {
            if ((rc = ste_store_commit(l->store, err)) != 0 || (rc = ste_store_begin(l->store, err)) != 0)
                return rc;
            committed = ste_now();
        }
    }
}

int ste_loop_drive(struct ste_loop *l, const struct ste_drive *d, struct ste_err *err)
{
    struct flight f = {0};
    int rc = ste_store_begin(l->store, err);
    if (rc != 0)
        return rc;
    rc = work(l, d, &f, err);
    for (size_t i = 0; i < f.n; i++)
        ste_llm_cancel(d->llm, f.tickets[i]);
    free(f.tickets);
    if (rc == 0 || rc == STE_EINTERRUPTED) {
        int commit = ste_store_commit(l->store, err);
        return commit != 0 ? commit : rc;
    }
    ste_store_rollback(l->store);
    return rc;
}
