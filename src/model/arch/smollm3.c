/* SmolLM3: llama, with layers that do not turn q and k. */
#include "model/arch.h"

const struct ste_arch ste_arch_smollm3 = {
    .name = "smollm3",
    .linear = {STE_USUAL_LINEARS},
    .may_have_biases = true,
    .norm = {[STE_NORM_ATTN] = {"attn_norm", STE_WIDTH_MODEL}, [STE_NORM_FFN] = {"ffn_norm", STE_WIDTH_MODEL}},
    .gate = STE_GATE_SILU,
    .rope = STE_ROPE_ADJACENT,
    .interleaved = true,
    .no_rope_each = 4,
};
