/*
 * A model with an adapter in its weights, W + (alpha / r) B A, summed in f32 and rounded once, as a file that needs no
 * adapter. Of a quantized base the rounding of the base stays in it.
 */
#ifndef STE_MODEL_MERGE_H
#define STE_MODEL_MERGE_H

#include "core/thread.h"
#include "model/lora.h"
#include "model/mix.h"

struct ste_merge {
    const struct ste_model *model;
    const struct ste_lora *lora;
    const struct ste_mix *mix; /* types of the weights that are written; NULL: ste_merge_mix */
    const char *base_name;     /* of the base, for who reads the file */
    struct ste_pool *pool;     /* may be NULL */
};

/* The mix of a base whose matrices are F32, F16 or BF16; F16 for a quantized one. */
const struct ste_mix *ste_merge_mix(const struct ste_model *m);
/* Adds to X, rows FROM to FROM + N of tensor T of the model (shape[0] each), what the adapter adds to them. */
void ste_merge_add(const struct ste_merge *g, const struct ste_tensor *t, uint64_t from, uint64_t n, float *x);
/* Writes the model as a GGUF file: the base's keys and tensors, with general.name, general.base_model.* and the hashes
 * of base and adapter (ste.base.sha256, ste.adapter.sha256). A reward model's adapter, whose head is no part of a model
 * that writes, is STE_EUSAGE. */
int ste_merge_write_gguf(const struct ste_merge *g, const char *path, struct ste_err *err);
/* Writes the new folder DIR, which appears whole or not at all: of a base that is a folder its files with its types,
 * which MIX must leave as they are; of a GGUF file what its keys, vocabulary and tensors make, in MIX's F32, F16 or
 * BF16. Beside them merged.json says the hashes. STE_EUSAGE: a GGUF file whose architecture or tokenizer is not among
 * those of which one is made. */
int ste_merge_write_folder(const struct ste_merge *g, const char *dir, struct ste_err *err);

#endif
