#include "eval/ranking.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/mem.h"

/* What keeps a rating finite where the results alone do not: as if each model had drawn a little with the mean. */
#define PENALTY 0.01

static int by_cluster(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static size_t count_prompts(const struct ste_match *m, size_t n)
{
    uint64_t *keys = ste_xcalloc(n + 1, sizeof *keys);
    size_t different = 0;
    for (size_t k = 0; k < n; k++)
        keys[k] = m[k].cluster;
    qsort(keys, n, sizeof *keys, by_cluster);
    for (size_t k = 0; k < n; k++)
        different += k == 0 || keys[k] != keys[k - 1];
    ste_xfree(keys);
    return different;
}

/* GROUP[n]: of each model. How many there are. */
static int groups_of(const struct ste_ranking *r, int n, int *group)
{
    int *stack = ste_xcalloc((size_t)n, sizeof *stack), groups = 0;
    for (int i = 0; i < n; i++)
        group[i] = -1;
    for (int first = 0; first < n; first++) {
        int top = 0;
        if (group[first] >= 0)
            continue;
        group[first] = groups;
        stack[top++] = first;
        while (top) {
            const int i = stack[--top];
            for (int j = 0; j < n; j++)
                if (group[j] < 0 && r->matches[i * n + j] > 0) {
                    group[j] = groups;
                    stack[top++] = j;
                }
        }
        groups++;
    }
    ste_xfree(stack);
    return groups;
}

/* The models of one group by themselves: their ratings go to the elo of each, their order behind the AT that have one.
 */
static int rate_group(struct ste_ranking *r, int group, const struct ste_match *all, size_t n_all, uint64_t seed,
                      int *at, struct ste_err *err)
{
    const int models = (int)r->models->n;
    int *of = ste_xcalloc((size_t)models, sizeof *of), *place = ste_xcalloc((size_t)models, sizeof *place), count = 0,
        rc = 0, which;
    struct ste_match *m = ste_xcalloc(n_all + 1, sizeof *m);
    size_t n = 0;
    for (int i = 0; i < models; i++)
        if (r->group[i] == group) {
            place[i] = count;
            of[count++] = i;
        }
    for (size_t k = 0; k < n_all; k++)
        if (r->group[all[k].i] == group)
            m[n++] = (struct ste_match){place[all[k].i], place[all[k].j], all[k].score, all[k].cluster};
    double *ratings = ste_xcalloc((size_t)count, sizeof *ratings);
    struct ste_rate *elo = ste_xcalloc((size_t)count, sizeof *elo);
    struct ste_err infinite = {0};
    const bool finite = ste_rate_models(m, n, count, 0, ratings, &which, &infinite) == 0;
    if (!finite)
        rc = ste_rate_models(m, n, count, PENALTY, ratings, &which, err);
    r->penalized |= !finite;
    if (!rc && n)
        ste_rate_intervals(m, n, count, finite ? 0 : PENALTY, seed, elo);
    for (int i = 0; i < count && !rc; i++) {
        r->elo[of[i]] = n ? (struct ste_rate){ste_elo(ratings[i]), ste_elo(elo[i].lo), ste_elo(elo[i].hi)}
                          : (struct ste_rate){NAN, NAN, NAN};
        int to = *at + i;
        for (; to > *at && r->elo[r->order[to - 1]].value < r->elo[of[i]].value; to--)
            r->order[to] = r->order[to - 1];
        r->order[to] = of[i];
    }
    *at += count;
    ste_xfree(of);
    ste_xfree(place);
    ste_xfree(m);
    ste_xfree(ratings);
    ste_xfree(elo);
    return rc;
}

int ste_ranking_of(struct ste_ranking *out, const struct ste_strings *models, const struct ste_match *m, size_t n,
                   size_t invalid, uint64_t seed, struct ste_err *err)
{
    const int count = (int)models->n;
    const size_t cells = models->n * models->n;
    *out = (struct ste_ranking){.models = models, .n_matches = n, .invalid = invalid, .prompts = count_prompts(m, n)};
    if (n == 0)
        return ste_err_set(err, STE_EINPUT, "no comparison has a result: there is nothing to rank by");
    out->order = ste_xcalloc(models->n, sizeof *out->order);
    out->group = ste_xcalloc(models->n, sizeof *out->group);
    out->elo = ste_xcalloc(models->n, sizeof *out->elo);
    out->wins = ste_xcalloc(cells, sizeof *out->wins);
    out->matches = ste_xcalloc(cells, sizeof *out->matches);
    for (size_t k = 0; k < n; k++) {
        out->ties += m[k].score == 0.5;
        out->wins[m[k].i * count + m[k].j] += m[k].score;
        out->wins[m[k].j * count + m[k].i] += 1 - m[k].score;
        out->matches[m[k].i * count + m[k].j]++;
        out->matches[m[k].j * count + m[k].i]++;
    }
    out->n_groups = groups_of(out, count, out->group);
    int rc = 0, at = 0;
    for (int g = 0; g < out->n_groups && !rc; g++)
        rc = rate_group(out, g, m, n, seed, &at, err);
    if (rc)
        ste_ranking_clear(out);
    return rc;
}

void ste_ranking_clear(struct ste_ranking *r)
{
    ste_xfree(r->order);
    ste_xfree(r->group);
    ste_xfree(r->elo);
    ste_xfree(r->wins);
    ste_xfree(r->matches);
    *r = (struct ste_ranking){0};
}

static double share(const struct ste_ranking *r, int i, int j, double *matches)
{
    const int n = (int)r->models->n;
    double wins = 0, played = 0;
    for (int k = 0; k < n; k++)
        if (j < 0 || j == k) {
            wins += r->wins[i * n + k];
            played += r->matches[i * n + k];
        }
    *matches = played;
    return played > 0 ? wins / played : 0;
}

#define MATRIX_MOST 9 /* models whose matrix fits 80 columns */

/* COUNT models from the one at place FROM of the order. */
static void ratings_table(const struct ste_ranking *r, int from, int count, struct ste_buf *out)
{
    double played;
    ste_buf_addf(out, "%-4s%-36s%8s  %-15s%7s%8s\n", "", "model", "rating", "[95 %]", "wins", "matches");
    for (int k = 0; k < count; k++) {
        const int i = r->order[from + k];
        const double wins = share(r, i, -1, &played);
        char interval[32];
        snprintf(interval, sizeof interval, "[%.0f %.0f]", r->elo[i].lo, r->elo[i].hi);
        ste_buf_addf(out, "%-4d", k + 1);
        ste_name_column(out, r->models->items[i], 36);
        if (isnan(r->elo[i].value))
            ste_buf_addf(out, "%8s  %-15s%7s%8.0f\n", "-", "", "-", played);
        else
            ste_buf_addf(out, "%8.0f  %-15s%7.3f%8.0f\n", r->elo[i].value, interval, wins, played);
    }
}

static void wins_table(const struct ste_ranking *r, int from, int count, struct ste_buf *out)
{
    double played;
    ste_buf_addf(out, "\nwins of the row over the column\n%-26s", "");
    for (int k = 0; k < count; k++)
        ste_buf_addf(out, "%6d", k + 1);
    ste_buf_adds(out, "\n");
    for (int k = 0; k < count; k++) {
        ste_buf_addf(out, "%-4d", k + 1);
        ste_name_column(out, r->models->items[r->order[from + k]], 22);
        for (int l = 0; l < count; l++) {
            const double wins = share(r, r->order[from + k], r->order[from + l], &played);
            if (played > 0)
                ste_buf_addf(out, "%6.2f", wins);
            else
                ste_buf_addf(out, "%6s", k == l ? "" : "-");
        }
        ste_buf_adds(out, "\n");
    }
}

void ste_ranking_table(const struct ste_ranking *r, struct ste_buf *out)
{
    const int n = (int)r->models->n;
    if (r->n_groups > 1)
        ste_buf_addf(out,
                     "The models fall into %d groups that never met. Each is rated by itself: ratings of\n"
                     "different groups cannot be compared.\n\n",
                     r->n_groups);
    for (int from = 0, to; from < n; from = to) {
        for (to = from; to < n && r->group[r->order[to]] == r->group[r->order[from]]; to++)
            ;
        if (r->n_groups > 1)
            ste_buf_addf(out, "%sgroup %d\n", from ? "\n" : "", r->group[r->order[from]] + 1);
        ratings_table(r, from, to - from, out);
        if (to - from > 2 && to - from <= MATRIX_MOST)
            wins_table(r, from, to - from, out);
    }
    ste_buf_addf(out, "%s%zu matches on %zu prompts, %zu ties (half a win each), %zu without a result\n",
                 r->n_groups > 1 ? "\n" : "", r->n_matches, r->prompts, r->ties, r->invalid);
    if (r->penalized)
        ste_buf_adds(out, "Some models lost nothing to the others that they are rated with: such ratings\n"
                          "are drawn a little to the mean.\n");
}

static json_t *number(double x)
{
    return isnan(x) ? json_null() : json_real(x);
}

json_t *ste_ranking_json(const struct ste_ranking *r)
{
    const int n = (int)r->models->n;
    json_t *models = json_array();
    double played;
    for (int k = 0; k < n; k++) {
        const int i = r->order[k];
        const double wins = share(r, i, -1, &played);
        json_t *against = json_object();
        for (int j = 0; j < n; j++)
            if (r->matches[i * n + j] > 0)
                json_object_set_new(
                    against, r->models->items[j],
                    json_pack("{s:f, s:f}", "wins", r->wins[i * n + j], "matches", r->matches[i * n + j]));
        json_array_append_new(
            models, json_pack("{s:s, s:i, s:o, s:[o, o], s:f, s:f, s:o}", "model", r->models->items[i], "group",
                              r->group[i] + 1, "rating", number(r->elo[i].value), "interval", number(r->elo[i].lo),
                              number(r->elo[i].hi), "wins", wins, "matches", played, "against", against));
    }
    return json_pack("{s:o, s:i, s:I, s:I, s:I, s:I, s:b}", "models", models, "groups", r->n_groups, "matches",
                     (json_int_t)r->n_matches, "prompts", (json_int_t)r->prompts, "ties", (json_int_t)r->ties,
                     "invalid", (json_int_t)r->invalid, "penalized", (int)r->penalized);
}
