/* Which training pairs have a part in an iteration: by the shares of filter.kinds, as many as the scarcest kind allows.
 * The order in which a kind's pairs are taken is drawn once, so that what one iteration uses and what the next one uses
 * differ by the shares alone. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "loop/internal.h"
#include "loop/kinds/kind.h"

struct ranked {
    char *id, *kind;
    struct ste_id key;
};

static int by_kind_and_key(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    int kinds = strcmp(x->kind, y->kind);
    return kinds ? kinds : strcmp(x->key.s, y->key.s);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

bool ste_loop_is_held_back(const struct ste_strings *held, const char *pair)
{
    return held->n && bsearch(&pair, held->items, held->n, sizeof *held->items, by_name);
}

struct ranking {
    struct ranked *items;
    size_t n, cap;
    char seed[32];
};

static int add_pair(void *arg, const struct ste_pair_view *v, struct ste_err *err)
{
    struct ranking *g = arg;
    STE_GROW(g->items, g->cap, g->n + 1);
    g->items[g->n++] =
        (struct ranked){ste_xstrdup(v->row.id), ste_xstrdup(v->row.kind), ste_id_of("turn", g->seed, v->row.id, NULL)};
    return 0;
}

/* How many pairs of all kinds together the shares allow: a kind that has none at all holds nobody up. */
static double most_of(const struct ranked *p, size_t n, const struct ste_strings *shares)
{
    double most = INFINITY;
    for (size_t from = 0, to; from < n; from = to) {
        for (to = from; to < n && strcmp(p[to].kind, p[from].kind) == 0;)
            to++;
        double share = ste_share(shares, p[from].kind);
        if (share > 0)
            most = fmin(most, (double)(to - from) / share);
    }
    return most;
}

int ste_loop_held_back(struct ste_loop *l, int iteration, struct ste_strings *held, struct ste_err *err)
{
    const struct ste_strings *all = &l->recipe.filter_kinds;
    struct ste_strings shares = {0};
    struct ranking g = {0};
    *held = (struct ste_strings){0};
    if (all->n == 0)
        return 0;
    const size_t at = (size_t)iteration <= all->n ? (size_t)iteration - 1 : all->n - 1;
    snprintf(g.seed, sizeof g.seed, "%lld", l->recipe.seed);
    int rc = ste_pair_kinds_parse(all->items[at], &shares, err);
    if (rc == 0)
        rc = ste_each_pair(l->store, "train", NULL, add_pair, &g, err);
    struct ranked *p = g.items;
    const size_t n = g.n;
    if (n)
        qsort(p, n, sizeof *p, by_kind_and_key);
    double most = rc == 0 ? most_of(p, n, &shares) : 0;
    size_t rank = 0;
    for (size_t i = 0; i < n; i++) {
        rank = i && strcmp(p[i].kind, p[i - 1].kind) == 0 ? rank + 1 : 0;
        double share = ste_share(&shares, p[i].kind);
        if (share <= 0 || (double)rank >= floor(most * share + 1e-9))
            ste_strings_add(held, p[i].id);
    }
    for (size_t i = 0; i < n; i++) {
        ste_xfree(p[i].id);
        ste_xfree(p[i].kind);
    }
    if (held->n)
        qsort(held->items, held->n, sizeof *held->items, by_name);
    if (rc == 0 && n && held->n == n)
        rc = ste_err_set(err, STE_ETHRESHOLD,
                         "filter.kinds leaves iteration %d without pairs: none of the kinds in \"%s\" "
                         "has one to train on",
                         iteration, all->items[at]);
    ste_xfree(p);
    ste_strings_clear(&shares);
    return rc;
}
