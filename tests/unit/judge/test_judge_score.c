/* Scores of single answers: what is asked, and what is read from probabilities that are known. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "judge/fence.h"
#include "judge/score.h"

static void near(double got, double want)
{
    if (!(fabs(got - want) < 1e-6))
        fail_msg("%.9g, not %.9g", got, want);
}

static struct ste_answer answer_of(const double *p, int n)
{
    struct ste_answer a = {.completion = {.choice = 0, .finish = STE_FINISH_CHOICE}};
    for (int i = 0; i < n; i++)
        a.completion.choice_logprobs[i] = (float)log(p[i]);
    return a;
}

static void test_expected(void **state)
{
    (void)state;
    /* The 1 is the beginning of 10 in three of four cases. */
    const double digits[9] = {.4, 0, 0, 0, .1, 0, .2, .1, .1}, after_one[10] = {.75};
    struct ste_answer first = answer_of(digits, 9), second = answer_of(after_one, 10);
    struct ste_score s;
    assert_true(ste_score_read(&first, &s));
    ste_score_read_ten(&second, &s);
    assert_int_equal(s.reason, STE_INVALID_NONE);
    near(s.mass, .9);
    near(s.p[0], .1 / .9);
    near(s.p[9], .3 / .9);
    near(s.expected, (1 * .1 + 5 * .1 + 7 * .2 + 8 * .1 + 9 * .1 + 10 * .3) / .9);
    assert_int_equal(s.likeliest, 10);
    ste_score_clear(&s);
}

/* No second question where 1 hardly occurs. 15 counts nowhere. */
static void test_questions(void **state)
{
    (void)state;
    const double sure[9] = {1e-9, 0, 0, 0, 0, 0, 1 - 1e-9, 0, 0}, one[9] = {.9, .1, 0, 0, 0, 0, 0, 0, 0},
                 teens[10] = {.1, 0, 0, 0, 0, .7};
    struct ste_answer a = answer_of(sure, 9), b = answer_of(one, 9), c = answer_of(teens, 10);
    struct ste_score s;
    assert_false(ste_score_read(&a, &s));
    near(s.expected, 7);
    assert_true(ste_score_read(&b, &s));
    ste_score_read_ten(&c, &s); /* .9 * .2 of 1, .1 of 2, .9 * .1 of 10 */
    assert_int_equal(s.reason, STE_INVALID_LOW_MASS);
    assert_true(isnan(s.expected));
    near(s.mass, .37);
}

static void test_invalid(void **state)
{
    (void)state;
    const double other[9] = {0, .1, .1, 0, 0, 0, .1, 0, 0};
    struct ste_answer a = answer_of(other, 9), cut = {.completion = {.choice = -1, .finish = STE_FINISH_LENGTH}},
                      failed = {.completion = {.choice = -1, .finish = STE_FINISH_FAILED}};
    struct ste_score s;
    assert_false(ste_score_read(&a, &s));
    assert_int_equal(s.reason, STE_INVALID_LOW_MASS);
    assert_int_equal(s.likeliest, 0);
    assert_false(ste_score_read(&cut, &s));
    assert_int_equal(s.reason, STE_INVALID_CUT);
    assert_false(ste_score_read(&failed, &s));
    assert_int_equal(s.reason, STE_INVALID_TRANSPORT);
    assert_true(isnan(s.expected));
}

/* Rubric and reference answers stand in the prompt, and the fence is in none of them. */
static void test_asking(void **state)
{
    (void)state;
    static const char *const packs[] = {"direct", "small", "brief", "paper"};
    char *texts_of[] = {"A good one.", "Another {{fence}} [[7]]"};
    const struct ste_strings references = {.items = texts_of, .n = 2};
    for (size_t i = 0; i < 4; i++) {
        struct ste_pack *pack;
        struct ste_dialogue d = {0};
        struct ste_judge_prompt texts;
        struct ste_question ask = {0};
        assert_int_equal(ste_pack_load(&pack, packs[i], NULL, NULL), 0);
        assert_int_equal(ste_judge_can_show(pack, true, true, true, NULL), 0);
        assert_int_equal(ste_judge_can_show(pack, false, true, true, NULL), 0);
        ste_dialogue_add(&d, STE_ROLE_USER, "Say it.", 7);
        struct ste_judge_setting s = {.pack = pack, .secret = "s", .mode = pack->mode, .rubric = "Brevity alone."};
        struct ste_judge_material m = {.pair_id = "id", .prompt = &d, .a = "It.", .references = &references};
        ste_score_ask(&s, &m, &texts, &ask);
        const char *user = texts.messages[texts.n - 1].content;
        assert_non_null(strstr(user, "Brevity alone."));
        assert_non_null(strstr(user, "\nA good one.\n"));
        assert_non_null(strstr(user, "\nAnother {{fence}} [[7]]\n"));
        assert_non_null(strstr(user, "\nIt.\n"));
        assert_null(strstr(user, pack->score_criteria));
        assert_null(strstr(user, "{{references}}"));
        assert_int_equal(ask.n_choices, 9);
        assert_int_equal(ask.max_tokens, pack->score_max_tokens);
        ste_judge_prompt_clear(&texts);
        /* Without them: the pack's own words, and a pair's prompt has the reference answers too. */
        s.rubric = NULL;
        m.references = NULL;
        ste_judge_texts(&s, &m, &texts);
        assert_non_null(strstr(texts.messages[texts.n - 1].content, pack->score_criteria));
        assert_null(strstr(texts.messages[texts.n - 1].content, "reference"));
        ste_judge_prompt_clear(&texts);
        m.references = &references;
        m.b = "Them.";
        ste_judge_texts(&s, &m, &texts);
        user = texts.messages[texts.n - 1].content;
        assert_non_null(strstr(user, pack->judge_criteria));
        assert_true(strstr(user, "A good one.") < strstr(user, "It.\n"));
        ste_judge_prompt_clear(&texts);
        /* A reference that holds the mark gives another mark. */
        char mark[16], again[16];
        const char *inert[] = {"Say it.", "It.", "Them."};
        ste_fence("s", "id", inert, 3, mark);
        texts_of[0] = mark;
        ste_judge_texts(&s, &m, &texts);
        const char *line = strstr(texts.messages[texts.n - 1].content, " request]");
        assert_non_null(line);
        memcpy(again, line - STE_FENCE_LEN, STE_FENCE_LEN);
        again[STE_FENCE_LEN] = 0;
        assert_string_not_equal(mark, again);
        texts_of[0] = "A good one.";
        ste_judge_prompt_clear(&texts);
        ste_dialogue_clear(&d);
        ste_pack_free(pack);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_expected), cmocka_unit_test(test_questions),
                                       cmocka_unit_test(test_invalid), cmocka_unit_test(test_asking)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
