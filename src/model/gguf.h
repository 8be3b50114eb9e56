/*
 * GGUF v3 files, read by mmap. Every count, size and offset is checked before it is used: a truncated,
 * lying or hostile file is STE_EINPUT with the file's name and what is wrong. The struct owns the map; pointers into
 * it live as long.
 */
#ifndef STE_MODEL_GGUF_H
#define STE_MODEL_GGUF_H

#include <stdbool.h>
#include <stdint.h>

#include "core/err.h"
#include "model/quant.h"

struct ste_tensor {
    const char *name;
    enum ste_type type;
    int n_dims;
    uint64_t shape[4]; /* shape[0] is the contiguous one: a linear layer's input width */
    const void *data;
    uint64_t size; /* bytes */
};

struct ste_str {
    const char *s; /* not NUL-terminated */
    uint64_t n;
};

struct ste_gguf;
int ste_gguf_open(struct ste_gguf **out, const char *path, struct ste_err *err);
void ste_gguf_close(struct ste_gguf *g);
const char *ste_gguf_path(const struct ste_gguf *g);
/* Other files have this form too: an adapter, one part of a split model. STE_EINPUT names them for what they are. */
int ste_gguf_check_model(const struct ste_gguf *g, struct ste_err *err);

uint64_t ste_gguf_n_tensors(const struct ste_gguf *g);
const struct ste_tensor *ste_gguf_tensor_at(const struct ste_gguf *g, uint64_t i);
const struct ste_tensor *ste_gguf_tensor(const struct ste_gguf *g, const char *name); /* NULL: none */

/* Keys. False when the key is missing or of another kind; integers of any width read as int64. */
bool ste_gguf_int(const struct ste_gguf *g, const char *key, int64_t *out);
bool ste_gguf_real(const struct ste_gguf *g, const char *key, double *out);
bool ste_gguf_bool(const struct ste_gguf *g, const char *key, bool *out);
bool ste_gguf_string(const struct ste_gguf *g, const char *key, struct ste_str *out);
/* Arrays of strings, of ints (or of bools, as 0 and 1): *N is the length. The caller frees *OUT (an array of its own).
 */
bool ste_gguf_strings(const struct ste_gguf *g, const char *key, struct ste_str **out, uint64_t *n);
bool ste_gguf_ints(const struct ste_gguf *g, const char *key, int64_t **out, uint64_t *n);
/* Lets the pages of the weights go (madvise): after they were repacked. NULL, of a model made in memory: nothing. */
void ste_gguf_drop_pages(const struct ste_gguf *g);

#endif
