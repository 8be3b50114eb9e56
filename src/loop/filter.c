/* Which judgments are trained on, by the recipe's rule: one right one a pair or an order (the paper's), those of pairs
 * with enough right ones, or the right label wherever the judge does not dispute it; A and B balanced. Every training
 * pair gets an outcome in exactly one state; the iteration's figures come from sample 0 alone, which is always drawn.
 */
#include "loop/internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "core/profile.h"

struct outcome {
    char *pair;
    char right[2][STE_ID_LEN + 1]; /* the right judgment of lowest index with the winner at A, at B; "" for none */
    char first[2][STE_ID_LEN + 1]; /* sample 0 by the winner's place; "" where its prompt was too long */
    int judgments, valid, right_ones, too_long;
    double odds[2]; /* log-odds of the winner, summed over the judgments that have them */
    int with_odds[2];
    double probability; /* that the winner is better, by the judge; NAN when it said nothing */
    const char *state;
};

struct filtering {
    struct ste_loop *l;
    int iteration;
    struct outcome *pairs;
    size_t n, cap;
    /* sample 0 */
    int first, first_right, first_invalid, first_a;
    int judgments;
    /* the candidates */
    const char **ids;
    size_t *of;
    char *labels;
    bool *keep;
    size_t n_candidates;
    struct ste_strings held; /* pairs that have no part in this iteration */
};

static int load(struct filtering *g, struct ste_err *err)
{
    sqlite3_stmt *q = NULL;
    int rc = ste_store_query(g->l->store, &q, err,
                             "SELECT j.pair, j.id, j.winner, j.sample, j.verdict, j.correct, j.prompt IS NULL, "
                             "j.logprob_a, j.logprob_b FROM judgment j JOIN pair p ON p.id = j.pair WHERE j.iteration "
                             "= ? ORDER BY p.position, p.id, "
                             "j.winner, j.sample",
                             "i", (int64_t)g->iteration);
    while (rc == 0 && (rc = ste_store_row(g->l->store, q, err)) == 1) {
        rc = 0;
        const char *pair = ste_loop_text(q, 0), *verdict = ste_loop_text(q, 4);
        if (g->n == 0 || strcmp(g->pairs[g->n - 1].pair, pair) != 0) {
            STE_GROW(g->pairs, g->cap, g->n + 1);
            g->pairs[g->n++] = (struct outcome){.pair = ste_xstrdup(pair)};
        }
        struct outcome *o = &g->pairs[g->n - 1];
        bool valid = strcmp(verdict, "invalid") != 0;
        const int place = ste_loop_text(q, 2)[0] == 'B';
        char *right = o->right[place];
        o->judgments++;
        o->valid += valid;
        o->too_long += sqlite3_column_int(q, 6);
        o->right_ones += sqlite3_column_int(q, 5);
        if (sqlite3_column_type(q, 7) != SQLITE_NULL && sqlite3_column_type(q, 8) != SQLITE_NULL) {
            const double odds = sqlite3_column_double(q, 7) - sqlite3_column_double(q, 8);
            o->odds[place] += place ? -odds : odds;
            o->with_odds[place]++;
        }
        if (sqlite3_column_int(q, 3) == 0 && !sqlite3_column_int(q, 6))
            snprintf(o->first[place], sizeof o->first[place], "%s", ste_loop_text(q, 1));
        if (sqlite3_column_int(q, 5) && !*right)
            snprintf(right, sizeof o->right[0], "%s", ste_loop_text(q, 1));
        g->judgments++;
        if (sqlite3_column_int(q, 3) == 0) {
            g->first++;
            g->first_right += sqlite3_column_int(q, 5);
            g->first_invalid += !valid;
            g->first_a += strcmp(verdict, "A") == 0;
        }
    }
    ste_store_done(g->l->store, q);
    return rc < 0 ? rc : 0;
}

/* The judge's probability for the winner. From log-odds: their mean in each order, then over the orders, so that no
 * position counts. A judge that gives none has the share of its right judgments. */
static double probability_of(const struct outcome *o)
{
    if (o->with_odds[0] && o->with_odds[1])
        return 1 / (1 + exp(-(o->odds[0] / o->with_odds[0] + o->odds[1] / o->with_odds[1]) / 2));
    return o->valid ? (double)o->right_ones / o->valid : (double)NAN;
}

static void add(struct filtering *g, size_t pair, const char *judgment, int label)
{
    g->ids[g->n_candidates] = judgment;
    g->of[g->n_candidates] = pair;
    g->labels[g->n_candidates++] = "AB"[label];
}

/* The state of a pair before labels are balanced. */
static const char *state_of(const struct filtering *g, const struct outcome *o)
{
    const struct ste_recipe *r = &g->l->recipe;
    const bool a = *o->right[0], b = *o->right[1], margin = strcmp(r->rule, "margin") == 0;
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
    if (strcmp(r->rule, "share") == 0 && o->right_ones < r->min_share * o->judgments)
        return "too few right";
    return r->both_orders && !(a && b) ? "right in one order only" : "kept";
}

static void choose(struct filtering *g)
{
    const struct ste_recipe *r = &g->l->recipe;
    const bool per_order = strcmp(r->per_pair, "order") == 0,
               any = ste_loop_any_label(g->l);
    char turn[16];
    snprintf(turn, sizeof turn, "%d", g->iteration);
    for (size_t i = 0; i < g->n; i++) {
        struct outcome *o = &g->pairs[i];
        o->probability = probability_of(o);
        o->state = state_of(g, o);
        if (strcmp(o->state, "kept") != 0)
            continue;
        const char *judgment[2] = {any ? o->first[0] : o->right[0], any ? o->first[1] : o->right[1]};
        const bool a = *judgment[0], b = *judgment[1];
        const bool one = a && b && !per_order; /* of both orders one is kept */
        const int which = (int)(ste_key_of("which order", o->pair, turn, NULL) & 1);
        for (int order = 0; order < 2; order++)
            if (*judgment[order] && (!one || which == order))
                add(g, i, judgment[order], order);
    }
}

static int cut(struct filtering *g, struct ste_err *err)
{
    char key[64];
    snprintf(key, sizeof key, "%lld/%d", g->l->recipe.seed, g->iteration);
    size_t a = 0, b = 0;
    ste_loop_balance(g->ids, g->labels, g->n_candidates, key, g->keep, &a, &b);
    if (a + b == 0)
        return ste_err_set(
            err, STE_ETHRESHOLD,
            "filter, iteration %d: no right judgment was found for any of %zu pairs: more judge.samples, "
            "another pack or a stronger seed may help",
            g->iteration, g->n);
    if (!g->l->recipe.balance) {
        memset(g->keep, 1, g->n_candidates * sizeof *g->keep);
        return 0;
    }
    if (a == 0 || b == 0)
        return ste_err_set(
            err, STE_ETHRESHOLD,
            "filter, iteration %d: no right judgment has the label %c (%zu have %c), so there is nothing "
            "to balance: the judge never says %c; more judge.samples, a higher judge.temperature or "
            "filter.balance=false may help",
            g->iteration, a == 0 ? 'A' : 'B', a + b, a == 0 ? 'B' : 'A', a == 0 ? 'A' : 'B');
    return 0;
}

static int write_rows(struct filtering *g, struct ste_err *err)
{
    struct ste_store *s = g->l->store;
    const bool weigh = g->l->recipe.weigh;
    int64_t turn = g->iteration, kept = 0, examples = 0;
    bool *used = ste_xcalloc(g->n + 1, sizeof *used);
    char text[16];
    snprintf(text, sizeof text, "%d", g->iteration);
    int rc = 0;
    for (size_t k = 0; rc == 0 && k < g->n_candidates; k++) {
        if (!g->keep[k])
            continue;
        used[g->of[k]] = true;
        examples++;
        char label[2] = {g->labels[k], 0};
        struct ste_id id = ste_id_of("example", g->ids[k], NULL);
        rc = ste_store_exec(s, err,
                            "INSERT INTO example (id, judgment, pair, iteration, label, label_source, weight) SELECT "
                            "?, ?, id, ?, ?, label_source, ? FROM pair WHERE id = ?",
                            "ttitrt", id.s, g->ids[k], turn, label,
                            weigh && !isnan(g->pairs[g->of[k]].probability) ? g->pairs[g->of[k]].probability : 1.0,
                            g->pairs[g->of[k]].pair);
    }
    for (size_t i = 0; rc == 0 && i < g->n; i++) {
        struct outcome *o = &g->pairs[i];
        if (strcmp(o->state, "kept") == 0 && !used[i])
            o->state = "cut for balance";
        kept += strcmp(o->state, "kept") == 0;
        struct ste_id id = ste_id_of("outcome", o->pair, text, NULL);
        rc = ste_store_exec(s, err,
                            "INSERT INTO outcome (id, pair, iteration, state, probability) VALUES (?, ?, ?, ?, ?)",
                            "ttitr", id.s, o->pair, turn, o->state, o->probability);
    }
    for (size_t i = 0; rc == 0 && i < g->held.n; i++) {
        struct ste_id id = ste_id_of("outcome", g->held.items[i], text, NULL);
        rc = ste_store_exec(s, err, "INSERT INTO outcome (id, pair, iteration, state) VALUES (?, ?, ?, 'held back')",
                            "tti", id.s, g->held.items[i], turn);
    }
    free(used);
    int valid = g->first - g->first_invalid;
    if (rc == 0)
        rc = ste_store_exec(s, err,
                            "INSERT INTO iteration (iteration, pairs, agreement, invalid_share, first_position, "
                            "judgments, kept, examples) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                            "iirrriii", turn, (int64_t)g->n, g->first ? (double)g->first_right / g->first : 0.0,
                            g->first ? (double)g->first_invalid / g->first : 0.0,
                            valid ? (double)g->first_a / valid : 0.0, (int64_t)g->judgments, kept, examples);
    return rc;
}

/* Pairs whose judgments are not all there. */
static int check_judged(struct ste_loop *l, int iteration, size_t held, struct ste_err *err)
{
    int64_t pairs, complete;
    int rc = ste_store_count(l->store, &pairs, err,
                             "SELECT count(*) FROM pair WHERE state = 'kept' AND split = 'train'", "");
    if (rc == 0)
        rc = ste_store_count(l->store, &complete, err,
                             "SELECT count(*) FROM (SELECT 1 FROM judgment WHERE iteration = ? GROUP BY pair, winner "
                             "HAVING count(*) >= ? OR (? AND sum(correct) > 0) OR sum(prompt IS NULL) > 0)",
                             "iii", (int64_t)iteration, (int64_t)ste_loop_samples(l), (int64_t)ste_loop_stops_early(l));
    pairs -= (int64_t)held;
    int64_t want = strcmp(l->recipe.orders, "both") == 0 ? 2 * pairs : pairs;
    if (rc == 0 && (pairs == 0 || complete < want))
        rc = ste_err_set(
            err, STE_EUSAGE, "iteration %d of the run in %s is not judged yet (%lld of %lld done): `ste judge %s`",
            iteration, ste_store_dir(l->store), (long long)complete, (long long)want, ste_store_dir(l->store));
    return rc;
}

int ste_loop_filter(struct ste_loop *l, int iteration, struct ste_err *err)
{
    int64_t done;
    ste_profile_step("filter");
    int rc = ste_store_count(l->store, &done, err, "SELECT count(*) FROM iteration WHERE iteration = ?", "i",
                             (int64_t)iteration);
    if (rc != 0 || done)
        return rc;
    struct filtering g = {.l = l, .iteration = iteration};
    rc = ste_loop_held_back(l, iteration, &g.held, err);
    if (rc == 0 && (rc = check_judged(l, iteration, g.held.n, err)) != 0)
        ste_strings_clear(&g.held);
    if (rc != 0)
        return rc;
    rc = load(&g, err);
    g.ids = ste_xcalloc(2 * g.n + 1, sizeof *g.ids);
    g.of = ste_xcalloc(2 * g.n + 1, sizeof *g.of);
    g.labels = ste_xcalloc(2 * g.n + 1, 1);
    g.keep = ste_xcalloc(2 * g.n + 1, sizeof *g.keep);
    if (rc == 0) {
        choose(&g);
        rc = cut(&g, err);
    }
    if (rc == 0 && (rc = ste_store_begin(l->store, err)) == 0) {
        rc = write_rows(&g, err);
        rc = ste_store_end(l->store, rc, err);
    }
    for (size_t i = 0; i < g.n; i++)
        free(g.pairs[i].pair);
    ste_strings_clear(&g.held);
    free(g.pairs);
    free(g.ids);
    free(g.of);
    free(g.labels);
    free(g.keep);
    return rc;
}
