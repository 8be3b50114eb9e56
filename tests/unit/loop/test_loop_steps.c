/* The loop's steps over a language model of paper: it answers from a hash of the question, in any order of arrival, and
 * may be interrupted after any number of answers. Whatever it does, the store must come out the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/file.h"
#include "core/mem.h"
#include "core/rng.h"
#include "loop/figures.h"
#include "loop/internal.h"
#include "store/statement.h"

/* ---- the paper model ---- */

struct paper {
    struct ste_llm llm;
    struct ste_answer *flying; /* answered when asked, told later */
    size_t n, cap;
};

static size_t window = 8;
static int arrival;          /* 0: first in first out, 1: last in first out, 2: shuffled */
static long answers_left;    /* then it is interrupted; negative: never */
static double share_a = 0.5; /* of verdicts for A */

static double share(uint64_t *key)
{
    struct ste_rng r;
    ste_rng_init(&r, (*key)++, 0);
    return ste_rng_uniform(&r);
}

static int paper_prepare(struct ste_llm *l, const struct ste_ask *ask, struct ste_question *q, struct ste_err *err)
{
    char how[64];
    snprintf(how, sizeof how, "%d/%d/%g/%llu", ask->sample, ask->adapter, ask->sampling.temperature,
             (unsigned long long)ask->seed);
    const char *last = ask->messages[ask->n_messages - 1].content;
    uint64_t key = ste_key_of(last, how, NULL);
    if (strstr(last, "endless"))
        return ste_err_set(err, STE_ETOOLONG, "too long for the paper model");
    snprintf(q->address, sizeof q->address, "%016llx", (unsigned long long)key);
    q->n_prompt = 2;
    q->prompt = ste_xcalloc(2, sizeof *q->prompt);
    q->prompt[0] = (int32_t)(ste_key_of(last, NULL) & 0xffff);
    struct ste_answer *a = ste_xcalloc(1, sizeof *a);
    q->own = a;
    q->free_own = free;
    double u = share(&key);
    struct ste_completion *c = &a->completion;
    c->choice = -1;
    c->n = c->n_free = 1;
    c->finish = c->free_finish = u < 0.05 ? STE_FINISH_LENGTH : STE_FINISH_END;
    a->text = u < 0.1    ? ste_xstrdup(" ")
              : u < 0.15 ? ste_xstrdup("I'm sorry, but I can't do that.")
                         : ste_xasprintf("text %016llx%.*s", (unsigned long long)key, (int)(key % 5), "long");
    if (ask->n_choices) {
        bool cut = ask->max_tokens && u < 0.1;
        c->n_free = ask->max_tokens ? 1 : 0;
        c->n = cut ? 1 : 2;
        c->finish = cut ? STE_FINISH_LENGTH : STE_FINISH_CHOICE;
        if (!cut)
            c->choice = ask->n_choices == 2 ? share(&key) >= share_a : (int)(key % (unsigned)ask->n_choices);
        for (int i = 0; i < ask->n_choices; i++)
            c->choice_logprobs[i] = i == c->choice ? -0.25f : -2.0f;
    }
    if (ask->given) { /* as if it had been written */
        key = ste_key_of(last, ask->given, NULL);
        c->n = c->n_free = 1;
        c->finish = c->free_finish = STE_FINISH_END;
        free(a->text);
        a->text = ste_xstrdup(ask->given);
    }
    c->tokens = ste_xcalloc(c->n, sizeof *c->tokens);
    c->logprobs = ste_xcalloc(c->n, sizeof *c->logprobs);
    c->tokens[0] = (int32_t)(key & 0xffff);
    if (ask->given) { /* ten tokens, as likely as the hash says */
        a->n_written = 1;
        c->logprobs[0] = -(float)(key & 0xff) / 8;
    }
    return 0;
}

static int paper_submit(struct ste_llm *l, struct ste_question *q, struct ste_err *err)
{
    struct paper *p = (struct paper *)l;
    STE_GROW(p->flying, p->cap, p->n + 1);
    struct ste_answer *a = &p->flying[p->n++];
    *a = *(struct ste_answer *)q->own;
    a->ticket = q->ticket;
    a->tag = q->tag;
    memcpy(a->address, q->address, sizeof a->address);
    a->prompt = q->prompt;
    a->n_prompt = q->n_prompt;
    q->prompt = NULL;
    ste_question_clear(q);
    return 0;
}

static void take(struct paper *p, size_t i, struct ste_answer *out)
{
    *out = p->flying[i];
    memmove(&p->flying[i], &p->flying[i + 1], (p->n - i - 1) * sizeof *p->flying);
    p->n--;
}

static void paper_cancel(struct ste_llm *l, uint64_t ticket)
{
    struct paper *p = (struct paper *)l;
    for (size_t i = 0; i < p->n; i++)
        if (p->flying[i].ticket == ticket) {
            struct ste_answer a;
            take(p, i, &a);
            ste_answer_clear(&a);
            return;
        }
}

static int paper_next(struct ste_llm *l, struct ste_answer *out, struct ste_err *err)
{
    struct paper *p = (struct paper *)l;
    static uint64_t turn;
    if (answers_left == 0)
        return ste_err_set(err, STE_EINTERRUPTED, "interrupted");
    if (answers_left > 0)
        answers_left--;
    turn++;
    uint64_t key = turn;
    take(p, arrival == 0 ? 0 : arrival == 1 ? p->n - 1 : (size_t)(share(&key) * (double)p->n), out);
    return 1;
}

static void paper_close(struct ste_llm *l)
{
    struct paper *p = (struct paper *)l;
    for (size_t i = 0; i < p->n; i++)
        ste_answer_clear(&p->flying[i]);
    free(p->flying);
    free(p);
}

static int paper_load_adapter(struct ste_llm *l, const char *dir, int *handle, struct ste_err *err)
{
    *handle = 1;
    return 0;
}

static void paper_drop_adapter(struct ste_llm *l, int handle)
{
}

static int paper_tokenize(struct ste_llm *l, const char *text, int32_t **ids, size_t *n, struct ste_err *err)
{
    *n = strlen(text);
    *ids = ste_xcalloc(*n + 1, sizeof **ids);
    for (size_t i = 0; i < *n; i++)
        (*ids)[i] = (unsigned char)text[i];
    return 0;
}

static const char *paper_adapter_hash(const struct ste_llm *l, int handle)
{
    return "abcd";
}

static int paper_open(struct ste_llm **out, const char *model, const struct ste_llm_params *params, struct ste_err *err)
{
    static const struct ste_llm_ops ops = {.prepare = paper_prepare,
                                           .submit = paper_submit,
                                           .cancel = paper_cancel,
                                           .next = paper_next,
                                           .close = paper_close,
                                           .load_adapter = paper_load_adapter,
                                           .drop_adapter = paper_drop_adapter,
                                           .adapter_hash = paper_adapter_hash,
                                           .tokenize = paper_tokenize};
    struct paper *p = ste_xcalloc(1, sizeof *p);
    p->llm = (struct ste_llm){
        .ops = &ops,
        .about = {.name = "paper", .model_hash = "0123", .numerics = "paper 1", .can = 63, .window = window}};
    *out = &p->llm;
    return 0;
}

static int open_loop(struct ste_loop **out, const char *dir, const struct ste_recipe *r, struct ste_err *err)
{
    int rc = ste_loop_open(out, dir, r, err);
    if (rc == 0)
        (*out)->open_llm = paper_open;
    return rc;
}

/* ---- runs ---- */

static char *base;
static int n_runs;

static void make_files(const char *name, int n)
{
    struct ste_buf b = STE_BUF_INIT;
    static const char *const kinds[] = {"bake a cake with", "paint a picture of", "count all the", "name a town with"};
    static const char *const things[] = {"apples", "zebras", "old bridges", "green doors", "quiet rivers", "lamps"};
    for (int i = 0; i < n; i++)
        ste_buf_addf(&b, "{\"instruction\": \"How do I %s %d %s in week %d of %d?\"}\n", kinds[i % 4], 37 * i * i + 11,
                     things[i % 6], i, 1000 + 77 * i);
    ste_buf_adds(&b, "{\"instruction\": \"tiny\"}\n");
    ste_buf_adds(&b, "{\"instruction\": \"How do I bake a cake with 11 apples in week 0 of 1000?\"}\n");
    ste_buf_adds(&b, "{\"instruction\": \"An endless question that fits no context at all\"}\n");
    char *path = ste_path_join(base, name);
    assert_int_equal(ste_file_write(path, b.s, b.len, NULL), 0);
    free(path);
    ste_buf_clear(&b);
}

/* MORE: options of the recipe, separated by semicolons; or NULL. */
static void recipe(struct ste_recipe *r, const char *more)
{
    struct ste_err err = {0};
    ste_recipe_init(r);
    char *files = ste_xasprintf("instructions.files=%s/in.jsonl", base);
    const char *sets[] = {files, "models.seed=paper", "split.dev=0.15", "split.test=0.2", "judge.samples=5"};
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++)
        if (ste_options_set(ste_recipe_options, r, sets[i], &err) != 0)
            fail_msg("%s", err.msg);
    for (const char *at = more; at && *at;) {
        char *one = ste_xstrndup(at, strcspn(at, ";"));
        if (ste_options_set(ste_recipe_options, r, one, &err) != 0)
            fail_msg("%s", err.msg);
        at += strlen(one);
        at += *at == ';';
        free(one);
    }
    free(files);
}

static int add_line(void *arg, const char *json, struct ste_err *err)
{
    ste_buf_adds(arg, json);
    ste_buf_addc(arg, '\n');
    return 0;
}

static int steps(struct ste_loop *l, struct ste_err *err)
{
    int rc = ste_loop_select(l, err);
    if (rc == 0)
        rc = ste_loop_pair(l, err);
    if (rc == 0)
        rc = ste_loop_check(l, err);
    if (rc == 0)
        rc = ste_loop_evaluate(l, 0, err);
    if (rc == 0)
        rc = ste_loop_judge(l, 1, err);
    return rc == 0 ? ste_loop_filter(l, 1, err) : rc;
}

/* Runs to the filter, interrupted every INTERRUPT answers, and returns the dump. */
static char *run(const char *more, long interrupt, char **dir_out)
{
    struct ste_recipe r;
    recipe(&r, more);
    char *dir = ste_xasprintf("%s/run-%d", base, n_runs++);
    struct ste_err err = {0};
    int rc = STE_EINTERRUPTED;
    struct ste_buf dump = STE_BUF_INIT;
    for (int turn = 0; rc == STE_EINTERRUPTED && turn < 2000; turn++) {
        struct ste_loop *l;
        answers_left = interrupt;
        if (open_loop(&l, dir, &r, &err) != 0)
            fail_msg("%s", err.msg);
        rc = steps(l, &err);
        if (rc == 0) {
            answers_left = 0; /* again: nothing may be asked */
            rc = steps(l, &err);
            assert_int_equal(rc, 0);
            assert_int_equal(ste_store_dump(l->store, add_line, &dump, &err), 0);
        }
        ste_loop_close(l);
    }
    if (rc != 0)
        fail_msg("%s", err.msg);
    ste_recipe_clear(&r);
    if (dir_out)
        *dir_out = dir;
    else
        free(dir);
    return ste_buf_detach(&dump);
}

static void same(const char *a, const char *b)
{
    if (strcmp(a, b) == 0)
        return;
    size_t i = 0, line = 0;
    for (; a[i] == b[i]; i++)
        line = a[i] == '\n' ? i + 1 : line;
    fail_msg("dumps differ:\n%.600s\n----\n%.600s", a + line, b + line);
}

static void same_for_all_orders(const char *more)
{
    window = 8;
    arrival = 0;
    char *want = run(more, -1, NULL);
    assert_non_null(strstr(want, "\"table\":\"judgment\""));
    assert_non_null(strstr(want, "\"table\":\"example\""));
    static const size_t windows[] = {1, 3, 64};
    for (size_t w = 0; w < 3; w++)
        for (arrival = 0; arrival < 3; arrival++) {
            window = windows[w];
            char *got = run(more, w == 1 ? 37 : -1, NULL);
            same(want, got);
            free(got);
        }
    arrival = 0;
    window = 8;
    free(want);
}

static int64_t count(struct ste_loop *l, const char *sql)
{
    int64_t n;
    assert_int_equal(ste_store_count(l->store, &n, NULL, sql, ""), 0);
    return n;
}

static void test_orders(void **state)
{
    same_for_all_orders(NULL);
}
static void test_both_orders(void **state)
{
    same_for_all_orders("judge.orders=both");
}
static void test_all_samples(void **state)
{
    same_for_all_orders("judge.stop_early=false");
}
static void test_kinds(void **state)
{
    same_for_all_orders("pair.kinds=worse=1");
    same_for_all_orders("pair.kinds=modify=1,other=2,weaker=1,sampled=2");
}
static void test_labels(void **state)
{
    same_for_all_orders("select.labels=llm");
}

static void test_margin_rule(void **state)
{
    same_for_all_orders("judge.orders=both;filter.rule=margin;filter.trust_from=1;filter.weigh=true");
    same_for_all_orders("judge.orders=both;filter.rule=margin;prompts.pack=brief;filter.min_probability=0.6");
    same_for_all_orders("filter.rule=share;filter.min_share=0.4");
}

static void test_match_length(void **state)
{
    char *dir;
    free(run("check.match_length=true;check.margin=-100;pair.kinds=modify=1,weaker=1", -1, &dir));
    struct ste_loop *l;
    assert_int_equal(open_loop(&l, dir, NULL, NULL), 0);
    assert_true(count(l, "SELECT count(*) FROM pair WHERE state = 'check: cut to match length'") > 0);
    assert_int_equal(count(l,
                           "SELECT count(*) FROM (SELECT 1 FROM pair WHERE state = 'kept' GROUP BY kind, split HAVING "
                           "sum(length(chosen) > length(rejected)) <> sum(length(chosen) < length(rejected)))"),
                     0);
    ste_loop_close(l);
    free(dir);
}

static void test_held_back(void **state)
{
    char *dir;
    free(run("pair.kinds=modify=1,other=1,weaker=2", -1, &dir));
    struct ste_loop *l;
    assert_int_equal(open_loop(&l, dir, NULL, NULL), 0);
    const int64_t other =
                      count(l, "SELECT count(*) FROM pair WHERE state = 'kept' AND split = 'train' AND kind = 'other'"),
                  all = count(l, "SELECT count(*) FROM pair WHERE state = 'kept' AND split = 'train'");
    struct ste_strings held, again;
    struct ste_err err = {0};
    assert_int_equal(ste_loop_held_back(l, 1, &held, &err), 0);
    assert_int_equal(held.n, 0);
    assert_int_equal(ste_options_set(ste_recipe_options, &l->recipe, "filter.kinds=other=1,other=1 weaker=1", &err), 0);
    assert_int_equal(ste_loop_held_back(l, 1, &held, &err), 0);
    assert_int_equal(held.n, all - other);
    assert_int_equal(ste_loop_held_back(l, 3, &again, &err), 0); /* the last shares go on */
    assert_true(again.n < held.n);
    for (size_t i = 0; i < again.n; i++) /* and what is taken in the first iteration stays */
        assert_true(ste_loop_is_held_back(&held, again.items[i]));
    ste_strings_clear(&held);
    ste_strings_clear(&again);
    assert_int_equal(ste_options_set(ste_recipe_options, &l->recipe, "filter.kinds=refuse=1", &err), 0);
    assert_int_equal(ste_loop_held_back(l, 1, &held, &err), STE_ETHRESHOLD);
    ste_strings_clear(&held);
    ste_loop_close(l);
    free(dir);
}

static void test_counts(void **state)
{
    char *dir;
    free(run("pair.tries=1", -1, &dir));
    struct ste_loop *l;
    assert_int_equal(open_loop(&l, dir, NULL, NULL), 0);
    assert_int_equal(count(l, "SELECT count(*) FROM instruction"), 63);
    assert_int_equal(count(l, "SELECT count(*) FROM instruction WHERE state = 'too short'"), 1);
    assert_int_equal(count(l, "SELECT count(*) FROM instruction WHERE state LIKE '% duplicate' AND duplicate_of IS NOT "
                              "NULL"),
                     1);
    assert_int_equal(count(l, "SELECT count(*) FROM instruction WHERE state = 'kept'"),
                     count(l, "SELECT count(*) FROM pair"));
    assert_int_equal(count(l, "SELECT count(*) FROM pair WHERE state = 'answer: prompt too long'"), 1);
    assert_true(count(l, "SELECT count(*) FROM pair WHERE state = 'answer: refusal'") > 0);
    assert_true(count(l, "SELECT count(*) FROM pair WHERE state = 'answer: cut off'") > 0);
    assert_int_equal(count(l, "SELECT count(*) FROM outcome"),
                     count(l, "SELECT count(*) FROM pair WHERE state = 'kept' AND split = 'train'"));
    /* one right judgment is the last of its pair; sample 0 is there for every pair */
    assert_int_equal(count(l,
                           "SELECT count(*) FROM judgment j WHERE correct AND EXISTS (SELECT 1 FROM judgment k WHERE "
                           "k.pair = j.pair AND k.sample > j.sample)"),
                     0);
    assert_int_equal(count(l, "SELECT count(*) FROM judgment WHERE sample = 0"),
                     count(l, "SELECT count(*) FROM outcome"));
    assert_int_equal(count(l, "SELECT count(*) FROM example WHERE label = 'A'"),
                     count(l, "SELECT count(*) FROM example WHERE label = 'B'"));
    assert_int_equal(count(l, "SELECT count(*) FROM judgment WHERE provenance NOT IN (SELECT id FROM provenance)"), 0);
    assert_true(count(l, "SELECT count(*) FROM judgment WHERE reason = 'cut off'") > 0);
    struct ste_outcome *o;
    size_t n;
    assert_int_equal(ste_loop_outcomes(l->store, "test", 0, 0, &o, &n, NULL), 0);
    assert_int_equal(n, count(l, "SELECT count(*) FROM pair WHERE state = 'kept' AND split = 'test'"));
    ste_outcomes_clear(o, n);
    free(o);
    ste_loop_close(l);
    free(dir);
}

static void test_one_sided(void **state)
{
    struct ste_recipe r;
    recipe(&r, "judge.temperature=0.3");
    char *dir = ste_path_join(base, "one-sided");
    struct ste_loop *l;
    struct ste_err err = {0};
    answers_left = -1;
    share_a = 1;
    assert_int_equal(open_loop(&l, dir, &r, &err), 0);
    assert_int_equal(steps(l, &err), STE_ETHRESHOLD);
    assert_non_null(strstr(err.msg, "label B"));
    share_a = 0.5;
    ste_loop_close(l);
    ste_recipe_clear(&r);
    free(dir);
}

static void test_changed_recipe(void **state)
{
    char *dir;
    free(run(NULL, -1, &dir));
    struct ste_recipe r;
    struct ste_loop *l = NULL;
    struct ste_err err = {0};
    recipe(&r, "judge.samples=9");
    assert_int_equal(open_loop(&l, dir, &r, &err), STE_EUSAGE);
    assert_non_null(strstr(err.msg, "judge.samples: 5 -> 9"));
    ste_recipe_clear(&r);
    recipe(&r, "engine.threads=3");
    assert_int_equal(ste_options_set(ste_recipe_options, &r, "iterations=7", NULL), 0);
    assert_int_equal(open_loop(&l, dir, &r, &err), 0);
    struct ste_loop *second = NULL;
    assert_int_equal(open_loop(&second, dir, &r, &err), STE_EBUSY);
    ste_loop_close(l);
    ste_recipe_clear(&r);
    recipe(&r, "iterations=3"); /* fewer than 7: that is a change */
    assert_int_equal(open_loop(&l, dir, &r, &err), STE_EUSAGE);
    ste_recipe_clear(&r);
    free(dir);
}

/* Text without BASE, which is another in each run. */
static char *without_base(const char *text)
{
    struct ste_buf b = STE_BUF_INIT;
    for (const char *at = text, *hit; *at; at = hit + strlen(base)) {
        if (!(hit = strstr(at, base))) {
            ste_buf_adds(&b, at);
            break;
        }
        ste_buf_add(&b, at, (size_t)(hit - at));
    }
    return ste_buf_detach(&b);
}

/* A run's rows are those that tests/fixtures/loop_dump.jsonl was made from, ids and places and all: what changes them
 * all alike is seen here only. GOLDEN=write in the environment makes the file anew. */
static void test_golden(void **state)
{
    static const char path[] = STE_SOURCE_DIR "/tests/fixtures/loop_dump.jsonl";
    char *dump = run("select.limit=9;judge.samples=3;pair.kinds=modify=2,other=1;engine.activations=f32;"
                     "train.activations=f32;prompts.pack=direct",
                     -1, NULL);
    char *got = without_base(dump);
    struct ste_buf want = STE_BUF_INIT;
    struct ste_err err = {0};
    const char *golden = getenv("GOLDEN");
    if (golden && strcmp(golden, "write") == 0)
        assert_int_equal(ste_file_write(path, got, strlen(got), &err), 0);
    if (ste_file_read(path, 1 << 24, &want, &err) != 0)
        fail_msg("%s", err.msg);
    same(want.s, got);
    ste_buf_clear(&want);
    free(got);
    free(dump);
}

static int setup(void **state)
{
    const char *tmp = getenv("TMPDIR");
    base = ste_xasprintf("%s/ste-loop-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(base));
    make_files("in.jsonl", 60);
    return 0;
}

static int teardown(void **state)
{
    char *command = ste_xasprintf("rm -rf '%s'", base);
    int rc = system(command);
    free(command);
    free(base);
    return rc;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_orders),       cmocka_unit_test(test_both_orders),    cmocka_unit_test(test_all_samples),
        cmocka_unit_test(test_kinds),        cmocka_unit_test(test_margin_rule),    cmocka_unit_test(test_held_back),
        cmocka_unit_test(test_match_length), cmocka_unit_test(test_labels),         cmocka_unit_test(test_counts),
        cmocka_unit_test(test_one_sided),    cmocka_unit_test(test_changed_recipe), cmocka_unit_test(test_golden),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
