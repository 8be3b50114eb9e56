/* What a GGUF is in memory: gguf.c keeps it, gguf_read.c fills it from a file, gguf_write.c from a program and into a
 * file. */
#ifndef STE_MODEL_GGUF_INTERNAL_H
#define STE_MODEL_GGUF_INTERNAL_H

#include <stddef.h>

#include "model/gguf.h"

enum ste_gguf_kind { U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64, N_KINDS };
extern const uint8_t ste_gguf_kind_size[N_KINDS]; /* bytes; 0: those of its length */

struct ste_gguf_value {
    struct ste_str key;
    uint32_t kind;
    uint32_t item_kind;  /* of an array */
    uint64_t n;          /* items of an array, bytes of a string */
    const uint8_t *data; /* as in the file, behind the length */
    uint64_t size;       /* bytes of DATA */
};

/* An open-addressed table of indices + 1; 0 is empty. */
struct ste_gguf_table {
    uint32_t *slots;
    size_t mask, n;
};

struct ste_gguf {
    char *path;
    bool is_folder;
    struct ste_gguf_value *values;
    struct ste_tensor *tensors;
    size_t n_values, values_cap, n_tensors, tensors_cap;
    struct ste_gguf_table by_key, by_name;
    void **small; /* names and values that were made: ste_xfree */
    size_t n_small, small_cap;
    struct ste_gguf_bytes {
        void *p;
        size_t size;
        size_t weights; /* of a file that is mapped: where its weights begin; SIZE: memory, whose pages must stay */
    } * large;          /* ste_big_free */
    size_t n_large, large_cap;
};

/* False: G has a key, or a tensor, of that name. The name and the value's bytes must live as long as G. */
bool ste_gguf_put_value(struct ste_gguf *g, const struct ste_gguf_value *v);
bool ste_gguf_put_tensor(struct ste_gguf *g, const struct ste_tensor *t);
struct ste_gguf_value *ste_gguf_find(const struct ste_gguf *g, const char *key);
/* All that PART has passes to G but its keys. Returns the name of a tensor that G has already, or NULL. */
const char *ste_gguf_absorb(struct ste_gguf *g, struct ste_gguf *part);

#endif
