/*
 * Errors. A function that can fail returns 0 or one of the negative codes below and takes a
 * `struct ste_err *`, which collects one sentence: what was being done, to what, what went wrong and
 * what would help. The command line prints it as it is. The caller owns the struct; a NULL sink is
 * allowed everywhere.
 */
#ifndef STE_CORE_ERR_H
#define STE_CORE_ERR_H

#include "ste.h" /* the codes, and struct ste_err */

/* Sets the sentence and returns CODE, so that a caller can write `return ste_err_set(err, ...)`. */
int ste_err_set(struct ste_err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Does the same, with ": " and the text of errno after the sentence. For a full disk it names the mend. */
int ste_err_errno(struct ste_err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Puts "FMT: " before the sentence that is there; the code stays. Returns the code. */
int ste_err_wrap(struct ste_err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Joins LATE, which says what went wrong beside work that was done, to the result RC of that work: returns RC, or
 * LATE's code where RC is 0, and keeps both sentences where there are two. */
int ste_err_pass(struct ste_err *err, const struct ste_err *late, int rc);

#endif
