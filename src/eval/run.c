/* A judge's verdicts on pairs: each order of a pair is a trial. */
#include "core/mem.h"
#include "eval/eval.h"
#include "eval/vote.h"
#include "judge/trial.h"

struct ste_pairs_asked {
    struct ste_judging j;
    const struct ste_answer_pairs *pairs;
    struct ste_outcome *out;
    struct ste_trials trials;
    struct ste_trials_asked *asked; /* NULL: not begun */
    struct ste_trial *orders;       /* (pairs, 2) */
    struct ste_judgment *votes;     /* (pairs, 2, votes_each), until an order is over */
    int votes_each;
};

static size_t place_of(const struct ste_pairs_asked *g, const struct ste_trial *t)
{
    return (size_t)(t - g->orders);
}

static int saved(struct ste_pairs_asked *g, size_t pair, struct ste_err *err)
{
    return g->j.judged ? g->j.judged(g->j.arg, pair, &g->out[pair], err) : 0;
}

static void copy_judgment(struct ste_judgment *to, const struct ste_judgment *from)
{
    *to = *from;
    to->reasoning = from->reasoning ? ste_xstrdup(from->reasoning) : NULL;
}

static int counts(void *arg, struct ste_trial *t, int sample, const struct ste_judgment *j, const struct ste_answer *a,
                  struct ste_err *err)
{
    struct ste_pairs_asked *g = arg;
    copy_judgment(&g->votes[place_of(g, t) * (size_t)g->votes_each + (size_t)sample], j);
    ste_progress_add(g->j.progress, 1);
    return 0;
}

static int over(void *arg, struct ste_trial *t, struct ste_err *err)
{
    struct ste_pairs_asked *g = arg;
    const size_t place = place_of(g, t), pair = place / 2, order = place % 2;
    struct ste_outcome *o = &g->out[pair];
    struct ste_judgment *votes = &g->votes[place * (size_t)g->votes_each];
    ste_progress_add(g->j.progress, (uint64_t)(g->votes_each - t->final));
    ste_judgment_clear(&o->order[order]);
    ste_votes_count(votes, t->final, &o->order[order], &o->votes[order]);
    for (int i = 0; i < t->final; i++)
        ste_judgment_clear(&votes[i]);
    const struct ste_trial *other = &g->orders[place ^ 1];
    return g->j.one_order || other->over ? saved(g, pair, err) : 0;
}

/* A pair that does not fit in one order is not judged in the other either: it is wrong in both, and said so. */
static int too_long(void *arg, struct ste_trial *t, const char *why, struct ste_err *err)
{
    struct ste_pairs_asked *g = arg;
    const size_t place = place_of(g, t), pair = place / 2;
    struct ste_outcome *o = &g->out[pair];
    ste_trial_end(&g->trials, &g->orders[place ^ 1]);
    ste_outcome_too_long(o);
    o->votes[0] = o->votes[1] = (struct ste_tally){0};
    ste_progress_add(g->j.progress, (uint64_t)((g->j.one_order ? 1 : 2) * g->votes_each));
    ste_warn("%s, pair %s counts as invalid: %s", g->pairs->name, g->pairs->items[pair].id, why);
    return saved(g, pair, err);
}

/* Which orders are asked: those of pairs that are judged and not known from before. */
static int prepare(struct ste_pairs_asked *g, struct ste_err *err)
{
    const struct ste_judging *j = &g->j;
    int rc = 0;
    for (size_t i = 0; i < g->pairs->n && rc == 0; i++) {
        const struct ste_answer_pair *p = &g->pairs->items[i];
        const bool known = j->known && j->known[i];
        ste_outcome_begin(&g->out[i], p, !p->tied || g->pairs->ask_ties);
        for (size_t order = 0; order < 2; order++) {
            const bool swapped = order == STE_ORDER_BA;
            struct ste_trial *t = &g->orders[2 * i + order];
            *t = (struct ste_trial){.material = {.pair_id = p->id,
                                                 .prompt = &p->prompt,
                                                 .a = swapped ? p->second : p->first,
                                                 .b = swapped ? p->first : p->second,
                                                 .references = p->references.n ? &p->references : NULL},
                                    .over = !g->out[i].judged || known || (j->one_order && swapped)};
        }
        if (!g->out[i].judged && !known)
            rc = saved(g, i, err);
    }
    return rc;
}

int ste_judge_pairs_ask(struct ste_pairs_asked **asked, const struct ste_judging *j,
                        const struct ste_answer_pairs *pairs, struct ste_outcome *out, struct ste_pump *pump,
                        struct ste_err *err)
{
    const int each = j->setting->votes > 1 ? j->setting->votes : 1;
    struct ste_pairs_asked *g = *asked = ste_xcalloc(1, sizeof *g);
    *g = (struct ste_pairs_asked){.j = *j,
                                  .pairs = pairs,
                                  .out = out,
                                  .orders = ste_xcalloc(2 * pairs->n + 1, sizeof *g->orders),
                                  .votes = ste_xcalloc((2 * pairs->n + 1) * (size_t)each, sizeof *g->votes),
                                  .votes_each = each};
    g->trials = (struct ste_trials){.llm = j->llm,
                                    .setting = j->judge,
                                    .rule = j->setting->all_votes ? STE_TRIAL_ALL : STE_TRIAL_MAJORITY,
                                    .samples = each,
                                    .arg = g,
                                    .counts = counts,
                                    .too_long = too_long,
                                    .over = over,
                                    .tick = j->tick,
                                    .tick_arg = j->arg};
    int rc = prepare(g, err);
    if (rc == 0)
        g->asked = ste_trials_ask(&g->trials, g->orders, 2 * pairs->n, pump);
    return rc;
}

void ste_judge_pairs_done(struct ste_pairs_asked *g)
{
    if (g->asked)
        ste_trials_done(g->asked);
    for (size_t i = 0; i < 2 * g->pairs->n * (size_t)g->votes_each; i++)
        ste_judgment_clear(&g->votes[i]);
    ste_xfree(g->orders);
    ste_xfree(g->votes);
    ste_xfree(g);
}

int ste_judge_pairs(const struct ste_judging *j, const struct ste_answer_pairs *pairs, struct ste_outcome *out,
                    struct ste_err *err)
{
    struct ste_pairs_asked *g;
    struct ste_pump pump;
    int rc = ste_judge_pairs_ask(&g, j, pairs, out, &pump, err);
    if (rc == 0)
        rc = ste_pump_run(&pump, err);
    if (rc != 0 && rc != STE_EINTERRUPTED)
        ste_err_wrap(err, "judging %s", pairs->path);
    ste_judge_pairs_done(g);
    return rc;
}
