/* The kernels of the integer path: rows of activations rounded to bytes, and their products. */
#ifndef STE_ENGINE_CPU_INT8_H
#define STE_ENGINE_CPU_INT8_H

#include "engine/cpu/matrix/matrix.h"

/* Zero points that whole cells have: those of weights of 4, 5 and 8 bits. */
#define STE_ZEROS 3
#define STE_ZERO_OF(bits) (STE_VALUE_BITS(bits) == 8 ? 2 : (bits) == 5 ? 1 : 0)

/* X, rounded for some types of weights: x ~ d * q for the 32 inputs of a cell. A cell's rows lie side by side, so that
 * a tile finds all of its rows at fixed distances. What none of the weights asks for is NULL. */
struct ste_rounded {
    int in, ld;        /* LD: rows to a cell, at least those of X */
    int8_t *q;         /* (in/32, ld, 32) */
    int16_t *words;    /* the same, for the weights that WORDS_FOR names */
    float *d;          /* (in/32, ld) */
    float *sum;        /* (in/32, ld): d * the sum of q, for types with a minimum */
    float *sum_halves; /* (in/32, ld, 2): the same for those with a minimum for half a cell */
    /* (in/32, ld): - zero point * the sum of q, for the zero points of weights of 4, 5 and 8 bits; and for those of 6
     * bits, which have a scale for half a cell, of each half, (in/32, ld, 2) */
    int32_t *minus[STE_ZEROS], *minus_halves;
    int span; /* 1; or 2 or 4: D and MINUS are a group's of so many cells, at its first; no others are set */
};
#define STE_MAX_SPAN 4
/* LD for M rows: cells begin in different sets of the L1 cache. */
#define STE_ROUNDED_LD(m) ((m) == 1 ? 1 : (((m) + 1) / 4 * 4) + 2)

struct ste_panel {
    const struct ste_matrix *w;
    int panel;
};

struct ste_int8_kernels {
    int words_for;   /* bits of the weights that are multiplied as words; 0: none; in groups all are, then */
    bool groups_pay; /* K types are faster in groups */
    /* X (m, 32 * cells) into rows m0..m0+m of OUT's cells from CELL on. */
    void (*round)(const float *x, size_t ldx, int m0, int m, int cell, int cells, const struct ste_rounded *out);
    /* Inputs k0..k0+kc of Y (m, 16 * np) = X's rows from m0 on . W^T + bias (NULL: 0) for W's panels p0..p0+np. In
     * SUMS (np, m, 16) is what earlier inputs gave; those that end with the last input write Y. AFTER is what the
     * thread will likely go on with: its weights are sent for. */
    void (*mul)(const struct ste_matrix *w, int p0, int np, struct ste_panel after, int k0, int kc,
                const struct ste_rounded *x, int m0, int m, const float *bias, float *sums, float *y, size_t ldy);
};
extern const struct ste_int8_kernels ste_int8_portable, ste_int8_avx2, ste_int8_avxvnni, ste_int8_vnni;
/* VNNI is looked for apart: AVX-512 machines without it take the AVX2 kernels. */
const struct ste_int8_kernels *ste_int8_kernels_of(enum ste_isa isa);

#endif
