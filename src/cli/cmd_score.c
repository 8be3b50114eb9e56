#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/judging.h"
#include "core/json.h"
#include "core/mem.h"
#include "eval/scoring.h"

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

static int check(const char *judge, const char *in, const char *out, const struct ste_judging_flags *f,
                 struct ste_err *err)
{
    if (!judge || !in || !out)
        return ste_err_set(err, STE_EUSAGE, "%s is missing; `ste help score` shows the flags",
                           !judge ? "--judge"
                           : !in  ? "--in"
                                  : "--out");
    if (f->judge.votes || f->judge.all_votes || f->sample)
        return ste_err_set(err, STE_EUSAGE, "scores take no --votes, --all-votes and --sample");
    int rc = ste_judging_flags_check(f, err);
    return rc ? rc : ste_outputs_try(&out, 1, err);
}

static int score_run(int argc, char **argv, struct ste_err *err)
{
    const char *judge = NULL, *in = NULL, *out_path = NULL;
    struct ste_judging_flags f = STE_JUDGING_DEFAULTS;
    const struct ste_flag flags[] = {
        {"judge", STE_FLAG_STRING, &judge, "JUDGE", STE_JUDGE_HELP},
        {"in", STE_FLAG_STRING, &in, "ANSWERS", "JSONL with prompt or messages, and output, response or answer"},
        {"out", STE_FLAG_STRING, &out_path, "SCORES",
         "the rows with score (1 to 10, the expected value), likeliest and probabilities (- is the standard output)"},
        STE_JUDGING_FLAGS(f),
        {0}};
    int rc = ste_flags_parse(&ste_cmd_score, flags, argc, argv, NULL, 0, err);
    if (!rc)
        rc = check(judge, in, out_path, &f, err);
    if (rc)
        return rc < 0 ? rc : 0;
    struct ste_session j = {0};
    struct ste_answer_rows rows = {0};
    struct ste_score *scores = NULL;
    rc = ste_session_open(&j, judge, &f.judge, STE_JUDGE_SCORES, err);
    if (!rc)
        rc = ste_answer_rows_read(&rows, in, (size_t)f.limit, f.judge.reference, err);
    if (!rc)
        rc = ste_session_load(&j, &f.judge, err);
    if (!rc) {
        ste_info("%s with pack %s: %zu answers", judge, j.pack->name, rows.n);
        scores = ste_xcalloc(rows.n ? rows.n : 1, sizeof *scores);
        struct ste_progress *progress = ste_progress_new("score", "answers", rows.n);
        rc = ste_score_answers(j.llm, &j.setting, &rows, scores, progress, err);
        ste_progress_end(progress);
    }
    if (!rc)
        rc = write_rows(out_path, &rows, scores, err);
    if (!rc)
        say_figures(scores, rows.n);
    for (size_t i = 0; scores && i < rows.n; i++)
        ste_score_clear(&scores[i]);
    free(scores);
    ste_answer_rows_clear(&rows);
    ste_session_close(&j);
    return rc;
}

const struct ste_command ste_cmd_score = {"score", "score --judge JUDGE --in ANSWERS.jsonl --out SCORES.jsonl [flags]",
                                          "Score single answers from 1 to 10.", score_run};
