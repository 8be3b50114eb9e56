#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/judging.h"
#include "core/hash.h"
#include "core/json.h"
#include "core/mem.h"
#include "data/answers.h"
#include "eval/ranking.h"
#include "eval/schedule.h"

struct options {
    const char *judge, *questions, *from, *out, *format, *json, *verdict;
    struct ste_strings answers;
    long long bouts;
    struct ste_judging_flags f;
};

struct contest {
    struct ste_strings models;
    struct ste_match *matches;
    size_t n, cap, invalid, doubled;
    json_t *seen;   /* recorded results that say whose they are, word for word */
    bool two_order; /* a result is the margin's sign, not what both orders name */
};

static void add_match(struct contest *c, int i, int j, double score, uint64_t cluster)
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
static bool is_doubled(struct contest *c, const json_t *row, bool pair)
{
    if (!pair && !json_object_get(row, "id") && !json_object_get(row, "judge"))
        return false;
    char *whole = ste_json_canonical(row);
    const bool there = json_object_get(c->seen, whole);
    json_object_set_new(c->seen, whole, json_true());
    free(whole);
    c->doubled += there;
    return there;
}

/* A battle (model_a, model_b, winner), or FastChat's judgment of a pair (model_1, model_2, g1_winner, g2_winner), which
 * is a tie unless both games name the same model; two-order: by the margin that our own files of them have. */
static int add_recorded(void *arg, json_t *row, const char *where, struct ste_err *err)
{
    struct contest *c = arg;
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
    free(text);
    return 0;
}

static int read_recorded(struct contest *c, const char *path, struct ste_err *err)
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

static json_t *fastchat_row(const struct options *o, const struct ste_open_judge *judge, const struct ste_answered *p,
                            const char *first, const char *second, const struct ste_outcome *out)
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
    json_object_set_new(row, "judge", json_pack("[s, s]", o->judge, ste_judge_prompt_name(judge)));
    json_object_set_new(row, "g1_judgment", json_string(g[0].reasoning ? g[0].reasoning : ""));
    json_object_set_new(row, "g2_judgment", json_string(g[1].reasoning ? g[1].reasoning : ""));
    json_object_set_new(row, "turn", json_integer(1));
    return row;
}

/* AlpacaEval's annotation: preference 1 for output_1, 2 for output_2, 1.5 for a tie, null for none. */
static json_t *alpacaeval_row(const struct options *o, const struct ste_answered *p, const char *first,
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
    json_object_set_new(row, "annotator", json_string(o->judge));
    json_object_set_new(row, "preference",
                        final == STE_FINAL_CHOSEN     ? json_real(1)
                        : final == STE_FINAL_REJECTED ? json_real(2)
                        : final == STE_FINAL_TIE      ? json_real(1.5)
                                                      : json_null());
    ste_buf_clear(&text);
    return row;
}

static int judge_bouts(const struct options *o, struct ste_open_judge *judge, const struct ste_answers *a,
                       const struct ste_bout *bouts, size_t n, struct contest *c, struct ste_jsonl_writer *w,
                       struct ste_progress *progress, struct ste_err *err)
{
    struct ste_answer_pairs pairs = {.path = "answers", .name = "answers", .n = n};
    struct ste_outcome *out = ste_xcalloc(n, sizeof *out);
    pairs.items = ste_xcalloc(n, sizeof *pairs.items); /* all in them is borrowed */
    for (size_t k = 0; k < n; k++) {
        const struct ste_answered *p = &a->prompts[bouts[k].prompt];
        pairs.items[k] = (struct ste_answer_pair){
            .id = p->id, .prompt = p->prompt, .first = p->texts[bouts[k].i], .second = p->texts[bouts[k].j]};
    }
    int rc = ste_open_judge_pairs(judge, &pairs, true, out, progress, err);
    for (size_t k = 0; k < n && !rc; k++) {
        const struct ste_bout *b = &bouts[k];
        const struct ste_answered *p = &a->prompts[b->prompt];
        const enum ste_final final = c->two_order ? ste_outcome_two_order(&out[k]) : ste_outcome_final(&out[k]);
        const char *first = a->models.items[b->i], *second = a->models.items[b->j];
        if (final == STE_FINAL_INVALID)
            c->invalid++;
        else
            add_match(c, b->i, b->j, final == STE_FINAL_CHOSEN ? 1 : final == STE_FINAL_REJECTED ? 0 : 0.5, b->prompt);
        if (!w)
            continue;
        json_t *row = strcmp(o->format, "alpacaeval") == 0
                          ? alpacaeval_row(o, p, first, second, p->texts[b->i], p->texts[b->j], final)
                          : fastchat_row(o, judge, p, first, second, &out[k]);
        rc = ste_jsonl_write(w, row, err);
        json_decref(row);
    }
    ste_outcomes_clear(out, n);
    free(out);
    free(pairs.items);
    return rc;
}

#define ROUNDS 8 /* of a limited number of bouts: after each the ratings say which pairs of models to compare next */

static int hold(const struct options *o, struct ste_open_judge *judge, const struct ste_answers *a, struct contest *c,
                struct ste_jsonl_writer *w, struct ste_err *err)
{
    const size_t models = a->models.n;
    size_t all = 0;
    for (size_t p = 0; p < a->n; p++)
        for (size_t i = 0; i < models; i++)
            for (size_t j = i + 1; j < models; j++)
                all += ste_answer_of(a, p, i) && ste_answer_of(a, p, j);
    const size_t total = o->bouts && (size_t)o->bouts < all ? (size_t)o->bouts : all,
                 a_round = total < all ? (total + ROUNDS - 1) / ROUNDS : total;
    if (total == 0)
        return ste_err_set(err, STE_EINPUT, "no prompt was answered by two models");
    char *title = ste_judge_title(judge);
    ste_info("%s: %zu of %zu pairs of answers of %zu models, in both orders", title, total, all, models);
    free(title);
    struct ste_bouts *s = ste_bouts_new(a, (uint64_t)o->f.seed);
    struct ste_bout *bouts = ste_xcalloc(a_round, sizeof *bouts);
    double *ratings = ste_xcalloc(models, sizeof *ratings);
    struct ste_progress *progress = ste_progress_new("rank", "verdicts", ste_judge_calls(judge, total, true));
    int rc = 0;
    for (size_t done = 0; done < total && !rc;) {
        int which;
        struct ste_err none = {0};
        const bool rated = c->n && ste_rate_models(c->matches, c->n, (int)models, 0.01, ratings, &which, &none) == 0;
        const size_t want = total - done < a_round ? total - done : a_round,
                     n = ste_bouts_next(s, want, rated ? ratings : NULL, bouts);
        if (!n)
            break;
        rc = judge_bouts(o, judge, a, bouts, n, c, w, progress, err);
        done += n;
    }
    ste_progress_end(progress);
    free(ratings);
    free(bouts);
    ste_bouts_free(s);
    return rc;
}

/* UNWRITTEN: what went wrong with --out when all was judged. */
static int by_judge(const struct options *o, struct contest *c, json_t *about, struct ste_err *unwritten,
                    struct ste_err *err)
{
    struct ste_open_judge judge = {0};
    struct ste_answers answers = {0};
    struct ste_jsonl_writer *w = NULL;
    int rc = ste_judge_open(&judge, o->judge, &o->f, err);
    if (!rc)
        rc = ste_answers_read(&answers, &o->answers, o->questions, err);
    if (!rc)
        rc = ste_judge_load(&judge, &o->f, err);
    if (!rc && o->out)
        rc = ste_jsonl_create(&w, o->out, err);
    for (size_t i = 0; i < answers.models.n && !rc; i++)
        ste_strings_add(&c->models, answers.models.items[i]);
    if (!rc)
        rc = hold(o, &judge, &answers, c, w, err);
    if (!rc) {
        json_object_set_new(about, "judge", json_string(o->judge));
        json_object_set_new(about, "prompt", json_string(ste_judge_prompt_name(&judge)));
        json_object_set_new(about, "provenance", ste_judge_provenance(&judge));
    }
    if (w)
        ste_jsonl_end(w, rc, unwritten);
    ste_answers_clear(&answers);
    ste_judge_close(&judge);
    return rc;
}

static int check(const struct options *o, struct ste_err *err)
{
    if (!o->from == !o->judge)
        return ste_err_set(err, STE_EUSAGE, "give --judge JUDGE with --answers FILE, or --from RESULTS");
    if (o->judge && !o->answers.n)
        return ste_err_set(err, STE_EUSAGE, "--answers is missing; `ste help rank` shows the flags");
    if (o->bouts < 0)
        return ste_err_set(err, STE_EUSAGE, "--pairs must not be negative");
    if (o->f.reference)
        return ste_err_set(err, STE_EUSAGE, "--reference is for rows of pairs; answers to rank have none");
    if (o->from && o->out)
        return ste_err_set(err, STE_EUSAGE, "--out writes what the judge says, and --from asks none");
    if (strcmp(o->format, "fastchat") != 0 && strcmp(o->format, "alpacaeval") != 0)
        return ste_err_set(err, STE_EUSAGE, "there is no format \"%s\": use fastchat or alpacaeval", o->format);
    if (strcmp(o->verdict, "both") != 0 && strcmp(o->verdict, "two-order") != 0)
        return ste_err_set(err, STE_EUSAGE, "there is no verdict \"%s\": use both or two-order", o->verdict);
    int rc = ste_judging_flags_check(&o->f, err);
    return rc ? rc : ste_outputs_try((const char *const[]){o->out, o->json}, 2, err);
}

static int rank_run(int argc, char **argv, struct ste_err *err)
{
    struct options o = {.format = "fastchat", .verdict = "both", .f = STE_JUDGING_DEFAULTS};
    const struct ste_flag flags[] = {
        {"judge", STE_FLAG_STRING, &o.judge, "JUDGE", STE_JUDGE_HELP},
        {"answers", STE_FLAG_LIST, &o.answers, "FILE",
         "answers as JSONL: prompt, output and generator in each line, or prompt and answers {MODEL: text}; may be "
         "given again"},
        {"questions", STE_FLAG_STRING, &o.questions, "FILE",
         "prompts of FastChat's model answers: question_id, turns; their first turns are compared"},
        {"pairs", STE_FLAG_INT, &o.bouts, "N",
         "judge N pairs of answers, those that tell most about the ratings (default: all)"},
        {"from", STE_FLAG_STRING, &o.from, "RESULTS",
         "rank by recorded results instead: model_a, model_b and winner, or FastChat's judgments"},
        {"verdict", STE_FLAG_STRING, &o.verdict, "both|two-order",
         "a model wins if both orders name it, or by the sign of their mean margin (both)"},
        {"out", STE_FLAG_STRING, &o.out, "FILE", "what the judge said of each pair"},
        {"format", STE_FLAG_STRING, &o.format, "fastchat|alpacaeval", "of --out (fastchat)"},
        {"json", STE_FLAG_STRING, &o.json, "FILE", "also write the figures as JSON (- is the standard output)"},
        STE_JUDGING_FLAGS(o.f),
        {0}};
    int rc = ste_flags_parse(&ste_cmd_rank, flags, argc, argv, NULL, 0, err);
    if (!rc)
        rc = check(&o, err);
    if (rc) {
        ste_strings_clear(&o.answers);
        return rc < 0 ? rc : 0;
    }
    struct contest c = {.two_order = strcmp(o.verdict, "two-order") == 0};
    struct ste_ranking ranking = {0};
    json_t *about = json_pack("{s:s}", "verdict", o.verdict);
    struct ste_err unwritten = {0};
    rc = o.from ? read_recorded(&c, o.from, err) : by_judge(&o, &c, about, &unwritten, err);
    if (!rc)
        rc = ste_ranking_of(&ranking, &c.models, c.matches, c.n, c.invalid, (uint64_t)o.f.seed, err);
    if (!rc) {
        struct ste_buf table = STE_BUF_INIT;
        ste_ranking_table(&ranking, &table);
        if (!o.json || strcmp(o.json, "-") != 0)
            fputs(table.s, stdout);
        ste_buf_clear(&table);
        json_t *figures = ste_ranking_json(&ranking);
        json_object_update(about, figures);
        json_decref(figures);
        if (o.json)
            rc = ste_write_json(o.json, json_incref(about), err);
    }
    rc = ste_err_pass(err, &unwritten, rc);
    json_decref(about);
    ste_ranking_clear(&ranking);
    free(c.matches);
    ste_strings_clear(&c.models);
    ste_strings_clear(&o.answers);
    return rc;
}

const struct ste_command ste_cmd_rank = {
    "rank", "rank --judge JUDGE --answers FILE.jsonl [flags] (or: rank --from RESULTS.jsonl)",
    "Rank models by a judge's verdicts on their answers.", rank_run};
