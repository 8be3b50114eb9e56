#include "eval/scored.h"

#include <math.h>

#include "core/context.h"
#include "core/log.h"
#include "core/mem.h"

static double log_sigmoid(double x)
{
    return x > 0 ? -log1p(exp(-x)) : x - log1p(exp(x));
}

static void set_verdict(struct ste_judgment *j, double a, double b)
{
    if (!isfinite(a) || !isfinite(b)) {
        j->verdict = STE_VERDICT_INVALID;
        j->reason = STE_INVALID_NO_NUMBER;
        return;
    }
    j->logprob_a = log_sigmoid(a - b);
    j->logprob_b = log_sigmoid(b - a);
    j->verdict = j->logprob_a > j->logprob_b   ? STE_VERDICT_A
                 : j->logprob_a < j->logprob_b ? STE_VERDICT_B
                                               : STE_VERDICT_TIE;
}

void ste_outcome_of_scores(struct ste_outcome *o, double first, double second)
{
    set_verdict(&o->order[STE_ORDER_AB], first, second);
    set_verdict(&o->order[STE_ORDER_BA], second, first);
}

/* The outcome of pair I, which is judged and not known. */
static int reward_pair(struct ste_reward *r, const struct ste_answer_pairs *pairs, size_t i, struct ste_outcome *out,
                       struct ste_err *err)
{
    const struct ste_answer_pair *p = &pairs->items[i];
    struct ste_err why = {0};
    double score[2];
    int rc = ste_reward_scores(r, &p->prompt, p->first, p->second, score, &why);
    if (!rc) {
        ste_outcome_of_scores(out, score[0], score[1]);
    } else if (rc == STE_ETOOLONG) {
        ste_outcome_too_long(out);
        ste_warn("%s, pair %s counts as invalid: %s", pairs->name, p->id, why.msg);
        rc = 0;
    } else {
        ste_err_set(err, rc, "%s", why.msg);
    }
    return rc;
}

int ste_reward_pairs(struct ste_reward *r, const struct ste_judging *j, const struct ste_answer_pairs *pairs,
                     struct ste_outcome *out, struct ste_err *err)
{
    int rc = 0;
    double ticked = ste_now();
    for (size_t i = 0; i < pairs->n; i++)
        ste_outcome_begin(&out[i], &pairs->items[i], !pairs->items[i].tied);
    for (size_t i = 0; i < pairs->n && !rc; i++) {
        if (j->known && j->known[i])
            continue;
        if (out[i].judged) {
            rc = ste_cancel_check(err);
            if (!rc)
                rc = reward_pair(r, pairs, i, &out[i], err);
            ste_progress_add(j->progress, 2);
        }
        if (!rc && j->judged)
            rc = j->judged(j->arg, i, &out[i], err);
        if (!rc && j->tick && ste_now() - ticked > STE_TICK_SECONDS) {
            rc = j->tick(j->arg, err);
            ticked = ste_now();
        }
    }
    return rc;
}

/* ---- likelihoods ---- */

struct ste_likelihood_pairs_asked {
    struct ste_llm *llm;
    const struct ste_likelihood_setting *setting;
    const struct ste_answer_pairs *pairs;
    struct ste_outcome *out;
    struct ste_given *given;
    struct ste_likelihood *found;
    struct ste_message **messages; /* (pairs) */
    struct ste_likelihoods_asked *asked;
};

struct ste_likelihood_pairs_asked *ste_likelihood_pairs_ask(struct ste_llm *llm, const struct ste_likelihood_setting *s,
                                                            const struct ste_answer_pairs *pairs,
                                                            struct ste_outcome *out, struct ste_progress *progress,
                                                            struct ste_pump *pump)
{
    static const struct ste_message none = {"user", ""};
    const size_t each = (size_t)ste_likelihood_texts(s->normalise);
    struct ste_likelihood_pairs_asked *g = ste_xcalloc(1, sizeof *g);
    *g = (struct ste_likelihood_pairs_asked){.llm = llm,
                                             .setting = s,
                                             .pairs = pairs,
                                             .out = out,
                                             .given = ste_xcalloc(pairs->n * each + 1, sizeof *g->given),
                                             .found = ste_xcalloc(pairs->n * each + 1, sizeof *g->found),
                                             .messages = ste_xcalloc(pairs->n + 1, sizeof *g->messages)};
    size_t n = 0;
    for (size_t i = 0; i < pairs->n; i++) {
        const struct ste_answer_pair *p = &pairs->items[i];
        ste_outcome_begin(&out[i], p, !p->tied || pairs->ask_ties);
        if (!out[i].judged)
            continue;
        g->messages[i] = ste_chat_messages(&p->prompt);
        for (size_t k = 0; k < each; k++)
            g->given[n++] = (struct ste_given){.messages = k < 2 ? g->messages[i] : &none,
                                               .n_messages = k < 2 ? p->prompt.n : 1,
                                               .text = k % 2 ? p->second : p->first};
    }
    g->asked = ste_likelihoods_ask(llm, s, g->given, n, g->found, progress, pump);
    return g;
}

static void verdicts(const struct ste_likelihood_pairs_asked *g)
{
    const struct ste_answer_pairs *pairs = g->pairs;
    const size_t each = (size_t)ste_likelihood_texts(g->setting->normalise);
    const struct ste_likelihood *l = g->found;
    for (size_t i = 0; i < pairs->n; i++) {
        struct ste_outcome *o = &g->out[i];
        if (!o->judged)
            continue;
        const double first = ste_likelihood_score(g->setting->normalise, l),
                     second = ste_likelihood_score(g->setting->normalise, l + 1);
        bool asked = true; /* what does not fit has no token */
        for (size_t k = 0; k < each; k++)
            asked &= !(isnan(l[k].sum) && l[k].tokens == 0);
        l += each;
        if (asked) {
            ste_outcome_of_scores(o, first, second);
            continue;
        }
        ste_outcome_too_long(o);
        ste_warn("%s, pair %s counts as invalid: with an answer its prompt does not fit the context of %d", pairs->name,
                 pairs->items[i].id, ste_llm_about(g->llm)->ctx);
    }
}

void ste_likelihood_pairs_done(struct ste_likelihood_pairs_asked *g, bool all)
{
    if (all)
        verdicts(g);
    ste_likelihoods_done(g->asked);
    for (size_t i = 0; i < g->pairs->n; i++)
        ste_xfree(g->messages[i]);
    ste_xfree(g->messages);
    ste_xfree(g->found);
    ste_xfree(g->given);
    ste_xfree(g);
}

int ste_likelihood_pairs(struct ste_llm *llm, const struct ste_likelihood_setting *s,
                         const struct ste_answer_pairs *pairs, struct ste_outcome *out, struct ste_progress *progress,
                         struct ste_err *err)
{
    struct ste_pump pump;
    struct ste_likelihood_pairs_asked *g = ste_likelihood_pairs_ask(llm, s, pairs, out, progress, &pump);
    int rc = ste_pump_run(&pump, err);
    if (rc)
        ste_err_wrap(err, "judging %s", pairs->path);
    ste_likelihood_pairs_done(g, rc == 0);
    return rc;
}
