/*
 * Verdicts as numbers: the log-odds of the labels, averaged over both orders, so that a leaning to one position
 * cancels; and how far its probabilities can be trusted. Temperature scaling and the expected calibration error are
 * those of Guo et al., "On Calibration of Modern Neural Networks" (2017): p = 1 / (1 + exp(-margin / T)), T fitted on
 * other pairs by likelihood, ECE over 10 bins of equal width of the more probable side's probability.
 */
#ifndef STE_EVAL_CALIBRATION_H
#define STE_EVAL_CALIBRATION_H

#include "eval/files.h"

enum { STE_N_BINS = 10 };
struct ste_calibration {
    struct {
        size_t pairs;
        double sure; /* mean probability of the side that is named; NAN: no pair */
        double right;
    } bins[STE_N_BINS]; /* by that probability, from 0 to 1 */
    size_t pairs;             /* with log-probabilities in both orders, and no invalid verdict */
    struct ste_rate accuracy; /* of the two-order verdict on these */
    double temperature, ece, nll;
};

/* Of one pair: the mean over both orders of -log p(right label), of the two labels; NAN without log-probabilities. Not
 * of the margin: a leaning to a position costs. */
double ste_log_loss(const struct ste_outcome *o);
/* T of the highest likelihood, between 0.01 and 100, for J's verdicts on the labelled pairs of PATH; 1 without pairs.
 */
int ste_fit_temperature_on(struct ste_session *j, const char *path, const struct ste_pairs_params *p,
                           double *temperature, struct ste_err *err);
void ste_calibration_of(const struct ste_outcome *o, size_t n, double temperature, uint64_t seed,
                        struct ste_calibration *out);

#endif
