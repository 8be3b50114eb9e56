/* Does the runs of a sweep and says what they came to. */
#ifndef STE_REPORT_SWEEP_H
#define STE_REPORT_SWEEP_H

#include <jansson.h>

#include "core/buf.h"
#include "loop/sweep.h"

#define STE_SWEEP_REPORT "sweep.json" /* in the sweep's folder */

/* Every run that is not done, each with its report, then the sweep's report, which it writes and gives. A run that ends
 * without a judge (STE_ETHRESHOLD) is left out of the figures, with its reason; when all others are done that is the
 * result. *OUT is NULL on any other error. */
int ste_sweep_run(struct ste_sweep *s, json_t **out, struct ste_err *err);
/* The table of 80 columns, made of the report. */
void ste_sweep_text(const json_t *report, struct ste_buf *out);
/* Says what would be done: the runs and what they share. */
void ste_sweep_plan_text(struct ste_sweep *s, struct ste_buf *out);

#endif
