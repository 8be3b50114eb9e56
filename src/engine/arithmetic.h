/*
 * How products round: a part of what a result is, on every device. It does not depend on the instruction set, since all
 * sets give the same bits.
 */
#ifndef STE_ENGINE_ARITHMETIC_H
#define STE_ENGINE_ARITHMETIC_H

#include <stdbool.h>

#include "core/err.h"
#include "model/block.h"
#include "model/quant.h"

/* How X is rounded before a product with quantized weights (with F32 and F16 ones never; with BF16 ones to bf16 wherever
 * it is rounded and not split, summed as BF16_DOT beside integers): not at all; to 8-bit integers, a scale for 32 inputs; to
 * bf16, or to the sum of two of them, the weights too (bf16.h); to 8-bit integers with a scale for 128 or 64 inputs
 * where all weights of X are of K types, which are brought to 8 bits with one scale for a block of 256. */
enum ste_activations {
    STE_ACT_F32,
    STE_ACT_INT8,
    STE_ACT_BF16,
    STE_ACT_BF16X3,
    STE_ACT_BF16_DOT, /* as BF16, summed in another order, for CPUs with AVX512_BF16 and no tiles */
    STE_ACT_INT8_G128,
    STE_ACT_INT8_G64,
    STE_ACT_AUTO /* what suits this machine: of options only */
};

extern const char *const ste_activations_names[]; /* NULL-ended, as the enum has them */
/* STE_ACT_AUTO as what it means: to generate, what is fastest on this machine, bf16 with tiles, int8-g128 with VNNI and
 * int8 without; to train, what is about exact: bf16x3 with tiles and f32 without. An instruction set that is forced
 * does not change it: that changes the speed only. Others stay. */
enum ste_activations ste_activations_settle(enum ste_activations act, bool training);
/* What gradients round to on their way back through a product: as the like of enum ste_activations; never to integers.
 */
enum ste_gradients { STE_GRAD_F32, STE_GRAD_BF16, STE_GRAD_BF16X3, STE_GRAD_BF16_DOT, STE_GRAD_AUTO };
extern const char *const ste_gradients_names[]; /* NULL-ended, as the enum has them */
/* STE_GRAD_AUTO beside a forward pass of (settled) ACT: the same; where that rounds to integers, what is fast on this
 * machine: bf16 with tiles, bf16-dot with AVX512_BF16, else f32. */
enum ste_gradients ste_gradients_settle(enum ste_gradients g, enum ste_activations act);
enum ste_activations ste_gradients_as(enum ste_gradients g); /* settled */
const char *ste_activations_name(enum ste_activations act);
bool ste_activations_are_int8(enum ste_activations act);
bool ste_activations_are_bf16(enum ste_activations act);
/* X is rounded before a product with weights of TYPE. */
bool ste_activations_round_for(enum ste_activations act, enum ste_type type);
/* What ACT means for linear layer L: with int8-g128 the down projection has groups of 64, since what the gate makes has
 * the largest outliers. */
enum ste_activations ste_activations_of(enum ste_activations act, enum ste_linear l);

#endif
