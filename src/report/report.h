/*
 * What a run did and how good its judges are, read from its store: as JSON (report.json) and as text for a terminal of
 * 80 columns, made from that JSON. Sums are sums: every instruction, pair and judgment is in exactly one state.
 */
#ifndef STE_REPORT_REPORT_H
#define STE_REPORT_REPORT_H

#include <jansson.h>

#include "core/buf.h"
#include "store/store.h"

/* Makes the report of the run in DIR; the caller calls json_decref. */
int ste_report_read(json_t **out, const char *dir, struct ste_err *err);
void ste_report_text(const json_t *report, struct ste_buf *out);
/* Writes the report of a run that ended with RC into its folder, whatever ended the run: a threshold that was not met
 * is explained by it. *OUT (OUT may be NULL) is the report, NULL where that failed. Returns RC, with its error, or what
 * went wrong where RC is 0. */
int ste_report_end(struct ste_store *s, int rc, json_t **out, struct ste_err *err);

/* Writes REPORT, of a run or a sweep, as DIR/NAME. */
int ste_report_write(const json_t *report, const char *dir, const char *name, struct ste_err *err);

/* Adds "forecast" to the report of a run in which a seed judged its own pairs and trained nothing (usable_modify,
 * usable_other: shares of the pairs that the check left; first_position, two_order, two_order_surest_half of the seed's
 * verdicts; like: the seed among those that were taught before that told its own pairs as well). */
void ste_report_forecast(json_t *report);
void ste_report_forecast_text(const json_t *report, const char *model, struct ste_buf *out);

/* Hands each row of the run in DIR to LINE as JSON (store/store.h). */
int ste_report_dump(const char *dir, int (*line)(void *arg, const char *json, struct ste_err *err), void *arg,
                    struct ste_err *err);

#endif
