/* Paths, queries, hosts, origins and tokens, as requests may have them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "core/mem.h"
#include "core/utf8.h"
#include "serve/guard.h"

static void decodes(const char *text, bool plus, const char *want)
{
    char *got = ste_percent_decode(text, strlen(text), plus);
    if (want)
        assert_string_equal(got, want);
    else
        assert_null(got);
    ste_xfree(got);
}

static void test_decode(void **state)
{
    decodes("a%20b%2fC", false, "a b/C");
    decodes("a+b", false, "a+b");
    decodes("a+b%2B", true, "a b+");
    decodes("%C3%A4", false, "\xc3\xa4");
    const char *const bad[] = {"%", "%2", "%2x", "%x2", "%00", "a%0", "%C3", "%ff", "%ED%A0%80", "%C0%80"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        decodes(bad[i], false, NULL);
}

static void test_path(void **state)
{
    const struct {
        const char *pattern, *path, *first;
    } right[] = {{"/", "/", NULL},
                 {"/runs", "/runs", NULL},
                 {"/runs/{run}", "/runs/a%20b", "a b"},
                 {"/v1/models/{m}", "/v1/models/own%2fname", "own/name"},
                 {"/runs/{run}/pairs/{id}", "/runs/r/pairs/7", "r"}},
      wrong[] = {{"/runs", "/runs/", NULL},
                 {"/runs/{run}", "/runs/", NULL},
                 {"/runs/{run}", "/runs/a/b", NULL},
                 {"/runs/{run}", "/runs/%zz", NULL},
                 {"/runs/{run}", "/runs/%00", NULL},
                 {"/runs/{run}/pairs", "/runs//pairs", NULL},
                 {"/runs", "/run", NULL},
                 {"/", "", NULL}};
    for (size_t i = 0; i < sizeof right / sizeof *right; i++) {
        struct ste_fields parts = {0};
        assert_true(ste_path_match(right[i].pattern, right[i].path, strlen(right[i].path), &parts));
        if (right[i].first)
            assert_string_equal(parts.values.items[0], right[i].first);
        ste_fields_clear(&parts);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct ste_fields parts = {0};
        assert_false(ste_path_match(wrong[i].pattern, wrong[i].path, strlen(wrong[i].path), &parts));
        ste_fields_clear(&parts);
    }
}

static void test_query(void **state)
{
    struct ste_fields q = {0};
    assert_true(ste_query_read(&q, "a=1&b=x+y&&c&a=2&d=%3D%26=&=e"));
    assert_string_equal(ste_fields_find(&q, "a"), "1");
    assert_string_equal(ste_fields_find(&q, "b"), "x y");
    assert_string_equal(ste_fields_find(&q, "c"), "");
    assert_string_equal(ste_fields_find(&q, "d"), "=&=");
    assert_string_equal(ste_fields_find(&q, ""), "e");
    assert_null(ste_fields_find(&q, "e"));
    ste_fields_clear(&q);
    const char *const bad[] = {"a=%", "%ff=1", "a=1&b=%00"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(ste_query_read(&q, bad[i]));
        ste_fields_clear(&q);
    }
    char many[65 * 4 + 1] = "";
    for (int i = 0; i < 65; i++)
        strcat(many, "a=1&");
    assert_false(ste_query_read(&q, many));
    ste_fields_clear(&q);
}

static void test_who(void **state)
{
    struct ste_strings names = {0};
    ste_strings_add(&names, "judge.example");
    const char *const good[] = {"localhost", "localhost:80", "127.0.0.1:1",    "127.1.2.3",
                                "[::1]",     "[::1]:80",     "judge.example:8"},
                      *const bad[] = {"evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "",
                                      "[::1",         "judge.example.evil"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (!ste_guard_host(good[i], &names))
            fail_msg("%s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (ste_guard_host(bad[i], &names))
            fail_msg("%s", bad[i]);
    ste_strings_clear(&names);
    assert_false(ste_guard_foreign(NULL, NULL, "localhost"));
    assert_false(ste_guard_foreign("http://localhost:80", "same-origin", "localhost:80"));
    assert_true(ste_guard_foreign("http://localhost:81", NULL, "localhost:80"));
    assert_true(ste_guard_foreign("null", NULL, "localhost"));
    assert_true(ste_guard_foreign(NULL, "cross-site", "localhost"));
    assert_true(ste_guard_foreign(NULL, "same-site", "localhost"));
    assert_true(ste_guard_token("Bearer secret-token", "secret-token"));
    assert_true(ste_guard_token("Basic eDpzZWNyZXQtdG9rZW4=", "secret-token")); /* x:secret-token */
    const char *const no[] = {
        "",      "Bearer",   "Bearer ",    "Bearer secret-toke", "Bearer secret-tokens",
        "Basic", "Basic !!", "Basic eDo=", "secret-token",       "Bearer secret-tokensecret-token"};
    for (size_t i = 0; i < sizeof no / sizeof *no; i++)
        if (ste_guard_token(no[i], "secret-token"))
            fail_msg("%s", no[i]);
}

/* Whatever a target holds, what is read from it is text. */
static void test_any_bytes(void **state)
{
    static const char bytes[] = "ab%%%0123456789fFxz&=+/?{}\xc3\xa4\xff";
    uint32_t seed = 1;
    for (int i = 0; i < 200000; i++) {
        char text[40];
        const size_t n = (seed >> 8) % (sizeof text - 1);
        for (size_t k = 0; k < n; k++) {
            seed = seed * 1664525u + 1013904223u;
            text[k] = bytes[(seed >> 16) % (sizeof bytes - 1)];
        }
        text[n] = 0;
        seed = seed * 1664525u + 1013904223u;
        struct ste_fields q = {0}, parts = {0};
        ste_query_read(&q, text);
        for (size_t k = 0; k < q.values.n; k++)
            assert_int_equal(ste_utf8_bad(q.values.items[k], strlen(q.values.items[k])), strlen(q.values.items[k]));
        ste_path_match("/a/{b}/{c}", text, n, &parts);
        ste_guard_host(text, &q.names);
        ste_guard_foreign(text, text, text);
        ste_guard_token(text, "token");
        ste_fields_clear(&q);
        ste_fields_clear(&parts);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decode), cmocka_unit_test(test_path),      cmocka_unit_test(test_query),
        cmocka_unit_test(test_who),    cmocka_unit_test(test_any_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
