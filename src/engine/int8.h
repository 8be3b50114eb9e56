/* The kernels of the integer path: rows of activations rounded to bytes, and their products. */
#ifndef STE_ENGINE_INT8_H
#define STE_ENGINE_INT8_H

#include "engine/matrix.h"

/* x ~ d * q for the 32 inputs of a cell. FIX, one for each scale of W's row: -zero * sum(q) as an integer for types
 * with a zero point, d * sum(q) as a float for the others. */
struct ste_rounded {
    void *q;  /* (m, in), int8_t; int16_t where the kernels ask that of W's bits: room for those */
    float *d; /* (m, in/32) */
    union {
        int32_t *i; /* (m, in/sub) */
        float *f;   /* (m, in/32) */
    } fix;
};

struct ste_int8_kernels {
    /* Rows m0..m0+m of X into the same rows of OUT. */
    void (*round)(const struct ste_matrix *w, const float *x, size_t ldx, int m0, int m, const struct ste_rounded *out);
    /* Y (np, m, 16) += X's rows from m0 on, inputs k0..k0+kc . W's panels from p0 on */
    void (*mul)(const struct ste_matrix *w, int p0, int np, int k0, int kc, const struct ste_rounded *x, int m0, int m,
                float *y);
};
extern const struct ste_int8_kernels ste_int8_portable, ste_int8_avx2, ste_int8_vnni;
/* VNNI is looked for apart: AVX-512 machines without it take the AVX2 kernels. */
const struct ste_int8_kernels *ste_int8_kernels_of(enum ste_isa isa);

#endif
