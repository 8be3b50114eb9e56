/* ste bench: tokens per second of the engine, in the shape of judging: a prompt, then many samples that share it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/opening.h"
#include "core/json.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/rng.h"

struct options {
    const char *model, *json;
    long long prompt_tokens, samples, new_tokens, rounds;
    struct ste_engine_flags engine;
};

struct round {
    double prefill, decode; /* tokens per second */
};

static double wait_all(struct ste_engine *e, double from, int *rc, struct ste_err *err)
{
    struct ste_completion c;
    while ((*rc = ste_engine_next(e, &c, err)) == 1)
        ste_completion_clear(&c);
    return ste_now() - from;
}

/* The prompt's tokens are drawn anew each round: nothing of it is in the cache. */
static int one_round(const struct options *o, struct ste_engine *e, int number, struct round *out, struct ste_err *err)
{
    int32_t *ids = ste_xcalloc((size_t)o->prompt_tokens, sizeof *ids);
    struct ste_rng rng;
    ste_rng_init(&rng, 1, (uint32_t)number);
    for (long long i = 0; i < o->prompt_tokens; i++)
        ids[i] = (int32_t)ste_rng_below(&rng, (uint32_t)ste_engine_model(e)->hp.n_vocab);
    struct ste_request r = {.prompt = ids,
                            .n_prompt = (size_t)o->prompt_tokens,
                            .sampling = {.temperature = 0.7, .top_p = 0.9},
                            .max_tokens = 1,
                            .ignore_end_of_turn = true};
    uint64_t ticket;
    double from = ste_now();
    int rc = ste_engine_submit(e, &r, &ticket, err);
    if (!rc)
        out->prefill = (double)o->prompt_tokens / wait_all(e, from, &rc, err);
    r.max_tokens = (int)o->new_tokens;
    from = ste_now();
    for (long long i = 0; i < o->samples && !rc; i++) {
        r.key = (uint64_t)number * 4096 + (uint64_t)i;
        rc = ste_engine_submit(e, &r, &ticket, err);
    }
    if (!rc)
        out->decode = (double)(o->samples * o->new_tokens) / wait_all(e, from, &rc, err);
    free(ids);
    return rc;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *v, int n)
{
    qsort(v, (size_t)n, sizeof *v, by_value);
    return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

static int report(const struct options *o, const struct ste_engine *e, const struct round *rounds, struct ste_err *err)
{
    int n = (int)o->rounds, rc = 0;
    double *prefill = ste_xcalloc((size_t)n, sizeof *prefill), *decode = ste_xcalloc((size_t)n, sizeof *decode);
    for (int i = 0; i < n; i++) {
        prefill[i] = rounds[i].prefill;
        decode[i] = rounds[i].decode;
    }
    double p = median(prefill, n), d = median(decode, n);
    printf("%s (%s), median of %d: prefill of %lld tokens %.1f tok/s, decode of %lld samples %.1f tok/s\n", o->model,
           ste_engine_numerics(e), n, o->prompt_tokens, p, o->samples, d);
    if (o->json) {
        struct ste_jsonl_writer *w = NULL;
        json_t *j = json_pack("{ss ss sI sI sI si sf sf}", "model", o->model, "numerics", ste_engine_numerics(e),
                              "prompt_tokens", (json_int_t)o->prompt_tokens, "samples", (json_int_t)o->samples,
                              "new_tokens", (json_int_t)o->new_tokens, "rounds", n, "prefill_tokens_per_second", p,
                              "decode_tokens_per_second", d);
        rc = ste_jsonl_create(&w, o->json, err);
        if (!rc && (rc = ste_jsonl_write(w, j, err)) == 0)
            rc = ste_jsonl_commit(w, err);
        else if (w)
            ste_jsonl_abort(w);
        json_decref(j);
    }
    free(prefill);
    free(decode);
    return rc;
}

static int run_rounds(const struct options *o, struct ste_engine *e, struct ste_err *err)
{
    struct round *rounds = ste_xcalloc((size_t)o->rounds, sizeof *rounds), cold;
    struct options little = *o;
    little.prompt_tokens = little.samples = little.new_tokens = 2;
    int rc = one_round(&little, e, 0, &cold, err); /* pages the weights in */
    for (int i = 0; i < o->rounds && !rc; i++)
        rc = one_round(o, e, i + 1, &rounds[i], err);
    if (!rc)
        rc = report(o, e, rounds, err);
    free(rounds);
    return rc;
}

static int run(int argc, char **argv, struct ste_err *err)
{
    struct options o = {.prompt_tokens = 512, .samples = 16, .new_tokens = 48, .rounds = 1};
    const struct ste_flag flags[] = {
        {"model", STE_FLAG_STRING, &o.model, "NAME", "a catalogue name or a .gguf file"},
        {"prompt-tokens", STE_FLAG_INT, &o.prompt_tokens, "N", "length of the prompt (512)"},
        {"samples", STE_FLAG_INT, &o.samples, "N", "samples that share it (16)"},
        {"new-tokens", STE_FLAG_INT, &o.new_tokens, "N", "tokens of each sample (48)"},
        {"rounds", STE_FLAG_INT, &o.rounds, "N", "rounds, each with another prompt; medians are shown (1)"},
        {"json", STE_FLAG_STRING, &o.json, "FILE", "also write the figures as JSON"},
        STE_ENGINE_FLAGS(o.engine),
        {0}};
    int rc = ste_flags_parse(&ste_cmd_bench, flags, argc, argv, NULL, 0, err);
    if (rc)
        return rc > 0 ? 0 : rc;
    if (!o.model)
        return ste_err_set(err, STE_EUSAGE, "bench needs a model: --model NAME");
    if (o.prompt_tokens < 1 || o.samples < 1 || o.new_tokens < 1 || o.rounds < 1 || o.prompt_tokens > 1 << 20 ||
        o.samples > 4096 || o.new_tokens > 1 << 20 || o.rounds > 1000)
        return ste_err_set(err, STE_EUSAGE,
                           "--prompt-tokens, --samples (at most 4096), --new-tokens and --rounds are at least 1");
    struct ste_llm *llm = NULL;
    int adapter;
    rc = ste_open_model(&llm, o.model, NULL, &o.engine, NULL, &adapter, err);
    if (!rc)
        rc = run_rounds(&o, ste_llm_engine(llm), err);
    ste_llm_close(llm);
    return rc;
}

const struct ste_command ste_cmd_bench = {"bench", "bench --model NAME [flags]",
                                          "Tokens per second: a prompt, then samples sharing it.", run};
