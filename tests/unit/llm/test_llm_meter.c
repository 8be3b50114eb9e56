/* What a server's requests take: usage as servers say it, prices, the most that a question may take, and a budget that
 * is not exceeded, over processes too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "core/file.h"
#include "core/mem.h"
#include "llm/meter.h"
#include "llm/wire.h"

static void usage(void **state)
{
    static const struct {
        const char *reply;
        bool said;
        int64_t prompt, cached, completion;
    } of[] = {
        {"{\"usage\": {\"prompt_tokens\": 12, \"completion_tokens\": 3, \"total_tokens\": 15}}", true, 12, 0, 3},
        {"{\"usage\": {\"prompt_tokens\": 12, \"completion_tokens\": 3, \"prompt_tokens_details\": null}}", true, 12, 0,
         3},
        {"{\"usage\": {\"prompt_tokens\": 12, \"completion_tokens\": 0, \"prompt_tokens_details\": {\"cached_tokens\": "
         "8}}}",
         true, 12, 8, 0},
        {"{\"usage\": {\"prompt_tokens\": 5, \"prompt_tokens_details\": {\"cached_tokens\": 80}}}", true, 5, 5, 0},
        {"{\"tokens_evaluated\": 9, \"tokens_predicted\": 2, \"timings\": {\"cache_n\": 4}}", true, 9, 4, 2},
        {"{\"usage\": {\"prompt_tokens\": -1, \"completion_tokens\": \"3\"}}", false, 0, 0, 0},
        {"{\"usage\": null}", false, 0, 0, 0},
        {"[1]", false, 0, 0, 0},
    };
    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        struct ste_spent s;
        struct ste_raw reply;
        assert_true(ste_raw_read(&reply, of[i].reply, strlen(of[i].reply)));
        assert_int_equal(ste_usage_read(reply, ste_raw_get(reply, "usage"), &s), of[i].said);
        assert_int_equal(s.requests, of[i].said);
        assert_int_equal(s.prompt, of[i].prompt);
        assert_int_equal(s.cached, of[i].cached);
        assert_int_equal(s.completion, of[i].completion);
    }
}

static void prices(void **state)
{
    const struct ste_price p = {.input = 2, .cached = 0.5, .output = 8},
                           plain = {.input = 2, .cached = -1, .output = 8};
    const struct ste_spent s = {.requests = 1, .prompt = 1000000, .cached = 400000, .completion = 250000};
    assert_float_equal(ste_cost_of(&p, &s), 0.6 * 2 + 0.4 * 0.5 + 0.25 * 8, 1e-12);
    assert_float_equal(ste_cost_of(&plain, &s), 2 + 2, 1e-12);
    const struct ste_amount a = {1, 1e6, 5e5};
    assert_float_equal(ste_price_of(&p, &a), 2 + 4, 1e-12); /* at most nothing of it is cached */
    static const struct {
        double x;
        const char *text;
    } money[] = {
        {0, "0"},     {94.701, "94.701"}, {100, "100"}, {2.5, "2.5"}, {0.00123456, "0.0012346"}, {1234.567, "1234.57"},
        {1e-13, "0"}, {20, "20"}};
    for (size_t i = 0; i < sizeof money / sizeof *money; i++)
        assert_string_equal(ste_money(money[i].x).s, money[i].text);
}

static void amounts(void **state)
{
    struct ste_dialect d = {STE_API_OPENAI, STE_WAY_TURN, "base", false, "max_tokens", 0, -1};
    struct ste_ask *a = ste_xcalloc(1, sizeof *a);
    struct ste_amount most, likely, rest;
    char *why;
    static const char text[] = "{\"choices\": [{\"index\": 0, \"finish_reason\": \"stop\", \"message\": {\"content\": "
                               "\"x\"}}], \"usage\": {\"prompt_tokens\": 7, \"completion_tokens\": 1}}",
                      cut[] = "{\"choices\": [{\"index\": 0, \"finish_reason\": \"length\", \"message\": {\"content\": "
                              "\"x\"}}]}";
    a->messages = ste_xstrdup("[{\"content\":\"0123456789\",\"role\":\"user\"}]");
    a->max_tokens = 100;
    a->choice = -1;
    for (int i = 0; i < 2; i++)
        a->choices[a->n_choices++] = ste_xstrdup(i ? "B" : "A");
    ste_wire_amount(&d, a, true, &most);
    ste_wire_amount(&d, a, false, &likely);
    assert_true(most.requests == 2 && most.written == 101);
    assert_true(most.read >= 10 + 10 + 100); /* of the second, what the first wrote as well */
    assert_true(likely.requests == 2 && likely.read < most.read && likely.written < most.written);
    assert_int_equal(ste_wire_take(&d, a, text, strlen(text), &why), STE_WIRE_MORE);
    assert_true(a->heard && a->used.prompt == 7);
    ste_wire_amount(&d, a, true, &rest);
    assert_true(rest.requests == 1 && rest.written == 1 && rest.read < most.read);
    ste_ask_free(a);
    a = ste_xcalloc(1, sizeof *a);
    a->messages = ste_xstrdup("[]");
    a->max_tokens = 100;
    a->choice = -1;
    assert_int_equal(ste_wire_take(&d, a, cut, strlen(cut), &why), STE_WIRE_DONE);
    assert_false(a->heard);
    ste_wire_amount(&d, a, true, &rest);
    assert_true(rest.requests == 0 && rest.read == 0 && rest.written == 0);
    ste_ask_free(a);
}

/* One token read costs 1. */
static void open_meter(struct ste_meter *m, double budget, const char *path)
{
    struct ste_err err;
    char *urls[] = {"http://a/v1"};
    struct ste_endpoint e = {.name = "a.yaml",
                             .urls = {urls, 1},
                             .price = {.input = 1e6, .cached = -1, .output = 1e6, .batch = 0.5},
                             .budget = budget};
    assert_int_equal(ste_meter_open(m, &e, "base", path, &err), 0);
}

static void budget(void **state)
{
    char folder[] = "/tmp/ste-meter-XXXXXX";
    assert_non_null(mkdtemp(folder));
    char *path = ste_path_join(folder, "deeper/spent.db");
    struct ste_meter m, other;
    struct ste_err err;
    const struct ste_amount sixty = {1, 60, 0}, ten = {1, 10, 0}, none = {0};
    double held = 0, second = 0, third = 0;
    open_meter(&m, 100, path);
    assert_int_equal(ste_meter_hold(&m, &sixty, &held, &err), 1);
    assert_true(held == 60);
    assert_int_equal(ste_meter_hold(&m, &sixty, &held, &err), 1); /* it is held already */
    assert_int_equal(ste_meter_hold(&m, &sixty, &second, &err), 0);
    assert_true(second == 0 && m.reached);
    /* What it really took frees the rest; a part of it is still to come. */
    const struct ste_spent used = {.requests = 1, .prompt = 20, .completion = 5};
    assert_int_equal(ste_meter_settle(&m, &used, &ten, &held, &err), 0);
    assert_true(held == 10 && m.all.cost == 25 && m.all.unheard == 10);
    assert_int_equal(ste_meter_hold(&m, &sixty, &second, &err), 1);
    /* Another process sees it all, and what it holds is seen here. */
    open_meter(&other, 100, path);
    assert_true(other.all.cost == 25 && other.all.unheard == 70 && other.now.cost == 0);
    assert_int_equal(ste_meter_hold(&other, &ten, &third, &err), 0);
    assert_int_equal(ste_meter_settle(&m, &(struct ste_spent){0}, &none, &second, &err),
                     0); /* refused: it took nothing */
    assert_int_equal(ste_meter_hold(&other, &ten, &third, &err), 1);
    assert_int_equal(ste_meter_hold(&m, &sixty, &second, &err), 0);
    /* A reply that says nothing counts at its most, and so does what is held at the end. */
    assert_int_equal(ste_meter_settle(&other, NULL, &none, &third, &err), 0);
    assert_true(third == 0);
    ste_meter_close(&other);
    ste_meter_close(&m);
    open_meter(&m, 46, path);
    assert_true(m.all.cost == 25 && m.all.unheard == 20 && m.all.requests == 1);
    held = 0;
    assert_int_equal(ste_meter_hold(&m, &ten, &held, &err), 0);
    assert_int_equal(ste_meter_full(&m, &ten, &err), STE_EIO);
    assert_string_equal(err.msg,
                        "a.yaml: 45 of the budget of 46 is spent (20 of it at most, by requests whose replies did "
                        "not say) and the next question may cost 10; raise budget, and the same command goes on "
                        "from here");
    ste_meter_close(&m);
    /* Of this process alone; and without a budget nothing is held. */
    open_meter(&m, 50, NULL);
    assert_int_equal(ste_meter_hold(&m, &sixty, &held, &err), 0);
    assert_int_equal(ste_meter_hold(&m, &ten, &held, &err), 1);
    ste_meter_close(&m);
    open_meter(&m, 0, path);
    held = 0;
    assert_int_equal(ste_meter_hold(&m, &sixty, &held, &err), 1);
    assert_true(held == 0);
    assert_int_equal(ste_meter_settle(&m, &used, &none, &held, &err), 0);
    ste_meter_close(&m);
    open_meter(&m, 0, path);
    assert_true(m.all.requests == 2 && m.all.prompt == 40);
    ste_meter_close(&m);
    char *rm = ste_xasprintf("rm -r %s", folder);
    assert_int_equal(system(rm), 0);
    ste_xfree(rm);
    ste_xfree(path);
}

/* What cannot be remembered is no budget; figures alone are not worth an end. */
static void no_ledger(void **state)
{
    struct ste_meter m;
    struct ste_err err;
    char *urls[] = {"http://a/v1"};
    struct ste_endpoint e = {.name = "a.yaml", .urls = {urls, 1}, .price = {.input = 1}, .budget = 1};
    assert_int_equal(ste_meter_open(&m, &e, "base", "/dev/null/spent.db", &err), STE_EIO);
    assert_non_null(strstr(err.msg, "a.yaml: the budget cannot be kept: /dev/null/spent.db"));
    ste_meter_close(&m);
    e.budget = 0;
    assert_int_equal(ste_meter_open(&m, &e, "base", "/dev/null/spent.db", &err), 0);
    ste_meter_close(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(usage),  cmocka_unit_test(prices),    cmocka_unit_test(amounts),
        cmocka_unit_test(budget), cmocka_unit_test(no_ledger),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
