/* Phi-3, Phi-3.5 and Phi-4: llama, with q, k and v in one tensor, and gate and up in another. */
#include "model/arch.h"

const struct ste_arch ste_arch_phi3 = {
    .name = "phi3",
    .linear = {STE_USUAL_LINEARS},
    .fused = {{"attn_qkv", "self_attn.qkv_proj", STE_Q, 3}, {"ffn_up", "mlp.gate_up_proj", STE_GATE, 2}},
    .norm = {STE_USUAL_NORMS},
    .gate = STE_GATE_SILU,
    .rope = STE_ROPE_HALVES,
    .hf = {.types = STE_HF_TYPES("phi3")},
    .chat = "phi3",
};
