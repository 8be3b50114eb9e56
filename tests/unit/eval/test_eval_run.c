/* ste_judge_pairs against a scripted judge. */
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

struct paper {
    struct ste_llm llm;
    struct ste_prepared waiting[64]; /* their text is their own */
    size_t n, most;
    uint64_t cancelled;
    bool newest_first; /* the order in which answers come back */
    int fail_after;    /* answers until transport of the whole judge ends; -1: never */
};

static int prepare(struct ste_llm *l, const struct ste_question *ask, struct ste_prepared *q, struct ste_err *err)
{
    const char *text = ask->messages[ask->n_messages - 1].content;
    /* Too long in the order in which the long answer stands second. */
    const char *lengthy = strstr(text, "LENGTHY"), *b = strstr(text, "answer B]");
    if (lengthy && lengthy > b)
        return ste_err_set(err, STE_ETOOLONG, "too long");
    q->own = ste_xstrdup(text);
    q->free_own = free;
    return 0;
}

static int submit(struct ste_llm *l, struct ste_prepared *q, struct ste_err *err)
{
    struct paper *p = (struct paper *)l;
    p->waiting[p->n++] = *q;
    *q = (struct ste_prepared){0};
    p->most = p->n > p->most ? p->n : p->most;
    return 0;
}

static struct ste_prepared take(struct paper *p, size_t i)
{
    struct ste_prepared q = p->waiting[i];
    memmove(p->waiting + i, p->waiting + i + 1, (p->n - i - 1) * sizeof q);
    p->n--;
    return q;
}

static void cancel(struct ste_llm *l, uint64_t ticket)
{
    struct paper *p = (struct paper *)l;
    for (size_t i = 0; i < p->n; i++) {
        if (p->waiting[i].ticket != ticket)
            continue;
        struct ste_prepared q = take(p, i);
        ste_prepared_clear(&q);
        p->cancelled++;
        return;
    }
}

static int next(struct ste_llm *l, struct ste_answer *out, struct ste_err *err)
{
    struct paper *p = (struct paper *)l;
    if (p->fail_after >= 0 && p->fail_after-- == 0)
        return ste_err_set(err, STE_EFAIL, "the judge is gone");
    struct ste_prepared q = take(p, p->newest_first ? p->n - 1 : 0);
    *out = (struct ste_answer){.ticket = q.ticket, .tag = q.tag};
    out->completion = (struct ste_completion){.finish = STE_FINISH_CHOICE, .free_finish = STE_FINISH_END};
    /* Prefers the answer with GOOD in it; knows nothing of FIRST, for which it takes the one shown first; is unsure of
     * the labels at UNSURE. */
    const char *text = q.own, *good = strstr(text, "GOOD"), *b = strstr(text, "answer B]");
    out->completion.choice = good && good > b;
    bool unsure = strstr(text, "UNSURE");
    out->completion.choice_logprobs[0] = out->completion.choice ? -3 : -0.1f;
    out->completion.choice_logprobs[1] = out->completion.choice ? -0.1f : -3;
    if (unsure)
        out->completion.choice_logprobs[0] = out->completion.choice_logprobs[1] = -4;
    ste_prepared_clear(&q);
    return 1;
}

static struct paper paper(size_t window)
{
    static const struct ste_llm_ops ops = {.prepare = prepare, .submit = submit, .cancel = cancel, .next = next};
    return (struct paper){.llm = {.ops = &ops, .about = {.name = "paper", .can = 63, .window = window}},
                          .fail_after = -1};
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

static int run(struct paper *l, bool both, struct ste_outcome *out, struct ste_err *err)
{
    struct ste_pack *pack;
    struct ste_answer_pair items[N];
    struct ste_answer_pairs pairs;
    assert_int_equal(ste_pack_load(&pack, "direct", NULL, NULL), 0);
    make_pairs(&pairs, items);
    const struct ste_judge_setting s = {.pack = pack, .secret = "s", .mode = pack->mode, .sampling = {.top_p = 1}};
    const struct ste_eval_setting e = {.votes = 1};
    const struct ste_judging j = {.llm = &l->llm, .judge = &s, .setting = &e, .one_order = !both};
    int rc = ste_judge_pairs(&j, &pairs, out, err);
    free_pairs(items);
    ste_pack_free(pack);
    free(l->llm.flying);
    return rc;
}

static void both_orders(void **state)
{
    /* Whatever the window and the order in which answers return, the outcomes are the same. */
    for (int way = 0; way < 6; way++) {
        struct paper l = paper(way < 2 ? 1 : way < 4 ? 3 : 64);
        l.newest_first = way % 2;
        struct ste_outcome o[N];
        assert_int_equal(run(&l, true, o, NULL), 0);
        assert_int_equal(l.n, 0);
        assert_true(l.most <= l.llm.about.window);
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
    struct paper l = paper(4);
    struct ste_outcome o[N];
    assert_int_equal(run(&l, false, o, NULL), 0);
    assert_int_equal(l.llm.last_ticket, N - 2); /* the tied one and the one too long in this order were not asked */
    assert_int_equal(o[0].order[0].verdict, STE_VERDICT_A);
    assert_true(o[3].skipped);
    assert_false(o[6].skipped);
    ste_outcomes_clear(o, N);
}

static void failure_cancels_the_rest(void **state)
{
    struct paper l = paper(6);
    l.fail_after = 3;
    struct ste_outcome o[N];
    struct ste_err err = {0};
    assert_int_equal(run(&l, true, o, &err), STE_EFAIL);
    assert_non_null(strstr(err.msg, "the judge is gone"));
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
