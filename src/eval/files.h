/* An open judge on pairs and on files of them. */
#ifndef STE_EVAL_FILES_H
#define STE_EVAL_FILES_H

#include "eval/eval.h"
#include "judge/session.h"

/* Judges PAIRS in whichever way J judges, in the order of the file alone unless BOTH. OUT as of ste_judge_pairs. */
int ste_eval_pairs(struct ste_session *j, const struct ste_answer_pairs *pairs, bool both, struct ste_outcome *out,
                   struct ste_progress *progress, struct ste_err *err);
/* How much progress so many pairs are. */
size_t ste_eval_calls(const struct ste_session *j, size_t pairs, bool both);

/* Says how many calls are to come and how long they will take (MORE: another judge follows on the same pairs), then
 * judges all files in both orders. *OUTCOMES has one array a file. Pairs that ask what the judge was trained on are
 * judged, warned of and counted in J's provenance. */
int ste_eval_files(struct ste_session *j, const struct ste_pair_files *p, bool more, struct ste_outcome ***outcomes,
                   struct ste_err *err);
void ste_outcome_arrays_free(struct ste_outcome **outcomes, const struct ste_pair_files *p);

#endif
