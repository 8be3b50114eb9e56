/* Granite 3 and 4, dense: llama, with factors of the embedding, the scores, what a block adds, and the logits. */
#include "model/arch.h"

static const struct ste_key keys[] = {STE_KEY_REAL("attention.scale", attn_scale, true),
                                      STE_KEY_REAL("embedding_scale", embedding_scale, true),
                                      STE_KEY_REAL("residual_scale", residual_scale, true),
                                      STE_KEY_DIVISOR("logit_scale", output_scale, false), STE_KEYS_END};

/* clang-format off */
#define GRANITE                                                                                                        \
    .name = "granite", .keys = keys, .may_have_biases = true, .norm = {STE_USUAL_NORMS}, .gate = STE_GATE_SILU,         \
    .rope = STE_ROPE_ADJACENT, .interleaved = true, .rope_is_optional = true, .chat = "granite"
/* clang-format on */

const struct ste_arch ste_arch_granite = {
    GRANITE,
    .linear = {STE_USUAL_LINEARS},
    .hf = {.types = STE_HF_TYPES("granite")},
};

/* Granite 4: the same, under the names of a model that may have experts and state-space layers too. */
const struct ste_arch ste_arch_granite4 = {
    GRANITE,
    .linear = {STE_USUAL_ATTENTION, [STE_GATE] = {"ffn_gate", "", STE_WIDTH_FF, STE_WIDTH_MODEL},
               [STE_UP] = {"ffn_up", "", STE_WIDTH_FF, STE_WIDTH_MODEL},
               [STE_DOWN] = {"ffn_down", "shared_mlp.output_linear", STE_WIDTH_MODEL, STE_WIDTH_FF}},
    .fused = {{NULL, "shared_mlp.input_linear", STE_GATE, 2}},
    .hf = {.types = STE_HF_TYPES("granitemoehybrid"), .defaults = "{\"position_embedding_type\": \"nope\"}"},
};
