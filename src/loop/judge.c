/* Up to N judgments of each training pair. The winner's place is drawn for (pair, iteration), or both are asked. */
#include "loop/internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "judge/trial.h"

struct judge_pair {
    char *id, *chosen, *rejected;
    struct ste_dialogue x;
};

struct judging {
    struct ste_loop *l;
    int iteration;
    struct ste_voice voice;
    struct ste_judge_setting setting;
    struct judge_pair *pairs;
    size_t n_pairs, cap_pairs;
    struct ste_trial *trials; /* a pair in an order each */
    size_t n;
    struct ste_progress *progress;
};

static int put_prompt(struct judging *g, const struct ste_answer *a, struct ste_id *id, struct ste_err *err)
{
    struct ste_buf blob = STE_BUF_INIT;
    ste_loop_tokens_pack(a->prompt, a->n_prompt, &blob);
    uint8_t digest[32];
    char hex[65];
    ste_sha256(blob.s, blob.len, digest);
    ste_hex(digest, 32, hex);
    *id = ste_id_of("prompt", hex, NULL);
    int rc = ste_store_exec(g->l->store, err, "INSERT OR IGNORE INTO prompt (id, tokens) VALUES (?, ?)", "tb", id->s,
                            blob.s, blob.len);
    ste_buf_clear(&blob);
    return rc;
}

/* A NULL: the prompt was too long to be asked. */
static int put_judgment(struct judging *g, const struct ste_trial *t, int sample, const struct ste_judgment *j,
                        const struct ste_answer *a, struct ste_err *err)
{
    const struct judge_pair *p = t->tag;
    char turn[16], index[16];
    snprintf(turn, sizeof turn, "%d", g->iteration);
    snprintf(index, sizeof index, "%d", sample);
    const char *winner = ste_verdict_name(t->right);
    struct ste_id id = ste_id_of("judgment", p->id, turn, winner, index, NULL), prov, prompt;
    int rc = ste_loop_provenance(g->l, "judge", &g->voice, &g->setting.sampling, ste_judge_max_tokens(&g->setting),
                                 g->setting.mode == STE_MODE_FREE ? "free" : "closed", g->iteration, &prov, err);
    if (rc == 0 && a)
        rc = put_prompt(g, a, &prompt, err);
    if (rc != 0)
        return rc;
    struct ste_buf blob = STE_BUF_INIT;
    if (a)
        ste_loop_tokens_pack(a->completion.tokens, a->completion.n, &blob);
    rc = ste_store_exec(g->l->store, err,
                        "INSERT INTO judgment (id, pair, iteration, winner, sample, verdict, reason, correct, "
                        "logprob_a, logprob_b, reasoning, prompt, completion, n_free, address, provenance) VALUES "
                        "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                        "ttitittirrttbitt", id.s, p->id, (int64_t)g->iteration, winner, (int64_t)sample,
                        ste_verdict_name(j->verdict), ste_invalid_name(j->reason), (int64_t)(j->verdict == t->right),
                        j->logprob_a, j->logprob_b, j->reasoning, a ? prompt.s : NULL, a ? blob.s : NULL, blob.len,
                        (int64_t)(a ? a->completion.n_free : 0), a ? a->address : NULL, prov.s);
    ste_buf_clear(&blob);
    return rc;
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
    char seed[32], turn[16];
    snprintf(seed, sizeof seed, "%lld", l->recipe.seed);
    snprintf(turn, sizeof turn, "%d", iteration);
    return ste_key_of("winner's place", seed, pair, turn, NULL) & 1 ? STE_VERDICT_B : STE_VERDICT_A;
}

/* How many judgments of the trial are in the store, and whether they are all there will be. */
static int already(struct judging *g, struct ste_trial *t, struct ste_err *err)
{
    sqlite3_stmt *q = NULL;
    int64_t n = 0, right = 0, too_long = 0;
    int rc =
        ste_store_query(g->l->store, &q, err,
                        "SELECT count(*), coalesce(sum(correct), 0), coalesce(sum(prompt IS NULL), 0) FROM "
                        "judgment WHERE iteration = ? AND pair = ? AND winner = ?",
                        "itt", (int64_t)g->iteration, ((struct judge_pair *)t->tag)->id, ste_verdict_name(t->right));
    if (rc == 0 && (rc = ste_store_row(g->l->store, q, err)) == 1) {
        n = sqlite3_column_int64(q, 0);
        right = sqlite3_column_int64(q, 1);
        too_long = sqlite3_column_int64(q, 2);
    }
    ste_store_done(g->l->store, q);
    if (rc < 0)
        return rc;
    t->already = (int)n;
    t->over = too_long || n >= ste_loop_samples(g->l) || (right && ste_loop_stops_early(g->l));
    return 0;
}

static int load(struct judging *g, struct ste_err *err)
{
    sqlite3_stmt *q = NULL;
    struct ste_strings held;
    int rc = ste_loop_held_back(g->l, g->iteration, &held, err);
    if (rc != 0)
        return rc;
    rc = ste_store_query(g->l->store, &q, err,
                         "SELECT p.id, p.chosen, p.rejected, i.dialogue FROM pair p JOIN instruction i ON i.id = "
                         "p.instruction WHERE p.state = 'kept' AND p.split = 'train' ORDER BY p.position, p.id",
                         "");
    while (rc == 0 && (rc = ste_store_row(g->l->store, q, err)) == 1) {
        rc = 0;
        if (ste_loop_is_held_back(&held, ste_loop_text(q, 0)))
            continue;
        STE_GROW(g->pairs, g->cap_pairs, g->n_pairs + 1);
        struct judge_pair *p = &g->pairs[g->n_pairs];
        *p = (struct judge_pair){0};
        if ((rc = ste_loop_dialogue(ste_loop_text(q, 3), &p->x, err)) != 0)
            break;
        p->id = ste_loop_text_dup(q, 0);
        p->chosen = ste_loop_text_dup(q, 1);
        p->rejected = ste_loop_text_dup(q, 2);
        g->n_pairs++;
    }
    ste_store_done(g->l->store, q);
    ste_strings_clear(&held);
    const bool both = strcmp(g->l->recipe.orders, "both") == 0;
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
        free(g->pairs[i].id);
        free(g->pairs[i].chosen);
        free(g->pairs[i].rejected);
        ste_dialogue_clear(&g->pairs[i].x);
    }
    free(g->trials);
    free(g->pairs);
}

int ste_loop_paired(struct ste_loop *l, struct ste_err *err)
{
    int64_t kept, waiting;
    int rc = ste_store_count(l->store, &kept, err, "SELECT count(*) FROM pair", "");
    if (rc == 0)
        rc = ste_store_count(l->store, &waiting, err,
                             "SELECT count(*) FROM instruction WHERE state = 'read' OR (state = 'kept' AND id NOT IN "
                             "(SELECT instruction FROM pair))",
                             "");
    if (rc == 0 && (kept == 0 || waiting > 0))
        rc = ste_err_set(err, STE_EUSAGE, "the pairs of the run in %s are not all made yet: `ste pair %s`",
                         ste_store_dir(l->store), ste_store_dir(l->store));
    return rc;
}

static int checked(struct ste_loop *l, struct ste_err *err)
{
    char *done = ste_store_meta(l->store, "check");
    int rc = ste_loop_paired(l, err);
    if (rc == 0 && !done)
        rc = ste_err_set(err, STE_EUSAGE, "the pairs of the run in %s are not checked yet: `ste check %s`",
                         ste_store_dir(l->store), ste_store_dir(l->store));
    free(done);
    return rc;
}

static int judge_all(struct judging *g, size_t missing, struct ste_err *err)
{
    struct ste_loop *l = g->l;
    int rc = ste_loop_voice(l, STE_LOOP_JUDGE, g->iteration, &g->voice, err);
    if (rc == 0)
        rc = ste_store_begin(l->store, err);
    if (rc != 0)
        return rc;
    char what[48];
    snprintf(what, sizeof what, "judge, iteration %d", g->iteration);
    ste_loop_judge_setting(l, &g->voice, false, &g->setting);
    g->progress = ste_progress_new(what, strcmp(l->recipe.orders, "both") == 0 ? "orders" : "pairs", missing);
    const struct ste_trials trials = {.llm = g->voice.llm,
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
    if (rc != 0)
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
