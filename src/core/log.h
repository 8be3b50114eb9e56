/*
 * What is said and shown while work goes on. All of it goes to the thread's context (context.h), which decides what
 * becomes of it; the program draws it on stderr (cli/terminal.h).
 */
#ifndef STE_CORE_LOG_H
#define STE_CORE_LOG_H

#include "ste.h"

void ste_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void ste_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* The functions take NULL for P too. */
struct ste_progress *ste_progress_new(const char *what, const char *unit, uint64_t total);
void ste_progress_total(struct ste_progress *p, uint64_t total);
/* Counts N as done before this command (a resume): they are not in the rate. */
void ste_progress_had(struct ste_progress *p, uint64_t n);
void ste_progress_add(struct ste_progress *p, uint64_t n);
/* Puts a short note behind the count. */
void ste_progress_note(struct ste_progress *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void ste_progress_end(struct ste_progress *p); /* says that it ends, and frees it */

double ste_now(void); /* seconds, monotonic: for rates and logs only, never for results */

#endif
