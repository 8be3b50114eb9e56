/* core/profile: every moment counts once, for the innermost kind of work, and the table adds up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/log.h"
#include "core/profile.h"

static void spend(double seconds)
{
    double end = ste_now() + seconds;
    while (ste_now() < end)
        ;
}

/* The seconds of the line that begins with NAME (after two blanks for kinds of work), or -1. */
static double seconds_of(const char *table, const char *name)
{
    for (const char *line = table; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
        if (strncmp(line, name, strlen(name)) == 0 && line[strlen(name)] == ' ')
            return strtod(line + strlen(name), NULL);
    return -1;
}

static void off_is_silent(void **state)
{
    (void)state;
    struct ste_buf b = STE_BUF_INIT;
    enum ste_work before = ste_profile_begin(STE_WORK_ROWS);
    ste_profile_end(before);
    ste_profile_step("nothing");
    ste_profile_table(&b);
    assert_int_equal(b.len, 0);
    ste_buf_clear(&b);
}

static void nested_work_counts_once(void **state)
{
    (void)state;
    struct ste_buf b = STE_BUF_INIT;
    double from = ste_now();
    ste_profile_start();
    ste_profile_step("judge");
    enum ste_work a = ste_profile_begin(STE_WORK_PRODUCTS);
    spend(0.4);
    enum ste_work c = ste_profile_begin(STE_WORK_STORE);
    spend(0.2);
    ste_profile_end(c);
    spend(0.1);
    ste_profile_end(a);
    ste_profile_tokens(700, 70, 0);
    ste_profile_step("train");
    a = ste_profile_begin(STE_WORK_BACKWARD);
    spend(0.3);
    ste_profile_end(a);
    spend(0.2);
    ste_profile_step("judge"); /* again: the same line */
    a = ste_profile_begin(STE_WORK_PRODUCTS);
    spend(0.1);
    ste_profile_end(a);
    ste_profile_table(&b);
    double whole = ste_now() - from;

    double judge = seconds_of(b.s, "judge"), train = seconds_of(b.s, "train"), all = seconds_of(b.s, "all");
    assert_true(judge >= 0.75 && train >= 0.45); /* at least; beside other load it may be more */
    assert_true(all > judge + train - 0.11 && all <= whole + 0.06);
    assert_true(seconds_of(b.s, "  products") >= 0.55);
    assert_true(seconds_of(b.s, "  store") >= 0.15);
    assert_true(seconds_of(b.s, "  products, backward") >= 0.25);
    assert_true(strstr(b.s, "tokens read") != NULL);
    assert_true(strstr(b.s, "100.0%") != NULL); /* the sum of the parts over the whole */
    for (const char *line = b.s; *line; line = strchr(line, '\n') + 1)
        assert_true(strchr(line, '\n') - line <= 80);
    ste_buf_clear(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(off_is_silent), cmocka_unit_test(nested_work_counts_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
