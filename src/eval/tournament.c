#include "eval/tournament.h"

#include <math.h>
#include <string.h>

#include "core/hash.h"
#include "core/mem.h"
#include "eval/schedule.h"

void ste_contest_clear(struct ste_contest *c)
{
    ste_strings_clear(&c->models);
    ste_xfree(c->matches);
}

static void add_match(struct ste_contest *c, int i, int j, double score, uint64_t cluster)
{
    STE_GROW(c->matches, c->cap, c->n + 1);
    c->matches[c->n++] = (struct ste_match){i, j, score, cluster};
}

/* ---- from recorded results ---- */

/* 1, 0 or 0.5 for a winner, -1 for a judgment that failed. */
static int score_of(const json_t *row, const char *key, double *score, const char *where, struct ste_err *err)
{
    const char *winner;
    int sign, rc = ste_json_string(row, key, true, &winner, where, err);
    if (rc)
        return rc;
    *score = -1;
    if (strcmp(winner, "error") == 0)
        return 0;
    if (ste_vote_read(winner, &sign))
        return ste_err_set(err, STE_EINPUT,
                           "%s: %s is \"%s\"; it must be model_a, model_b, tie or both_bad (of FastChat's judgments "
                           "model_1, model_2, tie or error)",
                           where, key, winner);
    *score = (1 + sign) / 2.0;
    return 0;
}

/* A result that is there already, where it says whose it is: like votes of two people may be two. */
static bool is_doubled(struct ste_contest *c, const json_t *row, bool pair)
{
    if (!pair && !json_object_get(row, "id") && !json_object_get(row, "judge"))
        return false;
    char *whole = ste_json_canonical(row);
    const bool there = json_object_get(c->seen, whole);
    json_object_set_new(c->seen, whole, json_true());
    ste_xfree(whole);
    c->doubled += there;
    return there;
}

/* A battle (model_a, model_b, winner), or FastChat's judgment of a pair (model_1, model_2, g1_winner, g2_winner), which
 * is a tie unless both games name the same model; two-order: by the margin that our own files of them have. */
static int add_recorded(void *arg, json_t *row, const char *where, struct ste_err *err)
{
    struct ste_contest *c = arg;
    const bool pair = json_object_get(row, "g1_winner") != NULL;
    const char *a = json_string_value(json_object_get(row, pair ? "model_1" : "model_a")),
               *b = json_string_value(json_object_get(row, pair ? "model_2" : "model_b"));
    double first, second;
    if (!a || !b || strcmp(a, b) == 0)
        return ste_err_set(
            err, STE_EINPUT,
            "%s: no result in it; give model_a, model_b, which are two, and winner, or FastChat's model_1, "
            "model_2, g1_winner and g2_winner",
            where);
    int rc = score_of(row, pair ? "g1_winner" : "winner", &first, where, err);
    if (!rc)
        rc = score_of(row, pair ? "g2_winner" : "winner", &second, where, err);
    if (rc || is_doubled(c, row, pair))
        return rc;
    const json_t *margin = json_object_get(row, "margin");
    if (c->two_order && !(pair && (json_is_number(margin) || json_is_null(margin))))
        return ste_err_set(err, STE_EINPUT,
                           "%s: no margin in it, which --verdict two-order ranks by; `ste rank --out` writes it",
                           where);
    if (c->two_order) {
        const double m = json_number_value(margin);
        first = second = json_is_null(margin) ? -1 : m > 0 ? 1 : m < 0 ? 0 : 0.5;
    }
    const json_t *id = json_object_get(row, "question_id");
    char *text = id ? json_dumps(id, JSON_ENCODE_ANY) : ste_xstrdup(where);
    const int i = (int)ste_strings_place(&c->models, a), j = (int)ste_strings_place(&c->models, b);
    if (first < 0 || second < 0)
        c->invalid++;
    else
        add_match(c, i, j, first == second ? first : 0.5, ste_key_of("recorded", text, NULL));
    ste_xfree(text);
    return 0;
}

int ste_contest_read(struct ste_contest *c, const char *path, struct ste_err *err)
{
    c->seen = json_object();
    int rc = ste_jsonl_each(path, add_recorded, c, err);
    json_decref(c->seen);
    if (!rc && c->models.n < 2)
        rc = ste_err_set(err, STE_EINPUT, "%s has no result", path);
    if (!rc && c->doubled)
        ste_warn("%s: %zu result%s there already and counted once", path, c->doubled,
                 c->doubled == 1 ? " is" : "s are");
    return rc;
}

/* ---- by a judge ---- */

static const char *fastchat_winner(const struct ste_judgment *g, bool swapped)
{
    if (g->verdict == STE_VERDICT_INVALID)
        return "error";
    if (g->verdict == STE_VERDICT_TIE)
        return "tie";
    return (g->verdict == STE_VERDICT_A) != swapped ? "model_1" : "model_2";
}

static json_t *fastchat_row(const struct ste_session *judge, const struct ste_answered *p, const char *first,
                            const char *second, const struct ste_outcome *out)
{
    const struct ste_judgment *g = out->order;
    json_t *row = json_object();
    json_object_set_new(row, "question_id", json_string(p->id));
    json_object_set_new(row, "model_1", json_string(first));
    json_object_set_new(row, "model_2", json_string(second));
    json_object_set_new(row, "g1_winner", json_string(fastchat_winner(&g[0], false)));
    json_object_set_new(row, "g2_winner", json_string(fastchat_winner(&g[1], true)));
    const double margin = ste_outcome_margin(out); /* in favour of model_1 */
    json_object_set_new(row, "margin", isnan(margin) ? json_null() : json_real(margin));
    json_object_set_new(row, "judge", json_pack("[s, s]", judge->name, ste_session_pack_name(judge)));
    json_object_set_new(row, "g1_judgment", json_string(g[0].reasoning ? g[0].reasoning : ""));
    json_object_set_new(row, "g2_judgment", json_string(g[1].reasoning ? g[1].reasoning : ""));
    json_object_set_new(row, "turn", json_integer(1));
    return row;
}

/* AlpacaEval's annotation: preference 1 for output_1, 2 for output_2, 1.5 for a tie, null for none. */
static json_t *alpacaeval_row(const struct ste_session *judge, const struct ste_answered *p, const char *first,
                              const char *second, const char *output_1, const char *output_2, enum ste_final final)
{
    struct ste_buf text = STE_BUF_INIT;
    ste_dialogue_text(&p->prompt, &text);
    json_t *row = json_object();
    json_object_set_new(row, "instruction", json_string(text.s));
    json_object_set_new(row, "output_1", json_string(output_1));
    json_object_set_new(row, "generator_1", json_string(first));
    json_object_set_new(row, "output_2", json_string(output_2));
    json_object_set_new(row, "generator_2", json_string(second));
    json_object_set_new(row, "annotator", json_string(judge->name));
    json_object_set_new(row, "preference",
                        final == STE_FINAL_CHOSEN     ? json_real(1)
                        : final == STE_FINAL_REJECTED ? json_real(2)
                        : final == STE_FINAL_TIE      ? json_real(1.5)
                                                      : json_null());
    ste_buf_clear(&text);
    return row;
}

/* A judge on the answers of models, and where its verdicts go. */
struct holding {
    struct ste_session *judge;
    const struct ste_answers *a;
    struct ste_contest *c;
    struct ste_jsonl_writer *w; /* or NULL */
    enum ste_match_format format;
    struct ste_progress *progress;
};

static int judge_bouts(const struct holding *h, const struct ste_bout *bouts, size_t n, struct ste_err *err)
{
    const struct ste_answers *a = h->a;
    struct ste_contest *c = h->c;
    struct ste_answer_pairs pairs = {.path = "answers", .name = "answers", .n = n};
    struct ste_outcome *out = ste_xcalloc(n, sizeof *out);
    pairs.items = ste_xcalloc(n, sizeof *pairs.items); /* all in them is borrowed */
    for (size_t k = 0; k < n; k++) {
        const struct ste_answered *p = &a->prompts[bouts[k].prompt];
        pairs.items[k] = (struct ste_answer_pair){
            .id = p->id, .prompt = p->prompt, .first = p->texts[bouts[k].i], .second = p->texts[bouts[k].j]};
    }
    int rc = ste_eval_pairs(h->judge, &pairs, true, out, h->progress, err);
    for (size_t k = 0; k < n && !rc; k++) {
        const struct ste_bout *b = &bouts[k];
        const struct ste_answered *p = &a->prompts[b->prompt];
        const enum ste_final final = c->two_order ? ste_outcome_two_order(&out[k]) : ste_outcome_final(&out[k]);
        const char *first = a->models.items[b->i], *second = a->models.items[b->j];
        if (final == STE_FINAL_INVALID)
            c->invalid++;
        else
            add_match(c, b->i, b->j, final == STE_FINAL_CHOSEN ? 1 : final == STE_FINAL_REJECTED ? 0 : 0.5, b->prompt);
        if (c->judged)
            c->judged(c->arg, &pairs.items[k], (const char *const[]){first, second}, &out[k]);
        if (!h->w)
            continue;
        json_t *row = h->format == STE_MATCH_ALPACAEVAL
                          ? alpacaeval_row(h->judge, p, first, second, p->texts[b->i], p->texts[b->j], final)
                          : fastchat_row(h->judge, p, first, second, &out[k]);
        rc = ste_jsonl_write(h->w, row, err);
        json_decref(row);
    }
    ste_outcomes_clear(out, n);
    ste_xfree(out);
    ste_xfree(pairs.items);
    return rc;
}

#define ROUNDS 8 /* of a limited number of bouts: after each the ratings say which pairs of models to compare next */

int ste_contest_hold(struct ste_contest *c, struct ste_session *judge, const struct ste_answers *a, size_t bouts,
                     uint64_t seed, struct ste_jsonl_writer *w, enum ste_match_format format, struct ste_err *err)
{
    const size_t models = a->models.n;
    size_t all = 0;
    for (size_t p = 0; p < a->n; p++)
        for (size_t i = 0; i < models; i++)
            for (size_t j = i + 1; j < models; j++)
                all += ste_answer_of(a, p, i) && ste_answer_of(a, p, j);
    const size_t total = bouts && bouts < all ? bouts : all,
                 a_round = total < all ? (total + ROUNDS - 1) / ROUNDS : total;
    if (total == 0)
        return ste_err_set(err, STE_EINPUT, "no prompt was answered by two models");
    char *title = ste_session_title(judge);
    ste_info("%s: %zu of %zu pairs of answers of %zu models, in both orders", title, total, all, models);
    ste_xfree(title);
    for (size_t i = 0; i < models; i++)
        ste_strings_add(&c->models, a->models.items[i]);
    struct ste_bouts *s = ste_bouts_new(a, seed);
    struct ste_bout *next = ste_xcalloc(a_round, sizeof *next);
    double *ratings = ste_xcalloc(models, sizeof *ratings);
    const struct holding h = {judge, a,      c,
                              w,     format, ste_progress_new("rank", "verdicts", ste_eval_calls(judge, total, true))};
    int rc = 0;
    for (size_t done = 0; done < total && !rc;) {
        int which;
        struct ste_err none = {0};
        const bool rated = c->n && ste_rate_models(c->matches, c->n, (int)models, 0.01, ratings, &which, &none) == 0;
        const size_t want = total - done < a_round ? total - done : a_round,
                     n = ste_bouts_next(s, want, rated ? ratings : NULL, next);
        if (!n)
            break;
        rc = judge_bouts(&h, next, n, err);
        done += n;
    }
    ste_progress_end(h.progress);
    ste_xfree(ratings);
    ste_xfree(next);
    ste_bouts_free(s);
    return rc;
}
