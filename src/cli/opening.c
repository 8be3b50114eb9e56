#include "cli/opening.h"

int ste_open_model(struct ste_llm **out, const char *model, const char *adapter, const struct ste_engine_flags *f,
                   const char *cache, int *handle, struct ste_err *err)
{
    struct ste_llm_params p = {.threads = (int)f->threads,
                               .batch = (int)f->batch,
                               .ctx = (int)f->ctx,
                               .isa = f->isa,
                               .activations = f->activations,
                               .cache = cache};
    *handle = 0;
    int rc = ste_llm_open(out, model, &p, err);
    if (!rc && adapter && (rc = ste_llm_load_adapter(*out, adapter, handle, err)) != 0) {
        ste_llm_close(*out);
        *out = NULL;
    }
    return rc;
}
