/* Which judgments are trained on, by the recipe's rule: one right one a pair or an order (the paper's), those of pairs
 * with enough right ones, or the right label wherever the judge does not dispute it; A and B balanced. Every training
 * pair gets an outcome in exactly one state; the iteration's figures come from sample 0 alone, which is always drawn.
 */
#include "loop/internal.h"
#include "loop/kinds/kind.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/profile.h"
#include "loop/order.h"

/* A judgment that may be trained on: what of it an example needs. */
struct candidate {
    bool there, valid;
    struct ste_id id, prompt;
    int32_t *completion; /* (n) */
    size_t n, n_free, n_written;
};

struct outcome {
    char *pair, *kind, *label_source;
    double margin;                /* the check's */
    struct candidate right[2];    /* the right judgment of lowest index with the winner at A, at B */
    struct candidate first[2];    /* sample 0 by the winner's place, unless its prompt was too long */
    struct candidate rejected[2]; /* where one is wanted: the wrong one of lowest index, else one without a verdict */
    int judgments, valid, right_ones, too_long;
    double odds[2]; /* log-odds of the winner, summed over the judgments that have them */
    int with_odds[2];
    double probability; /* that the winner is better, by the judge; NAN when it said nothing */
    const char *state;
    char *dialogue, *better, *worse; /* of a reward model, which is trained on the pair itself */
};

struct chosen {
    size_t pair;
    char label;
    const struct candidate *judgment, *rejected; /* REJECTED NULL: the other label, if one is rejected at all. JUDGMENT
                                                    NULL: a pair itself is chosen */
};

struct filtering {
    struct ste_loop *l;
    int iteration;
    struct outcome *pairs;
    size_t n, cap, at; /* AT: the pair whose judgments are being read */
    /* sample 0 */
    int first, first_right, first_invalid, first_a;
    int judgments;
    struct chosen *chosen; /* [2 n] */
    bool *keep;
    size_t n_chosen;
    struct ste_strings held; /* pairs that have no part in this iteration */
    struct ste_label_ids labels;
    char *threshold; /* why nothing can be trained on; NULL: something can */
};

static int add_pair(void *arg, const struct ste_pair_view *v, struct ste_err *err)
{
    struct filtering *g = arg;
    if (ste_loop_is_held_back(&g->held, v->row.id))
        return 0;
    STE_GROW(g->pairs, g->cap, g->n + 1);
    g->pairs[g->n++] = (struct outcome){.pair = ste_xstrdup(v->row.id),
                                        .kind = ste_xstrdup(v->row.kind),
                                        .label_source = ste_xstrdup(v->row.label_source),
                                        .margin = v->margin};
    if (!ste_loop_judges(g->l)) {
        struct outcome *o = &g->pairs[g->n - 1];
        o->dialogue = ste_xstrdup(v->dialogue);
        o->better = ste_xstrdup(v->row.chosen);
        o->worse = ste_xstrdup(v->row.rejected);
    }
    return 0;
}

/* The parts of a completion lie within it. */
static int check(const struct ste_judgment_row *r, struct ste_err *err)
{
    if (!r->prompt || (0 <= r->n_written && r->n_written <= r->n_free && (size_t)r->n_free <= r->completion.n))
        return 0;
    return ste_err_set(err, STE_EINPUT,
                       "the judgment %s in the store is damaged: of %zu tokens %lld are free and %lld written", r->id,
                       r->completion.n, (long long)r->n_free, (long long)r->n_written);
}

static void take(struct candidate *c, const struct ste_judgment_row *r)
{
    ste_xfree(c->completion);
    c->there = true;
    c->valid = strcmp(r->verdict, "invalid") != 0;
    snprintf(c->id.s, sizeof c->id.s, "%s", r->id);
    snprintf(c->prompt.s, sizeof c->prompt.s, "%s", r->prompt);
    c->n = r->completion.n;
    c->completion = ste_xmemdup(r->completion.ids, c->n * sizeof *c->completion);
    c->n_free = (size_t)r->n_free;
    c->n_written = (size_t)r->n_written;
}

/* A wrong judgment goes before one that came to no verdict. One whose labels had little mass says nothing: its text may
 * end in the right one. */
static void take_rejected(struct candidate *c, const struct ste_judgment_row *r, bool valid)
{
    const bool endless = strcmp(r->reason, ste_invalid_name(STE_INVALID_CUT)) == 0 ||
                         strcmp(r->reason, ste_invalid_name(STE_INVALID_NO_MARKER)) == 0;
    if (r->prompt && (valid ? !r->correct && !(c->there && c->valid) : endless && r->n_free > 0 && !c->there))
        take(c, r);
}

/* Judgments come in the order of the pairs. */
static int add_judgment(void *arg, const struct ste_judgment_row *r, struct ste_err *err)
{
    struct filtering *g = arg;
    while (g->at < g->n && strcmp(g->pairs[g->at].pair, r->pair) != 0)
        g->at++;
    if (g->at == g->n)
        return ste_err_set(err, STE_EFAIL, "the judgment %s is of no pair that is trained on (a bug in ste)", r->id);
    int rc = check(r, err);
    if (rc != 0)
        return rc;
    struct outcome *o = &g->pairs[g->at];
    const bool valid = strcmp(r->verdict, "invalid") != 0, too_long = !r->prompt;
    const int place = r->winner[0] == 'B';
    o->judgments++;
    o->valid += valid;
    o->too_long += too_long;
    o->right_ones += (int)r->correct;
    if (!isnan(r->logprob_a) && !isnan(r->logprob_b)) {
        const double odds = r->logprob_a - r->logprob_b;
        o->odds[place] += place ? -odds : odds;
        o->with_odds[place]++;
    }
    if (r->sample == 0 && !too_long)
        take(&o->first[place], r);
    if (r->correct && !o->right[place].there)
        take(&o->right[place], r);
    if (ste_loop_wants_wrong(g->l))
        take_rejected(&o->rejected[place], r, valid);
    g->judgments++;
    if (r->sample == 0) {
        g->first++;
        g->first_right += (int)r->correct;
        g->first_invalid += !valid;
        g->first_a += strcmp(r->verdict, "A") == 0;
    }
    return 0;
}

/* The judge's probability for the winner. From log-odds: their mean in each order, then over the orders, so that no
 * position counts. A judge that gives none has the share of its right judgments. */
static double probability_of(const struct outcome *o)
{
    if (o->with_odds[0] && o->with_odds[1])
        return 1 / (1 + exp(-(o->odds[0] / o->with_odds[0] + o->odds[1] / o->with_odds[1]) / 2));
    return o->valid ? (double)o->right_ones / o->valid : (double)NAN;
}

/* What ORDER of a pair is trained by; NULL: it is not. */
static const struct candidate *target_of(const struct filtering *g, const struct outcome *o, int order)
{
    const struct candidate *c = ste_loop_any_label(g->l) ? &o->first[order] : &o->right[order];
    return c->there && (!ste_loop_wants_wrong(g->l) || o->rejected[order].there) ? c : NULL;
}

/* The state of a pair before labels are balanced. */
static const char *state_of(const struct filtering *g, const struct outcome *o)
{
    const struct ste_recipe *r = &g->l->recipe;
    const bool a = o->right[0].there, b = o->right[1].there, margin = r->rule == STE_RULE_MARGIN;
    if (o->too_long == o->judgments)
        return "prompt too long";
    if (margin && isnan(o->probability))
        return "none valid";
    if (margin && g->iteration >= r->trust_from && o->probability < r->min_probability)
        return "disputed by the judge";
    if (ste_loop_any_label(g->l))
        return "kept"; /* a verdict at once: the right label needs no judgment that drew it */
    if (!a && !b)
        return o->valid ? "none right" : "none valid";
    if (r->rule == STE_RULE_SHARE && o->right_ones < r->min_share * o->judgments)
        return "too few right";
    if (r->both_orders && !(a && b))
        return "right in one order only";
    return target_of(g, o, 0) || target_of(g, o, 1) ? "kept" : "none wrong";
}

static void choose(struct filtering *g)
{
    const struct ste_recipe *r = &g->l->recipe;
    const bool per_order = r->per_pair == STE_PER_PAIR_ORDER;
    const struct ste_digits iteration = ste_digits(g->iteration);
    for (size_t i = 0; i < g->n; i++) {
        struct outcome *o = &g->pairs[i];
        o->probability = probability_of(o);
        o->state = ste_loop_judges(g->l) ? state_of(g, o) : "kept";
        if (strcmp(o->state, "kept") != 0)
            continue;
        if (!ste_loop_judges(g->l)) {
            g->chosen[g->n_chosen++] = (struct chosen){i, 'A', NULL, NULL};
            continue;
        }
        const struct candidate *target[2] = {target_of(g, o, 0), target_of(g, o, 1)};
        const bool one = target[0] && target[1] && !per_order; /* of both orders one is kept */
        const int which = (int)(ste_key_of("which order", o->pair, iteration.s, NULL) & 1);
        for (int order = 0; order < 2; order++)
            if (target[order] && (!one || which == order))
                g->chosen[g->n_chosen++] = (struct chosen){i, "AB"[order], target[order],
                                                           ste_loop_wants_wrong(g->l) ? &o->rejected[order] : NULL};
    }
}

/* Balances the labels; where nothing is left to train on, says why. */
static void cut(struct filtering *g)
{
    char key[64];
    if (!ste_loop_judges(g->l)) {
        memset(g->keep, 1, g->n_chosen * sizeof *g->keep);
        if (g->n_chosen == 0)
            g->threshold = ste_xasprintf("filter, iteration %d: no pair is there to train on", g->iteration);
        return;
    }
    snprintf(key, sizeof key, "%lld/%d", g->l->recipe.seed, g->iteration);
    const char **ids = ste_xcalloc(g->n_chosen + 1, sizeof *ids);
    char *labels = ste_xcalloc(g->n_chosen + 1, 1);
    for (size_t k = 0; k < g->n_chosen; k++) {
        ids[k] = g->chosen[k].judgment->id.s;
        labels[k] = g->chosen[k].label;
    }
    size_t a = 0, b = 0;
    ste_loop_balance(ids, labels, g->n_chosen, key, 0.5, 0, g->keep, &a, &b);
    ste_xfree(ids);
    ste_xfree(labels);
    if (a + b == 0)
        g->threshold = ste_xasprintf("filter, iteration %d: no right judgment was found%s for any of %zu pairs: more "
                                     "judge.samples, another pack or a stronger seed may help",
                                     g->iteration, ste_loop_wants_wrong(g->l) ? " beside a wrong one" : "", g->n);
    else if (!g->l->recipe.balance)
        memset(g->keep, 1, g->n_chosen * sizeof *g->keep);
    else if (a == 0 || b == 0)
        g->threshold = ste_xasprintf("filter, iteration %d: no right judgment has the label %c (%zu have %c), so there "
                                     "is nothing to balance: the judge never says %c; more judge.samples, a higher "
                                     "judge.temperature or filter.balance=false may help",
                                     g->iteration, a == 0 ? 'A' : 'B', a + b, a == 0 ? 'B' : 'A', a == 0 ? 'A' : 'B');
}

/* ---- writing ---- */

/* By the recipe's share: of both orders of a pair alike. */
static bool is_verdict_only(const struct filtering *g, const struct outcome *o)
{
    return ste_key_share(ste_key_of("verdict only", o->pair, ste_digits(g->iteration).s, NULL)) <
           g->l->recipe.verdict_only;
}

/* What is trained of J, with LABEL where it has one; ALONE: of its closing words and label, as of a verdict at once.
 * The caller frees the completion. */
static struct ste_training_ids ids_of(const struct filtering *g, const struct candidate *j, char label, bool alone)
{
    struct ste_training_ids ids = {j->completion, j->n, j->n_free, j->n_written, 0};
    if (alone)
        ids = (struct ste_training_ids){j->completion + j->n_free, j->n - j->n_free, 0, 0, 0};
    ste_loop_training_ids(&ids, &g->labels, label);
    return ids;
}

/* An example's prompt and completions, of which the caller frees the ids. */
struct target {
    struct ste_id prompt;
    int32_t *completion, *rejected;
    size_t n, n_rejected, border;
};

static void judgment_target(const struct filtering *g, const struct chosen *c, bool alone, struct target *t)
{
    const struct candidate *j = c->judgment, *r = c->rejected && !alone ? c->rejected : j;
    struct ste_training_ids ids = ids_of(g, j, c->label, alone), rejected = {NULL, 0, 0, 0, 0};
    if (ste_recipe_prefers(&g->l->recipe))
        rejected = ids_of(g, r, c->label == 'A' ? 'B' : 'A', alone);
    *t = (struct target){j->prompt, ids.completion, rejected.completion, ids.n, rejected.n, ids.border};
}

static int reward_target(const struct filtering *g, const struct outcome *o, struct target *t, struct ste_err *err)
{
    struct ste_tokens ids[2] = {{0}, {0}};
    int n_prompt = 0, rc = ste_loop_reward_ids(g->l, o->dialogue, o->better, o->worse, ids, &n_prompt, err);
    const size_t n = (size_t)n_prompt;
    *t = (struct target){.n = 0};
    if (rc == 0)
        rc = ste_put_prompt(g->l->store, (struct ste_token_ids){ids[0].ids, n}, &t->prompt, err);
    if (rc == 0) {
        t->n = ids[0].n - n;
        t->completion = ste_xmemdup(ids[0].ids + n, t->n * sizeof *t->completion);
        t->n_rejected = ids[1].n - n;
        t->rejected = ste_xmemdup(ids[1].ids + n, t->n_rejected * sizeof *t->rejected);
    }
    ste_tokens_clear(&ids[0]);
    ste_tokens_clear(&ids[1]);
    return rc;
}

static int put_example(struct filtering *g, const struct chosen *c, int64_t position, struct ste_err *err)
{
    const struct outcome *o = &g->pairs[c->pair];
    const bool alone = g->l->pack->reasoning && is_verdict_only(g, o);
    const char label[2] = {c->label, 0}, *judgment = c->judgment ? c->judgment->id.s : "",
               *rejected = c->rejected && !alone ? c->rejected->id.s : NULL;
    struct target t;
    int rc = 0;
    if (c->judgment)
        judgment_target(g, c, alone, &t);
    else
        rc = reward_target(g, o, &t, err);
    const struct ste_id id = c->judgment ? ste_id_of("example", judgment, rejected, NULL)
                                         : ste_id_of("example of a pair", o->pair, NULL);
    const struct ste_example_row row = {.id = id.s,
                                        .judgment = judgment,
                                        .pair = o->pair,
                                        .iteration = g->iteration,
                                        .position = position,
                                        .label = label,
                                        .label_source = o->label_source,
                                        .weight = g->l->recipe.weigh && !isnan(o->probability) ? o->probability : 1.0,
                                        .prompt = t.prompt.s,
                                        .completion = {t.completion, t.n},
                                        .border = (int64_t)t.border,
                                        .rejected = {t.rejected, t.n_rejected},
                                        .rejected_judgment = rejected};
    if (rc == 0)
        rc = ste_put_example(g->l->store, &row, err);
    ste_xfree(t.completion);
    ste_xfree(t.rejected);
    return rc;
}

static const char *opposed(const struct filtering *g, const struct outcome *o)
{
    const struct ste_pair_kind *kind = ste_pair_kind_of(&g->l->recipe, o->kind);
    return kind && kind->mirror ? o->kind : NULL;
}

static int put_examples(struct filtering *g, struct ste_err *err)
{
    struct ste_ordered *order = ste_xcalloc(g->n_chosen + 1, sizeof *order);
    const struct chosen **of = ste_xcalloc(g->n_chosen + 1, sizeof *of);
    size_t n = 0;
    for (size_t k = 0; k < g->n_chosen; k++)
        if (g->keep[k] && !g->threshold) {
            const struct outcome *o = &g->pairs[g->chosen[k].pair];
            of[n] = &g->chosen[k];
            order[n++] = (struct ste_ordered){
                .pair = o->pair, .opposed = opposed(g, o), .label = g->chosen[k].label, .margin = o->margin};
        }
    ste_loop_order(order, n, g->l->recipe.order == STE_TRAIN_EASY_FIRST);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = put_example(g, of[order[i].index], (int64_t)i, err);
    ste_xfree(order);
    ste_xfree(of);
    return rc;
}

static int put_outcome(struct filtering *g, const char *pair, const char *state, double probability,
                       struct ste_err *err)
{
    const struct ste_id id = ste_id_of("outcome", pair, ste_digits(g->iteration).s, NULL);
    const struct ste_outcome_row row = {id.s, pair, g->iteration, state, probability};
    return ste_put_outcome(g->l->store, &row, err);
}

static int write_rows(struct filtering *g, struct ste_err *err)
{
    struct ste_store *s = g->l->store;
    int64_t kept = 0, examples = 0;
    bool *used = ste_xcalloc(g->n + 1, sizeof *used);
    for (size_t k = 0; k < g->n_chosen && !g->threshold; k++)
        if (g->keep[k]) {
            used[g->chosen[k].pair] = true;
            examples++;
        }
    int rc = put_examples(g, err);
    for (size_t i = 0; rc == 0 && i < g->n; i++) {
        struct outcome *o = &g->pairs[i];
        if (strcmp(o->state, "kept") == 0 && !used[i])
            o->state = "cut for balance";
        kept += used[i];
        rc = put_outcome(g, o->pair, o->state, o->probability, err);
    }
    for (size_t i = 0; rc == 0 && i < g->held.n; i++)
        rc = put_outcome(g, g->held.items[i], "held back", NAN, err);
    ste_xfree(used);
    const int valid = g->first - g->first_invalid;
    const double none = ste_loop_judges(g->l) ? 0.0 : (double)NAN;
    const struct ste_iteration_row row = {.iteration = g->iteration,
                                          .pairs = (int64_t)g->n,
                                          .agreement = g->first ? (double)g->first_right / g->first : none,
                                          .invalid_share = g->first ? (double)g->first_invalid / g->first : none,
                                          .first_position = valid ? (double)g->first_a / valid : none,
                                          .judgments = g->judgments,
                                          .kept = kept,
                                          .examples = examples,
                                          .chosen_step = STE_NO_INT,
                                          .chosen_sure = NAN,
                                          .stop = g->threshold};
    return rc == 0 ? ste_put_iteration(s, &row, err) : rc;
}

/* Pairs whose judgments are not all there. */
static int check_judged(struct ste_loop *l, int iteration, size_t held, struct ste_err *err)
{
    int64_t pairs, complete;
    int rc = ste_count(l->store, STE_COUNT_TRAIN_PAIRS, 0, &pairs, err);
    if (rc == 0)
        rc = ste_count_judged(l->store, iteration, ste_loop_samples(l), ste_loop_stops_early(l), &complete, err);
    if (rc != 0)
        return rc;
    pairs -= (int64_t)held;
    const int64_t want = l->recipe.orders == STE_ORDERS_BOTH ? 2 * pairs : pairs;
    if (pairs == 0 || complete < want)
        return ste_err_set(
            err, STE_EUSAGE, "iteration %d of the run in %s is not judged yet (%lld of %lld done): `ste judge-step %s`",
            iteration, ste_store_dir(l->store), (long long)complete, (long long)want, ste_store_dir(l->store));
    return 0;
}

/* An iteration that was filtered before: its threshold error, where it has one. */
static int filtered(void *arg, const struct ste_iteration_row *r, struct ste_err *err)
{
    *(bool *)arg = true;
    return r->examples == 0 && r->stop ? ste_err_set(err, STE_ETHRESHOLD, "%s", r->stop) : 0;
}

static void clear(struct filtering *g)
{
    for (size_t i = 0; i < g->n; i++) {
        struct outcome *o = &g->pairs[i];
        for (int order = 0; order < 2; order++) {
            ste_xfree(o->right[order].completion);
            ste_xfree(o->first[order].completion);
            ste_xfree(o->rejected[order].completion);
        }
        ste_xfree(o->pair);
        ste_xfree(o->kind);
        ste_xfree(o->label_source);
        ste_xfree(o->dialogue);
        ste_xfree(o->better);
        ste_xfree(o->worse);
    }
    ste_xfree(g->pairs);
    ste_xfree(g->chosen);
    ste_xfree(g->keep);
    ste_xfree(g->threshold);
    ste_strings_clear(&g->held);
    ste_loop_label_ids_clear(&g->labels);
}

static int load(struct filtering *g, struct ste_err *err)
{
    int rc = ste_each_pair(g->l->store, "train", NULL, add_pair, g, err);
    if (rc == 0)
        rc = ste_each_judgment(g->l->store, g->iteration, add_judgment, g, err);
    if (rc == 0 && ste_loop_judges(g->l) && (!g->l->pack->reasoning || g->l->recipe.verdict_only > 0))
        rc = ste_loop_label_ids(g->l, &g->labels, err);
    g->chosen = ste_xcalloc(2 * g->n + 1, sizeof *g->chosen);
    g->keep = ste_xcalloc(2 * g->n + 1, sizeof *g->keep);
    return rc;
}

int ste_loop_filter(struct ste_loop *l, int iteration, struct ste_err *err)
{
    bool done = false;
    ste_profile_step("filter");
    int rc = ste_each_iteration(l->store, iteration, filtered, &done, err);
    if (rc != 0 || done)
        return rc;
    struct filtering g = {.l = l, .iteration = iteration};
    rc = ste_loop_held_back(l, iteration, &g.held, err);
    if (rc == 0 && ste_loop_judges(l))
        rc = check_judged(l, iteration, g.held.n, err);
    if (rc == 0)
        rc = load(&g, err);
    if (rc == 0) {
        choose(&g);
        cut(&g);
        rc = ste_store_begin(l->store, err);
    }
    if (rc == 0)
        rc = ste_store_end(l->store, write_rows(&g, err), err);
    if (rc == 0 && g.threshold)
        rc = ste_err_set(err, STE_ETHRESHOLD, "%s", g.threshold);
    clear(&g);
    return rc;
}
