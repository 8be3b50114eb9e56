/*
 * LoRA adapters (Hu et al., arXiv 2106.09685) as data: y = W x + (alpha / r) B (A x). Rows of B lie as in the GGUF
 * file, so where it is interleaved (ste_hparams) those of q and k are not in Hugging Face's order; reading and
 * writing PEFT folders turns them. Fused linear layers (arch.h) share A, as they do in PEFT, so that its folders, and
 * llama.cpp's files, hold what was trained and nothing else.
 */
#ifndef STE_MODEL_LORA_H
#define STE_MODEL_LORA_H

#include "model/model.h"

struct ste_lora_factors {
    float *a; /* (r, in) */
    float *b; /* (out, r) */
    int in, out;
    bool shares_a; /* A is that of the linear layer before, which owns it: they are fused (arch.h) */
};

struct ste_lora {
    int r;
    double alpha;
    int n_layers;
    struct ste_lora_factors (*factors)[STE_N_LINEAR]; /* [n_layers]; a NULL: that layer is not adapted */
    float *head; /* (n_head): of a reward model, whose score is its product with the last token's normed state; NULL */
    int n_head;  /* d_model */
    char hash[65]; /* SHA-256 of shapes, r, alpha and values: made by read, write and ste_lora_rehash */
};

/* A: Kaiming-uniform as PEFT draws it (bound 1/sqrt(in)), keyed by SEED; B: zero. */
int ste_lora_new(struct ste_lora **out, const struct ste_hparams *hp, int r, double alpha, uint64_t seed,
                 struct ste_err *err);
/* How many values such an adapter has. */
size_t ste_lora_values(const struct ste_hparams *hp, int r);
void ste_lora_free(struct ste_lora *l);
/* All zeros. PEFT has it as the saved module "score" of a model for sequence classification. */
void ste_lora_add_head(struct ste_lora *l, int d_model);
/* Whoever changed the values calls this before the hash is read; it reads all of them. */
void ste_lora_rehash(struct ste_lora *l);

/* A PEFT folder: adapter_config.json and adapter_model.safetensors (f32, f16 or bf16 read; f32 written). BASE_NAME goes
 * to base_model_name_or_path, and with the SHA-256 of M's file to base.json. The folder appears whole or not at all. */
int ste_lora_read_peft(struct ste_lora **out, const struct ste_model *m, const char *dir, struct ste_err *err);
int ste_lora_write_peft(struct ste_lora *l, const struct ste_model *m, const char *base_name, const char *dir,
                        struct ste_err *err);
/* A GGUF-LoRA file as llama.cpp loads it (general.type adapter, blk.N.attn_q.weight.lora_a/b, f32). */
int ste_lora_write_gguf(struct ste_lora *l, const struct ste_model *m, const char *path, struct ste_err *err);

#endif
