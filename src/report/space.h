/* What lies under STE_HOME: the cache of answers, models, downloads that were cut off. */
#ifndef STE_REPORT_SPACE_H
#define STE_REPORT_SPACE_H

#include <jansson.h>

#include "core/buf.h"
#include "core/err.h"
#include "core/strings.h"

/* {home, answers: {answers, bytes, oldest_days (null: not known)}, models: [{name, bytes}], downloads: {bytes}}. */
int ste_space(json_t **out, struct ste_err *err);
void ste_space_text(const json_t *space, struct ste_buf *out);
/* Removes answers put more than DAYS days ago, then the oldest until the rest takes at most BYTES (0: any number), and
 * what nobody added to in the downloads for DAYS days. Other processes may go on. SAYS gets what was done. */
int ste_space_prune(int64_t days, int64_t bytes, struct ste_buf *says, struct ste_err *err);
/* Removes models by name; one that a process has open stays for it. */
int ste_space_remove(const struct ste_strings *models, struct ste_buf *says, struct ste_err *err);

#endif
