/* What the files that write a merged model's folder share. */
#ifndef STE_MODEL_MERGE_INTERNAL_H
#define STE_MODEL_MERGE_INTERNAL_H

#include "model/merge.h"

/* merge.c: STE_EUSAGE where G's adapter is a reward model's. */
int ste_merge_check(const struct ste_merge *g, struct ste_err *err);
/* merge_new.c: into DIR, which is there, the folder of a model whose base is a GGUF file. */
int ste_merge_make_folder(const struct ste_merge *g, const char *dir, struct ste_err *err);
/* merge_tokenizer.c: tokenizer.json, tokenizer_config.json, generation_config.json and the chat template of M.
 * STE_EUSAGE for a vocabulary that is not byte-level BPE. */
int ste_merge_put_tokenizer(const struct ste_model *m, const char *dir, struct ste_err *err);

#endif
