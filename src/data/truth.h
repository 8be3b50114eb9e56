/*
 * Questions whose answer is known, and what an answer comes to beside it: a number, the letter of a choice, or tests
 * that code must pass.
 */
#ifndef STE_DATA_TRUTH_H
#define STE_DATA_TRUTH_H

#include <jansson.h>

#include "core/err.h"
#include "data/dialogue.h"

/*
 * What ROW says is right, in one form: "number 42", "choice B" or "tests" and lines of Python. *OUT is NULL where it
 * says nothing that can be compared; the caller frees.
 *
 * Read, the first that is there: "tests" or "test_list" (a text or a list of texts; "test_imports", "test_setup_code"
 * go before them); "answer" or "solution" (a number, a letter from A to J, a text that ends in "#### 42" or has
 * \boxed{42}; beside a list "choices" the number of the right one, from 0); the lines of the question D that begin with
 * "assert ". Tests that are no texts: STE_EINPUT, WHERE is "FILE:LINE".
 */
int ste_truth_read(const json_t *row, const struct ste_dialogue *d, char **out, const char *where, struct ste_err *err);
/* The lines of Python; NULL: TRUTH is no tests. */
const char *ste_truth_tests(const char *truth);

/* UNCLEAR: the answer names nothing, or more than one thing, or a number as near as rounding. */
enum ste_finding { STE_FOUND_RIGHT, STE_FOUND_WRONG, STE_FOUND_UNCLEAR };
/* Holds what ANSWER ends with against TRUTH, a number or a choice. */
enum ste_finding ste_truth_find(const char *truth, const char *answer);
/* The Python code in ANSWER: its first block with a function in it; NULL: there is none. Caller frees. */
char *ste_truth_code(const char *answer);

#endif
