/* The loop's steps over a language model of paper, interrupted and in any order of arrival: whatever it does, the store
 * must come out the same. */
#include "paper.h"

#include "loop/figures.h"

static int n_runs;

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

/* Of a finished run: rows of what is trained on, each of which is a preference. */
static struct ste_loop *preferences(const char *more, char **dir)
{
    struct ste_loop *l;
    free(run(more, -1, dir));
    assert_int_equal(open_loop(&l, *dir, NULL, NULL), 0);
    assert_true(count(l, "SELECT count(*) FROM example") > 4);
    assert_int_equal(count(l, "SELECT count(*) FROM example WHERE rejected IS NULL OR rejected = completion"), 0);
    assert_int_equal(count(l, "SELECT count(*) FROM outcome"),
                     count(l, "SELECT count(*) FROM pair WHERE state = 'kept' AND split = 'train'"));
    assert_int_equal(count(l, "SELECT count(DISTINCT pair) FROM example"),
                     count(l, "SELECT count(*) FROM outcome WHERE state = 'kept'"));
    return l;
}

/* Right against wrong judgments of a pair in an order: all are drawn, and the right one of lowest index is preferred to
 * the wrong one of lowest index. */
static void test_preferences(void **state)
{
    char *dir;
    same_for_all_orders("train.objective=dpo;judge.orders=both;filter.verdict_only=0.4");
    struct ste_loop *l =
        preferences("train.objective=dpo;filter.per_pair=order;judge.orders=both;judge.samples=2", &dir);
    const int64_t examples = count(l, "SELECT count(*) FROM example");
    assert_int_equal(count(l, "SELECT count(*) FROM (SELECT 1 FROM judgment WHERE prompt IS NOT NULL GROUP BY pair, "
                              "winner HAVING count(*) <> 2)"),
                     0);
    assert_int_equal(count(l,
                           "SELECT count(*) FROM example e JOIN judgment j ON j.id = e.judgment JOIN judgment k ON "
                           "k.id = e.rejected_judgment WHERE j.correct AND NOT k.correct AND j.pair = k.pair AND "
                           "j.winner = k.winner AND j.iteration = k.iteration AND j.prompt = k.prompt AND e.border = "
                           "0"),
                     examples);
    assert_int_equal(count(l, "SELECT count(*) FROM example e JOIN judgment k ON k.id = e.rejected_judgment JOIN "
                              "judgment m ON m.pair = k.pair AND m.winner = k.winner WHERE m.verdict <> 'invalid' AND "
                              "NOT m.correct AND (m.sample < k.sample OR k.verdict = 'invalid')"),
                     0);
    assert_true(count(l, "SELECT count(*) FROM outcome WHERE state = 'none wrong'") > 0);
    assert_int_equal(count(l, "SELECT count(*) FROM outcome o WHERE state = 'none wrong' AND EXISTS (SELECT 1 FROM "
                              "judgment j JOIN judgment k ON k.pair = j.pair AND k.winner = j.winner WHERE j.pair = "
                              "o.pair AND j.correct AND k.verdict <> 'invalid' AND NOT k.correct)"),
                     0);
    ste_loop_close(l);
    free(dir);
}

/* Of verdicts at once the right label is preferred to the other one, which nothing need have drawn: the saving stays
 * exact. */
static void test_preferred_labels(void **state)
{
    char *dir;
    struct ste_loop *l = preferences("train.objective=dpo;prompts.pack=brief", &dir);
    assert_int_equal(count(l, "SELECT count(*) FROM example WHERE rejected_judgment IS NULL AND border = 1 AND "
                              "length(rejected) = 8 AND length(completion) = 8 AND substr(rejected, 1, 4) = "
                              "substr(completion, 1, 4) AND hex(substr(completion, 5, 1)) = hex(label) AND "
                              "hex(substr(rejected, 5, 1)) = hex(CASE label WHEN 'A' THEN 'B' ELSE 'A' END)"),
                     count(l, "SELECT count(*) FROM example"));
    assert_int_equal(count(l,
                           "SELECT count(*) FROM judgment j WHERE correct AND EXISTS (SELECT 1 FROM judgment k WHERE "
                           "k.pair = j.pair AND k.sample > j.sample)"),
                     0);
    ste_loop_close(l);
    free(dir);
}

static void test_match_length(void **state)
{
    char *dir;
    free(run("check.longer=0.5;check.margin=-100;pair.kinds=modify=1,weaker=1", -1, &dir));
    struct ste_loop *l;
    assert_int_equal(open_loop(&l, dir, NULL, NULL), 0);
    assert_true(count(l, "SELECT count(*) FROM pair WHERE state = 'check: cut to match length'") > 0);
    assert_int_equal(count(l,
                           "SELECT count(*) FROM (SELECT 1 FROM pair WHERE state = 'kept' GROUP BY kind, split HAVING "
                           "(sum(length(chosen) > length(rejected)) - sum(length(chosen) < length(rejected))) * "
                           "(sum(length(chosen) > length(rejected)) - sum(length(chosen) < length(rejected))) > "
                           "sum(length(chosen) <> length(rejected)))"),
                     0);
    ste_loop_close(l);
    free(dir);
}

/* The chosen answer of a disputed pair is held against the answer to another instruction, in a pair that is checked too. */
static void test_made_again(void **state)
{
    char *dir;
    same_for_all_orders("check.disputed=other");
    free(run("check.disputed=other", -1, &dir));
    struct ste_loop *l;
    assert_int_equal(open_loop(&l, dir, NULL, NULL), 0);
    const int64_t again = count(l, "SELECT count(*) FROM pair WHERE state = 'check: disputed, made again'");
    assert_true(again > 0);
    assert_int_equal(
        count(l, "SELECT count(*) FROM pair p JOIN pair q ON q.instruction = p.instruction AND q.id <> p.id JOIN "
                 "generation g ON g.id = q.rejected_from JOIN instruction i ON i.id = g.instruction JOIN pair_check c "
                 "ON c.pair = q.id WHERE p.state = 'check: disputed, made again' AND p.kind = 'modify' AND q.kind = "
                 "'other' AND q.chosen = p.chosen AND i.id <> p.instruction AND i.split = p.split AND g.kind = 'answer' "
                 "AND (q.state = 'kept') = (c.margin >= 4)"),
        again);
    assert_int_equal(count(l, "SELECT count(*) FROM pair WHERE state <> 'check: disputed, made again'"),
                     count(l, "SELECT count(*) FROM instruction WHERE state = 'kept'"));
    ste_loop_close(l);
    free(dir);
}

/* A longer answer of a weaker model ends with a whole sentence, and is no longer than the one that it is held against.
 */
static void test_weaker_trim(void **state)
{
    static const char of_both[] = "FROM pair p JOIN generation g ON g.id = p.rejected_from WHERE p.kind = 'weaker' AND "
                                  "p.rejected IS NOT NULL AND trim(g.text) ";
    for (int all = 0; all < 2; all++) {
        char *dir, *sql = ste_xasprintf("SELECT count(*) %s <> p.rejected", of_both),
                   *longer = ste_xasprintf("SELECT count(*) %s <> p.rejected AND length(p.rejected) > length(p.chosen)",
                                           of_both);
        free(run(all ? "pair.weaker_trim=1;pair.kinds=weaker=1" : "pair.kinds=weaker=1", -1, &dir));
        struct ste_loop *l;
        assert_int_equal(open_loop(&l, dir, NULL, NULL), 0);
        assert_int_equal(count(l, sql) > 0, all);
        assert_int_equal(count(l, longer), 0);
        ste_loop_close(l);
        free(dir);
        free(sql);
        free(longer);
    }
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
    const int64_t weaker = count(
        l, "SELECT count(*) FROM pair WHERE state = 'kept' AND split = 'train' AND kind = 'weaker'");
    assert_int_equal(again.n, all - 2 * (other < weaker ? other : weaker)); /* as many of the one as of the other */
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
    /* and what became of every pair is in the store all the same, also after a second try */
    assert_int_equal(ste_loop_filter(l, 1, &err), STE_ETHRESHOLD);
    assert_non_null(strstr(err.msg, "label B"));
    assert_true(count(l, "SELECT count(*) FROM outcome WHERE state = 'cut for balance'") > 0);
    assert_int_equal(count(l, "SELECT count(*) FROM outcome"),
                     count(l, "SELECT count(*) FROM pair WHERE state = 'kept' AND split = 'train'"));
    assert_int_equal(count(l, "SELECT count(*) FROM example"), 0);
    assert_int_equal(count(l, "SELECT count(*) FROM iteration WHERE stop LIKE 'filter, iteration 1:%'"), 1);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_orders),           cmocka_unit_test(test_both_orders),
        cmocka_unit_test(test_all_samples),      cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_margin_rule),      cmocka_unit_test(test_preferences),
        cmocka_unit_test(test_preferred_labels), cmocka_unit_test(test_held_back),
        cmocka_unit_test(test_made_again),       cmocka_unit_test(test_match_length),     cmocka_unit_test(test_weaker_trim),
        cmocka_unit_test(test_labels),           cmocka_unit_test(test_counts),
        cmocka_unit_test(test_one_sided),        cmocka_unit_test(test_changed_recipe),
        cmocka_unit_test(test_golden),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
