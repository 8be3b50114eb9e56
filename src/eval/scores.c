#include "eval/scores.h"

#include <math.h>
#include <string.h>

#include "core/json.h"
#include "core/mem.h"

static const char *const bias_names[STE_N_BIASES] = {"length", "format", "author"};

/* The outcomes of a subset, side by side; the strings in them stay the table's. */
struct group {
    const char *name;
    struct ste_outcome *o;
    size_t n, cap;
    double weight; /* in the overall score; 0: not part of it */
};

struct groups {
    struct group *items;
    size_t n, cap;
};

static struct group *group_of(struct groups *g, const char *name, bool add)
{
    for (size_t i = 0; i < g->n; i++)
        if (strcmp(g->items[i].name, name) == 0)
            return &g->items[i];
    if (!add)
        return NULL;
    STE_GROW(g->items, g->cap, g->n + 1);
    g->items[g->n] = (struct group){.name = name};
    return &g->items[g->n++];
}

static void collect(struct groups *g, const struct ste_outcome_table *t, const struct ste_scores_params *p)
{
    for (size_t s = 0; p->suite && s < p->suite->n_sections; s++)
        for (size_t k = 0; k < p->suite->sections[s].n; k++)
            group_of(g, p->suite->sections[s].subsets[k].name, true);
    for (size_t i = 0; i < t->n; i++) {
        struct group *to = group_of(g, t->rows[i].subset, true);
        STE_GROW(to->o, to->cap, to->n + 1);
        to->o[to->n] = t->rows[i].o;
        if (p->compat != STE_COMPAT_NONE && t->rows[i].o.judged) {
            enum ste_winner winner;
            enum ste_order order;
            to->o[to->n].compat = ste_outcome_compat(&t->rows[i], p->compat, p->seed, &winner, &order);
        }
        to->n++;
    }
}

static void metrics_over(const struct groups *g, const double *weights, const char *name, uint64_t seed,
                         struct ste_metrics *out)
{
    const struct ste_outcome **o = ste_xcalloc(g->n + 1, sizeof *o);
    size_t *n = ste_xcalloc(g->n + 1, sizeof *n), used = 0;
    double *w = ste_xcalloc(g->n + 1, sizeof *w);
    for (size_t i = 0; i < g->n; i++)
        if (weights[i] > 0) {
            o[used] = g->items[i].o;
            n[used] = g->items[i].n;
            w[used++] = weights[i];
        }
    ste_metrics_overall(o, n, used, w, seed, out);
    out->name = name;
    ste_xfree(o);
    ste_xfree(n);
    ste_xfree(w);
}

static int missing(const struct ste_suite *s, const char *subset, struct ste_err *err)
{
    return ste_err_set(err, STE_EINPUT,
                       "the suite %s has the subset %s, and no pair of it was given; add its file, or score the "
                       "others with --partial",
                       s->name, subset);
}

/* Sections, and each subset's weight in the overall score. */
static int sections_of(struct groups *g, const struct ste_scores_params *p, struct ste_scores *out, struct ste_err *err)
{
    const struct ste_suite *s = p->suite;
    double *weights = ste_xcalloc(g->n + 1, sizeof *weights), of_sections = 0;
    int rc = 0;
    out->sections = ste_xcalloc(s->n_sections + 1, sizeof *out->sections);
    for (size_t i = 0; i < s->n_sections && !rc; i++) {
        const struct ste_suite_section *t = &s->sections[i];
        double sum = 0;
        size_t there = 0;
        memset(weights, 0, g->n * sizeof *weights);
        for (size_t k = 0; k < t->n; k++) {
            struct group *u = group_of(g, t->subsets[k].name, false);
            if (!u->n)
                continue;
            weights[u - g->items] = t->subsets[k].weight;
            sum += t->subsets[k].weight;
            there++;
        }
        for (size_t k = 0; k < t->n && there < t->n && !p->partial && !(t->optional && !there) && !rc; k++)
            if (!group_of(g, t->subsets[k].name, false)->n)
                rc = missing(s, t->subsets[k].name, err);
        if (rc || !there)
            continue;
        metrics_over(g, weights, t->name, p->seed, &out->sections[out->n_sections++]);
        of_sections += t->weight;
        for (size_t k = 0; k < g->n; k++)
            if (weights[k] > 0)
                g->items[k].weight = t->weight * weights[k] / sum;
    }
    if (!rc && of_sections == 0)
        rc = ste_err_set(err, STE_EINPUT, "no pair belongs to a subset of the suite %s", s->name);
    ste_xfree(weights);
    return rc;
}

static void count_votes(const struct ste_outcome *o, struct ste_scores *out)
{
    for (int k = 0; k < 2; k++) {
        size_t cast = (size_t)(o->votes[k].a + o->votes[k].b + o->votes[k].invalid);
        out->votes += cast;
        if (cast > out->votes_most)
            out->votes_most = cast;
    }
}

static void sure_of(const struct ste_outcome *o, size_t n, const struct ste_scores_params *p, struct ste_scores *out)
{
    struct ste_outcome *part = ste_xcalloc(n + 1, sizeof *part); /* shallow */
    struct ste_metrics m;
    size_t sure = 0;
    for (size_t i = 0; i < n; i++) {
        out->sure.of += o[i].judged && !o[i].tie;
        if (fabs(ste_outcome_margin(&o[i])) >= p->min_margin)
            part[sure++] = o[i];
    }
    ste_metrics_of(part, sure, "", p->seed, &m);
    out->sure.pairs = m.pairs;
    out->sure.two_order = m.two_order;
    ste_xfree(part);
}

/* What is counted over all pairs, whatever their subset. */
static void pooled(const struct groups *g, const struct ste_scores_params *p, struct ste_scores *out)
{
    struct group all = {0};
    for (size_t i = 0; i < g->n; i++)
        for (size_t k = 0; k < g->items[i].n; k++) {
            STE_GROW(all.o, all.cap, all.n + 1);
            all.o[all.n++] = g->items[i].o[k];
        }
    bool ties = p->suite && p->suite->format == STE_PAIRS_MTBENCH_VOTES;
    for (size_t i = 0; i < all.n; i++) {
        if (!all.o[i].judged)
            continue;
        ties |= all.o[i].tie;
        out->final[ste_outcome_final(&all.o[i])]++;
        count_votes(&all.o[i], out);
    }
    for (int s = 0; s < STE_N_BIASES; s++) {
        for (int side = 0; side < 2; side++)
            out->sides[s][side].pairs =
                ste_metrics_side(all.o, all.n, (enum ste_bias)s, side ? -1 : 1, p->seed, &out->sides[s][side].accuracy);
        out->liking[s].pairs =
            ste_metrics_liking(all.o, all.n, (enum ste_bias)s, p->seed, &out->liking[s].named, &out->liking[s].right);
    }
    out->has_agreement = ties;
    for (int k = 0; ties && k < 2; k++)
        ste_agreement_of(all.o, all.n, k == 0, p->seed, &out->agreement[k]);
    out->kappa = ste_kappa_of(all.o, all.n);
    if (p->min_margin > 0)
        sure_of(all.o, all.n, p, out);
    if (p->logits)
        ste_calibration_of(all.o, all.n, p->temperature, p->seed, &out->calibration);
    ste_xfree(all.o);
}

int ste_scores_of(const struct ste_outcome_table *t, const struct ste_scores_params *p, struct ste_scores *out,
                  struct ste_err *err)
{
    struct groups g = {0};
    *out = (struct ste_scores){.title = p->suite ? p->suite->title : NULL,
                               .compat = p->compat,
                               .logits = p->logits,
                               .min_margin = p->min_margin};
    collect(&g, t, p);
    bool sections = p->suite && p->suite->n_sections;
    int rc = sections ? sections_of(&g, p, out, err) : 0;
    double *weights = ste_xcalloc(g.n + 1, sizeof *weights);
    out->subsets = ste_xcalloc(g.n + 1, sizeof *out->subsets);
    for (size_t i = 0; i < g.n && !rc; i++) {
        weights[i] = sections ? g.items[i].weight : 1;
        if (g.items[i].n)
            ste_metrics_of(g.items[i].o, g.items[i].n, g.items[i].name, p->seed, &out->subsets[out->n_subsets++]);
    }
    if (!rc) {
        metrics_over(&g, weights, "overall", p->seed, &out->overall);
        pooled(&g, p, out);
    } else {
        ste_scores_clear(out);
    }
    for (size_t i = 0; i < g.n; i++)
        ste_xfree(g.items[i].o);
    ste_xfree(g.items);
    ste_xfree(weights);
    return rc;
}

void ste_scores_clear(struct ste_scores *s)
{
    ste_xfree(s->subsets);
    ste_xfree(s->sections);
    *s = (struct ste_scores){0};
}

double ste_scores_coverage(const struct ste_scores *s)
{
    size_t asked = 0, invalid = 0;
    for (size_t i = 0; i < s->n_subsets; i++) {
        asked += 2 * s->subsets[i].pairs;
        invalid += s->subsets[i].invalid;
    }
    return asked ? (double)(asked - invalid) / (double)asked : 1;
}

/* ---- printed ---- */

static void side_lines(const struct ste_scores *s, struct ste_buf *out)
{
    static const char *const has[STE_N_BIASES][2] = {{"chosen answer longer", "chosen answer shorter"},
                                                     {"only the chosen has Markdown", "only the rejected has Markdown"},
                                                     {"chosen by the judge's model", "rejected by the judge's model"}};
    static const char *const more[STE_N_BIASES] = {"two-order names the longer one", "names the one with Markdown",
                                                   "names the judge's model's"};
    bool any = false;
    for (int k = 0; k < STE_N_BIASES; k++)
        for (int side = 0; side < 2; side++) {
            size_t pairs = s->sides[k][side].pairs;
            const struct ste_rate *r = &s->sides[k][side].accuracy;
            if (!pairs)
                continue;
            if (!any)
                ste_buf_adds(out, "\naccuracy by what may bias       pairs\n");
            any = true;
            ste_buf_addf(out, "%-31s %5zu  %.3f [%.3f %.3f]\n", has[k][side], pairs, r->value, r->lo, r->hi);
        }
    for (int k = 0; k < STE_N_BIASES; k++) {
        const struct ste_rate *r = &s->liking[k].named;
        if (s->liking[k].pairs)
            ste_buf_addf(out, "%-31s %5zu  %.3f [%.3f %.3f]; right %.3f\n", more[k], s->liking[k].pairs, r->value,
                         r->lo, r->hi, s->liking[k].right);
    }
}

static void agreement_lines(const struct ste_scores *s, struct ste_buf *out)
{
    static const char *const setups[2] = {"with ties (setup 1)", "without ties (setup 2)"};
    ste_buf_adds(out, "\nagreement with the votes        votes\n");
    for (int k = 0; k < 2; k++) {
        const struct ste_agreement *a = &s->agreement[k];
        ste_buf_addf(out, "%-31s %5zu  %.3f [%.3f %.3f]\n", setups[k], a->votes, a->rate.value, a->rate.lo, a->rate.hi);
    }
}

static void best_line(const struct ste_metrics *m, struct ste_buf *out)
{
    const struct ste_rate *r = &m->best.rate;
    if (!m->best.rows)
        return;
    ste_name_column(out, m->name, 31);
    ste_buf_addf(out, " %5zu  %.3f [%.3f %.3f]\n", m->best.rows, r->value, r->lo, r->hi);
}

/* Rows of several answers. */
static void best_lines(const struct ste_scores *s, struct ste_buf *out)
{
    if (!s->overall.best.rows)
        return;
    ste_buf_adds(out, "\nall chosen answers beat all others rows (two-order)\n");
    for (size_t i = 0; i < s->n_subsets; i++)
        best_line(&s->subsets[i], out);
    for (size_t i = 0; i < s->n_sections; i++)
        best_line(&s->sections[i], out);
    if (s->n_subsets + s->n_sections > 1)
        best_line(&s->overall, out);
}

static void compat_line(const struct ste_metrics *m, struct ste_buf *out)
{
    ste_name_column(out, m->name, 31);
    ste_buf_addf(out, " %5zu  %.4f\n", m->pairs, m->compat);
}

void ste_scores_table(const struct ste_scores *s, struct ste_buf *out)
{
    size_t n = s->n_subsets + s->n_sections;
    struct ste_metrics *lines = ste_xcalloc(n + 1, sizeof *lines);
    memcpy(lines, s->subsets, s->n_subsets * sizeof *lines);
    memcpy(lines + s->n_subsets, s->sections, s->n_sections * sizeof *lines);
    if (s->title)
        ste_buf_addf(out, "%s\n\n", s->title);
    ste_metrics_table(lines, n, &s->overall, out);
    ste_xfree(lines);
    size_t judged = s->final[0] + s->final[1] + s->final[2] + s->final[3];
    ste_buf_addf(out, "coverage %.1f %%; the orders agree on %zu of %zu pairs, differ on %zu",
                 100 * ste_scores_coverage(s), s->final[STE_FINAL_CHOSEN] + s->final[STE_FINAL_REJECTED], judged,
                 s->final[STE_FINAL_TIE]);
    if (!isnan(s->kappa))
        ste_buf_addf(out, "\nkappa with the labels %.3f", s->kappa);
    ste_buf_addc(out, '\n');
    if (s->min_margin > 0) {
        const struct ste_rate *r = &s->sure.two_order;
        ste_buf_addf(out, "margin of %g or more: %zu of %zu pairs (%.1f %%)", s->min_margin, s->sure.pairs, s->sure.of,
                     s->sure.of ? 100 * (double)s->sure.pairs / (double)s->sure.of : 0);
        if (s->sure.pairs)
            ste_buf_addf(out, ", two-order %.3f [%.3f %.3f]", r->value, r->lo, r->hi);
        ste_buf_addc(out, '\n');
    }
    if (s->votes_most > 1) {
        size_t full = 2 * judged * s->votes_most;
        ste_buf_addf(out, "votes: %zu cast of %zu; stopping early saved %.0f %%\n", s->votes, full,
                     full ? 100 * (1 - (double)s->votes / (double)full) : 0);
    }
    if (s->compat != STE_COMPAT_NONE) {
        ste_buf_addf(out, "\nscored as %s does (one order a pair, an unreadable verdict is half right):\n",
                     ste_compat_name(s->compat));
        for (size_t i = 0; i < s->n_sections; i++)
            compat_line(&s->sections[i], out);
        compat_line(&s->overall, out);
    }
    if (s->logits) {
        const struct ste_calibration *c = &s->calibration;
        ste_buf_addf(out,
                     "\nlog-odds of both orders         %5zu  %.3f [%.3f %.3f] right\n"
                     "at temperature %.3g the expected calibration error is %.3f\n",
                     c->pairs, c->accuracy.value, c->accuracy.lo, c->accuracy.hi, c->temperature, c->ece);
    }
    best_lines(s, out);
    if (s->has_agreement)
        agreement_lines(s, out);
    side_lines(s, out);
}

static json_t *number(double v)
{
    return isfinite(v) ? json_real(v) : json_null();
}

static json_t *rate_json(size_t n, const char *what, const struct ste_rate *r)
{
    json_t *j = json_object();
    json_object_set_new(j, what, json_integer((json_int_t)n));
    json_object_set_new(j, "rate", number(r->value));
    json_object_set_new(j, "lo", number(r->lo));
    json_object_set_new(j, "hi", number(r->hi));
    return j;
}

static json_t *metrics_list(const struct ste_metrics *m, size_t n, bool compat)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) {
        json_t *j = ste_metrics_json(&m[i]);
        if (compat)
            json_object_set_new(j, "compat", number(m[i].compat));
        json_array_append_new(list, j);
    }
    return list;
}

void ste_scores_json(const struct ste_scores *s, json_t *j)
{
    bool compat = s->compat != STE_COMPAT_NONE;
    if (s->title)
        json_object_set_new(j, "title", json_string(s->title));
    json_object_set_new(j, "subsets", metrics_list(s->subsets, s->n_subsets, compat));
    if (s->n_sections)
        json_object_set_new(j, "sections", metrics_list(s->sections, s->n_sections, compat));
    json_t *overall = metrics_list(&s->overall, 1, compat);
    json_object_set(j, "overall", json_array_get(overall, 0));
    json_decref(overall);
    json_object_set_new(j, "coverage", number(ste_scores_coverage(s)));
    json_object_set_new(j, "kappa", number(s->kappa));
    json_object_set_new(j, "final",
                        json_pack("{sI sI sI sI}", "chosen", (json_int_t)s->final[0], "rejected",
                                  (json_int_t)s->final[1], "tie", (json_int_t)s->final[2], "invalid",
                                  (json_int_t)s->final[3]));
    if (s->min_margin > 0) {
        json_t *sure = rate_json(s->sure.pairs, "pairs", &s->sure.two_order);
        json_object_set_new(sure, "margin", json_real(s->min_margin));
        json_object_set_new(sure, "coverage",
                            s->sure.of ? json_real((double)s->sure.pairs / (double)s->sure.of) : json_null());
        json_object_set_new(j, "min_margin", sure);
    }
    json_t *splits = json_object();
    for (int k = 0; k < STE_N_BIASES; k++)
        for (int side = 0; side < 2; side++) {
            char name[32];
            snprintf(name, sizeof name, "%s_%s", bias_names[k], side ? "rejected" : "chosen");
            if (s->sides[k][side].pairs)
                json_object_set_new(splits, name,
                                    rate_json(s->sides[k][side].pairs, "pairs", &s->sides[k][side].accuracy));
        }
    json_object_set_new(j, "splits", splits);
    json_t *liking = json_object();
    for (int k = 0; k < STE_N_BIASES; k++) {
        if (!s->liking[k].pairs)
            continue;
        json_t *of = rate_json(s->liking[k].pairs, "pairs", &s->liking[k].named);
        json_object_set_new(of, "right", number(s->liking[k].right));
        json_object_set_new(liking, bias_names[k], of);
    }
    json_object_set_new(j, "liking", liking);
    if (compat)
        json_object_set_new(j, "compat", json_string(ste_compat_name(s->compat)));
    if (s->votes_most > 1)
        json_object_set_new(j, "votes", json_integer((json_int_t)s->votes));
    if (s->has_agreement) {
        json_object_set_new(j, "agreement_with_ties", rate_json(s->agreement[0].votes, "votes", &s->agreement[0].rate));
        json_object_set_new(j, "agreement_without_ties",
                            rate_json(s->agreement[1].votes, "votes", &s->agreement[1].rate));
    }
    if (s->logits) {
        json_t *c = rate_json(s->calibration.pairs, "pairs", &s->calibration.accuracy);
        json_object_set_new(c, "temperature", number(s->calibration.temperature));
        json_object_set_new(c, "ece", number(s->calibration.ece));
        json_object_set_new(c, "nll", number(s->calibration.nll));
        json_object_set_new(j, "logits", c);
    }
}
