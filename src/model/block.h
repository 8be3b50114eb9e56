/* The kinds of the operations of a block: what kernels are written for. Which model has which is in arch.h. */
#ifndef STE_MODEL_BLOCK_H
#define STE_MODEL_BLOCK_H

/* Which two elements of a head of n numbers RoPE turns together. */
enum ste_rope {
    STE_ROPE_ADJACENT, /* 2i and 2i + 1 */
    STE_ROPE_HALVES,   /* i and i + n/2 */
};

/* The linear layers of a block, all of which LoRA may adapt. */
enum ste_linear { STE_Q, STE_K, STE_V, STE_O, STE_GATE, STE_UP, STE_DOWN, STE_N_LINEAR };

/* act in act(GATE h) * UP h. */
enum ste_gate {
    STE_GATE_SILU, /* x sigmoid(x) */
    STE_GATE_GELU, /* x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2 */
};

#endif
