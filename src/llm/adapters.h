/*
 * Adapters on servers. One goes to every address under a name made of its bytes, so that another driver, or the next
 * try, finds what is there already and no other one is taken for it: by the server's own routes (vLLM, SGLang), or by
 * the user's command (on_adapter), which restarts the server with it. It is relied on where it was seen to be in force:
 * an address must answer otherwise with it than without.
 */
#ifndef STE_LLM_ADAPTERS_H
#define STE_LLM_ADAPTERS_H

#include "llm/server.h"

/* Finds out whether S takes adapters (S's takes_adapters). */
int ste_server_open_adapters(struct ste_server *s, struct ste_err *err);
void ste_server_close_adapters(struct ste_server *s); /* drops all */

/* Loads the adapter in PEFT_DIR; one that is there is looked after on every address, has the same handle, and must be
 * dropped as often as it was loaded. */
int ste_server_load_adapter(struct ste_server *s, const char *peft_dir, int *handle, struct ste_err *err);
/* The WHICH-th address has it, loaded again if need be, and in force. HANDLE 0, the base: what it was started with is
 * known again. */
int ste_server_have_adapter(struct ste_server *s, int handle, size_t which, struct ste_err *err);
void ste_server_drop_adapter(struct ste_server *s, int handle);
/* SHA-256 of the folder's config and weights; "" for 0. */
const char *ste_server_adapter_hash(const struct ste_server *s, int handle);
/* What requests to the WHICH-th address name for this adapter; 0: for the base. The caller clears OUT. */
void ste_server_weights(const struct ste_server *s, int handle, size_t which, struct ste_weights *out);
void ste_weights_clear(struct ste_weights *w);

#endif
