/* Who may ask, and how targets are read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "core/mem.h"
#include "serve/guard.h"

static void test_loopback(void **state)
{
    static const char *const here[] = {"127.0.0.1", "127.255.0.9", "::1", "[::1]", "localhost", "LocalHost"};
    static const char *const not_here[] = {
        "",        "0.0.0.0",    "::",          "10.0.0.1",      "128.0.0.1", "127.0.0.1.nip", "127.0.0.256",
        "127.0.0", "localhost.", "localhost.a", "::ffff:8.8.8.8"};
    for (size_t i = 0; i < sizeof here / sizeof *here; i++)
        if (!ste_guard_is_loopback(here[i]))
            fail_msg("%s", here[i]);
    for (size_t i = 0; i < sizeof not_here / sizeof *not_here; i++)
        if (ste_guard_is_loopback(not_here[i]))
            fail_msg("%s", not_here[i]);
}

static void test_host(void **state)
{
    char *items[] = {"judge.example", "10.0.0.5"};
    const struct ste_strings names = {.items = items, .n = 2};
    static const char *const good[] = {"localhost",      "localhost:8791", "localhost.:1",  "127.0.0.1:80",
                                       "[::1]:80",       "[::1]",          "judge.example", "Judge.Example:443",
                                       "judge.example.", "10.0.0.5:8791"};
    static const char *const bad[] = {"",
                                      ":80",
                                      "evil.example",
                                      "judge.example.evil",
                                      "10.0.0.50",
                                      "[::2]:1",
                                      "[::1",
                                      "localhost.evil:80",
                                      "judge.examples",
                                      "[judge.example]",
                                      "@localhost",
                                      "127.0.0.1.evil",
                                      "evil#localhost"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (!ste_guard_host(good[i], &names))
            fail_msg("%s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (ste_guard_host(bad[i], &names))
            fail_msg("%s", bad[i]);
    assert_true(ste_guard_host(NULL, &names));
    assert_false(ste_guard_host("judge.example", NULL));
}

static void test_foreign(void **state)
{
    const char *host = "localhost:8791";
    assert_false(ste_guard_foreign(NULL, NULL, host));
    assert_false(ste_guard_foreign("http://localhost:8791", "same-origin", host));
    assert_false(ste_guard_foreign("https://LOCALHOST:8791", NULL, host));
    assert_false(ste_guard_foreign(NULL, "none", host));
    assert_true(ste_guard_foreign("null", NULL, host));
    assert_true(ste_guard_foreign("", NULL, host));
    assert_true(ste_guard_foreign("http://localhost:1", NULL, host));
    assert_true(ste_guard_foreign("http://localhost", NULL, host));
    assert_true(ste_guard_foreign("http://evil.example", NULL, host));
    assert_true(ste_guard_foreign("http://localhost:8791", NULL, NULL));
    assert_true(ste_guard_foreign("http://localhost:8791.evil.example", NULL, host));
    assert_true(ste_guard_foreign(NULL, "cross-site", host));
    assert_true(ste_guard_foreign(NULL, "same-site", host));
    assert_true(ste_guard_foreign("http://localhost:8791", "cross-site", host));
}

static void test_token(void **state)
{
    const char *token = "token-of-ours";
    static const char *const good[] = {"Bearer token-of-ours", "bearer  token-of-ours",
                                       "Basic dXNlcjp0b2tlbi1vZi1vdXJz", /* user:... */
                                       "basic OnRva2VuLW9mLW91cnM=" /* :... */};
    static const char *const bad[] = {"",
                                      "token-of-ours",
                                      "Bearer",
                                      "Bearer ",
                                      "Bearer token-of-our",
                                      "Bearer token-of-oursx",
                                      "Bearer token-of-ours ",
                                      "Bearer TOKEN-OF-OURS",
                                      "Bearer token-of-ourstoken-of-ours",
                                      "Basic ",
                                      "Basic dG9rZW4tb2Ytb3Vycw==", /* without a user */
                                      "Basic dXNlcjp0b2tlbi1vZi1vdXI=",
                                      "Basic !!!!",
                                      "Basic dXNl!cjp0b2tlbi1vZi1vdXJz",
                                      "Basic token-of-ours",
                                      "Digest token-of-ours"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (!ste_guard_token(good[i], token))
            fail_msg("%s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (ste_guard_token(bad[i], token))
            fail_msg("%s", bad[i]);
    assert_false(ste_guard_token(NULL, token));
}

static void decodes(const char *s, bool plus, const char *want)
{
    char *got = ste_percent_decode(s, strlen(s), plus);
    if (!want != !got || (want && strcmp(got, want) != 0))
        fail_msg("%s: %s", s, got ? got : "none");
    ste_xfree(got);
}

static void test_decode(void **state)
{
    decodes("", false, "");
    decodes("a+b%20c", false, "a+b c");
    decodes("a+b%20c", true, "a b c");
    decodes("%C3%a9%2F%25", false, "\xC3\xA9/%");
    decodes("%", false, NULL);
    decodes("%2", false, NULL);
    decodes("%zz", false, NULL);
    decodes("a%00b", false, NULL);
    decodes("%ff", false, NULL);
    decodes("%ed%a0%80", false, NULL); /* half of a surrogate pair */
    decodes("%c0%af", false, NULL);    /* an overlong slash */
    char *cut = ste_percent_decode("%41", 2, false);
    assert_null(cut);
}

static void test_query(void **state)
{
    struct ste_fields f = {0};
    assert_true(ste_query_read(&f, "a=1&b&&c=x%26y+z&a=2&=v&d==&e="));
    assert_string_equal(ste_fields_find(&f, "a"), "1");
    assert_string_equal(ste_fields_find(&f, "b"), "");
    assert_string_equal(ste_fields_find(&f, "c"), "x&y z");
    assert_string_equal(ste_fields_find(&f, ""), "v");
    assert_string_equal(ste_fields_find(&f, "d"), "=");
    assert_string_equal(ste_fields_find(&f, "e"), "");
    assert_null(ste_fields_find(&f, "A"));
    ste_fields_clear(&f);
    assert_false(ste_query_read(&f, "a=%f"));
    ste_fields_clear(&f);
    char many[200] = "";
    for (int i = 0; i < 65; i++)
        strcat(many, "a&");
    assert_false(ste_query_read(&f, many));
    ste_fields_clear(&f);
    assert_true(ste_query_read(&f, many + 2));
    ste_fields_clear(&f);
}

static bool matches(struct ste_fields *f, const char *pattern, const char *path)
{
    ste_fields_clear(f);
    return ste_path_match(pattern, path, strlen(path), f);
}

static void test_routes(void **state)
{
    struct ste_fields f = {0};
    assert_true(matches(&f, "/", "/"));
    assert_true(matches(&f, "/health", "/health"));
    assert_false(matches(&f, "/health", "/health/"));
    assert_false(matches(&f, "/health", "/healt"));
    assert_false(matches(&f, "/health", "/Health"));
    assert_false(matches(&f, "/health", "//health"));
    assert_true(matches(&f, "/runs/{run}/pairs/{id}", "/runs/a%2Fb%20c/pairs/7"));
    assert_string_equal(ste_fields_find(&f, "run"), "a/b c");
    assert_string_equal(ste_fields_find(&f, "id"), "7");
    assert_false(matches(&f, "/runs/{run}", "/runs/"));
    assert_false(matches(&f, "/runs/{run}", "/runs"));
    assert_false(matches(&f, "/runs/{run}", "/runs/a/b"));
    assert_false(matches(&f, "/runs/{run}", "/runs/%zz"));
    assert_false(matches(&f, "/runs/{run}/pairs", "/runs//pairs"));
    ste_fields_clear(&f);
    assert_true(ste_path_match("/runs/{run}", "/runs/a?x=/b", 7, &f));
    assert_string_equal(ste_fields_find(&f, "run"), "a");
    ste_fields_clear(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loopback), cmocka_unit_test(test_host),   cmocka_unit_test(test_foreign),
        cmocka_unit_test(test_token),    cmocka_unit_test(test_decode), cmocka_unit_test(test_query),
        cmocka_unit_test(test_routes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
