/* Judges of ste.h: a session with the context of its caller. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/domain.h"
#include "core/mem.h"
#include "eval/files.h"
#include "eval/scoring.h"
#include "library/door.h"

const char *ste_version(void)
{
    return STE_VERSION;
}

void ste_free(void *p)
{
    free(p);
}

int ste_door_call(struct ste_domain *d, const struct ste_context *context, int (*fn)(void *, struct ste_err *),
                  void *arg, struct ste_err *err)
{
    const struct ste_context *was = ste_context_set(context);
    int rc = ste_domain_call(d, fn, arg, err);
    ste_context_set(was);
    return rc;
}

char *ste_door_give(char *text)
{
    const size_t n = strlen(text);
    char *given = strdup(text);
    ste_xfree(text);
    if (!given)
        ste_no_memory(n);
    return given;
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
    for (size_t i = 0; rc == 0 && i < c->n_options; i++)
        rc = ste_options_set(ste_judge_options, o, c->options[i], err);
    return rc == 0 ? ste_judge_options_check(o, err) : rc;
}

/* What the doors below take, for one call within the judge's domain. */
struct judge_call {
    struct ste_judge *j;
    const char *judge;
    const struct ste_judge_config *config;
    const struct ste_pair *pairs;
    size_t n;
    struct ste_preference *preferences;
    double *scores;
};

static int call(int (*fn)(void *, struct ste_err *), const struct judge_call *c, struct ste_err *err)
{
    return ste_door_call(c->j->domain, &c->j->context, fn, (void *)c, err);
}

static int open_session(void *arg, struct ste_err *err)
{
    static const struct ste_judge_config defaults;
    const struct judge_call *c = arg;
    struct ste_judge *j = c->j;
    struct ste_judge_options o;
    j->name = ste_xstrdup(c->judge);
    ste_options_init(ste_judge_options, &o);
    int rc = put_all(&o, c->config ? c->config : &defaults, err);
    if (rc == 0)
        rc = ste_session_open(&j->session, j->name, &o, STE_JUDGE_PAIRS, err);
    if (rc == 0)
        rc = ste_session_load(&j->session, &o, err);
    j->references = o.reference;
    j->seed = (uint64_t)o.seed;
    ste_options_clear(ste_judge_options, &o);
    return rc;
}

int ste_judge_open(struct ste_judge **out, const char *judge, const struct ste_judge_config *config,
                   const struct ste_context *context, struct ste_err *err)
{
    struct ste_judge *j = *out = calloc(1, sizeof *j);
    if (!j || !(j->domain = ste_domain_new())) {
        free(j);
        *out = NULL;
        return ste_err_set(err, STE_ENOMEM, "out of memory");
    }
    if (context)
        j->context = *context;
    int rc = call(open_session, &(struct judge_call){.j = j, .judge = judge, .config = config}, err);
    if (rc != 0) {
        ste_judge_close(j);
        *out = NULL;
    }
    return rc;
}

static int close_session(void *arg, struct ste_err *err)
{
    struct ste_judge *j = ((struct judge_call *)arg)->j;
    ste_session_close(&j->session);
    ste_xfree(j->name);
    return 0;
}

/* Where memory has run out, nothing is left to be closed but the judge itself. */
void ste_judge_close(struct ste_judge *j)
{
    if (!j)
        return;
    call(close_session, &(struct judge_call){.j = j}, NULL);
    ste_domain_free(j->domain);
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

static void take_preference(struct ste_preference *p, const struct ste_outcome *o)
{
    static const char two_order[STE_N_FINAL] = {
        [STE_FINAL_CHOSEN] = 'A', [STE_FINAL_REJECTED] = 'B', [STE_FINAL_TIE] = '=', [STE_FINAL_INVALID] = '?'};
    p->verdict = letter(ste_outcome_verdict(o, true), false);
    p->two_order = two_order[ste_outcome_two_order(o)];
    p->margin = ste_outcome_margin(o);
    for (int i = 0; i < 2; i++) {
        p->first[i] = letter(o->order[i].verdict, i == STE_ORDER_BA);
        const char *text = o->order[i].reasoning; /* the caller gets one that is not of the domain */
        if (text && !(p->reasoning[i] = strdup(text)))
            ste_no_memory(strlen(text));
        if (o->order[i].reason != STE_INVALID_NONE)
            p->reason = ste_invalid_name(o->order[i].reason);
    }
}

static int compare(void *arg, struct ste_err *err)
{
    const struct judge_call *c = arg;
    struct ste_judge *j = c->j;
    const size_t n = c->n;
    struct ste_answer_pairs asked = {.path = j->name, .name = j->name, .n = n};
    asked.items = ste_xcalloc(n + 1, sizeof *asked.items);
    struct ste_outcome *outcomes = ste_xcalloc(n + 1, sizeof *outcomes);
    for (size_t i = 0; i < n; i++) {
        struct ste_answer_pair *p = &asked.items[i];
        *p = (struct ste_answer_pair){
            .id = ste_xasprintf("%zu", i), .first = (char *)c->pairs[i].a, .second = (char *)c->pairs[i].b};
        add_prompt(&p->prompt, c->pairs[i].prompt);
    }
    struct ste_progress *progress = ste_progress_new("judge", "verdicts", ste_eval_calls(&j->session, n, true));
    int rc = ste_eval_pairs(&j->session, &asked, true, outcomes, progress, err);
    ste_progress_end(progress);
    for (size_t i = 0; i < n; i++) {
        if (rc == 0)
            take_preference(&c->preferences[i], &outcomes[i]);
        ste_xfree(asked.items[i].id);
        ste_dialogue_clear(&asked.items[i].prompt);
    }
    ste_xfree(asked.items);
    ste_outcomes_clear(outcomes, n);
    ste_xfree(outcomes);
    return rc;
}

int ste_judge_compare(struct ste_judge *j, const struct ste_pair *pairs, size_t n, struct ste_preference *preferences,
                      struct ste_err *err)
{
    for (size_t i = 0; i < n; i++)
        preferences[i] = (struct ste_preference){'?', {'?', '?'}, '?', NAN, "", {NULL, NULL}};
    int rc = check(pairs, n, true, err);
    return rc ? rc
              : call(compare, &(struct judge_call){.j = j, .pairs = pairs, .n = n, .preferences = preferences}, err);
}

void ste_preferences_clear(struct ste_preference *preferences, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (int k = 0; k < 2; k++) {
            free(preferences[i].reasoning[k]);
            preferences[i].reasoning[k] = NULL;
        }
}

int ste_door_scores(const struct ste_judge *j, struct ste_err *err)
{
    if (!j->session.llm || j->session.spec.likelihood)
        return ste_err_set(err, STE_EUSAGE, "%s scores no single answers: it compares only", j->name);
    return ste_judge_can_show(j->session.pack, true, j->session.rubric != NULL, j->references, err);
}

static int score(void *arg, struct ste_err *err)
{
    const struct judge_call *c = arg;
    struct ste_judge *j = c->j;
    const size_t n = c->n;
    int rc = ste_door_scores(j, err);
    if (rc != 0)
        return rc;
    struct ste_answer_rows rows = {.n = n};
    rows.items = ste_xcalloc(n + 1, sizeof *rows.items);
    struct ste_score *given = ste_xcalloc(n + 1, sizeof *given);
    for (size_t i = 0; i < n; i++) {
        rows.items[i] = (struct ste_answer_row){.id = ste_xasprintf("%zu", i), .text = (char *)c->pairs[i].a};
        add_prompt(&rows.items[i].prompt, c->pairs[i].prompt);
    }
    struct ste_progress *progress = ste_progress_new("score", "answers", n);
    rc = ste_score_answers(j->session.llm, &j->session.setting, &rows, given, progress, err);
    ste_progress_end(progress);
    for (size_t i = 0; i < n; i++) {
        if (rc == 0)
            c->scores[i] = given[i].expected;
        ste_score_clear(&given[i]);
        ste_xfree(rows.items[i].id);
        ste_dialogue_clear(&rows.items[i].prompt);
    }
    ste_xfree(given);
    ste_xfree(rows.items);
    return rc;
}

int ste_judge_score(struct ste_judge *j, const struct ste_pair *answers, size_t n, double *scores, struct ste_err *err)
{
    for (size_t i = 0; i < n; i++)
        scores[i] = NAN;
    int rc = check(answers, n, false, err);
    return rc ? rc : call(score, &(struct judge_call){.j = j, .pairs = answers, .n = n, .scores = scores}, err);
}
