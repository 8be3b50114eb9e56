#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/judging.h"
#include "core/json.h"
#include "eval/attack.h"
#include "eval/scores.h"

struct eval_options {
    const char *judge, *json, *outcomes, *suite, *from, *compat, *author, *score, *calibrate;
    struct ste_strings data;
    double min_coverage, min_margin;
    bool partial, attacks, full;
    struct ste_judging_flags f;
};

/* What is measured: its table, and what to say of the judge in the JSON. */
struct measured {
    struct ste_outcome_table table;
    json_t *about;
    double temperature;
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
    int rc = ste_suite_files(s, &o->data, o->partial, &paths, err);
    if (!rc)
        rc = ste_session_open(&j, o->judge, &o->f.judge, STE_JUDGE_PAIRS, err);
    if (!rc)
        rc = ste_pair_files_read(&files, &paths, s ? s->format : STE_PAIRS_LABELLED, &p, err);
    if (!rc)
        rc = ste_session_load(&j, &o->f.judge, err);
    if (!rc && o->calibrate)
        rc = ste_fit_temperature_on(&j, o->calibrate, &p, &out->temperature, err);
    if (!rc)
        rc = ste_eval_files(&j, &files, false, &outcomes, err);
    if (!rc && o->attacks)
        rc = ste_attack_files(&j, &files, outcomes, p.seed, &out->attacked, &out->n_attacked, err);
    for (size_t i = 0; i < files.n && !rc; i++)
        rc = ste_outcomes_add(&out->table, &files.files[i], outcomes[i], s ? s->group_by : "file", o->author, err);
    if (!rc)
        ste_session_about(&j, out->about);
    ste_outcome_arrays_free(outcomes, &files);
    ste_pair_files_clear(&files);
    ste_strings_clear(&paths);
    ste_session_close(&j);
    return rc;
}

static int report(const struct eval_options *o, const struct ste_suite *s, struct measured *m, enum ste_compat compat,
                  struct ste_err *err)
{
    struct ste_scores scores;
    struct ste_scores_params p = {.suite = s,
                                  .partial = o->partial,
                                  .compat = compat,
                                  .logits = o->score != NULL,
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
    /* With --json - the table would spoil what a program reads. */
    if (!o->json || strcmp(o->json, "-") != 0)
        fputs(table.s, stdout);
    ste_buf_clear(&table);
    ste_scores_json(&scores, m->about);
    if (o->json)
        rc = ste_write_json(o->json, json_incref(m->about), err);
    double coverage = ste_scores_coverage(&scores);
    if (!rc && coverage < o->min_coverage)
        rc = ste_err_set(err, STE_ETHRESHOLD,
                         "%.1f %% of the verdicts are valid, --min-coverage asks for %.1f %%; the reasons are above",
                         100 * coverage, 100 * o->min_coverage);
    ste_scores_clear(&scores);
    return rc;
}

static int check(const struct eval_options *o, const struct ste_suite *suite, enum ste_compat *compat,
                 struct ste_err *err)
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
    if (!(o->min_coverage >= 0 && o->min_coverage <= 1))
        return ste_err_set(err, STE_EUSAGE, "--min-coverage is a share from 0 to 1");
    if (!(o->min_margin >= 0))
        return ste_err_set(err, STE_EUSAGE, "--min-margin must not be negative");
    if (o->calibrate && !o->score)
        return ste_err_set(err, STE_EUSAGE, "--calibrate fits the temperature of --score logits; add that");
    int rc = o->compat ? ste_compat_by_name(o->compat, compat, err) : 0;
    return rc ? rc : ste_outputs_try((const char *const[]){o->outcomes, o->json}, 2, err);
}

static int eval_run(int argc, char **argv, struct ste_err *err)
{
    struct eval_options o = {.f = STE_JUDGING_DEFAULTS};
    const struct ste_flag flags[] = {
        {"judge", STE_FLAG_STRING, &o.judge, "JUDGE", STE_JUDGE_HELP},
        {"data", STE_FLAG_LIST, &o.data, "FILE",
         "JSONL with prompt or messages, chosen, rejected; or a suite's folder"},
        {"suite", STE_FLAG_STRING, &o.suite, "SUITE",
         "rewardbench, rewardbench2, mtbench-human, helpsteer2, preference, pairs, verifiable (made, no --data) or a "
         "YAML file: how rows make subsets and sections"},
        {"partial", STE_FLAG_BOOL, &o.partial, NULL, "score a suite over those of its subsets that are there"},
        {"from", STE_FLAG_STRING, &o.from, "FILE",
         "figures of outcomes that were written by --outcomes; asks no model"},
        {"json", STE_FLAG_STRING, &o.json, "OUT", "write the figures as JSON (- is the standard output)"},
        {"outcomes", STE_FLAG_STRING, &o.outcomes, "FILE", "write every verdict as JSON lines"},
        {"compat", STE_FLAG_STRING, &o.compat, "RULE",
         "also score as published: rewardbench, ram or fastchat (a pack of free mode gives them text to read)"},
        {"calibrate", STE_FLAG_STRING, &o.calibrate, "FILE", "labelled pairs to fit their temperature on"},
        {"author", STE_FLAG_STRING, &o.author, "MODEL", "the judge's model as chosen_model and rejected_model name it"},
        {"attacks", STE_FLAG_BOOL, &o.attacks, NULL,
         "also how often the worse answer wins when texts are made to fool a judge (27 more times the calls)"},
        {"full", STE_FLAG_BOOL, &o.full, NULL, "the full report: --score logits and --attacks"},
        {"min-coverage", STE_FLAG_REAL, &o.min_coverage, "SHARE", "exit with 3 when fewer verdicts are valid"},
        {"min-margin", STE_FLAG_REAL, &o.min_margin, "M",
         "also the two-order accuracy where the margin is M or more, and how many pairs that leaves"},
        STE_JUDGING_FLAGS(o.f),
        {0}};
    enum ste_compat compat = STE_COMPAT_NONE;
    struct ste_suite *suite = NULL;
    struct measured m = {.about = json_object(), .temperature = 1};
    int rc = ste_flags_parse(&ste_cmd_eval, flags, argc, argv, NULL, 0, err);
    if (o.f.judge.score && strcmp(o.f.judge.score, "logits") == 0) {
        o.score = o.f.judge.score;
        o.f.judge.score = NULL;
    }
    if (o.full) {
        o.attacks = true;
        o.score = o.score ? o.score : "logits";
    }
    if (!rc && o.suite)
        rc = ste_suite_load(&suite, o.suite, err);
    if (!rc)
        rc = check(&o, suite, &compat, err);
    if (!rc)
        rc = ste_judging_flags_check(&o.f, err);
    if (!rc)
        rc = o.from ? ste_outcomes_read(&m.table, o.from, err) : judge_suite(&o, suite, &m, err);
    struct ste_err unwritten = {0}; /* the figures come all the same */
    if (!rc && o.outcomes)
        ste_outcomes_write(&m.table, compat, (uint64_t)o.f.judge.seed, o.outcomes, &unwritten);
    if (!rc)
        rc = report(&o, suite, &m, compat, err);
    rc = ste_err_pass(err, &unwritten, rc);
    json_decref(m.about);
    ste_outcome_table_clear(&m.table);
    free(m.attacked);
    ste_suite_free(suite);
    ste_strings_clear(&o.data);
    return rc < 0 ? rc : 0;
}

const struct ste_command ste_cmd_eval = {"eval", "eval --judge JUDGE --data FILE... [flags]",
                                         "Measure a judge on labelled pairs, in both orders.", eval_run};
