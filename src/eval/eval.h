/*
 * Evaluation of a judge on labelled pairs, always in both orders (contract 8). Invalid verdicts count as wrong; tied
 * pairs are left out and counted.
 */
#ifndef STE_EVAL_EVAL_H
#define STE_EVAL_EVAL_H

#include <jansson.h>

#include "core/log.h"
#include "data/pairs.h"
#include "eval/vote.h"
#include "llm/pump.h"

/* What may bias a judge: accuracy is reported apart for pairs whose chosen answer has it and whose rejected one has. */
enum ste_bias {
    STE_BIAS_LENGTH, /* is longer, in characters */
    STE_BIAS_FORMAT, /* has Markdown: a list, heading, bold or code, and the other has none */
    STE_BIAS_AUTHOR, /* was written by the judge's own model */
    STE_N_BIASES
};

/* The two orders of a pair: AB has the chosen answer first. */
enum ste_order { STE_ORDER_AB, STE_ORDER_BA };

struct ste_outcome {
    bool judged;  /* false: tied and not asked */
    bool skipped; /* too long in one order: counts as invalid in both */
    struct ste_judgment order[2];
    struct ste_tally votes[2];      /* cast in each order */
    uint64_t prompt_key;            /* pairs of one prompt are resampled together */
    uint64_t row_key;               /* of the row, where it gave several pairs (data/pairs.h); else 0 */
    bool tie;                       /* the label is a tie: counts in agreement alone */
    signed char side[STE_N_BIASES]; /* which answer has more of it: 1 the chosen one, -1 the other, 0 neither */
    double compat;                  /* the score by a published rule (outcomes.h), where one was asked for */
    signed char drawn;              /* the one order of a published score: 0 AB, 1 BA, -1: not said by the row */
};

/* Says whether the verdict in ORDER names the chosen answer. */
bool ste_outcome_right(const struct ste_outcome *o, enum ste_order order);

/* What both orders say together. */
enum ste_final { STE_FINAL_CHOSEN, STE_FINAL_REJECTED, STE_FINAL_TIE, STE_FINAL_INVALID, STE_N_FINAL };
/* TIE: the orders name different answers, or the verdicts are ties; INVALID: a verdict is missing in one. */
enum ste_final ste_outcome_final(const struct ste_outcome *o);

/* The log-odds of the labels for the chosen answer against the other, the mean of both orders; with votes each order's
 * are the mean over its valid votes. NAN without log-probabilities, and where a verdict is invalid. */
double ste_outcome_log_odds(const struct ste_outcome *o);
/*
 * The two-order margin, in favour of the chosen answer: what a judge adds for the place in which an answer stands is
 * added once to either answer, and cancels. Closed mode: the log-odds above, also with votes, since they say how sure
 * each vote was, and the labels drawn from them are the same with noise. Free mode: the mean over the orders of the
 * difference of shares of the valid votes, which without votes is 1 where both orders name the chosen answer, -1 where
 * both name the other, and 0 where they disagree. NAN where a verdict is invalid or the pair was not judged.
 */
double ste_outcome_margin(const struct ste_outcome *o);
/* The two-order verdict, by the margin's sign; TIE: it is exactly 0, which is undecided and never half right. */
enum ste_final ste_outcome_two_order(const struct ste_outcome *o);
bool ste_outcome_two_order_right(const struct ste_outcome *o);

/* A rate with the bounds of its 95 % interval. */
struct ste_rate {
    double value, lo, hi;
};

/* Two-order accuracy on the share COVERAGE of the pairs whose margin is largest, whichever its sign. */
struct ste_coverage_point {
    double coverage;
    size_t pairs; /* in it, rounded up */
    double accuracy;
};
enum { STE_N_COVERAGE = 4 }; /* all, three quarters, a half, a quarter */
/* CURVE[STE_N_COVERAGE] over the pairs of all SUITES as one set. Pairs without a margin stand last; equal margins stand
 * as they came. */
void ste_coverage_curve(const struct ste_outcome *const *outcomes, const size_t *n, size_t suites,
                        struct ste_coverage_point *curve);

/* Rows with several answers on a side, whose pairs stand together: how many, and the share in which every chosen answer
 * beats every rejected one by the two-order verdict. Of one chosen answer among four it is the best of four. */
struct ste_best {
    size_t rows;
    struct ste_rate rate;
};
/* The weighted mean over SUITES, as in ste_metrics_overall. */
void ste_best_of(const struct ste_outcome *const *outcomes, const size_t *n, size_t suites, const double *weights,
                 uint64_t seed, struct ste_best *out);

struct ste_metrics {
    const char *name;                     /* borrowed from who asked */
    size_t pairs, tied, skipped, invalid; /* SKIPPED pairs are too long, and among PAIRS; INVALID counts verdicts: of
                                             2 x pairs */
    size_t reasons[STE_N_INVALID];        /* the invalid ones by reason */
    struct ste_rate accuracy;             /* mean of both orders */
    double accuracy_ab, accuracy_ba;
    struct ste_rate by_order[2]; /* the same with Wilson's intervals; bounds are NAN where prompts have several pairs */
    struct ste_rate consistent;  /* right in both orders */
    struct ste_rate two_order;   /* the two-order verdict is right */
    size_t undecided;            /* pairs whose margin is exactly 0: wrong */
    struct ste_coverage_point curve[STE_N_COVERAGE];
    double first_position; /* of the verdicts that name an answer, those for the one shown first; NAN: none does */
    double invalid_share;
    double compat; /* mean of the outcomes' compat */
    struct ste_best best;
};

/* Intervals: percentile bootstrap over prompts, 2000 draws keyed by SEED. */
void ste_metrics_of(const struct ste_outcome *o, size_t n, const char *name, uint64_t seed, struct ste_metrics *out);
/* The pairs in which the answer SIDE has more of BIAS (1 the chosen one, -1 the other): how many, and the accuracy of
 * both orders on them. */
size_t ste_metrics_side(const struct ste_outcome *o, size_t n, enum ste_bias bias, int side, uint64_t seed,
                        struct ste_rate *accuracy);
/* How far the judge goes by BIAS: of the pairs of which one answer has more of it and the two-order verdict names one
 * answer, how many, NAMED, the share whose verdict names that answer, and RIGHT, the share in which it is the chosen
 * one. */
size_t ste_metrics_liking(const struct ste_outcome *o, size_t n, enum ste_bias bias, uint64_t seed,
                          struct ste_rate *named, double *right);
/* Mean of the suites' figures, weighted by WEIGHTS (NULL: all equal); intervals by resampling prompts within each
 * suite; the coverage curve over all pairs as one set. OUTCOMES[i] has N[i] items. */
void ste_metrics_overall(const struct ste_outcome *const *outcomes, const size_t *n, size_t suites,
                         const double *weights, uint64_t seed, struct ste_metrics *out);

/* Sets what O says of the pair itself; its verdicts are invalid until they come. JUDGED: false for a tie that is left
 * out. */
void ste_outcome_begin(struct ste_outcome *o, const struct ste_answer_pair *p, bool judged);

/* Sets which of the two texts has more of the biases that texts show, length and format. */
void ste_outcome_sides(struct ste_outcome *o, const char *chosen, const char *rejected);

void ste_outcome_too_long(struct ste_outcome *o); /* invalid in both orders */

/* What an evaluation says beside how the judge is asked. */
struct ste_eval_setting {
    int votes;      /* in each order: the majority of so many samples; 0 or 1: one judgment */
    bool all_votes; /* also those that can change nothing any more */
};

struct ste_judging {
    struct ste_llm *llm;
    const struct ste_judge_setting *judge;
    const struct ste_eval_setting *setting;
    bool one_order;                /* that of the file alone: for pairs without labels */
    struct ste_progress *progress; /* counts votes */
    /* For callers that save outcomes as they come; all may be NULL. */
    const bool *known; /* [pairs]: saved before, and not asked again */
    int (*judged)(void *arg, size_t pair, const struct ste_outcome *o, struct ste_err *err); /* in any order */
    int (*tick)(void *arg, struct ste_err *err); /* every few seconds: llm/pump.h */
    void *arg;
};
/* Judges pairs, at the judge's full batch. OUT has pairs->n items; the caller clears them, whatever this returns. A
 * pair that does not fit the context is named in a warning. */
int ste_judge_pairs(const struct ste_judging *j, const struct ste_answer_pairs *pairs, struct ste_outcome *out,
                    struct ste_err *err);
/* The same in parts, for who has a loop of its own: what PUMP asks, whose llm is J's, until it is done. J is copied,
 * but not what it points to. *ASKED is to be done whatever this returns. */
struct ste_pairs_asked;
int ste_judge_pairs_ask(struct ste_pairs_asked **asked, const struct ste_judging *j,
                        const struct ste_answer_pairs *pairs, struct ste_outcome *out, struct ste_pump *pump,
                        struct ste_err *err);
void ste_judge_pairs_done(struct ste_pairs_asked *g);
/* Sets the fields verdict, reason, logprob_a, logprob_b and reasoning of one judgment in ROW. */
void ste_judgment_json(const struct ste_judgment *j, json_t *row);
/* Gives the row of a pair without a label with O's verdict, of both orders or of the file's order alone. */
json_t *ste_verdict_row(const struct ste_answer_pair *p, const struct ste_outcome *o, bool both);
/* A: response_a, B: response_b, TIE: the orders name different ones. */
enum ste_verdict ste_outcome_verdict(const struct ste_outcome *o, bool both);
void ste_outcomes_clear(struct ste_outcome *o, size_t n);

/*
 * Two judges on the same pairs: McNemar (exact) on right-in-both and on the two-order verdict, and the bootstrap
 * intervals of the differences (second minus first). The difference in right-in-both is the sum of two gains. R = T K,
 * where T is the share of pairs that are two-order right and K = R / T the share of those that are right in each order
 * alone as well: T says how well the judge tells the better answer, K how little a place can turn it. So
 * R2 - R1 = (T2 - T1) (K1 + K2) / 2 + (K2 - K1) (T1 + T2) / 2.
 */
struct ste_comparison {
    size_t pairs, only_first, only_second;  /* right in both orders by one of them only */
    size_t only_first_two, only_second_two; /* two-order right by one of them only */
    double mcnemar_p, two_order_p;
    struct ste_rate accuracy_difference, consistent_difference, two_order_difference;
    struct ste_rate gain_telling, gain_position; /* their sum is consistent_difference */
};
void ste_compare(const struct ste_outcome *first, const struct ste_outcome *second, size_t n, uint64_t seed,
                 struct ste_comparison *out);

json_t *ste_comparison_json(const struct ste_comparison *c);
json_t *ste_metrics_json(const struct ste_metrics *m); /* the fields of `ste eval --json` */
/* NAME in WIDTH columns, filled up with blanks; one that is longer ends in "..." behind a whole character. */
void ste_name_column(struct ste_buf *out, const char *name, int width);
/* The table of `ste eval`, 80 columns, with a coverage line. */
void ste_metrics_table(const struct ste_metrics *suites, size_t n, const struct ste_metrics *overall,
                       struct ste_buf *out);
/* The table of `ste compare`, 80 columns: N suites by name, then ALL pairs as one set, with the gains. */
void ste_comparison_table(const char *const *names, const struct ste_comparison *suites, size_t n,
                          const struct ste_comparison *all, struct ste_buf *out);

#endif
