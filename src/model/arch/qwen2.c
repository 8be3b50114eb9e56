/* Qwen2 and Qwen2.5: biases on q, k and v. */
#include "model/arch.h"

const struct ste_arch ste_arch_qwen2 = {
    .name = "qwen2",
    .linear = {STE_USUAL_LINEARS},
    .bias = {[STE_Q] = true, [STE_K] = true, [STE_V] = true},
    .norm = {STE_USUAL_NORMS},
    .gate = STE_GATE_SILU,
    .rope = STE_ROPE_HALVES,
    .hf = {.types = STE_HF_TYPES("qwen2"), .defaults = "{\"use_sliding_window\": false}"},
    .chat = "chatml-qwen2.5",
};
