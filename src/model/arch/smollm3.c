/* SmolLM3: llama, with layers that do not turn q and k. */
#include "model/arch.h"

const struct ste_arch ste_arch_smollm3 = {
    .name = "smollm3",
    .linear = {STE_USUAL_LINEARS},
    .may_have_biases = true,
    .norm = {STE_USUAL_NORMS},
    .gate = STE_GATE_SILU,
    .rope = STE_ROPE_ADJACENT,
    .interleaved = true,
    .no_rope_each = 4,
    .hf = {.types = STE_HF_TYPES("smollm3"), .defaults = "{\"use_sliding_window\": false}"},
    .chat = "smollm3",
};
