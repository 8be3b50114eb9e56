/* Which runs are there, and how far they are: what can be said without opening them to write. */
#ifndef STE_REPORT_RUNS_H
#define STE_REPORT_RUNS_H

#include <jansson.h>

#include "core/buf.h"
#include "core/strings.h"

/* Adds DIR, if it is a run, or the runs in its folders down to DEEP of them, sorted; no hidden ones. */
void ste_runs_find(const char *dir, int deep, struct ste_strings *out);
/*
 * Of each of RUNS an object: run, state, why, by, iteration (trained), iterations, seed, objective, pairs, changed (ISO
 * 8601, UTC), bytes. States:
 *   running      a process works on it (by)          done         all iterations are trained
 *   stopped      the loop ended early (why)           threshold    a threshold was not met (why)
 *   interrupted  by a signal: it goes on              killed       its process (by) is gone without an end
 *   failed       an error ended it (why)              begun        it is not at its end, and nobody works on it
 *   unreadable   its store is damaged, or of another ste (why)
 */
json_t *ste_runs_list(const struct ste_strings *runs);
void ste_runs_text(const json_t *list, struct ste_buf *out);

#endif
