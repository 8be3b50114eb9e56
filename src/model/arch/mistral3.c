/* Ministral 3: llama, with queries that grow with their position (its keys say how, and that YaRN stretches them). */
#include "model/arch.h"

const struct ste_arch ste_arch_mistral3 = {
    .name = "mistral3",
    .linear = {STE_USUAL_LINEARS},
    .may_have_biases = true,
    .norm = {STE_USUAL_NORMS},
    .gate = STE_GATE_SILU,
    .rope = STE_ROPE_ADJACENT,
    .interleaved = true,
    .hf = {.types = STE_HF_TYPES("ministral3")},
    .chat = "mistral-v7-tekken",
};
