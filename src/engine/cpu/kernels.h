/*
 * The arithmetic, once for each instruction set and chosen at run time. A result element is summed by one thread in one
 * order that depends on its own row and column only: not on how many rows there are, on threads or on tiles. All sets
 * use the same order and fused multiply-adds, so the f32 paths give the same bits on each of them.
 *
 * Weight matrices are repacked at load into panels of STE_PANEL rows (of output), with four neighbouring inputs of a
 * row in four neighbouring bytes, the form that dot-product instructions take: see matrix.c. Values are exactly those
 * of ste_dequantize.
 */
#ifndef STE_ENGINE_CPU_KERNELS_H
#define STE_ENGINE_CPU_KERNELS_H

#include <stdbool.h>
#include <stddef.h>

#include "core/thread.h"
#include "engine/arithmetic.h"
#include "engine/cpu/isa.h"
#include "model/gguf.h"

#define STE_PANEL 16

struct ste_matrix; /* W (out, in), read-only */
int ste_matrix_pack(struct ste_matrix **out, const struct ste_tensor *t, enum ste_isa isa, struct ste_pool *pool,
                    struct ste_err *err);
void ste_matrix_free(struct ste_matrix *w);
int ste_matrix_out(const struct ste_matrix *w);
int ste_matrix_in(const struct ste_matrix *w);
size_t ste_matrix_bytes(const struct ste_matrix *w);
/* The same of one that would be packed from weights of type T; 0: there are no kernels for it. */
size_t ste_matrix_size(enum ste_type t, uint64_t in, uint64_t out);
/* One row of W as f32: embedding look-up. */
void ste_matrix_row(const struct ste_matrix *w, int row, float *dst);

/* Y (M, out) = X (M, in) . W^T + bias (out; may be NULL). LDX, LDY: floats from row to row. ACT says how X is
 * rounded first, where W is quantized; Y stays f32. */
void ste_matrix_mul(const struct ste_matrix *w, enum ste_activations act, const float *x, size_t ldx, int m,
                    const float *bias, float *y, size_t ldy, struct ste_pool *pool);
/* The same for up to STE_MAX_PRODUCTS matrices with one number of inputs, in steps, for who makes X: it is rounded once
 * for all of them, its rows by the thread that has just written them, and the products' parts are shared out together.
 * Memory is kept from use to use. */
#define STE_MAX_PRODUCTS 3
struct ste_product {
    const struct ste_matrix *w;
    const float *bias;
    float *y;
    size_t ldy;
};
struct ste_inputs;
struct ste_inputs *ste_inputs_new(void);
void ste_inputs_free(struct ste_inputs *in);
/* X (M, inputs of the PRODUCTS) is to come. */
void ste_inputs_begin(struct ste_inputs *in, const struct ste_product *products, int n, enum ste_activations act,
                      const float *x, size_t ldx, int m);
/* How many rows are rounded together, from a multiple of that on: 1 or a tile's; and how many inputs. */
int ste_inputs_rows(const struct ste_inputs *in);
int ste_inputs_columns(const struct ste_inputs *in);
/* Inputs K0..K0+K of rows M0..M0+M of X are there. By any threads, before ste_inputs_mul. */
void ste_inputs_round(struct ste_inputs *in, int m0, int m, int k0, int k);
void ste_inputs_mul(const struct ste_inputs *in, const struct ste_product *products, int n, struct ste_pool *pool);
/* NEXT (M, out) = gate(X . W0^T + bias0) * (X . W1^T + bias1), rounded by who made it: neither product goes to memory,
 * and NEXT's X need not be. False, and nothing done, where these are not rounded to integers. */
bool ste_inputs_gate(const struct ste_inputs *in, const struct ste_product pair[2], enum ste_gate kind,
                     struct ste_inputs *next, struct ste_pool *pool);
/* dX (M, in) = dY (M, out) . W, added to what is in dX when ACCUMULATE; W is expanded tile by tile. With STE_ACT_INT8
 * as in f32: gradients are not rounded to integers. */
void ste_matrix_mul_back(const struct ste_matrix *w, enum ste_activations act, const float *dy, size_t lddy, int m,
                         float *dx, size_t lddx, bool accumulate, struct ste_pool *pool);

/* C (M, N) = alpha * op(A) (M, K) . op(B) (K, N) + beta * C, row-major f32; the k sum runs in one order for every
 * element. op transposes when TA or TB. */
void ste_gemm(enum ste_isa isa, bool ta, bool tb, int m, int n, int k, float alpha, const float *a, size_t lda,
              const float *b, size_t ldb, float beta, float *c, size_t ldc, struct ste_pool *pool);

/* Row operations, (M, D) each, by the caller's thread. Sums run in 16 fixed lanes folded in a fixed order. */
struct ste_ops {
    float (*dot)(const float *a, const float *b, size_t n);
    float (*sum_squares)(const float *x, size_t n);
    float (*max)(const float *x, size_t n);
    void (*add)(float *y, const float *x, size_t n);           /* y += x */
    void (*axpy)(float *y, float a, const float *x, size_t n); /* y = fma(a, x, y) */
    void (*scale)(float *y, float a, size_t n);
    void (*exp)(float *y, const float *x, size_t n); /* our own, within 2 ulp; the same on every set */
    float (*exp_sub_sum)(float *y, const float *x, float sub, size_t n); /* y = exp(x - sub); returns the sum */
    /* Of each operation of a block, its backward pass follows it. RMSNorm: Y = X / rms(X) * W; Y may be X. DX += its
     * input's gradient, given DY, which is overwritten. */
    void (*rmsnorm)(float *y, const float *x, const float *w, float eps, size_t n);
    void (*rmsnorm_backward)(float *dx, const float *x, const float *w, float *dy, float eps, size_t n);
    /* Y = act(GATE) * UP; Y may be either. GATE and UP become their gradients, given DH. */
    void (*gate)(enum ste_gate kind, float *y, const float *gate, const float *up, size_t n);
    void (*gate_backward)(enum ste_gate kind, float *gate, float *up, const float *dh, size_t n);
    /* Turns the first DIMS of each of HEADS heads of HEAD_DIM at X in place by ste_rope_table's COS_SIN; INVERSE turns
     * back: the backward pass. */
    void (*rope)(enum ste_rope form, const float *cos_sin, int dims, float *x, int heads, int head_dim, bool inverse);
    void (*to_f16)(uint16_t *y, const float *x, size_t n); /* beyond f16's range: its largest */
    void (*from_f16)(float *y, const uint16_t *x, size_t n);
};
const struct ste_ops *ste_ops_of(enum ste_isa isa);
/* COS_SIN (dims: dims/2 cosines, then as many sines) of position POS. */
void ste_rope_table(const struct ste_rotary *r, int pos, float *cos_sin);

#endif
