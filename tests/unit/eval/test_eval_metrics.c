/* The arithmetic of an evaluation: by hand, against tests/interop/metrics.py's numbers, and the interval's coverage. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/rng.h"
#include "eval/eval.h"
#include "eval/scored.h"
#include "verdicts.h"

/* "1AB": prompt 1, A where the chosen answer stands first, B where it stands second; "T": tied, "L": too long. */
static size_t outcomes(const char *const *rows, size_t n, struct ste_outcome *o)
{
    for (size_t i = 0; i < n; i++) {
        o[i] = (struct ste_outcome){.judged = rows[i][1] != 'T', .prompt_key = (uint64_t)rows[i][0]};
        if (rows[i][1] == 'L') {
            o[i].skipped = true;
            o[i].order[0] = o[i].order[1] = verdict('I');
        } else if (o[i].judged) {
            o[i].order[0] = verdict(rows[i][1]);
            o[i].order[1] = verdict(rows[i][2]);
        }
    }
    return n;
}

static const char *const ten[] = {"1AB", "1AA", "2AB", "2AI", "3BB", "4AA", "5AB", "5BA", "6II", "7AB"};

static void figures_by_hand(void **state)
{
    struct ste_outcome o[10];
    struct ste_metrics m;
    ste_metrics_of(o, outcomes(ten, 10, o), "ten", 42, &m);
    assert_string_equal(m.name, "ten");
    assert_int_equal(m.pairs, 10);
    assert_int_equal(m.invalid, 3);
    assert_int_equal(m.reasons[STE_INVALID_CUT], 3);
    assert_float_equal(m.accuracy_ab, 0.7, 1e-12); /* all but 3BB, 5BA, 6II */
    assert_float_equal(m.accuracy_ba, 0.5, 1e-12); /* 1AB 2AB 3BB 5AB 7AB */
    assert_float_equal(m.accuracy.value, 0.6, 1e-12);
    assert_float_equal(m.consistent.value, 0.4, 1e-12);     /* 1AB 2AB 5AB 7AB */
    assert_float_equal(m.first_position, 10.0 / 17, 1e-12); /* 10 A among 17 valid verdicts */
    assert_float_equal(m.invalid_share, 0.15, 1e-12);
    assert_true(isnan(m.by_order[0].lo)); /* prompts with several pairs */
    static const char *const apart[] = {"1AB", "2AA", "3AB", "4AI", "5BB", "6AA", "7AB", "8BA", "9II", "0AB"};
    ste_metrics_of(o, outcomes(apart, 10, o), "apart", 42, &m);
    assert_float_equal(m.by_order[0].value, 0.7, 1e-12);
    assert_float_equal(m.by_order[0].lo, 0.396778, 1e-5); /* 7 of 10 by Wilson */
    assert_float_equal(m.by_order[0].hi, 0.892209, 1e-5);
}

static void tied_and_too_long(void **state)
{
    static const char *const rows[] = {"1AB", "2T", "3L", "4AB"};
    struct ste_outcome o[4];
    struct ste_metrics m;
    ste_metrics_of(o, outcomes(rows, 4, o), "rows", 0, &m);
    assert_int_equal(m.pairs, 3);
    assert_int_equal(m.tied, 1);
    assert_int_equal(m.skipped, 1);
    assert_int_equal(m.invalid, 2);
    assert_int_equal(m.reasons[STE_INVALID_TOO_LONG], 2);
    assert_float_equal(m.accuracy.value, 2.0 / 3, 1e-12);
    assert_float_equal(m.consistent.value, 2.0 / 3, 1e-12);
    assert_float_equal(m.first_position, 0.5, 1e-12);
}

static void nothing_to_measure(void **state)
{
    static const char *const tied[] = {"1T"}, *const broken[] = {"1II"};
    struct ste_outcome o[1];
    struct ste_metrics m;
    ste_metrics_of(o, outcomes(tied, 1, o), "tied", 0, &m);
    assert_int_equal(m.pairs, 0);
    assert_true(isnan(m.accuracy.value) && isnan(m.accuracy.lo) && isnan(m.first_position));
    json_t *j = ste_metrics_json(&m);
    assert_true(json_is_null(json_object_get(j, "accuracy")));
    json_decref(j);
    ste_metrics_of(o, outcomes(broken, 1, o), "broken", 0, &m);
    assert_float_equal(m.accuracy.value, 0, 0);
    assert_true(isnan(m.first_position));
}

/* The bounds that tests/interop/metrics.py gives for the same outcomes and seed: its own Philox, numpy's percentiles.
 */
static void bounds_as_computed_apart(void **state)
{
    struct ste_outcome o[10], p[12];
    struct ste_metrics m;
    size_t n = outcomes(ten, 10, o);
    ste_metrics_of(o, n, "ten", 42, &m);
    assert_float_equal(m.accuracy.lo, 0.3888888888888889, 1e-12);
    assert_float_equal(m.accuracy.hi, 0.75, 1e-12);
    assert_float_equal(m.consistent.lo, 0.14285714285714285, 1e-12);
    assert_float_equal(m.consistent.hi, 0.5833333333333334, 1e-12);

    for (size_t i = 0; i < 12; i++) {
        p[i] = (struct ste_outcome){.judged = true, .prompt_key = i};
        p[i].order[0] = verdict('A');
        p[i].order[1] = verdict(i % 3 ? 'B' : 'A');
    }
    const struct ste_outcome *const suites[] = {o, p};
    const size_t sizes[] = {10, 12};
    ste_metrics_overall(suites, sizes, 2, NULL, 42, &m);
    assert_int_equal(m.pairs, 22);
    assert_int_equal(m.invalid, 3);
    assert_float_equal(m.accuracy.value, (0.6 + 5.0 / 6) / 2, 1e-12);
    assert_float_equal(m.accuracy.lo, 0.5958333333333333, 1e-12);
    assert_float_equal(m.accuracy.hi, 0.8125, 1e-12);
    assert_float_equal(m.consistent.value, (0.4 + 2.0 / 3) / 2, 1e-12);
    assert_float_equal(m.consistent.lo, 0.35833333333333334, 1e-12);
    assert_float_equal(m.consistent.hi, 0.6893939393939394, 1e-12);
    assert_float_equal(m.first_position, (10.0 / 17 + 2.0 / 3) / 2, 1e-12);
}

/*
 * Of 200 data sets in which prompts differ in difficulty and each has three pairs, the 95 % interval must hold the true
 * accuracy nearly as often as it says; one over single pairs, which does not know of prompts, would not.
 */
static void interval_covers(void **state)
{
    enum { SETS = 200, PROMPTS = 40, PAIRS = 3 };
    struct ste_rng r;
    ste_rng_init(&r, 11, 0);
    int by_prompt = 0, by_pair = 0;
    for (int s = 0; s < SETS; s++) {
        struct ste_outcome o[PROMPTS * PAIRS];
        for (int i = 0; i < PROMPTS * PAIRS; i++) {
            static double ease;
            if (i % PAIRS == 0)
                ease = ste_rng_uniform(&r) < 0.5 ? 0.95 : 0.35; /* the mean is 0.65 */
            bool ok = ste_rng_uniform(&r) < ease;
            o[i] = (struct ste_outcome){.judged = true, .prompt_key = (uint64_t)(i / PAIRS)};
            o[i].order[0] = verdict(ok ? 'A' : 'B');
            o[i].order[1] = verdict(ok ? 'B' : 'A');
        }
        struct ste_metrics m;
        ste_metrics_of(o, PROMPTS * PAIRS, "", (uint64_t)s, &m);
        by_prompt += m.accuracy.lo <= 0.65 && 0.65 <= m.accuracy.hi;
        for (int i = 0; i < PROMPTS * PAIRS; i++)
            o[i].prompt_key = (uint64_t)i;
        ste_metrics_of(o, PROMPTS * PAIRS, "", (uint64_t)s, &m);
        by_pair += m.accuracy.lo <= 0.65 && 0.65 <= m.accuracy.hi;
    }
    print_message("coverage of the 95 %% interval: %.3f over prompts, %.3f over pairs\n", by_prompt / (double)SETS,
                  by_pair / (double)SETS);
    assert_true(by_prompt > 0.90 * SETS && by_prompt < 0.985 * SETS);
    assert_true(by_pair < by_prompt - 0.03 * SETS);
}

static void comparison_by_hand(void **state)
{
    /* Right in both: first 1 2 . . . ; second . 2 3 4 5 6 7 8: one only the first, six only the second. */
    static const char *const one[] = {"1AB", "2AB", "3AA", "4AA", "5BA", "6BA", "7AA", "8AA", "9II", "0T"};
    static const char *const two[] = {"1AA", "2AB", "3AB", "4AB", "5AB", "6AB", "7AB", "8AB", "9BA", "0T"};
    struct ste_outcome a[10], b[10];
    struct ste_comparison c, swapped;
    ste_compare(a, b, (outcomes(one, 10, a), outcomes(two, 10, b)), 5, &c);
    assert_int_equal(c.pairs, 9);
    assert_int_equal(c.only_first, 1);
    assert_int_equal(c.only_second, 6);
    assert_float_equal(c.mcnemar_p, 2 * (1 + 7) / 128.0, 1e-12); /* 2 (C(7,0) + C(7,1)) / 2^7 */
    assert_float_equal(c.consistent_difference.value, 5.0 / 9, 1e-12);
    /* Halves: first 2 2 1 1 0 0 1 1 0, second 1 2 2 2 2 2 2 2 0. */
    assert_float_equal(c.accuracy_difference.value, (15 - 8) / 18.0, 1e-12);
    assert_true(c.accuracy_difference.lo <= c.accuracy_difference.value);
    assert_true(c.accuracy_difference.hi >= c.accuracy_difference.value);
    ste_compare(b, a, 10, 5, &swapped);
    assert_float_equal(swapped.mcnemar_p, c.mcnemar_p, 1e-12);
    assert_float_equal(swapped.accuracy_difference.lo, -c.accuracy_difference.hi, 1e-12);
    ste_compare(a, a, 10, 5, &c);
    assert_float_equal(c.mcnemar_p, 1, 0);
    assert_float_equal(c.accuracy_difference.lo, 0, 0);
}

static void large_mcnemar(void **state)
{
    /* 1000 and 1100 discordant pairs: p from Python's whole numbers. */
    enum { N = 2100 };
    struct ste_outcome *a = calloc(N, sizeof *a), *b = calloc(N, sizeof *b);
    for (size_t i = 0; i < N; i++) {
        struct ste_outcome *right = i < 1000 ? &a[i] : &b[i];
        a[i] = b[i] = (struct ste_outcome){.judged = true, .prompt_key = i % 7};
        a[i].order[0] = a[i].order[1] = b[i].order[0] = b[i].order[1] = verdict('A');
        right->order[1] = verdict('B');
    }
    struct ste_comparison c;
    ste_compare(a, b, N, 0, &c);
    assert_int_equal(c.only_first, 1000);
    assert_int_equal(c.only_second, 1100);
    assert_float_equal(c.mcnemar_p, 0.030720707864242296, 1e-9);
    free(a);
    free(b);
}

static void json_and_table(void **state)
{
    static const char *const fields[] = {"name",        "pairs",         "invalid",       "accuracy",
                                         "accuracy_lo", "accuracy_hi",   "accuracy_ab",   "accuracy_ba",
                                         "consistent",  "consistent_lo", "consistent_hi", "first_position"};
    struct ste_outcome o[10];
    struct ste_metrics m;
    ste_metrics_of(o, outcomes(ten, 10, o), "a suite whose name is longer than its column", 42, &m);
    json_t *j = ste_metrics_json(&m);
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        assert_non_null(json_object_get(j, fields[i]));
    json_decref(j);
    struct ste_buf b = STE_BUF_INIT;
    ste_metrics_table(&m, 1, &m, &b);
    size_t longest = 0;
    for (const char *p = b.s; *p; p += strcspn(p, "\n") + 1)
        longest = strcspn(p, "\n") > longest ? strcspn(p, "\n") : longest;
    assert_true(longest <= 80);
    assert_non_null(strstr(b.s, ".600"));
    assert_non_null(strstr(b.s, "17 valid, 3 invalid"));
    assert_non_null(strstr(b.s, "3 cut off"));
    ste_buf_clear(&b);
}

/* Judges that score each answer: equal scores name no answer and no position; what is no number is no verdict. */
static void scores_that_say_nothing(void **state)
{
    (void)state;
    const double scores[][2] = {{1, 1}, {0, 0}, {NAN, 1}, {1, INFINITY}, {-1, -2}, {NAN, NAN}};
    enum { N = sizeof scores / sizeof *scores };
    struct ste_outcome o[N];
    memset(o, 0, sizeof o);
    for (int i = 0; i < N; i++) {
        o[i].judged = true;
        o[i].prompt_key = (uint64_t)i;
        ste_outcome_of_scores(&o[i], scores[i][0], scores[i][1]);
        const enum ste_final final = i < 2 ? STE_FINAL_TIE : i == 4 ? STE_FINAL_CHOSEN : STE_FINAL_INVALID;
        assert_int_equal(ste_outcome_final(&o[i]), final);
        assert_int_equal(ste_outcome_two_order(&o[i]), final);
    }
    struct ste_metrics m;
    ste_metrics_of(o, N, "scores", 0, &m);
    assert_int_equal(m.pairs, N);
    assert_int_equal(m.invalid, 6);
    assert_int_equal(m.reasons[STE_INVALID_NO_NUMBER], 6);
    assert_int_equal(m.undecided, 2);
    assert_true(m.first_position == 0.5); /* of the one pair whose verdicts name an answer */
    assert_float_equal(m.accuracy.value, 1.0 / N, 1e-12);
    assert_float_equal(m.consistent.value, 1.0 / N, 1e-12);
    ste_metrics_of(o, 2, "ties", 0, &m);
    assert_true(isnan(m.first_position));
    assert_int_equal(m.invalid, 0);
    assert_true(m.accuracy.value == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scores_that_say_nothing),  cmocka_unit_test(figures_by_hand),
        cmocka_unit_test(tied_and_too_long),        cmocka_unit_test(nothing_to_measure),
        cmocka_unit_test(bounds_as_computed_apart), cmocka_unit_test(interval_covers),
        cmocka_unit_test(comparison_by_hand),       cmocka_unit_test(large_mcnemar),
        cmocka_unit_test(json_and_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
