/*
 * Majority votes with exact early stopping. An order of a pair is asked ALL times; its label is what more of the valid
 * votes say, and of two equal counts the one with the larger sum of log-probabilities. Votes count by their index, so
 * the label and the number of votes depend on nothing but the samples: an order ends at the first index where the lead
 * exceeds the votes that are left, for nothing that follows could change its label.
 */
#ifndef STE_EVAL_VOTE_H
#define STE_EVAL_VOTE_H

#include <stddef.h>

#include "judge/judge.h"

struct ste_tally {
    int a, b, invalid;
};

/* How many more votes are needed for certain, whatever they say; 0: the label stands. Of votes that are still to come
 * this many may be in flight at once without one of them being in vain. */
int ste_votes_needed(const struct ste_tally *t, int all);

/* The label of an order from the votes that were cast, in the order of their index; takes the reasoning of the first
 * vote for it. When no vote is valid its reason is that of the first. LOGPROBs are the means over valid votes. */
void ste_votes_count(const struct ste_judgment *votes, int n, struct ste_judgment *out, struct ste_tally *tally);

#endif
