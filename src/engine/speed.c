/* How fast the engine is here and now, measured in the shape of judging. */
#include "engine/engine.h"

#include "core/log.h"
#include "core/mem.h"
#include "core/profile.h"
#include "core/rng.h"

static int32_t *random_prompt(const struct ste_engine *e, size_t n, int number)
{
    int32_t *ids = ste_xcalloc(n, sizeof *ids);
    struct ste_rng rng;
    ste_rng_init(&rng, 1, (uint32_t)number);
    for (size_t i = 0; i < n; i++)
        ids[i] = (int32_t)ste_rng_below(&rng, (uint32_t)ste_engine_model(e)->hp.n_vocab);
    return ids;
}

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

int ste_engine_submit_samples(struct ste_engine *e, const int32_t *ids, size_t n, const struct ste_workload *w,
                              int number, struct ste_err *err)
{
    struct ste_request r = {.prompt = ids,
                            .n_prompt = n,
                            .sampling = {.temperature = 0.7, .top_p = 0.9},
                            .max_tokens = w->new_tokens,
                            .ignore_end_of_turn = true};
    uint64_t ticket;
    int rc = 0;
    for (int i = 0; i < w->samples && !rc; i++) {
        r.key = (uint64_t)number * 4096 + (uint64_t)i;
        rc = ste_engine_submit(e, &r, &ticket, err);
    }
    return rc;
}

int ste_engine_speed(struct ste_engine *e, const int32_t *prompt, const struct ste_workload *w, int number,
                     struct ste_speed *out, struct ste_err *err)
{
    const struct ste_workload reading = {w->prompt_tokens, 1, 1};
    const size_t n = (size_t)w->prompt_tokens;
    int32_t *random = prompt ? NULL : random_prompt(e, n, number);
    const int32_t *ids = prompt ? prompt : random;
    struct ste_engine_stats before, after;
    ste_engine_stats(e, &before);
    ste_profile_step("prefill");
    int rc = ste_engine_submit_samples(e, ids, n, &reading, number, err);
    if (!rc)
        rc = run_all(e, (double)n, &out->read, err);
    ste_engine_stats(e, &after);
    out->read *= 1 - (double)(after.shared_tokens - before.shared_tokens) / (double)n;
    ste_profile_step("decode");
    if (!rc)
        rc = ste_engine_submit_samples(e, ids, n, w, number, err);
    if (!rc)
        rc = run_all(e, (double)w->samples * w->new_tokens, &out->written, err);
    ste_xfree(random);
    return rc;
}

int ste_engine_speed_roughly(struct ste_engine *e, struct ste_speed *out, struct ste_err *err)
{
    const int ctx = ste_engine_ctx(e), written = ctx < 32 ? 1 : 16, read = ctx - written < 256 ? ctx - written : 256;
    return ste_engine_speed(e, NULL, &(struct ste_workload){read > 0 ? read : 1, 16, written}, 1, out, err);
}
