/* Rows that answers bring are written in transactions of a few seconds. */
#include "loop/internal.h"

int ste_loop_save(void *loop, struct ste_err *err)
{
    struct ste_loop *l = loop;
    int rc = ste_store_commit(l->store, err);
    return rc == 0 ? ste_store_begin(l->store, err) : rc;
}

int ste_loop_saved(struct ste_loop *l, int rc, struct ste_err *err)
{
    int end = ste_store_end(l->store, rc == STE_EINTERRUPTED ? 0 : rc, err);
    return rc == 0 ? end : rc;
}

int ste_loop_pump(struct ste_loop *l, struct ste_pump *p, struct ste_err *err)
{
    int rc = ste_store_begin(l->store, err);
    if (rc != 0)
        return rc;
    p->tick = ste_loop_save;
    p->tick_arg = l;
    return ste_loop_saved(l, ste_pump_run(p, err), err);
}
