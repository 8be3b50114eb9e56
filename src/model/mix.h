/*
 * What a GGUF file's name says of its weights, "Q4_K_M" and the like, and which type each of its tensors gets by it:
 * the rules of llama.cpp's quantize, so that a file of a name is as large and as good as the one that people know by
 * it.
 */
#ifndef STE_MODEL_MIX_H
#define STE_MODEL_MIX_H

#include "model/gguf.h"

struct ste_mix {
    const char *name;   /* as in files' names */
    enum ste_type type; /* of most tensors */
    int file_type;      /* the key general.file_type */
};

/* By its name in any case: F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K_S, Q4_K_M, Q5_K_S, Q5_K_M, Q6_K; Q4_K and
 * Q5_K are their _M. NULL: no such mix. */
const struct ste_mix *ste_mix_of(const char *name);
const char *ste_mix_names(void); /* all of them, for messages */

/* The type of tensor T (its name, n_dims and shape are read) of a model of N_LAYERS. TIED: it has no output matrix of
 * its own, the embedding is used again. Vectors and norms are F32. Where rows do not divide into the type's blocks, the
 * next larger type with blocks of 32 is taken, and F16 where that does not divide them either. */
enum ste_type ste_mix_type(const struct ste_mix *mix, const struct ste_tensor *t, int n_layers, bool tied);

#endif
