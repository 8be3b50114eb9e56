/* The parts of the loop that are functions of their arguments: split, balance, samples, refusals, recipes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "loop/internal.h"
#include "loop/kinds/kind.h"

enum { N = 200 };

static void test_split(void **state)
{
    const char *ids[N], *split[N], *again[N];
    char text[N][8];
    size_t cluster[N], n[3] = {0};
    for (size_t i = 0; i < N; i++) {
        snprintf(text[i], sizeof text[i], "i%zu", i);
        ids[i] = text[i];
        cluster[i] = i % 10 == 3 ? i - 1 : i; /* twenty clusters of two */
    }
    ste_loop_split(ids, cluster, N, 0.1, 0.2, 7, split);
    ste_loop_split(ids, cluster, N, 0.1, 0.2, 8, again);
    int moved = 0;
    for (size_t i = 0; i < N; i++) {
        assert_ptr_equal(split[i], split[cluster[i]]);
        n[strcmp(split[i], "train") == 0 ? 0 : strcmp(split[i], "dev") == 0 ? 1 : 2]++;
        moved += strcmp(split[i], again[i]) != 0;
    }
    assert_int_equal(n[1], 20);
    assert_int_equal(n[2], 40);
    assert_true(moved > 20); /* the seed draws */
    for (size_t i = 0; i < N; i++)
        cluster[i] = 0; /* one cluster that fits neither dev nor test */
    ste_loop_split(ids, cluster, N, 0.1, 0.2, 7, split);
    for (size_t i = 0; i < N; i++)
        assert_string_equal(split[i], "train");
}

static void test_balance(void **state)
{
    const char *ids[] = {"p", "q", "r", "s", "t", "u", "v"};
    bool keep[7], again[7];
    size_t a, b;
    ste_loop_balance(ids, "AABAAAB", 7, "1/1", keep, &a, &b);
    assert_int_equal(a, 5);
    assert_int_equal(b, 2);
    assert_true(keep[2] && keep[6]);
    assert_int_equal(keep[0] + keep[1] + keep[3] + keep[4] + keep[5], 2);
    /* the choice hangs on ids, not on places */
    const char *turned[] = {"v", "u", "t", "s", "r", "q", "p"};
    ste_loop_balance(turned, "BAAABAA", 7, "1/1", again, &a, &b);
    for (int i = 0; i < 7; i++)
        assert_int_equal(keep[i], again[6 - i]);
    ste_loop_balance(ids, "AAAAAAA", 7, "1/1", keep, &a, &b);
    assert_int_equal(b, 0);
    for (int i = 0; i < 7; i++)
        assert_false(keep[i]);
}

static void test_samples(void **state)
{
    struct ste_samples s;
    ste_samples_init(&s, 15, 0, 2, true);
    assert_int_equal(ste_samples_ask(&s), 0);
    assert_int_equal(ste_samples_ask(&s), 1);
    assert_int_equal(ste_samples_ask(&s), -1);
    assert_false(ste_samples_final(&s, false));
    assert_true(ste_samples_final(&s, false));
    for (int k = 2; k < 4; k++)
        assert_int_equal(ste_samples_ask(&s), k);
    assert_int_equal(ste_samples_ask(&s), -1);
    assert_false(ste_samples_final(&s, true));
    assert_true(s.done);
    assert_int_equal(s.final, 3);
    assert_int_equal(ste_samples_ask(&s), -1);

    ste_samples_init(&s, 3, 0, 1, false); /* all of them, right or not */
    for (int k = 0; k < 3; k++)
        assert_int_equal(ste_samples_ask(&s), k);
    ste_samples_final(&s, true);
    ste_samples_final(&s, true);
    assert_false(s.done);
    ste_samples_final(&s, false);
    assert_true(s.done);

    ste_samples_init(&s, 15, 6, 2, true); /* going on: six are in the store */
    assert_int_equal(ste_samples_ask(&s), 6);
}

static void test_degenerate(void **state)
{
    assert_null(ste_loop_degenerate("A fine answer.", "end"));
    assert_string_equal(ste_loop_degenerate(" \n", "end"), "empty");
    assert_string_equal(ste_loop_degenerate("A fine", "length"), "cut off");
    assert_string_equal(ste_loop_degenerate(NULL, "too long"), "prompt too long");
}

static void test_texts(void **state)
{
    assert_true(ste_text_refuses("I\xe2\x80\x99m sorry, but I can\xe2\x80\x99t help with that."));
    assert_false(ste_text_refuses("To say no, write: I'm sorry, but I can't come."));
    assert_true(ste_text_same("Red, green.", "red green"));
    assert_true(ste_text_repeats("tidying a garage in one afternoon, as a plan.",
                                 "Make a plan for TIDYING a garage in one afternoon: as a plan."));
    assert_false(ste_text_repeats("a garage", "Tidy a garage.")); /* short: it may be the answer */
    static const char *const cut[][2] = {
        {"The sky is blue. It scatters light. And then the", "The sky is blue. It scatters light."},
        {"\"Come in!\" she said (quietly.) Then she opened the wi", "\"Come in!\" she said (quietly.)"},
        {"1. Flour\n2. Eggs\n3. But", "1. Flour\n2. Eggs"}, /* numbers of a list end no sentence */
        {"Use a loop:\nthen run it.\n```\nfor x in y. \n  print(x) # and so on\n",
         NULL}, /* inside of code nothing ends */
        {"Version 1.5 of the program has no sentence that ends", NULL},
        {"Yes. But here a very long sentence begins that is cut off before its end", NULL}, /* too little remains */
    };
    for (size_t i = 0; i < sizeof cut / sizeof *cut; i++) {
        char *whole = ste_text_whole_sentences(cut[i][0]);
        if (!cut[i][1])
            assert_null(whole);
        else
            assert_string_equal(whole, cut[i][1]);
        free(whole);
    }
}

/* What `auto` becomes is the machine's, whatever instruction set is forced: that changes the speed only. */
static void test_settle(void **state)
{
    struct ste_recipe free_choice, forced;
    ste_recipe_init(&free_choice);
    ste_recipe_init(&forced);
    assert_int_equal(ste_options_set(ste_recipe_options, &forced, "engine.isa=portable", NULL), 0);
    assert_int_equal(ste_recipe_settle(&free_choice, NULL, NULL), 0);
    assert_int_equal(ste_recipe_settle(&forced, NULL, NULL), 0);
    assert_string_equal(forced.activations, free_choice.activations);
    assert_string_equal(forced.train_activations, free_choice.train_activations);
    assert_string_not_equal(forced.activations, "auto");
    ste_recipe_clear(&free_choice);
    ste_recipe_clear(&forced);
}

static void test_kinds(void **state)
{
    struct ste_recipe r;
    struct ste_err err = {0};
    ste_recipe_init(&r);
    assert_int_equal(ste_options_set(ste_recipe_options, &r, "pair.kinds={modify: 2, other: 0.5}", &err), 0);
    assert_true(ste_share(&r.kinds, "modify") == 2 && ste_share(&r.kinds, "other") == 0.5);
    assert_true(ste_share(&r.kinds, "weaker") == 0);
    assert_int_equal(ste_recipe_check(&r, &err), 0);
    assert_int_equal(ste_options_set(ste_recipe_options, &r, "pair.kinds=modify=2,modify=1", &err), STE_EUSAGE);
    assert_int_equal(ste_options_set(ste_recipe_options, &r, "pair.kinds=modify=-1", &err), STE_EUSAGE);
    assert_int_equal(ste_options_set(ste_recipe_options, &r, "pair.kinds=modify", &err), STE_EUSAGE);
    assert_true(ste_share(&r.kinds, "modify") == 2); /* a bad value changes nothing */
    static const char *const wrong[][2] = {
        {"pair.kinds=modfy=1", "did you mean \"modify\""},
        {"pair.kinds=modify=0", "no kind"},
        {"pair.kinds=labelled=1,modify=1", "stands alone"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(ste_options_set(ste_recipe_options, &r, wrong[i][0], &err), 0);
        assert_int_equal(ste_recipe_check(&r, &err), STE_EUSAGE);
        assert_non_null(strstr(err.msg, wrong[i][1]));
    }
    assert_int_equal(ste_options_set(ste_recipe_options, &r, "pair.kinds=sampled=1", &err), 0);
    assert_int_equal(ste_recipe_check(&r, &err), 0);
    assert_int_equal(ste_options_set(ste_recipe_options, &r, "check.by=none", &err), 0);
    assert_int_equal(ste_recipe_check(&r, &err), STE_EUSAGE);
    assert_int_equal(ste_options_set(ste_recipe_options, &r, "filter.kinds=other=1 modify=x", &err), 0);
    assert_int_equal(ste_recipe_check(&r, &err), STE_EUSAGE);
    ste_recipe_clear(&r);
    /* pieces wait only for those before them, so that every order of arrival ends the same */
    for (size_t k = 0; ste_pair_kinds[k]; k++)
        for (int p = 0; p < ste_pair_kinds[k]->n; p++)
            assert_int_equal(ste_pair_kinds[k]->pieces[p].after >> p, 0);
}

static void test_tokens(void **state)
{
    const int32_t ids[] = {0, 1, -1, 151643, INT32_MAX, INT32_MIN};
    struct ste_buf b = STE_BUF_INIT;
    size_t n;
    ste_loop_tokens_pack(ids, 6, &b);
    int32_t *back = ste_loop_tokens_unpack(b.s, b.len, &n);
    assert_int_equal(n, 6);
    assert_memory_equal(ids, back, sizeof ids);
    free(back);
    ste_buf_clear(&b);
}

/* 40 pairs with a margin (p01 the clearest), 8 of `refuse` and 8 of `comply` without, both labels of each. */
static void make_examples(sqlite3 *db)
{
    static const char sql[] =
        "CREATE TABLE pair (id, kind); CREATE TABLE pair_check (pair, margin); CREATE TABLE example (pair, label, "
        "iteration);"
        "WITH n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 40) INSERT INTO pair SELECT printf('p%02d', "
        "i), "
        "'modify' FROM n UNION ALL SELECT printf('r%02d', i), 'refuse' FROM n WHERE i <= 8 UNION ALL SELECT "
        "printf('c%02d', i), 'comply' FROM n WHERE i <= 8;"
        "INSERT INTO pair_check SELECT id, 100 - substr(id, 2) FROM pair WHERE kind = 'modify';"
        "INSERT INTO example SELECT id, label, 1 FROM pair, (SELECT 'A' AS label UNION SELECT 'B');";
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
}

static void test_easy_first(void **state)
{
    sqlite3 *db;
    sqlite3_stmt *q;
    assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
    make_examples(db);
    assert_int_equal(
        sqlite3_prepare_v2(db, "SELECT e.pair FROM " STE_LOOP_EXAMPLES " " STE_LOOP_EASY_FIRST, -1, &q, NULL),
        SQLITE_OK);
    sqlite3_bind_int(q, 1, 1);
    char order[112][4];
    int n = 0, easy_late = 0;
    for (; sqlite3_step(q) == SQLITE_ROW && n < 112; n++)
        snprintf(order[n], sizeof order[n], "%s", (const char *)sqlite3_column_text(q, 0));
    assert_int_equal(n, 112);
    for (int i = 0; i < n; i += 2) {
        const int rank = atoi(order[i] + 1);
        assert_string_equal(order[i], order[i + 1]); /* both orders of a pair, side by side */
        if (order[i][0] == 'p') {
            assert_true(i >= n / 5 || rank <= 20); /* the first fifth is of the clearer half */
            easy_late += i >= 3 * n / 4 && rank <= 20;
        } else {
            assert_true(i >= n / 8); /* nor of these */
        }
        if (order[i][0] == 'c') /* declining is right beside a pair where it is wrong */
            assert_int_equal(order[i + 2][0] == 'r' && atoi(order[i + 2] + 1) == rank, 1);
    }
    assert_true(easy_late > 0); /* and mixed: the end is not the hardest alone */
    sqlite3_finalize(q);
    sqlite3_close(db);
}

static void test_recipes(void **state)
{
    static const char *const names[] = {"demo", "small", "paper"};
    struct ste_recipe r;
    struct ste_err err = {0};
    for (int i = 0; i < 3; i++) {
        if (ste_recipe_load(&r, names[i], &err) != 0 || ste_recipe_check(&r, &err) != 0)
            fail_msg("%s", err.msg);
        char *json = ste_recipe_json(&r, true), *again;
        struct ste_recipe back;
        assert_int_equal(ste_recipe_from_json(&back, json, &err), 0);
        again = ste_recipe_json(&back, true);
        assert_string_equal(json, again);
        assert_null(strstr(json, "threads"));
        free(json);
        free(again);
        ste_recipe_clear(&back);
        ste_recipe_clear(&r);
    }
    assert_int_equal(ste_recipe_load(&r, "demmo", &err), STE_ENOTFOUND);
    assert_non_null(strstr(err.msg, "did you mean demo?"));
    ste_recipe_clear(&r);
    ste_recipe_init(&r);
    assert_int_equal(ste_options_set(ste_recipe_options, &r, "judge.temprature=1", &err), STE_EUSAGE);
    assert_non_null(strstr(err.msg, "judge.temperature"));
    assert_int_equal(ste_options_set(ste_recipe_options, &r, "filter.both_orders=true", &err), 0);
    assert_int_equal(ste_recipe_check(&r, &err), STE_EUSAGE);
    ste_recipe_clear(&r);
    char *dir = ste_recipe_run_folder("a/b/mine.yaml");
    assert_string_equal(dir, "runs/mine");
    free(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_split),      cmocka_unit_test(test_balance), cmocka_unit_test(test_samples),
        cmocka_unit_test(test_degenerate), cmocka_unit_test(test_texts),   cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_settle),     cmocka_unit_test(test_tokens),  cmocka_unit_test(test_easy_first),
        cmocka_unit_test(test_recipes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
