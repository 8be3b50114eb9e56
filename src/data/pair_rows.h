/* One row as a pair of answers: what data/pairs.c reads files with. */
#ifndef STE_DATA_PAIR_ROWS_H
#define STE_DATA_PAIR_ROWS_H

#include "data/pairs.h"

/* How many pairs ROW gives: more than one where it has lists of answers. */
size_t ste_pair_row_pairs(const json_t *row, enum ste_pairs_kind kind);
/* Reads pair WHICH (from 0) of P's row (row and line are set, all else is empty). NAME: of the file, for rows without
 * an id. WAITING: rows that wait for another one, by prompt; it keeps a reference. 1: P is a pair; 0: the row waits,
 * and P stays empty; negative: an error, and P is the caller's to clear. */
int ste_pair_row_read(struct ste_answer_pair *p, enum ste_pairs_kind kind, size_t which, const char *name,
                      json_t *waiting, const char *where, struct ste_err *err);
bool ste_pair_says_tie(const json_t *row);

#endif
