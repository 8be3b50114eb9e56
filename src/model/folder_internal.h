/* What the files that read a folder share. */
#ifndef STE_MODEL_FOLDER_INTERNAL_H
#define STE_MODEL_FOLDER_INTERNAL_H

#include <jansson.h>

#include "model/arch.h"
#include "model/folder.h"

struct ste_folder {
    const char *dir;
    char *path;         /* of config.json */
    json_t *config;     /* the whole */
    const json_t *text; /* the part of it that is about the language model */
    json_t *defaults;   /* what the architecture's folders may leave out */
    const struct ste_arch *arch;
    struct ste_gguf *g;
    struct ste_err *err;
};

/* What config.json, or by default its architecture, says of KEY; NULL: nothing, or null. */
const json_t *ste_folder_get(const struct ste_folder *f, const char *key);
/* "ARCH.NAME", for the next call. */
const char *ste_folder_key(const struct ste_folder *f, const char *name);
/* folder_config.c: which architecture, and its keys. */
int ste_folder_arch(struct ste_folder *f);
int ste_folder_keys(struct ste_folder *f);
/* folder_rope.c: the keys and tensors that say how positions turn Q and K. */
int ste_folder_positions(struct ste_folder *f);
/* folder_tensors.c. */
int ste_folder_tensors(struct ste_folder *f);
/* The files of the weights, by name: one, or those of an index. */
struct ste_strings;
int ste_folder_shards(const char *dir, struct ste_strings *names, json_t **index, struct ste_err *err);
/* A JSON object in DIR; 0 and *OUT NULL: there is no such file. */
int ste_folder_json(const char *dir, const char *name, json_t **out, struct ste_err *err);

#endif
