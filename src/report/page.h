/*
 * Reports as pages: one file each, which needs no network and no script. They are made from the reports' JSON and from
 * what beside.h adds; equal JSON gives equal bytes.
 */
#ifndef STE_REPORT_PAGE_H
#define STE_REPORT_PAGE_H

#include <jansson.h>

#include "core/buf.h"
#include "core/err.h"

/* The page of the run in DIR, whose report is REPORT. */
int ste_page_run(struct ste_buf *out, const char *dir, const json_t *report, struct ste_err *err);
/* What stands in its main part, for a page that a server gives. NAME is the run's, as text; BESIDE as
 * ste_beside_run gives it. */
void ste_page_run_main(struct ste_buf *out, const char *name, const json_t *report, const json_t *beside);

/* The pages of `ste eval`, `ste compare`, `ste rank` and `ste sweep`, made of what these give as JSON. DIFFERING
 * as ste_differing_end gives it; CALIBRATION as ste_beside_calibration does; either may be NULL. */
void ste_page_eval(struct ste_buf *out, const json_t *figures, const json_t *differing, const json_t *calibration);
void ste_page_compare(struct ste_buf *out, const json_t *figures, const json_t *differing);
void ste_page_rank(struct ste_buf *out, const json_t *figures, const json_t *differing);
void ste_page_sweep(struct ste_buf *out, const json_t *report);

#endif
