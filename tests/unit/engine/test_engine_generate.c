/* What a request gives depends on the request alone: not on threads, batch, budget, memory or company. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/hash.h"
#include "small_model.h"

enum { PROMPTS = 4, SAMPLES = 5, JOBS = PROMPTS * SAMPLES * 2 };

struct setup {
    int threads, batch, budget;
    size_t kv_bytes;
    bool alone;      /* one request at a time, each in a fresh engine: nothing can be shared */
    int cancel;      /* every CANCEL-th request is cancelled after the first answer; 0: none */
    const char *isa; /* NULL: the best; one that the machine lacks: the best too */
    const struct ste_device_ops *device;
};

struct world {
    struct ste_model *m;
    struct ste_lora *lora;
    int32_t prompts[PROMPTS][300];
    size_t len[PROMPTS];
};

static void make_world(struct world *w, char **path)
{
    static const size_t len[PROMPTS] = {200, 200, 64, 131};
    w->m = sm_open(path, "qwen2");
    w->lora = sm_lora(w->m);
    memcpy(w->len, len, sizeof len);
    for (int p = 0; p < PROMPTS; p++) /* a common start of 100, 128, then apart */
        for (size_t i = 0; i < len[p]; i++)
            w->prompts[p][i] = (int32_t)((i * 31 + (i >= 100 ? (size_t)p * 7 : 0) + i / 9) % TINY_BYTES);
}

/* Request I of the workload: sampled, greedy, with stops, with closing words and choices, given, on the base and
 * adapted. */
static void make_request(const struct world *w, const struct ste_adapter *a, int i, struct ste_request *r)
{
    static const int32_t closing[] = {10, 20, 30}, one[] = {40}, two[] = {40, 41}, other[] = {50};
    int p = i / SAMPLES % PROMPTS, s = i % SAMPLES;
    *r = (struct ste_request){.prompt = w->prompts[p],
                              .n_prompt = w->len[p],
                              .key = (uint64_t)i * 1234567 + 1,
                              .sampling = {.temperature = 1, .top_p = 0.9},
                              .max_tokens = 9 + 5 * s + 30 * (p == 2)};
    r->adapter = i >= PROMPTS * SAMPLES ? a : NULL;
    if (s == 0)
        r->sampling.temperature = 0;
    if (s == 1)
        r->sampling = (struct ste_sampling){.temperature = 0.7, .top_k = 20, .top_p = 0.8, .min_p = 0.02};
    if (s == 2) {
        r->sampling = (struct ste_sampling){.temperature = 1, .top_p = 1};
        static const char *const stops[] = {"a", "e", "he", "t", " ", "o", "1"};
        r->max_tokens = 60;
        for (size_t k = 0; k < 7; k++)
            r->stops[r->n_stops++] = stops[k];
    }
    if (s >= 3) {
        r->max_tokens = s == 3 ? 0 : 12;
        r->stops[r->n_stops++] = "e";
        r->closing = closing;
        r->n_closing = 3;
        r->choices[0] = one;
        r->choices[1] = two;
        r->choices[2] = other;
        r->choice_len[0] = r->choice_len[2] = 1;
        r->choice_len[1] = 2;
        r->n_choices = 3;
        r->sample_choice = p % 2;
    }
    if (s == 1 && p % 2) { /* given: more than a step's rows, or the end of the turn alone */
        static const int32_t end[] = {TINY_END};
        r->max_tokens = r->n_stops = 0;
        r->given = p == 1 ? w->prompts[2] : end;
        r->n_given = p == 1 ? 64 : 1;
    }
}

static void add(struct ste_buf *b, const struct ste_completion *c, const struct ste_request *r)
{
    ste_buf_add(b, &c->finish, sizeof c->finish);
    ste_buf_add(b, &c->free_finish, sizeof c->free_finish);
    ste_buf_add(b, &c->n, sizeof c->n);
    ste_buf_add(b, &c->n_free, sizeof c->n_free);
    ste_buf_add(b, &c->choice, sizeof c->choice);
    ste_buf_add(b, c->tokens, c->n * sizeof *c->tokens);
    ste_buf_add(b, c->logprobs, c->n * sizeof *c->logprobs);
    if (r->n_choices)
        ste_buf_add(b, c->choice_logprobs, (size_t)r->n_choices * sizeof(float));
}

static void run(const struct world *w, const struct setup *s, struct ste_buf results[JOBS],
                struct ste_engine_stats *stats)
{
    struct ste_engine_params p;
    struct ste_engine *e = NULL;
    struct ste_adapter *a = NULL;
    struct ste_err err = {0};
    struct ste_request r;
    struct ste_completion c;
    uint64_t ticket[JOBS];
    int rc;
    ste_engine_default_params(&p);
    if (ste_isa_choose(s->isa, &p.isa, NULL))
        ste_isa_choose(NULL, &p.isa, NULL);
    p.device = s->device;
    p.pool = ste_pool_new(s->threads);
    p.max_batch = s->batch;
    p.token_budget = s->budget;
    p.kv_bytes = s->kv_bytes;
    for (int first = 0; first < JOBS; first += s->alone ? 1 : JOBS) {
        int n = s->alone ? 1 : JOBS;
        bool cancelled = !s->cancel;
        if (ste_engine_new(&e, w->m, &p, &err) || ste_adapter_new(&a, e, w->lora, &err))
            fail_msg("%s", err.msg);
        for (int i = first; i < first + n; i++) {
            make_request(w, a, i, &r);
            if (ste_engine_submit(e, &r, &ticket[i], &err))
                fail_msg("%s", err.msg);
        }
        while ((rc = ste_engine_next(e, &c, &err)) == 1) {
            int i = first;
            while (i < first + n && ticket[i] != c.ticket)
                i++;
            assert_true(i < first + n);
            make_request(w, a, i, &r);
            assert_int_equal(results[i].len, 0); /* each comes once */
            add(&results[i], &c, &r);
            ste_completion_clear(&c);
            for (int k = 1; !cancelled && k < n; k += s->cancel)
                ste_engine_cancel(e, ticket[k]);
            cancelled = true;
        }
        assert_int_equal(rc, 0);
        assert_int_equal(ste_engine_in_flight(e), 0);
        ste_engine_stats(e, stats);
        ste_adapter_free(a);
        ste_engine_free(e);
    }
    ste_pool_free(p.pool);
}

static void depend_alone(bool windows)
{
    static const struct setup setups[] = {
        {1, 32, 512, 64 << 20, true, 0, NULL, NULL}, /* the measure */
        {1, 1, 16, 64 << 20, false, 0, NULL, NULL},   {2, 7, 16, 64 << 20, false, 0, NULL, NULL},
        {3, 32, 512, 64 << 20, false, 0, NULL, NULL}, {2, 32, 64, 64 << 20, false, 0, NULL, NULL},
        {2, 7, 512, 0, false, 0, NULL, NULL}, /* the smallest cache: blocks give way */
        {2, 32, 512, 0, false, 0, NULL, NULL},        {2, 7, 64, 64 << 20, false, 3, NULL, NULL},
        {1, 32, 512, 0, false, 2, NULL, NULL},        {2, 7, 64, 64 << 20, false, 0, "portable", NULL},
        {1, 32, 512, 0, false, 0, "avx2", NULL},
    };
    struct world w;
    char *path;
    struct ste_buf want[JOBS] = {{0}};
    struct ste_engine_stats stats;
    int kinds[5] = {0};
    make_world(&w, &path);
    if (windows)
        sm_stretch(w.m);
    run(&w, &setups[0], want, &stats);
    for (int i = 0; i < JOBS; i++)
        kinds[*(enum ste_finish *)(void *)want[i].s]++;
    assert_true(kinds[STE_FINISH_STOP] > 0 && kinds[STE_FINISH_LENGTH] > 0 && kinds[STE_FINISH_CHOICE] > 0);
    assert_int_equal(want[0].len, want[SAMPLES * PROMPTS].len); /* greedy, on the base and adapted */
    assert_memory_not_equal(want[0].s, want[SAMPLES * PROMPTS].s, want[0].len);
    for (size_t k = 1; k < sizeof setups / sizeof *setups; k++) {
        struct ste_buf got[JOBS] = {{0}};
        int missing = 0;
        run(&w, &setups[k], got, &stats);
        for (int i = 0; i < JOBS; i++) {
            if (!got[i].len) {
                missing++;
                assert_true(setups[k].cancel && (i - 1) % setups[k].cancel == 0);
                continue;
            }
            if (got[i].len != want[i].len || memcmp(got[i].s, want[i].s, want[i].len) != 0)
                fail_msg("setup %zu changes request %d", k, i);
            ste_buf_clear(&got[i]);
        }
        assert_true(setups[k].cancel ? missing > JOBS / 4 : missing == 0);
    }
    for (int i = 0; i < JOBS; i++)
        ste_buf_clear(&want[i]);
    ste_lora_free(w.lora);
    ste_model_close(w.m);
    tiny_model_remove(path);
}

static void results_depend_on_the_request_alone(void **state)
{
    depend_alone(false);
}

/* Rows that share a block's beginning may see different parts of it, or none. */
static void and_so_with_windows(void **state)
{
    depend_alone(true);
}

/* What stands in ids and keys the cache: how products round, and not which instructions do it. */
static void numerics_name_no_instruction_set(void **state)
{
    char *path;
    struct ste_model *m = sm_open(&path, "llama");
    struct ste_engine_params p;
    struct ste_engine *e;
    char want[128];
    ste_engine_default_params(&p);
    p.isa = STE_ISA_PORTABLE;
    assert_int_equal(ste_engine_new(&e, m, &p, NULL), 0);
    strcpy(want, ste_engine_numerics(e));
    ste_engine_free(e);
    ste_isa_choose(NULL, &p.isa, NULL);
    assert_int_equal(ste_engine_new(&e, m, &p, NULL), 0);
    assert_string_equal(ste_engine_numerics(e), want);
    ste_engine_free(e);
    p.activations = STE_ACT_BF16;
    assert_int_equal(ste_engine_new(&e, m, &p, NULL), 0);
    assert_string_not_equal(ste_engine_numerics(e), want);
    ste_engine_free(e);
    ste_model_close(m);
    tiny_model_remove(path);
}

/* A device of another kind: the CPU's work, counted. */
static struct ste_device_ops counted;
static int runs, copies, adapters;

static int open_counted(struct ste_device **out, const struct ste_model *m, const struct ste_device_params *p,
                        struct ste_err *err)
{
    int rc = ste_cpu.open(out, m, p, err);
    if (!rc)
        (*out)->ops = &counted;
    return rc;
}

static void run_counted(struct ste_device *d, struct ste_row *rows, int n)
{
    runs++;
    ste_cpu.run(d, rows, n);
}

static void copy_counted(struct ste_device *d, int to, int from, size_t n)
{
    copies++;
    ste_cpu.copy(d, to, from, n);
}

static void free_counted(struct ste_device *d, void *adapter)
{
    adapters++;
    ste_cpu.adapter_free(d, adapter);
}

/* All that the scheduler wants of a device goes through its table. */
static void a_device_is_a_table(void **state)
{
    struct world w;
    char *path;
    struct ste_buf want[JOBS] = {{0}}, got[JOBS] = {{0}};
    struct ste_engine_stats stats;
    struct setup s = {2, 7, 64, 64 << 20, false, 0, NULL, NULL};
    make_world(&w, &path);
    run(&w, &s, want, &stats);
    counted = ste_cpu;
    counted.open = open_counted;
    counted.run = run_counted;
    counted.copy = copy_counted;
    counted.adapter_free = free_counted;
    s.device = &counted;
    run(&w, &s, got, &stats);
    assert_int_equal(runs, stats.steps);
    assert_true(copies > 0);
    assert_int_equal(adapters, 1);
    for (int i = 0; i < JOBS; i++) {
        assert_int_equal(got[i].len, want[i].len);
        assert_memory_equal(got[i].s, want[i].s, want[i].len);
        ste_buf_clear(&want[i]);
        ste_buf_clear(&got[i]);
    }
    struct ste_engine_params p;
    struct ste_engine *e;
    ste_engine_default_params(&p);
    p.device = &counted;
    assert_int_equal(ste_engine_new(&e, w.m, &p, NULL), 0);
    assert_null(ste_engine_weights(e)); /* not the CPU's: a trainer packs its own */
    ste_engine_free(e);
    ste_lora_free(w.lora);
    ste_model_close(w.m);
    tiny_model_remove(path);
}

static struct ste_engine *engine_of(struct ste_model *m)
{
    struct ste_engine_params p;
    struct ste_engine *e = NULL;
    struct ste_err err = {0};
    ste_engine_default_params(&p);
    ste_isa_choose(NULL, &p.isa, NULL);
    if (ste_engine_new(&e, m, &p, &err))
        fail_msg("%s", err.msg);
    return e;
}

static void samples_share_their_prompt(void **state)
{
    struct world w;
    char *path;
    make_world(&w, &path);
    struct ste_engine *e = engine_of(w.m);
    struct ste_engine_stats stats;
    struct ste_completion c;
    uint64_t ticket;
    for (int i = 0; i < 15; i++) {
        struct ste_request r = {.prompt = w.prompts[0],
                                .n_prompt = 200,
                                .key = (uint64_t)i,
                                .max_tokens = 4,
                                .sampling = {.temperature = 1, .top_p = 1},
                                .ignore_end_of_turn = true};
        assert_int_equal(ste_engine_submit(e, &r, &ticket, NULL), 0);
    }
    while (ste_engine_next(e, &c, NULL) == 1) {
        assert_int_equal(c.n, 4);
        ste_completion_clear(&c);
    }
    ste_engine_stats(e, &stats);
    assert_int_equal(stats.shared_tokens, 14 * 199);
    assert_int_equal(stats.prompt_tokens, 200 + 14);
    assert_int_equal(stats.generated_tokens, 60);
    /* another prompt with the same first 100 */
    struct ste_request r = {.prompt = w.prompts[1], .n_prompt = 200, .max_tokens = 1, .sampling = {.top_p = 1}};
    assert_int_equal(ste_engine_submit(e, &r, &ticket, NULL), 0);
    assert_int_equal(ste_engine_next(e, &c, NULL), 1);
    ste_completion_clear(&c);
    ste_engine_stats(e, &stats);
    assert_int_equal(stats.shared_tokens, 14 * 199 + 100);
    ste_engine_free(e);
    ste_lora_free(w.lora);
    ste_model_close(w.m);
    tiny_model_remove(path);
}

/* The choice follows the end of the turn at once: the same as the choice behind the free part without that token. */
static void a_choice_may_follow_the_end_of_the_turn(void **state)
{
    struct world w;
    char *path;
    make_world(&w, &path);
    struct ste_engine *e = engine_of(w.m);
    static const int32_t a[] = {40}, b[] = {50};
    struct ste_request r = {.prompt = w.prompts[2],
                            .n_prompt = 64,
                            .max_tokens = 400,
                            .n_choices = 2,
                            .sampling = {.temperature = 2, .top_p = 1},
                            .choices = {a, b},
                            .choice_len = {1, 1}};
    struct ste_completion c, direct;
    uint64_t ticket;
    bool seen = false;
    for (r.key = 0; r.key < 40 && !seen; r.key++) {
        assert_int_equal(ste_engine_submit(e, &r, &ticket, NULL), 0);
        assert_int_equal(ste_engine_next(e, &c, NULL), 1);
        if (c.free_finish == STE_FINISH_END) {
            seen = true;
            assert_int_equal(c.finish, STE_FINISH_CHOICE);
            assert_int_equal(c.n, c.n_free + 1);
            int32_t ids[500];
            memcpy(ids, r.prompt, 64 * sizeof *ids);
            memcpy(ids + 64, c.tokens, (c.n_free - 1) * sizeof *ids);
            struct ste_request again = r;
            again.prompt = ids;
            again.n_prompt = 64 + c.n_free - 1;
            again.max_tokens = 0;
            assert_int_equal(ste_engine_submit(e, &again, &ticket, NULL), 0);
            assert_int_equal(ste_engine_next(e, &direct, NULL), 1);
            assert_int_equal(direct.choice, c.choice);
            assert_memory_equal(direct.choice_logprobs, c.choice_logprobs, 2 * sizeof(float));
            ste_completion_clear(&direct);
        } else {
            assert_int_equal(c.finish, STE_FINISH_LENGTH);
            assert_int_equal(c.choice, -1);
        }
        ste_completion_clear(&c);
    }
    assert_true(seen);
    ste_engine_free(e);
    ste_lora_free(w.lora);
    ste_model_close(w.m);
    tiny_model_remove(path);
}

/* Log-probabilities of free part and choices are those of the logits. */
static void log_probabilities_are_those_of_the_logits(void **state)
{
    struct world w;
    char *path;
    make_world(&w, &path);
    struct ste_engine *e = engine_of(w.m);
    static const int32_t a[] = {40}, b[] = {50, 51}, close[] = {7, 8};
    struct ste_request r = {.prompt = w.prompts[3],
                            .n_prompt = 131,
                            .max_tokens = 20,
                            .stops = {"e", "t", " "},
                            .n_stops = 3,
                            .n_choices = 2,
                            .sampling = {.temperature = 1, .top_p = 1},
                            .choices = {a, b},
                            .choice_len = {1, 2},
                            .closing = close,
                            .n_closing = 2};
    struct ste_completion c;
    uint64_t ticket;
    int32_t ids[300];
    static float logits[300 * TINY_VOCAB];
    bool seen = false;
    for (r.key = 0; r.key < 40 && !seen; r.key++) {
        assert_int_equal(ste_engine_submit(e, &r, &ticket, NULL), 0);
        assert_int_equal(ste_engine_next(e, &c, NULL), 1);
        if (c.free_finish == STE_FINISH_STOP) {
            seen = true;
            memcpy(ids, r.prompt, 131 * sizeof *ids);
            memcpy(ids + 131, c.tokens, c.n * sizeof *ids);
            size_t n = 131 + c.n;
            assert_int_equal(ste_engine_logits(e, NULL, ids, n, logits, NULL), 0);
            for (size_t t = 130; t + 1 < n; t++) {
                double sum = 0;
                for (int v = 0; v < TINY_VOCAB; v++)
                    sum += exp((double)logits[t * TINY_VOCAB + (size_t)v]);
                double want = (double)logits[t * TINY_VOCAB + (size_t)ids[t + 1]] - log(sum);
                bool closing = t + 1 >= 131 + c.n_free && t + 1 < 131 + c.n_free + 2;
                double got = (double)c.logprobs[t + 1 - 131];
                assert_true(closing ? got == 0 : fabs(got - want) < 1e-4);
                if (t + 1 == 131 + c.n_free + 2)
                    assert_true(fabs((double)c.choice_logprobs[0] - ((double)logits[t * TINY_VOCAB + 40] - log(sum))) <
                                1e-4);
            }
        }
        ste_completion_clear(&c);
    }
    assert_true(seen);
    ste_engine_free(e);
    ste_lora_free(w.lora);
    ste_model_close(w.m);
    tiny_model_remove(path);
}

/* Given tokens are as likely as the logits say, wherever the prompt ends, and their prompt is computed once. */
static void given_tokens_are_as_likely_as_the_logits_say(void **state)
{
    static const size_t splits[] = {1, 63, 64, 65, 100, 199}; /* of 200 tokens */
    static float logits[200 * TINY_VOCAB];
    struct world w;
    char *path;
    make_world(&w, &path);
    struct ste_engine *e = engine_of(w.m);
    assert_int_equal(ste_engine_logits(e, NULL, w.prompts[0], 200, logits, NULL), 0);
    for (size_t k = 0; k < sizeof splits / sizeof *splits; k++) {
        const size_t n = splits[k];
        struct ste_request r = {.prompt = w.prompts[0], .n_prompt = n, .given = w.prompts[0] + n, .n_given = 200 - n};
        struct ste_engine_stats before, after;
        struct ste_completion c[3];
        uint64_t ticket;
        for (int i = 0; i < 2; i++)
            assert_int_equal(ste_engine_submit(e, &r, &ticket, NULL), 0);
        for (int i = 0; i < 2; i++)
            assert_int_equal(ste_engine_next(e, &c[i], NULL), 1);
        ste_engine_stats(e, &before); /* the third finds the prompt where the first two left it */
        assert_int_equal(ste_engine_submit(e, &r, &ticket, NULL), 0);
        assert_int_equal(ste_engine_next(e, &c[2], NULL), 1);
        ste_engine_stats(e, &after);
        assert_int_equal(after.shared_tokens - before.shared_tokens, n - 1);
        assert_int_equal(after.prompt_tokens - before.prompt_tokens, 200 - n);
        assert_int_equal(after.generated_tokens, 0);
        for (int i = 0; i < 3; i++) {
            assert_int_equal(c[i].finish, STE_FINISH_END);
            assert_int_equal(c[i].n, 200 - n);
            assert_int_equal(c[i].n_free, 200 - n);
            assert_memory_equal(c[i].tokens, r.given, r.n_given * sizeof *r.given);
            assert_memory_equal(c[i].logprobs, c[0].logprobs, r.n_given * sizeof(float));
        }
        for (size_t t = n; t < 200; t++) {
            const float *row = logits + (t - 1) * TINY_VOCAB;
            double sum = 0;
            for (int v = 0; v < TINY_VOCAB; v++)
                sum += exp((double)row[v]);
            assert_true(fabs((double)c[0].logprobs[t - n] - ((double)row[w.prompts[0][t]] - log(sum))) < 1e-4);
        }
        for (int i = 0; i < 3; i++)
            ste_completion_clear(&c[i]);
    }
    struct ste_request wrong = {.prompt = w.prompts[0], .n_prompt = 9, .given = w.prompts[1], .n_given = 9};
    uint64_t ticket;
    wrong.max_tokens = 4;
    assert_int_equal(ste_engine_submit(e, &wrong, &ticket, NULL), STE_EUSAGE);
    wrong.max_tokens = 0;
    wrong.n_given = 0;
    assert_int_equal(ste_engine_submit(e, &wrong, &ticket, NULL), STE_EUSAGE);
    ste_engine_free(e);
    ste_lora_free(w.lora);
    ste_model_close(w.m);
    tiny_model_remove(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(results_depend_on_the_request_alone),
        cmocka_unit_test(and_so_with_windows),
        cmocka_unit_test(numerics_name_no_instruction_set),
        cmocka_unit_test(a_device_is_a_table),
        cmocka_unit_test(samples_share_their_prompt),
        cmocka_unit_test(a_choice_may_follow_the_end_of_the_turn),
        cmocka_unit_test(log_probabilities_are_those_of_the_logits),
        cmocka_unit_test(given_tokens_are_as_likely_as_the_logits_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
