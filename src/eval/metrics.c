#include <math.h>
#include <stdio.h>

#include "core/mem.h"
#include "eval/agreement.h"
#include "eval/bootstrap.h"
#include "eval/eval.h"

/* All rates come from the same draws, so one pass gives them. */
enum { ACCURACY, CONSISTENT, TWO_ORDER, N_RATES };
enum { N_FIGURES = 8 }; /* that are averaged over suites */

bool ste_outcome_right(const struct ste_outcome *o, enum ste_order order)
{
    return !o->skipped && o->order[order].verdict == (order == STE_ORDER_AB ? STE_VERDICT_A : STE_VERDICT_B);
}

enum ste_final ste_outcome_final(const struct ste_outcome *o)
{
    enum ste_verdict ab = o->order[0].verdict, ba = o->order[1].verdict;
    if (o->skipped || ab == STE_VERDICT_INVALID || ba == STE_VERDICT_INVALID)
        return STE_FINAL_INVALID;
    return ab == ba || ab == STE_VERDICT_TIE || ba == STE_VERDICT_TIE ? STE_FINAL_TIE
           : ab == STE_VERDICT_A                                      ? STE_FINAL_CHOSEN
                                                                      : STE_FINAL_REJECTED;
}

static void values_of(const struct ste_outcome *o, double value[N_RATES])
{
    bool ab = ste_outcome_right(o, STE_ORDER_AB), ba = ste_outcome_right(o, STE_ORDER_BA);
    value[ACCURACY] = (ab + ba) / 2.0;
    value[CONSISTENT] = ab && ba;
    value[TWO_ORDER] = ste_outcome_two_order_right(o);
}

static void clusters_of(const struct ste_outcome *o, size_t n, struct ste_clusters *c)
{
    ste_clusters_init(c, N_RATES);
    for (size_t i = 0; i < n; i++) {
        if (!o[i].judged || o[i].tie)
            continue;
        double value[N_RATES];
        values_of(&o[i], value);
        ste_clusters_add(c, o[i].prompt_key, value);
    }
}

static void count(const struct ste_outcome *o, size_t n, struct ste_metrics *m)
{
    size_t right[2] = {0}, named = 0, first = 0;
    double total[N_RATES] = {0}, compat = 0;
    for (size_t i = 0; i < n; i++) {
        if (!o[i].judged || o[i].tie) {
            m->tied++;
            continue;
        }
        m->pairs++;
        m->skipped += o[i].skipped;
        compat += o[i].compat;
        m->undecided += ste_outcome_two_order(&o[i]) == STE_FINAL_TIE;
        double value[N_RATES];
        values_of(&o[i], value);
        for (int r = 0; r < N_RATES; r++)
            total[r] += value[r];
        for (int order = 0; order < 2; order++) {
            const struct ste_judgment *j = &o[i].order[order];
            right[order] += ste_outcome_right(&o[i], (enum ste_order)order);
            if (o[i].skipped || j->verdict == STE_VERDICT_INVALID) {
                m->invalid++;
                m->reasons[o[i].skipped ? STE_INVALID_TOO_LONG : j->reason]++;
            } else {
                named += j->verdict != STE_VERDICT_TIE;
                first += j->verdict == STE_VERDICT_A; /* in both orders, A is the one shown first */
            }
        }
    }
    double pairs = m->pairs ? (double)m->pairs : NAN;
    m->accuracy.value = total[ACCURACY] / pairs;
    m->consistent.value = total[CONSISTENT] / pairs;
    m->two_order.value = total[TWO_ORDER] / pairs;
    m->compat = compat / pairs;
    m->accuracy_ab = (double)right[0] / pairs;
    m->accuracy_ba = (double)right[1] / pairs;
    m->invalid_share = (double)m->invalid / (2 * pairs);
    m->first_position = named ? (double)first / (double)named : NAN;
}

void ste_metrics_of(const struct ste_outcome *o, size_t n, const char *name, uint64_t seed, struct ste_metrics *out)
{
    *out = (struct ste_metrics){.name = name};
    count(o, n, out);
    struct ste_clusters c;
    clusters_of(o, n, &c);
    struct ste_rate *rates[N_RATES] = {&out->accuracy, &out->consistent, &out->two_order};
    ste_bootstrap(&c, 1, NULL, seed, rates);
    ste_coverage_curve(&o, &n, 1, out->curve);
    ste_best_of(&o, &n, 1, NULL, seed, &out->best);
    /* Pairs of one prompt err together: Wilson's interval is for independent ones. */
    for (int order = 0; order < 2; order++) {
        const double share = order ? out->accuracy_ba : out->accuracy_ab;
        out->by_order[order] = out->pairs && c.n == out->pairs
                                   ? ste_wilson((size_t)lround(share * (double)out->pairs), out->pairs)
                                   : (struct ste_rate){share, NAN, NAN};
    }
    ste_clusters_clear(&c);
}

size_t ste_metrics_side(const struct ste_outcome *o, size_t n, enum ste_bias bias, int side, uint64_t seed,
                        struct ste_rate *accuracy)
{
    struct ste_outcome *part = ste_xcalloc(n + 1, sizeof *part); /* shallow */
    struct ste_metrics m;
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        if (o[i].side[bias] == side)
            part[count++] = o[i];
    ste_metrics_of(part, count, "", seed, &m);
    ste_xfree(part);
    *accuracy = m.accuracy;
    return m.pairs;
}

size_t ste_metrics_liking(const struct ste_outcome *o, size_t n, enum ste_bias bias, uint64_t seed,
                          struct ste_rate *named, double *right)
{
    struct ste_clusters c;
    size_t pairs = 0, chosen = 0, names = 0;
    ste_clusters_init(&c, 1);
    for (size_t i = 0; i < n; i++) {
        const enum ste_final verdict = ste_outcome_two_order(&o[i]);
        if (!o[i].judged || o[i].tie || !o[i].side[bias] ||
            (verdict != STE_FINAL_CHOSEN && verdict != STE_FINAL_REJECTED))
            continue;
        const double value = (verdict == STE_FINAL_CHOSEN) == (o[i].side[bias] > 0);
        ste_clusters_add(&c, o[i].prompt_key, &value);
        pairs++;
        chosen += o[i].side[bias] > 0;
        names += value > 0;
    }
    named->value = (double)names / (double)pairs;
    ste_bootstrap(&c, 1, NULL, seed, &named);
    ste_clusters_clear(&c);
    *right = (double)chosen / (double)pairs;
    return pairs;
}

/* Adds to a mean over the suites where the figure exists. */
static void mean_add(double *sum, double *weights, double value, double weight)
{
    if (isnan(value))
        return;
    *sum += weight * value;
    *weights += weight;
}

void ste_metrics_overall(const struct ste_outcome *const *outcomes, const size_t *n, size_t suites,
                         const double *weights, uint64_t seed, struct ste_metrics *out)
{
    *out = (struct ste_metrics){.name = "overall"};
    struct ste_clusters *c = ste_xcalloc(suites ? suites : 1, sizeof *c);
    double sums[N_FIGURES] = {0}, of[N_FIGURES] = {0};
    for (size_t s = 0; s < suites; s++) {
        struct ste_metrics m = {0};
        count(outcomes[s], n[s], &m);
        clusters_of(outcomes[s], n[s], &c[s]);
        out->pairs += m.pairs;
        out->tied += m.tied;
        out->skipped += m.skipped;
        out->invalid += m.invalid;
        out->undecided += m.undecided;
        for (int r = 0; r < STE_N_INVALID; r++)
            out->reasons[r] += m.reasons[r];
        const double figures[N_FIGURES] = {m.accuracy.value, m.consistent.value, m.two_order.value, m.accuracy_ab,
                                           m.accuracy_ba,    m.first_position,   m.invalid_share,   m.compat};
        for (int f = 0; f < N_FIGURES; f++)
            mean_add(&sums[f], &of[f], figures[f], weights ? weights[s] : 1);
    }
    double *const into[N_FIGURES] = {
        &out->accuracy.value, &out->consistent.value, &out->two_order.value, &out->accuracy_ab,
        &out->accuracy_ba,    &out->first_position,   &out->invalid_share,   &out->compat};
    for (int f = 0; f < N_FIGURES; f++)
        *into[f] = of[f] > 0 ? sums[f] / of[f] : NAN;
    for (int order = 0; order < 2; order++)
        out->by_order[order] = (struct ste_rate){order ? out->accuracy_ba : out->accuracy_ab, NAN, NAN};
    struct ste_rate *rates[N_RATES] = {&out->accuracy, &out->consistent, &out->two_order};
    ste_bootstrap(c, suites, weights, seed, rates);
    ste_coverage_curve(outcomes, n, suites, out->curve);
    ste_best_of(outcomes, n, suites, weights, seed, &out->best);
    for (size_t s = 0; s < suites; s++)
        ste_clusters_clear(&c[s]);
    ste_xfree(c);
}

/* A figure that does not exist (no pair, no valid verdict) is null, not a number that looks like one. */
static json_t *figure(double v)
{
    return isnan(v) ? json_null() : json_real(v);
}

/* KEY, KEY_lo and KEY_hi. */
static void set_rate(json_t *j, const char *key, const struct ste_rate *r)
{
    char name[64];
    json_object_set_new(j, key, figure(r->value));
    snprintf(name, sizeof name, "%s_lo", key);
    json_object_set_new(j, name, figure(r->lo));
    snprintf(name, sizeof name, "%s_hi", key);
    json_object_set_new(j, name, figure(r->hi));
}

json_t *ste_metrics_json(const struct ste_metrics *m)
{
    json_t *j = json_object();
    json_object_set_new(j, "name", json_string(m->name));
    json_object_set_new(j, "pairs", json_integer((json_int_t)m->pairs));
    json_object_set_new(j, "tied", json_integer((json_int_t)m->tied));
    json_object_set_new(j, "skipped", json_integer((json_int_t)m->skipped));
    json_object_set_new(j, "invalid", json_integer((json_int_t)m->invalid));
    set_rate(j, "accuracy", &m->accuracy);
    set_rate(j, "accuracy_ab", &m->by_order[STE_ORDER_AB]);
    set_rate(j, "accuracy_ba", &m->by_order[STE_ORDER_BA]);
    set_rate(j, "consistent", &m->consistent);
    set_rate(j, "two_order", &m->two_order);
    if (m->best.rows) {
        json_object_set_new(j, "best_rows", json_integer((json_int_t)m->best.rows));
        set_rate(j, "best", &m->best.rate);
    }
    json_object_set_new(j, "undecided", json_integer((json_int_t)m->undecided));
    json_object_set_new(j, "first_position", figure(m->first_position));
    json_t *curve = json_array();
    for (int k = 0; k < STE_N_COVERAGE; k++)
        json_array_append_new(curve,
                              json_pack("{s:f, s:I, s:o}", "coverage", m->curve[k].coverage, "pairs",
                                        (json_int_t)m->curve[k].pairs, "accuracy", figure(m->curve[k].accuracy)));
    json_object_set_new(j, "coverage_curve", curve);
    return j;
}

void ste_judgment_json(const struct ste_judgment *j, json_t *row)
{
    json_object_set_new(row, "verdict", json_string(ste_verdict_name(j->verdict)));
    json_object_set_new(row, "reason", json_string(ste_invalid_name(j->reason)));
    json_object_set_new(row, "logprob_a", isfinite(j->logprob_a) ? json_real(j->logprob_a) : json_null());
    json_object_set_new(row, "logprob_b", isfinite(j->logprob_b) ? json_real(j->logprob_b) : json_null());
    json_object_set_new(row, "reasoning", json_string(j->reasoning ? j->reasoning : ""));
}

json_t *ste_comparison_json(const struct ste_comparison *c)
{
    json_t *j = json_object();
    json_object_set_new(j, "pairs", json_integer((json_int_t)c->pairs));
    json_object_set_new(j, "only_first", json_integer((json_int_t)c->only_first));
    json_object_set_new(j, "only_second", json_integer((json_int_t)c->only_second));
    json_object_set_new(j, "mcnemar_p", figure(c->mcnemar_p));
    json_object_set_new(j, "only_first_two_order", json_integer((json_int_t)c->only_first_two));
    json_object_set_new(j, "only_second_two_order", json_integer((json_int_t)c->only_second_two));
    json_object_set_new(j, "two_order_p", figure(c->two_order_p));
    set_rate(j, "accuracy_difference", &c->accuracy_difference);
    set_rate(j, "consistent_difference", &c->consistent_difference);
    set_rate(j, "two_order_difference", &c->two_order_difference);
    set_rate(j, "gain_telling", &c->gain_telling);
    set_rate(j, "gain_position", &c->gain_position);
    return j;
}
