#include "llm/pump.h"

#include "core/context.h"
#include "core/log.h"

int ste_pump_ask(const struct ste_pump *p, uint64_t *ticket, struct ste_err *err)
{
    struct ste_question question = {0};
    struct ste_err why = {0};
    *ticket = 0;
    int rc = p->next(p->arg, &question, err);
    if (rc <= 0)
        return rc;
    rc = ste_llm_submit(p->llm, &question, ticket, &why);
    p->submitted(p->arg, question.tag, *ticket);
    if (rc == STE_ETOOLONG)
        rc = p->too_long(p->arg, question.tag, why.msg, err);
    else if (rc && err)
        *err = why;
    return rc ? rc : 1;
}

int ste_pump_take(const struct ste_pump *p, struct ste_answer *a, struct ste_err *err)
{
    int rc = a->too_long ? p->too_long(p->arg, a->tag, a->too_long, err) : p->answer(p->arg, a, err);
    ste_answer_clear(a);
    return rc;
}

/* Asks until the window is full or there is nothing to ask. */
static int fill(const struct ste_pump *p, struct ste_err *err)
{
    uint64_t ticket;
    int rc = 1;
    while (rc > 0 && ste_llm_in_flight(p->llm) < ste_llm_about(p->llm)->window)
        rc = ste_pump_ask(p, &ticket, err);
    return rc < 0 ? rc : 0;
}

static int work(const struct ste_pump *p, struct ste_err *err)
{
    double ticked = ste_now();
    for (;;) {
        int rc = ste_cancel_check(err);
        if (rc == 0)
            rc = fill(p, err);
        if (rc)
            return rc;
        struct ste_answer a;
        rc = ste_llm_next(p->llm, &a, err);
        if (rc <= 0)
            return rc; /* 0: nothing in flight, and fill found nothing to ask */
        rc = ste_pump_take(p, &a, err);
        if (rc == 0 && p->tick && ste_now() - ticked > STE_TICK_SECONDS) {
            rc = p->tick(p->tick_arg, err);
            ticked = ste_now();
        }
        if (rc)
            return rc;
    }
}

int ste_pump_run(const struct ste_pump *p, struct ste_err *err)
{
    int rc = work(p, err);
    while (ste_llm_in_flight(p->llm))
        ste_llm_cancel(p->llm, p->llm->flying[0]);
    return rc;
}
