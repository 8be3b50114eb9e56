/*
 * Majority votes: the label of an order is what more of the valid votes say, and of two equal counts the one with the
 * larger sum of log-probabilities. judge/trial.h decides how many votes are cast.
 */
#ifndef STE_EVAL_VOTE_H
#define STE_EVAL_VOTE_H

#include "judge/trial.h"

/* The label of an order from the votes that were cast, in the order of their index; takes the reasoning of the first
 * vote for it. When no vote is valid its reason is that of the first. LOGPROBs are the means over valid votes. */
void ste_votes_count(const struct ste_judgment *votes, int n, struct ste_judgment *out, struct ste_tally *tally);

#endif
