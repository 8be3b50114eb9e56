/*
 * A model as keys and tensors under the names that GGUF files have for them: read from GGUF v3 files by mmap, or made
 * by a program out of something else. Every count, size and offset of a file is checked before it is used: a
 * truncated, lying or hostile file is STE_EINPUT with the file's name and what is wrong. The struct owns the maps;
 * pointers into it live as long, and those to tensors until another one is added.
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
/* PATH is a file, or any of the parts of a model that are named FILE-00001-of-00003.gguf and so on: opened as one. */
int ste_gguf_open(struct ste_gguf **out, const char *path, struct ste_err *err);
void ste_gguf_close(struct ste_gguf *g);
const char *ste_gguf_path(const struct ste_gguf *g);
/* It was a folder of Hugging Face's, and the rows of Q and K lie as there (interleaved in struct ste_hparams). */
bool ste_gguf_is_folder(const struct ste_gguf *g);
/* The path of part I, from 0, of the model that PATH names: PATH itself where it is the whole; NULL: it has no more.
 * Caller frees. */
char *ste_gguf_part_path(const char *path, int i);
/* Other files have this form too, such as an adapter. STE_EINPUT names them for what they are. */
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
bool ste_gguf_reals(const struct ste_gguf *g, const char *key, float **out, uint64_t *n); /* of F32 */
/* Lets the pages of mapped weights go (madvise): after they were repacked. NULL, of a model made in memory: nothing. */
void ste_gguf_drop_pages(const struct ste_gguf *g);

/* ---- one that a program makes ---- */

/* NAME stands for its path in messages. Ends with ste_gguf_close. */
struct ste_gguf *ste_gguf_new(const char *name);
void ste_gguf_mark_folder(struct ste_gguf *g); /* ste_gguf_is_folder says so */
/* Set KEY, in the place of what it had. Keys and values are copied. An int is U32 where that holds it, else I64; reals
 * are F32, ints of an array I32. */
void ste_gguf_set_int(struct ste_gguf *g, const char *key, int64_t v);
void ste_gguf_set_real(struct ste_gguf *g, const char *key, double v);
void ste_gguf_set_bool(struct ste_gguf *g, const char *key, bool v);
void ste_gguf_set_string(struct ste_gguf *g, const char *key, const char *s, size_t n);
void ste_gguf_set_strings(struct ste_gguf *g, const char *key, const struct ste_str *s, uint64_t n);
void ste_gguf_set_ints(struct ste_gguf *g, const char *key, const int32_t *v, uint64_t n);
void ste_gguf_set_reals(struct ste_gguf *g, const char *key, const float *v, uint64_t n);
void ste_gguf_set_bools(struct ste_gguf *g, const char *key, const bool *v, uint64_t n);
/* All keys of FROM, byte for byte, but those that say which part of a split model it is. */
void ste_gguf_copy_keys(struct ste_gguf *g, const struct ste_gguf *from);

/* Adds a tensor, whose name is copied. DATA must live as long as G; NULL: its bytes are made when it is written.
 * STE_EINPUT: a name that is there, a row that the type's blocks do not divide, a shape beyond all memory. */
int ste_gguf_add(struct ste_gguf *g, const char *name, enum ste_type type, int n_dims, const uint64_t *shape,
                 const void *data, struct ste_err *err);
/* G frees P with ste_xfree when it is closed. Returns P. */
void *ste_gguf_keep_small(struct ste_gguf *g, void *p);
/* G gives back P with ste_big_free when it is closed: memory of ste_big_alloc, or a map of a file (which ste_big_own
 * knows) whose weights begin at byte WEIGHTS. */
void ste_gguf_keep(struct ste_gguf *g, void *p, size_t size);
void ste_gguf_keep_map(struct ste_gguf *g, void *p, size_t size, size_t weights);

uint64_t ste_tensor_rows(const struct ste_tensor *t); /* of shape[0] weights each */

/* Makes rows FROM to FROM + N of T, one behind the other, in OUT. */
struct ste_gguf_maker {
    int (*rows)(void *arg, const struct ste_tensor *t, uint64_t from, uint64_t n, void *out, struct ste_err *err);
    void *arg;
};
/* Writes G as a file (temporary name, sync, rename), aligned to 32. MAKER makes what tensors have no bytes; NULL: all
 * have. */
int ste_gguf_write(const struct ste_gguf *g, const char *path, const struct ste_gguf_maker *maker, struct ste_err *err);

#endif
