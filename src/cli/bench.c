/* ste bench: tokens per second in the shape of judging (a prompt, then many samples that share it) and of training. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/profile.h"
#include "core/rng.h"
#include "data/catalogue.h"
#include "train/train.h"
#include "llm/local.h"

/* One training example, and how many an optimizer step. */
enum { TRAIN_PROMPT = 448, TRAIN_COMPLETION = 64, TRAIN_TOKENS = TRAIN_PROMPT + TRAIN_COMPLETION, TRAIN_BATCH = 2 };

struct options {
    char *model, *json, *prompts;
    enum ste_activations train_activations;
    enum ste_gradients train_gradients;
    long long prompt_tokens, samples, new_tokens, rounds;
    bool train, job, profile;
    struct ste_llm_params engine;
};
/* clang-format off */
#define OPTIONS_OF struct options
static const struct ste_option options[] = {
    STE_STRING("model", model, NULL, "NAME", "a catalogue name, a .gguf file or a folder"),
    STE_INT("prompt_tokens", prompt_tokens, "512", 1, 1 << 20, "length of the prompt"),
    STE_INT("samples", samples, "16", 1, 4096, "samples that share it"),
    STE_INT("new_tokens", new_tokens, "48", 1, 1 << 20, "tokens of each sample"),
    STE_BOOL("train", train, NULL,
             "also LoRA training, rank 16 on all linear layers: examples of 448 prompt and 64 completion tokens"),
    STE_CHOICE("train_activations", train_activations, "auto", ste_activations_names,
               "of the training's forward pass"),
    STE_CHOICE("train_gradients", train_gradients, "auto", ste_gradients_names, "of its backward pass"),
    STE_STRING("prompts", prompts, NULL, "FILE",
               "prompts as JSON lines {\"tokens\": [...]}, one a round (default: random tokens)"),
    STE_BOOL("job", job, NULL, "also the whole job of taking --samples of each of the --prompts"),
    STE_INT("rounds", rounds, "1", 1, 1000, "rounds, each with another prompt; medians are shown"),
    STE_BOOL("profile", profile, NULL, "say where time went, by kind of work"),
    STE_STRING("json", json, NULL, "FILE", "also write the figures as JSON (- is the standard output)"),
    STE_TABLE("", engine, ste_llm_options),
    {0},
};
/* clang-format on */

/* A figure of each round. */
struct figure {
    const char *name; /* of the JSON field */
    double *rounds;   /* ascending once reported */
};

struct figures {
    struct figure prefill, decode, train;
    double load_seconds, job_seconds; /* JOB: all samples of all prompts */
    long job_prompts, job_tokens;     /* tokens written */
    long peak_mb, train_peak_mb;      /* of the process, and when it had only trained */
};

/* Not getrusage's: that starts at the size of the process that started this one. */
static long peak_mb(void)
{
    long kb = 0;
    char line[256];
    FILE *f = fopen("/proc/self/status", "r");
    while (f && kb == 0 && fgets(line, sizeof line, f))
        if (strncmp(line, "VmHWM:", 6) == 0)
            kb = strtol(line + 6, NULL, 10);
    if (f)
        fclose(f);
    return kb / 1024;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Its line of the table, and its place in J. */
static void report(const struct figure *f, int n, const char *what, FILE *out, json_t *j)
{
    double *v = f->rounds;
    qsort(v, (size_t)n, sizeof *v, by_value);
    double median = n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
    fprintf(out, "  %-28s %8.1f tok/s", what, median);
    if (n > 1)
        fprintf(out, "   (%.1f to %.1f)", v[0], v[n - 1]);
    putc('\n', out);
    json_object_set_new(j, f->name, json_real(median));
}

static int report_all(const struct options *o, const struct ste_engine *e, const struct figures *f, struct ste_err *err)
{
    int n = (int)o->rounds;
    char what[64];
    FILE *out = o->json && strcmp(o->json, "-") == 0 ? stderr : stdout;
    json_t *j = json_pack("{ss ss sI sI sI si sf}", "model", o->model, "numerics", ste_engine_numerics(e),
                          "prompt_tokens", (json_int_t)o->prompt_tokens, "samples", (json_int_t)o->samples,
                          "new_tokens", (json_int_t)o->new_tokens, "rounds", n, "load_seconds", f->load_seconds);
    fprintf(out, "%s (%s), median of %d\n", o->model, ste_engine_numerics(e), n);
    fprintf(out, "  %-28s %8.2f s\n", "load", f->load_seconds);
    snprintf(what, sizeof what, "prefill, %lld tokens", o->prompt_tokens);
    report(&f->prefill, n, what, out, j);
    snprintf(what, sizeof what, "decode, %lld x %lld tokens", o->samples, o->new_tokens);
    report(&f->decode, n, what, out, j);
    if (o->job) {
        snprintf(what, sizeof what, "job, %ld prompts x %lld", f->job_prompts, o->samples);
        fprintf(out, "  %-28s %8.1f tok/s written, %.1f s\n", what, (double)f->job_tokens / f->job_seconds,
                f->job_seconds);
        json_object_set_new(j, "job_prompts", json_integer(f->job_prompts));
        json_object_set_new(j, "job_tokens", json_integer(f->job_tokens));
        json_object_set_new(j, "job_seconds", json_real(f->job_seconds));
    }
    json_object_set_new(j, "peak_mb", json_integer(f->peak_mb));
    if (o->train) {
        snprintf(what, sizeof what, "train, %d + %d tokens", TRAIN_PROMPT, TRAIN_COMPLETION);
        report(&f->train, n, what, out, j);
        json_object_set_new(j, "train_peak_mb", json_integer(f->train_peak_mb));
        fprintf(out, "  %-28s %8ld MB, of training %ld MB\n", "peak memory", f->peak_mb, f->train_peak_mb);
    } else {
        fprintf(out, "  %-28s %8ld MB\n", "peak memory", f->peak_mb);
    }
    ste_print_profile(out);
    if (o->json)
        return ste_write_json(o->json, j, err);
    json_decref(j);
    return 0;
}

static struct ste_workload workload(const struct options *o)
{
    return (struct ste_workload){(int)o->prompt_tokens, (int)o->samples, (int)o->new_tokens};
}

struct prompts {
    struct ste_tokens *items;
    size_t n, cap;
};

static void prompts_clear(struct prompts *p)
{
    for (size_t i = 0; i < p->n; i++)
        ste_tokens_clear(&p->items[i]);
    ste_xfree(p->items);
}

struct reading {
    const struct options *o;
    const struct ste_model *m;
    struct prompts *p;
};

static int add_prompt(void *arg, json_t *row, const char *where, struct ste_err *err)
{
    const struct reading *r = arg;
    const struct options *o = r->o;
    struct prompts *p = r->p;
    STE_GROW(p->items, p->cap, p->n + 1);
    struct ste_tokens *t = &p->items[p->n++];
    *t = (struct ste_tokens){0};
    int rc = ste_tokens_read(row, "tokens", r->m, where, t, err);
    if (!rc && p->n <= (size_t)o->rounds && t->n < (size_t)o->prompt_tokens)
        rc = ste_err_set(err, STE_EINPUT, "%s has %zu tokens: too few for --prompt-tokens %lld", where, t->n,
                         o->prompt_tokens);
    return rc;
}

/* The prompts of the file; each round of generate() takes one, and enough of it. */
static int read_prompts(const struct options *o, const struct ste_model *m, struct prompts *p, struct ste_err *err)
{
    struct reading r = {o, m, p};
    int rc = ste_jsonl_each(o->prompts, add_prompt, &r, err);
    if (!rc && p->n < (size_t)o->rounds)
        rc = ste_err_set(err, STE_EINPUT, "%s has %zu prompts, --rounds %lld needs one for each round", o->prompts,
                         p->n, o->rounds);
    return rc;
}

static int generate(const struct options *o, struct ste_engine *e, const struct prompts *prompts, struct figures *f,
                    struct ste_err *err)
{
    const struct ste_workload w = workload(o), first = {w.prompt_tokens, w.samples, 2};
    struct ste_speed s;
    /* Not counted, as llama-bench does it: it pages in the weights and what a step of this size works in. */
    int rc = ste_engine_speed(e, NULL, &first, 0, &s, err);
    for (int i = 0; i < o->rounds && !rc; i++) {
        rc = ste_engine_speed(e, o->prompts ? prompts->items[i].ids : NULL, &w, i + 1, &s, err);
        f->prefill.rounds[i] = s.read;
        f->decode.rounds[i] = s.written;
    }
    return rc;
}

/* All samples of all prompts, as a judge takes them: many prompts, each shared by its samples. */
static int job(const struct options *o, struct ste_engine *e, const struct prompts *prompts, struct figures *f,
               struct ste_err *err)
{
    const struct ste_workload w = workload(o);
    struct ste_completion c;
    const double from = ste_now();
    int rc = 0;
    ste_profile_step("job");
    for (; (size_t)f->job_prompts < prompts->n && !rc; f->job_prompts++) {
        const struct ste_tokens *t = &prompts->items[f->job_prompts];
        rc = ste_engine_submit_samples(e, t->ids, t->n, &w, (int)f->job_prompts, err);
    }
    while (!rc && (rc = ste_engine_next(e, &c, err)) == 1) {
        f->job_tokens += (long)c.n;
        ste_completion_clear(&c);
        rc = 0;
    }
    f->job_seconds = ste_now() - from;
    return rc;
}

static int train_rounds(const struct options *o, struct ste_trainer *t, const struct ste_model *m, struct figures *f,
                        struct ste_err *err)
{
    int32_t *ids = ste_xcalloc(TRAIN_BATCH * TRAIN_TOKENS, sizeof *ids);
    struct ste_example batch[TRAIN_BATCH];
    struct ste_rng rng;
    ste_rng_init(&rng, 1, 0);
    for (int i = 0; i < TRAIN_BATCH * TRAIN_TOKENS; i++)
        ids[i] = (int32_t)ste_rng_below(&rng, (uint32_t)m->hp.n_vocab);
    for (int i = 0; i < TRAIN_BATCH; i++)
        batch[i] = (struct ste_example){ids + i * TRAIN_TOKENS, TRAIN_TOKENS, TRAIN_PROMPT, 1, NULL};
    int rc = 0;
    for (int i = -1; i < o->rounds && !rc; i++) { /* one to warm up */
        double from = ste_now();
        rc = ste_trainer_step(t, batch, TRAIN_BATCH, NULL, err);
        if (i >= 0)
            f->train.rounds[i] = TRAIN_BATCH * TRAIN_TOKENS / (ste_now() - from);
    }
    ste_xfree(ids);
    return rc;
}

/* By itself, as `ste sft` trains: nothing of an engine is in memory. */
static int train(const struct options *o, struct figures *f, struct ste_err *err)
{
    struct ste_train_params p;
    struct ste_model *m = NULL;
    struct ste_trainer *t = NULL;
    char *path = NULL;
    ste_train_default_params(&p);
    p.activations = ste_activations_settle(o->train_activations, true);
    p.gradients = ste_gradients_settle(o->train_gradients, p.activations);
    int rc = ste_isa_choose(o->engine.isa, &p.isa, err);
    if (!rc)
        rc = ste_model_resolve(o->model, &path, err);
    if (!rc)
        rc = ste_model_open(&m, path, err);
    if (!rc)
        rc = ste_model_load_as(m, o->engine.load_as, err);
    if (!rc) {
        p.pool = ste_pool_new((int)o->engine.threads);
        rc = ste_trainer_new(&t, m, NULL, &p, err);
        if (!rc)
            rc = train_rounds(o, t, m, f, err);
        f->train_peak_mb = peak_mb();
        ste_trainer_free(t);
        ste_pool_free(p.pool);
        ste_model_close(m);
    }
    ste_xfree(path);
    return rc;
}

static int run(void *options_, const struct ste_strings *words, struct ste_err *err)
{
    const struct options *o = options_;
    if (!o->model)
        return ste_err_set(err, STE_EUSAGE, "bench needs a model: --model NAME");
    if (o->job && !o->prompts)
        return ste_err_set(err, STE_EUSAGE, "--job takes samples of the prompts of a file: --prompts FILE");
    int rc = ste_outputs_try((const char *const[]){o->json}, 1, err);
    if (rc)
        return rc;
    struct prompts prompts = {0};
    double *rounds = ste_xcalloc(3 * (size_t)o->rounds, sizeof *rounds);
    struct figures f = {.prefill = {"prefill_tokens_per_second", rounds},
                        .decode = {"decode_tokens_per_second", rounds + o->rounds},
                        .train = {"train_tokens_per_second", rounds + 2 * o->rounds}};
    struct ste_llm *llm = NULL;
    int adapter;
    if (o->profile)
        ste_profile_start();
    if (o->train) {
        ste_profile_step("train");
        rc = train(o, &f, err);
    }
    ste_profile_step("load");
    double from = ste_now();
    if (!rc)
        rc = ste_llm_open_with(&llm, o->model, NULL, &o->engine, &adapter, err);
    if (!rc)
        rc = ste_local_need(llm, "bench", err);
    f.load_seconds = ste_now() - from;
    if (!rc && o->prompts)
        rc = read_prompts(o, ste_engine_model(ste_local_engine(llm)), &prompts, err);
    if (!rc)
        rc = generate(o, ste_local_engine(llm), &prompts, &f, err);
    if (!rc && o->job)
        rc = job(o, ste_local_engine(llm), &prompts, &f, err);
    f.peak_mb = peak_mb();
    if (!rc)
        rc = report_all(o, ste_local_engine(llm), &f, err);
    ste_llm_close(llm);
    prompts_clear(&prompts);
    ste_xfree(rounds);
    return rc;
}

STE_COMMAND(bench, "bench", "--model NAME [flags]", "Tokens per second: generating and training.", options, 0, NULL,
            run);
