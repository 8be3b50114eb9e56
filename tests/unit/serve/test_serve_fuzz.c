/* What requests hold, mutated: bodies of each route's reader, targets, headers. The readers must say what is wrong and
 * nothing else. An argument is how many seconds it takes (1). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/utf8.h"
#include "serve/asked.h"
#include "serve/guard.h"
#include "serve/openai.h"

static double seconds = 1;
static uint64_t seed = 88172645463325252u;

static size_t random_below(size_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (size_t)(seed >> 11) % n;
}

static const char *const bodies[] = {
    "{\"prompt\":\"p\",\"response_a\":\"x\",\"response_b\":\"y\",\"id\":7,\"votes\":2,\"order\":\"both\",\"reasons\":"
    "true}",
    "{\"pairs\":[{\"messages\":[{\"role\":\"user\",\"content\":\"p\"}],\"response_a\":\"x\",\"response_b\":\"y\"}],"
    "\"votes\":4}",
    "{\"answers\":[{\"prompt\":\"p\",\"output\":\"x\",\"references\":[\"r\",\"s\"]}],\"reasons\":false}",
    "{\"prompt\":\"p\",\"answers\":{\"a\":\"x\",\"b\":\"y\"},\"verdict\":\"two-order\",\"votes\":2}",
    "{\"groups\":[{\"prompt\":\"p\",\"answers\":[\"x\",\"y\",\"z\"],\"anchor\":\"w\"}],\"by\":\"share\",\"zero_sum\":"
    "true,\"fallback\":0}",
    "{\"prompts\":[\"p\",\"p\",\"q\"],\"responses\":[\"x\",\"y\",\"z\"],\"by\":\"margin\",\"rendered\":false}",
    "{\"query\":[\"<|im_start|>user\\np<|im_end|>\\n<|im_start|>assistant\\nx<|im_end|>\"],\"prompts\":[\"p\"],"
    "\"labels\":[\"l\"]}",
    "{\"prompt\":[{\"role\":\"user\",\"content\":\"p\"}],\"response\":\"x\",\"label\":\"l\"}",
    "{\"input\":[\"<|im_start|>user\\np<|im_end|>\\n<|im_start|>assistant\\nx<|im_end|>\"]}",
    "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"p\"}]}],\"n\":2,"
    "\"stop\":[\"a\",\"b\"],"
    "\"temperature\":0.5,\"top_p\":1,\"seed\":1,\"stream\":true,\"stream_options\":{\"include_usage\":true},"
    "\"logprobs\":true}",
    "{\"model\":\"m\",\"prompt\":[[1,2,3],[4]],\"max_tokens\":5,\"logprobs\":1,\"stop\":\"x\"}",
};
static const char *const pieces[] = {
    "null",        "true", "-1",    "1e999", "99999999999999999999", "\"\"",     "[]", "{}", "\"\\u0000\"", "[[[[",
    "\"\\ud800\"", "1.5",  "\"x\"", "\xff",  "\xf0\x9f\x98\x80",     "{\"a\":1}"};
#define N(list) (sizeof(list) / sizeof *(list))

/* TEXT with some bytes, values or parts of it changed. */
static void mutate(struct ste_buf *text)
{
    for (size_t times = 1 + random_below(4); times--;) {
        struct ste_buf out = STE_BUF_INIT;
        const size_t at = random_below(text->len + 1), rest = text->len - at,
                     cut = rest ? random_below(rest < 12 ? rest : 12) : 0;
        ste_buf_add(&out, text->s, at);
        switch (random_below(4)) {
        case 0:
            ste_buf_addc(&out, (char)random_below(256));
            break;
        case 1:
            ste_buf_adds(&out, pieces[random_below(N(pieces))]);
            break;
        case 2:
            ste_buf_add(&out, text->s, random_below(text->len + 1));
            break;
        }
        ste_buf_add(&out, text->s + at + cut, rest - cut);
        ste_buf_clear(text);
        *text = out;
    }
}

/* A value of BODY takes the place of another: the form stays JSON. */
static void swap_value(json_t *body)
{
    const char *key;
    json_t *value;
    void *next;
    const size_t n = json_object_size(body);
    size_t which = n ? random_below(n) : 0;
    json_object_foreach_safe(body, next, key, value)
    {
        if (which--)
            continue;
        json_t *other = json_loads(pieces[random_below(N(pieces))], JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        json_object_set_new(body, key, other ? other : json_array());
        return;
    }
}

static const char *no_query(void *arg, const char *name)
{
    const char *const words[] = {NULL, "reference", "anchor", "share", "1", "nan", ""};
    return words[random_below(N(words))];
}

static void says_why(int rc, const struct ste_err *err)
{
    if (rc && (!err->msg[0] || ste_utf8_bad(err->msg, strlen(err->msg)) < strlen(err->msg)))
        fail_msg("an error without a sentence: %s", err->msg);
}

static void read_body(const json_t *body)
{
    static ste_asked_reader *const plain[] = {ste_asked_judge, ste_asked_score, ste_asked_rank, ste_asked_group},
                                   *const trainers[] = {ste_asked_openrlhf, ste_asked_slime, ste_asked_classify};
    for (size_t i = 0; i < N(plain) + N(trainers); i++) {
        struct ste_asked asked = {0};
        struct ste_trainer_asks how = {0};
        struct ste_err err = {0};
        json_t *bad = json_array();
        int rc =
            i < N(plain) ? plain[i](&asked, body, NULL, bad, &err) : ste_trainer_asks_read(&how, no_query, NULL, &err);
        if (!rc && i >= N(plain))
            rc = trainers[i - N(plain)](&asked, body, &how, bad, &err);
        says_why(rc, &err);
        ste_asked_clear(&asked);
        json_decref(bad);
    }
    for (int chat = 0; chat < 2; chat++) {
        struct ste_openai_request r = {0};
        struct ste_err err = {0};
        const char *code = NULL;
        says_why(ste_openai_read(&r, body, chat, &code, &err), &err);
        ste_openai_clear(&r);
    }
}

static void test_bodies(void **state)
{
    const double until = ste_now() + seconds;
    size_t n = 0, parsed = 0;
    do {
        struct ste_buf text = STE_BUF_INIT;
        ste_buf_adds(&text, bodies[random_below(N(bodies))]);
        if (random_below(2))
            mutate(&text);
        struct ste_err err = {0};
        json_t *body = ste_json_parse(text.s, text.len, "the body", &err);
        for (size_t k = random_below(3); body && k--;)
            swap_value(body);
        if (body)
            read_body(body);
        else
            says_why(STE_EINPUT, &err);
        parsed += body != NULL;
        n++;
        json_decref(body);
        ste_buf_clear(&text);
    } while (ste_now() < until);
    printf("%zu bodies, %zu of them JSON\n", n, parsed);
    assert_true(parsed > 100);
}

static void test_targets(void **state)
{
    static const char *const targets[] = {"/runs/a%20b/pairs/%C3%A4?state=kept&q=%3Cb%3E&page=2",
                                          "/v1/models/own%2Fname", "/diff?a=x+y&b=&&c"};
    const double until = ste_now() + seconds / 4;
    do {
        struct ste_buf text = STE_BUF_INIT;
        ste_buf_adds(&text, targets[random_below(N(targets))]);
        mutate(&text);
        const size_t path = strcspn(text.s, "?");
        struct ste_fields parts = {0}, query = {0};
        ste_path_match("/runs/{run}/pairs/{id}", text.s, path, &parts);
        ste_query_read(&query, text.s[path] ? text.s + path + 1 : "");
        for (size_t i = 0; i < query.values.n; i++)
            assert_int_equal(ste_utf8_bad(query.values.items[i], strlen(query.values.items[i])),
                             strlen(query.values.items[i]));
        char *header = ste_xasprintf("Basic %s", text.s);
        assert_false(ste_guard_token(header, "some-token"));
        ste_guard_host(text.s, &parts.values);
        ste_guard_foreign(text.s, NULL, text.s);
        ste_xfree(header);
        ste_fields_clear(&parts);
        ste_fields_clear(&query);
        ste_buf_clear(&text);
    } while (ste_now() < until);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        seconds = atof(argv[1]);
    if (argc > 2)
        seed = strtoull(argv[2], NULL, 10) | 1;
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_bodies), cmocka_unit_test(test_targets)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
