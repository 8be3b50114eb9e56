/*
 * A reward model as a judge: the classifier that the paper compares with. Each answer has a score of its own, so both
 * orders of a pair say the same by construction, and the probability that one answer is better is the Bradley-Terry
 * model's, sigmoid of the difference.
 */
#ifndef STE_JUDGE_REWARD_H
#define STE_JUDGE_REWARD_H

#include "data/dialogue.h"
#include "engine/engine.h"
#include "llm/llm.h"
#include "model/model.h"

/* The tokens that a reward model scores: the chat's prompt, the answer, the end of the turn, at which the score is
 * taken. N_PROMPT: tokens before the answer. The caller clears OUT. */
int ste_reward_tokens(const struct ste_model *m, const struct ste_dialogue *prompt, const char *answer,
                      struct ste_tokens *out, int *n_prompt, struct ste_err *err);

struct ste_reward;
struct ste_trainer;
/* MODEL: a catalogue name or a .gguf path; DIR: the PEFT folder. Of HOW threads, isa and activations count. */
int ste_reward_open(struct ste_reward **out, const char *model, const char *dir, const struct ste_llm_params *how,
                    struct ste_err *err);
/* On an engine's model and weights, which stay the caller's like POOL, and outlive it. */
int ste_reward_open_on(struct ste_reward **out, const struct ste_engine *e, struct ste_pool *pool, const char *dir,
                       const struct ste_llm_params *how, struct ste_err *err);
/* What T, a trainer of a reward model on M, has learnt so far. T stays the caller's. */
struct ste_reward *ste_reward_of(struct ste_trainer *t, const struct ste_model *m);
void ste_reward_close(struct ste_reward *r);
const char *ste_reward_hash(const struct ste_reward *r);       /* of the adapter and its head */
const char *ste_reward_model_hash(const struct ste_reward *r); /* SHA-256 of the model's file */
/* SCORE[2] of two answers to a prompt, side by side so that they share it. STE_ETOOLONG: one does not fit the context.
 */
int ste_reward_scores(struct ste_reward *r, const struct ste_dialogue *prompt, const char *first, const char *second,
                      double *score, struct ste_err *err);
/* That of one answer. */
int ste_reward_score(struct ste_reward *r, const struct ste_dialogue *prompt, const char *answer, double *score,
                     struct ste_err *err);

#endif
