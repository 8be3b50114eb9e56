/*
 * What a person sees while work goes on, all on stderr: one-line messages, and progress. On a
 * terminal progress is one line redrawn in place (at most 80 columns or the terminal's width) with
 * count, rate and time left; elsewhere it is one plain line a minute and one at the end. NO_COLOR is
 * honoured. STE_LOG=quiet silences everything but warnings.
 */
#ifndef STE_CORE_LOG_H
#define STE_CORE_LOG_H

#include <stdbool.h>
#include <stdint.h>

void ste_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void ste_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

struct ste_progress;
/* UNIT "bytes" is shown in MB. WHAT: "judge, iteration 1"; UNIT: "judgments". TOTAL 0: not known. Returns NULL-safe handle. */
struct ste_progress *ste_progress_new(const char *what, const char *unit, uint64_t total);
void ste_progress_total(struct ste_progress *p, uint64_t total);
/* What was done before this command (a resume): counted, but not in the rate. */
void ste_progress_had(struct ste_progress *p, uint64_t n);
void ste_progress_add(struct ste_progress *p, uint64_t n);
/* A short note behind the bar, such as "312 tok/s". */
void ste_progress_note(struct ste_progress *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void ste_progress_end(struct ste_progress *p); /* draws the last state and frees */

double ste_now(void); /* seconds, monotonic: for rates and logs only, never for results */

#endif
