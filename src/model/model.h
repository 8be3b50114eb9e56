/*
 * A model file as the engine sees it: hyperparameters and the tensors by role. What distinguishes architectures is in
 * their descriptions: arch.h.
 */
#ifndef STE_MODEL_MODEL_H
#define STE_MODEL_MODEL_H

#include <jansson.h>

#include "model/arch.h"
#include "model/gguf.h"
#include "model/tokenizer.h"

struct ste_layer {
    const struct ste_tensor *norm[STE_N_NORM];     /* (width) f32; NULL: the architecture has none */
    const struct ste_tensor *linear[STE_N_LINEAR]; /* (out, in) */
    const struct ste_tensor *bias[STE_N_LINEAR];   /* (out) f32; NULL: none */
    int window; /* a position sees this many, itself the last of them; 0: all before it */
    enum ste_rotary_kind rotary;
    const struct ste_fused *fused[STE_N_LINEAR]; /* whose rows the file has it as; NULL: a tensor of its own */
};

struct ste_chat_template; /* chat.h */

struct ste_model {
    struct ste_gguf *gguf;
    char sha256[65];               /* ste_model_hash, and what its weights are loaded as */
    const struct ste_mix *load_as; /* the types of its matrices once they are packed; NULL: as they are */
    struct ste_hparams hp;
    const struct ste_tensor *embedding;        /* (n_vocab, d_model) */
    const struct ste_tensor *output;           /* (n_vocab, d_model); the embedding where the two are tied */
    const struct ste_tensor *output_norm;      /* (d_model) f32 */
    const struct ste_tensor *rope_divisors[3]; /* (dims / 2) f32 each, as positions.c takes them; NULL: none */
    struct ste_layer *layers;
    struct ste_tensor *slices; /* [n_layers * STE_N_LINEAR]: rows of fused tensors (arch.h), to which layers point */
    struct ste_tokenizer *tokenizer;
    struct ste_chat_template *chat;
};

/* The keys and tensors of the model at PATH: a .gguf file, any part of one that is split, or a folder (folder.h). */
int ste_model_read(struct ste_gguf **out, const char *path, struct ste_err *err);
/* Tells it from all others by its bytes. Hashes of large files are kept beside them (FILE.sha256, valid for the file's
 * size and mtime) where the folder may be written. */
int ste_model_hash(const char *path, char out[65], struct ste_err *err);
int ste_model_open(struct ste_model **out, const char *path, struct ste_err *err);
/* Opens a file of ARCH, whether or not ste_archs has it. */
int ste_model_open_as(struct ste_model **out, const char *path, const struct ste_arch *arch, struct ste_err *err);
void ste_model_close(struct ste_model *m);
/* Matrices that are F32, F16 or BF16 are packed as TYPE (mix.h: "Q8_0"), so that they take less memory: it is another
 * model then, of another hash. NULL or "": nothing. STE_EUSAGE: no such type. */
int ste_model_load_as(struct ste_model *m, const char *type, struct ste_err *err);
/* The type of which T, a matrix of M, is packed. */
enum ste_type ste_model_type(const struct ste_model *m, const struct ste_tensor *t);

/* Appends the ids in KEY of ROW; WHERE is "FILE:LINE". No list, an empty one, or an id that M does not know:
 * STE_EINPUT. */
int ste_tokens_read(const json_t *row, const char *key, const struct ste_model *m, const char *where,
                    struct ste_tokens *out, struct ste_err *err);

#endif
