/*
 * A model as a GGUF file of its own: from a folder, from parts, with weights of other types. Rows of Q and K of a
 * folder go where files of the architecture have them (interleaved in struct ste_hparams). A tensor is made a few rows
 * at a time, so that no model is too large.
 */
#ifndef STE_MODEL_CONVERT_H
#define STE_MODEL_CONVERT_H

#include "core/thread.h"
#include "model/gguf.h"
#include "model/mix.h"

struct ste_convert {
    const struct ste_gguf *from;
    const struct ste_mix *mix; /* NULL: types stay */
    struct ste_pool *pool;     /* NULL: the caller's thread alone */
    /* What is added to rows FIRST to FIRST + N of T, a tensor of FROM, as X (N, T->shape[0]); ADDS: whether anything
     * is. NULL: nothing is added to any. */
    bool (*adds)(void *arg, const struct ste_tensor *t);
    void (*add)(void *arg, const struct ste_tensor *t, uint64_t first, uint64_t n, float *x);
    void *arg;
};

/* Adds FROM's tensors, as they are to be, and its keys to OUT, which keeps pointing into FROM. */
int ste_convert_begin(const struct ste_convert *c, struct ste_gguf *out, struct ste_err *err);
/* Writes OUT. STE_EINPUT: a weight that the type cannot hold. */
int ste_convert_write(const struct ste_convert *c, const struct ste_gguf *out, const char *path, struct ste_err *err);

/* The weights of T as TYPE in memory of their own, for as long as it takes to pack them: OUT has T's name and shape,
 * and the caller gives OUT->data back with ste_big_free(OUT->data, OUT->size). */
int ste_convert_tensor(const struct ste_tensor *t, enum ste_type type, struct ste_pool *pool, struct ste_tensor *out,
                       struct ste_err *err);

#endif
