#include "eval/ranking.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
    free(keys);
    return different;
}

int ste_ranking_of(struct ste_ranking *out, const struct ste_strings *models, const struct ste_match *m, size_t n,
                   size_t invalid, uint64_t seed, struct ste_err *err)
{
    const int count = (int)models->n;
    const size_t cells = models->n * models->n;
    int which;
    *out = (struct ste_ranking){.models = models, .n_matches = n, .invalid = invalid, .prompts = count_prompts(m, n)};
    if (n == 0)
        return ste_err_set(err, STE_EINPUT, "no comparison has a result: there is nothing to rank by");
    out->order = ste_xcalloc(models->n, sizeof *out->order);
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
    double *ratings = ste_xcalloc(models->n, sizeof *ratings), penalty = 0;
    struct ste_err infinite = {0};
    if (ste_rate_models(m, n, count, 0, ratings, &which, &infinite)) {
        penalty = PENALTY;
        out->penalized = true;
        if (ste_rate_models(m, n, count, penalty, ratings, &which, err)) {
            free(ratings);
            ste_ranking_clear(out);
            return STE_EINPUT;
        }
    }
    ste_rate_intervals(m, n, count, penalty, seed, out->elo);
    for (int i = 0; i < count; i++) {
        out->elo[i] = (struct ste_rate){ste_elo(ratings[i]), ste_elo(out->elo[i].lo), ste_elo(out->elo[i].hi)};
        int at = i;
        for (; at > 0 && out->elo[out->order[at - 1]].value < out->elo[i].value; at--)
            out->order[at] = out->order[at - 1];
        out->order[at] = i;
    }
    free(ratings);
    return 0;
}

void ste_ranking_clear(struct ste_ranking *r)
{
    free(r->order);
    free(r->elo);
    free(r->wins);
    free(r->matches);
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

void ste_ranking_table(const struct ste_ranking *r, struct ste_buf *out)
{
    const int n = (int)r->models->n;
    double played;
    ste_buf_addf(out, "%-4s%-36s%8s  %-15s%7s%8s\n", "", "model", "rating", "[95 %]", "wins", "matches");
    for (int k = 0; k < n; k++) {
        const int i = r->order[k];
        const double wins = share(r, i, -1, &played);
        char interval[32];
        snprintf(interval, sizeof interval, "[%.0f %.0f]", r->elo[i].lo, r->elo[i].hi);
        ste_buf_addf(out, "%-4d", k + 1);
        ste_name_column(out, r->models->items[i], 36);
        ste_buf_addf(out, "%8.0f  %-15s%7.3f%8.0f\n", r->elo[i].value, interval, wins, played);
    }
    if (n > 2 && n <= MATRIX_MOST) {
        ste_buf_addf(out, "\nwins of the row over the column\n%-26s", "");
        for (int k = 0; k < n; k++)
            ste_buf_addf(out, "%6d", k + 1);
        ste_buf_adds(out, "\n");
        for (int k = 0; k < n; k++) {
            ste_buf_addf(out, "%-4d", k + 1);
            ste_name_column(out, r->models->items[r->order[k]], 22);
            for (int l = 0; l < n; l++) {
                const double wins = share(r, r->order[k], r->order[l], &played);
                if (played > 0)
                    ste_buf_addf(out, "%6.2f", wins);
                else
                    ste_buf_addf(out, "%6s", k == l ? "" : "-");
            }
            ste_buf_adds(out, "\n");
        }
    }
    ste_buf_addf(out, "%zu matches on %zu prompts, %zu ties (half a win each), %zu without a result\n", r->n_matches,
                 r->prompts, r->ties, r->invalid);
    if (r->penalized)
        ste_buf_adds(out, "Some model won or lost all it played: ratings are drawn a little to the mean.\n");
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
        json_array_append_new(models, json_pack("{s:s, s:f, s:[f, f], s:f, s:f, s:o}", "model", r->models->items[i],
                                                "rating", r->elo[i].value, "interval", r->elo[i].lo, r->elo[i].hi,
                                                "wins", wins, "matches", played, "against", against));
    }
    return json_pack("{s:o, s:I, s:I, s:I, s:I, s:b}", "models", models, "matches", (json_int_t)r->n_matches, "prompts",
                     (json_int_t)r->prompts, "ties", (json_int_t)r->ties, "invalid", (json_int_t)r->invalid,
                     "penalized", (int)r->penalized);
}
