/*
 * What a run did and how good its judges are, read from its store: as JSON (report.json) and as text for a terminal of
 * 80 columns, made from that JSON. Sums are sums: every instruction, pair and judgment is in exactly one state.
 */
#ifndef STE_REPORT_REPORT_H
#define STE_REPORT_REPORT_H

#include <jansson.h>

#include "core/buf.h"
#include "store/store.h"

/* The caller's to json_decref. */
int ste_report_json(struct ste_store *s, json_t **out, struct ste_err *err);
void ste_report_text(const json_t *report, struct ste_buf *out);
/* Writes DIR/report.json and gives the report. */
int ste_report_write(struct ste_store *s, json_t **out, struct ste_err *err);

#endif
