/*
 * Models of the Hugging Face Hub, by their repository: a folder as transformers saves one (config, tokenizer, weights
 * in safetensors, by their index where they stand in several files), or a GGUF file. HF_ENDPOINT names the Hub,
 * HF_TOKEN a login. Files are taken at one revision and checked by what the Hub says of them: SHA-256 of a large one,
 * git's hash of a small one. What comes waits in ${STE_HOME}/downloads until all of it is right, so that a pull goes on
 * where it was cut off.
 */
#ifndef STE_DATA_REPOSITORY_H
#define STE_DATA_REPOSITORY_H

#include "core/err.h"

struct ste_repository {
    char *name;     /* OWNER/NAME */
    char *revision; /* a branch, tag or commit; NULL: main */
    char *file;     /* a GGUF file of it, or a part of its name that no other has; NULL: the folder */
};
/* Reads "OWNER/NAME[@REVISION][:FILE]". STE_EUSAGE: it is none. The caller clears OUT. */
int ste_repository_parse(struct ste_repository *out, const char *text, struct ste_err *err);
void ste_repository_clear(struct ste_repository *r);
/* Pulls R into ${STE_HOME}/models: under AS, or by NULL under the repository's or the file's own name, a folder or a
 * .gguf. Beside it, or in it, source.json says repository, revision and the hashes of its files. What is there of R is
 * not asked for again; anything else of that name is STE_EUSAGE. */
int ste_repository_pull(const struct ste_repository *r, const char *as, struct ste_err *err);

#endif
