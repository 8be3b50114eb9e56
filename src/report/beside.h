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

/* Pairs on which two judges differ in the two-order verdict, or the two orders of one judge in theirs; those are kept,
 * STE_BESIDE_PAIRS at most, of which the less sure side is surest. All 0 at first; ste_differing_end empties it. */
enum { STE_BESIDE_PAIRS = 50 };
struct ste_differing {
    size_t of, differ; /* judged; of them differing */
    size_t n;
    struct {
        double sure;
        json_t *row;
    } kept[STE_BESIDE_PAIRS]; /* surest first */
};
/* Adds PAIR of SUBSET if it is one. NAMES: what its two answers are called; NULL: chosen and rejected. SECOND: NULL, or
 * the other judge's. */
void ste_differing_add(struct ste_differing *d, const char *subset, const struct ste_answer_pair *pair,
                       const char *const *names, const struct ste_outcome *first, const struct ste_outcome *second);
/* {"of", "differ", "pairs": [{subset, id, prompt, chosen, rejected, names, judges}]}: as many of those that are kept as
 * have 32 MiB of text, and at least one. */
json_t *ste_differing_end(struct ste_differing *d);
/* The same of all pairs of FILES. */
json_t *ste_differing_files(const struct ste_pair_files *files, struct ste_outcome *const *first,
                            struct ste_outcome *const *second);

#endif
