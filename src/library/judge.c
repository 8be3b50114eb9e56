/* Judges of ste.h: a session with the context of its caller. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/context.h"
#include "core/mem.h"
#include "eval/files.h"
#include "eval/scoring.h"

struct ste_judge {
    struct ste_context context;
    char *name; /* the session borrows it */
    struct ste_session session;
};

const char *ste_version(void)
{
    return STE_VERSION;
}

void ste_free(void *p)
{
    free(p);
}

/* TEXT as the value of KEY, where there is one. */
static int put(struct ste_judge_options *o, const char *key, const char *text, struct ste_err *err)
{
    return text ? ste_options_put(ste_judge_options, o, key, key, text, false, err) : 0;
}

static int put_number(struct ste_judge_options *o, const char *key, uint64_t value, struct ste_err *err)
{
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    return value ? put(o, key, text, err) : 0;
}

static int put_all(struct ste_judge_options *o, const struct ste_judge_config *c, struct ste_err *err)
{
    o->no_cache = !c->cache;
    int rc = put(o, "pack", c->pack, err);
    if (rc == 0)
        rc = put(o, "rubric", c->rubric, err);
    if (rc == 0)
        rc = put(o, "base", c->base, err);
    if (rc == 0)
        rc = put(o, "activations", c->activations, err);
    if (rc == 0)
        rc = put_number(o, "votes", c->votes, err);
    if (rc == 0)
        rc = put_number(o, "seed", c->seed, err);
    if (rc == 0)
        rc = put_number(o, "threads", c->threads, err);
    if (rc == 0)
        rc = put_number(o, "batch", c->batch, err);
    if (rc == 0)
        rc = put_number(o, "ctx", c->ctx, err);
    return rc == 0 ? ste_judge_options_check(o, err) : rc;
}

static int open_session(struct ste_judge *j, const struct ste_judge_config *c, struct ste_err *err)
{
    struct ste_judge_options o;
    ste_options_init(ste_judge_options, &o);
    int rc = put_all(&o, c, err);
    if (rc == 0)
        rc = ste_session_open(&j->session, j->name, &o, STE_JUDGE_PAIRS, err);
    if (rc == 0)
        rc = ste_session_load(&j->session, &o, err);
    ste_options_clear(ste_judge_options, &o);
    return rc;
}

int ste_judge_open(struct ste_judge **out, const char *judge, const struct ste_judge_config *config,
                   const struct ste_context *context, struct ste_err *err)
{
    static const struct ste_judge_config defaults;
    *out = NULL;
    const struct ste_context *was = ste_context_set(context);
    struct ste_judge *j = ste_xcalloc(1, sizeof *j);
    if (context)
        j->context = *context;
    ste_context_set(&j->context);
    j->name = ste_xstrdup(judge);
    int rc = open_session(j, config ? config : &defaults, err);
    ste_context_set(was);
    if (rc == 0)
        *out = j;
    else
        ste_judge_close(j);
    return rc;
}

void ste_judge_close(struct ste_judge *j)
{
    if (!j)
        return;
    const struct ste_context *was = ste_context_set(&j->context);
    ste_session_close(&j->session);
    ste_context_set(was);
    free(j->name);
    free(j);
}

static void add_prompt(struct ste_dialogue *d, const char *prompt)
{
    ste_dialogue_add(d, STE_ROLE_USER, prompt, strlen(prompt));
}

static int check(const struct ste_pair *pairs, size_t n, bool both, struct ste_err *err)
{
    for (size_t i = 0; i < n; i++)
        if (!pairs[i].prompt || !pairs[i].a || (both && !pairs[i].b))
            return ste_err_set(err, STE_EUSAGE, "pair %zu has no %s", i,
                               !pairs[i].prompt ? "prompt"
                               : !pairs[i].a    ? "answer a"
                                                : "answer b");
    return 0;
}

/* The letter of V, of the answer as the caller names it; SWAPPED: b stood first. */
static char letter(enum ste_verdict v, bool swapped)
{
    switch (v) {
    case STE_VERDICT_A:
        return swapped ? 'B' : 'A';
    case STE_VERDICT_B:
        return swapped ? 'A' : 'B';
    case STE_VERDICT_TIE:
        return '=';
    default:
        return '?';
    }
}

static void take_preference(struct ste_preference *p, struct ste_outcome *o)
{
    static const char two_order[STE_N_FINAL] = {
        [STE_FINAL_CHOSEN] = 'A', [STE_FINAL_REJECTED] = 'B', [STE_FINAL_TIE] = '=', [STE_FINAL_INVALID] = '?'};
    p->verdict = letter(ste_outcome_verdict(o, true), false);
    p->two_order = two_order[ste_outcome_two_order(o)];
    p->margin = ste_outcome_margin(o);
    for (int i = 0; i < 2; i++) {
        p->first[i] = letter(o->order[i].verdict, i == STE_ORDER_BA);
        p->reasoning[i] = o->order[i].reasoning;
        o->order[i].reasoning = NULL;
        if (o->order[i].reason != STE_INVALID_NONE)
            p->reason = ste_invalid_name(o->order[i].reason);
    }
}

int ste_judge_compare(struct ste_judge *j, const struct ste_pair *pairs, size_t n, struct ste_preference *preferences,
                      struct ste_err *err)
{
    for (size_t i = 0; i < n; i++)
        preferences[i] = (struct ste_preference){'?', {'?', '?'}, '?', NAN, "", {NULL, NULL}};
    int rc = check(pairs, n, true, err);
    if (rc != 0)
        return rc;
    const struct ste_context *was = ste_context_set(&j->context);
    struct ste_answer_pairs asked = {.path = j->name, .name = j->name, .n = n};
    asked.items = ste_xcalloc(n + 1, sizeof *asked.items);
    struct ste_outcome *outcomes = ste_xcalloc(n + 1, sizeof *outcomes);
    for (size_t i = 0; i < n; i++) {
        struct ste_answer_pair *p = &asked.items[i];
        *p = (struct ste_answer_pair){
            .id = ste_xasprintf("%zu", i), .first = (char *)pairs[i].a, .second = (char *)pairs[i].b};
        add_prompt(&p->prompt, pairs[i].prompt);
    }
    struct ste_progress *progress = ste_progress_new("judge", "verdicts", ste_eval_calls(&j->session, n, true));
    rc = ste_eval_pairs(&j->session, &asked, true, outcomes, progress, err);
    ste_progress_end(progress);
    for (size_t i = 0; i < n; i++) {
        if (rc == 0)
            take_preference(&preferences[i], &outcomes[i]);
        free(asked.items[i].id);
        ste_dialogue_clear(&asked.items[i].prompt);
    }
    free(asked.items);
    ste_outcomes_clear(outcomes, n);
    free(outcomes);
    ste_context_set(was);
    return rc;
}

void ste_preferences_clear(struct ste_preference *preferences, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (int k = 0; k < 2; k++) {
            free(preferences[i].reasoning[k]);
            preferences[i].reasoning[k] = NULL;
        }
}

int ste_judge_score(struct ste_judge *j, const struct ste_pair *answers, size_t n, double *scores, struct ste_err *err)
{
    for (size_t i = 0; i < n; i++)
        scores[i] = NAN;
    int rc = check(answers, n, false, err);
    if (rc == 0 && (!j->session.llm || j->session.spec.likelihood))
        rc = ste_err_set(err, STE_EUSAGE, "%s scores no single answers: it compares only", j->name);
    if (rc == 0)
        rc = ste_judge_can_show(j->session.pack, true, j->session.rubric != NULL, false, err);
    if (rc != 0)
        return rc;
    const struct ste_context *was = ste_context_set(&j->context);
    struct ste_answer_rows rows = {.n = n};
    rows.items = ste_xcalloc(n + 1, sizeof *rows.items);
    struct ste_score *given = ste_xcalloc(n + 1, sizeof *given);
    for (size_t i = 0; i < n; i++) {
        rows.items[i] = (struct ste_answer_row){.id = ste_xasprintf("%zu", i), .text = (char *)answers[i].a};
        add_prompt(&rows.items[i].prompt, answers[i].prompt);
    }
    struct ste_progress *progress = ste_progress_new("score", "answers", n);
    rc = ste_score_answers(j->session.llm, &j->session.setting, &rows, given, progress, err);
    ste_progress_end(progress);
    for (size_t i = 0; i < n; i++) {
        if (rc == 0)
            scores[i] = given[i].expected;
        ste_score_clear(&given[i]);
        free(rows.items[i].id);
        ste_dialogue_clear(&rows.items[i].prompt);
    }
    free(given);
    free(rows.items);
    ste_context_set(was);
    return rc;
}
