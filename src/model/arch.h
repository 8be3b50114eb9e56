/*
 * What tells one architecture from another, as data: the keys of its files, its tensors and their shapes, and what a
 * block does with them. Each architecture is one file in model/arch/ and one line of ste_archs. The loader, the engine,
 * the trainer and the files of adapters walk this description; none of them asks for an architecture by its name.
 *
 * A block adds to its input x, a row of d_model numbers, twice:
 *   x += c norm_attn_out(O . attention(rope(norm_q(Q h)), rope(norm_k(K h)), V h))    h = norm_attn(x)
 *   x += c norm_ffn_out(DOWN . (act(GATE h) * UP h))                                  h = norm_ffn(x)
 * Each capital is a linear layer, with a bias where the description has one. A norm that the description does not have
 * is left out; c is 1 unless a key says otherwise. Each operation has its backward pass, so what can be described can
 * be trained.
 */
#ifndef STE_MODEL_ARCH_H
#define STE_MODEL_ARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/block.h"

/* The norms of a block (RMS), in the order in which it meets them. */
enum ste_norm { STE_NORM_ATTN, STE_NORM_Q, STE_NORM_K, STE_NORM_ATTN_OUT, STE_NORM_FFN, STE_NORM_FFN_OUT, STE_N_NORM };

/* The lengths that tensors have. */
enum ste_width {
    STE_WIDTH_MODEL, /* d_model */
    STE_WIDTH_Q,     /* n_heads * head_dim */
    STE_WIDTH_KV,    /* n_kv_heads * head_dim */
    STE_WIDTH_HEAD,  /* head_dim */
    STE_WIDTH_FF,    /* d_ff */
};

struct ste_hparams {
    const struct ste_arch *arch;
    int n_layers, d_model, n_heads, n_kv_heads, head_dim, d_ff, n_vocab, n_ctx_train;
    double rope_base, rms_eps;
    double attn_scale; /* of the scores: 1 / sqrt(head_dim) where no key says otherwise */
    /* Factors of the embedding, of what a block adds (C above) and of the last state before the logits; 1 where no key
     * says otherwise. */
    double embedding_scale, residual_scale, output_scale;
    /* How the file has Q and K: its architecture says so of a GGUF file. Folders of Hugging Face turn halves and are
     * not interleaved, whatever their architecture. */
    enum ste_rope rope;
    /* Their rows lie otherwise than in Hugging Face's files: of a head of n rows, row 2i + s was row s * n/2 + i. */
    bool interleaved;
    /* Read by positions.c. With n_ctx_short positions or fewer, layers of the first kind turn by rotary, with more by
     * rotary_long; 0: always by rotary. */
    struct ste_rotary rotary[STE_N_ROTARY], rotary_long;
    int n_ctx_short;
    /* A query at position p is multiplied by 1 + temperature_scale ln(1 + floor(p / temperature_length)). */
    double temperature_scale, temperature_length;
};

/* A number of the file. Its key is the architecture's name, a dot and NAME. */
struct ste_key {
    const char *name;
    size_t at;     /* offsetof the member of ste_hparams: an int, or with REAL a double */
    bool real;     /* a positive number; otherwise a whole one from 1 to MAX */
    bool optional; /* the member keeps what it has */
    int max;
    bool divides; /* with REAL: the member is 1 / the number */
};
#define STE_KEY_WHOLE(key, member, is_optional, most)                                                                  \
    {                                                                                                                  \
        key, offsetof(struct ste_hparams, member), false, is_optional, most, false                                     \
    }
#define STE_KEY_REAL(key, member, is_optional)                                                                         \
    {                                                                                                                  \
        key, offsetof(struct ste_hparams, member), true, is_optional, 0, false                                         \
    }
#define STE_KEY_DIVISOR(key, member, is_optional)                                                                      \
    {                                                                                                                  \
        key, offsetof(struct ste_hparams, member), true, is_optional, 0, true                                          \
    }
#define STE_KEYS_END                                                                                                   \
    {                                                                                                                  \
        NULL, 0, false, false, 0, false                                                                                \
    }

/* N linear layers from FIRST on as one, the rows of one behind those of the other: LoRA adapts them as one layer of
 * Hugging Face's, which has one A, and a B whose rows lie so too. */
struct ste_fused {
    const char *gguf; /* "attn_qkv": as in LINEAR; a file may have the layers' own tensors in its place. NULL: it has */
    const char *peft; /* "self_attn.qkv_proj" */
    enum ste_linear first;
    int n;
};
#define STE_MAX_FUSED 2

struct ste_arch {
    const char *name; /* general.architecture */
    /* Keys beside those that every architecture has (model.c); NULL: none. Ends with a name of NULL. */
    const struct ste_key *keys;
    struct {
        const char *gguf; /* "attn_q": the tensor is blk.N.attn_q.weight, (out, in) */
        const char *peft; /* "self_attn.q_proj", its path in a Hugging Face model; NULL: LoRA has no name for it */
        enum ste_width out, in;
    } linear[STE_N_LINEAR];
    struct ste_fused fused[STE_MAX_FUSED]; /* a peft of NULL: none */
    bool bias[STE_N_LINEAR];               /* blk.N.attn_q.bias, (out) f32 */
    bool may_have_biases;                  /* each linear layer, where the file has one for it */
    struct {
        const char *gguf; /* blk.N.NAME.weight, (width) f32; NULL: there is no such norm */
        /* A row is normed in pieces of this length: STE_WIDTH_HEAD norms each head by itself. */
        enum ste_width width;
        const char *hf; /* "input_layernorm": in a folder it is model.layers.N.NAME.weight */
    } norm[STE_N_NORM];
    enum ste_gate gate;
    enum ste_rope rope; /* of its GGUF files, as in ste_hparams */
    bool interleaved;
    struct {
        const char *const *types; /* model_type in config.json; ends with NULL. NULL: none is known */
        const char *defaults;     /* JSON: what config.json may leave out; NULL: nothing */
        float norm_plus;          /* what its norms lack of those in a GGUF file */
        bool cuts_vocabulary;     /* rows of the embedding for which there is no token are left out */
    } hf;                         /* its folders of Hugging Face's (folder.h) */
    /* Sets what keys leave open, once those of all architectures are read and before its own; NULL: nothing. */
    void (*defaults)(struct ste_hparams *hp);
    int no_rope_each;      /* layers of which each such one does not turn; 0: none */
    bool rope_is_optional; /* rope.scaling.finetuned = false says that no layer turns */
    /* Where the file has a window: all layers but each such one slide, if it does not say which; 0: all do. */
    struct {
        int period;
        bool plain;  /* sliding layers turn by positions as they are, and by a base of their own: */
        double base; /* 0: that of the others */
    } sliding;
    const char *chat; /* the chat template of most of its models, named where a file has none that is known */
};

/* The names that most architectures give to their linear layers. */
#define STE_USUAL_ATTENTION                                                                                            \
    [STE_Q] = {"attn_q", "self_attn.q_proj", STE_WIDTH_Q, STE_WIDTH_MODEL},                                            \
    [STE_K] = {"attn_k", "self_attn.k_proj", STE_WIDTH_KV, STE_WIDTH_MODEL},                                           \
    [STE_V] = {"attn_v", "self_attn.v_proj", STE_WIDTH_KV, STE_WIDTH_MODEL},                                           \
    [STE_O] = {"attn_output", "self_attn.o_proj", STE_WIDTH_MODEL, STE_WIDTH_Q}
#define STE_USUAL_LINEARS                                                                                              \
    STE_USUAL_ATTENTION, [STE_GATE] = {"ffn_gate", "mlp.gate_proj", STE_WIDTH_FF, STE_WIDTH_MODEL},                    \
                         [STE_UP] = {"ffn_up", "mlp.up_proj", STE_WIDTH_FF, STE_WIDTH_MODEL},                          \
                         [STE_DOWN] = {"ffn_down", "mlp.down_proj", STE_WIDTH_MODEL, STE_WIDTH_FF}

/* The norms that most have. */
/* clang-format off */
#define STE_USUAL_NORMS                                                                                                \
    [STE_NORM_ATTN] = {"attn_norm", STE_WIDTH_MODEL, "input_layernorm"},                                               \
    [STE_NORM_FFN] = {"ffn_norm", STE_WIDTH_MODEL, "post_attention_layernorm"}
/* clang-format on */
/* The model_types of its folders. */
#define STE_HF_TYPES(...) ((const char *const[]){__VA_ARGS__, NULL})

extern const struct ste_arch ste_arch_llama, ste_arch_qwen2, ste_arch_qwen3, ste_arch_granite, ste_arch_granite4,
    ste_arch_olmo2, ste_arch_phi3, ste_arch_gemma3, ste_arch_smollm3, ste_arch_mistral3;
/* Those that ste runs; ends with NULL. Of two that have one name the first is that of a file, unless its key
 * STE_HF_TYPE_KEY is one of the other's types: folders differ, and with them the names in adapters. */
extern const struct ste_arch *const ste_archs[];
#define STE_HF_TYPE_KEY "ste.model_type"
/* Where a model's layers are in Hugging Face's: "model.language_model.layers" if it sees too; else "model.layers". */
#define STE_HF_LAYERS_KEY "ste.layers"

/* What a model of the architecture NAME (N bytes) has and ste does not do, in words; NULL: that is not known. */
const char *ste_arch_lacks(const char *name, size_t n);

int ste_width(const struct ste_hparams *hp, enum ste_width w);
/* Rows and columns of a linear layer: out and in. */
void ste_linear_shape(const struct ste_hparams *hp, enum ste_linear l, int *out, int *in);
/* Row ROW of a tensor that is interleaved (ste_hparams), whose heads have HEAD rows, is this row of Hugging Face's.
 * HEAD 0: it is not interleaved, and they are the same. */
uint64_t ste_hf_row(uint64_t row, uint64_t head);
/* What L is fused with; NULL: nothing. */
const struct ste_fused *ste_fused_of(const struct ste_arch *arch, enum ste_linear l);
/* "q_proj": the last part of its PEFT path, or of that of the layers it is fused with. */
const char *ste_linear_peft_name(const struct ste_arch *arch, enum ste_linear l);

#endif
