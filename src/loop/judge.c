/* Up to N judgments of each training pair. The winner's place is drawn for (pair, iteration), or both are asked. */
#include "loop/internal.h"

#include <math.h>
#include <stdio.h>

#include "core/mem.h"
#include "judge/trial.h"

struct judge_pair {
    char *id, *chosen, *rejected;
    struct ste_dialogue x;
};

struct judging {
    struct ste_loop *l;
    int iteration;
    struct ste_role_model model;
    struct ste_judge_setting setting;
    struct judge_pair *pairs;
    size_t n_pairs, cap_pairs;
    struct ste_strings held;  /* pairs that have no part in this iteration */
    struct ste_trial *trials; /* a pair in an order each */
    size_t n;
    struct ste_progress *progress;
};

/* A NULL: the prompt was too long to be asked. */
static int put_judgment(struct judging *g, const struct ste_trial *t, int sample, const struct ste_judgment *j,
                        const struct ste_answer *a, struct ste_err *err)
{
    const struct judge_pair *p = t->tag;
    const char *winner = ste_verdict_name(t->right);
    struct ste_id id = ste_id_of("judgment", p->id, ste_digits(g->iteration).s, winner, ste_digits(sample).s, NULL),
                  prov, prompt;
    int rc = ste_loop_provenance(g->l, "judge", &g->model, &g->setting.sampling, ste_judge_max_tokens(&g->setting),
                                 ste_mode_names[g->setting.mode], g->iteration, &prov, err);
    if (rc == 0 && a)
        rc = ste_put_prompt(g->l->store, (struct ste_token_ids){a->prompt, a->n_prompt}, &prompt, err);
    if (rc != 0)
        return rc;
    struct ste_judgment_row row = {.id = id.s,
                                   .pair = p->id,
                                   .iteration = g->iteration,
                                   .winner = winner,
                                   .sample = sample,
                                   .verdict = ste_verdict_name(j->verdict),
                                   .reason = ste_invalid_name(j->reason),
                                   .correct = j->verdict == t->right,
                                   .logprob_a = j->logprob_a,
                                   .logprob_b = j->logprob_b,
                                   .reasoning = j->reasoning,
                                   .provenance = prov.s};
    if (a) {
        row.prompt = prompt.s;
        row.completion = (struct ste_token_ids){a->completion.tokens, a->completion.n};
        row.n_free = (int64_t)a->completion.n_free;
        row.n_written = (int64_t)a->n_written;
        row.address = a->address;
    }
    return ste_put_judgment(g->l->store, &row, err);
}

static int judge_counts(void *arg, struct ste_trial *t, int sample, const struct ste_judgment *j,
                        const struct ste_answer *a, struct ste_err *err)
{
    return put_judgment(arg, t, sample, j, a, err);
}

static int judge_over(void *arg, struct ste_trial *t, struct ste_err *err)
{
    ste_progress_add(((struct judging *)arg)->progress, 1);
    return 0;
}

static int judge_too_long(void *arg, struct ste_trial *t, const char *why, struct ste_err *err)
{
    const struct ste_judgment j = {
        .verdict = STE_VERDICT_INVALID, .reason = STE_INVALID_TOO_LONG, .logprob_a = NAN, .logprob_b = NAN};
    ste_warn("%s", why);
    int rc = put_judgment(arg, t, t->already, &j, NULL, err);
    return rc == 0 ? judge_over(arg, t, err) : rc;
}

/* The winner's place for (pair, iteration): contract 8. */
static enum ste_verdict place_of(const struct ste_loop *l, const char *pair, int iteration)
{
    const uint64_t key =
        ste_key_of("winner's place", ste_digits(l->recipe.seed).s, pair, ste_digits(iteration).s, NULL);
    return key & 1 ? STE_VERDICT_B : STE_VERDICT_A;
}

/* What is in the store of a trial, and whether that is all there will be. */
static int already(struct judging *g, struct ste_trial *t, struct ste_err *err)
{
    struct ste_judged was;
    int rc =
        ste_judged(g->l->store, g->iteration, ((struct judge_pair *)t->tag)->id, ste_verdict_name(t->right), &was, err);
    t->already = (int)was.n;
    t->over = was.too_long || was.n >= ste_loop_samples(g->l) || (was.right && ste_loop_stops_early(g->l));
    return rc;
}

static int add_pair(void *arg, const struct ste_pair_view *v, struct ste_err *err)
{
    struct judging *g = arg;
    if (ste_loop_is_held_back(&g->held, v->row.id))
        return 0;
    STE_GROW(g->pairs, g->cap_pairs, g->n_pairs + 1);
    struct judge_pair *p = &g->pairs[g->n_pairs++];
    *p = (struct judge_pair){
        .id = ste_xstrdup(v->row.id), .chosen = ste_xstrdup(v->row.chosen), .rejected = ste_xstrdup(v->row.rejected)};
    return ste_dialogue_parse(&p->x, v->dialogue, "a dialogue in the store", err);
}

static int load(struct judging *g, struct ste_err *err)
{
    int rc = ste_loop_held_back(g->l, g->iteration, &g->held, err);
    if (rc == 0)
        rc = ste_each_pair(g->l->store, "train", NULL, add_pair, g, err);
    const bool both = g->l->recipe.orders == STE_ORDERS_BOTH;
    g->trials = ste_xcalloc(2 * g->n_pairs + 1, sizeof *g->trials);
    for (size_t i = 0; rc == 0 && i < g->n_pairs; i++)
        for (int order = 0; rc == 0 && order < 1 + both; order++) {
            struct judge_pair *p = &g->pairs[i];
            struct ste_trial *t = &g->trials[g->n++];
            t->tag = p;
            t->right = both ? (enum ste_verdict)order : place_of(g->l, p->id, g->iteration);
            const bool first = t->right == STE_VERDICT_A;
            t->material = (struct ste_judge_material){.pair_id = p->id,
                                                      .prompt = &p->x,
                                                      .a = first ? p->chosen : p->rejected,
                                                      .b = first ? p->rejected : p->chosen};
            rc = already(g, t, err);
        }
    return rc;
}

static void clear(struct judging *g)
{
    for (size_t i = 0; i < g->n_pairs; i++) {
        ste_xfree(g->pairs[i].id);
        ste_xfree(g->pairs[i].chosen);
        ste_xfree(g->pairs[i].rejected);
        ste_dialogue_clear(&g->pairs[i].x);
    }
    ste_strings_clear(&g->held);
    ste_xfree(g->trials);
    ste_xfree(g->pairs);
}

int ste_loop_paired(struct ste_loop *l, struct ste_err *err)
{
    int64_t pairs, waiting;
    int rc = ste_count(l->store, STE_COUNT_PAIRS, 0, &pairs, err);
    if (rc == 0)
        rc = ste_count(l->store, STE_COUNT_INSTRUCTIONS_WAITING, 0, &waiting, err);
    if (rc == 0 && (pairs == 0 || waiting > 0))
        rc = ste_err_set(err, STE_EUSAGE, "the pairs of the run in %s are not all made yet: `ste pair %s`",
                         ste_store_dir(l->store), ste_store_dir(l->store));
    return rc;
}

static int checked(struct ste_loop *l, struct ste_err *err)
{
    char *done = NULL;
    int rc = ste_loop_paired(l, err);
    if (rc == 0)
        rc = ste_store_meta(l->store, "check", &done, err);
    if (rc == 0 && !done)
        rc = ste_err_set(err, STE_EUSAGE, "the pairs of the run in %s are not checked yet: `ste check %s`",
                         ste_store_dir(l->store), ste_store_dir(l->store));
    ste_xfree(done);
    return rc;
}

static int judge_all(struct judging *g, size_t missing, struct ste_err *err)
{
    struct ste_loop *l = g->l;
    int rc = ste_loop_role_model(l, STE_LOOP_JUDGE, g->iteration, &g->model, err);
    if (rc == 0)
        rc = ste_store_begin(l->store, err);
    if (rc != 0)
        return rc;
    char what[48];
    snprintf(what, sizeof what, "judge, iteration %d", g->iteration);
    ste_loop_judge_setting(l, &g->model, false, &g->setting);
    g->progress = ste_progress_new(what, l->recipe.orders == STE_ORDERS_BOTH ? "orders" : "pairs", missing);
    const struct ste_trials trials = {.llm = g->model.llm,
                                      .setting = &g->setting,
                                      .rule = ste_loop_stops_early(l) ? STE_TRIAL_FIRST_RIGHT : STE_TRIAL_ALL,
                                      .samples = ste_loop_samples(l),
                                      .speculate = (int)l->recipe.speculate,
                                      .arg = g,
                                      .counts = judge_counts,
                                      .too_long = judge_too_long,
                                      .over = judge_over,
                                      .tick = ste_loop_save,
                                      .tick_arg = l};
    rc = ste_loop_saved(l, ste_trials_run(&trials, g->trials, g->n, err), err);
    ste_progress_end(g->progress);
    return rc;
}

int ste_loop_judge(struct ste_loop *l, int iteration, struct ste_err *err)
{
    int rc = checked(l, err);
    if (rc != 0 || !ste_loop_judges(l))
        return rc;
    struct judging g = {.l = l, .iteration = iteration};
    struct ste_loop_clock clock;
    ste_loop_clock_start(&clock, "judge", iteration);
    rc = load(&g, err);
    size_t missing = 0;
    for (size_t i = 0; rc == 0 && i < g.n; i++)
        missing += !g.trials[i].over;
    if (rc == 0 && missing > 0 && (rc = judge_all(&g, missing, err)) == 0)
        rc = ste_loop_clock_stop(l, &clock, err);
    clear(&g);
    return rc;
}
