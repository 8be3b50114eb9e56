/* Qwen3, dense: each head of q and k is normed, and there are no biases. */
#include "model/arch.h"

const struct ste_arch ste_arch_qwen3 = {
    .name = "qwen3",
    .linear = {STE_USUAL_LINEARS},
    .norm = {STE_USUAL_NORMS, [STE_NORM_Q] = {"attn_q_norm", STE_WIDTH_HEAD, "self_attn.q_norm"},
             [STE_NORM_K] = {"attn_k_norm", STE_WIDTH_HEAD, "self_attn.k_norm"}},
    .gate = STE_GATE_SILU,
    .rope = STE_ROPE_HALVES,
    .hf = {.types = STE_HF_TYPES("qwen3"), .defaults = "{\"use_sliding_window\": false}"},
    .chat = "qwen3",
};
