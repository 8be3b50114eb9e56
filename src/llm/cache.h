/*
 * The request cache: its own SQLite file outside any run, keyed by a request's address and the numerics id. Two
 * processes may share it. It only ever saves time: when it cannot be read or written, one warning says so and work goes
 * on without it.
 */
#ifndef STE_LLM_CACHE_H
#define STE_LLM_CACHE_H

#include <stdbool.h>

#include "engine/request.h"

struct ste_cache;
/* NULL, after a warning, when PATH cannot be opened. */
struct ste_cache *ste_cache_open(const char *path, const char *numerics);
void ste_cache_close(struct ste_cache *c);
/* True when there: *OUT is the caller's to clear. */
bool ste_cache_get(struct ste_cache *c, const char *address, struct ste_completion *out);
void ste_cache_put(struct ste_cache *c, const char *address, const struct ste_completion *done);

/* A completion as bytes and back; false when the bytes are not one. */
struct ste_buf;
void ste_completion_pack(const struct ste_completion *c, struct ste_buf *out);
bool ste_completion_unpack(const void *bytes, size_t n, struct ste_completion *out);

#endif
