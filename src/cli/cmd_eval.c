#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/judging.h"
#include "core/json.h"
#include "core/mem.h"
#include "eval/attack.h"
#include "eval/scores.h"
#include "report/beside.h"
#include "report/page.h"

struct eval_options {
    char *judge, *json, *html, *outcomes, *suite, *from, *author, *calibrate;
    enum ste_compat compat;
    struct ste_strings data;
    double min_coverage, min_margin;
    bool partial, attacks, full, logits;
    struct ste_judging_flags f;
};
/* clang-format off */
#define OPTIONS_OF struct eval_options
static const struct ste_option options[] = {
    STE_STRING("judge", judge, NULL, "JUDGE", STE_JUDGE_HELP),
    STE_LIST("data", data, NULL, "FILE", "JSONL with prompt or messages, chosen, rejected; or a suite's folder"),
    STE_STRING("suite", suite, NULL, "SUITE",
               "rewardbench, rewardbench2, mtbench-human, helpsteer2, preference, pairs, verifiable (made, no --data) "
               "or a YAML file: how rows make subsets and sections"),
    STE_BOOL("partial", partial, NULL, "score a suite over those of its subsets that are there"),
    STE_STRING("from", from, NULL, "FILE", "figures of outcomes that were written by --outcomes; asks no model"),
    STE_STRING("json", json, NULL, "OUT", "write the figures as JSON (- is the standard output)"),
    STE_STRING("html", html, NULL, "FILE", STE_HTML_HELP),
    STE_STRING("outcomes", outcomes, NULL, "FILE", "write every verdict as JSON lines"),
    STE_CHOICE("compat", compat, NULL, ste_compat_names,
               "also score as published (a pack of free mode gives these rules text to read)"),
    STE_STRING("calibrate", calibrate, NULL, "FILE", "labelled pairs to fit the temperature of log-odds on"),
    STE_STRING("author", author, NULL, "MODEL", "the judge's model as chosen_model and rejected_model name it"),
    STE_BOOL("attacks", attacks, NULL,
             "also how often the worse answer wins when texts are made to fool a judge (27 more times the calls)"),
    STE_BOOL("full", full, NULL, "the full report: --score logits and --attacks"),
    STE_REAL("min_coverage", min_coverage, NULL, 0, 1, "exit with 3 when a smaller share of the verdicts is valid"),
    STE_REAL("min_margin", min_margin, NULL, 0, STE_LARGE,
             "also the two-order accuracy where the margin is X or more, and how many pairs that leaves"),
    STE_BOOL("dry_run", f.dry, NULL, STE_DRY_RUN_HELP),
    STE_TABLE("", f, ste_judging_options),
    {0},
};
/* clang-format on */

/* What is measured: its table, and what to say of the judge in the JSON. */
struct measured {
    struct ste_outcome_table table;
    json_t *about;
    double temperature;
    json_t *differing;             /* for the page; NULL: no texts are there, or no page was asked for */
    struct ste_attacked *attacked; /* NULL: no attacks were asked for */
    size_t n_attacked;
};

static int judge_suite(const struct eval_options *o, const struct ste_suite *s, struct measured *out,
                       struct ste_err *err)
{
    struct ste_session j = {0};
    struct ste_pair_files files = {0};
    struct ste_outcome **outcomes = NULL;
    struct ste_strings paths = {0};
    const struct ste_pairs_params p = ste_judging_pairs(&o->f);
    struct ste_batch counted = {0};
    int rc = ste_suite_files(s, &o->data, o->partial, &paths, err);
    if (!rc)
        rc = ste_session_open(&j, o->judge, &o->f.judge, STE_JUDGE_PAIRS, err);
    if (!rc)
        rc = ste_pair_files_read(&files, &paths, s ? s->format : STE_PAIRS_LABELLED, &p, err);
    j.batch = o->f.dry ? &counted : NULL;
    if (!rc)
        rc = ste_session_load(&j, &o->f.judge, err);
    if (!rc && o->calibrate)
        rc = ste_fit_temperature_on(&j, o->calibrate, &p, &out->temperature, err);
    if (!rc)
        rc = ste_eval_files(&j, &files, false, &outcomes, err);
    if (!rc && o->attacks)
        rc = ste_attack_files(&j, &files, outcomes, p.seed, &out->attacked, &out->n_attacked, err);
    if (!rc && o->f.dry)
        ste_judging_say_dry(&j);
    if (!rc && o->html && !o->f.dry)
        out->differing = ste_differing_files(&files, outcomes, NULL);
    for (size_t i = 0; i < files.n && !rc && !o->f.dry; i++)
        rc = ste_outcomes_add(&out->table, &files.files[i], outcomes[i], s ? s->group_by : "file", o->author, err);
    if (!rc)
        ste_session_about(&j, out->about);
    ste_batch_clear(&counted);
    ste_outcome_arrays_free(outcomes, &files);
    ste_pair_files_clear(&files);
    ste_strings_clear(&paths);
    ste_session_close(&j);
    return rc;
}

static int write_page(const struct eval_options *o, const struct measured *m, struct ste_err *err)
{
    struct ste_buf page = STE_BUF_INIT;
    struct ste_outcome *all = ste_xcalloc(m->table.n + 1, sizeof *all); /* shallow */
    for (size_t i = 0; i < m->table.n; i++)
        all[i] = m->table.rows[i].o;
    json_t *calibration = ste_beside_calibration(all, m->table.n);
    ste_page_eval(&page, m->about, m->differing, calibration);
    const int rc = ste_write_page(o->html, &page, err);
    json_decref(calibration);
    ste_xfree(all);
    ste_buf_clear(&page);
    return rc;
}

static int report(const struct eval_options *o, const struct ste_suite *s, struct measured *m, struct ste_err *err)
{
    struct ste_scores scores;
    struct ste_scores_params p = {.suite = s,
                                  .partial = o->partial,
                                  .compat = o->compat,
                                  .logits = o->logits,
                                  .temperature = m->temperature,
                                  .min_margin = o->min_margin,
                                  .seed = (uint64_t)o->f.judge.seed};
    int rc = ste_scores_of(&m->table, &p, &scores, err);
    if (rc)
        return rc;
    struct ste_buf table = STE_BUF_INIT;
    ste_scores_table(&scores, &table);
    if (m->attacked) {
        ste_buf_adds(&table, "\n");
        ste_attacked_table(m->attacked, m->n_attacked, &table);
        json_object_set_new(m->about, "attacks", ste_attacked_json(m->attacked, m->n_attacked));
    }
    /* With --json - or --html - the table would spoil what a program reads. */
    if (!ste_to_stdout(o->json) && !ste_to_stdout(o->html))
        fputs(table.s, stdout);
    ste_buf_clear(&table);
    ste_scores_json(&scores, m->about);
    if (o->json)
        rc = ste_write_json(o->json, json_incref(m->about), err);
    if (!rc && o->html)
        rc = write_page(o, m, err);
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
    if (o->from && (o->judge || o->data.n || o->calibrate))
        return ste_err_set(err, STE_EUSAGE, "--from takes outcomes that are there: it goes without --judge and --data");
    if (o->from && o->attacks)
        return ste_err_set(err, STE_EUSAGE, "--attacks asks the judge, and --from asks none");
    const bool made = suite && suite->format == STE_PAIRS_VERIFIABLE;
    if (made && o->data.n)
        return ste_err_set(err, STE_EUSAGE, "the pairs of suite %s are made, not read: it goes without --data",
                           suite->name);
    if (!o->from && !made && o->data.n == 0)
        return ste_err_set(err, STE_EUSAGE, "--data is missing; `ste help eval` shows the flags");
    if (o->from && o->f.dry)
        return ste_err_set(err, STE_EUSAGE, "--from asks no model: there is nothing for --dry-run to say");
    if (o->calibrate && !o->logits)
        return ste_err_set(err, STE_EUSAGE, "--calibrate fits the temperature of --score logits; add that");
    if (ste_to_stdout(o->json) && ste_to_stdout(o->html))
        return ste_err_set(err, STE_EUSAGE, STE_TWO_TO_STDOUT);
    return ste_outputs_try((const char *const[]){o->outcomes, o->json, o->html}, 3, err);
}

static int eval_run(void *options_, const struct ste_strings *words, struct ste_err *err)
{
    struct eval_options *o = options_;
    struct ste_suite *suite = NULL;
    struct measured m = {.about = json_object(), .temperature = 1};
    o->logits = o->full || o->f.judge.score == STE_SCORE_LOGITS;
    o->attacks |= o->full;
    if (o->f.judge.score == STE_SCORE_LOGITS)
        o->f.judge.score = STE_SCORE_VERDICT;
    int rc = o->suite ? ste_suite_load(&suite, o->suite, err) : 0;
    if (!rc)
        rc = check(o, suite, err);
    if (!rc)
        rc = ste_judging_check(&o->f, err);
    if (!rc)
        rc = o->from ? ste_outcomes_read(&m.table, o->from, err) : judge_suite(o, suite, &m, err);
    struct ste_err unwritten = {0}; /* the figures come all the same */
    if (!rc && o->outcomes && !o->f.dry)
        ste_outcomes_write(&m.table, o->compat, (uint64_t)o->f.judge.seed, o->outcomes, &unwritten);
    if (!rc && !o->f.dry)
        rc = report(o, suite, &m, err);
    rc = ste_err_pass(err, &unwritten, rc);
    json_decref(m.about);
    json_decref(m.differing);
    ste_outcome_table_clear(&m.table);
    ste_xfree(m.attacked);
    ste_suite_free(suite);
    return rc;
}

STE_COMMAND(eval, "eval", "--judge JUDGE --data FILE... [flags]", "Measure a judge on labelled pairs, in both orders.",
            options, 0, NULL, eval_run);
