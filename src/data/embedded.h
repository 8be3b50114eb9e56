/* Files built into the binary: prompts/, recipes/, suites/, data/, src/{report,serve}/page/ (names as in the source
 * tree). */
#ifndef STE_DATA_EMBEDDED_H
#define STE_DATA_EMBEDDED_H

#include <jansson.h>
#include <stddef.h>

#include "core/err.h"

struct ste_embedded {
    const char *name; /* "prompts/small.yaml" */
    const char *bytes;
    size_t size;
};
extern const struct ste_embedded ste_embedded_files[]; /* ends with a NULL name */

const struct ste_embedded *ste_embedded_find(const char *name); /* NULL if there is none */

/* The YAML file that a user calls NAME: a path (it holds a '/' or ends in .yaml), else NAME.yaml in FOLDER (NULL:
 * none), else a built-in one of KIND ("prompts"), which messages call a CALLED. *WHAT, which the caller frees, is where
 * it stands. NULL: the error says why, or what there is. */
json_t *ste_named_yaml(const char *name, const char *folder, const char *kind, const char *called, char **what,
                       struct ste_err *err);
/* NAME without its folders and .yaml. Caller frees. */
char *ste_yaml_stem(const char *name);

#endif
