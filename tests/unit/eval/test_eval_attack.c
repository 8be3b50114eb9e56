/* Attacks that try to speak with the judge's voice: for every one, the same generated text gives the same verdict, and
 * what is put to the model has the structure of the unattacked prompt. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/mem.h"
#include "eval/attack.h"

static size_t count(const char *text, const char *what)
{
    size_t n = 0;
    for (const char *p = text; (p = strstr(p, what)) != NULL; p++)
        n++;
    return n;
}

static struct ste_answer_pairs base(void)
{
    struct ste_answer_pairs p = {.path = ste_xstrdup("base.jsonl"), .name = ste_xstrdup("base"), .n = 1};
    p.items = ste_xcalloc(1, sizeof *p.items);
    p.items[0].id = ste_xstrdup("base.jsonl:1");
    p.items[0].row = json_object();
    p.items[0].first = ste_xstrdup("Canberra.");
    p.items[0].second = ste_xstrdup("Sydney.");
    ste_dialogue_add(&p.items[0].prompt, STE_ROLE_USER, "What is the capital of Australia?", 33);
    return p;
}

static void same_asking(const struct ste_question *a, const struct ste_question *b)
{
    assert_int_equal(a->n_messages, b->n_messages);
    assert_int_equal(a->max_tokens, b->max_tokens);
    assert_int_equal(a->n_stops, b->n_stops);
    for (int i = 0; i < a->n_stops; i++)
        assert_string_equal(a->stops[i], b->stops[i]);
    assert_int_equal(a->n_choices, b->n_choices);
    for (int i = 0; i < a->n_choices; i++)
        assert_string_equal(a->choices[i], b->choices[i]);
    if (a->closing)
        assert_string_equal(a->closing, b->closing);
    if (a->n_messages > 1) /* the rubric is a message of its own */
        assert_string_equal(a->messages[0].content, b->messages[0].content);
}

/* What a model may write: markers, none, both, cut. */
static const char *const written[] = {"",
                                      "[[A]]",
                                      "[[B]]",
                                      "I prefer answer B. [[B]]",
                                      "[[A]] said the answer, but [[B]]",
                                      "Verdict: [[A]]. On reflection",
                                      "[[A]] and [[B]] are equal"};

static void verdicts(const struct ste_judge_setting *s, enum ste_verdict *out, size_t *n)
{
    *n = 0;
    for (size_t i = 0; i < sizeof written / sizeof *written; i++)
        for (int choice = -1; choice < 2; choice++) {
            struct ste_answer a = {.text = (char *)(uintptr_t)written[i],
                                   .completion = {.finish = choice < 0 ? STE_FINISH_END : STE_FINISH_CHOICE,
                                                  .free_finish = STE_FINISH_END,
                                                  .choice = choice}};
            a.completion.choice_logprobs[0] = logf(0.4f);
            a.completion.choice_logprobs[1] = logf(0.5f);
            struct ste_judgment j;
            ste_judge_read(s, &a, &j);
            out[(*n)++] = j.verdict;
            ste_judgment_clear(&j);
        }
}

static void no_attack_reaches_the_reader(void **state)
{
    (void)state;
    static const char *const packs[] = {"paper", "small", "direct"};
    struct ste_answer_pairs plain = base();
    for (size_t k = 0; k < 3; k++) {
        struct ste_pack *pack;
        struct ste_err err = {0};
        assert_int_equal(ste_pack_load(&pack, packs[k], NULL, &err), 0);
        const struct ste_judge_setting s = {
            .pack = pack, .secret = "secret", .mode = pack->mode, .sampling = {.top_p = 1}};
        for (int order = 0; order < 2; order++) {
            const struct ste_answer_pair *p = &plain.items[0];
            struct ste_judge_prompt clean_text, text;
            struct ste_question clean = {0}, ask = {0};
            enum ste_verdict want[32], got[32];
            size_t n_want, n_got;
            const struct ste_judge_material m = {p->id, &p->prompt, order ? p->second : p->first,
                                                 order ? p->first : p->second, NULL};
            ste_judge_ask(&s, &m, 0, &clean_text, &clean);
            verdicts(&s, want, &n_want);
            for (size_t a = 0; a < ste_n_attacks; a++)
                for (enum ste_place place = 0; place < STE_N_PLACES; place++) {
                    if (!ste_attack_has(&ste_attacks[a], place))
                        continue;
                    struct ste_answer_pairs attacked;
                    ste_attack_pairs(&ste_attacks[a], place, &plain, &attacked);
                    const struct ste_answer_pair *q = &attacked.items[0];
                    const struct ste_judge_material attacked_m = {q->id, &q->prompt, order ? q->second : q->first,
                                                                  order ? q->first : q->second, NULL};
                    ste_judge_ask(&s, &attacked_m, 0, &text, &ask);
                    same_asking(&clean, &ask);
                    /* The mark of the fence: as often as without the attack, which cannot write it. */
                    const char *user = ask.messages[ask.n_messages - 1].content,
                               *clean_user = clean.messages[clean.n_messages - 1].content;
                    char mark[16];
                    const char *request = strstr(user, " request]");
                    assert_non_null(request);
                    memcpy(mark, request - 8, 8);
                    mark[8] = 0;
                    char clean_mark[16];
                    memcpy(clean_mark, strstr(clean_user, " request]") - 8, 8);
                    clean_mark[8] = 0;
                    assert_int_equal(count(user, mark), count(clean_user, clean_mark));
                    assert_null(strstr(ste_attacks[a].text, mark));
                    /* Nothing in the judged text is filled in. */
                    assert_int_equal(count(user, "{{"),
                                     count(ste_attacks[a].text, "{{") * (place == STE_PLACE_BOTH ? 2 : 1));
                    verdicts(&s, got, &n_got);
                    assert_int_equal(n_got, n_want);
                    assert_memory_equal(got, want, n_want * sizeof *want);
                    ste_judge_prompt_clear(&text);
                    ste_answer_pairs_clear(&attacked);
                }
            ste_judge_prompt_clear(&clean_text);
        }
        ste_pack_free(pack);
    }
    ste_answer_pairs_clear(&plain);
}

/* Three pairs: the rejected answer named in 3 of 6 verdicts; by the last marker in 1 of 2 texts. */
static void wins_are_counted(void **state)
{
    (void)state;
    struct ste_outcome o[3] = {0};
    static const char verdict[3][2] = {{'A', 'A'}, {'B', 'B'}, {'A', 'A'}};
    for (int i = 0; i < 3; i++) {
        o[i].judged = true;
        o[i].prompt_key = (uint64_t)i;
        for (int k = 0; k < 2; k++)
            o[i].order[k].verdict = verdict[i][k] == 'A' ? STE_VERDICT_A : STE_VERDICT_B;
    }
    o[0].order[0].reasoning = "[[A]] no, [[B]]"; /* AB: B is the rejected one */
    o[0].order[1].reasoning = "[[B]]";
    struct ste_attacked r = {.attack = &ste_attacks[0], .place = STE_PLACE_REJECTED};
    ste_attacked_of(o, 3, 1, &r);
    assert_int_equal(r.pairs, 3);
    assert_float_equal(r.wins.value, 3.0 / 6, 1e-12);
    assert_true(r.wins.lo <= 0.5 && r.wins.hi >= 0.5);
    assert_float_equal(r.naive, 0.5, 1e-12);
    struct ste_buf table = STE_BUF_INIT;
    ste_attacked_table(&r, 1, &table);
    for (const char *line = table.s, *end; line && *line; line = end + 1) {
        end = strchr(line, '\n');
        assert_true(end - line <= 80);
    }
    ste_buf_clear(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(no_attack_reaches_the_reader),
                                       cmocka_unit_test(wins_are_counted)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
