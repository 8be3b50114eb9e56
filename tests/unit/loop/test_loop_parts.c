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
    assert_string_equal(ste_loop_degenerate("I\xe2\x80\x99m sorry, but I can\xe2\x80\x99t help with that.", "end"),
                        "refusal");
    assert_null(ste_loop_degenerate("To say no, write: I'm sorry, but I can't come.", "end"));
    assert_string_equal(ste_loop_degenerate(NULL, "too long"), "prompt too long");
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
        cmocka_unit_test(test_degenerate), cmocka_unit_test(test_tokens),  cmocka_unit_test(test_recipes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
