/*
 * Folders of Hugging Face as models: config.json, model.safetensors (or its parts with an index), tokenizer.json,
 * generation_config.json and the chat template become the keys and tensors that a GGUF file has for them (gguf.h), the
 * weights in place, by mmap. What the architecture calls them in a folder stands in its description (arch.h). Rows of Q
 * and K stay as they are, which ste_gguf_is_folder tells.
 */
#ifndef STE_MODEL_FOLDER_H
#define STE_MODEL_FOLDER_H

#include "model/gguf.h"

/* STE_EINPUT: a file that is missing or lies, weights of a type or a kind of model that ste does not run. */
int ste_folder_open(struct ste_gguf **out, const char *dir, struct ste_err *err);
/* SHA-256 of the names and bytes of its files that ste_folder_open reads; those of the weights are kept beside them, as
 * ste_sha256_file_kept does. */
int ste_folder_hash(const char *dir, char out[65], struct ste_err *err);

#endif
