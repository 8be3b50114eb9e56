/* What this machine can do, and what stands in the way: `ste doctor`. */
#ifndef STE_REPORT_DOCTOR_H
#define STE_REPORT_DOCTOR_H

#include <jansson.h>
#include <stdbool.h>

#include "core/buf.h"

/* A list of {check, state ("ok", "warning", "broken"), says, mend ("" where none is needed)}. FULL: the hashes of
 * models are computed too, which reads them whole. Nothing is changed but for files that are made to try a folder, and
 * gone again. *BROKEN counts. */
json_t *ste_doctor(bool full, int *broken);
void ste_doctor_text(const json_t *list, struct ste_buf *out);

#endif
