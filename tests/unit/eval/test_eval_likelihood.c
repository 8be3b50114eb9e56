/* The judge by likelihood: its scores are those of the logits, by every rule; both orders say the same, whatever is in
 * flight; ties and pairs that are too long stand where other judges have them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../environment.h"
#include "../engine/small_model.h"
#include "core/json.h"
#include "eval/scored.h"
#include "llm/local.h"

enum { PAIRS = 4, TIED = 2, LONG = 3 };

struct world {
    char *path, lengthy[900];
    struct ste_answer_pair items[PAIRS];
    struct ste_answer_pairs pairs;
    struct ste_turn turns[PAIRS][3];
};

static void make_world(struct world *w)
{
    ste_model_close(sm_open(&w->path, "qwen2"));
    setenv("STE_CHAT_TEMPLATE", "chatml-qwen2.5", 1);
    memset(w->lengthy, 'x', sizeof w->lengthy - 1);
    w->lengthy[sizeof w->lengthy - 1] = 0;
    w->turns[0][0] = (struct ste_turn){STE_ROLE_USER, "say hello"};
    w->turns[1][0] = (struct ste_turn){STE_ROLE_USER, "and now?"};
    w->turns[1][1] = (struct ste_turn){STE_ROLE_ASSISTANT, "that"};
    w->turns[1][2] = (struct ste_turn){STE_ROLE_USER, "go on"};
    w->turns[TIED][0] = w->turns[LONG][0] = w->turns[0][0];
    static char *const answers[PAIRS][2] = {
        {"hello", "a longer answer that says something else"}, {"", "x"}, {"yes", "yes"}, {"no", NULL}};
    static char *const ids[PAIRS] = {"one", "two", "tied", "long"};
    for (int i = 0; i < PAIRS; i++)
        w->items[i] = (struct ste_answer_pair){.id = ids[i],
                                               .prompt = {w->turns[i], i == 1 ? 3 : 1},
                                               .first = answers[i][0],
                                               .second = i == LONG ? w->lengthy : answers[i][1],
                                               .tied = i == TIED};
    w->pairs = (struct ste_answer_pairs){.path = "pairs.jsonl", .name = "pairs", .items = w->items, .n = PAIRS};
}

static struct ste_llm *open_llm(const struct world *w, int threads, int batch)
{
    struct ste_llm *l = NULL;
    struct ste_err err = {0};
    const struct ste_llm_params p = {.activations = STE_ACT_AUTO, .threads = threads, .batch = batch, .ctx = 700};
    if (ste_llm_open(&l, w->path, &p, &err))
        fail_msg("%s", err.msg);
    return l;
}

/* Log p of TEXT behind MESSAGES from the logits of all of it, and the number of tokens. */
static double by_logits(struct ste_llm *l, const struct ste_message *m, size_t n_messages, const char *text, bool end,
                        size_t *tokens)
{
    static float logits[400 * TINY_VOCAB];
    const struct ste_model *model = ste_engine_model(ste_local_engine(l));
    struct ste_tokens ids = {0};
    double log_p = 0;
    assert_int_equal(ste_chat_tokenize(model, m, n_messages, NULL, &ids, NULL), 0);
    const size_t n_prompt = ids.n;
    assert_int_equal(ste_tokenize(model->tokenizer, text, strlen(text), false, &ids, NULL), 0);
    if (end || ids.n == n_prompt)
        ste_tokens_add(&ids, TINY_END);
    assert_in_range(ids.n, 1, 400);
    assert_int_equal(ste_engine_logits(ste_local_engine(l), NULL, ids.ids, ids.n, logits, NULL), 0);
    for (size_t t = n_prompt; t < ids.n; t++) {
        const float *row = logits + (t - 1) * TINY_VOCAB;
        double sum = 0;
        for (int v = 0; v < TINY_VOCAB; v++)
            sum += exp((double)row[v]);
        log_p += (double)row[ids.ids[t]] - log(sum);
    }
    *tokens = ids.n - n_prompt;
    ste_tokens_clear(&ids);
    return log_p;
}

static double want_score(struct ste_llm *l, const struct ste_answer_pair *p, const char *text,
                         const struct ste_likelihood_setting *s)
{
    static const struct ste_message none = {"user", ""};
    struct ste_message *m = ste_chat_messages(&p->prompt);
    size_t n;
    double score = by_logits(l, m, p->prompt.n, text, s->end, &n);
    free(m);
    if (s->normalise != STE_NORMALISE_PLAIN && s->normalise != STE_NORMALISE_PLAIN_SUM)
        score -= by_logits(l, &none, 1, text, s->end, &n);
    if (s->normalise == STE_NORMALISE_EVEN)
        return score / pow((double)n, 0.25);
    return s->normalise == STE_NORMALISE_TOKEN || s->normalise == STE_NORMALISE_PLAIN ? score / (double)n : score;
}

static void scores_are_those_of_the_logits(void **state)
{
    struct world w;
    make_world(&w);
    struct ste_llm *l = open_llm(&w, 1, 2);
    for (int k = 0; k < 2 * STE_N_NORMALISE; k++) {
        const struct ste_likelihood_setting s = {.normalise = (enum ste_normalise)(k / 2), .end = k % 2};
        struct ste_outcome out[PAIRS];
        struct ste_err err = {0};
        if (ste_likelihood_pairs(l, &s, &w.pairs, out, NULL, &err))
            fail_msg("%s", err.msg);
        for (int i = 0; i < 2; i++) {
            const double want =
                want_score(l, &w.items[i], w.items[i].first, &s) - want_score(l, &w.items[i], w.items[i].second, &s);
            const struct ste_judgment *ab = &out[i].order[STE_ORDER_AB], *ba = &out[i].order[STE_ORDER_BA];
            assert_true(out[i].judged && !out[i].skipped);
            assert_true(fabs(ab->logprob_a - ab->logprob_b - want) < 1e-3);
            assert_true(ab->logprob_a == ba->logprob_b && ab->logprob_b == ba->logprob_a);
            assert_int_equal(ste_outcome_final(&out[i]), want > 0 ? STE_FINAL_CHOSEN : STE_FINAL_REJECTED);
        }
        assert_false(out[TIED].judged);
        assert_true(out[LONG].skipped);
        assert_int_equal(ste_outcome_final(&out[LONG]), STE_FINAL_INVALID);
        assert_int_equal(out[LONG].order[0].reason, STE_INVALID_TOO_LONG);
    }
    ste_llm_close(l);
    tiny_model_remove(w.path);
}

static void nothing_depends_on_batch_or_threads(void **state)
{
    struct world w;
    make_world(&w);
    struct ste_outcome first[PAIRS], out[PAIRS];
    const struct ste_likelihood_setting s = {0};
    w.pairs.ask_ties = true;
    for (int batch = 1; batch < 64; batch *= 3) {
        struct ste_llm *l = open_llm(&w, batch % 2 + 1, batch);
        assert_int_equal(ste_likelihood_pairs(l, &s, &w.pairs, batch == 1 ? first : out, NULL, NULL), 0);
        for (int i = 0; i < PAIRS && batch > 1; i++)
            for (int order = 0; order < 2; order++)
                assert_memory_equal(&out[i].order[order], &first[i].order[order], sizeof first[i].order[order]);
        assert_int_equal(ste_llm_in_flight(l), 0);
        ste_llm_close(l);
    }
    assert_true(first[TIED].judged);
    assert_int_equal(ste_outcome_final(&first[TIED]), STE_FINAL_TIE); /* equal scores name A in both orders */
    tiny_model_remove(w.path);
}

int main(void)
{
    read_environment();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scores_are_those_of_the_logits),
        cmocka_unit_test(nothing_depends_on_batch_or_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
