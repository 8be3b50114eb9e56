/*
 * The cache of answers as a wrapper of any implementation: a question's address and the numerics id find the answer
 * that it had before (store/memo.h).
 */
#ifndef STE_LLM_CACHE_H
#define STE_LLM_CACHE_H

#include "core/buf.h"
#include "llm/llm.h"

/* INNER with the cache at PATH in front of it; it owns INNER. INNER itself, after a warning, when PATH cannot be
 * opened. */
struct ste_llm *ste_cache_wrap(struct ste_llm *inner, const char *path);
/* The user's own cache; NULL, after a warning, where its folder cannot be made or written. Caller frees. */
char *ste_cache_at_home(void);

struct ste_cache;
/* Returns NULL, after a warning, when PATH cannot be opened. */
struct ste_cache *ste_cache_open(const char *path, const char *numerics, bool late_prompt);
void ste_cache_close(struct ste_cache *c);
/* Returns true where the answer is there, and sets completion, text and n_written of *OUT, which the caller clears. */
bool ste_cache_get(struct ste_cache *c, const char *address, struct ste_answer *out);
/* What is put is saved when ste_cache_save is called, or C closed. */
void ste_cache_put(struct ste_cache *c, const struct ste_answer *a);
void ste_cache_save(struct ste_cache *c);

/* Turn what a question brought into bytes and back, PROMPT: with the prompt's ids. False: the bytes are no answer. */
void ste_answer_pack(const struct ste_answer *a, bool prompt, struct ste_buf *out);
bool ste_answer_unpack(const void *bytes, size_t n, struct ste_answer *out);

#endif
