/*
 * The engine of this process as an implementation of llm.h, for what needs the engine itself: training, benchmarks, the
 * tools for logits and tokens. Each call takes any llm and finds the local one under its wrappers.
 */
#ifndef STE_LLM_LOCAL_H
#define STE_LLM_LOCAL_H

#include "engine/engine.h"
#include "llm/llm.h"

/* P's cache is not opened here. */
int ste_local_open(struct ste_llm **out, const char *model, const struct ste_llm_params *p, struct ste_err *err);
/* Returns the engine, which stays L's; NULL: L is not of this process. */
struct ste_engine *ste_local_engine(struct ste_llm *l);

/* STE_EUSAGE where L is not of this process, which WHAT needs. */
int ste_local_need(struct ste_llm *l, const char *what, struct ste_err *err);

/* L must be of this process. */
struct ste_pool *ste_local_pool(struct ste_llm *l);
const struct ste_adapter *ste_local_adapter(struct ste_llm *l, int handle); /* NULL for 0 */
/* Does what ste_llm_load_adapter does with an adapter in memory, and copies it. */
int ste_local_add_adapter(struct ste_llm *l, struct ste_lora *lora, int *handle, struct ste_err *err);

#endif
