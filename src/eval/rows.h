/* Rows in memory, one JSON object a line, judged and scored as `ste judge` and `ste score` do those of files. */
#ifndef STE_EVAL_ROWS_H
#define STE_EVAL_ROWS_H

#include "eval/files.h"

/* ROWS: prompt or messages, response_a, response_b, perhaps id; REFERENCES: each with its reference answers. Adds the
 * rows as ste_verdict_row makes them. A row without id gets one by what it asks, so that its verdict is the same in any
 * company. Errors name the row, the first being row 1. */
int ste_rows_judge(struct ste_session *j, const char *rows, bool references, struct ste_buf *out, struct ste_err *err);
/* The same of single answers (data/answers.h), as ste_score_row makes them. */
int ste_rows_score(struct ste_session *j, const char *rows, bool references, struct ste_buf *out, struct ste_err *err);

#endif
