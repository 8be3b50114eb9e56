#include "judge/trial.h"

#include <stdlib.h>

#include "core/mem.h"

struct ste_trial_sample {
    struct ste_trial *trial;
    int index;
    bool asked, have;
    uint64_t ticket;
    struct ste_judgment judgment;
    struct ste_answer answer;
};

struct ste_trials_asked {
    const struct ste_trials *s;
    struct ste_trial *trials;
    size_t n, fresh;          /* trials before FRESH have been asked of */
    struct ste_trial **again; /* those that may ask more: they go first, while their prompt is warm */
    size_t n_again;
    struct ste_judge_prompt texts; /* of the question being asked */
};

/* How many more votes of ALL are needed at the least before those left can change nothing; 0: decided. After N more
 * votes that all go to the one ahead the lead is LEAD + N, and LEFT - N are left. */
static int votes_needed(const struct ste_tally *t, int all)
{
    int lead = abs(t->a - t->b), left = all - t->a - t->b - t->invalid;
    return left <= 0 || lead > left ? 0 : (left - lead) / 2 + 1;
}

static int back(const struct ste_trial *t)
{
    return t->already + t->tally.a + t->tally.b + t->tally.invalid;
}

/* ---- one trial ---- */

static int least(int a, int b)
{
    return a < b ? a : b;
}

static void begin(const struct ste_trials *s, struct ste_trial *t)
{
    t->limit = s->samples;
    t->final = t->next_ask = t->already;
    t->asked_to = s->rule == STE_TRIAL_FIRST_RIGHT ? least(t->already + s->speculate, t->limit)
                  : s->rule == STE_TRIAL_MAJORITY  ? votes_needed(&t->tally, t->limit)
                                                   : t->limit;
    t->over = t->over || t->already >= t->limit;
}

/* Forgets samples from FROM on. */
static void drop(const struct ste_trials *s, struct ste_trial *t, int from)
{
    for (int k = from; t->samples && k < s->samples; k++) {
        struct ste_trial_sample *x = &t->samples[k];
        if (x->asked && !x->have)
            ste_llm_cancel(s->llm, x->ticket);
        ste_judgment_clear(&x->judgment);
        ste_answer_clear(&x->answer);
        x->asked = x->have = false;
    }
}

void ste_trial_end(const struct ste_trials *s, struct ste_trial *t)
{
    drop(s, t, 0);
    ste_xfree(t->samples);
    t->samples = NULL;
    t->over = true;
}

static void may_ask_more(struct ste_trials_asked *r, struct ste_trial *t)
{
    if (t->queued || t->over || t->next_ask >= t->asked_to)
        return;
    r->again[r->n_again++] = t;
    t->queued = true;
}

/* Counts what has become final, in the order of the indices. */
static int advance(struct ste_trials_asked *r, struct ste_trial *t, struct ste_err *err)
{
    const struct ste_trials *s = r->s;
    while (t->final < t->limit && t->samples[t->final].have) {
        const struct ste_trial_sample *x = &t->samples[t->final];
        int rc = s->counts(s->arg, t, t->final, &x->judgment, &x->answer, err);
        if (rc)
            return rc;
        if (t->over) /* by the caller */
            return 0;
        t->final++;
    }
    const bool decided = s->rule == STE_TRIAL_MAJORITY && votes_needed(&t->tally, s->samples) == 0;
    if (t->final < t->limit && !(decided && t->final == t->next_ask)) {
        may_ask_more(r, t);
        return 0;
    }
    int rc = s->over(s->arg, t, err);
    ste_trial_end(s, t);
    return rc;
}

static void widen(const struct ste_trials *s, struct ste_trial *t)
{
    if (s->rule == STE_TRIAL_MAJORITY)
        t->asked_to = least(back(t) + votes_needed(&t->tally, t->limit), t->limit);
    else if (s->rule == STE_TRIAL_FIRST_RIGHT && back(t) >= t->asked_to)
        t->asked_to = least(2 * t->asked_to, t->limit);
}

/* ---- the pump's calls ---- */

static int next(void *arg, struct ste_question *question, struct ste_err *err)
{
    struct ste_trials_asked *r = arg;
    while (r->n_again || r->fresh < r->n) {
        const bool is_again = r->n_again > 0;
        struct ste_trial *t = is_again ? r->again[r->n_again - 1] : &r->trials[r->fresh];
        if (t->over || t->next_ask >= t->asked_to) {
            if (is_again)
                r->again[--r->n_again]->queued = false;
            else
                r->fresh++;
            continue;
        }
        if (!t->samples)
            t->samples = ste_xcalloc((size_t)t->limit, sizeof *t->samples);
        struct ste_trial_sample *x = &t->samples[t->next_ask];
        *x = (struct ste_trial_sample){.trial = t, .index = t->next_ask++};
        ste_judge_ask(r->s->setting, &t->material, x->index, &r->texts, question);
        question->tag = x;
        return 1;
    }
    return 0;
}

static void submitted(void *arg, void *tag, uint64_t ticket)
{
    struct ste_trials_asked *r = arg;
    struct ste_trial_sample *x = tag;
    x->ticket = ticket;
    x->asked = ticket != 0;
    ste_judge_prompt_clear(&r->texts);
}

static int too_long(void *arg, void *tag, const char *why, struct ste_err *err)
{
    struct ste_trials_asked *r = arg;
    struct ste_trial *t = ((struct ste_trial_sample *)tag)->trial;
    ste_trial_end(r->s, t); /* no other sample would fit */
    return r->s->too_long(r->s->arg, t, why, err);
}

static int answer(void *arg, struct ste_answer *a, struct ste_err *err)
{
    struct ste_trials_asked *r = arg;
    struct ste_trial_sample *x = a->tag;
    struct ste_trial *t = x->trial;
    x->have = true;
    ste_judge_read(r->s->setting, a, &x->judgment);
    x->answer = *a;
    *a = (struct ste_answer){0};
    t->tally.a += x->judgment.verdict == STE_VERDICT_A;
    t->tally.b += x->judgment.verdict == STE_VERDICT_B;
    t->tally.invalid += x->judgment.verdict == STE_VERDICT_INVALID;
    if (r->s->rule == STE_TRIAL_FIRST_RIGHT && x->judgment.verdict == t->right) {
        t->limit = t->asked_to = x->index + 1;
        drop(r->s, t, t->limit);
    } else {
        widen(r->s, t);
    }
    return advance(r, t, err);
}

struct ste_trials_asked *ste_trials_ask(const struct ste_trials *s, struct ste_trial *trials, size_t n,
                                        struct ste_pump *pump)
{
    struct ste_trials_asked *r = ste_xcalloc(1, sizeof *r);
    *r = (struct ste_trials_asked){.s = s, .trials = trials, .n = n, .again = ste_xcalloc(n + 1, sizeof *r->again)};
    for (size_t i = 0; i < n; i++)
        begin(s, &trials[i]);
    *pump = (struct ste_pump){.llm = s->llm,
                              .arg = r,
                              .next = next,
                              .submitted = submitted,
                              .too_long = too_long,
                              .answer = answer,
                              .tick = s->tick,
                              .tick_arg = s->tick_arg};
    return r;
}

void ste_trials_done(struct ste_trials_asked *r)
{
    for (size_t i = 0; i < r->n; i++)
        if (r->trials[i].samples)
            ste_trial_end(r->s, &r->trials[i]);
    ste_xfree(r->again);
    ste_xfree(r);
}

int ste_trials_run(const struct ste_trials *s, struct ste_trial *trials, size_t n, struct ste_err *err)
{
    struct ste_pump pump;
    struct ste_trials_asked *r = ste_trials_ask(s, trials, n, &pump);
    int rc = ste_pump_run(&pump, err);
    ste_trials_done(r);
    return rc;
}
