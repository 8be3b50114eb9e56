/*
 * A user's own examples to train on, one a line: messages (the last one, the assistant's, is learnt); prompt and
 * completion, both texts or both lists of messages; prompt_ids and completion_ids (of `ste export`, or of TRL); or
 * tokens and n_prompt. "weight" is optional.
 */
#ifndef STE_TRAIN_EXAMPLES_H
#define STE_TRAIN_EXAMPLES_H

#include "train/train.h"

/* The examples own their tokens. */
struct ste_examples {
    struct ste_example *items;
    size_t n, cap, too_long;
};
/* Examples of more than MAX_TOKENS are left out and warned of. A bad row, or no example: STE_EINPUT. The caller clears
 * X, whatever this returns. */
int ste_examples_read(struct ste_examples *x, const struct ste_model *m, const char *path, size_t max_tokens,
                      struct ste_err *err);
/* IDS passes to the list. */
void ste_examples_add(struct ste_examples *x, struct ste_tokens *ids, long long n_prompt, double weight);
void ste_examples_clear(struct ste_examples *x);

#endif
