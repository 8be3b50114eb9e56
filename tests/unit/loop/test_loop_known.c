/* Kinds whose truth is known, over the model of paper: damaged answers, samples held against known answers, and pairs
 * that people have labelled. */
#include "paper.h"

static struct ste_loop *paired(const char *name, const char *more, int how, struct ste_err *err)
{
    struct ste_recipe r;
    struct ste_loop *l;
    char *dir = ste_path_join(base, name), *all = ste_xasprintf("instructions.files=%s/known.jsonl;%s", base, more);
    recipe(&r, all);
    arrival = how;
    answers_left = -1;
    if (open_loop(&l, dir, &r, err) != 0)
        fail_msg("%s", err->msg);
    int rc = ste_loop_select(l, err);
    if (rc == 0)
        rc = ste_loop_pair(l, err);
    ste_recipe_clear(&r);
    free(dir);
    free(all);
    if (rc == 0)
        return l;
    ste_loop_close(l);
    return NULL;
}

static int add_line(void *arg, const char *json, struct ste_err *err)
{
    ste_buf_adds(arg, json);
    ste_buf_addc(arg, '\n');
    return 0;
}

/* The same rows whatever comes first; gives the run. */
static struct ste_loop *in_any_order(const char *name, const char *more)
{
    struct ste_buf dumps[3] = {STE_BUF_INIT, STE_BUF_INIT, STE_BUF_INIT};
    struct ste_err err = {0};
    struct ste_loop *l = NULL;
    for (int how = 2; how >= 0; how--) {
        char *dir = ste_xasprintf("%s-%d", name, how);
        ste_loop_close(l);
        if (!(l = paired(dir, more, how, &err)))
            fail_msg("%s", err.msg);
        assert_int_equal(ste_store_dump(l->store, add_line, &dumps[how], &err), 0);
        free(dir);
    }
    assert_string_equal(dumps[0].s, dumps[1].s);
    assert_string_equal(dumps[0].s, dumps[2].s);
    for (int how = 0; how < 3; how++)
        ste_buf_clear(&dumps[how]);
    return l;
}

static void test_corrupt(void **state)
{
    struct ste_loop *l = in_any_order("corrupt", "pair.kinds=corrupt=1");
    const int64_t kept = count(l, "SELECT count(*) FROM pair WHERE state = 'kept'");
    assert_true(kept > 20);
    /* A rule and the answer that it was applied to stand behind every one. */
    assert_int_equal(count(l,
                           "SELECT count(*) FROM pair p JOIN generation g ON g.id = p.rejected_from JOIN provenance o "
                           "ON o.id = g.provenance WHERE p.state = 'kept' AND o.role = 'rule' AND g.parent = "
                           "p.chosen_from AND g.text = p.rejected AND p.rejected <> p.chosen AND label_source = "
                           "'constructed'"),
                     kept);
    assert_true(count(l, "SELECT count(DISTINCT sampling) FROM provenance WHERE role = 'rule'") >= 5);
    /* A sentence of another answer: which one is known. */
    assert_int_equal(count(l,
                           "SELECT count(*) FROM pair p JOIN generation g ON g.id = p.rejected_from JOIN provenance o "
                           "ON o.id = g.provenance WHERE (o.sampling LIKE '%foreign%') <> (p.modified_from IS NOT "
                           "NULL)"),
                     0);
    assert_true(count(l, "SELECT count(*) FROM pair WHERE state = 'no rule fits the answer'") > 0);
    assert_int_equal(count(l, "SELECT count(*) FROM pair"),
                     count(l, "SELECT count(*) FROM instruction WHERE state = 'kept'"));
    ste_loop_close(l);
}

static void test_verified(void **state)
{
    struct ste_loop *l = in_any_order("verified", "pair.kinds=verified=1;pair.tries=1");
    assert_true(count(l, "SELECT count(*) FROM instruction WHERE state = 'no known answer'") > 0);
    assert_int_equal(count(l, "SELECT count(*) FROM instruction WHERE state = 'tests, and pair.sandbox is off'"), 2);
    const int64_t kept = count(l, "SELECT count(*) FROM pair WHERE state = 'kept'");
    assert_true(kept > 5);
    assert_int_equal(
        count(l, "SELECT count(*) FROM pair p JOIN generation t ON t.instruction = p.instruction AND t.kind = "
                 "'known answer' WHERE state = 'kept' AND label_source = 'verified' AND 'number ' || "
                 "substr(chosen, 15, 1) = t.text AND 'number ' || substr(rejected, 15, 1) <> t.text"),
        kept);
    assert_true(count(l, "SELECT count(*) FROM pair WHERE state = 'other sample: all wrong'") > 0);
    assert_true(count(l, "SELECT count(*) FROM pair WHERE state = 'other sample: all right'") > 0);
    assert_int_equal(count(l, "SELECT count(*) FROM pair p JOIN generation g ON g.id = p.chosen_from WHERE g.text <> "
                              "p.chosen"),
                     0);
    ste_loop_close(l);
    l = in_any_order("mixed", "pair.kinds=verified=1,other=1");
    assert_int_equal(count(l, "SELECT count(*) FROM pair p JOIN instruction i ON i.id = p.instruction WHERE p.kind = "
                              "'verified' AND i.dialogue NOT LIKE '%How many%'"),
                     0);
    ste_loop_close(l);
}

static void test_code(void **state)
{
    struct ste_err err = {0};
    char *path = ste_xstrdup(getenv("PATH"));
    setenv("PATH", "/nowhere", 1);
    assert_null(paired("none", "pair.kinds=verified=1;pair.sandbox=bwrap", 0, &err));
    setenv("PATH", path, 1);
    free(path);
    assert_non_null(strstr(err.msg, "pair.sandbox: bwrap does not work here"));
    struct ste_loop *l = paired("code", "pair.kinds=verified=1;pair.sandbox=bwrap;pair.tries=9", 0, &err);
    if (!l) {
        print_message("skipped: %s\n", err.msg);
        skip();
    }
    assert_int_equal(count(l, "SELECT count(*) FROM pair p JOIN instruction i ON i.id = p.instruction WHERE p.state = "
                              "'kept' AND i.dialogue LIKE '%assert%' AND chosen LIKE '%x + 1%' AND rejected NOT LIKE "
                              "'%x + 1%'"),
                     2);
    assert_true(count(l, "SELECT count(*) FROM generation WHERE kind = 'tests' AND text = 'passed'") > 0);
    assert_true(count(l, "SELECT count(*) FROM generation WHERE kind = 'tests' AND text = 'failed'") > 0);
    /* Each code was run once, and nothing is run again. */
    assert_int_equal(count(l, "SELECT count(*) FROM generation t JOIN generation g ON g.id = t.parent WHERE t.kind = "
                              "'tests' AND g.kind IN ('sample', 'other sample')"),
                     count(l, "SELECT count(*) FROM generation WHERE kind = 'tests'"));
    ste_loop_close(l);
}

#define LABELLED " FROM pair WHERE kind = 'labelled'"
/* Labelled pairs beside others: their share in all parts, no text of theirs in another kind's pairs, and what is over
 * it is counted. */
static void test_labelled(void **state)
{
    struct ste_err err = {0};
    char *sets = ste_xasprintf("pair.labelled=%s/labelled.jsonl;pair.kinds=other=1,verified=1,labelled=1", base);
    struct ste_loop *l = in_any_order("labelled", sets);
    assert_int_equal(count(l, "SELECT count(*) FROM instruction"), 44 + 60);
    assert_int_equal(count(l, "SELECT count(*) FROM pair"), 44 + 22);
    assert_int_equal(count(l, "SELECT count(*) FROM instruction WHERE state = 'over its share'"), 38);
    assert_int_equal(count(l, "SELECT count(*)" LABELLED), 22);
    assert_int_equal(count(l, "SELECT count(*)" LABELLED
                              " AND state = 'kept' AND label_source = 'labelled' AND chosen LIKE "
                              "'Good%' AND rejected LIKE 'Bad%'"),
                     22);
    assert_int_equal(count(l, "SELECT count(*)" LABELLED " AND split = 'test'"), 4);
    assert_int_equal(count(l, "SELECT count(*)" LABELLED " AND split = 'dev'"), 4);
    assert_int_equal(
        count(l, "SELECT count(*) FROM pair WHERE kind <> 'labelled' AND (chosen LIKE 'Good%' OR rejected LIKE "
                 "'Good%' OR label_source = 'labelled')"),
        0);
    assert_true(count(l, "SELECT count(*) FROM pair WHERE kind = 'other' AND state = 'kept'") > 5);
    ste_loop_close(l);
    /* The share holds within a limit, and few labelled pairs hold nobody up. */
    static const struct {
        const char *more;
        int labelled, others;
    } cases[] = {{"select.limit=30", 10, 20},
                 {"select.limit=31", 10, 21},
                 {"pair.kinds=other=1,labelled=9", 60, 44},
                 {"select.limit=90;pair.kinds=other=1,labelled=4", 60, 30},
                 {"select.limit=10;pair.kinds=labelled=1", 10, 0},
                 {"select.per_category=6", 3, 6},
                 {"pair.kinds=verified=1,labelled=1", 40, 40}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *dir = ste_xasprintf("case-%zu", i), *all = ste_xasprintf("%s;%s", sets, cases[i].more);
        if (!(l = paired(dir, all, 0, &err)))
            fail_msg("%s", err.msg);
        assert_int_equal(count(l, "SELECT count(*)" LABELLED), cases[i].labelled);
        assert_int_equal(count(l, "SELECT count(*) FROM pair WHERE kind <> 'labelled'"), cases[i].others);
        ste_loop_close(l);
        free(dir);
        free(all);
    }
    free(sets);
}

static int setup_known(void **state)
{
    int rc = setup(state);
    struct ste_buf b = STE_BUF_INIT;
    for (int i = 0; i < 40; i++)
        ste_buf_addf(&b, "{\"instruction\": \"How many %d things has a box of %d and %d others?\", \"answer\": %d}\n",
                     37 * i * i, 1000 + 77 * i, i, i % 4);
    for (int i = 0; i < 2; i++)
        ste_buf_addf(
            &b, "{\"instruction\": \"Write a function that adds one to its argument, way %d.\\nassert f(%d) == %d\"}\n",
            i, i, i + 1);
    ste_buf_adds(&b, "{\"instruction\": \"Which blue thing is it that nobody knows?\"}\n");
    ste_buf_adds(&b, "{\"instruction\": \"What was that, of all these red ones?\"}\n");
    char *path = ste_path_join(base, "known.jsonl");
    assert_int_equal(ste_file_write(path, b.s, b.len, NULL), 0);
    free(path);
    ste_buf_reset(&b);
    for (int i = 0; i < 60; i++)
        ste_buf_addf(&b,
                     "{\"prompt\": \"Who owns %d of the %d hats?\", \"chosen\": \"Good %d\", \"rejected\": \"Bad\"}\n",
                     37 * i * i, 1000 + 77 * i, i);
    path = ste_path_join(base, "labelled.jsonl");
    assert_int_equal(ste_file_write(path, b.s, b.len, NULL), 0);
    free(path);
    ste_buf_clear(&b);
    return rc;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_corrupt), cmocka_unit_test(test_verified),
                                       cmocka_unit_test(test_code), cmocka_unit_test(test_labelled)};
    return cmocka_run_group_tests(tests, setup_known, teardown);
}
