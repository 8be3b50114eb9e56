#include "judge/score.h"

#include <math.h>
#include <string.h>

#include "core/mem.h"

#define MIN_MASS 0.5 /* as for labels: below, the judge was about to write something else */
#define MIN_ONE 1e-6 /* of 1 among the digits, for the second question to matter */

static const char *const digits[] = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"};
#define N_DIGITS 10

void ste_score_clear(struct ste_score *s)
{
    ste_xfree(s->reasoning);
    *s = (struct ste_score){.expected = NAN};
}

void ste_score_ask(const struct ste_judge_setting *s, const struct ste_judge_material *m,
                   struct ste_judge_prompt *texts, struct ste_question *question)
{
    const struct ste_pack *pack = s->pack;
    ste_judge_ask_common(s, m, 0, texts, question);
    if (pack->score_max_tokens) {
        question->max_tokens = s->max_tokens ? s->max_tokens : pack->score_max_tokens;
        question->stops[question->n_stops++] = pack->score_stop;
    }
    question->closing = pack->score_closing;
    for (int i = 1; i < N_DIGITS; i++)
        question->choices[question->n_choices++] = digits[i];
}

/* From the probabilities over the vocabulary. */
static void settle(struct ste_score *s)
{
    double total = 0, expected = 0;
    for (int i = 0; i < STE_SCORES; i++)
        total += s->p[i];
    s->mass = total;
    if (!(total >= MIN_MASS)) {
        s->reason = STE_INVALID_LOW_MASS;
        memset(s->p, 0, sizeof s->p);
        return;
    }
    s->likeliest = 1;
    for (int i = 0; i < STE_SCORES; i++) {
        s->p[i] /= total;
        expected += (i + 1) * s->p[i];
        if (s->p[i] > s->p[s->likeliest - 1])
            s->likeliest = i + 1;
    }
    s->expected = expected;
}

bool ste_score_read(const struct ste_answer *a, struct ste_score *out)
{
    const struct ste_completion *c = &a->completion;
    *out = (struct ste_score){.expected = NAN};
    if (a->text && *a->text)
        out->reasoning = ste_xstrdup(a->text);
    if (c->finish == STE_FINISH_FAILED || c->choice < 0) {
        out->reason = c->finish == STE_FINISH_FAILED ? STE_INVALID_TRANSPORT : STE_INVALID_CUT;
        return false;
    }
    for (int i = 1; i < N_DIGITS; i++)
        out->p[i - 1] = exp((double)c->choice_logprobs[i - 1]);
    if (out->p[0] > MIN_ONE)
        return true;
    settle(out);
    return false;
}

void ste_score_ask_ten(const struct ste_judge_setting *s, const struct ste_judge_material *m,
                       const struct ste_score *so_far, struct ste_judge_prompt *texts, char **prefill,
                       struct ste_question *question)
{
    ste_judge_ask_common(s, m, 0, texts, question);
    *prefill = ste_xasprintf("%s%s%s", so_far->reasoning ? so_far->reasoning : "", s->pack->score_closing, digits[1]);
    question->prefill = *prefill;
    for (int i = 0; i < N_DIGITS; i++)
        question->choices[question->n_choices++] = digits[i];
}

void ste_score_read_ten(const struct ste_answer *a, struct ste_score *out)
{
    const struct ste_completion *c = &a->completion;
    if (c->choice < 0) {
        out->reason = c->finish == STE_FINISH_FAILED ? STE_INVALID_TRANSPORT : STE_INVALID_CUT;
        memset(out->p, 0, sizeof out->p);
        return;
    }
    const double one = out->p[0];
    double longer = 0; /* 10, 11, ... 19 */
    for (int i = 0; i < N_DIGITS; i++)
        longer += exp((double)c->choice_logprobs[i]);
    out->p[0] = longer < 1 ? one * (1 - longer) : 0;
    out->p[STE_SCORES - 1] = one * exp((double)c->choice_logprobs[0]);
    settle(out);
}
