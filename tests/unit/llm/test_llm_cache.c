/* The request cache: what is put comes back, keys keep apart, damage is not an answer. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/buf.h"
#include "core/mem.h"
#include "llm/cache.h"

static struct ste_completion sample(void)
{
    struct ste_completion c = {
        .finish = STE_FINISH_CHOICE, .free_finish = STE_FINISH_STOP, .n = 3, .n_free = 2, .choice = 1};
    const int32_t tokens[] = {5, 70000, 32};
    const float logprobs[] = {-0.5f, -1.25f, 0};
    c.tokens = ste_xmemdup(tokens, sizeof tokens);
    c.logprobs = ste_xmemdup(logprobs, sizeof logprobs);
    c.choice_logprobs[0] = -INFINITY;
    c.choice_logprobs[1] = -0.125f;
    return c;
}

static void comes_back(void **state)
{
    char path[] = "/tmp/ste-cache-XXXXXX";
    close(mkstemp(path));
    struct ste_completion c = sample(), got;
    struct ste_cache *a = ste_cache_open(path, "engine 1"), *b = ste_cache_open(path, "engine 2");
    assert_non_null(a);
    assert_non_null(b);
    assert_false(ste_cache_get(a, "x", &got));
    ste_cache_put(a, "x", &c);
    assert_false(ste_cache_get(a, "y", &got));
    assert_false(ste_cache_get(b, "x", &got));
    ste_cache_close(a);
    a = ste_cache_open(path, "engine 1");
    assert_true(ste_cache_get(a, "x", &got));
    assert_int_equal(got.n, 3);
    assert_int_equal(got.n_free, 2);
    assert_int_equal(got.choice, 1);
    assert_int_equal(got.finish, STE_FINISH_CHOICE);
    assert_int_equal(got.free_finish, STE_FINISH_STOP);
    assert_memory_equal(got.tokens, c.tokens, 12);
    assert_memory_equal(got.logprobs, c.logprobs, 12);
    assert_memory_equal(got.choice_logprobs, c.choice_logprobs, sizeof c.choice_logprobs);
    ste_completion_clear(&got);
    c.finish = STE_FINISH_FAILED; /* failed transport is never kept */
    ste_cache_put(a, "z", &c);
    assert_false(ste_cache_get(a, "z", &got));
    ste_completion_clear(&c);
    ste_cache_close(a);
    ste_cache_close(b);
    unlink(path);
}

static void damage_is_no_answer(void **state)
{
    struct ste_completion c = sample(), got;
    struct ste_buf b = STE_BUF_INIT;
    ste_completion_pack(&c, &b);
    for (size_t n = 0; n < b.len; n++)
        assert_false(ste_completion_unpack(b.s, n, &got));
    assert_true(ste_completion_unpack(b.s, b.len, &got));
    ste_completion_clear(&got);
    b.s[8] = 99; /* the choice's index */
    assert_false(ste_completion_unpack(b.s, b.len, &got));
    ste_buf_clear(&b);
    ste_completion_clear(&c);
}

static void goes_on_without(void **state)
{
    assert_null(ste_cache_open("/dev/null/no/cache.db", "engine 1"));
    struct ste_completion got;
    assert_false(ste_cache_get(NULL, "x", &got));
    ste_cache_put(NULL, "x", &got);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(comes_back), cmocka_unit_test(damage_is_no_answer),
                                       cmocka_unit_test(goes_on_without)};
    return cmocka_run_group_tests_name("llm cache", tests, NULL, NULL);
}
