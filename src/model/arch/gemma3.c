/* Gemma 3 (text): norms before and after each part of a block and on each head of q and k; layers with a window turn by
 * a base of their own. */
#include <math.h>

#include "model/arch.h"

static const struct ste_key keys[] = {STE_KEY_REAL("attention.scale", attn_scale, true), STE_KEYS_END};

/* Its files do not say how the embedding is scaled; nor that 27B, the one with 62 layers, scales its scores by the
 * width that a head would have if all shared the model's. */
static void defaults(struct ste_hparams *hp)
{
    hp->embedding_scale = sqrt(hp->d_model);
    if (hp->n_layers == 62)
        hp->attn_scale = 1 / sqrt((double)hp->d_model / hp->n_heads);
}

const struct ste_arch ste_arch_gemma3 = {
    .name = "gemma3",
    .keys = keys,
    .defaults = defaults,
    .linear = {STE_USUAL_LINEARS},
    .norm = {[STE_NORM_ATTN] = {"attn_norm", STE_WIDTH_MODEL, "input_layernorm"},
             [STE_NORM_Q] = {"attn_q_norm", STE_WIDTH_HEAD, "self_attn.q_norm"},
             [STE_NORM_K] = {"attn_k_norm", STE_WIDTH_HEAD, "self_attn.k_norm"},
             [STE_NORM_ATTN_OUT] = {"post_attention_norm", STE_WIDTH_MODEL, "post_attention_layernorm"},
             [STE_NORM_FFN] = {"ffn_norm", STE_WIDTH_MODEL, "pre_feedforward_layernorm"},
             [STE_NORM_FFN_OUT] = {"post_ffw_norm", STE_WIDTH_MODEL, "post_feedforward_layernorm"}},
    .gate = STE_GATE_GELU,
    .rope = STE_ROPE_HALVES,
    .sliding = {.period = 6, .plain = true, .base = 10000},
    .hf = {.types = STE_HF_TYPES("gemma3_text"),
           .defaults =
               "{\"num_attention_heads\": 8, \"num_key_value_heads\": 4, \"head_dim\": 256, \"rms_norm_eps\": 1e-6,"
               "\"max_position_embeddings\": 131072, \"rope_theta\": 1000000, \"sliding_window\": 4096,"
               "\"query_pre_attn_scalar\": 256, \"vocab_size\": 262208, \"tie_word_embeddings\": true}",
           .norm_plus = 1,
           .cuts_vocabulary = true},
    .chat = "gemma",
};
