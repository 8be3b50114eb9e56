#include "serve/judging.h"

#include <math.h>
#include <string.h>

#include "core/json.h"
#include "core/mem.h"
#include "eval/scored.h"
#include "serve/asked_rows.h"

/* ---- what is to be asked ---- */

static void add_row(struct ste_call *c, const char *id, const struct ste_dialogue *prompt, char *text,
                    const struct ste_strings *references)
{
    struct ste_answer_rows *all = &c->rows;
    STE_GROW(all->items, all->cap, all->n + 1);
    all->items[all->n++] =
        (struct ste_answer_row){.id = (char *)id, .prompt = *prompt, .text = text, .references = *references};
}

/* A pair; AT: where it comes from. */
static void add_pair(struct ste_call *c, const struct ste_answer_pair *p, const struct ste_matched *at, size_t *cap)
{
    const size_t n = c->pairs.n++;
    if (n == *cap) {
        *cap = n ? 2 * n : 16;
        c->pairs.items = ste_xrealloc(c->pairs.items, *cap * sizeof *c->pairs.items);
        c->matched = ste_xrealloc(c->matched, *cap * sizeof *c->matched);
    }
    c->pairs.items[n] = *p;
    c->matched[n] = *at;
}

static char *text_of(const struct ste_group *g, size_t i)
{
    return i < g->answers.n ? g->answers.items[i] : g->anchor;
}

/* Equal answers are one: what is said of it holds for each. ROWS: it is asked about alone. */
static void find_same(struct ste_call *c, struct ste_group *g, bool rows)
{
    const size_t n = g->answers.n + (g->anchor != NULL);
    g->same = ste_xcalloc(n + 1, sizeof *g->same);
    g->row = ste_xcalloc(n + 1, sizeof *g->row);
    for (size_t i = 0; i < n; i++) {
        size_t k = 0;
        while (k < i && (g->same[k] != k || strcmp(text_of(g, k), text_of(g, i)) != 0))
            k++;
        g->same[i] = k;
        g->row[i] = k < i ? g->row[k] : c->rows.n;
        if (rows && k == i)
            add_row(c, g->id, &g->prompt, text_of(g, i), &g->references);
    }
}

static void match_group(struct ste_call *c, size_t group, size_t *cap)
{
    const struct ste_group *g = &c->asked.groups[group];
    const size_t n = g->answers.n;
    for (size_t i = 0; i < n; i++)
        for (size_t j = g->anchor ? n : i + 1; g->same[i] == i && j < n + (g->anchor != NULL); j++)
            if (j == n ? g->same[j] != i : g->same[j] == j)
                add_pair(c,
                         &(struct ste_answer_pair){.id = g->id,
                                                   .prompt = g->prompt,
                                                   .first = text_of(g, i),
                                                   .second = text_of(g, j),
                                                   .references = g->references},
                         &(struct ste_matched){group, i, j, {g->row[i], g->row[j]}}, cap);
}

/* Pairs and rows of what was asked. A judge by scores is asked about each answer of a pair. */
static void plan(struct ste_call *c)
{
    static const struct ste_strings none = {0};
    const struct ste_session *judge = c->s->judge;
    const bool scores = judge->reward || judge->spec.likelihood, by_answers = c->asked.by == STE_REWARD_SCORE;
    size_t cap = 0;
    c->pairs.path = c->pairs.name = "a request";
    for (size_t i = 0; i < c->asked.n_groups; i++) {
        find_same(c, &c->asked.groups[i], scores || by_answers);
        if (!by_answers)
            match_group(c, i, &cap);
    }
    for (size_t i = 0; i < c->asked.pairs.n; i++) {
        const struct ste_answer_pair *p = &c->asked.pairs.items[i];
        add_pair(c, p, &(struct ste_matched){.row = {c->rows.n, c->rows.n + 1}}, &cap);
        if (!scores)
            continue;
        add_row(c, p->id, &p->prompt, p->first, &none);
        add_row(c, p->id, &p->prompt, p->second, &none);
    }
    for (size_t i = 0; i < c->asked.rows.n; i++) {
        const struct ste_answer_row *r = &c->asked.rows.items[i];
        add_row(c, r->id, &r->prompt, r->text, &r->references);
        c->rows.items[c->rows.n - 1].row = r->row;
    }
    c->by_scores = c->rows.n > 0;
    c->outcomes = ste_xcalloc(c->pairs.n + 1, sizeof *c->outcomes);
    c->values = ste_xcalloc(c->rows.n + 1, sizeof *c->values);
    c->reasons = ste_xcalloc(c->rows.n + 1, sizeof *c->reasons);
}

static bool any_references(const struct ste_asked *a, bool all)
{
    size_t with = 0, n = a->pairs.n + a->rows.n + a->n_groups;
    for (size_t i = 0; i < a->pairs.n; i++)
        with += a->pairs.items[i].references.n > 0;
    for (size_t i = 0; i < a->rows.n; i++)
        with += a->rows.items[i].references.n > 0;
    for (size_t i = 0; i < a->n_groups; i++)
        with += a->groups[i].references.n > 0;
    return all ? with == n : with > 0;
}

/* Says what the judge cannot do of what is asked; else how it is asked stands in C. */
static int settle(struct ste_call *c, struct ste_err *err)
{
    struct ste_session *judge = c->s->judge;
    const struct ste_asked *a = &c->asked;
    const bool scored = judge->reward || judge->spec.likelihood, scoring = a->rows.n || a->by == STE_REWARD_SCORE;
    const bool references = any_references(a, false);
    if (scored && (a->votes > 0 || references))
        return ste_err_set(err, STE_EINPUT, "%s scores each answer by itself and is asked nothing: it takes no %s",
                           judge->name, references ? "references" : "votes");
    c->likelihood = judge->likelihood;
    if (scored)
        return 0;
    if (c->s->options->reference && !any_references(a, true))
        return ste_err_set(err, STE_EINPUT,
                           "a row has no reference answer, and this server's judge is shown one (--reference)");
    int rc = ste_judge_can_show(judge->pack, scoring, judge->rubric, references, err);
    if (rc)
        return rc;
    c->setting = judge->setting;
    c->votes = (struct ste_eval_setting){.votes = judge->votes, .all_votes = judge->all_votes};
    if (a->votes >= 0) {
        const struct ste_judge_sampling *how = &c->s->options->sampling;
        c->votes.votes = (int)a->votes / 2;
        c->setting.sample_label = a->votes > 0;
        c->setting.sampling = a->votes ? (struct ste_sampling){.temperature = how->temperature, .top_p = how->top_p}
                                       : (struct ste_sampling){.temperature = 0, .top_p = 1};
    }
    return 0;
}

/* ---- what came ---- */

static void free_call(struct ste_call *c)
{
    ste_outcomes_clear(c->outcomes, c->pairs.n);
    for (size_t i = 0; c->scores && i < c->rows.n; i++)
        ste_score_clear(&c->scores[i]);
    for (size_t i = 0; c->messages && i < c->rows.n; i++)
        ste_xfree(c->messages[i]);
    ste_xfree(c->messages);
    ste_xfree(c->given);
    ste_xfree(c->found);
    ste_xfree(c->outcomes);
    ste_xfree(c->scores);
    ste_xfree(c->values);
    ste_xfree(c->reasons);
    ste_xfree(c->pairs.items);
    ste_xfree(c->matched);
    ste_xfree(c->rows.items);
    ste_asked_clear(&c->asked);
    ste_xfree(c);
}

/* Of a judge by scores: the pairs' verdicts. */
static void verdicts_of_values(struct ste_call *c)
{
    for (size_t i = 0; i < c->pairs.n; i++) {
        const size_t a = c->matched[i].row[0], b = c->matched[i].row[1];
        ste_outcome_begin(&c->outcomes[i], &c->pairs.items[i], true);
        if (c->reasons[a] == STE_INVALID_TOO_LONG || c->reasons[b] == STE_INVALID_TOO_LONG)
            ste_outcome_too_long(&c->outcomes[i]);
        else
            ste_outcome_of_scores(&c->outcomes[i], c->values[a], c->values[b]);
    }
}

static void set_value(struct ste_call *c, size_t row, double value, enum ste_invalid reason)
{
    const bool is_number = isfinite(value);
    c->values[row] = is_number && !reason ? value : NAN;
    c->reasons[row] = reason ? reason : is_number ? STE_INVALID_NONE : STE_INVALID_NO_NUMBER;
}

static void values_of_likelihoods(struct ste_call *c)
{
    const struct ste_likelihood_setting *s = &c->s->judge->likelihood;
    const size_t each = (size_t)ste_likelihood_texts(s->normalise) / 2;
    for (size_t i = 0; i < c->rows.n; i++) {
        const struct ste_likelihood *l = &c->found[i * each],
                                    both[STE_LIKELIHOOD_MOST] = {[0] = l[0], [2] = l[each - 1]};
        bool asked = true; /* what does not fit has no token */
        for (size_t k = 0; k < each; k++)
            asked &= !(isnan(l[k].sum) && l[k].tokens == 0);
        set_value(c, i, asked ? ste_likelihood_score(s->normalise, both) : NAN,
                  asked ? STE_INVALID_NONE : STE_INVALID_TOO_LONG);
    }
}

/* Ends C: its reply, or what went wrong. */
static void finish(struct ste_call *c, int rc, const struct ste_err *err)
{
    if (c->found && !rc)
        values_of_likelihoods(c);
    for (size_t i = 0; c->scores && i < c->rows.n; i++)
        set_value(c, i, c->scores[i].expected, c->scores[i].reason);
    if (c->by_scores && c->pairs.n && !rc)
        verdicts_of_values(c);
    if (rc) {
        ste_reply_failed(c->x, err);
    } else {
        json_t *reply = c->reply(c);
        if (reply)
            ste_reply_json(c->x, 200, reply);
    }
    free_call(c);
}

/* ---- asking ---- */

static int hand_over(struct ste_call *c, struct ste_err *err);

static void over(void *arg, int rc, const struct ste_err *err)
{
    struct ste_call *c = arg;
    struct ste_err why = {0};
    if (!rc && c->s->judge->reward && c->scored < c->rows.n) {
        rc = hand_over(c, &why);
        if (!rc)
            return;
        err = &why;
    }
    if (c->pairs_asked)
        ste_judge_pairs_done(c->pairs_asked);
    if (c->scores_asked)
        ste_score_answers_done(c->scores_asked);
    if (c->likelihoods_asked)
        ste_likelihoods_done(c->likelihoods_asked);
    finish(c, rc, err);
}

static bool is_gone(void *arg)
{
    return ste_exchange_gone(((struct ste_call *)arg)->x);
}

/* Each answer behind its prompt, and, where that is taken off, behind none. */
static void ask_likelihoods(struct ste_call *c, struct ste_llm *llm, struct ste_pump *pump)
{
    static const struct ste_message none = {"user", ""};
    const size_t each = (size_t)ste_likelihood_texts(c->likelihood.normalise) / 2, n = c->rows.n * each;
    c->given = ste_xcalloc(n + 1, sizeof *c->given);
    c->found = ste_xcalloc(n + 1, sizeof *c->found);
    c->messages = ste_xcalloc(c->rows.n + 1, sizeof *c->messages);
    for (size_t i = 0; i < c->rows.n; i++) {
        const struct ste_answer_row *r = &c->rows.items[i];
        c->messages[i] = ste_chat_messages(&r->prompt);
        c->given[i * each] = (struct ste_given){.messages = c->messages[i], .n_messages = r->prompt.n, .text = r->text};
        if (each > 1)
            c->given[i * each + 1] = (struct ste_given){.messages = &none, .n_messages = 1, .text = r->text};
    }
    c->likelihoods_asked = ste_likelihoods_ask(llm, &c->likelihood, c->given, n, c->found, NULL, pump);
    c->calls = n;
}

static int begins(void *arg, struct ste_llm *llm, int adapter, struct ste_pump *pump, struct ste_err *err)
{
    struct ste_call *c = arg;
    c->setting.adapter = c->likelihood.adapter = adapter;
    if (c->s->judge->spec.likelihood) {
        ask_likelihoods(c, llm, pump);
        return 0;
    }
    if (c->by_scores) {
        c->scores = ste_xcalloc(c->rows.n + 1, sizeof *c->scores);
        c->scores_asked = ste_score_answers_ask(llm, &c->setting, &c->rows, c->scores, NULL, pump);
        c->calls = c->rows.n;
        return 0;
    }
    const struct ste_judging judging = {
        .llm = llm, .judge = &c->setting, .setting = &c->votes, .one_order = c->asked.one_order};
    c->calls = c->pairs.n * (c->asked.one_order ? 1 : 2) * (size_t)(c->votes.votes > 1 ? c->votes.votes : 1);
    return ste_judge_pairs_ask(&c->pairs_asked, &judging, &c->pairs, c->outcomes, pump, err);
}

/* Row I, and the next one with it where that has its prompt. */
static int score_next(struct ste_call *c, size_t i, struct ste_err *err)
{
    struct ste_reward *reward = c->s->judge->reward;
    const struct ste_answer_row *r = &c->rows.items[i];
    const size_t n = i + 1 < c->rows.n && r[1].prompt.turns == r->prompt.turns ? 2 : 1;
    double score[2] = {NAN, NAN};
    int rc = n == 2 ? ste_reward_scores(reward, &r->prompt, r->text, r[1].text, score, err) : STE_ETOOLONG;
    for (size_t k = 0; k < n && rc; k++) { /* alone, or one of them may fit */
        const int one =
            n == 1 || rc == STE_ETOOLONG ? ste_reward_score(reward, &r->prompt, r[k].text, &score[k], err) : rc;
        if (one && one != STE_ETOOLONG)
            return one;
        c->reasons[i + k] = one ? STE_INVALID_TOO_LONG : STE_INVALID_NONE;
    }
    for (size_t k = 0; k < n; k++)
        set_value(c, i + k, score[k], c->reasons[i + k]);
    c->scored += n;
    return 0;
}

#define TURN_SECONDS 0.25 /* of a reward model's thread at a time: others' requests have theirs in between */

static int score_some(void *arg, struct ste_llm *llm, struct ste_err *err)
{
    struct ste_call *c = arg;
    const double until = ste_now() + TURN_SECONDS;
    int rc = 0;
    while (c->scored < c->rows.n && !rc && ste_now() < until)
        rc = score_next(c, c->scored, err);
    c->calls = c->scored;
    return rc;
}

static int hand_over(struct ste_call *c, struct ste_err *err)
{
    struct ste_job job = {.client = ste_exchange_client(c->x), .arg = c, .gone = is_gone, .over = over};
    if (c->s->judge->reward)
        job.run = score_some;
    else
        job.begins = begins;
    return ste_work_add(c->s->work, &job, err);
}

static void ask(struct ste_call *c)
{
    struct ste_err err = {0};
    plan(c);
    int rc = settle(c, &err);
    if (!rc && c->rows.n + c->pairs.n == 0) { /* equal answers alone */
        finish(c, 0, &err);
        return;
    }
    if (!rc)
        rc = hand_over(c, &err);
    if (rc)
        finish(c, rc, &err);
}

/* ---- routes ---- */

static void refuse(struct ste_exchange *x, struct ste_err *err, json_t *bad)
{
    json_t *error =
        json_pack("{s:o, s:s, s:n}", "message", ste_asked_message(err), "type", "invalid_request_error", "code");
    if (json_array_size(bad))
        json_object_set(error, "rows", bad);
    json_decref(bad);
    ste_reply_json(x, 400, json_pack("{s:o}", "error", error));
}

void ste_call_route(struct ste_judging_service *s, struct ste_exchange *x, ste_asked_reader *read, const void *how,
                    json_t *(*reply)(struct ste_call *c))
{
    struct ste_err err = {0};
    size_t n;
    const char *text = ste_exchange_body(x, &n);
    json_t *body = ste_json_parse(text, n, "the request's body", &err), *bad = json_array();
    struct ste_call *c = ste_xcalloc(1, sizeof *c);
    *c = (struct ste_call){.x = x, .s = s, .reply = reply};
    int rc = body ? read(&c->asked, body, how, bad, &err) : err.code;
    json_decref(body);
    if (rc) {
        refuse(x, &err, bad);
        free_call(c);
        return;
    }
    json_decref(bad);
    ask(c);
}

static void judge_route(void *arg, struct ste_exchange *x)
{
    ste_call_route(arg, x, ste_asked_judge, NULL, ste_reply_verdicts);
}

static void score_route(void *arg, struct ste_exchange *x)
{
    ste_call_route(arg, x, ste_asked_score, NULL, ste_reply_scores);
}

static void rank_route(void *arg, struct ste_exchange *x)
{
    ste_call_route(arg, x, ste_asked_rank, NULL, ste_reply_ranking);
}

static void group_route(void *arg, struct ste_exchange *x)
{
    ste_call_route(arg, x, ste_asked_group, NULL, ste_reply_groups);
}

static void openrlhf_route(void *arg, struct ste_exchange *x)
{
    ste_reward_route(arg, x, ste_asked_openrlhf, ste_reply_openrlhf);
}

static void slime_route(void *arg, struct ste_exchange *x)
{
    ste_reward_route(arg, x, ste_asked_slime, ste_reply_slime);
}

static void classify_route(void *arg, struct ste_exchange *x)
{
    ste_reward_route(arg, x, ste_asked_classify, ste_reply_classify);
}

struct ste_route *ste_judging_table(struct ste_judging_service *s, size_t *n)
{
    static struct ste_route routes[] = {
        {"POST", "/v1/judge", judge_route, NULL, STE_ROUTE_WORKER, false},
        {"POST", "/v1/score", score_route, NULL, STE_ROUTE_WORKER, false},
        {"POST", "/v1/rank", rank_route, NULL, STE_ROUTE_WORKER, false},
        {"POST", "/v1/group", group_route, NULL, STE_ROUTE_WORKER, false},
        {"POST", "/get_reward", openrlhf_route, NULL, STE_ROUTE_WORKER, false},
        {"POST", "/remote_rm", slime_route, NULL, STE_ROUTE_WORKER, false},
        {"POST", "/classify", classify_route, NULL, STE_ROUTE_WORKER, false},
    };
    *n = sizeof routes / sizeof *routes;
    for (size_t i = 0; i < *n; i++)
        routes[i].arg = s;
    return routes;
}
