/* Granite 3 and 4, dense: llama, with factors of the embedding, the scores, what a block adds, and the logits. */
#include "model/arch.h"

static const struct ste_key keys[] = {STE_KEY_REAL("attention.scale", attn_scale, true),
                                      STE_KEY_REAL("embedding_scale", embedding_scale, true),
                                      STE_KEY_REAL("residual_scale", residual_scale, true),
                                      STE_KEY_DIVISOR("logit_scale", output_scale, false), STE_KEYS_END};

const struct ste_arch ste_arch_granite = {
    .name = "granite",
    .keys = keys,
    .linear = {STE_USUAL_LINEARS},
    .may_have_biases = true,
    .norm = {STE_USUAL_NORMS},
    .gate = STE_GATE_SILU,
    .rope = STE_ROPE_ADJACENT,
    .interleaved = true,
    .hf = {.types = STE_HF_TYPES("granite")},
    .rope_is_optional = true,
    .chat = "granite",
};
