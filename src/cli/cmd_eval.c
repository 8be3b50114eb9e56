#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/judging.h"
#include "core/json.h"
#include "core/mem.h"
#include "eval/measure.h"
#include "report/beside.h"
#include "report/page.h"

struct eval_options {
    char *judge, *json, *html, *outcomes, *from;
    struct ste_strings data;
    double min_coverage;
    struct ste_measure_options m;
    struct ste_judging_flags f;
};
/* clang-format off */
#define OPTIONS_OF struct eval_options
static const struct ste_option options[] = {
    STE_STRING("judge", judge, NULL, "JUDGE", STE_JUDGE_HELP),
    STE_LIST("data", data, NULL, "FILE", "JSONL with prompt or messages, chosen, rejected; or a suite's folder"),
    STE_TABLE("", m, ste_measure_options),
    STE_STRING("from", from, NULL, "FILE", "figures of outcomes that were written by --outcomes; asks no model"),
    STE_STRING("json", json, NULL, "OUT", "write the figures as JSON (- is the standard output)"),
    STE_STRING("html", html, NULL, "FILE", STE_HTML_HELP),
    STE_STRING("outcomes", outcomes, NULL, "FILE", "write every verdict as JSON lines"),
    STE_REAL("min_coverage", min_coverage, NULL, 0, 1, "exit with 3 when a smaller share of the verdicts is valid"),
    STE_BOOL("dry_run", f.dry, NULL, STE_DRY_RUN_HELP),
    STE_TABLE("", f, ste_judging_options),
    {0},
};
/* clang-format on */

static void note_differing(void *differing, const struct ste_pair_files *files, struct ste_outcome *const *outcomes)
{
    *(json_t **)differing = ste_differing_files(files, outcomes, NULL);
}

/* *DIFFERING: for the page; NULL where none was asked for. */
static int by_judge(const struct eval_options *o, struct ste_measured *m, json_t **differing, struct ste_err *err)
{
    struct ste_session j = {0};
    struct ste_pair_files files = {0};
    const struct ste_pairs_params p = ste_judging_pairs(&o->f);
    struct ste_batch counted = {0};
    int rc = ste_session_open(&j, o->judge, &o->f.judge, STE_JUDGE_PAIRS, err);
    if (!rc)
        rc = ste_measure_read(m, &o->m, &o->data, &p, &files, err);
    j.batch = o->f.dry ? &counted : NULL;
    m->judged = o->html ? note_differing : NULL;
    m->arg = differing;
    if (!rc)
        rc = ste_session_load(&j, &o->f.judge, err);
    if (!rc)
        rc = ste_measure(m, &o->m, &j, &files, &p, err);
    if (!rc && o->f.dry)
        ste_judging_say_dry(&j);
    ste_batch_clear(&counted);
    ste_pair_files_clear(&files);
    ste_session_close(&j);
    return rc;
}

static int write_page(const struct eval_options *o, const struct ste_measured *m, const json_t *differing,
                      struct ste_err *err)
{
    struct ste_buf page = STE_BUF_INIT;
    struct ste_outcome *all = ste_xcalloc(m->table.n + 1, sizeof *all); /* shallow */
    for (size_t i = 0; i < m->table.n; i++)
        all[i] = m->table.rows[i].o;
    json_t *calibration = ste_beside_calibration(all, m->table.n);
    ste_page_eval(&page, m->about, differing, calibration);
    const int rc = ste_write_page(o->html, &page, err);
    json_decref(calibration);
    ste_xfree(all);
    ste_buf_clear(&page);
    return rc;
}

static int report(const struct eval_options *o, struct ste_measured *m, const json_t *differing, struct ste_err *err)
{
    struct ste_scores scores;
    int rc = ste_measured_scores(m, &o->m, (uint64_t)o->f.judge.seed, &scores, err);
    if (rc)
        return rc;
    struct ste_buf table = STE_BUF_INIT;
    ste_scores_table(&scores, &table);
    if (m->attacked) {
        ste_buf_adds(&table, "\n");
        ste_attacked_table(m->attacked, m->n_attacked, &table);
    }
    /* With --json - or --html - the table would spoil what a program reads. */
    if (!ste_to_stdout(o->json) && !ste_to_stdout(o->html))
        fputs(table.s, stdout);
    ste_buf_clear(&table);
    ste_measured_json(m, &scores);
    if (o->json)
        rc = ste_write_json(o->json, json_incref(m->about), err);
    if (!rc && o->html)
        rc = write_page(o, m, differing, err);
    double coverage = ste_scores_coverage(&scores);
    if (!rc && coverage < o->min_coverage)
        rc = ste_err_set(err, STE_ETHRESHOLD,
                         "%.1f %% of the verdicts are valid, --min-coverage asks for %.1f %%; the reasons are above",
                         100 * coverage, 100 * o->min_coverage);
    ste_scores_clear(&scores);
    return rc;
}

static int check(const struct eval_options *o, const struct ste_suite *suite, struct ste_err *err)
{
    if (!o->from && !o->judge)
        return ste_err_set(err, STE_EUSAGE, "--judge is missing; `ste help eval` shows the flags");
    if (o->from && (o->judge || o->data.n || o->m.calibrate))
        return ste_err_set(err, STE_EUSAGE, "--from takes outcomes that are there: it goes without --judge and --data");
    if (o->from && o->m.attacks)
        return ste_err_set(err, STE_EUSAGE, "--attacks asks the judge, and --from asks none");
    int rc = o->from ? 0 : ste_measure_has_data(suite, &o->data, err);
    if (rc)
        return rc;
    if (o->from && o->f.dry)
        return ste_err_set(err, STE_EUSAGE, "--from asks no model: there is nothing for --dry-run to say");
    if (ste_to_stdout(o->json) && ste_to_stdout(o->html))
        return ste_err_set(err, STE_EUSAGE, STE_TWO_TO_STDOUT);
    return ste_outputs_try((const char *const[]){o->outcomes, o->json, o->html}, 3, err);
}

static int eval_run(void *options_, const struct ste_strings *words, struct ste_err *err)
{
    struct eval_options *o = options_;
    struct ste_measured m;
    json_t *differing = NULL;
    o->m.logits = o->f.judge.score == STE_SCORE_LOGITS;
    if (o->m.logits)
        o->f.judge.score = STE_SCORE_VERDICT;
    int rc = ste_measure_begin(&m, &o->m, err);
    if (!rc)
        rc = check(o, m.suite, err);
    if (!rc)
        rc = ste_judging_check(&o->f, err);
    if (!rc)
        rc = o->from ? ste_outcomes_read(&m.table, o->from, err) : by_judge(o, &m, &differing, err);
    struct ste_err unwritten = {0}; /* the figures come all the same */
    if (!rc && o->outcomes && !o->f.dry)
        ste_outcomes_write(&m.table, o->m.compat, (uint64_t)o->f.judge.seed, o->outcomes, &unwritten);
    if (!rc && !o->f.dry)
        rc = report(o, &m, differing, err);
    rc = ste_err_pass(err, &unwritten, rc);
    json_decref(differing);
    ste_measured_clear(&m);
    return rc;
}

STE_COMMAND(eval, "eval", "--judge JUDGE --data FILE... [flags]", "Measure a judge on labelled pairs, in both orders.",
            options, 0, NULL, eval_run);
