/* Which judgments of a trial count: the same ones for every order of arrival, and no more are asked than the rule
 * needs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/mem.h"
#include "judge/trial.h"

/* Answers sample K with the K-th letter of SCRIPT: A, B, or x for a verdict that is none. */
struct paper {
    struct ste_llm llm;
    const char *script;
    struct ste_prepared q[64];
    int sample[64];
    size_t n;
    bool newest_first;
    int asked, cancelled;
    bool endless; /* nothing fits */
};

static int prepare(struct ste_llm *l, const struct ste_question *ask, struct ste_prepared *q, struct ste_err *err)
{
    if (((struct paper *)l)->endless)
        return ste_err_set(err, STE_ETOOLONG, "too long");
    q->own = ste_xmemdup(&ask->sample, sizeof ask->sample);
    q->free_own = free;
    return 0;
}

static int submit(struct ste_llm *l, struct ste_prepared *q, struct ste_err *err)
{
    struct paper *p = (struct paper *)l;
    p->sample[p->n] = *(int *)q->own;
    p->q[p->n++] = *q;
    p->asked++;
    *q = (struct ste_prepared){0};
    return 0;
}

static void take(struct paper *p, size_t i)
{
    ste_prepared_clear(&p->q[i]);
    memmove(p->q + i, p->q + i + 1, (p->n - i - 1) * sizeof *p->q);
    memmove(p->sample + i, p->sample + i + 1, (p->n - i - 1) * sizeof *p->sample);
    p->n--;
}

static void cancel(struct ste_llm *l, uint64_t ticket)
{
    struct paper *p = (struct paper *)l;
    for (size_t i = 0; i < p->n; i++)
        if (p->q[i].ticket == ticket) {
            take(p, i);
            p->cancelled++;
            return;
        }
}

static int next(struct ste_llm *l, struct ste_answer *out, struct ste_err *err)
{
    struct paper *p = (struct paper *)l;
    const size_t i = p->newest_first ? p->n - 1 : 0;
    const char verdict = p->script[p->sample[i]];
    *out = (struct ste_answer){.ticket = p->q[i].ticket, .tag = p->q[i].tag};
    out->completion = (struct ste_completion){.finish = STE_FINISH_CHOICE, .choice = verdict == 'B'};
    out->completion.choice_logprobs[0] = out->completion.choice_logprobs[1] = verdict == 'x' ? -9 : -0.6f;
    take(p, i);
    return 1;
}

struct seen {
    char text[64]; /* a letter a judgment that counted, then what ended it: '.' over, '!' too long */
};

static void add(struct seen *s, char c)
{
    const size_t n = strlen(s->text);
    s->text[n] = c;
    s->text[n + 1] = 0;
}

static int counts(void *arg, struct ste_trial *t, int sample, const struct ste_judgment *j, const struct ste_answer *a,
                  struct ste_err *err)
{
    struct seen *s = t->tag;
    assert_int_equal(sample, t->already + (int)strlen(s->text));
    add(s, *ste_verdict_name(j->verdict) == 'i' ? 'x' : *ste_verdict_name(j->verdict));
    return 0;
}

static int over(void *arg, struct ste_trial *t, struct ste_err *err)
{
    add(t->tag, '.');
    return 0;
}

static int too_long(void *arg, struct ste_trial *t, const char *why, struct ste_err *err)
{
    add(t->tag, '!');
    return 0;
}

/* Runs one trial for which A is right. */
static struct paper run(enum ste_trial_rule rule, const char *script, int already, bool newest_first, size_t window,
                        bool endless, struct seen *seen)
{
    static const struct ste_llm_ops ops = {.prepare = prepare, .submit = submit, .cancel = cancel, .next = next};
    struct paper p = {.llm = {.ops = &ops, .about = {.name = "paper", .can = 63, .window = window}},
                      .script = script,
                      .newest_first = newest_first,
                      .endless = endless};
    struct ste_pack *pack;
    assert_int_equal(ste_pack_load(&pack, "direct", NULL, NULL), 0);
    struct ste_dialogue prompt = {0};
    ste_dialogue_add(&prompt, STE_ROLE_USER, "question", 8);
    const struct ste_judge_setting setting = {.pack = pack, .secret = "s", .mode = pack->mode};
    *seen = (struct seen){0};
    struct ste_trial t = {.material = {.pair_id = "p", .prompt = &prompt, .a = "one", .b = "two"},
                          .right = STE_VERDICT_A,
                          .already = already,
                          .tag = seen};
    const struct ste_trials trials = {.llm = &p.llm,
                                      .setting = &setting,
                                      .rule = rule,
                                      .samples = (int)strlen(script),
                                      .speculate = 2,
                                      .counts = counts,
                                      .over = over,
                                      .too_long = too_long};
    assert_int_equal(ste_trials_run(&trials, &t, 1, NULL), 0);
    assert_true(t.over);
    assert_int_equal(p.n, 0);
    free(p.llm.flying);
    ste_dialogue_clear(&prompt);
    ste_pack_free(pack);
    return p;
}

static void same_however_they_come(enum ste_trial_rule rule, const char *script, int already, const char *want,
                                   int asked, int most)
{
    for (int way = 0; way < 6; way++) {
        struct seen seen;
        struct paper p = run(rule, script, already, way % 2, way < 2 ? 1 : way < 4 ? 3 : 64, false, &seen);
        assert_string_equal(seen.text, want);
        assert_true(p.asked >= asked && p.asked <= most);
    }
}

static void first_right(void **state)
{
    same_however_they_come(STE_TRIAL_FIRST_RIGHT, "ABBBBBBB", 0, "A.", 1, 2);
    same_however_they_come(STE_TRIAL_FIRST_RIGHT, "BxABABBB", 0, "BxA.", 3, 4);
    same_however_they_come(STE_TRIAL_FIRST_RIGHT, "BBBBB", 0, "BBBBB.", 5, 5);
    same_however_they_come(STE_TRIAL_FIRST_RIGHT, "BBBBBABB", 3, "BBA.", 3, 5); /* going on: three are known */
}

static void what_stands_above_a_right_one_goes_at_once(void **state)
{
    struct seen seen;
    /* 2 and 3 are asked together; 3 comes first and is right, then 2. Of 4 at once, 1 is right while 0 is open. */
    struct paper p = run(STE_TRIAL_FIRST_RIGHT, "BBBABBBB", 0, true, 64, false, &seen);
    assert_string_equal(seen.text, "BBBA.");
    assert_int_equal(p.asked, 4);
    p = run(STE_TRIAL_FIRST_RIGHT, "BBABBBBB", 0, false, 64, false, &seen);
    assert_string_equal(seen.text, "BBA.");
    assert_int_equal(p.asked, 4);
    assert_int_equal(p.cancelled, 1);
}

static void majority(void **state)
{
    same_however_they_come(STE_TRIAL_MAJORITY, "AAABBBBB", 0, "AAABBBBB.", 8, 8);
    same_however_they_come(STE_TRIAL_MAJORITY, "AAAAABBB", 0, "AAAAA.", 5, 5);
    same_however_they_come(STE_TRIAL_MAJORITY, "AxAAxABB", 0, "AxAAxA.", 6, 6);
    same_however_they_come(STE_TRIAL_MAJORITY, "B", 0, "B.", 1, 1);
}

static void all(void **state)
{
    same_however_they_come(STE_TRIAL_ALL, "AABxA", 0, "AABxA.", 5, 5);
    same_however_they_come(STE_TRIAL_ALL, "AABxA", 2, "BxA.", 3, 3);
}

static void one_that_does_not_fit(void **state)
{
    struct seen seen;
    struct paper p = run(STE_TRIAL_FIRST_RIGHT, "BBBB", 0, false, 8, true, &seen);
    assert_string_equal(seen.text, "!");
    assert_int_equal(p.asked, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_right),
        cmocka_unit_test(what_stands_above_a_right_one_goes_at_once),
        cmocka_unit_test(majority),
        cmocka_unit_test(all),
        cmocka_unit_test(one_that_does_not_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
