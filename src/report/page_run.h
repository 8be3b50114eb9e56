/* The parts of a run's page that say how its judges came about. */
#ifndef STE_REPORT_PAGE_RUN_H
#define STE_REPORT_PAGE_RUN_H

#include "core/strings.h"
#include "report/page_internal.h"

/* "seed" or "iteration N", in INTO, which is returned. */
const char *ste_page_judge(char *into, size_t size, long long iteration);

void ste_page_funnel(struct ste_buf *out, const json_t *funnel);
void ste_page_kinds(struct ste_buf *out, const json_t *report);
void ste_page_training(struct ste_buf *out, const json_t *report, const json_t *steps);
void ste_page_work(struct ste_buf *out, const json_t *report, const json_t *tokens);
void ste_page_made(struct ste_buf *out, const json_t *report, const json_t *beside);

#endif
