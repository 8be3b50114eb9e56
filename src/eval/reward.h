/*
 * A reward model as a judge: the classifier that the paper compares with. Each answer has a score of its own, so both
 * orders of a pair say the same by construction, and the probability that one answer is better is the Bradley-Terry
 * model's, sigmoid of the difference.
 */
#ifndef STE_EVAL_REWARD_H
#define STE_EVAL_REWARD_H

#include "engine/cpu/kernels.h"
#include "eval/eval.h"
#include "model/model.h"

/* The tokens that a reward model scores: the chat's prompt, the answer, the end of the turn, at which the score is
 * taken. N_PROMPT: tokens before the answer. The caller clears OUT. */
int ste_reward_tokens(const struct ste_model *m, const struct ste_dialogue *prompt, const char *answer,
                      struct ste_tokens *out, int *n_prompt, struct ste_err *err);

/* The verdict of a judge that scores each answer by itself: in both orders the better score's, a tie when they are
 * equal, invalid when one is no number; with the labels' log-probabilities by Bradley and Terry. */
void ste_outcome_of_scores(struct ste_outcome *o, double first, double second);

struct ste_reward;
/* MODEL: a catalogue name or a .gguf path; DIR: the PEFT folder. POOL stays the caller's. */
int ste_reward_open(struct ste_reward **out, const char *model, const char *dir, struct ste_pool *pool,
                    enum ste_isa isa, enum ste_activations activations, struct ste_err *err);
void ste_reward_close(struct ste_reward *r);
const char *ste_reward_hash(const struct ste_reward *r);       /* of the adapter and its head */
const char *ste_reward_model_hash(const struct ste_reward *r); /* SHA-256 of the model's file */
/* OUT as of ste_judge_pairs. A pair that is longer than the model's context counts as invalid and is warned of. */
int ste_reward_pairs(struct ste_reward *r, const struct ste_answer_pairs *pairs, struct ste_outcome *out,
                     struct ste_progress *progress, struct ste_err *err);

#endif
