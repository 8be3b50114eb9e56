/*
 * A user's own examples to train on, one a line: messages (the last one, the assistant's, is learnt); prompt and
 * completion, both texts or both lists of messages; prompt_ids and completion_ids (of `ste export`, or of TRL); or
 * tokens and n_prompt. Preferences have chosen and rejected in the place of completion, or chosen_ids and rejected_ids;
 * or chosen and rejected alone, whole conversations that differ in their last message. "weight" is optional.
 */
#ifndef STE_TRAIN_EXAMPLES_H
#define STE_TRAIN_EXAMPLES_H

#include "train/train.h"

/* The examples own their tokens. */
struct ste_examples {
    struct ste_example *items;
    size_t n, cap, too_long;
};
/* PREFERENCES: rows of pairs, whose two examples become neighbours, chosen before rejected. Rows of more than MAX_TOKENS
 * are left out and warned of. A bad row, or no example: STE_EINPUT. The caller clears X, whatever this returns. */
int ste_examples_read(struct ste_examples *x, const struct ste_model *m, const char *path, bool preferences,
                      size_t max_tokens, struct ste_err *err);
/* IDS passes to the list. */
void ste_examples_add(struct ste_examples *x, struct ste_tokens *ids, long long n_prompt, double weight);
void ste_examples_clear(struct ste_examples *x);

#endif
