/* The order in which an iteration's examples are trained on in the first epoch. */
#ifndef STE_LOOP_ORDER_H
#define STE_LOOP_ORDER_H

#include <stdbool.h>
#include <stddef.h>

struct ste_ordered {
    const char *pair, *opposed; /* OPPOSED: the kind of a pair of `refuse` or `comply`; else NULL */
    char label;
    double margin; /* the check's, for the pair; NAN: none */
    /* Set here. */
    int orders;   /* examples of the pair */
    double key;   /* what easy examples first goes by */
    size_t place; /* among its like */
    size_t index; /* where it stood */
};

/*
 * Sorts N items. In twos, an A and a B: both orders of one pair, then what is left of the two labels. A batch takes
 * them together, so that its step teaches no position: what says "A" whatever the answers are is pushed as hard one way
 * as the other. And twos in twos: a pair of `refuse` with one of `comply`, as far as there are both, so that a step
 * does not teach that to decline is right, or wrong, whatever was asked.
 *
 * EASY_FIRST: the clearest first, by the check's margin, and harder ones among them as it goes on: a pair is kept back
 * by its rank, then comes at a time of its own (multiples of the golden ratio lie evenly). Pairs without a margin,
 * which rank as they come, are kept back for a third, still in twos of twos.
 */
void ste_loop_order(struct ste_ordered *items, size_t n, bool easy_first);

#define STE_LOOP_TOGETHER 4 /* examples that a shuffle moves as one */

#endif
