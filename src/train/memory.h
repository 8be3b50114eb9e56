/* What a model takes of memory, to judge with and to train, before it is opened; and what this machine has. */
#ifndef STE_TRAIN_MEMORY_H
#define STE_TRAIN_MEMORY_H

#include "data/catalogue.h"
#include "engine/engine.h"
#include "model/mix.h"
#include "train/train.h"

/* Bytes, as the functions that allocate them count. */
struct ste_memory {
    size_t weights;     /* packed */
    size_t cache;       /* keys and values: all blocks, which a long run uses */
    size_t work;        /* a step of the engine */
    size_t adapter;     /* LoRA, gradients, moments; a state of these */
    size_t activations; /* of a pass of training */
    size_t other;       /* the program and the tokenizer's tables, roughly */
};
/* TOKENS: of the largest pack of training. M need not have weights. STE_EINPUT: a shape that the engine cannot run. */
int ste_memory_of(struct ste_memory *out, const struct ste_model *m, const struct ste_engine_params *e,
                  const struct ste_train_params *t, int tokens, struct ste_err *err);
size_t ste_memory_to_judge(const struct ste_memory *n);
size_t ste_memory_to_train(const struct ste_memory *n); /* by a trainer alone, as `ste sft` */
size_t ste_memory_of_a_run(const struct ste_memory *n); /* that judges and trains by turns on the same weights */

/* A model of the shape S without weights, which would have the types of MIX. For ste_memory_of; ends with
 * ste_model_close. */
struct ste_model *ste_model_of_shape(const struct ste_shape *s, const struct ste_mix *mix);


#endif
