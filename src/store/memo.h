/*
 * The file of the cache of answers: an SQLite database outside any run, of bytes by a question's address and a numerics
 * id. Two processes may share it. It only ever saves time: what goes wrong is a warning, once, and work goes on
 * without.
 */
#ifndef STE_STORE_MEMO_H
#define STE_STORE_MEMO_H

#include <stdbool.h>

#include <stdint.h>

#include "core/buf.h"
#include "core/err.h"

struct ste_memo;
/* Makes the file and its folder where they are not there. NULL, after a warning, when it cannot be opened. */
struct ste_memo *ste_memo_open(const char *path);
void ste_memo_close(struct ste_memo *m);
/* Adds the bytes to OUT; false: there are none. */
bool ste_memo_get(struct ste_memo *m, const char *address, const char *numerics, struct ste_buf *out);
/* Adds the bytes behind what is there: where there are some for the same already, those are what is got. Other
 * processes that want to write wait from here until ste_memo_save. */
void ste_memo_put(struct ste_memo *m, const char *address, const char *numerics, const struct ste_buf *bytes);
/* Saves what was put. */
void ste_memo_save(struct ste_memo *m);

/* What a file holds; all 0: there is none. */
struct ste_memo_size {
    int64_t answers, bytes; /* BYTES: of the file and what SQLite keeps beside it */
    int64_t oldest;         /* days for which the oldest answer has been there, at most; -1: not known */
};
int ste_memo_measure(const char *path, struct ste_memo_size *out, struct ste_err *err);
/* Removes what was put more than DAYS days ago, then the oldest until the rest takes at most BYTES (0: any number). The
 * file shrinks where no other process has it open: else *SHRUNK is false, and its space goes to answers to come.
 * Others may read and write meanwhile. */
int ste_memo_prune(const char *path, int64_t days, int64_t bytes, int64_t *removed, bool *shrunk, struct ste_err *err);

#endif
