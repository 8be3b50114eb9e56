/* Early-stopped votes against full ones, on a judge whose samples are drawn by hash; and the fewest calls. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/hash.h"
#include "core/mem.h"
#include "eval/eval.h"

enum { PAIRS = 1000, VOTES = 8 };

struct paper {
    struct ste_llm llm;
    struct ste_prepared *waiting; /* their own is the number drawn */
    size_t n, cap;
    uint64_t cancelled, shuffle;
};

/* A sample's numbers come from the question and its index alone. */
static int prepare(struct ste_llm *l, const struct ste_question *ask, struct ste_prepared *q, struct ste_err *err)
{
    char sample[16];
    snprintf(sample, sizeof sample, "%d", ask->sample);
    const uint64_t draw = ste_key_of(ask->messages[ask->n_messages - 1].content, sample, NULL);
    q->own = ste_xmemdup(&draw, sizeof draw);
    q->free_own = free;
    return 0;
}

static int submit(struct ste_llm *l, struct ste_prepared *q, struct ste_err *err)
{
    struct paper *p = (struct paper *)l;
    STE_GROW(p->waiting, p->cap, p->n + 1);
    p->waiting[p->n++] = *q;
    *q = (struct ste_prepared){0};
    return 0;
}

static void cancel(struct ste_llm *l, uint64_t ticket)
{
    ((struct paper *)l)->cancelled++;
}

static int next(struct ste_llm *l, struct ste_answer *out, struct ste_err *err)
{
    struct paper *paper = (struct paper *)l;
    paper->shuffle = paper->shuffle * 6364136223846793005u + 1442695040888963407u;
    size_t i = (size_t)(paper->shuffle >> 33) % paper->n;
    struct ste_prepared q = paper->waiting[i];
    paper->waiting[i] = paper->waiting[--paper->n];
    const uint64_t draw = *(uint64_t *)q.own;
    *out = (struct ste_answer){.ticket = q.ticket, .tag = q.tag};
    ste_prepared_clear(&q);
    out->completion = (struct ste_completion){.finish = STE_FINISH_CHOICE, .free_finish = STE_FINISH_END};
    double p = 0.01 + 0.98 * (double)(draw % 1000) / 1000;
    bool unsure = draw / 1000 % 10 == 0; /* a tenth is invalid */
    out->completion.choice = p < 0.5;
    out->completion.choice_logprobs[0] = (float)log(unsure ? 0.1 : p);
    out->completion.choice_logprobs[1] = (float)log(unsure ? 0.1 : 1 - p);
    return 1;
}

static struct paper paper(size_t window, uint64_t shuffle)
{
    static const struct ste_llm_ops ops = {.prepare = prepare, .submit = submit, .cancel = cancel, .next = next};
    return (struct paper){.llm = {.ops = &ops, .about = {.name = "paper", .can = 63, .window = window}},
                          .shuffle = shuffle};
}

static void judge(const struct ste_answer_pairs *pairs, bool all, size_t window, uint64_t shuffle,
                  struct ste_outcome *out, uint64_t *calls)
{
    struct ste_pack *pack;
    struct ste_err err = {0};
    struct paper l = paper(window, shuffle);
    assert_int_equal(ste_pack_load(&pack, "direct", NULL, NULL), 0);
    const struct ste_judge_setting s = {
        .pack = pack, .secret = "s", .mode = pack->mode, .sampling = {.temperature = 0.7, .top_p = 1}};
    const struct ste_eval_setting e = {.votes = VOTES, .all_votes = all};
    const struct ste_judging j = {.llm = &l.llm, .judge = &s, .setting = &e};
    assert_int_equal(ste_judge_pairs(&j, pairs, out, &err), 0);
    assert_int_equal(l.n, 0);
    assert_int_equal(l.cancelled, 0);
    *calls = l.llm.last_ticket;
    free(l.waiting);
    free(l.llm.flying);
    ste_pack_free(pack);
}

/* The first count at which no vote that is left could change the label, by trying both ends. */
static int fewest(const struct ste_judgment *votes)
{
    for (int n = 1; n < VOTES; n++) {
        int a = 0, b = 0;
        for (int i = 0; i < n; i++) {
            a += votes[i].verdict == STE_VERDICT_A;
            b += votes[i].verdict == STE_VERDICT_B;
        }
        if (a > b + (VOTES - n) || b > a + (VOTES - n))
            return n;
    }
    return VOTES;
}

/* All samples of one order, as the judge above gives them. */
static void samples_of(const struct ste_answer_pair *p, bool swapped, struct ste_judgment *votes)
{
    struct ste_pack *pack;
    struct paper l = paper(1, 0);
    struct ste_judge_prompt texts;
    assert_int_equal(ste_pack_load(&pack, "direct", NULL, NULL), 0);
    struct ste_judge_setting s = {.pack = pack, .secret = "s", .mode = pack->mode};
    for (int i = 0; i < VOTES; i++) {
        struct ste_question ask = {0};
        struct ste_answer answer;
        uint64_t ticket;
        const struct ste_judge_material m = {p->id, &p->prompt, swapped ? p->second : p->first,
                                             swapped ? p->first : p->second, NULL};
        ste_judge_ask(&s, &m, i, &texts, &ask);
        assert_int_equal(ste_llm_submit(&l.llm, &ask, &ticket, NULL), 0);
        ste_judge_prompt_clear(&texts);
        assert_int_equal(ste_llm_next(&l.llm, &answer, NULL), 1);
        ste_judge_read(&s, &answer, &votes[i]);
    }
    free(l.waiting);
    free(l.llm.flying);
    ste_pack_free(pack);
}

static void stopped_equals_full(void **state)
{
    struct ste_answer_pair *items = ste_xcalloc(PAIRS, sizeof *items);
    for (int i = 0; i < PAIRS; i++) {
        items[i] = (struct ste_answer_pair){.id = ste_xasprintf("%d", i),
                                            .first = ste_xasprintf("first %d", i),
                                            .second = ste_xasprintf("other %d", i)};
        ste_dialogue_add(&items[i].prompt, STE_ROLE_USER, "question", 8);
    }
    struct ste_answer_pairs pairs = {.path = (char *)"p", .name = (char *)"p", .items = items, .n = PAIRS};
    struct ste_outcome *full = ste_xcalloc(PAIRS, sizeof *full), *early = ste_xcalloc(PAIRS, sizeof *early);
    uint64_t calls, all_calls, least = 0, ties = 0;
    judge(&pairs, true, 40, 1, full, &all_calls);
    assert_int_equal(all_calls, 2 * PAIRS * VOTES);
    for (int i = 0; i < PAIRS; i++)
        for (int o = 0; o < 2; o++) {
            struct ste_judgment votes[VOTES];
            samples_of(&items[i], o, votes);
            least += (uint64_t)fewest(votes);
            ties += full[i].votes[o].a == full[i].votes[o].b;
        }
    assert_true(ties > 50);
    for (uint64_t way = 0; way < 4; way++) {
        judge(&pairs, false, way ? 10 * way * way : 1, way, early, &calls);
        assert_int_equal(calls, least);
        for (int i = 0; i < PAIRS; i++)
            for (int o = 0; o < 2; o++) {
                assert_int_equal(early[i].order[o].verdict, full[i].order[o].verdict);
                assert_int_equal(early[i].order[o].reason, full[i].order[o].reason);
            }
        ste_outcomes_clear(early, PAIRS);
    }
    printf("%d pairs, %d votes in each order: %llu calls of %llu, %llu orders tied\n", PAIRS, VOTES,
           (unsigned long long)calls, (unsigned long long)all_calls, (unsigned long long)ties);
    ste_outcomes_clear(full, PAIRS);
    for (int i = 0; i < PAIRS; i++) {
        free(items[i].id);
        free(items[i].first);
        free(items[i].second);
        ste_dialogue_clear(&items[i].prompt);
    }
    free(items);
    free(full);
    free(early);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(stopped_equals_full)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
