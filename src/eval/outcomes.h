/*
 * Outcomes of an evaluation as a table, one row a pair, and as JSON lines: every figure is computed from this table
 * alone, so that a file of it (of this judge or of another) gives the figures again without a model. Fields of a line:
 *   suite, subset, id, prompt_key (16 hex digits), state ("judged", "skipped", "tied"), label ("chosen" or "tie"),
 *   row (the id of a row that has several answers on a side, where this is one of its pairs, else absent),
 *   longer, formatted, author ("chosen", "rejected" or absent), is_shuffled (or absent),
 *   ab, ba: verdict, reason, logprob_a, logprob_b, reasoning, votes [A, B, invalid]
 */
#ifndef STE_EVAL_OUTCOMES_H
#define STE_EVAL_OUTCOMES_H

#include "eval/eval.h"
#include "judge/compat.h"

struct ste_outcome_line {
    char *suite, *subset, *id, *row_id; /* ROW_ID: NULL where the row has one pair */
    struct ste_outcome o;
};

struct ste_outcome_table {
    struct ste_outcome_line *rows;
    size_t n, cap;
};

/* Moves the outcomes of PAIRS into the table (O is left cleared). GROUP_BY: the field of a row that names the subset,
 * or "file"; a row without it is an error. AUTHOR (may be NULL): the model that is the judge's own, as chosen_model and
 * rejected_model name it. */
int ste_outcomes_add(struct ste_outcome_table *t, const struct ste_answer_pairs *pairs, struct ste_outcome *o,
                     const char *group_by, const char *author, struct ste_err *err);
int ste_outcomes_read(struct ste_outcome_table *t, const char *path, struct ste_err *err);
/* COMPAT other than NONE: each line also has compat {winner, order, score}; SEED as in ste_outcome_compat. */
int ste_outcomes_write(const struct ste_outcome_table *t, enum ste_compat compat, uint64_t seed, const char *path,
                       struct ste_err *err);
void ste_outcome_table_clear(struct ste_outcome_table *t);

/* The score of a row by a published rule, from the one order that its row says or that the seed and its id draw. In
 * closed mode, where no marker is generated, the verdict stands for the text. */
double ste_outcome_compat(const struct ste_outcome_line *row, enum ste_compat c, uint64_t seed, enum ste_winner *winner,
                          enum ste_order *order);

#endif
