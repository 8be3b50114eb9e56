/*
 * All figures of an evaluation from its table of outcomes: subsets, the sections and the overall score of a suite, what
 * may bias the judge, agreement where labels may be ties, and log-odds. One struct, one table of 80 columns, one JSON.
 */
#ifndef STE_EVAL_SCORES_H
#define STE_EVAL_SCORES_H

#include "eval/agreement.h"
#include "eval/calibration.h"
#include "eval/outcomes.h"
#include "eval/suite.h"

struct ste_scores_params {
    const struct ste_suite *suite; /* NULL: subsets alone, overall their mean */
    bool partial;                  /* a suite's score over those subsets that are there */
    enum ste_compat compat;
    bool logits;        /* figures of the log-odds */
    double temperature; /* of them */
    double min_margin;  /* pairs below it abstain; 0: none */
    uint64_t seed;
};

struct ste_scores {
    struct ste_metrics *subsets, *sections, overall;
    size_t n_subsets, n_sections;
    struct {
        size_t pairs;
        struct ste_rate accuracy;
    } sides[STE_N_BIASES][2]; /* [0]: the chosen answer has more of it, [1]: the rejected one */
    struct {
        size_t pairs;
        struct ste_rate named; /* how often the two-order verdict names the answer that has more of it */
        double right;          /* how often that answer is the chosen one */
    } liking[STE_N_BIASES];
    struct ste_agreement
        agreement[2]; /* with ties, without; only where a judged label is a tie or the suite is of votes */
    bool has_agreement;
    double kappa;
    struct ste_calibration calibration;
    struct {
        size_t pairs, of; /* answered, of all */
        struct ste_rate two_order;
    } sure; /* where the margin is MIN_MARGIN or more; only with one */
    double min_margin;
    size_t final[STE_N_FINAL], votes, votes_most; /* votes cast, and what full votes would have been; 0: no votes */
    const char *title;                            /* the suite's; NULL without one */
    enum ste_compat compat;
    bool logits;
};

/* Rows of one subset need not stand together; subsets come in the order of the suite, then of the table. STE_EINPUT
 * when a subset of the suite has no pair (name and mend) unless PARTIAL. The suite and the table, whose names
 * OUT bears, must outlive it. */
int ste_scores_of(const struct ste_outcome_table *t, const struct ste_scores_params *p, struct ste_scores *out,
                  struct ste_err *err);
void ste_scores_clear(struct ste_scores *s);
/* Share of verdicts that are valid, of all that were asked for. */
double ste_scores_coverage(const struct ste_scores *s);
void ste_scores_table(const struct ste_scores *s, struct ste_buf *out);
/* Adds to J: subsets, sections, overall, splits (by what may bias the judge) and so on. */
void ste_scores_json(const struct ste_scores *s, json_t *j);

#endif
