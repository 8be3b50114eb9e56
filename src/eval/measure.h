/* All that `ste eval` measures of a judge on files of labelled pairs: options, work, figures. */
#ifndef STE_EVAL_MEASURE_H
#define STE_EVAL_MEASURE_H

#include "eval/attack.h"
#include "eval/scores.h"

struct ste_measure_options {
    char *suite, *calibrate, *author;
    enum ste_compat compat;
    double min_margin;
    bool partial, attacks, full;
    bool logits; /* also figures of the log-odds; the caller's to set, beside FULL */
};
extern const struct ste_option ste_measure_options[];

/* What was measured: its table, and what to say of the judge in the JSON. */
struct ste_measured {
    struct ste_suite *suite; /* NULL: none */
    struct ste_outcome_table table;
    json_t *about;
    double temperature;
    struct ste_attacked *attacked; /* NULL: no attacks were asked for */
    size_t n_attacked;
    /* The caller's, once begun: gets all outcomes, in arrays of the files, before they go into the table; NULL: nobody.
     */
    void (*judged)(void *arg, const struct ste_pair_files *files, struct ste_outcome *const *outcomes);
    void *arg;
};
/* Loads the suite; FULL says what it stands for. The caller clears M, whatever this returns. */
int ste_measure_begin(struct ste_measured *m, struct ste_measure_options *o, struct ste_err *err);
/* Pairs come from DATA, or are made by a suite, not both. */
int ste_measure_has_data(const struct ste_suite *suite, const struct ste_strings *data, struct ste_err *err);
/* What the suite's files are of DATA, read. */
int ste_measure_read(const struct ste_measured *m, const struct ste_measure_options *o, const struct ste_strings *data,
                     const struct ste_pairs_params *p, struct ste_pair_files *files, struct ste_err *err);
/* Judges FILES by the loaded J, and what else O asks for. Where J only counts its requests, nothing is in the table. */
int ste_measure(struct ste_measured *m, const struct ste_measure_options *o, struct ste_session *j,
                struct ste_pair_files *files, const struct ste_pairs_params *p, struct ste_err *err);
/* The figures; M must outlive them. */
int ste_measured_scores(const struct ste_measured *m, const struct ste_measure_options *o, uint64_t seed,
                        struct ste_scores *scores, struct ste_err *err);
/* Adds all figures to ABOUT, which is what `ste eval --json` writes. */
void ste_measured_json(struct ste_measured *m, const struct ste_scores *scores);
void ste_measured_clear(struct ste_measured *m);

#endif
