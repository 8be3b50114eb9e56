/* Which instruction gets which kind of pair. */
#include <stdlib.h>
#include <string.h>

#include "core/hash.h"
#include "core/mem.h"
#include "loop/kinds/kind.h"

struct drawn {
    struct ste_pair_job *job;
    struct ste_id key;
};

static int by_drawn_key(const void *a, const void *b)
{
    return strcmp(((const struct drawn *)a)->key.s, ((const struct drawn *)b)->key.s);
}

/* The jobs in an order drawn by the seed; caller frees. */
static struct drawn *drawn_order(const struct ste_recipe *r, struct ste_pair_job *jobs, size_t n)
{
    const struct ste_digits seed = ste_digits(r->seed);
    struct drawn *order = ste_xcalloc(n + 1, sizeof *order);
    for (size_t i = 0; i < n; i++)
        order[i] = (struct drawn){&jobs[i], ste_id_of("kind of pair", seed.s, jobs[i].instruction, NULL)};
    qsort(order, n, sizeof *order, by_drawn_key);
    return order;
}

int ste_draw_kinds(const struct ste_loop *l, struct ste_pair_job *jobs, size_t n, struct ste_err *err)
{
    const struct ste_recipe *r = &l->recipe;
    enum { MAX_KINDS = 16, PARTS = 3 };
    static const char *const parts[PARTS] = {"train", "dev", "test"};
    size_t counts[PARTS][MAX_KINDS] = {{0}};
    struct drawn *order = drawn_order(r, jobs, n);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < n; i++) {
        struct ste_pair_job *j = order[i].job;
        int part = 0, best = -1;
        while (part + 1 < PARTS && strcmp(parts[part], j->split) != 0)
            part++;
        double least = 0;
        for (int k = 0; ste_pair_kinds[k]; k++) {
            double share = ste_share(&r->kinds, ste_pair_kinds[k]->name);
            if (share <= 0 || j->labelled != (ste_pair_kinds[k] == &ste_kind_labelled) ||
                !ste_pair_kinds[k]->takes(l, j))
                continue;
            double behind = (double)(counts[part][k] + 1) / share;
            if (best < 0 || behind < least) {
                best = k;
                least = behind;
            }
        }
        if (best < 0)
            rc = ste_err_set(
                err, STE_EUSAGE,
                "pair.kinds has no kind that takes an instruction of category %s: add one, as in modify=1, or "
                "leave the category out by select.categories",
                j->category ? j->category : "(none)");
        else
            counts[part][best]++;
        j->kind = best < 0 ? NULL : ste_pair_kind_of(r, ste_pair_kinds[best]->name);
    }
    ste_xfree(order);
    return rc;
}
