/* ste_eval_pairs against a scripted judge: here stand the few functions of llm/ that it calls. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/mem.h"
#include "eval/eval.h"

struct question {
    uint64_t ticket;
    void *tag;
    char *text;
};
struct ste_llm {
    struct question waiting[64];
    size_t n, most, window;
    uint64_t tickets, cancelled;
    bool newest_first; /* the order in which answers come back */
    int fail_after;    /* answers until transport of the whole judge ends; -1: never */
};

int ste_llm_submit(struct ste_llm *l, const struct ste_ask *ask, uint64_t *ticket, struct ste_err *err)
{
    const char *text = ask->messages[ask->n_messages - 1].content;
    /* Too long in the order in which the long answer stands second. */
    const char *lengthy = strstr(text, "LENGTHY"), *b = strstr(text, "answer B]");
    if (lengthy && lengthy > b)
        return ste_err_set(err, STE_ETOOLONG, "too long");
    *ticket = ++l->tickets;
    l->waiting[l->n++] = (struct question){*ticket, ask->tag, ste_xstrdup(text)};
    l->most = l->n > l->most ? l->n : l->most;
    return 0;
}

static struct question take(struct ste_llm *l, size_t i)
{
    struct question q = l->waiting[i];
    memmove(l->waiting + i, l->waiting + i + 1, (l->n - i - 1) * sizeof q);
    l->n--;
    return q;
}

void ste_llm_cancel(struct ste_llm *l, uint64_t ticket)
{
    for (size_t i = 0; i < l->n; i++) {
        if (l->waiting[i].ticket != ticket)
            continue;
        free(take(l, i).text);
        l->cancelled++;
        return;
    }
}

int ste_llm_next(struct ste_llm *l, struct ste_answer *out, struct ste_err *err)
{
    if (l->n == 0)
        return 0;
    if (l->fail_after >= 0 && l->fail_after-- == 0)
        return ste_err_set(err, STE_EFAIL, "the judge is gone");
    struct question q = take(l, l->newest_first ? l->n - 1 : 0);
    *out = (struct ste_answer){.ticket = q.ticket, .tag = q.tag};
    out->completion = (struct ste_completion){.finish = STE_FINISH_CHOICE, .free_finish = STE_FINISH_END};
    /* Prefers the answer with GOOD in it; knows nothing of FIRST, for which it takes the one shown first; is unsure of
     * the labels at UNSURE. */
    const char *good = strstr(q.text, "GOOD"), *b = strstr(q.text, "answer B]");
    out->completion.choice = good && good > b;
    bool unsure = strstr(q.text, "UNSURE");
    out->completion.choice_logprobs[0] = out->completion.choice ? -3 : -0.1f;
    out->completion.choice_logprobs[1] = out->completion.choice ? -0.1f : -3;
    if (unsure)
        out->completion.choice_logprobs[0] = out->completion.choice_logprobs[1] = -4;
    free(q.text);
    return 1;
}

void ste_answer_clear(struct ste_answer *a)
{
    *a = (struct ste_answer){0};
}

size_t ste_llm_window(const struct ste_llm *l)
{
    return l->window;
}

/* (prompt, chosen, rejected, tied) */
static const struct {
    const char *prompt, *chosen, *rejected;
    bool tied;
} rows[] = {
    {"p1", "GOOD", "bad", false},   {"p1", "fine", "FIRST", false},      {"p2", "same", "same", true},
    {"p3", "ok", "LENGTHY", false}, {"p4", "GOOD UNSURE", "bad", false}, {"p5", "bad", "GOOD", false},
    {"p6", "LENGTHY", "ok", false}, {"p7", "GOOD", "bad", false},
};
#define N (sizeof rows / sizeof *rows)

static void make_pairs(struct ste_answer_pairs *p, struct ste_answer_pair *items)
{
    for (size_t i = 0; i < N; i++) {
        items[i] = (struct ste_answer_pair){.first = (char *)rows[i].chosen,
                                            .second = (char *)rows[i].rejected,
                                            .tied = rows[i].tied,
                                            .id = ste_xasprintf("row-%zu", i)};
        ste_dialogue_add(&items[i].prompt, STE_ROLE_USER, rows[i].prompt, strlen(rows[i].prompt));
    }
    *p = (struct ste_answer_pairs){.path = (char *)"rows.jsonl", .name = (char *)"rows", .items = items, .n = N};
}

static void free_pairs(struct ste_answer_pair *items)
{
    for (size_t i = 0; i < N; i++) {
        free(items[i].id);
        ste_dialogue_clear(&items[i].prompt);
    }
}

static int run(struct ste_llm *l, bool both, struct ste_outcome *out, struct ste_err *err)
{
    struct ste_pack *pack;
    struct ste_answer_pair items[N];
    struct ste_answer_pairs pairs;
    assert_int_equal(ste_pack_load(&pack, "direct", NULL, NULL), 0);
    make_pairs(&pairs, items);
    struct ste_judge_setting s = {.pack = pack, .secret = "s", .mode = pack->mode, .sampling = {.top_p = 1}};
    int rc =
        both ? ste_eval_pairs(l, &s, &pairs, out, NULL, err) : ste_judge_pairs(l, &s, &pairs, false, out, NULL, err);
    free_pairs(items);
    ste_pack_free(pack);
    return rc;
}

static void both_orders(void **state)
{
    /* Whatever the window and the order in which answers return, the outcomes are the same. */
    for (int way = 0; way < 6; way++) {
        struct ste_llm l = {.window = way < 2 ? 1 : way < 4 ? 3 : 64, .newest_first = way % 2, .fail_after = -1};
        struct ste_outcome o[N];
        assert_int_equal(run(&l, true, o, NULL), 0);
        assert_int_equal(l.n, 0);
        assert_true(l.most <= l.window + 1);
        static const char *const want[N] = {"AB", "AA", "tied", "long", "invalid", "BA", "long", "AB"};
        for (size_t i = 0; i < N; i++) {
            assert_int_equal(o[i].judged, strcmp(want[i], "tied") != 0);
            assert_int_equal(o[i].skipped, strcmp(want[i], "long") == 0);
            if (strcmp(want[i], "invalid") == 0) {
                assert_int_equal(o[i].order[0].reason, STE_INVALID_LOW_MASS);
                assert_int_equal(o[i].order[1].reason, STE_INVALID_LOW_MASS);
            } else if (want[i][1] < 'a') {
                assert_string_equal(ste_verdict_name(o[i].order[0].verdict), want[i][0] == 'A' ? "A" : "B");
                assert_string_equal(ste_verdict_name(o[i].order[1].verdict), want[i][1] == 'A' ? "A" : "B");
            }
        }
        assert_true(o[0].prompt_key == o[1].prompt_key && o[0].prompt_key != o[3].prompt_key);
        struct ste_metrics m;
        ste_metrics_of(o, N, "rows", 0, &m);
        assert_int_equal(m.pairs, 7);
        assert_int_equal(m.tied, 1);
        assert_int_equal(m.skipped, 2);
        assert_int_equal(m.invalid, 6);
        assert_float_equal(m.consistent.value, 2.0 / 7, 1e-12);
        assert_float_equal(m.accuracy.value, 5.0 / 14, 1e-12);
        assert_float_equal(m.first_position, 5.0 / 8, 1e-12);
        ste_outcomes_clear(o, N);
    }
}

static void one_order(void **state)
{
    struct ste_llm l = {.window = 4, .fail_after = -1};
    struct ste_outcome o[N];
    assert_int_equal(run(&l, false, o, NULL), 0);
    assert_int_equal(l.tickets, N - 2); /* the tied one and the one too long in this order were not asked */
    assert_int_equal(o[0].order[0].verdict, STE_VERDICT_A);
    assert_true(o[3].skipped);
    assert_false(o[6].skipped);
    ste_outcomes_clear(o, N);
}

static void failure_cancels_the_rest(void **state)
{
    struct ste_llm l = {.window = 6, .fail_after = 3};
    struct ste_outcome o[N];
    struct ste_err err = {0};
    assert_int_equal(run(&l, true, o, &err), STE_EFAIL);
    assert_string_equal(err.msg, "the judge is gone");
    assert_int_equal(l.n, 0);
    assert_true(l.cancelled > 0);
    ste_outcomes_clear(o, N);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_orders),
        cmocka_unit_test(one_order),
        cmocka_unit_test(failure_cancels_the_rest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
