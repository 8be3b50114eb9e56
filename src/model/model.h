/*
 * A model file as the engine sees it: hyperparameters and the tensors by role. Architectures are entries of one
 * table in model.c (llama, qwen2): names of keys and tensors, RoPE's form, biases.
 */
#ifndef STE_MODEL_MODEL_H
#define STE_MODEL_MODEL_H

#include <stdbool.h>

#include "model/gguf.h"
#include "model/tokenizer.h"

enum ste_rope {
    STE_ROPE_ADJACENT, /* pairs (2i, 2i+1): GGUF's llama, whose q and k rows are permuted */
    STE_ROPE_HALVES,   /* pairs (i, i + head_dim/2): qwen2 */
};

/* The linear layers of a block, all of which LoRA may adapt. */
enum ste_linear { STE_Q, STE_K, STE_V, STE_O, STE_GATE, STE_UP, STE_DOWN, STE_N_LINEAR };
/* "q_proj" ... "down_proj" (PEFT) and "attn_q" ... "ffn_down" (GGUF) */
extern const char *const ste_linear_peft_name[STE_N_LINEAR], *const ste_linear_gguf_name[STE_N_LINEAR];
extern const char *const ste_linear_peft_path[STE_N_LINEAR]; /* "self_attn.q_proj", "mlp.down_proj" */

struct ste_hparams {
    int n_layers, d_model, n_heads, n_kv_heads, head_dim, d_ff, n_vocab, n_ctx_train;
    double rope_base, rms_eps;
    enum ste_rope rope;
};

struct ste_layer {
    const struct ste_tensor *attn_norm, *ffn_norm; /* (d_model) f32 */
    const struct ste_tensor *linear[STE_N_LINEAR]; /* (out, in) */
    const struct ste_tensor *bias[STE_N_LINEAR];   /* (out) f32, or NULL */
};

struct ste_chat_template; /* chat.h */

struct ste_model {
    struct ste_gguf *gguf;
    const char *arch;
    char sha256[65]; /* of the file's bytes */
    struct ste_hparams hp;
    const struct ste_tensor *embedding;   /* (n_vocab, d_model) */
    const struct ste_tensor *output;      /* (n_vocab, d_model); the embedding where the two are tied */
    const struct ste_tensor *output_norm; /* (d_model) f32 */
    struct ste_layer *layers;
    struct ste_tokenizer *tokenizer;
    const struct ste_chat_template *chat; /* NULL: no template in the file, or one that is not known */
};

/* PATH is a .gguf file. The SHA-256 is kept beside it (PATH.sha256, valid for the file's size and mtime) where the
 * folder may be written. */
int ste_model_open(struct ste_model **out, const char *path, struct ste_err *err);
void ste_model_close(struct ste_model *m);
/* Rows and columns of a linear layer: out and in. */
void ste_linear_shape(const struct ste_hparams *hp, enum ste_linear l, int *out, int *in);

#endif
