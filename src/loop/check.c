/*
 * Constructed labels are right more often than not, and nobody has looked. This step holds each against something that
 * needs no label: how likely the seed finds the answers behind the instructions. Of two answers to two instructions
 * each should be likelier behind its own; of two answers to one instruction the better one should owe more of its
 * likelihood to the instruction. What the evidence disputes is dropped and counted, and stays in the store to be looked
 * at (docs/learning.md has what that is worth). For the kind `sampled` the evidence is the label.
 */
#include "loop/internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/utf8.h"
#include "judge/likelihood.h"
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
    int next, waiting; /* of the questions */
    bool too_long;
};

struct checking {
    struct ste_loop *l;
    struct ste_role_model model;
    struct check_job *jobs;
    size_t n, cap, next;
    struct ste_message *messages; /* of the question being asked */
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

static int check_next(void *arg, struct ste_question *question, struct ste_err *err)
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
            *question =
                (struct ste_question){.given = j->texts[s], .seed = (uint64_t)g->l->recipe.seed, .tag = &j->tags[s][b]};
            question->messages = g->messages = make_messages(g, j, b, &question->n_messages);
            return 1;
        }
    }
    return 0;
}

static void check_submitted(void *arg, void *tag, uint64_t ticket)
{
    struct checking *g = arg;
    ste_xfree(g->messages);
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
                        : !labels && margin < r->check_margin      ? STE_PAIR_DISPUTED
                                                                   : NULL;
    const enum side c = swap ? REJECTED : CHOSEN, w = swap ? CHOSEN : REJECTED;
    struct ste_id prov;
    json_t *how = json_object();
    json_object_set_new(how, "likelihood", json_string(ste_normalise_names[STE_NORMALISE_EVEN]));
    int rc = ste_loop_provenance_of(g->l, "check", &g->model, how, 0, &prov, err);
    const struct ste_check_row row = {.pair = j->id,
                                      .margin = swap ? -margin : margin,
                                      .chosen_x = figure(j, c, BEHIND_X),
                                      .chosen_none = figure(j, c, BEHIND_NONE),
                                      .chosen_modified = figure(j, c, BEHIND_MODIFIED),
                                      .rejected_x = figure(j, w, BEHIND_X),
                                      .rejected_none = figure(j, w, BEHIND_NONE),
                                      .rejected_modified = figure(j, w, BEHIND_MODIFIED),
                                      .chosen_tokens = j->found[c][BEHIND_X].tokens,
                                      .rejected_tokens = j->found[w][BEHIND_X].tokens,
                                      .swapped = swap,
                                      .provenance = prov.s};
    if (rc == 0)
        rc = ste_put_check(g->l->store, &row, err);
    if (rc == 0 && swap)
        rc = ste_swap_pair(g->l->store, j->id, err);
    if (rc == 0 && state)
        rc = ste_set_pair_state(g->l->store, j->id, state, err);
    ste_progress_add(g->progress, 1);
    return rc;
}

/* One of the job's questions is done with; the last one settles it. */
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

static int add_job(void *arg, const struct ste_pair_view *v, struct ste_err *err)
{
    struct checking *g = arg;
    const struct ste_pair_kind *k = ste_pair_kind_of(&g->l->recipe, v->row.kind);
    if (v->checked || !k || k->evidence == STE_EVIDENCE_NONE)
        return 0;
    STE_GROW(g->jobs, g->cap, g->n + 1);
    struct check_job *j = &g->jobs[g->n++];
    *j = (struct check_job){.id = ste_xstrdup(v->row.id),
                            .texts = {ste_xstrdup(v->row.chosen), ste_xstrdup(v->row.rejected)},
                            .modified = ste_xstrdup(v->row.modified ? v->row.modified : ""),
                            .kind = k};
    for (int b = 0; b < N_BEHIND; b++)
        j->waiting += N_SIDES * needs(j, (enum behind)b);
    return ste_dialogue_parse(&j->x, v->dialogue, "a dialogue in the store", err);
}

static void clear(struct checking *g)
{
    for (size_t i = 0; i < g->n; i++) {
        struct check_job *j = &g->jobs[i];
        ste_xfree(j->id);
        ste_xfree(j->texts[CHOSEN]);
        ste_xfree(j->texts[REJECTED]);
        ste_xfree(j->modified);
        ste_dialogue_clear(&j->x);
    }
    ste_xfree(g->jobs);
}

/* ---- length ---- */

struct sized {
    struct ste_id id;
    char group[64]; /* its part, and its kind or two that mirror each other */
    char longer;    /* 'A': the chosen answer is */
};

struct sizes {
    const struct ste_recipe *recipe;
    struct sized *items;
    size_t n, cap;
};

static int add_size(void *arg, const struct ste_pair_view *v, struct ste_err *err)
{
    struct sizes *g = arg;
    const size_t chosen = ste_utf8_length(v->row.chosen), rejected = ste_utf8_length(v->row.rejected);
    if (chosen == rejected)
        return 0;
    STE_GROW(g->items, g->cap, g->n + 1);
    struct sized *x = &g->items[g->n++];
    *x = (struct sized){.longer = chosen > rejected ? 'A' : 'B'};
    snprintf(x->id.s, sizeof x->id.s, "%s", v->row.id);
    const struct ste_pair_kind *kind = ste_pair_kind_of(g->recipe, v->row.kind), *mirror = kind ? kind->mirror : NULL;
    snprintf(x->group, sizeof x->group, "%s, %s",
             mirror && strcmp(mirror->name, v->row.kind) < 0 ? mirror->name : v->row.kind, v->row.split);
    return 0;
}

static int by_group(const void *a, const void *b)
{
    const struct sized *x = a, *y = b;
    const int groups = strcmp(x->group, y->group);
    return groups ? groups : strcmp(x->id.s, y->id.s);
}

/* Cuts each kind of each part so that the chosen answer is the longer one in the recipe's share of pairs, but for what
 * chance makes of that; of kinds that mirror each other both together, since one alone prefers short texts by its
 * nature. Which ones stay is drawn by a hash of their ids; pairs of equal length stay. */
static int match_length(struct ste_loop *l, struct ste_err *err)
{
    struct sizes g = {.recipe = &l->recipe};
    int rc = ste_each_pair(l->store, NULL, NULL, add_size, &g, err);
    if (g.n)
        qsort(g.items, g.n, sizeof *g.items, by_group);
    const char **ids = ste_xcalloc(g.n + 1, sizeof *ids);
    char *longer = ste_xcalloc(g.n + 1, 1), seed[48];
    bool *keep = ste_xcalloc(g.n + 1, sizeof *keep);
    snprintf(seed, sizeof seed, "length %lld", l->recipe.seed);
    for (size_t i = 0; i < g.n; i++) {
        ids[i] = g.items[i].id.s;
        longer[i] = g.items[i].longer;
    }
    for (size_t from = 0, to; rc == 0 && from < g.n; from = to) {
        size_t a, b;
        for (to = from; to < g.n && strcmp(g.items[to].group, g.items[from].group) == 0;)
            to++;
        ste_loop_balance(ids + from, longer + from, to - from, seed, l->recipe.longer, 1, keep + from, &a, &b);
        for (size_t i = from; rc == 0 && i < to; i++)
            if (!keep[i])
                rc = ste_set_pair_state(l->store, ids[i], "check: cut to match length", err);
    }
    ste_xfree(g.items);
    ste_xfree(ids);
    ste_xfree(longer);
    ste_xfree(keep);
    return rc;
}

/* ---- the step ---- */

static int check_all(struct checking *g, struct ste_err *err)
{
    int rc = ste_loop_seed(g->l, &g->model, err);
    if (rc != 0)
        return rc;
    g->progress = ste_progress_new("check", "pairs", g->n);
    struct ste_pump p = {.llm = g->model.llm,
                         .arg = g,
                         .next = check_next,
                         .submitted = check_submitted,
                         .too_long = check_too_long,
                         .answer = check_answer};
    rc = ste_loop_pump(g->l, &p, err);
    ste_progress_end(g->progress);
    return rc;
}

/* Takes WHAT (may be NULL) and says under KEY that it is done: both or neither, and once. */
static int once(struct ste_loop *l, int (*what)(struct ste_loop *l, struct ste_err *err), const char *key,
                struct ste_err *err)
{
    char *done = NULL;
    int rc = ste_store_meta(l->store, key, &done, err);
    const bool over = done != NULL;
    ste_xfree(done);
    if (rc != 0 || over || (rc = ste_store_begin(l->store, err)) != 0)
        return rc;
    if (what)
        rc = what(l, err);
    if (rc == 0)
        rc = ste_store_meta_set(l->store, key, "done", err);
    return ste_store_end(l->store, rc, err);
}

/* Checks what is not checked yet. */
static int check_rest(struct ste_loop *l, struct ste_err *err)
{
    struct checking g = {.l = l};
    int rc = ste_each_pair(l->store, NULL, NULL, add_job, &g, err);
    if (rc == 0 && g.n > 0)
        rc = check_all(&g, err);
    clear(&g);
    return rc;
}

int ste_loop_check(struct ste_loop *l, struct ste_err *err)
{
    char *done = NULL;
    int rc = ste_loop_paired(l, err);
    if (rc == 0)
        rc = ste_store_meta(l->store, "check", &done, err);
    const bool over = done != NULL, likelihood = l->recipe.check == STE_CHECK_LIKELIHOOD;
    ste_xfree(done);
    if (rc != 0 || over)
        return rc;
    struct ste_loop_clock clock;
    ste_loop_clock_start(&clock, "check", 0);
    if (likelihood)
        rc = check_rest(l, err);
    if (rc == 0 && likelihood && l->recipe.disputed == STE_DISPUTED_OTHER &&
        (rc = once(l, ste_loop_make_again, "made again", err)) == 0)
        rc = check_rest(l, err);
    if (rc == 0)
        rc = once(l, l->recipe.longer > 0 ? match_length : NULL, "check", err);
    if (rc == 0)
        rc = ste_loop_clock_stop(l, &clock, err);
    return rc != 0 ? rc : ste_loop_pairs_left(l, "check", err);
}
