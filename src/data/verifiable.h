/*
 * Labelled pairs that are made here, with a truth that anyone can check: the better answer is right, the other one
 * wrong in one place. Subsets: arithmetic, sorting, strings (counting and turning letters), format (an order about the
 * answer's form that one of the two does not obey). Both answers have the same wording, so that neither length nor
 * style tells.
 */
#ifndef STE_DATA_VERIFIABLE_H
#define STE_DATA_VERIFIABLE_H

#include "data/pairs.h"

/* N pairs, a quarter of each subset, rows with id, subset, prompt, chosen, rejected. Pair I is a function of SEED and
 * I. */
void ste_verifiable_pairs(struct ste_answer_pairs *out, size_t n, uint64_t seed);

#endif
