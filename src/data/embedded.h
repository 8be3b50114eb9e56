/* Files built into the binary: prompts/, recipes/, suites/, data/ (names as in the source tree). */
#ifndef STE_DATA_EMBEDDED_H
#define STE_DATA_EMBEDDED_H

#include <stddef.h>

struct ste_embedded {
    const char *name; /* "prompts/small.yaml" */
    const char *bytes;
    size_t size;
};
extern const struct ste_embedded ste_embedded_files[]; /* ends with a NULL name */

const struct ste_embedded *ste_embedded_find(const char *name); /* NULL if there is none */

#endif
