/* Scoring a judge on labelled pairs, always in both orders: the held-out synthetic ones and the recipe's files. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "core/mem.h"
#include "eval/calibration.h"
#include "loop/figures.h"
#include "loop/internal.h"

#define CHUNK 32 /* pairs a commit: a kill costs that many judgments twice */

struct suite {
    struct ste_loop *l;
    const char *name;
    int iteration, step;
    struct ste_voice voice;
    struct ste_judge_setting setting;
    struct ste_answer_pairs pairs;
};

static uint64_t prompt_key(const struct ste_dialogue *d)
{
    json_t *list = ste_dialogue_json(d);
    char *text = ste_json_canonical(list);
    json_decref(list);
    uint64_t key = ste_key_of("prompt", text, NULL);
    free(text);
    return key;
}

static int put_order(struct suite *u, size_t position, int order, const struct ste_outcome *o, const char *prov,
                     struct ste_err *err)
{
    const struct ste_answer_pair *p = &u->pairs.items[position];
    const struct ste_judgment *j = &o->order[order];
    bool tied = !o->judged, asked = o->judged && !o->skipped;
    char place[24], turn[16], step[16], key[20];
    snprintf(place, sizeof place, "%zu", position);
    snprintf(turn, sizeof turn, "%d", u->iteration);
    snprintf(step, sizeof step, "%d", u->step);
    snprintf(key, sizeof key, "%016llx", (unsigned long long)prompt_key(&p->prompt));
    const char *winner = order == STE_ORDER_AB ? "A" : "B";
    struct ste_id id = ste_id_of("evaluation", u->name, p->id, place, turn, step, winner, NULL);
    return ste_store_exec(u->l->store, err,
                          "INSERT INTO evaluation (id, suite, item, position, iteration, step, winner, prompt_key, "
                          "verdict, reason, logprob_a, logprob_b, reasoning, provenance) VALUES (?, ?, ?, ?, ?, ?, ?, "
                          "?, ?, ?, ?, ?, ?, ?)",
                          "tttiiittttrrtt", id.s, u->name, p->id, (int64_t)position, (int64_t)u->iteration,
                          (int64_t)u->step, winner, key, tied ? "tied" : ste_verdict_name(j->verdict),
                          tied         ? "tied"
                          : o->skipped ? ste_invalid_name(STE_INVALID_TOO_LONG)
                                       : ste_invalid_name(j->reason),
                          asked ? j->logprob_a : NAN, asked ? j->logprob_b : NAN, j->reasoning, prov);
}

static int put_chunk(struct suite *u, size_t from, size_t n, const struct ste_outcome *o, struct ste_err *err)
{
    struct ste_id prov;
    int rc = ste_store_begin(u->l->store, err);
    if (rc == 0)
        rc = ste_loop_provenance(u->l, "evaluate", &u->voice, &u->setting.sampling, u->setting.max_tokens,
                                 u->setting.mode == STE_MODE_FREE ? "free" : "closed", u->iteration, &prov, err);
    for (size_t i = 0; rc == 0 && i < n; i++)
        for (int order = 0; rc == 0 && order < 2; order++)
            rc = put_order(u, from + i, order, &o[i], prov.s, err);
    return ste_store_end(u->l->store, rc, err);
}

/* Scores the pairs from the first that has no rows yet. */
static int score(struct suite *u, struct ste_err *err)
{
    int64_t done;
    int rc = ste_loop_scored(u->l->store, u->name, u->iteration, u->step, &done, err);
    if (rc != 0 || (size_t)done >= u->pairs.n)
        return rc;
    char *what = ste_xasprintf("%s, %s %d", u->name, u->iteration ? "iteration" : "seed, iteration", u->iteration);
    ste_loop_judge_setting(u->l, &u->voice, true, &u->setting);
    /* ste_eval_pairs counts judgments: two a pair. */
    struct ste_progress *progress = ste_progress_new(what, "judgments", 2 * (u->pairs.n - (size_t)done));
    free(what);
    for (size_t from = (size_t)done; rc == 0 && from < u->pairs.n; from += CHUNK) {
        size_t n = u->pairs.n - from < CHUNK ? u->pairs.n - from : CHUNK;
        struct ste_answer_pairs part = u->pairs;
        part.items += from;
        part.n = n;
        struct ste_outcome *o = ste_xcalloc(n, sizeof *o);
        rc = ste_eval_pairs(u->voice.llm, &u->setting, &part, o, progress, err);
        if (rc == 0)
            rc = put_chunk(u, from, n, o, err);
        ste_outcomes_clear(o, n);
        free(o);
    }
    ste_progress_end(progress);
    return rc;
}

static int synthetic(struct ste_loop *l, const char *split, struct ste_answer_pairs *out, struct ste_err *err)
{
    size_t cap = 0;
    sqlite3_stmt *q = NULL;
    *out = (struct ste_answer_pairs){.name = ste_xstrdup(split), .path = ste_xstrdup(split)};
    int rc = ste_store_query(l->store, &q, err,
                             "SELECT p.id, p.chosen, p.rejected, i.dialogue FROM pair p JOIN instruction i ON i.id = "
                             "p.instruction WHERE p.state = 'kept' AND p.split = ? ORDER BY p.position, p.id",
                             "t", split);
    while (rc == 0 && (rc = ste_store_row(l->store, q, err)) == 1) {
        STE_GROW(out->items, cap, out->n + 1);
        struct ste_answer_pair *p = &out->items[out->n];
        *p = (struct ste_answer_pair){.line = (long)out->n + 1};
        if ((rc = ste_loop_dialogue(ste_loop_text(q, 3), &p->prompt, err)) != 0)
            break;
        p->id = ste_loop_text_dup(q, 0);
        p->first = ste_loop_text_dup(q, 1);
        p->second = ste_loop_text_dup(q, 2);
        out->n++;
    }
    ste_store_done(l->store, q);
    return rc < 0 ? rc : 0;
}

int ste_loop_evaluate_dev(struct ste_loop *l, const struct ste_voice *v, int iteration, int step,
                          struct ste_metrics *out, double *log_loss, struct ste_err *err)
{
    struct suite u = {.l = l, .name = "dev", .iteration = iteration, .step = step, .voice = *v};
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
    free(o);
    ste_answer_pairs_clear(&u.pairs);
    return rc;
}

/* The file is what it was when the run read it first: figures of other pairs are not to be compared. */
static int check_file(struct ste_loop *l, const char *name, const char *path, struct ste_err *err)
{
    char hash[65], *key = ste_xasprintf("eval file %s", name), *was = ste_store_meta(l->store, key);
    int rc = ste_sha256_file(path, hash, err);
    if (rc == 0 && was && strcmp(was, hash) != 0)
        rc = ste_err_set(
            err, STE_EUSAGE,
            "%s is not the file that the run in %s was begun with (its SHA-256 was %.12s and is %.12s): put "
            "that one back, or measure this one by `ste eval`",
            path, ste_store_dir(l->store), was, hash);
    if (rc == 0 && !was)
        rc = ste_store_meta_set(l->store, key, hash, err);
    free(key);
    free(was);
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
    int rc = ste_store_count(l->store, &before, err, "SELECT count(*) FROM evaluation WHERE iteration = ?", "i",
                             (int64_t)iteration);
    struct suite u = {.l = l, .iteration = iteration, .name = "test"};
    if (rc == 0)
        rc = synthetic(l, "test", &u.pairs, err);
    if (rc == 0 && (u.pairs.n > 0 || l->recipe.eval_files.n > 0))
        rc = ste_loop_trained(l, iteration, &u.voice, err);
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
        free(name);
    }
    if (rc == 0)
        rc = ste_store_count(l->store, &after, err, "SELECT count(*) FROM evaluation WHERE iteration = ?", "i",
                             (int64_t)iteration);
    if (rc == 0 && after > before)
        rc = ste_loop_clock_stop(l, &clock, err);
    return rc;
}
