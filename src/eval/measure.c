#include "eval/measure.h"

#include "core/mem.h"

/* clang-format off */
#define OPTIONS_OF struct ste_measure_options
const struct ste_option ste_measure_options[] = {
    STE_STRING("suite", suite, NULL, "SUITE",
               "rewardbench, rewardbench2, mtbench-human, helpsteer2, preference, pairs, verifiable (made, no --data) "
               "or a YAML file: how rows make subsets and sections"),
    STE_BOOL("partial", partial, NULL, "score a suite over those of its subsets that are there"),
    STE_CHOICE("compat", compat, NULL, ste_compat_names,
               "also score as published (a pack of free mode gives these rules text to read)"),
    STE_STRING("calibrate", calibrate, NULL, "FILE", "labelled pairs to fit the temperature of log-odds on"),
    STE_STRING("author", author, NULL, "MODEL", "the judge's model as chosen_model and rejected_model name it"),
    STE_BOOL("attacks", attacks, NULL,
             "also how often the worse answer wins when texts are made to fool a judge (27 more times the calls)"),
    STE_BOOL("full", full, NULL, "the full report: --score logits and --attacks"),
    STE_REAL("min_margin", min_margin, NULL, 0, STE_LARGE,
             "also the two-order accuracy where the margin is X or more, and how many pairs that leaves"),
    {0},
};
/* clang-format on */

int ste_measure_begin(struct ste_measured *m, struct ste_measure_options *o, struct ste_err *err)
{
    *m = (struct ste_measured){.about = json_object(), .temperature = 1};
    o->logits |= o->full;
    o->attacks |= o->full;
    int rc = o->suite ? ste_suite_load(&m->suite, o->suite, err) : 0;
    if (rc == 0 && o->calibrate && !o->logits)
        rc = ste_err_set(err, STE_EUSAGE, "--calibrate fits the temperature of --score logits; add that");
    return rc;
}

int ste_measure_has_data(const struct ste_suite *suite, const struct ste_strings *data, struct ste_err *err)
{
    const bool made = suite && suite->format == STE_PAIRS_VERIFIABLE;
    if (made && data->n)
        return ste_err_set(err, STE_EUSAGE, "the pairs of suite %s are made, not read: it goes without --data",
                           suite->name);
    return made || data->n ? 0 : ste_err_set(err, STE_EUSAGE, "--data is missing; `ste help eval` shows the flags");
}

int ste_measure_read(const struct ste_measured *m, const struct ste_measure_options *o, const struct ste_strings *data,
                     const struct ste_pairs_params *p, struct ste_pair_files *files, struct ste_err *err)
{
    struct ste_strings paths = {0};
    *files = (struct ste_pair_files){0};
    int rc = ste_suite_files(m->suite, data, o->partial, &paths, err);
    if (rc == 0)
        rc = ste_pair_files_read(files, &paths, m->suite ? m->suite->format : STE_PAIRS_LABELLED, p, err);
    ste_strings_clear(&paths);
    return rc;
}

int ste_measure(struct ste_measured *m, const struct ste_measure_options *o, struct ste_session *j,
                struct ste_pair_files *files, const struct ste_pairs_params *p, struct ste_err *err)
{
    struct ste_outcome **outcomes = NULL;
    int rc = o->calibrate ? ste_fit_temperature_on(j, o->calibrate, p, &m->temperature, err) : 0;
    if (rc == 0)
        rc = ste_eval_files(j, files, false, &outcomes, err);
    if (rc == 0 && o->attacks)
        rc = ste_attack_files(j, files, outcomes, p->seed, &m->attacked, &m->n_attacked, err);
    if (rc == 0 && m->judged && !j->batch)
        m->judged(m->arg, files, outcomes);
    for (size_t i = 0; i < files->n && rc == 0 && !j->batch; i++)
        rc = ste_outcomes_add(&m->table, &files->files[i], outcomes[i], m->suite ? m->suite->group_by : "file",
                              o->author, err);
    if (rc == 0)
        ste_session_about(j, m->about);
    ste_outcome_arrays_free(outcomes, files);
    return rc;
}

int ste_measured_scores(const struct ste_measured *m, const struct ste_measure_options *o, uint64_t seed,
                        struct ste_scores *scores, struct ste_err *err)
{
    const struct ste_scores_params p = {.suite = m->suite,
                                        .partial = o->partial,
                                        .compat = o->compat,
                                        .logits = o->logits,
                                        .temperature = m->temperature,
                                        .min_margin = o->min_margin,
                                        .seed = seed};
    return ste_scores_of(&m->table, &p, scores, err);
}

void ste_measured_json(struct ste_measured *m, const struct ste_scores *scores)
{
    if (m->attacked)
        json_object_set_new(m->about, "attacks", ste_attacked_json(m->attacked, m->n_attacked));
    ste_scores_json(scores, m->about);
}

void ste_measured_clear(struct ste_measured *m)
{
    json_decref(m->about);
    ste_outcome_table_clear(&m->table);
    ste_xfree(m->attacked);
    ste_suite_free(m->suite);
    *m = (struct ste_measured){0};
}
