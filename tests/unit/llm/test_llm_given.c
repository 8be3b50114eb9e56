/* The likelihood of a given text, through the interface: it is that of the logits, whatever is in flight beside it and
 * whether it comes from the cache. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "../environment.h"
#include "../engine/small_model.h"
#include "core/json.h"
#include "llm/local.h"

enum { TEXTS = 5 };
static const char *const texts[TEXTS] = {
    "hello", "", "hell, <|im_end|> is plain text here", "\n two lines\n and spaces ",
    "a longer one, so that the rows of a step do not hold it: ............................................."};

struct found {
    int32_t tokens[200];
    float logprobs[200];
    size_t n;
    char address[65];
};

static struct ste_llm *open_llm(const char *path, const char *cache, int threads, int batch)
{
    struct ste_llm *l = NULL;
    struct ste_err err = {0};
    const struct ste_llm_params p = {.activations = STE_ACT_AUTO, .threads = threads, .batch = batch, .cache = cache};
    if (ste_llm_open(&l, path, &p, &err))
        fail_msg("%s", err.msg);
    return l;
}

/* Asks for all texts behind USER. True when all came from the cache. */
static bool ask_all(struct ste_llm *l, const char *user, struct found out[TEXTS])
{
    const struct ste_message m = {"user", user};
    struct ste_answer a;
    struct ste_err err = {0};
    uint64_t ticket;
    bool cached = true;
    for (int i = 0; i < TEXTS; i++) {
        const struct ste_question ask = {.messages = &m, .n_messages = 1, .given = texts[i], .tag = &out[i]};
        if (ste_llm_submit(l, &ask, &ticket, &err))
            fail_msg("%s", err.msg);
    }
    while (ste_llm_next(l, &a, &err) == 1) {
        struct found *f = a.tag;
        const struct ste_completion *c = &a.completion;
        assert_int_equal(c->finish, STE_FINISH_END);
        assert_int_equal(c->n, c->n_free);
        assert_string_equal(a.text, texts[f - out]);
        assert_int_equal(c->tokens[c->n - 1], TINY_END);
        *f = (struct found){.n = c->n};
        memcpy(f->tokens, c->tokens, c->n * sizeof *c->tokens);
        memcpy(f->logprobs, c->logprobs, c->n * sizeof *c->logprobs);
        memcpy(f->address, a.address, sizeof a.address);
        const struct ste_likelihood with = ste_answer_likelihood(&a, true), without = ste_answer_likelihood(&a, false);
        assert_int_equal(with.tokens, c->n);
        assert_int_equal(without.tokens, c->n - 1);
        assert_true(fabs(with.sum - without.sum - (double)c->logprobs[c->n - 1]) < 1e-9);
        cached &= a.from_cache;
        ste_answer_clear(&a);
    }
    assert_int_equal(ste_llm_in_flight(l), 0);
    return cached;
}

/* The same from the logits of the whole sequence. */
static void check_against_logits(struct ste_llm *l, const char *user, const struct found *f)
{
    static float logits[400 * TINY_VOCAB];
    const struct ste_message m = {"user", user};
    struct ste_tokens ids = {0};
    assert_int_equal(ste_chat_tokenize(ste_engine_model(ste_local_engine(l)), &m, 1, NULL, &ids, NULL), 0);
    const size_t n_prompt = ids.n;
    for (size_t i = 0; i < f->n; i++)
        ste_tokens_add(&ids, f->tokens[i]);
    assert_in_range(ids.n, 1, 400);
    assert_int_equal(ste_engine_logits(ste_local_engine(l), NULL, ids.ids, ids.n, logits, NULL), 0);
    for (size_t i = 0; i < f->n; i++) {
        const float *row = logits + (n_prompt + i - 1) * TINY_VOCAB;
        double sum = 0;
        for (int v = 0; v < TINY_VOCAB; v++)
            sum += exp((double)row[v]);
        assert_true(fabs((double)f->logprobs[i] - ((double)row[f->tokens[i]] - log(sum))) < 1e-4);
    }
    ste_tokens_clear(&ids);
}

static void given_texts_are_as_likely_as_the_logits_say(void **state)
{
    static const char user[] = "say hello";
    struct found want[TEXTS], got[TEXTS];
    char *path, cache[] = "/tmp/ste-cache-XXXXXX";
    close(mkstemp(cache));
    ste_model_close(sm_open(&path, "qwen2"));
    setenv("STE_CHAT_TEMPLATE", "chatml-qwen2.5", 1);
    struct ste_llm *l = open_llm(path, cache, 1, 1);
    assert_false(ask_all(l, user, want));
    for (int i = 0; i < TEXTS; i++)
        check_against_logits(l, user, &want[i]);
    assert_int_equal(want[0].n, 4); /* he ll o, the end of the turn */
    assert_true(ask_all(l, user, got));
    assert_memory_equal(got, want, sizeof got);
    ask_all(l, "", got); /* another prompt: other likelihoods, other addresses */
    for (int i = 0; i < TEXTS; i++) {
        assert_string_not_equal(got[i].address, want[i].address);
        assert_memory_not_equal(got[i].logprobs, want[i].logprobs, want[i].n * sizeof(float));
        for (int k = 0; k < i; k++)
            assert_string_not_equal(want[i].address, want[k].address);
    }
    ste_llm_close(l);
    for (int batch = 3; batch < 60; batch += 28) {
        l = open_llm(path, NULL, 2, batch);
        assert_false(ask_all(l, user, got));
        assert_memory_equal(got, want, sizeof got);
        ste_llm_close(l);
    }
    unlink(cache);
    tiny_model_remove(path);
}

int main(void)
{
    read_environment();
    const struct CMUnitTest tests[] = {cmocka_unit_test(given_texts_are_as_likely_as_the_logits_say)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
