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
/* The same in parts, for who has a loop of its own: what PUMP asks, until it is done. What is pointed to stays. */
struct ste_scores_asked;
struct ste_scores_asked *ste_score_answers_ask(struct ste_llm *llm, const struct ste_judge_setting *s,
                                               const struct ste_answer_rows *rows, struct ste_score *out,
                                               struct ste_progress *progress, struct ste_pump *pump);
void ste_score_answers_done(struct ste_scores_asked *g);
/* The row with its score and the like. */
json_t *ste_score_row(const struct ste_answer_row *r, const struct ste_score *s);

#endif
