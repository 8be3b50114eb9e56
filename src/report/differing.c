/* Pairs on which two judges, or the two orders of one, differ. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "report/beside.h"

enum { TEXT_MOST = 32 << 20 }; /* bytes of texts of all pairs that are shown, but for the first */

struct differing {
    const struct ste_answer_pair *pair;
    const char *subset;
    const struct ste_outcome *first, *second;
    double sure; /* how sure the less sure side is; below 0: not known */
    size_t at;
};

/* How far the labels of one order are apart. */
static double apart(const struct ste_judgment *j)
{
    const double by = fabs(j->logprob_a - j->logprob_b);
    return isnan(by) ? -1 : by;
}

static double sure_of(const struct ste_outcome *first, const struct ste_outcome *second)
{
    if (!second)
        return fmin(apart(&first->order[0]), apart(&first->order[1]));
    const double a = fabs(ste_outcome_margin(first)), b = fabs(ste_outcome_margin(second));
    return isnan(a) || isnan(b) ? -1 : fmin(a, b);
}

static bool differ(const struct ste_outcome *first, const struct ste_outcome *second)
{
    return second ? ste_outcome_two_order(first) != ste_outcome_two_order(second)
                  : ste_outcome_final(first) == STE_FINAL_TIE;
}

static int surest_first(const void *a, const void *b)
{
    const struct differing *x = a, *y = b;
    if (x->sure != y->sure)
        return x->sure < y->sure ? 1 : -1;
    return (x->at > y->at) - (x->at < y->at);
}

static const char *const finals[STE_N_FINAL] = {"chosen", "rejected", "tie", "invalid"};

static json_t *verdicts(const struct ste_outcome *o)
{
    json_t *ab = json_object(), *ba = json_object();
    ste_judgment_json(&o->order[STE_ORDER_AB], ab);
    ste_judgment_json(&o->order[STE_ORDER_BA], ba);
    const double margin = ste_outcome_margin(o);
    return json_pack("{s:s, s:o, s:o, s:o}", "two_order", finals[ste_outcome_two_order(o)], "margin",
                     isfinite(margin) ? json_real(margin) : json_null(), "ab", ab, "ba", ba);
}

/* NULL-safe: a text that is not UTF-8 has no JSON. */
static json_t *text(const char *s)
{
    json_t *j = json_string(s ? s : "");
    return j ? j : json_string("(not UTF-8)");
}

static json_t *row_of(const struct differing *d, size_t *bytes)
{
    struct ste_buf prompt = STE_BUF_INIT;
    json_t *judges = json_array();
    ste_dialogue_text(&d->pair->prompt, &prompt);
    json_array_append_new(judges, verdicts(d->first));
    if (d->second)
        json_array_append_new(judges, verdicts(d->second));
    *bytes += prompt.len + strlen(d->pair->first) + strlen(d->pair->second);
    json_t *row =
        json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "subset", text(d->subset), "id", text(d->pair->id), "prompt",
                  text(prompt.s), "chosen", text(d->pair->first), "rejected", text(d->pair->second), "judges", judges);
    ste_buf_clear(&prompt);
    return row;
}

json_t *ste_beside_differing(const struct ste_pair_files *files, struct ste_outcome *const *first,
                             struct ste_outcome *const *second)
{
    struct differing *all = NULL;
    size_t n = 0, cap = 0, of = 0, bytes = 0;
    for (size_t i = 0; first && i < files->n; i++)
        for (size_t k = 0; k < files->files[i].n; k++) {
            const struct ste_outcome *a = &first[i][k], *b = second ? &second[i][k] : NULL;
            if (!a->judged || (b && !b->judged))
                continue;
            of++;
            if (!differ(a, b))
                continue;
            STE_GROW(all, cap, n + 1);
            all[n] = (struct differing){&files->files[i].items[k], files->files[i].name, a, b, sure_of(a, b), n};
            n++;
        }
    if (n)
        qsort(all, n, sizeof *all, surest_first);
    json_t *pairs = json_array();
    for (size_t i = 0; i < n && i < STE_BESIDE_PAIRS && bytes < TEXT_MOST; i++)
        json_array_append_new(pairs, row_of(&all[i], &bytes));
    ste_xfree(all);
    return json_pack("{s:I, s:I, s:o}", "of", (json_int_t)of, "differ", (json_int_t)n, "pairs", pairs);
}
