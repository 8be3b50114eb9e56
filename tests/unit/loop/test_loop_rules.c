/* What ends a run, what it is measured on, and a store that cannot be read: over the model of paper. */
#include "paper.h"

#include "loop/figures.h"
#include "loop/roles.h"

/* ---- a run whose training is made up ---- */

static struct ste_loop *selected(const char *name, const char *more)
{
    struct ste_recipe r;
    struct ste_loop *l;
    struct ste_err err = {0};
    char *dir = ste_path_join(base, name);
    recipe(&r, more);
    answers_left = -1;
    int rc = open_loop(&l, dir, &r, &err);
    if (rc == 0)
        rc = ste_loop_select(l, &err);
    if (rc == 0)
        rc = ste_loop_pair(l, &err);
    if (rc == 0)
        rc = ste_loop_check(l, &err);
    if (rc != 0)
        fail_msg("%s", err.msg);
    ste_recipe_clear(&r);
    free(dir);
    return l;
}

/* As if ITERATION had been trained, with the log-loss of its chosen checkpoint on dev pairs. */
static void trained(struct ste_loop *l, int iteration, double log_loss)
{
    struct ste_err err = {0};
    int rc = ste_loop_judge(l, iteration, &err);
    if (rc == 0)
        rc = ste_loop_filter(l, iteration, &err);
    const struct ste_checkpoint_row checkpoint = {
        .iteration = iteration, .step = 4, .adapter_hash = "abcd", .pairs = 9, .log_loss = log_loss};
    const struct ste_iteration_row row = {
        .iteration = iteration, .chosen_step = 4, .adapter_hash = "abcd", .provenance = "made up"};
    if (rc == 0)
        rc = ste_put_checkpoint(l->store, &checkpoint, &err);
    if (rc == 0)
        rc = ste_set_adapter(l->store, &row, &err);
    if (rc != 0)
        fail_msg("%s", err.msg);
}

static int stopped(struct ste_loop *l, int iteration, const char *why)
{
    struct ste_err err = {0};
    int64_t n;
    char *like = ste_xasprintf("%s%%", why);
    int rc = ste_store_count(l->store, &n, &err, "SELECT count(*) FROM iteration WHERE iteration = ? AND stop LIKE ?",
                             "it", (int64_t)iteration, like);
    if (rc != 0)
        fail_msg("%s", err.msg);
    free(like);
    return (int)n;
}

/* ---- stop rules ---- */

static void test_drift(void **state)
{
    static const struct {
        const char *limit;
        double share_a;
        const char *why; /* NULL: it goes on to its training, for which paper is no model */
    } cases[] = {
        {"stop.drift=0.8", 0.97, "drift: the judge of iteration 2 gives "},
        {"stop.drift=0.8", 0.03, "drift: the judge of iteration 2 gives "},
        {"stop.drift=0.8", 0.5, NULL},
        {"stop.drift=1", 0.97, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ste_err err = {0};
        char *name = ste_xasprintf("drift-%zu", i), *more = ste_xasprintf("%s;filter.balance=false", cases[i].limit);
        struct ste_loop *l = selected(name, more);
        trained(l, 1, 0.7);
        share_a = cases[i].share_a;
        assert_int_equal(ste_loop_iterate(l, 2, &err), cases[i].why ? 0 : STE_EUSAGE);
        if (cases[i].why) {
            assert_int_equal(stopped(l, 2, cases[i].why), 1);
            assert_int_equal(stopped(l, 2, i ? "%to the second position%" : "%to the first position%"), 1);
            answers_left = 0; /* nothing is asked any more */
            assert_int_equal(ste_loop_iterate(l, 2, &err), 0);
        } else {
            assert_non_null(strstr(err.msg, "is no model of this machine"));
            assert_int_equal(count(l, "SELECT count(*) FROM iteration WHERE stop IS NOT NULL"), 0);
        }
        share_a = 0.5;
        ste_loop_close(l);
        free(name);
        free(more);
    }
}

/* A figure that is the same to the last bit is no loss, and one that differs in the last bits is. */
static void test_min_gain(void **state)
{
    static const struct {
        const char *least;
        double before, now;
        bool ends;
    } cases[] = {
        {"stop.min_gain=0", 1.0 / 3, 1.0 / 3, false},
        {"stop.min_gain=0", 5.0 / 7, 5.0 / 7, false},
        {"stop.min_gain=0", 1.0 / 3, 1.0 / 3 + 1e-15, true},
        {"stop.min_gain=0", 1.0 / 3, 1.0 / 3 - 1e-15, false},
        {"stop.min_gain=0.125", 0.75, 0.625, false},
        {"stop.min_gain=0.125", 0.75, 0.626, true},
        {"stop.min_gain=-1", 0.5, 9, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ste_err err = {0};
        char *name = ste_xasprintf("gain-%zu", i);
        struct ste_loop *l = selected(name, cases[i].least);
        trained(l, 1, cases[i].before);
        trained(l, 2, cases[i].now);
        if (ste_loop_iterate(l, 2, &err) != 0)
            fail_msg("%s", err.msg);
        assert_int_equal(stopped(l, 2, "no gain: "), cases[i].ends);
        ste_loop_close(l);
        free(name);
    }
}

/* What ended a run ends it for `ste run` and for the next iteration by itself. */
static void test_no_iteration_behind_the_end(void **state)
{
    struct ste_err err = {0};
    int iteration;
    struct ste_loop *l = selected("ended", "stop.min_gain=1;iterations=3");
    trained(l, 1, 99); /* held against the seed, which is asked */
    assert_int_equal(ste_loop_iterate(l, 1, &err), 0);
    assert_int_equal(stopped(l, 1, "no gain: "), 1);
    assert_int_equal(ste_loop_current(l, &iteration, &err), 0);
    assert_int_equal(iteration, 2);
    for (int i = 2; i <= 3; i++)
        assert_int_equal(ste_loop_iterate(l, i, &err), 0);
    assert_int_equal(ste_loop_run(l, &err), 0);
    assert_int_equal(count(l, "SELECT count(*) FROM judgment WHERE iteration > 1"), 0);
    assert_int_equal(count(l, "SELECT count(*) FROM iteration"), 1);
    ste_loop_close(l);
}

/* ---- evaluation files ---- */

static void put(const char *name, const char *text)
{
    char *path = ste_path_join(base, name), *slash = strrchr(path, '/');
    *slash = 0;
    assert_int_equal(ste_mkdirs(path, NULL), 0);
    *slash = '/';
    assert_int_equal(ste_file_write(path, text, strlen(text), NULL), 0);
    free(path);
}

#define PAIR(id, more)                                                                                                 \
    "{\"id\": \"" id "\", \"prompt\": \"Why " id "?\", \"chosen\": \"yes\", \"rejected\": \"no\"" more "}\n"

/* Every file is scored whole in every iteration, under a name of its own; interrupted or not, to the same rows. */
static void test_eval_files(void **state)
{
    struct ste_err err = {0};
    put("a/test.jsonl", PAIR("x", "") PAIR("y", "") PAIR("t", ", \"tie\": true"));
    put("b/test.jsonl", PAIR("x", "") PAIR("z", "") PAIR("u", "") PAIR("v", ""));
    char *more = ste_xasprintf("eval.files=[%s/a/test.jsonl, %s/b/test.jsonl]", base, base);
    struct ste_loop *l = selected("files", more);
    trained(l, 1, 0.5);
    for (int i = 0; i < 2; i++) {
        answers_left = 5; /* within the second file: what came stays */
        while (ste_loop_evaluate(l, i, &err) == STE_EINTERRUPTED)
            answers_left = 5;
        answers_left = 0; /* nothing is left to ask */
        assert_int_equal(ste_loop_evaluate(l, i, &err), 0);
    }
    static const struct {
        const char *suite;
        size_t pairs, judged;
    } want[] = {{"eval:a/test", 3, 2}, {"eval:b/test", 4, 4}};
    for (int i = 0; i < 2; i++)
        for (size_t f = 0; f < 2; f++) {
            struct ste_outcome *o;
            size_t n, judged = 0;
            assert_int_equal(ste_loop_outcomes(l->store, want[f].suite, i, 0, &o, &n, &err), 0);
            assert_int_equal(n, want[f].pairs);
            for (size_t k = 0; k < n; k++)
                judged += o[k].judged;
            assert_int_equal(judged, want[f].judged);
            ste_outcomes_clear(o, n);
            free(o);
        }
    assert_int_equal(count(l, "SELECT count(*) FROM evaluation WHERE suite LIKE 'eval:%'"), 2 * 2 * 7);
    put("b/test.jsonl", PAIR("x", "") PAIR("z", "") PAIR("u", "") PAIR("w", ""));
    assert_int_equal(ste_loop_evaluate(l, 1, &err), STE_EUSAGE);
    assert_non_null(strstr(err.msg, "b/test.jsonl is not the file"));
    ste_loop_close(l);
    free(more);
}

/* ---- a store that cannot be read ---- */

static void sql(struct ste_loop *l, const char *text)
{
    assert_int_equal(ste_store_exec(l->store, NULL, text, ""), 0);
}

/* What cannot be read is not taken for what is not there: the run keeps its recipe, its models and its rows. */
static void test_read_errors(void **state)
{
    struct ste_recipe other;
    struct ste_err err = {0};
    struct ste_loop *l = selected("unread", "seed=5"), *second;
    char *dir = ste_path_join(base, "unread"), *yaml = ste_path_join(dir, "recipe.resolved.yaml");
    struct ste_buf was = STE_BUF_INIT, is = STE_BUF_INIT;
    assert_int_equal(ste_file_read(yaml, 1 << 20, &was, &err), 0);
    sql(l, "ALTER TABLE meta RENAME TO hidden");
    const int64_t instructions = count(l, "SELECT count(*) FROM instruction");
    assert_true(ste_loop_select(l, &err) < 0);
    assert_int_equal(count(l, "SELECT count(*) FROM instruction"), instructions);
    ste_loop_models_close(l); /* so that the seed is opened anew, and its hash looked up */
    assert_true(ste_loop_evaluate(l, 0, &err) < 0);
    ste_loop_close(l);
    recipe(&other, "seed=6");
    assert_true(open_loop(&second, dir, &other, &err) < 0);
    assert_non_null(strstr(err.msg, "meta"));
    assert_true(open_loop(&second, dir, NULL, &err) < 0);
    assert_int_equal(ste_file_read(yaml, 1 << 20, &is, &err), 0);
    assert_string_equal(was.s, is.s);
    struct ste_store *s;
    assert_int_equal(ste_store_open(&s, dir, 0, 0, &err), 0);
    assert_int_equal(ste_store_exec(s, &err, "ALTER TABLE hidden RENAME TO meta", ""), 0);
    ste_store_close(s);
    assert_int_equal(open_loop(&second, dir, &other, &err), STE_EUSAGE);
    assert_non_null(strstr(err.msg, "seed: 5 -> 6"));
    assert_int_equal(open_loop(&l, dir, NULL, &err), 0);
    sql(l, "ALTER TABLE iteration RENAME TO gone");
    int iteration = -7;
    assert_true(ste_loop_current(l, &iteration, &err) < 0);
    assert_int_equal(iteration, 1);
    ste_loop_close(l);
    ste_recipe_clear(&other);
    ste_buf_clear(&was);
    ste_buf_clear(&is);
    free(dir);
    free(yaml);
}

/* A row whose parts do not fit together is an error, and no example less. */
static void test_damaged_judgment(void **state)
{
    struct ste_err err = {0};
    struct ste_loop *l = selected("damaged", NULL);
    assert_int_equal(ste_loop_judge(l, 1, &err), 0);
    sql(l, "UPDATE judgment SET n_free = 99 WHERE id = (SELECT min(id) FROM judgment WHERE correct)");
    assert_int_equal(ste_loop_filter(l, 1, &err), STE_EINPUT);
    assert_non_null(strstr(err.msg, "is damaged"));
    assert_int_equal(count(l, "SELECT count(*) FROM example"), 0);
    ste_loop_close(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_drift),       cmocka_unit_test(test_min_gain),
        cmocka_unit_test(test_eval_files),  cmocka_unit_test(test_no_iteration_behind_the_end),
        cmocka_unit_test(test_read_errors), cmocka_unit_test(test_damaged_judgment),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
