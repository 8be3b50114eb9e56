/* OLMo 2 and 3: what a block adds is normed, what it reads is not; q and k are normed over all heads at once. */
#include "model/arch.h"

const struct ste_arch ste_arch_olmo2 = {
    .name = "olmo2",
    .linear = {STE_USUAL_LINEARS},
    .norm = {[STE_NORM_Q] = {"attn_q_norm", STE_WIDTH_Q, "self_attn.q_norm"},
             [STE_NORM_K] = {"attn_k_norm", STE_WIDTH_KV, "self_attn.k_norm"},
             [STE_NORM_ATTN_OUT] = {"post_attention_norm", STE_WIDTH_MODEL, "post_attention_layernorm"},
             [STE_NORM_FFN_OUT] = {"post_ffw_norm", STE_WIDTH_MODEL, "post_feedforward_layernorm"}},
    .gate = STE_GATE_SILU,
    .rope = STE_ROPE_HALVES,
    .hf = {.types = STE_HF_TYPES("olmo2", "olmo3")},
    .sliding = {.period = 4, .plain = true},
    .chat = "olmo2",
};
