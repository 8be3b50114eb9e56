/* Scores of single answers by a judge, at its full batch. */
#ifndef STE_EVAL_SCORING_H
#define STE_EVAL_SCORING_H

#include "core/log.h"
#include "data/answers.h"
#include "judge/score.h"
#include "llm/pump.h"

/* OUT has rows->n items; the caller clears them, whatever this returns. An answer that does not fit the context has no
 * score; a warning names it. */
int ste_score_answers(struct ste_llm *llm, const struct ste_judge_setting *s, const struct ste_answer_rows *rows,
                      struct ste_score *out, struct ste_progress *progress, struct ste_err *err);
/* The same in two parts, for who runs PUMP together with others'; all that is given stays until the end. */
struct ste_scores_run;
struct ste_scores_run *ste_score_begin(struct ste_llm *llm, const struct ste_judge_setting *s,
                                       const struct ste_answer_rows *rows, struct ste_score *out,
                                       struct ste_progress *progress, struct ste_pump *pump);
void ste_score_end(struct ste_scores_run *run);
/* The row with its score and the like. */
json_t *ste_score_row(const struct ste_answer_row *r, const struct ste_score *s);

#endif
