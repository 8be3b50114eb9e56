#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"
#include "report/beside.h"
#include "report/page.h"

static size_t count(const char *text, const char *what)
{
    size_t n = 0;
    for (const char *p = text; (p = strstr(p, what)); p += strlen(what))
        n++;
    return n;
}

static void check_page(struct ste_buf *out)
{
    static const char *const elements[] = {"div", "svg", "figure", "table", "details", "tr",
                                           "td",  "th",  "dl",     "dd",    "bdi",     "p"};
    for (size_t i = 0; i < sizeof elements / sizeof *elements; i++) {
        char open[16], opened[16], closed[16];
        snprintf(open, sizeof open, "<%s ", elements[i]);
        snprintf(opened, sizeof opened, "<%s>", elements[i]);
        snprintf(closed, sizeof closed, "</%s>", elements[i]);
        if (count(out->s, open) + count(out->s, opened) != count(out->s, closed))
            fail_msg("%s: %zu opened, %zu closed", elements[i], count(out->s, open) + count(out->s, opened),
                     count(out->s, closed));
    }
    assert_null(strstr(out->s, "<script"));
    assert_null(strstr(out->s, "<img"));
    ste_buf_clear(out);
}

/* Every page of REPORT. */
static void check_all(const json_t *report, const json_t *beside)
{
    struct ste_buf out = STE_BUF_INIT;
    ste_page_run_main(&out, "<img> & \"co\"", report, beside);
    check_page(&out);
    ste_page_eval(&out, report, beside, beside);
    check_page(&out);
    ste_page_eval(&out, report, NULL, NULL);
    check_page(&out);
    ste_page_compare(&out, report, beside);
    check_page(&out);
    ste_page_rank(&out, report, beside);
    check_page(&out);
    ste_page_sweep(&out, report);
    check_page(&out);
}

/* A report that lacks everything, or has something else where a list is looked for, makes a page all the same. */
static void test_nothing(void **state)
{
    static const char *const members[] = {"evaluation", "funnel",  "kinds",   "iterations", "checkpoints",
                                          "work",       "recipe",  "subsets", "overall",    "models",
                                          "points",     "figures", "judges",  "steps",      "pairs"},
                             *const values[] = {"null",  "[]",       "{}", "[null]", "[{}]", "[[1, [2]], \"<img>\"]",
                                                "1e308", "\"<img>\""};
    json_t *none = json_object();
    check_all(none, none);
    json_decref(none);
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        for (size_t k = 0; k < sizeof values / sizeof *values; k++) {
            json_t *report = json_object();
            json_object_set_new(report, members[i], json_loads(values[k], JSON_DECODE_ANY, NULL));
            check_all(report, report);
            json_decref(report);
        }
}

/* A kept pair of 1 MB of markup is shown whole, as text. */
static void test_large(void **state)
{
    enum { N = 1 << 20 };
    struct ste_buf out = STE_BUF_INIT;
    char *large = ste_xmalloc(N + 1);
    for (size_t i = 0; i < N; i++)
        large[i] = "</script>"[i % 9];
    large[N] = 0;
    struct ste_answer_pair pair = {.id = "<img>", .first = large, .second = "\xd7\xa9 \xf0\x9f\x98\x80"};
    struct ste_outcome o = {.judged = true};
    o.order[0].verdict = o.order[1].verdict = STE_VERDICT_A;
    struct ste_differing d = {0};
    ste_differing_add(&d, "<img>", &pair, (const char *const[]){"<img>", "two"}, &o, NULL);
    json_t *differing = ste_differing_end(&d), *figures = json_object();
    ste_page_rank(&out, figures, differing);
    assert_int_equal(count(out.s, "&lt;/script&gt;"), N / 9);
    assert_non_null(strstr(out.s, "\xd7\xa9 \xf0\x9f\x98\x80"));
    check_page(&out);
    json_decref(differing);
    json_decref(figures);
    ste_xfree(large);
}

/* Of many pairs the surest are kept, surest first; those on which both orders agree are none. */
static void test_differing(void **state)
{
    struct ste_answer_pair pair = {.first = "yes", .second = "no"};
    struct ste_differing d = {0};
    char id[16];
    for (int i = 0; i < 300; i++) {
        struct ste_outcome o = {.judged = i % 3 != 2};
        const double by = (i * 37) % 300;
        o.order[0] = (struct ste_judgment){.verdict = STE_VERDICT_A, .logprob_a = by, .logprob_b = 0};
        o.order[1] = (struct ste_judgment){
            .verdict = i % 3 == 1 ? STE_VERDICT_B : STE_VERDICT_A, .logprob_a = 2 * by, .logprob_b = 0};
        snprintf(id, sizeof id, "%d", (int)by);
        pair.id = id;
        ste_differing_add(&d, "all", &pair, NULL, &o, NULL);
    }
    json_t *all = ste_differing_end(&d), *pairs = json_object_get(all, "pairs"), *row;
    assert_int_equal(json_integer_value(json_object_get(all, "of")), 200);
    assert_int_equal(json_integer_value(json_object_get(all, "differ")), 100);
    assert_int_equal(json_array_size(pairs), STE_BESIDE_PAIRS);
    size_t i;
    int last = 300;
    json_array_foreach(pairs, i, row)
    {
        int this;
        assert_int_equal(sscanf(json_string_value(json_object_get(row, "id")), "%d", &this), 1);
        assert_true(this < last);
        last = this;
    }
    json_decref(all);
}

static void test_calibration(void **state)
{
    struct ste_outcome o[4] = {{.judged = true}, {.judged = true}, {.judged = true}, {.judged = true}};
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < 2; k++) { /* sure by 0.95 of the chosen answer; the last, of the other */
            const bool a = (k == 0) == (i < 3);
            o[i].order[k] = (struct ste_judgment){.verdict = a ? STE_VERDICT_A : STE_VERDICT_B,
                                                  .logprob_a = a ? -0.0513 : -2.9957,
                                                  .logprob_b = a ? -2.9957 : -0.0513};
        }
    json_t *c = ste_beside_calibration(o, 4), *bin = json_array_get(json_object_get(c, "bins"), 0);
    assert_int_equal(json_array_size(json_object_get(c, "bins")), 1);
    assert_int_equal(json_integer_value(json_object_get(bin, "pairs")), 4);
    assert_float_equal(json_number_value(json_object_get(bin, "right")), 0.75, 1e-9);
    assert_float_equal(json_number_value(json_object_get(bin, "sure")), 0.95, 1e-3);
    assert_float_equal(json_number_value(json_object_get(c, "ece")), 0.2, 1e-3);
    json_decref(c);
    assert_null(ste_beside_calibration(o, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_nothing), cmocka_unit_test(test_large),
                                       cmocka_unit_test(test_differing), cmocka_unit_test(test_calibration)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
