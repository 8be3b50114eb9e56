/* The parts of the loop that are functions of their arguments: split, balance, samples, refusals, recipes. */
#include <math.h>
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
#include "loop/order.h"
#include "loop/kinds/kind.h"

enum { N = 200 };

static void test_split(void **state)
{
    const char *ids[N], *split[N], *again[N];
    char text[N][8];
    size_t cluster[N], n[3] = {0}, apart[3] = {0};
    bool labelled[N] = {false};
    for (size_t i = 0; i < N; i++) {
        snprintf(text[i], sizeof text[i], "i%zu", i);
        ids[i] = text[i];
        cluster[i] = i % 10 == 3 ? i - 1 : i; /* twenty clusters of two */
    }
    ste_loop_split(ids, cluster, labelled, N, 0.1, 0.2, 7, split);
    ste_loop_split(ids, cluster, labelled, N, 0.1, 0.2, 8, again);
    int moved = 0;
    for (size_t i = 0; i < N; i++) {
        assert_ptr_equal(split[i], split[cluster[i]]);
        n[strcmp(split[i], "train") == 0 ? 0 : strcmp(split[i], "dev") == 0 ? 1 : 2]++;
        moved += strcmp(split[i], again[i]) != 0;
    }
    assert_int_equal(n[1], 20);
    assert_int_equal(n[2], 40);
    assert_true(moved > 20); /* the seed draws */
    /* Each part has its share of what is apart, but for a cluster that holds others too. */
    for (size_t i = 0; i < N; i++)
        labelled[i] = i < 50 || i == 52;
    ste_loop_split(ids, cluster, labelled, N, 0.1, 0.2, 7, split);
    for (size_t i = 0; i < 50; i++)
        apart[strcmp(split[i], "train") == 0 ? 0 : strcmp(split[i], "dev") == 0 ? 1 : 2]++;
    assert_int_equal(apart[1], 5);
    assert_int_equal(apart[2], 10);
    assert_ptr_equal(split[52], split[53]);
    for (size_t i = 0; i < N; i++)
        cluster[i] = 0; /* one cluster that fits neither dev nor test */
    ste_loop_split(ids, cluster, labelled, N, 0.1, 0.2, 7, split);
    for (size_t i = 0; i < N; i++)
        assert_string_equal(split[i], "train");
}

static void test_balance(void **state)
{
    const char *ids[] = {"p", "q", "r", "s", "t", "u", "v"};
    bool keep[7], again[7];
    size_t a, b;
    ste_loop_balance(ids, "AABAAAB", 7, "1/1", 0.5, 0, keep, &a, &b);
    assert_int_equal(a, 5);
    assert_int_equal(b, 2);
    assert_true(keep[2] && keep[6]);
    assert_int_equal(keep[0] + keep[1] + keep[3] + keep[4] + keep[5], 2);
    /* the choice hangs on ids, not on places */
    const char *turned[] = {"v", "u", "t", "s", "r", "q", "p"};
    ste_loop_balance(turned, "BAAABAA", 7, "1/1", 0.5, 0, again, &a, &b);
    for (int i = 0; i < 7; i++)
        assert_int_equal(keep[i], again[6 - i]);
    ste_loop_balance(ids, "AAAAAAA", 7, "1/1", 0.5, 0, keep, &a, &b);
    assert_int_equal(b, 0);
    for (int i = 0; i < 7; i++)
        assert_false(keep[i]);
    /* as many more as a fair coin gives in one of three times: 4 beside 2, 1 beside none */
    int kept[2] = {0, 0};
    ste_loop_balance(ids, "AABAAAB", 7, "1/1", 0.5, 1, keep, &a, &b);
    for (int i = 0; i < 7; i++)
        kept[0] += keep[i];
    ste_loop_balance(ids, "AAAAAAA", 7, "1/1", 0.5, 1, keep, &a, &b);
    for (int i = 0; i < 7; i++)
        kept[1] += keep[i];
    assert_int_equal(kept[0], 6);
    assert_int_equal(kept[1], 1);
    /* three of four: 5 beside 2 are within a deviation of that, 3 beside 1 it exactly */
    ste_loop_balance(ids, "AABAAAB", 7, "1/1", 0.75, 1, keep, &a, &b);
    for (int i = 0; i < 7; i++)
        assert_true(keep[i]);
    ste_loop_balance(ids, "AABAAAB", 7, "1/1", 0.75, 0, keep, &a, &b);
    assert_int_equal(keep[2] + keep[6], 1);
    assert_int_equal(keep[0] + keep[1] + keep[3] + keep[4] + keep[5], 3);
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
    ste_recipe_settle(&free_choice, NULL);
    ste_recipe_settle(&forced, NULL);
    assert_int_equal(forced.engine.activations, free_choice.engine.activations);
    assert_int_equal(forced.train.activations, free_choice.train.activations);
    assert_int_not_equal(forced.engine.activations, STE_ACT_AUTO);
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
        {"pair.kinds=labelled=1,modify=1", "takes its pairs from pair.labelled, which is empty"},
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

/* 40 pairs with a margin (p01 the clearest), 8 of `refuse` and 8 of `comply` without, both labels of each. */
#define PAIRS 56
static size_t make_examples(char names[PAIRS][4], struct ste_ordered *out)
{
    size_t n = 0;
    for (int i = 0; i < PAIRS; i++) {
        const char kind = i < 40 ? 'p' : i < 48 ? 'r' : 'c';
        const int number = kind == 'p' ? i + 1 : (i - 40) % 8 + 1;
        snprintf(names[i], 4, "%c%02d", kind, number);
        for (int label = 0; label < 2; label++)
            out[n++] = (struct ste_ordered){.pair = names[i],
                                            .opposed = kind == 'r'   ? "refuse"
                                                       : kind == 'c' ? "comply"
                                                                     : NULL,
                                            .label = "AB"[label],
                                            .margin = kind == 'p' ? 100 - number : (double)NAN};
    }
    return n;
}

/* Both orders of a pair side by side, an A and a B; and a pair of `refuse` behind one of `comply`. */
static void are_twos(const struct ste_ordered *x, size_t n)
{
    for (size_t i = 0; i < n; i += 2) {
        assert_string_equal(x[i].pair, x[i + 1].pair);
        assert_int_equal(x[i].label, 'A');
        assert_int_equal(x[i + 1].label, 'B');
        if (x[i].pair[0] == 'c')
            assert_int_equal(x[i + 2].pair[0] == 'r' && atoi(x[i + 2].pair + 1) == atoi(x[i].pair + 1), 1);
    }
}

static void test_easy_first(void **state)
{
    char names[PAIRS][4];
    struct ste_ordered x[2 * PAIRS];
    const size_t n = make_examples(names, x);
    int easy_late = 0;
    ste_loop_order(x, n, true);
    are_twos(x, n);
    for (size_t i = 0; i < n; i += 2) {
        const int rank = atoi(x[i].pair + 1);
        if (x[i].pair[0] == 'p') {
            assert_true(i >= n / 5 || rank <= 20); /* the first fifth is of the clearer half */
            easy_late += i >= 3 * n / 4 && rank <= 20;
        } else {
            assert_true(i >= n / 8); /* nor of these */
        }
    }
    assert_true(easy_late > 0); /* and mixed: the end is not the hardest alone */
}

static void test_in_twos(void **state)
{
    char names[PAIRS][4];
    struct ste_ordered x[2 * PAIRS], alone[4] = {{.pair = "b", .label = 'B'},
                                                 {.pair = "a", .label = 'A'},
                                                 {.pair = "c", .label = 'A'},
                                                 {.pair = "d", .label = 'B'}};
    const size_t n = make_examples(names, x);
    ste_loop_order(x, n, false);
    are_twos(x, n);
    for (size_t i = 0; i < 32; i++)
        assert_int_equal(x[i].pair[0], i % 4 < 2 ? 'c' : 'r');
    ste_loop_order(alone, 4, false); /* pairs in one order each: by label, in turns */
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(alone[i].pair[0], "abcd"[i]);
        assert_int_equal(alone[i].label, "ABAB"[i]);
    }
}

static void check_ids(struct ste_training_ids x, const struct ste_label_ids *labels, char label, const int32_t *want,
                      size_t n, size_t border)
{
    ste_loop_training_ids(&x, labels, label);
    assert_int_equal(x.n, n);
    assert_memory_equal(x.completion, want, n * sizeof *want);
    assert_int_equal(x.border, border);
    free(x.completion);
}

static void test_training_ids(void **state)
{
    enum { END = 99, A = 1, B = 2, B2 = 3 };
    int32_t a[] = {A}, b[] = {B, B2};
    const struct ste_label_ids labels = {{a, b}, {1, 2}}, none = {{NULL}, {0}};
    /* At once: the closing words are given, the right label is put in the place of the one that was drawn. */
    int32_t drawn_a[] = {50, 51, A}, drawn_b[] = {50, 51, B, B2};
    check_ids((struct ste_training_ids){drawn_a, 3, 0, 0, 0}, &labels, 'A', (int32_t[]){50, 51, A}, 3, 2);
    check_ids((struct ste_training_ids){drawn_a, 3, 0, 0, 0}, &labels, 'B', (int32_t[]){50, 51, B, B2}, 4, 2);
    check_ids((struct ste_training_ids){drawn_b, 4, 0, 0, 0}, &labels, 'A', (int32_t[]){50, 51, A}, 3, 2);
    /* Behind reasoning: all is learnt, but for the end of the turn between it and the closing words. */
    int32_t reasoned[] = {7, 8, END, 50, A}, free_one[] = {7, 8, END};
    check_ids((struct ste_training_ids){reasoned, 5, 3, 2, 0}, &none, 'A', (int32_t[]){7, 8, 50, A}, 4, 0);
    check_ids((struct ste_training_ids){free_one, 3, 3, 2, 0}, &none, 'A', free_one, 3, 0);
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
        cmocka_unit_test(test_split),        cmocka_unit_test(test_balance), cmocka_unit_test(test_degenerate),
        cmocka_unit_test(test_texts),        cmocka_unit_test(test_settle),  cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_training_ids), cmocka_unit_test(test_in_twos), cmocka_unit_test(test_easy_first),
        cmocka_unit_test(test_recipes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
