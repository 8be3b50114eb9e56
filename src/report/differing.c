/* Pairs on which two judges, or the two orders of one, differ. */
#include <math.h>

#include "report/beside.h"

enum { TEXT_MOST = 32 << 20 }; /* bytes of texts of all pairs that are shown, but for the first */

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

/* A text that is not UTF-8 has no JSON. */
static json_t *text(const char *s)
{
    json_t *j = json_string(s ? s : "");
    return j ? j : json_string("(not UTF-8)");
}

static json_t *row_of(const char *subset, const struct ste_answer_pair *pair, const char *const *names,
                      const struct ste_outcome *first, const struct ste_outcome *second)
{
    struct ste_buf prompt = STE_BUF_INIT;
    json_t *judges = json_array();
    ste_dialogue_text(&pair->prompt, &prompt);
    json_array_append_new(judges, verdicts(first));
    if (second)
        json_array_append_new(judges, verdicts(second));
    json_t *row =
        json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "subset", text(subset), "id", text(pair->id), "prompt",
                  text(prompt.s), "chosen", text(pair->first), "rejected", text(pair->second), "judges", judges);
    if (names)
        json_object_set_new(row, "names", json_pack("[o, o]", text(names[0]), text(names[1])));
    ste_buf_clear(&prompt);
    return row;
}

static size_t bytes_of(const json_t *row)
{
    return json_string_length(json_object_get(row, "prompt")) + json_string_length(json_object_get(row, "chosen")) +
           json_string_length(json_object_get(row, "rejected"));
}

void ste_differing_add(struct ste_differing *d, const char *subset, const struct ste_answer_pair *pair,
                       const char *const *names, const struct ste_outcome *first, const struct ste_outcome *second)
{
    if (!first->judged || (second && !second->judged))
        return;
    d->of++;
    if (!differ(first, second))
        return;
    d->differ++;
    const double sure = sure_of(first, second);
    if (d->n == STE_BESIDE_PAIRS && sure <= d->kept[d->n - 1].sure)
        return;
    if (d->n == STE_BESIDE_PAIRS)
        json_decref(d->kept[--d->n].row);
    size_t at = d->n++;
    for (; at > 0 && d->kept[at - 1].sure < sure; at--)
        d->kept[at] = d->kept[at - 1];
    d->kept[at].sure = sure;
    d->kept[at].row = row_of(subset, pair, names, first, second);
}

json_t *ste_differing_end(struct ste_differing *d)
{
    json_t *pairs = json_array();
    size_t bytes = 0;
    for (size_t i = 0; i < d->n; i++) {
        bytes += bytes_of(d->kept[i].row);
        if (i == 0 || bytes <= TEXT_MOST)
            json_array_append(pairs, d->kept[i].row);
        json_decref(d->kept[i].row);
    }
    json_t *all =
        json_pack("{s:I, s:I, s:o}", "of", (json_int_t)d->of, "differ", (json_int_t)d->differ, "pairs", pairs);
    *d = (struct ste_differing){0};
    return all;
}

json_t *ste_differing_files(const struct ste_pair_files *files, struct ste_outcome *const *first,
                            struct ste_outcome *const *second)
{
    struct ste_differing d = {0};
    for (size_t i = 0; i < files->n; i++)
        for (size_t k = 0; k < files->files[i].n; k++)
            ste_differing_add(&d, files->files[i].name, &files->files[i].items[k], NULL, &first[i][k],
                              second ? &second[i][k] : NULL);
    return ste_differing_end(&d);
}
