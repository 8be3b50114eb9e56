/* Qwen3, dense: each head of q and k is normed, and there are no biases. */
#include "model/arch.h"

const struct ste_arch ste_arch_qwen3 = {
    .name = "qwen3",
    .linear = {STE_USUAL_LINEARS},
    .norm = {[STE_NORM_ATTN] = {"attn_norm", STE_WIDTH_MODEL},
             [STE_NORM_Q] = {"attn_q_norm", STE_WIDTH_HEAD},
             [STE_NORM_K] = {"attn_k_norm", STE_WIDTH_HEAD},
             [STE_NORM_FFN] = {"ffn_norm", STE_WIDTH_MODEL}},
    .gate = STE_GATE_SILU,
    .rope = STE_ROPE_HALVES,
    .chat = "chatml-qwen2.5",
};
