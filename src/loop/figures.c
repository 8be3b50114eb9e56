#include "loop/figures.h"

#include <stdlib.h>
#include <string.h>

#include "core/mem.h"

static enum ste_invalid reason_of(const char *name)
{
    for (int r = STE_INVALID_NONE; r < STE_N_INVALID; r++)
        if (strcmp(ste_invalid_name((enum ste_invalid)r), name) == 0)
            return (enum ste_invalid)r;
    return STE_INVALID_TRANSPORT;
}

int ste_loop_outcomes(struct ste_store *s, const char *suite, int iteration, int step, struct ste_outcome **out,
                      size_t *n, struct ste_err *err)
{
    return ste_loop_outcomes_of_kind(s, suite, NULL, iteration, step, out, n, err);
}

struct reading {
    struct ste_outcome *items;
    size_t n, cap;
    int64_t last; /* position */
};

static int add_verdict(void *arg, const struct ste_evaluation_row *r, struct ste_err *err)
{
    struct reading *g = arg;
    if (r->position != g->last) {
        g->last = r->position;
        STE_GROW(g->items, g->cap, g->n + 1);
        g->items[g->n++] = (struct ste_outcome){.judged = true, .prompt_key = strtoull(r->prompt_key, NULL, 16)};
    }
    struct ste_outcome *o = &g->items[g->n - 1];
    struct ste_judgment *j = &o->order[r->winner[0] == 'B' ? STE_ORDER_BA : STE_ORDER_AB];
    const int verdict = ste_verdict_parse(r->verdict);
    *j = (struct ste_judgment){.verdict = verdict < 0 ? STE_VERDICT_INVALID : (enum ste_verdict)verdict,
                               .reason = reason_of(r->reason),
                               .logprob_a = r->logprob_a,
                               .logprob_b = r->logprob_b};
    if (strcmp(r->verdict, "tied") == 0)
        o->judged = false;
    if (j->reason == STE_INVALID_TOO_LONG)
        o->skipped = true;
    return 0;
}

int ste_loop_outcomes_of_kind(struct ste_store *s, const char *suite, const char *kind, int iteration, int step,
                              struct ste_outcome **out, size_t *n, struct ste_err *err)
{
    struct reading g = {.last = -1};
    int rc = ste_each_evaluation(s, suite, kind, iteration, step, add_verdict, &g, err);
    if (rc != 0) {
        ste_outcomes_clear(g.items, g.n);
        ste_xfree(g.items);
        g = (struct reading){0};
    }
    *out = g.items;
    *n = g.n;
    return rc;
}

struct known {
    bool *known;
    size_t n;
};

static int add_known(void *arg, const struct ste_evaluation_row *r, struct ste_err *err)
{
    const struct known *k = arg;
    if (r->position >= 0 && (size_t)r->position < k->n)
        k->known[r->position] = true;
    return 0;
}

int ste_loop_scored(struct ste_store *s, const char *suite, int iteration, int step, bool *known, size_t n,
                    struct ste_err *err)
{
    struct known k = {known, n};
    return ste_each_evaluation(s, suite, NULL, iteration, step, add_known, &k, err);
}
