/* JSON as text: what is read is what jansson reads, and what is written is what it writes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/json.h"
#include "core/mem.h"
#include "core/raw.h"
#include "core/rng.h"

/* V as jansson has it, by what raw.h tells. */
static void same(struct ste_raw v, const json_t *j)
{
    int64_t whole;
    double real;
    char *text = ste_raw_text(v);
    assert_int_equal(ste_raw_is_list(v), json_is_array(j));
    assert_int_equal(ste_raw_is_object(v), json_is_object(j));
    assert_int_equal(ste_raw_is_text(v), json_is_string(j));
    assert_int_equal(ste_raw_is(v, "null"), json_is_null(j));
    assert_int_equal(ste_raw_is(v, "true"), json_is_true(j));
    assert_int_equal(text != NULL, json_is_string(j));
    if (text)
        assert_string_equal(text, json_string_value(j));
    ste_xfree(text);
    assert_int_equal(ste_raw_int(v, &whole), json_is_integer(j));
    assert_int_equal(ste_raw_real(v, &real), json_is_number(j));
    if (json_is_integer(j))
        assert_true(whole == json_integer_value(j));
    if (json_is_number(j))
        assert_true(real == json_number_value(j));
    size_t n = 0;
    for (struct ste_raw x = ste_raw_first(v); x.s; x = ste_raw_after(v, x))
        same(x, json_array_get(j, n++));
    assert_int_equal(n, json_array_size(j));
    const char *key;
    json_t *item;
    json_object_foreach((json_t *)j, key, item)
    {
        if (!strpbrk(key, "\\\"/\b\f\n\r\t")) /* they are escaped, or may be */
            same(ste_raw_get(v, key), item);
    }
    assert_null(ste_raw_get(v, "not there").s);
}

/* Each is read by both or by neither. Jansson alone refuses numbers of more than 64 bits and texts with half a
 * character
 * (\ud800), and is told to refuse a key that is there twice. */
static void check(const char *text, size_t n)
{
    struct ste_raw v;
    json_error_t e;
    char *own = ste_xmalloc(n + 1); /* so that a sanitizer sees what is read behind it */
    memcpy(own, text, n);
    own[n] = 0;
    json_t *j = json_loadb(own, n, JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &e);
    const bool read = ste_raw_read(&v, own, n);
    if (j) {
        if (!read)
            fail_msg("not read: %s", own);
        same(v, j);
        json_t *built = ste_raw_value(v);
        if (built ? !json_equal(built, j) : !strstr(own, "\\"))
            fail_msg("another value: %s", own);
        struct ste_buf b = STE_BUF_INIT;
        char *want = json_dumps(j, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(17));
        ste_raw_add_value(&b, j);
        assert_string_equal(b.s, want);
        ste_buf_clear(&b);
        ste_xfree(want);
        json_decref(built);
    } else if (read && json_error_code(&e) != json_error_numeric_overflow &&
               json_error_code(&e) != json_error_duplicate_key && !strstr(own, "\\u")) {
        fail_msg("read: %s (%s)", own, e.text);
    }
    json_decref(j);
    ste_xfree(own);
}

static const char *const texts[] = {
    "",
    " ",
    "null",
    "true",
    "false",
    "nul",
    "truex",
    "0",
    "-0",
    "01",
    "-",
    "1.",
    "1.5",
    "1e5",
    "1E+05",
    "1e",
    ".5",
    "+1",
    "9223372036854775807",
    "-9223372036854775808",
    "-9223372036854775807",
    "[]",
    "[ ]",
    "{}",
    "{ }",
    "[1]",
    "[1,2 , 3]",
    "[1,]",
    "[,1]",
    "[1 2]",
    "[01,2]",
    "[1,02]",
    "[0,1]",
    "[1,-2,3]",
    "[1,2.5,3]",
    "[1,[2,3],[]]",
    "{\"a\":1}",
    "{\"a\" : 1 , \"b\":[1,2]}",
    "{\"a\":1,}",
    "{,}",
    "{\"a\"}",
    "{a:1}",
    "{\"a\":{\"b\":{}}}",
    "\"x\"",
    "\"x",
    "\"\\\"\"",
    "\"\\\\\"",
    "\"a\\nb\\u0041\\u00e4\"",
    "\"\\u12\"",
    "\"\\x\"",
    "\"a\tb\"",
    "\"\xc3\xa4\"",
    "\"\xc3\"",
    "[\"a\",\"]\",\"\\\"]\"]",
    "{\"]\":\"}\",\"k\":\"{\"}",
    "[1] 2",
    "[[[[1]]]]",
    "{\"choices\": [{\"index\": 0, \"message\": {\"role\": \"assistant\", \"content\": \"He said \\\"[[A]]\\\"\\n\"}, "
    "\"finish_reason\": \"stop\", \"stop_reason\": null, \"token_ids\": [19, 2, 31999]}], \"usage\": {\"total\": 12}, "
    "\"logprob\": -0.25, \"prompt_token_ids\":[1,96,17,0]}",
};

static void read_as_jansson_does(void **state)
{
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        check(texts[i], strlen(texts[i]));
    static const char some[] = "{}[]\",:\\ 0129-.eEtrfalsn\n\xc3";
    struct ste_rng rng;
    ste_rng_init(&rng, 1, 0);
    for (int i = 0; i < 200000; i++) {
        const char *of = texts[ste_rng_u32(&rng) % (sizeof texts / sizeof *texts)];
        char text[600];
        size_t n = strlen(of);
        memcpy(text, of, n + 1);
        for (uint32_t k = 1 + ste_rng_u32(&rng) % 3; n && k; k--) {
            const size_t at = ste_rng_u32(&rng) % n;
            const char c = some[ste_rng_u32(&rng) % (sizeof some - 1)];
            switch (ste_rng_u32(&rng) % 4) {
            case 0:
                n = at; /* cut */
                break;
            case 1:
                memmove(text + at, text + at + 1, --n - at);
                break;
            case 2:
                memmove(text + at + 1, text + at, n++ - at);
                text[at] = c;
                break;
            default:
                text[at] = c;
            }
        }
        check(text, n);
    }
}

static void written_as_jansson_does(void **state)
{
    static const char *const some[] = {"", "plain", "\"quoted\" \\ and / more", "\b\f\n\r\t\x01\x1f\x7f",
                                       "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"};
    static const double reals[] = {0, 1, 0.7, -2.5, 1e-5, 1e300, 3, 1e22};
    static const int32_t ids[] = {0, 1, 31999, INT32_MAX};
    for (size_t i = 0; i < sizeof some / sizeof *some; i++)
        for (size_t k = 0; k < sizeof reals / sizeof *reals; k++) {
            struct ste_raw_object o = STE_RAW_OBJECT;
            ste_raw_set_text(&o, "prompt", some[i]);
            ste_raw_set_real(&o, "min_p", reals[k]);
            ste_raw_set_int(&o, "top_k", k ? (int64_t)k : INT64_MIN);
            ste_raw_set(&o, "a", "true");
            ste_raw_set_ids(&o, "ids", (const struct ste_raw_list[]){{ids, 4}, {ids, 0}, {ids + 1, k}}, k < 4 ? 3 : 2);
            ste_raw_set_ids(&o, "none", NULL, 0);
            json_t *all = ste_json_ids(ids, 4);
            ste_json_add_ids(all, ids + 1, k < 4 ? k : 0);
            json_t *j = json_pack("{sssfsIsbsoso}", "prompt", some[i], "min_p", reals[k], "top_k",
                                  (json_int_t)(k ? (int64_t)k : INT64_MIN), "a", 1, "ids", all, "none", json_array());
            char *want = ste_json_canonical(j), *is = ste_raw_done(&o);
            assert_string_equal(is, want);
            json_decref(j);
            ste_xfree(want);
            ste_xfree(is);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(read_as_jansson_does),
                                       cmocka_unit_test(written_as_jansson_does)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
