/* Which ste this is and what is in it. */
#ifndef STE_LIBRARY_FEATURES_H
#define STE_LIBRARY_FEATURES_H

#include <jansson.h>

#include "core/buf.h"

extern const char ste_commit[], ste_date[]; /* cmake/version.sh; "": not known */

/* {"version", "commit", "date", "isa": [those that are built in], "compiler", "libraries": {name: version}}. */
json_t *ste_features(void);
/* The same as lines, the first of which is "ste VERSION (COMMIT, DATE)". */
void ste_features_text(struct ste_buf *out);

#endif
