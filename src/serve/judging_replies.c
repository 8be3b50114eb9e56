/* What the judge said, as JSON. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "eval/rating.h"
#include "serve/judging.h"

static json_t *number(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

/* LIST, or the one that is in it; takes LIST. */
static json_t *list_or_one(const struct ste_call *c, json_t *list)
{
    if (c->asked.many)
        return json_pack("{s:s, s:o}", "object", "list", "data", list);
    json_t *one = json_incref(json_array_get(list, 0));
    json_decref(list);
    return one;
}

json_t *ste_reply_verdicts(struct ste_call *c)
{
    json_t *list = json_array();
    for (size_t i = 0; i < c->pairs.n; i++) {
        json_t *row = ste_verdict_row(&c->pairs.items[i], &c->outcomes[i], !c->asked.one_order);
        if (!c->asked.reasons) {
            json_object_del(json_object_get(row, "ab"), "reasoning");
            json_object_del(json_object_get(row, "ba"), "reasoning");
        }
        json_array_append_new(list, row);
    }
    return list_or_one(c, list);
}

static json_t *value_row(const struct ste_call *c, size_t i)
{
    json_t *row = json_copy(c->rows.items[i].row);
    if (!json_object_get(row, "id"))
        json_object_set_new(row, "id", json_string(c->rows.items[i].id));
    json_object_set_new(row, "score", number(c->values[i]));
    json_object_set_new(row, "reason", json_string(ste_invalid_name(c->reasons[i])));
    return row;
}

json_t *ste_reply_scores(struct ste_call *c)
{
    json_t *list = json_array();
    for (size_t i = 0; i < c->rows.n; i++) {
        json_t *row = c->scores ? ste_score_row(&c->rows.items[i], &c->scores[i]) : value_row(c, i);
        if (!c->asked.reasons)
            json_object_del(row, "reasoning");
        json_array_append_new(list, row);
    }
    return list_or_one(c, list);
}

/* ---- groups ---- */

/* What an answer came to against the others of its group. */
struct standing {
    size_t wins, losses, ties, invalid;
    double margin; /* the sum over those that are valid */
    enum ste_invalid why;
};

struct table {
    const struct ste_call *c;
    const struct ste_group *g;
    size_t n;                      /* answers */
    const struct ste_outcome **at; /* (n, n + 1): of the row, which stands first in it, and the column */
};

static enum ste_invalid reason_of(const struct ste_outcome *o)
{
    return o->order[0].reason ? o->order[0].reason : o->order[1].reason;
}

/* Of answer I against J, or, J being the number of answers, the anchor: 1, 0.5 or 0, and the margin. False: invalid. */
static bool compare(const struct table *t, size_t i, size_t j, double *score, double *margin, enum ste_invalid *why)
{
    const size_t a = t->g->same[i], b = t->g->same[j], column = j == t->n ? j : b;
    *score = 0.5;
    *margin = 0;
    if (a == b)
        return true;
    const bool swapped = a > column; /* the lower one stood first, the anchor last */
    const struct ste_outcome *o = swapped ? t->at[b * (t->n + 1) + a] : t->at[a * (t->n + 1) + column];
    const enum ste_final final = t->c->asked.need_both ? ste_outcome_final(o) : ste_outcome_two_order(o);
    if (final == STE_FINAL_INVALID) {
        *why = reason_of(o);
        return false;
    }
    const double first = final == STE_FINAL_CHOSEN ? 1 : final == STE_FINAL_REJECTED ? 0 : 0.5;
    *score = swapped ? 1 - first : first;
    *margin = swapped ? -ste_outcome_margin(o) : ste_outcome_margin(o);
    return true;
}

static struct standing stand(const struct table *t, size_t i)
{
    struct standing s = {0};
    const size_t from = t->g->anchor ? t->n : 0, to = t->g->anchor ? t->n + 1 : t->n;
    for (size_t j = from; j < to; j++) {
        double score, margin;
        if (j == i)
            continue;
        if (!compare(t, i, j, &score, &margin, &s.why)) {
            s.invalid++;
            continue;
        }
        s.wins += score > 0.5;
        s.losses += score < 0.5;
        s.ties += score == 0.5;
        s.margin += margin;
    }
    return s;
}

static double share(const struct standing *s)
{
    const size_t valid = s->wins + s->losses + s->ties;
    return valid ? ((double)s->wins + 0.5 * (double)s->ties) / (double)valid : NAN;
}

static double mean_margin(const struct standing *s)
{
    return s->margin / (double)(s->wins + s->losses + s->ties);
}

/* The outcomes of group WHICH by its answers; the caller frees at. FROM: the first pair that may be one's, moved on. */
static struct table table_of(const struct ste_call *c, size_t which, size_t *from)
{
    const struct ste_group *g = &c->asked.groups[which];
    struct table t = {.c = c, .g = g, .n = g->answers.n};
    t.at = ste_xcalloc(t.n * (t.n + 1), sizeof *t.at);
    for (; *from < c->pairs.n && c->matched[*from].group == which; ++*from) {
        const struct ste_matched *m = &c->matched[*from];
        t.at[m->i * (t.n + 1) + m->j] = &c->outcomes[*from];
    }
    return t;
}

/* REWARD[n] of a group's answers; NAN: there is none. */
static void rewards_of(const struct table *t, double *reward, size_t *invalid, enum ste_invalid *why)
{
    const struct ste_asked *a = &t->c->asked;
    double sum = 0;
    size_t valid = 0;
    for (size_t i = 0; i < t->n; i++) {
        if (a->by == STE_REWARD_SCORE) {
            reward[i] = t->c->values[t->g->row[i]];
            *why = isnan(reward[i]) ? t->c->reasons[t->g->row[i]] : *why;
        } else {
            const struct standing s = stand(t, i);
            reward[i] = a->by == STE_REWARD_MARGIN ? mean_margin(&s) : share(&s);
            *why = s.invalid ? s.why : *why;
        }
        if (isfinite(reward[i])) {
            sum += reward[i];
            valid++;
        } else {
            reward[i] = NAN;
        }
    }
    for (size_t i = 0; i < t->n && a->zero_sum; i++)
        reward[i] -= sum / (double)valid;
    for (size_t i = 0; i < t->n; i++)
        *invalid += isnan(reward[i]);
}

double *ste_call_rewards(struct ste_call *c, size_t *n, size_t *invalid, enum ste_invalid *why)
{
    const struct ste_asked *a = &c->asked;
    size_t from = 0;
    *n = a->rows.n;
    for (size_t i = 0; i < a->n_groups; i++)
        *n += a->groups[i].answers.n;
    double *reward = ste_xcalloc(*n + 1, sizeof *reward), *to = reward;
    *invalid = 0;
    for (size_t i = 0; i < a->n_groups; i++) {
        struct table t = table_of(c, i, &from);
        rewards_of(&t, to, invalid, why);
        to += t.n;
        ste_xfree(t.at);
    }
    for (size_t i = 0; i < a->rows.n; i++) {
        to[i] = c->values[i];
        if (!isnan(to[i]))
            continue;
        *why = c->reasons[i];
        ++*invalid;
    }
    return reward;
}

static json_t *reward_json(const struct ste_call *c, double reward)
{
    return number(isnan(reward) && c->asked.has_fallback ? c->asked.fallback : reward);
}

static json_t *standing_json(const struct standing *s)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:o, s:o, s:s}", "wins", (json_int_t)s->wins, "losses",
                     (json_int_t)s->losses, "ties", (json_int_t)s->ties, "invalid", (json_int_t)s->invalid, "share",
                     number(share(s)), "margin", number(mean_margin(s)), "reason", ste_invalid_name(s->why));
}

static json_t *group_json(const struct table *t, const double *reward, size_t invalid)
{
    json_t *rewards = json_array(), *answers = json_array();
    for (size_t i = 0; i < t->n; i++) {
        json_array_append_new(rewards, reward_json(t->c, reward[i]));
        if (t->c->asked.by == STE_REWARD_SCORE) {
            const size_t row = t->g->row[i];
            json_array_append_new(answers, json_pack("{s:o, s:s}", "score", number(t->c->values[row]), "reason",
                                                     ste_invalid_name(t->c->reasons[row])));
        } else {
            const struct standing s = stand(t, i);
            json_array_append_new(answers, standing_json(&s));
        }
    }
    return json_pack("{s:s, s:s, s:o, s:I, s:o}", "object", "group", "id", t->g->id, "rewards", rewards, "invalid",
                     (json_int_t)invalid, "answers", answers);
}

/* One list, in the order in which the answers stood in the request. */
static json_t *flat_json(struct ste_call *c)
{
    size_t n, invalid, at = 0;
    enum ste_invalid why = STE_INVALID_NONE;
    double *reward = ste_call_rewards(c, &n, &invalid, &why), *placed = ste_xcalloc(n + 1, sizeof *placed);
    json_t *rewards = json_array();
    for (size_t i = 0; i < c->asked.n_groups; i++)
        for (size_t k = 0; k < c->asked.groups[i].answers.n; k++)
            placed[c->asked.groups[i].places[k]] = reward[at++];
    for (size_t i = 0; i < n; i++)
        json_array_append_new(rewards, reward_json(c, placed[i]));
    ste_xfree(reward);
    ste_xfree(placed);
    return json_pack("{s:s, s:o, s:I, s:I, s:s}", "object", "rewards", "rewards", rewards, "invalid",
                     (json_int_t)invalid, "calls", (json_int_t)c->calls, "reason", ste_invalid_name(why));
}

json_t *ste_reply_groups(struct ste_call *c)
{
    if (c->asked.flat)
        return flat_json(c);
    json_t *list = json_array();
    size_t from = 0;
    for (size_t i = 0; i < c->asked.n_groups; i++) {
        struct table t = table_of(c, i, &from);
        double *reward = ste_xcalloc(t.n, sizeof *reward);
        size_t invalid = 0;
        enum ste_invalid why = STE_INVALID_NONE;
        rewards_of(&t, reward, &invalid, &why);
        json_array_append_new(list, group_json(&t, reward, invalid));
        ste_xfree(reward);
        ste_xfree(t.at);
    }
    json_t *reply = list_or_one(c, list);
    json_object_set_new(reply, "calls", json_integer((json_int_t)c->calls));
    return reply;
}

/* ---- rankings ---- */

struct ranked {
    size_t answer;
    double rating, margin;
};

static int best_first(const void *x, const void *y)
{
    const struct ranked *a = x, *b = y;
    if (a->rating != b->rating)
        return a->rating < b->rating ? 1 : -1;
    if (a->margin != b->margin)
        return a->margin < b->margin ? 1 : -1;
    return (a->answer > b->answer) - (a->answer < b->answer);
}

#define PENALTY 0.01 /* as ste rank's, where some answer lost nothing, or won nothing */

/* Bradley and Terry's ratings of the answers by all that is valid; false: they needed the penalty. */
static bool rate(const struct table *t, double *ratings)
{
    struct ste_match *m = ste_xcalloc(t->n * t->n + 1, sizeof *m);
    struct ste_err none = {0};
    size_t n = 0;
    int which;
    for (size_t i = 0; i < t->n; i++)
        for (size_t j = i + 1; j < t->n; j++) {
            double margin;
            enum ste_invalid why;
            if (compare(t, i, j, &m[n].score, &margin, &why)) {
                m[n].i = (int)i;
                m[n++].j = (int)j;
            }
        }
    const bool finite = ste_rate_models(m, n, (int)t->n, 0, ratings, &which, &none) == 0;
    if (!finite)
        ste_rate_models(m, n, (int)t->n, PENALTY, ratings, &which, &none);
    ste_xfree(m);
    return finite;
}

static json_t *ranking_json(const struct table *t)
{
    double *ratings = ste_xcalloc(t->n, sizeof *ratings);
    struct ranked *ranked = ste_xcalloc(t->n, sizeof *ranked);
    const bool finite = rate(t, ratings);
    json_t *order = json_array(), *answers = json_array();
    size_t invalid = 0;
    for (size_t i = 0; i < t->n; i++) {
        const struct standing s = stand(t, i);
        const double margin = mean_margin(&s);
        ranked[i] = (struct ranked){i, ratings[i], isfinite(margin) ? margin : 0};
        invalid += s.invalid;
        json_t *a = standing_json(&s);
        if (t->g->names.n)
            json_object_set_new(a, "name", json_string(t->g->names.items[i]));
        json_object_set_new(a, "rating", json_real(ratings[i]));
        json_object_set_new(a, "elo", json_real(ste_elo(ratings[i])));
        json_array_append_new(answers, a);
    }
    qsort(ranked, t->n, sizeof *ranked, best_first);
    for (size_t i = 0; i < t->n; i++) {
        json_array_append_new(order, json_integer((json_int_t)ranked[i].answer));
        json_object_set_new(json_array_get(answers, ranked[i].answer), "rank", json_integer((json_int_t)i + 1));
    }
    ste_xfree(ratings);
    ste_xfree(ranked);
    return json_pack("{s:s, s:s, s:s, s:s, s:b, s:o, s:o, s:I}", "object", "ranking", "id", t->g->id, "method",
                     "bradley-terry", "verdict", t->c->asked.need_both ? "both" : "two-order", "penalized", !finite,
                     "order", order, "answers", answers, "invalid", (json_int_t)invalid / 2);
}

json_t *ste_reply_ranking(struct ste_call *c)
{
    json_t *list = json_array();
    size_t from = 0;
    for (size_t i = 0; i < c->asked.n_groups; i++) {
        struct table t = table_of(c, i, &from);
        json_array_append_new(list, ranking_json(&t));
        ste_xfree(t.at);
    }
    json_t *reply = list_or_one(c, list);
    json_object_set_new(reply, "calls", json_integer((json_int_t)c->calls));
    return reply;
}
