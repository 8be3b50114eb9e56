#include "core/context.h"

#include "core/domain.h"

static const struct ste_context nothing;
static _Thread_local const struct ste_context *current;

const struct ste_context *ste_context_set(const struct ste_context *c)
{
    const struct ste_context *was = current;
    current = c;
    return was;
}

const struct ste_context *ste_context(void)
{
    return current ? current : &nothing;
}

const char *ste_setting(const char *name)
{
    const struct ste_context *c = ste_context();
    struct ste_frame *frame = ste_domain_leave();
    const char *value = c->setting ? c->setting(c->arg, name) : NULL;
    ste_domain_enter(frame);
    return value && *value ? value : NULL;
}

bool ste_cancelled(void)
{
    const struct ste_context *c = ste_context();
    struct ste_frame *frame = ste_domain_leave();
    const bool cancelled = c->cancelled && c->cancelled(c->arg);
    ste_domain_enter(frame);
    return cancelled;
}

int ste_cancel_check(struct ste_err *err)
{
    return ste_cancelled() ? ste_err_set(err, STE_EINTERRUPTED, "interrupted; the same command goes on from here") : 0;
}
