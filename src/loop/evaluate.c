/* Scoring a judge on labelled pairs, always in both orders: the held-out synthetic ones and the recipe's files. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/mem.h"
#include "eval/calibration.h"
#include "eval/scored.h"
#include "loop/figures.h"
#include "loop/internal.h"

struct suite {
    struct ste_loop *l;
    const char *name;
    int iteration, step;
    struct ste_role_model model;
    struct ste_judge_setting setting;
    struct ste_answer_pairs pairs;
    struct ste_id provenance;
};

static int put_order(struct suite *u, size_t position, int order, const struct ste_outcome *o, struct ste_err *err)
{
    const struct ste_answer_pair *p = &u->pairs.items[position];
    const struct ste_judgment *j = &o->order[order];
    bool tied = !o->judged, asked = o->judged && !o->skipped;
    char key[20];
    snprintf(key, sizeof key, "%016llx", (unsigned long long)o->prompt_key);
    const char *winner = order == STE_ORDER_AB ? "A" : "B";
    struct ste_id id = ste_id_of("evaluation", u->name, p->id, ste_digits((long long)position).s,
                                 ste_digits(u->iteration).s, ste_digits(u->step).s, winner, NULL);
    const struct ste_evaluation_row row = {.id = id.s,
                                           .suite = u->name,
                                           .item = p->id,
                                           .position = (int64_t)position,
                                           .iteration = u->iteration,
                                           .step = u->step,
                                           .winner = winner,
                                           .prompt_key = key,
                                           .verdict = tied ? "tied" : ste_verdict_name(j->verdict),
                                           .reason = tied ? "tied" : ste_invalid_name(j->reason),
                                           .logprob_a = asked ? j->logprob_a : NAN,
                                           .logprob_b = asked ? j->logprob_b : NAN,
                                           .reasoning = j->reasoning,
                                           .provenance = u->provenance.s};
    return ste_put_evaluation(u->l->store, &row, err);
}

static int put_pair(void *arg, size_t position, const struct ste_outcome *o, struct ste_err *err)
{
    int rc = 0;
    for (int order = 0; rc == 0 && order < 2; order++)
        rc = put_order(arg, position, order, o, err);
    return rc;
}

static int save(void *arg, struct ste_err *err)
{
    return ste_loop_save(((struct suite *)arg)->l, err);
}

/* A reward model is not asked: its row has neither sampling nor a limit. */
static int provenance(struct suite *u, struct ste_err *err)
{
    const struct ste_judge_setting *s = &u->setting;
    if (u->model.reward)
        return ste_loop_provenance_of(u->l, "evaluate", &u->model, json_pack("{s:s}", "mode", "reward model"),
                                      u->iteration, &u->provenance, err);
    return ste_loop_provenance(u->l, "evaluate", &u->model, &s->sampling, s->max_tokens, ste_mode_names[s->mode],
                               u->iteration, &u->provenance, err);
}

/* Scores the pairs that have no rows yet. */
static int score_rest(struct suite *u, const bool *known, size_t left, struct ste_err *err)
{
    const struct ste_eval_setting setting = {.votes = 1};
    ste_loop_judge_setting(u->l, &u->model, true, &u->setting);
    int rc = ste_store_begin(u->l->store, err);
    if (rc != 0)
        return rc;
    char *what = ste_xasprintf("%s, %s %d", u->name, u->iteration ? "iteration" : "seed, iteration", u->iteration);
    const struct ste_judging judging = {.llm = u->model.llm,
                                        .judge = &u->setting,
                                        .setting = &setting,
                                        .progress = ste_progress_new(what, "judgments", 2 * left),
                                        .known = known,
                                        .judged = put_pair,
                                        .tick = save,
                                        .arg = u};
    ste_xfree(what);
    struct ste_outcome *o = ste_xcalloc(u->pairs.n + 1, sizeof *o);
    rc = provenance(u, err);
    if (rc == 0)
        rc = u->model.reward ? ste_reward_pairs(u->model.reward, &judging, &u->pairs, o, err)
                             : ste_judge_pairs(&judging, &u->pairs, o, err);
    rc = ste_loop_saved(u->l, rc, err);
    ste_progress_end(judging.progress);
    ste_outcomes_clear(o, u->pairs.n);
    ste_xfree(o);
    return rc;
}

static int score(struct suite *u, struct ste_err *err)
{
    bool *known = ste_xcalloc(u->pairs.n + 1, sizeof *known);
    size_t left = u->pairs.n;
    int rc = ste_loop_scored(u->l->store, u->name, u->iteration, u->step, known, u->pairs.n, err);
    for (size_t i = 0; i < u->pairs.n; i++)
        left -= known[i];
    if (rc == 0 && left > 0)
        rc = score_rest(u, known, left, err);
    ste_xfree(known);
    return rc;
}

struct synthetic {
    struct ste_answer_pairs *pairs;
    size_t cap;
};

static int add_pair(void *arg, const struct ste_pair_view *v, struct ste_err *err)
{
    struct synthetic *g = arg;
    STE_GROW(g->pairs->items, g->cap, g->pairs->n + 1);
    struct ste_answer_pair *p = &g->pairs->items[g->pairs->n++];
    *p = (struct ste_answer_pair){.line = (long)g->pairs->n,
                                  .id = ste_xstrdup(v->row.id),
                                  .first = ste_xstrdup(v->row.chosen),
                                  .second = ste_xstrdup(v->row.rejected)};
    return ste_dialogue_parse(&p->prompt, v->dialogue, "a dialogue in the store", err);
}

static int synthetic(struct ste_loop *l, const char *split, struct ste_answer_pairs *out, struct ste_err *err)
{
    *out = (struct ste_answer_pairs){.name = ste_xstrdup(split), .path = ste_xstrdup(split)};
    struct synthetic g = {.pairs = out};
    return ste_each_pair(l->store, split, NULL, add_pair, &g, err);
}

int ste_loop_evaluate_dev(struct ste_loop *l, const struct ste_role_model *model, int iteration, int step,
                          struct ste_metrics *out, double *log_loss, struct ste_err *err)
{
    struct suite u = {.l = l, .name = "dev", .iteration = iteration, .step = step, .model = *model};
    int rc = synthetic(l, "dev", &u.pairs, err);
    if (rc == 0)
        rc = score(&u, err);
    struct ste_outcome *o = NULL;
    size_t n = 0;
    if (rc == 0)
        rc = ste_loop_outcomes(l->store, "dev", iteration, step, &o, &n, err);
    if (rc == 0)
        ste_metrics_of(o, n, "dev", (uint64_t)l->recipe.seed, out);
    double sum = 0;
    size_t counted = 0;
    for (size_t i = 0; i < n; i++) {
        const double loss = ste_log_loss(&o[i]);
        sum += isnan(loss) ? 0 : loss;
        counted += !isnan(loss);
    }
    *log_loss = counted ? sum / (double)counted : (double)NAN;
    ste_outcomes_clear(o, n);
    ste_xfree(o);
    ste_answer_pairs_clear(&u.pairs);
    return rc;
}

/* The file is what it was when the run read it first: figures of other pairs are not to be compared. */
static int check_file(struct ste_loop *l, const char *name, const char *path, struct ste_err *err)
{
    char hash[65], *key = ste_xasprintf("eval file %s", name), *was = NULL;
    int rc = ste_store_meta(l->store, key, &was, err);
    if (rc == 0)
        rc = ste_sha256_file(path, hash, err);
    if (rc == 0 && was && strcmp(was, hash) != 0)
        rc = ste_err_set(
            err, STE_EUSAGE,
            "%s is not the file that the run in %s was begun with (its SHA-256 was %.12s and is %.12s): put "
            "that one back, or measure this one by `ste eval`",
            path, ste_store_dir(l->store), was, hash);
    if (rc == 0 && !was)
        rc = ste_store_meta_set(l->store, key, hash, err);
    ste_xfree(key);
    ste_xfree(was);
    return rc;
}

int ste_loop_eval_file(struct ste_loop *l, size_t which, size_t limit, struct ste_answer_pairs *out,
                       struct ste_err *err)
{
    const struct ste_strings *paths = &l->recipe.eval_files;
    struct ste_strings names;
    *out = (struct ste_answer_pairs){0};
    int rc = ste_pairs_names(paths, &names, err);
    if (rc == 0)
        rc = check_file(l, names.items[which], paths->items[which], err);
    if (rc == 0)
        rc = ste_answer_pairs_read(out, paths->items[which], names.items[which], STE_PAIRS_LABELLED, limit, err);
    ste_strings_clear(&names);
    return rc;
}

int ste_loop_evaluate(struct ste_loop *l, int iteration, struct ste_err *err)
{
    struct ste_loop_clock clock;
    ste_loop_clock_start(&clock, "evaluate", iteration);
    int64_t before, after;
    int rc = ste_count(l->store, STE_COUNT_EVALUATIONS, iteration, &before, err);
    struct suite u = {.l = l, .iteration = iteration, .name = "test"};
    if (rc == 0)
        rc = synthetic(l, "test", &u.pairs, err);
    if (rc == 0 && (u.pairs.n > 0 || l->recipe.eval_files.n > 0))
        rc = ste_loop_judge_after(l, iteration, &u.model, err);
    if (rc == 0)
        rc = score(&u, err);
    ste_answer_pairs_clear(&u.pairs);
    for (size_t f = 0; rc == 0 && f < l->recipe.eval_files.n; f++) {
        if ((rc = ste_loop_eval_file(l, f, (size_t)l->recipe.eval_limit, &u.pairs, err)) != 0)
            break;
        char *name = ste_xasprintf("eval:%s", u.pairs.name);
        u.name = name;
        rc = score(&u, err);
        ste_answer_pairs_clear(&u.pairs);
        ste_xfree(name);
    }
    if (rc == 0)
        rc = ste_count(l->store, STE_COUNT_EVALUATIONS, iteration, &after, err);
    if (rc == 0 && after > before)
        rc = ste_loop_clock_stop(l, &clock, err);
    return rc;
}
