/* YAML in, JSON values out: one reader for recipes, prompt packs, the catalogue. Scalars become null,
 * booleans, integers, reals or strings by YAML's core schema; quoted ones are strings. A key given twice, an
 * alias and a second document are errors that name the line. */
#ifndef STE_CORE_YAML_H
#define STE_CORE_YAML_H

#include <jansson.h>
#include <stddef.h>

#include "core/buf.h"
#include "core/err.h"

/* WHAT stands in errors ("recipes/demo.yaml"). The caller owns the result. NULL on error. */
json_t *ste_yaml_parse(const char *text, size_t n, const char *what, struct ste_err *err);
json_t *ste_yaml_load(const char *path, struct ste_err *err);
/* Block style, keys in the order of the object, strings quoted where YAML would read something else. */
void ste_yaml_write(const json_t *j, struct ste_buf *out);

#endif
