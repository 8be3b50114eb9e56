/* The cache of answers: what is put comes back, keys keep apart, damage is not an answer. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/buf.h"
#include "core/mem.h"
#include "llm/cache.h"

static struct ste_answer sample(const char *address)
{
    struct ste_answer a = {.n_written = 1, .text = ste_xstrdup("a \xc3\xa9")};
    a.completion = (struct ste_completion){
        .finish = STE_FINISH_CHOICE, .free_finish = STE_FINISH_STOP, .n = 3, .n_free = 2, .choice = 1};
    const int32_t tokens[] = {5, 70000, 32};
    const float logprobs[] = {-0.5f, -1.25f, 0};
    a.completion.tokens = ste_xmemdup(tokens, sizeof tokens);
    a.completion.logprobs = ste_xmemdup(logprobs, sizeof logprobs);
    a.completion.choice_logprobs[0] = -INFINITY;
    a.completion.choice_logprobs[1] = -0.125f;
    memcpy(a.address, address, strlen(address) + 1);
    return a;
}

static void comes_back(void **state)
{
    char path[] = "/tmp/ste-cache-XXXXXX";
    close(mkstemp(path));
    struct ste_answer x = sample("x"), z = sample("z"), got;
    struct ste_cache *a = ste_cache_open(path, "engine 1", false), *b = ste_cache_open(path, "engine 2", false);
    assert_non_null(a);
    assert_non_null(b);
    assert_false(ste_cache_get(a, "x", &got));
    ste_cache_put(a, &x);
    assert_false(ste_cache_get(a, "y", &got));
    assert_false(ste_cache_get(b, "x", &got));
    ste_cache_close(a);
    a = ste_cache_open(path, "engine 1", false);
    assert_true(ste_cache_get(a, "x", &got));
    const struct ste_completion *c = &got.completion;
    assert_int_equal(c->n, 3);
    assert_int_equal(c->n_free, 2);
    assert_int_equal(got.n_written, 1);
    assert_string_equal(got.text, x.text);
    assert_int_equal(c->choice, 1);
    assert_int_equal(c->finish, STE_FINISH_CHOICE);
    assert_int_equal(c->free_finish, STE_FINISH_STOP);
    assert_memory_equal(c->tokens, x.completion.tokens, 12);
    assert_memory_equal(c->logprobs, x.completion.logprobs, 12);
    assert_memory_equal(c->choice_logprobs, x.completion.choice_logprobs, sizeof c->choice_logprobs);
    ste_answer_clear(&got);
    z.completion.finish = STE_FINISH_FAILED; /* failed transport is never kept */
    ste_cache_put(a, &z);
    assert_false(ste_cache_get(a, "z", &got));
    ste_answer_clear(&x);
    ste_answer_clear(&z);
    ste_cache_close(a);
    ste_cache_close(b);
    unlink(path);
}

static void damage_is_no_answer(void **state)
{
    struct ste_answer x = sample("x"), got;
    struct ste_buf b = STE_BUF_INIT;
    ste_answer_pack(&x, false, &b);
    for (size_t n = 0; n < b.len; n++)
        assert_false(ste_answer_unpack(b.s, n, &got));
    assert_true(ste_answer_unpack(b.s, b.len, &got));
    ste_answer_clear(&got);
    b.s[4] = 99; /* the choice's index */
    assert_false(ste_answer_unpack(b.s, b.len, &got));
    ste_buf_clear(&b);
    ste_answer_clear(&x);
}

static void ids_of_any_width(void **state)
{
    static const int32_t widest[] = {65535, 65536, (1 << 24) - 1, 1 << 24, INT32_MAX};
    size_t len = 0;
    for (size_t i = 0; i < sizeof widest / sizeof *widest; i++) {
        struct ste_answer x = sample("x"), got;
        struct ste_buf b = STE_BUF_INIT;
        const int32_t ids[] = {0, 7, widest[i]};
        x.prompt = ste_xmemdup(ids, sizeof ids);
        x.n_prompt = 3;
        x.completion.tokens[1] = 7;
        ste_answer_pack(&x, true, &b);
        assert_true(ste_answer_unpack(b.s, b.len, &got));
        assert_int_equal(got.n_prompt, 3);
        assert_memory_equal(got.prompt, ids, sizeof ids);
        assert_memory_equal(got.completion.tokens, x.completion.tokens, 12);
        assert_string_equal(got.text, x.text);
        ste_answer_clear(&got);
        assert_int_equal(b.len - len, i == 0 ? b.len : i == 1 || i == 3 ? 6 : 0); /* of prompt and answer */
        len = b.len;
        assert_false(ste_answer_unpack(b.s, b.len - 1, &got));
        ste_answer_clear(&got);
        ste_buf_clear(&b);
        ste_answer_clear(&x);
    }
}

/* As ste wrote them before ids of answers were narrow too. */
static void older_rows_are_read(void **state)
{
    struct ste_answer x = sample("x"), got;
    const struct ste_completion *c = &x.completion;
    const uint16_t prompt[] = {1, 65535};
    const uint32_t head[] = {STE_FINISH_CHOICE, STE_FINISH_STOP, 1, 3, 2, 1, 4u | 2u << 30};
    struct ste_buf b = STE_BUF_INIT;
    ste_buf_add(&b, head, sizeof head);
    ste_buf_add(&b, c->choice_logprobs, sizeof c->choice_logprobs);
    ste_buf_add(&b, c->tokens, 12);
    ste_buf_add(&b, c->logprobs, 12);
    ste_buf_adds(&b, x.text);
    ste_buf_add(&b, prompt, sizeof prompt);
    assert_false(ste_answer_unpack(b.s, b.len - 1, &got));
    assert_true(ste_answer_unpack(b.s, b.len, &got));
    assert_string_equal(got.text, x.text);
    assert_int_equal(got.completion.finish, STE_FINISH_CHOICE);
    assert_int_equal(got.completion.choice, 1);
    assert_int_equal(got.n_written, 1);
    assert_memory_equal(got.completion.tokens, c->tokens, 12);
    assert_memory_equal(got.completion.logprobs, c->logprobs, 12);
    assert_memory_equal(got.completion.choice_logprobs, c->choice_logprobs, sizeof c->choice_logprobs);
    assert_int_equal(got.n_prompt, 2);
    assert_int_equal(got.prompt[1], 65535);
    ste_answer_clear(&got);
    ste_buf_clear(&b);
    ste_answer_clear(&x);
}

/* A model that answers each question with its text, and counts what it is asked. */
struct echo {
    struct ste_llm llm;
    struct ste_prepared q[8];
    size_t n;
    int asked, cancelled;
};

static int echo_prepare(struct ste_llm *l, const struct ste_question *ask, struct ste_prepared *q, struct ste_err *err)
{
    snprintf(q->address, sizeof q->address, "%s", ask->messages[0].content);
    return 0;
}

static int echo_submit(struct ste_llm *l, struct ste_prepared *q, struct ste_err *err)
{
    struct echo *e = (struct echo *)l;
    e->asked++;
    e->q[e->n++] = *q;
    *q = (struct ste_prepared){0};
    return 0;
}

static void echo_cancel(struct ste_llm *l, uint64_t ticket)
{
    struct echo *e = (struct echo *)l;
    e->cancelled++;
    for (size_t i = 0; i < e->n; i++)
        if (e->q[i].ticket == ticket)
            e->q[i] = e->q[--e->n];
}

static int echo_next(struct ste_llm *l, struct ste_answer *out, struct ste_err *err)
{
    struct echo *e = (struct echo *)l;
    const struct ste_prepared q = e->q[--e->n];
    *out = sample(q.address);
    free(out->text);
    out->text = ste_xstrdup(q.address);
    out->ticket = q.ticket;
    out->tag = q.tag;
    return 1;
}

static void echo_close(struct ste_llm *l)
{
}

static uint64_t ask(struct ste_llm *l, const char *text)
{
    const struct ste_message m = {"user", text};
    const struct ste_question a = {.messages = &m, .n_messages = 1, .tag = (void *)text};
    uint64_t ticket = 0;
    assert_int_equal(ste_llm_submit(l, &a, &ticket, NULL), 0);
    return ticket;
}

static const struct ste_llm_ops echo_ops = {
    .prepare = echo_prepare, .submit = echo_submit, .cancel = echo_cancel, .next = echo_next, .close = echo_close};

static void wraps_any_model(void **state)
{
    char path[] = "/tmp/ste-cache-XXXXXX";
    close(mkstemp(path));
    for (int again = 0; again < 2; again++) {
        struct echo e = {.llm = {.ops = &echo_ops, .about = {.name = "echo", .numerics = "e", .window = 4}}};
        struct ste_llm *l = ste_cache_wrap(&e.llm, path);
        assert_ptr_equal(ste_llm_innermost(l), &e.llm);
        assert_string_equal(ste_llm_about(l)->name, "echo");
        struct ste_answer a;
        const uint64_t gone = ask(l, "x"), kept = ask(l, "y");
        ask(l, "x");
        ste_llm_cancel(l, gone);
        ste_llm_cancel(l, gone); /* passed over */
        assert_int_equal(e.asked, again ? 0 : 3);
        assert_int_equal(e.cancelled, !again);
        bool seen = false;
        for (int i = 0; i < 2; i++) {
            assert_int_equal(ste_llm_next(l, &a, NULL), 1);
            assert_string_equal(a.text, a.tag);
            assert_string_equal(a.text, a.address);
            assert_int_equal(a.from_cache, again);
            seen |= a.ticket == kept;
            ste_answer_clear(&a);
        }
        assert_true(seen);
        assert_int_equal(ste_llm_next(l, &a, NULL), 0);
        /* One that is never taken goes with the model. */
        if (again)
            ask(l, "x");
        ste_llm_close(l);
    }
    unlink(path);
}

/* Without its database the model is as it was: it is asked each time and answers each time. */
static void goes_on_without(void **state)
{
    struct echo e = {.llm = {.ops = &echo_ops, .about = {.name = "echo", .numerics = "e", .window = 4}}};
    struct ste_llm *l = ste_cache_wrap(&e.llm, "/dev/null/no/cache.db");
    assert_ptr_equal(l, &e.llm);
    for (int i = 1; i <= 2; i++) {
        struct ste_answer a;
        ask(l, "x");
        assert_int_equal(ste_llm_next(l, &a, NULL), 1);
        assert_string_equal(a.text, "x");
        assert_false(a.from_cache);
        assert_int_equal(e.asked, i);
        ste_answer_clear(&a);
    }
    ste_llm_close(l);
    ste_cache_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(comes_back),       cmocka_unit_test(damage_is_no_answer),
                                       cmocka_unit_test(ids_of_any_width), cmocka_unit_test(older_rows_are_read),
                                       cmocka_unit_test(wraps_any_model),  cmocka_unit_test(goes_on_without)};
    return cmocka_run_group_tests_name("llm cache", tests, NULL, NULL);
}
