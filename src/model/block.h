/* The kinds of the operations of a block: what kernels are written for. Which model has which is in arch.h. */
#ifndef STE_MODEL_BLOCK_H
#define STE_MODEL_BLOCK_H

#define STE_MAX_HEAD_DIM 256

/* Which two elements of the n numbers of a head that RoPE turns it turns together. */
enum ste_rope {
    STE_ROPE_ADJACENT, /* 2i and 2i + 1 */
    STE_ROPE_HALVES,   /* i and i + n/2 */
};

/* Layers of a model may turn in two ways, or not at all. */
enum ste_rotary_kind {
    STE_ROTARY_FULL,
    STE_ROTARY_SLIDING, /* layers with a window, where those turn otherwise */
    STE_N_ROTARY,
    STE_ROTARY_NONE = STE_N_ROTARY,
};

/* The first DIMS of a head turn, pair I of them by pos * inv_freq[I], and are multiplied by MAGNITUDE; the rest of the
 * head stays. */
struct ste_rotary {
    int dims; /* even */
    double magnitude;
    double inv_freq[STE_MAX_HEAD_DIM / 2];
};

/* The linear layers of a block, all of which LoRA may adapt. */
enum ste_linear { STE_Q, STE_K, STE_V, STE_O, STE_GATE, STE_UP, STE_DOWN, STE_N_LINEAR };

/* act in act(GATE h) * UP h. */
enum ste_gate {
    STE_GATE_SILU, /* x sigmoid(x) */
    STE_GATE_GELU, /* x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2 */
};

#endif
