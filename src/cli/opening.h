/* A model opened as the engine flags say, for every command that runs one. */
#ifndef STE_CLI_OPENING_H
#define STE_CLI_OPENING_H

#include "cli/cli.h"
#include "llm/llm.h"

/* CACHE: path of the request cache, or NULL. ADAPTER: a PEFT folder, or NULL; its handle goes to *HANDLE (0: the base).
 * On an error *OUT is NULL. */
int ste_open_model(struct ste_llm **out, const char *model, const char *adapter, const struct ste_engine_flags *f,
                   const char *cache, int *handle, struct ste_err *err);

/* Appends the ids in KEY of ROW; WHERE is "FILE:LINE". No list, an empty one, or an id that M does not know:
 * STE_EINPUT. */
int ste_json_tokens(const json_t *row, const char *key, const struct ste_model *m, const char *where,
                    struct ste_tokens *out, struct ste_err *err);

#endif
