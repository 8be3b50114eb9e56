#include "eval/outcomes.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/hash.h"
#include "core/json.h"
#include "core/mem.h"

static const char *const bias_keys[STE_N_BIASES] = {"longer", "formatted", "author"};
static const char *const order_keys[2] = {"ab", "ba"};

static struct ste_outcome_line *add_row(struct ste_outcome_table *t)
{
    STE_GROW(t->rows, t->cap, t->n + 1);
    struct ste_outcome_line *r = &t->rows[t->n++];
    *r = (struct ste_outcome_line){.o.drawn = -1};
    for (int k = 0; k < 2; k++)
        ste_judgment_clear(&r->o.order[k]);
    return r;
}

void ste_outcome_table_clear(struct ste_outcome_table *t)
{
    for (size_t i = 0; i < t->n; i++) {
        ste_outcomes_clear(&t->rows[i].o, 1);
        ste_xfree(t->rows[i].suite);
        ste_xfree(t->rows[i].subset);
        ste_xfree(t->rows[i].id);
        ste_xfree(t->rows[i].row_id);
    }
    ste_xfree(t->rows);
    *t = (struct ste_outcome_table){0};
}

static bool names(const json_t *row, const char *key, const char *author)
{
    const char *s = json_string_value(json_object_get(row, key));
    return s && strcmp(s, author) == 0;
}

/* Pairs of one row stand together under its key. */
static void set_row(struct ste_outcome_line *r, const char *row_id)
{
    r->row_id = ste_xstrdup(row_id);
    r->o.row_key = row_id ? ste_key_of("row", r->suite, row_id, NULL) | 1 : 0;
}

/* The name of the subset that P is in; NULL: its row does not say. Caller frees. */
static char *subset_of(const struct ste_answer_pairs *pairs, const struct ste_answer_pair *p, const char *group_by)
{
    const json_t *v = json_object_get(p->row, group_by);
    if (strcmp(group_by, "file") == 0)
        return ste_xstrdup(pairs->name);
    char *name = ste_json_name(v),
         *numbered = name && !ste_json_text(v) ? ste_xasprintf("%s %s", group_by, name) : NULL;
    if (!numbered)
        return name;
    ste_xfree(name);
    return numbered;
}

int ste_outcomes_add(struct ste_outcome_table *t, const struct ste_answer_pairs *pairs, struct ste_outcome *o,
                     const char *group_by, const char *author, struct ste_err *err)
{
    for (size_t i = 0; i < pairs->n; i++) {
        const struct ste_answer_pair *p = &pairs->items[i];
        char *subset = subset_of(pairs, p, group_by);
        if (!subset)
            return ste_err_set(err, STE_EINPUT, "%s:%ld: the field \"%s\", which names the subset, is missing",
                               pairs->path, p->line, group_by);
        struct ste_outcome_line *r = add_row(t);
        r->suite = ste_xstrdup(pairs->name);
        r->subset = subset;
        r->id = ste_xstrdup(p->id);
        r->o = o[i];
        set_row(r, p->row_id);
        if (author)
            r->o.side[STE_BIAS_AUTHOR] =
                (signed char)(names(p->row, "chosen_model", author) - names(p->row, "rejected_model", author));
        for (int k = 0; k < 2; k++) {
            o[i].order[k].reasoning = NULL;
            ste_judgment_clear(&o[i].order[k]);
        }
    }
    return 0;
}

/* ---- lines ---- */

static json_t *line_of(const struct ste_outcome_line *r)
{
    const struct ste_outcome *o = &r->o;
    char key[17];
    snprintf(key, sizeof key, "%016" PRIx64, o->prompt_key);
    json_t *row = json_object();
    json_object_set_new(row, "suite", json_string(r->suite));
    json_object_set_new(row, "subset", json_string(r->subset));
    json_object_set_new(row, "id", json_string(r->id));
    if (r->row_id)
        json_object_set_new(row, "row", json_string(r->row_id));
    json_object_set_new(row, "prompt_key", json_string(key));
    json_object_set_new(row, "state", json_string(!o->judged ? "tied" : o->skipped ? "skipped" : "judged"));
    json_object_set_new(row, "label", json_string(o->tie ? "tie" : "chosen"));
    for (int s = 0; s < STE_N_BIASES; s++)
        if (o->side[s])
            json_object_set_new(row, bias_keys[s], json_string(o->side[s] > 0 ? "chosen" : "rejected"));
    if (o->drawn >= 0)
        json_object_set_new(row, "is_shuffled", json_boolean(o->drawn));
    for (int k = 0; o->judged && k < 2; k++) {
        json_t *j = json_object();
        ste_judgment_json(&o->order[k], j);
        const struct ste_tally *v = &o->votes[k];
        if (v->a + v->b + v->invalid > 1)
            json_object_set_new(j, "votes", json_pack("[i, i, i]", v->a, v->b, v->invalid));
        json_object_set_new(row, order_keys[k], j);
    }
    return row;
}

static uint64_t draw_of(const struct ste_outcome_line *r, uint64_t seed)
{
    char text[32];
    snprintf(text, sizeof text, "%" PRIu64, seed);
    return ste_key_of("order", text, r->suite, r->id, NULL);
}

double ste_outcome_compat(const struct ste_outcome_line *row, enum ste_compat c, uint64_t seed, enum ste_winner *winner,
                          enum ste_order *order)
{
    const struct ste_outcome *o = &row->o;
    *order = o->drawn >= 0 ? (enum ste_order)o->drawn : (enum ste_order)(draw_of(row, seed) & 1);
    const struct ste_judgment *j = &o->order[*order];
    if (isfinite(j->logprob_a))
        *winner = j->verdict == STE_VERDICT_INVALID ? STE_WINNER_ERROR
                  : j->verdict == STE_VERDICT_TIE   ? STE_WINNER_TIE
                  : j->verdict == STE_VERDICT_A     ? STE_WINNER_A
                                                    : STE_WINNER_B;
    else
        *winner = ste_compat_read(c, j->reasoning ? j->reasoning : "");
    return ste_compat_score(*winner, *order == STE_ORDER_BA);
}

int ste_outcomes_write(const struct ste_outcome_table *t, enum ste_compat compat, uint64_t seed, const char *path,
                       struct ste_err *err)
{
    struct ste_jsonl_writer *w;
    int rc = ste_jsonl_create(&w, path, err);
    if (rc)
        return rc;
    for (size_t i = 0; i < t->n && !rc; i++) {
        json_t *row = line_of(&t->rows[i]);
        if (compat != STE_COMPAT_NONE && t->rows[i].o.judged) {
            enum ste_winner winner;
            enum ste_order order;
            double score = ste_outcome_compat(&t->rows[i], compat, seed, &winner, &order);
            json_object_set_new(
                row, "compat",
                json_pack("{ss ss sf}", "winner", ste_winner_name(winner), "order", order_keys[order], "score", score));
        }
        rc = ste_jsonl_write(w, row, err);
        json_decref(row);
    }
    return ste_jsonl_end(w, rc, err);
}

static double logprob_of(const json_t *v)
{
    return json_is_number(v) ? json_number_value(v) : NAN;
}

static int read_judgment(const json_t *j, struct ste_judgment *out, struct ste_tally *votes, const char *where,
                         struct ste_err *err)
{
    const char *verdict, *reason = "", *reasoning = "";
    int rc = json_is_object(j) ? ste_json_string(j, "verdict", true, &verdict, where, err)
                               : ste_err_set(err, STE_EINPUT, "%s: a judged pair has ab and ba, each an object", where);
    if (!rc)
        rc = ste_json_string(j, "reason", false, &reason, where, err);
    if (!rc)
        rc = ste_json_string(j, "reasoning", false, &reasoning, where, err);
    if (rc)
        return rc;
    int v = ste_verdict_parse(verdict);
    if (v < 0)
        return ste_err_set(err, STE_EINPUT, "%s: verdict is \"%s\"; it must be A, B, tie or invalid", where, verdict);
    out->verdict = (enum ste_verdict)v;
    out->reason = v == STE_VERDICT_INVALID ? STE_INVALID_NO_MARKER : STE_INVALID_NONE;
    for (int r = 0; r < STE_N_INVALID; r++)
        if (reason && strcmp(reason, ste_invalid_name((enum ste_invalid)r)) == 0 && *reason)
            out->reason = (enum ste_invalid)r;
    out->logprob_a = logprob_of(json_object_get(j, "logprob_a"));
    out->logprob_b = logprob_of(json_object_get(j, "logprob_b"));
    out->reasoning = reasoning && *reasoning ? ste_xstrdup(reasoning) : NULL;
    const json_t *n = json_object_get(j, "votes");
    *votes = json_array_size(n) == 3
                 ? (struct ste_tally){(int)json_integer_value(json_array_get(n, 0)),
                                      (int)json_integer_value(json_array_get(n, 1)),
                                      (int)json_integer_value(json_array_get(n, 2))}
                 : (struct ste_tally){v == STE_VERDICT_A, v == STE_VERDICT_B, v == STE_VERDICT_INVALID};
    return 0;
}

static int read_side(const json_t *row, const char *key, signed char *out, const char *where, struct ste_err *err)
{
    const char *s = NULL;
    int rc = ste_json_string(row, key, false, &s, where, err);
    if (rc || !s)
        return rc;
    *out = strcmp(s, "chosen") == 0 ? 1 : strcmp(s, "rejected") == 0 ? -1 : 0;
    return *out ? 0 : ste_err_set(err, STE_EINPUT, "%s: %s is \"%s\"; it must be chosen or rejected", where, key, s);
}

struct reading {
    struct ste_outcome_table *table;
    json_t *seen; /* suite and id to the line that has them */
};

/* A pair that is there twice would count twice. */
static int check_new(struct reading *g, const char *suite, const char *id, const char *where, struct ste_err *err)
{
    char *key = ste_xasprintf("%s\n%s", suite, id);
    const char *before = json_string_value(json_object_get(g->seen, key));
    int rc = before ? ste_err_set(err, STE_EINPUT, "%s: the pair %s of %s is there already (%s); take one of them out",
                                  where, id, suite, before)
                    : 0;
    json_object_set_new(g->seen, key, json_string(where));
    ste_xfree(key);
    return rc;
}

static int read_line(void *arg, json_t *row, const char *where, struct ste_err *err)
{
    struct reading *g = arg;
    struct ste_outcome_line *r = add_row(g->table);
    const char *suite, *subset = NULL, *id, *row_id = NULL, *key, *state, *label = "chosen";
    struct ste_outcome *o = &r->o;
    int rc = ste_json_string(row, "suite", true, &suite, where, err);
    if (!rc)
        rc = ste_json_string(row, "subset", false, &subset, where, err);
    if (!rc)
        rc = ste_json_string(row, "id", true, &id, where, err);
    if (!rc)
        rc = ste_json_string(row, "row", false, &row_id, where, err);
    if (!rc)
        rc = ste_json_string(row, "prompt_key", true, &key, where, err);
    if (!rc)
        rc = ste_json_string(row, "state", true, &state, where, err);
    if (!rc)
        rc = ste_json_string(row, "label", false, &label, where, err);
    if (!rc)
        rc = check_new(g, suite, id, where, err);
    if (rc)
        return rc;
    r->suite = ste_xstrdup(suite);
    r->subset = ste_xstrdup(subset ? subset : suite);
    r->id = ste_xstrdup(id);
    set_row(r, row_id);
    char *end;
    o->prompt_key = strtoull(key, &end, 16);
    if (*end || end == key)
        return ste_err_set(err, STE_EINPUT, "%s: prompt_key \"%s\" is no hexadecimal number", where, key);
    if (strcmp(state, "tied") && strcmp(state, "judged") && strcmp(state, "skipped"))
        return ste_err_set(err, STE_EINPUT, "%s: state is \"%s\"; it must be judged, skipped or tied", where, state);
    if (strcmp(label, "chosen") && strcmp(label, "tie"))
        return ste_err_set(err, STE_EINPUT, "%s: label is \"%s\"; it must be chosen or tie", where, label);
    o->judged = strcmp(state, "tied") != 0;
    o->skipped = strcmp(state, "skipped") == 0;
    o->tie = strcmp(label, "tie") == 0 || !o->judged;
    const json_t *drawn = json_object_get(row, "is_shuffled");
    o->drawn = (signed char)(json_is_boolean(drawn) ? json_is_true(drawn) : -1);
    for (int s = 0; s < STE_N_BIASES && !rc; s++)
        rc = read_side(row, bias_keys[s], &o->side[s], where, err);
    for (int k = 0; o->judged && k < 2 && !rc; k++)
        rc = read_judgment(json_object_get(row, order_keys[k]), &o->order[k], &o->votes[k], where, err);
    return rc;
}

int ste_outcomes_read(struct ste_outcome_table *t, const char *path, struct ste_err *err)
{
    struct reading g = {t, json_object()};
    int rc = ste_jsonl_each(path, read_line, &g, err);
    json_decref(g.seen);
    if (!rc && !t->n)
        rc = ste_err_set(err, STE_EINPUT, "%s has no outcomes: `ste eval --outcomes FILE` writes them", path);
    return rc;
}
