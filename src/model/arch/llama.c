/* Llama 1 and 2, SmolLM2, Mistral 7B. (Llama 3's longer context needs stretched positions, which are refused.) */
#include "model/arch.h"

const struct ste_arch ste_arch_llama = {
    .name = "llama",
    .linear = {STE_USUAL_LINEARS},
    .may_have_biases = true,
    .norm = {STE_USUAL_NORMS},
    .gate = STE_GATE_SILU,
    .rope = STE_ROPE_ADJACENT,
    .interleaved = true,
    .hf = {.types = STE_HF_TYPES("llama", "mistral")},
    .chat = "chatml-smollm2",
};
