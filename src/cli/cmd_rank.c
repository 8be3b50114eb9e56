#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/judging.h"
#include "core/json.h"
#include "eval/ranking.h"
#include "eval/tournament.h"

struct options {
    const char *judge, *questions, *from, *out, *format, *json, *verdict;
    struct ste_strings answers;
    long long bouts;
    struct ste_judging_flags f;
};

/* UNWRITTEN: what went wrong with --out when all was judged. */
static int by_judge(const struct options *o, struct ste_contest *c, json_t *about, struct ste_err *unwritten,
                    struct ste_err *err)
{
    struct ste_session judge = {0};
    struct ste_answers answers = {0};
    struct ste_jsonl_writer *w = NULL;
    int rc = ste_session_open(&judge, o->judge, &o->f.judge, STE_JUDGE_PAIRS, err);
    if (!rc)
        rc = ste_answers_read(&answers, &o->answers, o->questions, err);
    if (!rc)
        rc = ste_session_load(&judge, &o->f.judge, err);
    if (!rc && o->out)
        rc = ste_jsonl_create(&w, o->out, err);
    if (!rc)
        rc = ste_contest_hold(c, &judge, &answers, (size_t)o->bouts, (uint64_t)o->f.judge.seed, w,
                              strcmp(o->format, "alpacaeval") == 0 ? STE_MATCH_ALPACAEVAL : STE_MATCH_FASTCHAT, err);
    if (!rc)
        ste_session_about(&judge, about);
    if (w)
        ste_jsonl_end(w, rc, unwritten);
    ste_answers_clear(&answers);
    ste_session_close(&judge);
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
    if (o->f.judge.reference)
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
    struct ste_contest c = {.two_order = strcmp(o.verdict, "two-order") == 0};
    struct ste_ranking ranking = {0};
    json_t *about = json_pack("{s:s}", "verdict", o.verdict);
    struct ste_err unwritten = {0};
    rc = o.from ? ste_contest_read(&c, o.from, err) : by_judge(&o, &c, about, &unwritten, err);
    if (!rc)
        rc = ste_ranking_of(&ranking, &c.models, c.matches, c.n, c.invalid, (uint64_t)o.f.judge.seed, err);
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
    ste_contest_clear(&c);
    ste_strings_clear(&o.answers);
    return rc;
}

const struct ste_command ste_cmd_rank = {
    "rank", "rank --judge JUDGE --answers FILE.jsonl [flags] (or: rank --from RESULTS.jsonl)",
    "Rank models by a judge's verdicts on their answers.", rank_run};
