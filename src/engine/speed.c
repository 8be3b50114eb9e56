/* How fast the engine is here and now, measured in the shape of judging. */
#include "engine/engine.h"

#include <stdlib.h>

#include "core/log.h"
#include "core/mem.h"
#include "core/rng.h"

static int run_all(struct ste_engine *e, double tokens, double *per_second, struct ste_err *err)
{
    struct ste_completion c;
    double from = ste_now();
    int rc;
    while ((rc = ste_engine_next(e, &c, err)) == 1)
        ste_completion_clear(&c);
    *per_second = tokens / (ste_now() - from);
    return rc;
}

int ste_engine_speed(struct ste_engine *e, const struct ste_workload *w, int number, struct ste_speed *out,
                     struct ste_err *err)
{
    int32_t *ids = ste_xcalloc((size_t)w->prompt_tokens, sizeof *ids);
    struct ste_rng rng;
    ste_rng_init(&rng, 1, (uint32_t)number);
    for (int i = 0; i < w->prompt_tokens; i++)
        ids[i] = (int32_t)ste_rng_below(&rng, (uint32_t)ste_engine_model(e)->hp.n_vocab);
    struct ste_request r = {.prompt = ids,
                            .n_prompt = (size_t)w->prompt_tokens,
                            .sampling = {.temperature = 0.7, .top_p = 0.9},
                            .max_tokens = 1,
                            .ignore_end_of_turn = true};
    uint64_t ticket;
    int rc = ste_engine_submit(e, &r, &ticket, err);
    if (!rc)
        rc = run_all(e, w->prompt_tokens, &out->read, err);
    r.max_tokens = w->new_tokens;
    for (int i = 0; i < w->samples && !rc; i++) {
        r.key = (uint64_t)number * 4096 + (uint64_t)i;
        rc = ste_engine_submit(e, &r, &ticket, err);
    }
    if (!rc)
        rc = run_all(e, (double)w->samples * w->new_tokens, &out->written, err);
    free(ids);
    return rc;
}
