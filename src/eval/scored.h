/* Judges that score each answer by itself and are asked nothing: reward models, and likelihoods. */
#ifndef STE_EVAL_SCORED_H
#define STE_EVAL_SCORED_H

#include "eval/eval.h"
#include "judge/likelihood.h"
#include "judge/reward.h"

/* The verdict of such a judge: in both orders the better score's, a tie when they are equal, invalid when one is no
 * number; with the labels' log-probabilities by Bradley and Terry. */
void ste_outcome_of_scores(struct ste_outcome *o, double first, double second);

/* OUT as of ste_judge_pairs; of J count the progress and what callers have that save outcomes. A pair that is longer
 * than the model's context counts as invalid and is warned of. */
int ste_reward_pairs(struct ste_reward *r, const struct ste_judging *j, const struct ste_answer_pairs *pairs,
                     struct ste_outcome *out, struct ste_err *err);

/* The same; log-odds are the difference of the scores. PROGRESS counts texts: ste_likelihood_texts a pair. */
int ste_likelihood_pairs(struct ste_llm *llm, const struct ste_likelihood_setting *s,
                         const struct ste_answer_pairs *pairs, struct ste_outcome *out, struct ste_progress *progress,
                         struct ste_err *err);
/* The same in parts, for who has a loop of its own: what PUMP asks, until it is done. ALL: nothing is left to ask, and
 * OUT gets its verdicts. */
struct ste_likelihood_pairs_asked;
struct ste_likelihood_pairs_asked *ste_likelihood_pairs_ask(struct ste_llm *llm, const struct ste_likelihood_setting *s,
                                                            const struct ste_answer_pairs *pairs,
                                                            struct ste_outcome *out, struct ste_progress *progress,
                                                            struct ste_pump *pump);
void ste_likelihood_pairs_done(struct ste_likelihood_pairs_asked *g, bool all);

#endif
