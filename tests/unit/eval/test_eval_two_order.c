/* The two-order verdict: margins by hand, judges that are known, the curve, and the gains of a comparison. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/rng.h"
#include "eval/scores.h"
#include "verdicts.h"

/* A judgment of closed mode: ODDS are for the answer shown first. The two probabilities need not add up to 1, and so
 * the difference of their logarithms is exact. */
static struct ste_judgment closed(double odds)
{
    return (struct ste_judgment){
        .verdict = odds >= 0 ? STE_VERDICT_A : STE_VERDICT_B, .logprob_a = odds - 8, .logprob_b = -8};
}

/* BETTER: by how much the chosen answer is preferred; FIRST: what an answer has for being shown first. */
static struct ste_outcome judged(double better, double first, uint64_t prompt)
{
    struct ste_outcome o = {.judged = true, .prompt_key = prompt};
    o.order[STE_ORDER_AB] = closed(better + first);
    o.order[STE_ORDER_BA] = closed(-better + first);
    return o;
}

static struct ste_outcome named(const char *verdicts, uint64_t prompt)
{
    struct ste_outcome o = {.judged = true, .prompt_key = prompt};
    o.order[STE_ORDER_AB] = verdict(verdicts[0]);
    o.order[STE_ORDER_BA] = verdict(verdicts[1]);
    return o;
}

static double voted(int ab_a, int ab_b, int ba_a, int ba_b)
{
    struct ste_outcome o = named("AA", 0);
    o.votes[STE_ORDER_AB] = (struct ste_tally){ab_a, ab_b, 1};
    o.votes[STE_ORDER_BA] = (struct ste_tally){ba_a, ba_b, 0};
    return ste_outcome_margin(&o);
}

static void margins_by_hand(void **state)
{
    struct ste_outcome o = {.judged = true};
    o.order[STE_ORDER_AB] = (struct ste_judgment){.verdict = STE_VERDICT_A, .logprob_a = -0.25, .logprob_b = -1.75};
    o.order[STE_ORDER_BA] = (struct ste_judgment){.verdict = STE_VERDICT_A, .logprob_a = -0.5, .logprob_b = -1};
    assert_float_equal(ste_outcome_margin(&o), (1.5 - 0.5) / 2, 1e-12);
    assert_true(ste_outcome_two_order_right(&o)); /* though the second order names the other answer */
    /* Whatever a place is worth, the margin is the same; the verdicts are not. */
    for (double first = -3; first <= 3; first += 0.5) {
        o = judged(0.75, first, 0);
        assert_float_equal(ste_outcome_margin(&o), 0.75, 1e-12);
        assert_true(ste_outcome_two_order_right(&o));
        o = judged(-0.75, first, 0);
        assert_int_equal(ste_outcome_two_order(&o), STE_FINAL_REJECTED);
    }
    o = judged(0, 2, 0);
    assert_true(ste_outcome_margin(&o) == 0);
    assert_int_equal(ste_outcome_two_order(&o), STE_FINAL_TIE);
    assert_false(ste_outcome_two_order_right(&o));
}

static void no_margin(void **state)
{
    struct ste_outcome o = judged(1, 0, 0);
    o.skipped = true;
    assert_true(isnan(ste_outcome_margin(&o)));
    assert_int_equal(ste_outcome_two_order(&o), STE_FINAL_INVALID);
    o = judged(1, 0, 0);
    o.judged = false;
    assert_true(isnan(ste_outcome_margin(&o)));
    /* The labels' log-probabilities of an invalid verdict (low label mass) are none. */
    o = judged(1, 0, 0);
    o.order[1].verdict = STE_VERDICT_INVALID;
    assert_true(isnan(ste_outcome_margin(&o)) && isnan(ste_outcome_log_odds(&o)));
    o = named("AI", 0);
    assert_true(isnan(ste_outcome_margin(&o)));
    assert_false(ste_outcome_two_order_right(&o));
}

static void without_log_probabilities(void **state)
{
    static const struct {
        const char *verdicts;
        double margin;
    } want[] = {{"AB", 1}, {"BA", -1}, {"AA", 0}, {"BB", 0}};
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        struct ste_outcome o = named(want[i].verdicts, 0);
        assert_true(isnan(ste_outcome_log_odds(&o)));
        assert_float_equal(ste_outcome_margin(&o), want[i].margin, 0);
    }
    assert_float_equal(voted(3, 1, 1, 3), 0.5, 1e-12);
    assert_float_equal(voted(3, 1, 4, 0), (0.5 - 1) / 2, 1e-12);
    assert_float_equal(voted(2, 2, 1, 3), 0.25, 1e-12);
    /* One that names the first place alone, with five votes in one order and two in the other. */
    assert_float_equal(voted(5, 0, 2, 0), 0, 0);
    /* One order has log-probabilities: not enough for log-odds of both. */
    struct ste_outcome o = judged(1, 0, 0);
    o.order[1] = verdict('B');
    assert_float_equal(ste_outcome_margin(&o), 1, 0);
    /* Closed mode with votes: how sure they were, not how many. */
    o = judged(-0.5, 0, 0);
    o.votes[0] = (struct ste_tally){2, 1, 0};
    o.votes[1] = (struct ste_tally){1, 2, 0};
    assert_float_equal(ste_outcome_margin(&o), -0.5, 1e-12);
}

/* Margins 4 3 -2 2 -1 0 . .; right: 4, 3, 2. */
static size_t eight(struct ste_outcome *o)
{
    const double better[] = {-1, 4, 0, -2, 2, 3};
    for (size_t i = 0; i < 6; i++)
        o[i] = judged(better[i], 1.5, i);
    o[6] = named("IB", 6);
    o[7] = judged(9, 0, 7);
    o[7].skipped = true;
    return 8;
}

static void figures_by_hand(void **state)
{
    struct ste_outcome o[9];
    struct ste_metrics m;
    size_t n = eight(o);
    o[n] = judged(5, 0, 8);
    o[n++].tie = true; /* left out */
    ste_metrics_of(o, n, "eight", 1, &m);
    assert_int_equal(m.pairs, 8);
    assert_float_equal(m.two_order.value, 3.0 / 8, 1e-12);
    assert_true(m.two_order.lo < 3.0 / 8 && m.two_order.hi > 3.0 / 8);
    assert_int_equal(m.undecided, 1);
    assert_float_equal(m.consistent.value, 3.0 / 8, 1e-12); /* the margins beyond 1.5 */
    /* By size: 4 3 -2 2 | -1 0 . . : of -2 and 2 the one that came first. */
    static const size_t pairs[] = {8, 6, 4, 2};
    static const double accuracy[] = {3.0 / 8, 3.0 / 6, 3.0 / 4, 1};
    for (int k = 0; k < STE_N_COVERAGE; k++) {
        assert_float_equal(m.curve[k].coverage, 1 - k / 4.0, 0);
        assert_int_equal(m.curve[k].pairs, pairs[k]);
        assert_float_equal(m.curve[k].accuracy, accuracy[k], 1e-12);
    }
    ste_metrics_of(o + 1, 5, "five", 1, &m); /* 4 0 -2 2 3: a quarter is two of five, three quarters four */
    assert_int_equal(m.curve[3].pairs, 2);
    assert_int_equal(m.curve[2].pairs, 3);
    assert_float_equal(m.curve[2].accuracy, 2.0 / 3, 1e-12);
    assert_int_equal(m.curve[1].pairs, 4);
    ste_metrics_of(o, 0, "none", 1, &m);
    assert_true(isnan(m.two_order.value) && isnan(m.two_order.lo) && isnan(m.curve[0].accuracy));
    assert_int_equal(m.curve[0].pairs, 0);
}

static void over_suites(void **state)
{
    struct ste_outcome o[8], p[2] = {judged(8, 0, 1), judged(-9, 0, 2)};
    struct ste_metrics m;
    const struct ste_outcome *const suites[] = {o, p};
    const size_t n[] = {eight(o), 2};
    ste_metrics_overall(suites, n, 2, NULL, 1, &m);
    assert_float_equal(m.two_order.value, (3.0 / 8 + 0.5) / 2, 1e-12);
    assert_int_equal(m.undecided, 1);
    /* All ten as one set: -9 8 4 | 3 -2 | 2 ... */
    assert_int_equal(m.curve[0].pairs, 10);
    assert_float_equal(m.curve[0].accuracy, 4.0 / 10, 1e-12);
    assert_int_equal(m.curve[3].pairs, 3);
    assert_float_equal(m.curve[3].accuracy, 2.0 / 3, 1e-12);
    assert_int_equal(m.curve[2].pairs, 5);
    assert_float_equal(m.curve[2].accuracy, 3.0 / 5, 1e-12);
}

enum { MANY = 4000 };

/* A coin for each order, one judge who sees the place alone and one who sees the better answer under it. */
static void known_judges(void **state)
{
    static struct ste_outcome o[MANY];
    struct ste_metrics m;
    struct ste_rng r;
    ste_rng_init(&r, 5, 0);
    for (size_t i = 0; i < MANY; i++) {
        o[i] = (struct ste_outcome){.judged = true, .prompt_key = i};
        o[i].order[0] = closed(ste_rng_normal(&r));
        o[i].order[1] = closed(ste_rng_normal(&r));
    }
    ste_metrics_of(o, MANY, "coin", 0, &m);
    assert_float_equal(m.accuracy.value, 0.5, 0.025);
    assert_float_equal(m.two_order.value, 0.5, 0.025);
    assert_float_equal(m.consistent.value, 0.25, 0.025);
    assert_true(m.two_order.lo < 0.5 && 0.5 < m.two_order.hi);
    assert_float_equal(m.curve[3].accuracy, 0.5, 0.05);

    for (size_t i = 0; i < MANY; i++)
        o[i] = named("AA", i);
    ste_metrics_of(o, MANY, "place", 0, &m);
    assert_float_equal(m.accuracy.value, 0.5, 0);
    assert_float_equal(m.two_order.value, 0, 0); /* undecided is not half right */
    assert_int_equal(m.undecided, MANY);

    for (size_t i = 0; i < MANY; i++)
        o[i] = judged(i % 4 ? 0.125 : -0.125, 4, i);
    ste_metrics_of(o, MANY, "under the place", 0, &m);
    assert_float_equal(m.accuracy.value, 0.5, 0);
    assert_float_equal(m.consistent.value, 0, 0);
    assert_float_equal(m.first_position, 1, 0);
    assert_float_equal(m.two_order.value, 0.75, 1e-12);
    assert_int_equal(m.undecided, 0);
}

/* What the split of the gain rests on: right in both orders means two-order right. */
static void both_means_two_order(void **state)
{
    struct ste_rng r;
    ste_rng_init(&r, 6, 0);
    int both = 0;
    for (int i = 0; i < MANY; i++) {
        struct ste_outcome o = judged(ste_rng_normal(&r), ste_rng_normal(&r), 0);
        if (i % 8 == 0)
            o.order[0] = closed(0); /* equal labels: A is taken */
        if (i % 2) {
            for (int k = 0; k < 2; k++) {
                struct ste_tally *t = &o.votes[k];
                *t = (struct ste_tally){(int)ste_rng_below(&r, 5), 1 + (int)ste_rng_below(&r, 4), 0};
                o.order[k] = verdict(t->b > t->a ? 'B' : 'A'); /* the rule of ste_votes_count in free mode */
            }
        }
        if (ste_outcome_final(&o) == STE_FINAL_CHOSEN) {
            both++;
            assert_true(ste_outcome_two_order_right(&o));
        }
    }
    assert_true(both > MANY / 8);
}

/* N judgments: B right in both, T two-order right alone, the others wrong. */
static void judges_of(struct ste_outcome *o, size_t n, size_t both, size_t two, size_t from)
{
    for (size_t i = 0; i < n; i++) {
        size_t k = (i + n - from) % n;
        o[i] = k < both ? judged(2, 1, i) : k < both + two ? judged(1, 2, i) : judged(-1, 2, i);
    }
}

static void gains_by_hand(void **state)
{
    struct ste_outcome a[20], b[20];
    struct ste_comparison c;
    /* T1 = .5, K1 = .2, R1 = .1; T2 = .7, K2 = 5/7, R2 = .5. */
    judges_of(a, 20, 2, 8, 0);
    judges_of(b, 20, 10, 4, 6);
    ste_compare(a, b, 20, 3, &c);
    assert_float_equal(c.two_order_difference.value, 0.2, 1e-12);
    assert_float_equal(c.consistent_difference.value, 0.4, 1e-12);
    assert_float_equal(c.gain_telling.value, 0.2 * (0.2 + 5.0 / 7) / 2, 1e-12);
    assert_float_equal(c.gain_position.value, (5.0 / 7 - 0.2) * (0.5 + 0.7) / 2, 1e-12);
    assert_float_equal(c.gain_telling.value + c.gain_position.value, c.consistent_difference.value, 1e-15);
    assert_int_equal(c.only_first_two, 6); /* 0 to 5; the second has 6 to 19 */
    assert_int_equal(c.only_second_two, 10);
    assert_float_equal(c.two_order_p, 0.454498291015625, 1e-12); /* 2 sum C(16, 0..6) / 2^16 = 2 * 14893 / 65536 */
    assert_true(c.gain_position.lo < c.gain_position.value && c.gain_position.value < c.gain_position.hi);
    assert_true(c.gain_position.lo > 0);

    struct ste_comparison swapped;
    ste_compare(b, a, 20, 3, &swapped);
    assert_float_equal(swapped.gain_telling.value, -c.gain_telling.value, 1e-12);
    assert_float_equal(swapped.gain_position.lo, -c.gain_position.hi, 1e-12);

    /* The same answers told, and no place in the way: all of the gain is position. */
    judges_of(a, 20, 0, 12, 0);
    judges_of(b, 20, 12, 0, 0);
    ste_compare(a, b, 20, 3, &c);
    assert_float_equal(c.two_order_difference.value, 0, 0);
    assert_float_equal(c.gain_telling.value, 0, 0);
    assert_float_equal(c.gain_position.value, 0.6, 1e-12);
    assert_float_equal(c.two_order_p, 1, 0);
    /* No place in the way of either, and more answers told. */
    judges_of(a, 20, 8, 0, 0);
    ste_compare(a, b, 20, 3, &c);
    assert_float_equal(c.gain_telling.value, 0.2, 1e-12);
    assert_float_equal(c.gain_position.value, 0, 1e-12);
}

static void gains_add_up(void **state)
{
    struct ste_outcome o[4][12];
    struct ste_comparison c;
    for (size_t i = 0; i < 12; i++) {
        o[0][i] = named("AA", i);                /* never two-order right: no K */
        o[1][i] = named(i % 3 ? "AB" : "BA", i); /* both orders agree */
        o[2][i] = judged(i % 2 ? 1 : -1, 3, i);  /* two-order right, never in both */
        o[3][i] = judged(-0.5, 0, i);            /* a majority in closed mode against its log-odds */
        o[3][i].order[0].verdict = STE_VERDICT_A;
        o[3][i].order[1].verdict = STE_VERDICT_B;
    }
    for (int x = 0; x < 4; x++)
        for (int y = 0; y < 4; y++) {
            ste_compare(o[x], o[y], 12, 0, &c);
            assert_float_equal(c.gain_telling.value + c.gain_position.value, c.consistent_difference.value, 1e-15);
            assert_true(isfinite(c.gain_telling.lo) && isfinite(c.gain_position.hi));
        }
    ste_compare(o[0], o[1], 12, 0, &c);
    assert_float_equal(c.gain_telling.value, 8.0 / 12 / 2, 1e-12); /* K1 is 0 where nothing is right: half and half */
    ste_compare(o[0], o[1], 0, 0, &c);
    assert_true(isnan(c.two_order_difference.value) && isnan(c.gain_telling.value) && isnan(c.gain_position.lo));
}

static void fits(const char *text)
{
    for (const char *p = text; *p; p += strcspn(p, "\n") + 1)
        if (strcspn(p, "\n") > 80)
            fail_msg("wider than 80 columns: %.*s", (int)strcspn(p, "\n"), p);
}

static void printed(void **state)
{
    struct ste_outcome o[8], none[8];
    struct ste_metrics m;
    struct ste_comparison c[2];
    static const char *const names[] = {"a suite whose name is longer than its column", "two"};
    struct ste_buf b = STE_BUF_INIT;
    size_t n = eight(o);
    ste_metrics_of(o, n, names[0], 1, &m);
    json_t *j = ste_metrics_json(&m), *curve = json_object_get(j, "coverage_curve");
    assert_float_equal(json_real_value(json_object_get(j, "two_order")), 3.0 / 8, 1e-12);
    assert_non_null(json_object_get(j, "two_order_lo"));
    assert_int_equal(json_integer_value(json_object_get(j, "undecided")), 1);
    assert_int_equal(json_array_size(curve), STE_N_COVERAGE);
    assert_int_equal(json_integer_value(json_object_get(json_array_get(curve, 1), "pairs")), 6);
    json_decref(j);
    ste_metrics_table(&m, 1, &m, &b);
    fits(b.s);
    assert_non_null(strstr(b.s, "undecided (margin 0), which count as wrong: 1\n"));
    assert_non_null(strstr(b.s, "100 % .38, 75 % .50, 50 % .75, 25 % 1.0\n"));
    b.len = 0;
    for (size_t i = 0; i < n; i++)
        none[i] = judged(-1, 0, i);
    ste_compare(o, none, n, 1, &c[0]);
    ste_compare(none, o, 0, 1, &c[1]); /* no pair: no figure */
    ste_comparison_table(names, c, 2, &c[0], &b);
    fits(b.s);
    assert_non_null(strstr(b.s, "-.375 ["));
    assert_non_null(strstr(b.s, "by losing position bias"));
    j = ste_comparison_json(&c[0]);
    static const char *const fields[] = {"two_order_difference", "two_order_difference_lo", "two_order_difference_hi",
                                         "two_order_p",          "only_first_two_order",    "only_second_two_order",
                                         "gain_telling",         "gain_telling_lo",         "gain_position",
                                         "gain_position_hi"};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        assert_non_null(json_object_get(j, fields[i]));
    json_decref(j);
    ste_buf_clear(&b);
}

static void abstaining(void **state)
{
    struct ste_outcome o[8];
    struct ste_outcome_line rows[8];
    size_t n = eight(o);
    for (size_t i = 0; i < n; i++)
        rows[i] = (struct ste_outcome_line){.suite = (char *)"s", .subset = (char *)"s", .id = (char *)"i", .o = o[i]};
    const struct ste_outcome_table t = {.rows = rows, .n = n};
    struct ste_scores s;
    assert_int_equal(ste_scores_of(&t, &(struct ste_scores_params){.min_margin = 1.75}, &s, NULL), 0);
    assert_int_equal(s.sure.pairs, 4); /* 4 3 -2 2 */
    assert_int_equal(s.sure.of, 8);
    assert_float_equal(s.sure.two_order.value, 0.75, 1e-12);
    struct ste_buf b = STE_BUF_INIT;
    ste_scores_table(&s, &b);
    fits(b.s);
    assert_non_null(strstr(b.s, "margin of 1.75 or more: 4 of 8 pairs (50.0 %), two-order 0.750 ["));
    ste_buf_clear(&b);
    json_t *j = json_object();
    ste_scores_json(&s, j);
    const json_t *sure = json_object_get(j, "min_margin");
    assert_float_equal(json_real_value(json_object_get(sure, "coverage")), 0.5, 0);
    assert_float_equal(json_real_value(json_object_get(sure, "rate")), 0.75, 1e-12);
    json_decref(j);
    ste_scores_clear(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(margins_by_hand),
        cmocka_unit_test(no_margin),
        cmocka_unit_test(without_log_probabilities),
        cmocka_unit_test(figures_by_hand),
        cmocka_unit_test(over_suites),
        cmocka_unit_test(known_judges),
        cmocka_unit_test(both_means_two_order),
        cmocka_unit_test(gains_by_hand),
        cmocka_unit_test(gains_add_up),
        cmocka_unit_test(printed),
        cmocka_unit_test(abstaining),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
