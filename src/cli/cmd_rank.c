#include <stdio.h>
#include <string.h>

#include "cli/judging.h"
#include "core/json.h"
#include "core/mem.h"
#include "eval/ranking.h"
#include "eval/tournament.h"
#include "report/beside.h"
#include "report/page.h"

struct options {
    char *judge, *questions, *from, *out, *json, *html;
    struct ste_strings answers;
    long long pairs;
    int two_order;
    enum ste_match_format format;
    struct ste_judging_flags f;
};
#define VERDICTS STE_NAMES("both", "two-order")
/* clang-format off */
#define OPTIONS_OF struct options
static const struct ste_option options[] = {
    STE_STRING("judge", judge, NULL, "JUDGE", STE_JUDGE_HELP),
    STE_LIST("answers", answers, NULL, "FILE",
             "answers as JSONL: prompt, output and generator in each line, or prompt and answers {MODEL: text}"),
    STE_STRING("questions", questions, NULL, "FILE",
               "prompts of FastChat's model answers: question_id, turns; their first turns are compared"),
    STE_INT("pairs", pairs, "0", 0, STE_LARGE,
            "judge N pairs of answers, those that tell most about the ratings; 0: all"),
    STE_STRING("from", from, NULL, "RESULTS",
               "rank by recorded results instead: model_a, model_b and winner, or FastChat's judgments"),
    STE_CHOICE("verdict", two_order, "both", VERDICTS,
               "a model wins if both orders name it, or by the sign of their mean margin"),
    STE_STRING("out", out, NULL, "FILE", "what the judge said of each pair"),
    STE_CHOICE("format", format, "fastchat", STE_NAMES("fastchat", "alpacaeval"), "of --out"),
    STE_STRING("json", json, NULL, "FILE", "also write the figures as JSON (- is the standard output)"),
    STE_STRING("html", html, NULL, "FILE", STE_HTML_HELP),
    STE_BOOL("dry_run", f.dry, NULL, STE_DRY_RUN_HELP),
    STE_TABLE("", f, ste_judging_options),
    {0},
};
/* clang-format on */

/* UNWRITTEN: what went wrong with --out when all was judged. */
static int by_judge(const struct options *o, struct ste_contest *c, json_t *about, struct ste_err *unwritten,
                    struct ste_err *err)
{
    struct ste_session judge = {0};
    struct ste_batch counted = {0};
    struct ste_answers answers = {0};
    struct ste_jsonl_writer *w = NULL;
    int rc = ste_session_open(&judge, o->judge, &o->f.judge, STE_JUDGE_PAIRS, err);
    if (!rc)
        rc = ste_answers_read(&answers, &o->answers, o->questions, err);
    judge.batch = o->f.dry ? &counted : NULL;
    if (!rc)
        rc = ste_session_load(&judge, &o->f.judge, err);
    if (!rc && o->out && !o->f.dry)
        rc = ste_jsonl_create(&w, o->out, err);
    if (!rc)
        rc = ste_contest_hold(c, &judge, &answers, (size_t)o->pairs, (uint64_t)o->f.judge.seed, w, o->format, err);
    if (!rc)
        ste_session_about(&judge, about);
    if (!rc && o->f.dry)
        ste_judging_say_dry(&judge);
    if (w)
        ste_jsonl_end(w, rc, unwritten);
    ste_answers_clear(&answers);
    ste_session_close(&judge);
    ste_batch_clear(&counted);
    return rc;
}

static int check(const struct options *o, struct ste_err *err)
{
    if (!o->from == !o->judge)
        return ste_err_set(err, STE_EUSAGE, "give --judge JUDGE with --answers FILE, or --from RESULTS");
    if (o->judge && !o->answers.n)
        return ste_err_set(err, STE_EUSAGE, "--answers is missing; `ste help rank` shows the flags");
    if (o->f.judge.reference)
        return ste_err_set(err, STE_EUSAGE, "--reference is for rows of pairs; answers to rank have none");
    if (o->from && o->f.dry)
        return ste_err_set(err, STE_EUSAGE, "--from asks no model: there is nothing for --dry-run to say");
    if (o->from && o->out)
        return ste_err_set(err, STE_EUSAGE, "--out writes what the judge says, and --from asks none");
    int rc = ste_judging_check(&o->f, err);
    if (!rc && ste_to_stdout(o->json) && ste_to_stdout(o->html))
        rc = ste_err_set(err, STE_EUSAGE, STE_TWO_TO_STDOUT);
    return rc ? rc : ste_outputs_try((const char *const[]){o->out, o->json, o->html}, 3, err);
}

static void judged(void *arg, const struct ste_answer_pair *pair, const char *const *models,
                   const struct ste_outcome *o)
{
    char *both = ste_xasprintf("%s and %s", models[0], models[1]);
    ste_differing_add(arg, both, pair, models, o, NULL);
    ste_xfree(both);
}

static int rank_run(void *options_, const struct ste_strings *words, struct ste_err *err)
{
    const struct options *o = options_;
    int rc = check(o, err);
    if (rc)
        return rc;
    struct ste_differing differing = {0};
    struct ste_contest c = {.two_order = o->two_order, .judged = o->html ? judged : NULL, .arg = &differing};
    struct ste_ranking ranking = {0};
    json_t *about = json_pack("{s:s}", "verdict", VERDICTS[o->two_order]);
    struct ste_err unwritten = {0};
    rc = o->from ? ste_contest_read(&c, o->from, err) : by_judge(o, &c, about, &unwritten, err);
    const bool dry = o->f.dry;
    if (!rc && !dry)
        rc = ste_ranking_of(&ranking, &c.models, c.matches, c.n, c.invalid, (uint64_t)o->f.judge.seed, err);
    if (!rc && !dry) {
        struct ste_buf table = STE_BUF_INIT;
        ste_ranking_table(&ranking, &table);
        if (!ste_to_stdout(o->json) && !ste_to_stdout(o->html))
            fputs(table.s, stdout);
        ste_buf_clear(&table);
        json_t *figures = ste_ranking_json(&ranking);
        json_object_update(about, figures);
        json_decref(figures);
        if (o->json)
            rc = ste_write_json(o->json, json_incref(about), err);
    }
    json_t *pairs = ste_differing_end(&differing);
    if (!rc && !dry && o->html) {
        struct ste_buf page = STE_BUF_INIT;
        ste_page_rank(&page, about, o->from ? NULL : pairs);
        rc = ste_write_page(o->html, &page, err);
        ste_buf_clear(&page);
    }
    json_decref(pairs);
    rc = ste_err_pass(err, &unwritten, rc);
    json_decref(about);
    ste_ranking_clear(&ranking);
    ste_contest_clear(&c);
    return rc;
}

STE_COMMAND(rank, "rank", "--judge JUDGE --answers FILE.jsonl [flags] (or: rank --from RESULTS.jsonl)",
            "Rank models by a judge's verdicts on their answers.", options, 0, NULL, rank_run);
