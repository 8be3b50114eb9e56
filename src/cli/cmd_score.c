#include <math.h>

#include "cli/judging.h"
#include "core/json.h"
#include "core/mem.h"
#include "eval/scoring.h"

struct options {
    char *judge, *in, *out;
    struct ste_judging_flags f;
};
/* clang-format off */
#define OPTIONS_OF struct options
static const struct ste_option options[] = {
    STE_STRING("judge", judge, NULL, "JUDGE", STE_JUDGE_HELP),
    STE_STRING("in", in, NULL, "ANSWERS", "JSONL with prompt or messages, and output, response or answer"),
    STE_STRING("out", out, NULL, "SCORES",
               "the rows with score (1 to 10, the expected value), likeliest and probabilities (- is the standard "
               "output)"),
    STE_TABLE("", f, ste_judging_options),
    {0},
};
/* clang-format on */

static int write_rows(const char *path, const struct ste_answer_rows *rows, const struct ste_score *scores,
                      struct ste_err *err)
{
    struct ste_jsonl_writer *w;
    int rc = ste_jsonl_create(&w, path, err);
    if (rc)
        return rc;
    for (size_t i = 0; i < rows->n && !rc; i++) {
        json_t *row = ste_score_row(&rows->items[i], &scores[i]);
        rc = ste_jsonl_write(w, row, err);
        json_decref(row);
    }
    return ste_jsonl_end(w, rc, err);
}

static void say_figures(const struct ste_score *scores, size_t n)
{
    double sum = 0, squares = 0;
    size_t valid = 0;
    for (size_t i = 0; i < n; i++)
        if (scores[i].reason == STE_INVALID_NONE) {
            sum += scores[i].expected;
            squares += scores[i].expected * scores[i].expected;
            valid++;
        }
    if (!valid) {
        ste_info("%zu answers, none of them with a score", n);
        return;
    }
    const double mean = sum / (double)valid, variance = squares / (double)valid - mean * mean;
    ste_info("%zu answers: mean score %.2f, standard deviation %.2f; %zu without a score", n, mean,
             sqrt(variance > 0 ? variance : 0), n - valid);
}

static int check(const struct options *o, struct ste_err *err)
{
    if (!o->judge || !o->in || !o->out)
        return ste_err_set(err, STE_EUSAGE, "%s is missing; `ste help score` shows the flags",
                           !o->judge ? "--judge"
                           : !o->in  ? "--in"
                                     : "--out");
    if (o->f.judge.votes || o->f.judge.all_votes || o->f.sample)
        return ste_err_set(err, STE_EUSAGE, "scores take no --votes, --all-votes and --sample");
    int rc = ste_judging_check(&o->f, err);
    return rc ? rc : ste_outputs_try((const char *const[]){o->out}, 1, err);
}

static int score_run(void *options_, const struct ste_strings *words, struct ste_err *err)
{
    const struct options *o = options_;
    int rc = check(o, err);
    if (rc)
        return rc;
    struct ste_session j = {0};
    struct ste_answer_rows rows = {0};
    struct ste_score *scores = NULL;
    rc = ste_session_open(&j, o->judge, &o->f.judge, STE_JUDGE_SCORES, err);
    if (!rc)
        rc = ste_answer_rows_read(&rows, o->in, (size_t)o->f.limit, o->f.judge.reference, err);
    if (!rc)
        rc = ste_session_load(&j, &o->f.judge, err);
    if (!rc) {
        ste_info("%s with pack %s: %zu answers", o->judge, j.pack->name, rows.n);
        scores = ste_xcalloc(rows.n ? rows.n : 1, sizeof *scores);
        struct ste_progress *progress = ste_progress_new("score", "answers", rows.n);
        rc = ste_score_answers(j.llm, &j.setting, &rows, scores, progress, err);
        ste_progress_end(progress);
    }
    if (!rc)
        rc = write_rows(o->out, &rows, scores, err);
    if (!rc)
        say_figures(scores, rows.n);
    for (size_t i = 0; scores && i < rows.n; i++)
        ste_score_clear(&scores[i]);
    ste_xfree(scores);
    ste_answer_rows_clear(&rows);
    ste_session_close(&j);
    return rc;
}

STE_COMMAND(score, "score", "--judge JUDGE --in ANSWERS.jsonl --out SCORES.jsonl [flags]",
            "Score single answers from 1 to 10.", options, 0, NULL, score_run);
