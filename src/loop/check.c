/*
 * Constructed labels are right more often than not, and nobody has looked. This step holds each against something that
 * needs no label: how likely the seed finds the answers behind the instructions. Of two answers to two instructions
 * each should be likelier behind its own; of two answers to one instruction the better one should owe more of its
 * likelihood to the instruction. What the evidence disputes is dropped and counted, and stays in the store to be looked
 * at (docs/learning.md has what that is worth). For the kind `sampled` the evidence is the label.
 */
#include "loop/internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "eval/likelihood.h"
#include "loop/kinds/kind.h"

/* What each of the two answers is put behind. */
enum behind { BEHIND_X, BEHIND_NONE, BEHIND_MODIFIED, N_BEHIND };
enum side { CHOSEN, REJECTED, N_SIDES };

struct check_job;
struct check_tag {
    struct check_job *job;
    enum side side;
    enum behind behind;
};

struct check_job {
    char *id, *texts[N_SIDES], *modified;
    struct ste_dialogue x;
    const struct ste_pair_kind *kind;
    struct ste_likelihood found[N_SIDES][N_BEHIND];
    struct check_tag tags[N_SIDES][N_BEHIND];
    int next, waiting; /* of the asks */
    bool too_long;
};

struct checking {
    struct ste_loop *l;
    struct ste_voice voice;
    struct check_job *jobs;
    size_t n, cap, next;
    struct ste_message *messages; /* of the ask being made */
    struct ste_progress *progress;
};

static bool needs(const struct check_job *j, enum behind b)
{
    return b == BEHIND_X || (b == BEHIND_MODIFIED) == (j->kind->evidence == STE_EVIDENCE_INSTRUCTIONS);
}

/* The dialogue as the answers were asked for: with the recipe's system message, so that what it brings about (short
 * answers) counts for nothing. Behind none: an empty message of the user's. */
static struct ste_message *make_messages(const struct checking *g, const struct check_job *j, enum behind b, size_t *n)
{
    static struct ste_turn nothing = {STE_ROLE_USER, ""};
    static const struct ste_dialogue none = {&nothing, 1};
    const bool own_system = j->x.turns[0].role == STE_ROLE_SYSTEM;
    if (b == BEHIND_NONE)
        return ste_loop_messages(&none, own_system ? "" : g->l->recipe.pair_system, NULL, n);
    return ste_loop_messages(&j->x, g->l->recipe.pair_system, b == BEHIND_MODIFIED ? j->modified : NULL, n);
}

static int check_next(void *arg, struct ste_ask *ask, struct ste_err *err)
{
    struct checking *g = arg;
    for (; g->next < g->n; g->next++) {
        struct check_job *j = &g->jobs[g->next];
        for (; j->next < N_SIDES * N_BEHIND; j->next++) {
            enum behind b = (enum behind)(j->next / N_SIDES); /* both answers behind one prompt share it */
            enum side s = (enum side)(j->next % N_SIDES);
            if (!needs(j, b))
                continue;
            j->next++;
            j->tags[s][b] = (struct check_tag){j, s, b};
            *ask = (struct ste_ask){.given = j->texts[s], .seed = (uint64_t)g->l->recipe.seed, .tag = &j->tags[s][b]};
            ask->messages = g->messages = make_messages(g, j, b, &ask->n_messages);
            return 1;
        }
    }
    return 0;
}

static void check_submitted(void *arg, void *tag, uint64_t ticket)
{
    struct checking *g = arg;
    free(g->messages);
    g->messages = NULL;
}

static double gain(const struct check_job *j, enum side s, enum behind more, enum behind less)
{
    const struct ste_likelihood *f = j->found[s];
    return f[more].tokens ? ste_normalised(STE_NORMALISE_EVEN, f[more].sum - f[less].sum, f[more].tokens) : 0;
}

/* What speaks for the label. Of two instructions: the mean of what each answer gains by its own. */
static double margin_of(const struct check_job *j)
{
    if (j->kind->evidence == STE_EVIDENCE_INSTRUCTIONS)
        return (gain(j, CHOSEN, BEHIND_X, BEHIND_MODIFIED) + gain(j, REJECTED, BEHIND_MODIFIED, BEHIND_X)) / 2;
    return gain(j, CHOSEN, BEHIND_X, BEHIND_NONE) - gain(j, REJECTED, BEHIND_X, BEHIND_NONE);
}

static double figure(const struct check_job *j, enum side s, enum behind b)
{
    return needs(j, b) && !j->too_long ? j->found[s][b].sum : NAN;
}

static int put_check(struct checking *g, struct check_job *j, struct ste_err *err)
{
    const struct ste_recipe *r = &g->l->recipe;
    double margin = j->too_long ? NAN : margin_of(j);
    const bool labels = j->kind->evidence == STE_EVIDENCE_LABELS, swap = labels && margin < 0;
    const char *state = j->too_long                                ? "check: prompt too long"
                        : labels && fabs(margin) < r->check_margin ? "check: margin too small"
                        : !labels && margin < r->check_margin      ? "check: disputed by likelihood"
                                                                   : NULL;
    const enum side c = swap ? REJECTED : CHOSEN, w = swap ? CHOSEN : REJECTED;
    struct ste_id prov;
    json_t *how = json_object();
    json_object_set_new(how, "likelihood", json_string(ste_normalise_name(STE_NORMALISE_EVEN)));
    int rc = ste_loop_provenance_of(g->l, "check", &g->voice, how, 0, &prov, err);
    if (rc == 0)
        rc = ste_store_exec(g->l->store, err,
                            "INSERT INTO pair_check (pair, margin, chosen_x, chosen_none, chosen_modified, rejected_x, "
                            "rejected_none, rejected_modified, chosen_tokens, rejected_tokens, swapped, provenance) "
                            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                            "trrrrrrriiit", j->id, swap ? -margin : margin, figure(j, c, BEHIND_X),
                            figure(j, c, BEHIND_NONE), figure(j, c, BEHIND_MODIFIED), figure(j, w, BEHIND_X),
                            figure(j, w, BEHIND_NONE), figure(j, w, BEHIND_MODIFIED),
                            (int64_t)j->found[c][BEHIND_X].tokens, (int64_t)j->found[w][BEHIND_X].tokens, (int64_t)swap,
                            prov.s);
    if (rc == 0 && swap)
        rc = ste_store_exec(g->l->store, err,
                            "UPDATE pair SET chosen = rejected, rejected = chosen, chosen_from = rejected_from, "
                            "rejected_from = chosen_from WHERE id = ?",
                            "t", j->id);
    if (rc == 0 && state)
        rc = ste_store_exec(g->l->store, err, "UPDATE pair SET state = ? WHERE id = ?", "tt", state, j->id);
    ste_progress_add(g->progress, 1);
    return rc;
}

/* One of the job's asks is done with; the last one settles it. */
static int one_less(struct checking *g, struct check_job *j, struct ste_err *err)
{
    return --j->waiting == 0 ? put_check(g, j, err) : 0;
}

static int check_too_long(void *arg, void *tag, const char *why, struct ste_err *err)
{
    ste_warn("%s", why);
    struct check_job *j = ((struct check_tag *)tag)->job;
    j->too_long = true;
    return one_less(arg, j, err);
}

static int check_answer(void *arg, struct ste_answer *a, struct ste_err *err)
{
    struct checking *g = arg;
    const struct check_tag *t = a->tag;
    t->job->found[t->side][t->behind] = ste_answer_likelihood(a, false);
    return one_less(g, t->job, err);
}

static int load(struct checking *g, struct ste_err *err)
{
    sqlite3_stmt *q = NULL;
    int rc = ste_store_query(g->l->store, &q, err,
                             "SELECT p.id, p.kind, p.chosen, p.rejected, coalesce(p.modified, ''), i.dialogue FROM "
                             "pair p JOIN instruction i ON i.id = p.instruction WHERE p.state = "
                             "'kept' AND p.id NOT IN (SELECT pair FROM pair_check) ORDER BY p.position, p.id",
                             "");
    while (rc == 0 && (rc = ste_store_row(g->l->store, q, err)) == 1) {
        const struct ste_pair_kind *k = ste_pair_kind_of(&g->l->recipe, ste_loop_text(q, 1));
        rc = 0;
        if (!k || k->evidence == STE_EVIDENCE_NONE)
            continue;
        STE_GROW(g->jobs, g->cap, g->n + 1);
        struct check_job *j = &g->jobs[g->n];
        *j = (struct check_job){.kind = k};
        if ((rc = ste_loop_dialogue(ste_loop_text(q, 5), &j->x, err)) != 0)
            break;
        j->id = ste_loop_text_dup(q, 0);
        j->texts[CHOSEN] = ste_loop_text_dup(q, 2);
        j->texts[REJECTED] = ste_loop_text_dup(q, 3);
        j->modified = ste_loop_text_dup(q, 4);
        for (int b = 0; b < N_BEHIND; b++)
            j->waiting += N_SIDES * needs(j, (enum behind)b);
        g->n++;
    }
    ste_store_done(g->l->store, q);
    return rc;
}

static void clear(struct checking *g)
{
    for (size_t i = 0; i < g->n; i++) {
        struct check_job *j = &g->jobs[i];
        free(j->id);
        free(j->texts[CHOSEN]);
        free(j->texts[REJECTED]);
        free(j->modified);
        ste_dialogue_clear(&j->x);
    }
    free(g->jobs);
}

/* ---- length ---- */

struct sized {
    char *id, *group; /* its kind and part */
    bool longer;      /* the chosen answer is */
};

/* Cuts each kind of each part so that the chosen answer is the longer one in half of its pairs. Which ones stay is
 * drawn by a hash of their ids; pairs of equal length stay. */
static int match_length(struct ste_loop *l, struct ste_err *err)
{
    struct sized *p = NULL;
    size_t n = 0, cap = 0;
    sqlite3_stmt *q = NULL;
    int rc =
        ste_store_query(l->store, &q, err,
                        "SELECT id, kind || ', ' || split, length(chosen) > length(rejected) FROM pair WHERE state = "
                        "'kept' AND length(chosen) <> length(rejected) ORDER BY kind, split, id",
                        "");
    while (rc == 0 && (rc = ste_store_row(l->store, q, err)) == 1) {
        STE_GROW(p, cap, n + 1);
        p[n++] = (struct sized){ste_loop_text_dup(q, 0), ste_loop_text_dup(q, 1), sqlite3_column_int(q, 2) != 0};
        rc = 0;
    }
    ste_store_done(l->store, q);
    const char **ids = ste_xcalloc(n + 1, sizeof *ids);
    char *longer = ste_xcalloc(n + 1, 1), seed[48];
    bool *keep = ste_xcalloc(n + 1, sizeof *keep);
    snprintf(seed, sizeof seed, "length %lld", l->recipe.seed);
    for (size_t i = 0; i < n; i++) {
        ids[i] = p[i].id;
        longer[i] = p[i].longer ? 'A' : 'B';
    }
    for (size_t from = 0, to; rc == 0 && from < n; from = to) {
        size_t a, b;
        for (to = from; to < n && strcmp(p[to].group, p[from].group) == 0;)
            to++;
        ste_loop_balance(ids + from, longer + from, to - from, seed, keep + from, &a, &b);
        for (size_t i = from; rc == 0 && i < to; i++)
            if (!keep[i])
                rc = ste_store_exec(l->store, err, "UPDATE pair SET state = 'check: cut to match length' WHERE id = ?",
                                    "t", ids[i]);
    }
    for (size_t i = 0; i < n; i++) {
        free(p[i].id);
        free(p[i].group);
    }
    free(p);
    free(ids);
    free(longer);
    free(keep);
    return rc;
}

/* ---- the step ---- */

static int check_all(struct checking *g, struct ste_err *err)
{
    int rc = ste_loop_seed(g->l, &g->voice.llm, err);
    g->voice.model = g->l->recipe.seed_model;
    if (rc != 0)
        return rc;
    g->progress = ste_progress_new("check", "pairs", g->n);
    struct ste_pump p = {.llm = g->voice.llm, .arg = g, .next = check_next, .submitted = check_submitted, .too_long = check_too_long, .answer = check_answer};
    rc = ste_loop_pump(g->l, &p, err);
    ste_progress_end(g->progress);
    return rc;
}

static int finish(struct ste_loop *l, struct ste_err *err)
{
    int rc = ste_store_begin(l->store, err);
    if (rc != 0)
        return rc;
    if (l->recipe.match_length)
        rc = match_length(l, err);
    if (rc == 0)
        rc = ste_store_meta_set(l->store, "check", "done", err);
    return ste_store_end(l->store, rc, err);
}

int ste_loop_check(struct ste_loop *l, struct ste_err *err)
{
    char *done = ste_store_meta(l->store, "check");
    const bool over = done != NULL;
    free(done);
    int rc = ste_loop_paired(l, err);
    if (rc != 0 || over)
        return rc;
    struct checking g = {.l = l};
    struct ste_loop_clock clock;
    ste_loop_clock_start(&clock, "check", 0);
    if (strcmp(l->recipe.check, "likelihood") == 0)
        rc = load(&g, err);
    if (rc == 0 && g.n > 0)
        rc = check_all(&g, err);
    if (rc == 0)
        rc = finish(l, err);
    if (rc == 0)
        rc = ste_loop_clock_stop(l, &clock, err);
    clear(&g);
    return rc != 0 ? rc : ste_loop_pairs_left(l, "check", err);
}
