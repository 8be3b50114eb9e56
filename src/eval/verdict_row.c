/* What a judge says of a pair without a label, as a row. */
#include <math.h>

#include "eval/eval.h"

/* The answer that a judgment names, as the row names them; SWAPPED: response_b was shown first. */
static enum ste_verdict named(const struct ste_judgment *j, bool swapped)
{
    const bool names = j->verdict == STE_VERDICT_A || j->verdict == STE_VERDICT_B;
    return !names || !swapped ? j->verdict : j->verdict == STE_VERDICT_A ? STE_VERDICT_B : STE_VERDICT_A;
}

enum ste_verdict ste_outcome_verdict(const struct ste_outcome *o, bool both)
{
    const enum ste_verdict ab = named(&o->order[0], false), ba = both ? named(&o->order[1], true) : ab;
    const bool invalid = ab == STE_VERDICT_INVALID || ba == STE_VERDICT_INVALID;
    return invalid ? STE_VERDICT_INVALID : ab == ba ? ab : STE_VERDICT_TIE;
}

/* The pair's first answer, which outcomes call the chosen one, is response_a. */
static const char *two_order_of(const struct ste_outcome *o)
{
    static const char *const names[STE_N_FINAL] = {"A", "B", "tie", "invalid"};
    return names[ste_outcome_two_order(o)];
}

/* Log-probability of an answer's label, the mean of the orders; NAN where one has none. */
static double logprob_of(const struct ste_outcome *o, bool both, bool of_b)
{
    const double ab = of_b ? o->order[0].logprob_b : o->order[0].logprob_a,
                 ba = of_b ? o->order[1].logprob_a : o->order[1].logprob_b;
    return both ? (ab + ba) / 2 : ab;
}

static void set_number(json_t *row, const char *key, double x)
{
    json_object_set_new(row, key, isnan(x) ? json_null() : json_real(x));
}

static void set_judgment(json_t *row, const char *key, const struct ste_judgment *j)
{
    json_t *given = json_object();
    ste_judgment_json(j, given);
    json_object_set_new(row, key, given);
}

json_t *ste_verdict_row(const struct ste_answer_pair *p, const struct ste_outcome *o, bool both)
{
    const struct ste_judgment *ab = &o->order[0], *ba = &o->order[1];
    json_t *row = json_copy(p->row);
    if (!json_object_get(row, "id"))
        json_object_set_new(row, "id", json_string(p->id));
    const enum ste_invalid reason = ab->reason != STE_INVALID_NONE || !both ? ab->reason : ba->reason;
    json_object_set_new(row, "verdict", json_string(ste_verdict_name(ste_outcome_verdict(o, both))));
    json_object_set_new(row, "reason", json_string(ste_invalid_name(reason)));
    json_object_set_new(row, "verdict_ab", json_string(ste_verdict_name(named(ab, false))));
    if (both)
        json_object_set_new(row, "verdict_ba", json_string(ste_verdict_name(named(ba, true))));
    set_number(row, "logprob_a", logprob_of(o, both, false));
    set_number(row, "logprob_b", logprob_of(o, both, true));
    if (both) {
        set_number(row, "margin", ste_outcome_margin(o));
        json_object_set_new(row, "verdict_two_order", json_string(two_order_of(o)));
    }
    /* As they were given: in the swapped order "A" is response_b, which stood first. */
    set_judgment(row, "ab", ab);
    if (both)
        set_judgment(row, "ba", ba);
    return row;
}
