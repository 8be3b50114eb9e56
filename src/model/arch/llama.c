/* Llama, SmolLM2, Mistral 7B and Nemo. */
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
