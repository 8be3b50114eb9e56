#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "report/chart.h"
#include "report/chart_internal.h"

static size_t count(const char *text, const char *what)
{
    size_t n = 0;
    for (const char *p = text; (p = strstr(p, what)); p += strlen(what))
        n++;
    return n;
}

/* What is drawn has only finite numbers, and each element that is opened is closed. */
static void check_drawn(const struct ste_buf *out)
{
    static const char *const elements[] = {"svg", "g",  "figure", "table", "details", "tr",
                                           "td",  "ul", "li",     "text",  "title"};
    assert_null(strstr(out->s, "nan"));
    assert_null(strstr(out->s, "inf"));
    for (size_t i = 0; i < sizeof elements / sizeof *elements; i++) {
        char open[16], opened[16], closed[16];
        snprintf(open, sizeof open, "<%s ", elements[i]);
        snprintf(opened, sizeof opened, "<%s>", elements[i]);
        snprintf(closed, sizeof closed, "</%s>", elements[i]);
        assert_int_equal(count(out->s, open) + count(out->s, opened), count(out->s, closed));
    }
}

static const struct ste_chart plain = {.id = "c", .title = "A title", .about = "About it.", .x = "step", .y = "loss"};

static void test_number(void **state)
{
    static const struct {
        double v;
        const char *want;
    } cases[] = {{0.5, "0.500"},
                 {-0.25, "-0.250"},
                 {NAN, "\xe2\x80\x93"},
                 {INFINITY, "\xe2\x80\x93"},
                 {123456789, "123456789.000"},
                 {1e12, "1e+12"},
                 {-DBL_MAX, "-1.798e+308"},
                 {1e-9, "0.000"}};
    struct ste_buf out = STE_BUF_INIT;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ste_buf_reset(&out);
        ste_html_number(&out, cases[i].v, 3);
        assert_string_equal(out.s, cases[i].want);
    }
    ste_buf_reset(&out);
    ste_html_interval(&out, 0.5, 0.4, 0.6, 2);
    ste_html_interval(&out, 0.5, NAN, 0.6, 2);
    assert_string_equal(out.s, "0.50 [0.40, 0.60]0.50");
    ste_buf_clear(&out);
}

struct ticks {
    int n;
    char first[32], last[32];
};

static void add_tick(void *arg, double v, const char *text)
{
    struct ticks *t = arg;
    snprintf(t->n++ ? t->last : t->first, sizeof t->first, "%s", text);
}

static void check_axis(const double *values, size_t n, double lo, double hi, bool whole, const char *first,
                       const char *last)
{
    const struct ste_chart_axis a = ste_chart_axis_of(values, n, lo, hi, whole);
    struct ticks t = {0};
    assert_true(a.lo < a.hi && isfinite(a.hi - a.lo) && a.step > 0);
    ste_chart_ticks(&a, add_tick, &t);
    assert_in_range(t.n, 2, 12);
    if (first)
        assert_string_equal(t.first, first);
    if (last)
        assert_string_equal(t.last, last);
    for (size_t i = 0; i < n; i++)
        if (isfinite(values[i]))
            assert_in_range((int)(1000 * ste_chart_place(&a, values[i])), 0, 1000);
}

static void test_axis(void **state)
{
    check_axis((double[]){0}, 0, 0, 1, false, "0.0", "1.0");
    check_axis((double[]){0}, 0, 0, 0, false, "0.0", "1.0");  /* nothing */
    check_axis((double[]){3, 3}, 2, 0, 0, false, NULL, NULL); /* one value */
    check_axis((double[]){0, 1, 2, 3}, 4, 0, 0, true, "0", "3");
    check_axis((double[]){0, 100000}, 2, 0, 0, true, "0", "100000");
    check_axis((double[]){NAN, INFINITY, 2, 5}, 4, 0, 0, false, "2", "5");
    check_axis((double[]){-DBL_MAX, DBL_MAX}, 2, 0, 0, false, NULL, NULL);
    check_axis((double[]){1e15, 1e15 + 1}, 2, 0, 0, false, NULL, NULL);
    check_axis((double[]){1e-12, 2e-12}, 2, 0, 0, false, NULL, NULL);
    check_axis((double[]){0, 2, 4, 6}, 4, 0, 0, true, "0", "6");
}

static void test_lines(void **state)
{
    static const struct ste_chart_point one[] = {{3, 0.5, 0.4, 0.6}}, hard[] = {{0, NAN, NAN, NAN},
                                                                                {1, INFINITY, 0, 1},
                                                                                {2, DBL_MAX, -DBL_MAX, DBL_MAX},
                                                                                {NAN, 1, 1, 1},
                                                                                {4, 1, NAN, NAN}};
    static struct ste_chart_point many[5000];
    for (int i = 0; i < 5000; i++)
        many[i] = (struct ste_chart_point){i, sin(i), NAN, NAN};
    const struct ste_chart_series all[] = {{"one", one, 1}, {"hard", hard, 5}, {"none", NULL, 0}, {"many", many, 5000}};
    struct ste_buf out = STE_BUF_INIT;
    for (size_t n = 0; n <= 4; n++)
        for (size_t from = 0; from + n <= 4; from++) {
            ste_buf_reset(&out);
            ste_chart_lines(&out, &plain, all + from, n);
            check_drawn(&out);
            assert_int_equal(count(out.s, "role=\"img\""), 1);
            assert_non_null(strstr(out.s, "<title id=\"c-t\">A title</title><desc id=\"c-d\">"));
        }
    ste_buf_reset(&out);
    ste_chart_lines(&out, &plain, all, 1);
    assert_non_null(strstr(out.s, "<th scope=\"row\">3</th><td>0.500 [0.400, 0.600]</td>"));
    ste_buf_reset(&out);
    ste_chart_lines(&out, &plain, all + 3, 1); /* a row each, and no marks */
    assert_int_equal(count(out.s, "<th scope=\"row\">"), 5000);
    assert_int_equal(count(out.s, "class=\"mark\""), 1);
    ste_buf_clear(&out);
}

/* Series that have different x share a row where they meet. */
static void test_lines_meet(void **state)
{
    static const struct ste_chart_point a[] = {{0, 0.1, NAN, NAN}, {2, 0.3, NAN, NAN}},
                                        b[] = {{1, 0.2, NAN, NAN}, {2, 0.4, NAN, NAN}};
    const struct ste_chart_series both[] = {{"a", a, 2}, {"b", b, 2}};
    struct ste_chart c = plain;
    c.zero = "seed";
    struct ste_buf out = STE_BUF_INIT;
    ste_chart_lines(&out, &c, both, 2);
    assert_non_null(strstr(out.s, "<th scope=\"row\">seed</th><td>0.100</td><td></td>"));
    assert_non_null(strstr(out.s, "<th scope=\"row\">1</th><td></td><td>0.200</td>"));
    assert_non_null(strstr(out.s, "<th scope=\"row\">2</th><td>0.300</td><td>0.400</td>"));
    ste_buf_clear(&out);
}

static void test_dots(void **state)
{
    static const struct ste_chart_dot dots[] = {
        {"</svg><script>", 0, 0.5, 0.4, 0.6},
        {"none", 1, NAN, NAN, NAN},
        {"huge", 7, 1e308, -1e308, INFINITY},
        {"\xd7\xa9\xd7\xa9\xd7\xa9\xd7\xa9\xd7\xa9\xd7\xa9\xd7\xa9\xd7\xa9\xd7\xa9\xd7\xa9"
         "\xd7\xa9\xd7\xa9\xd7\xa9\xd7\xa9\xd7\xa9\xd7\xa9\xd7\xa9\xd7\xa9\xd7\xa9\xd7\xa9"
         "\xd7\xa9\xd7\xa9\xd7\xa9\xd7\xa9\xd7\xa9\xd7\xa9\xd7\xa9\xd7\xa9\xd7\xa9\xd7\xa9",
         2, 1, NAN, NAN}};
    static const char *const names[] = {"first", "second"};
    struct ste_buf out = STE_BUF_INIT;
    for (size_t n = 0; n <= 4; n++) {
        ste_buf_reset(&out);
        ste_chart_dots(&out, &plain, dots, n, names, n ? 2 : 0);
        check_drawn(&out);
        assert_null(strstr(out.s, "<script"));
    }
    assert_non_null(strstr(out.s, "<th scope=\"row\">&lt;/svg&gt;&lt;script&gt;</th><td>0.500 [0.400, 0.600]</td>"));
    ste_buf_clear(&out);
}

static void test_bars(void **state)
{
    static const struct ste_chart_part parts[] = {{"kept", 6}, {"too long", 3}, {"<b>", 1}, {"nothing", 0}},
                                       after[] = {{"kept", 6}}, hard[] = {{"a", NAN}, {"b", -1}, {"c", INFINITY}};
    const struct ste_chart_bar bars[] = {{"read", parts, 4}, {"pairs", after, 1}, {"none", NULL, 0}, {"hard", hard, 3}};
    struct ste_buf out = STE_BUF_INIT;
    for (int scale = STE_CHART_OWN; scale <= STE_CHART_FLOW; scale++)
        for (size_t n = 0; n <= 4; n++) {
            ste_buf_reset(&out);
            ste_chart_bars(&out, &plain, bars, n, (enum ste_chart_scale)scale, "");
            check_drawn(&out);
            assert_null(strstr(out.s, "<b>"));
        }
    ste_buf_reset(&out);
    ste_chart_bars(&out, &plain, bars, 2, STE_CHART_FLOW, "");
    assert_non_null(strstr(out.s, "<th scope=\"row\" class=\"part\">too long</th><td>3</td><td>30.0 %</td>"));
    assert_non_null(strstr(out.s, "<th scope=\"row\" class=\"part\">nothing</th><td>0</td><td>0.0 %</td>"));
    assert_non_null(strstr(out.s, "width=\"30.000%\""));
    assert_non_null(strstr(out.s, "M0 0H60.000L60.000 34H0Z")); /* what is kept goes on as the next bar */
    ste_buf_clear(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_number), cmocka_unit_test(test_axis),
                                       cmocka_unit_test(test_lines),  cmocka_unit_test(test_lines_meet),
                                       cmocka_unit_test(test_dots),   cmocka_unit_test(test_bars)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
