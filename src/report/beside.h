/* What a page shows beside a report's own figures. */
#ifndef STE_REPORT_BESIDE_H
#define STE_REPORT_BESIDE_H

#include <jansson.h>

#include "data/pairs.h"
#include "eval/eval.h"

/*
 * Of the run in DIR, whose report is REPORT; the caller calls json_decref:
 *   steps, tokens, made, facts    lists as store/tables.h has them
 *   judges    [{suite, iteration, calibration, and of "test", whose texts the run has, liking: {length, format}}]
 */
int ste_beside_run(json_t **out, const char *dir, const json_t *report, struct ste_err *err);
/* {pairs, ece, bins: [{from, pairs, sure, right, right_lo, right_hi}]} at temperature 1, bins with pairs alone; NULL:
 * no pair has log-probabilities in both orders. */
json_t *ste_beside_calibration(const struct ste_outcome *o, size_t n);

/* The pairs of FILES on which two judges (FIRST, SECOND) differ in the two-order verdict or, SECOND being NULL, the two
 * orders of FIRST in theirs: {"of": how many were judged, "differ": how many of them, "pairs": [...]} with the texts
 * and verdicts of STE_BESIDE_PAIRS at most, those first where both sides are surest. Of NULL FIRST: all 0. */
enum { STE_BESIDE_PAIRS = 50 };
json_t *ste_beside_differing(const struct ste_pair_files *files, struct ste_outcome *const *first,
                             struct ste_outcome *const *second);

#endif
