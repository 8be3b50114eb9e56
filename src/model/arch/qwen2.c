/* Qwen2 and Qwen2.5: biases on q, k and v. */
#include "model/arch.h"

const struct ste_arch ste_arch_qwen2 = {
    .name = "qwen2",
    .linear = {STE_USUAL_LINEARS},
    .bias = {[STE_Q] = true, [STE_K] = true, [STE_V] = true},
    .norm = {[STE_NORM_ATTN] = {"attn_norm", STE_WIDTH_MODEL}, [STE_NORM_FFN] = {"ffn_norm", STE_WIDTH_MODEL}},
    .gate = STE_GATE_SILU,
    .rope = STE_ROPE_HALVES,
    .chat = "chatml-qwen2.5",
};
