/*
 * JSON. jansson does the reading and writing; here are the forms that ste needs: JSONL with a bound on
 * the line, errors that name file and line, checked fields, one canonical way to write.
 */
#ifndef STE_CORE_JSON_H
#define STE_CORE_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/buf.h"
#include "core/err.h"

/* Sorted keys, no spaces, UTF-8 kept, reals with 17 digits: equal values give equal bytes. Caller frees. */
char *ste_json_canonical(const json_t *j);
json_t *ste_json_parse(const char *text, size_t n, const char *what, struct ste_err *err);
void ste_json_add_ids(json_t *list, const int32_t *ids, size_t n); /* appends token ids to LIST */
json_t *ste_json_ids(const int32_t *ids, size_t n);                /* the same as a list of their own */

/* A number that no 64 bits hold (an id of 20 digits, 1e400) is kept as it was written: as a string that is not a text,
 * since it begins with a NUL, which no text read here has. ste_jsonl_write makes it the number again. */
const char *ste_json_large(const json_t *v); /* its digits; NULL: no such number */
const char *ste_json_text(const json_t *v);  /* the text of a string; NULL: no text */

/* JSONL, one object a line, or a file that is one JSON list of objects (the line is then that where the item begins). A
 * row over STE_JSONL_MAX_LINE bytes, one that is not UTF-8 and one that is not a JSON object are errors that name file
 * and line. Blank lines are passed over. "-" is stdin. */
#define STE_JSONL_MAX_LINE (16u << 20)
struct ste_jsonl;
int ste_jsonl_open(struct ste_jsonl **out, const char *path, struct ste_err *err);
/* 1: *row is the next object (the caller's to json_decref); 0: the end; negative: an error. After a bad
 * line the next call goes on behind it, so a caller may count bad lines and continue. */
int ste_jsonl_next(struct ste_jsonl *f, json_t **row, struct ste_err *err);
/* Says whether the next row can be read without waiting for who writes it. */
bool ste_jsonl_ready(const struct ste_jsonl *f);
long ste_jsonl_line(const struct ste_jsonl *f); /* of the last row or error, from 1 */
const char *ste_jsonl_path(const struct ste_jsonl *f);
void ste_jsonl_close(struct ste_jsonl *f);
/* Each row of a file to FN, with WHERE ("FILE:LINE"); the row stays the reader's. The first error ends it, FN's or the
 * file's, and is returned. */
int ste_jsonl_each(const char *path, int (*fn)(void *arg, json_t *row, const char *where, struct ste_err *err),
                   void *arg, struct ste_err *err);

void ste_jsonl_add(struct ste_buf *out, const json_t *row); /* ROW as the writer writes it, with its line feed */
/* A writer whose file appears under its name only when ste_jsonl_commit succeeds; "-" is stdout. */
struct ste_jsonl_writer;
int ste_jsonl_create(struct ste_jsonl_writer **out, const char *path, struct ste_err *err);
int ste_jsonl_write(struct ste_jsonl_writer *w, const json_t *row, struct ste_err *err);
/* Rows written so far can be read by who waits for them. */
int ste_jsonl_flush(struct ste_jsonl_writer *w, struct ste_err *err);
int ste_jsonl_commit(struct ste_jsonl_writer *w, struct ste_err *err); /* frees W, whatever it returns */
void ste_jsonl_abort(struct ste_jsonl_writer *w);                      /* removes the temporary file */
/* Commits, or, where RC says that something failed before, aborts and returns RC. */
int ste_jsonl_end(struct ste_jsonl_writer *w, int rc, struct ste_err *err);

/* A string or a whole number of any size as text, for an id or a name; NULL for anything else. Caller frees. */
char *ste_json_name(const json_t *v);
/* Fields of ROW. WHERE ("FILE:LINE") stands in the error. The string belongs to the row. */
int ste_json_string(const json_t *row, const char *key, bool required, const char **out, const char *where,
                    struct ste_err *err);
int ste_json_int(const json_t *row, const char *key, bool required, long long *out, const char *where,
                 struct ste_err *err);
int ste_json_real(const json_t *row, const char *key, bool required, double *out, const char *where,
                  struct ste_err *err);

#endif
