/*
 * The row operations in terms of simd.h: compiled once for each instruction set by ops_SET.c, which defines STE_SIMD
 * and OPS, the name of the table. Sums run in 16 lanes (element i in lane i mod 16), folded in halves at the end.
 */
#include "engine/cpu/kernels.h"
#include "engine/cpu/simd/simd.h"

#define LANES 16

/* The 1..15 elements past the last full 16, with FILL behind them. */
ALWAYS void load_tail(float tail[LANES], const float *x, size_t n, float fill)
{
    for (size_t i = 0; i < LANES; i++)
        tail[i] = i < n ? x[i] : fill;
}

ALWAYS float fold_sum(const vf acc[NV])
{
    return v_sum_lanes(NV == 1 ? acc[0] : v_add(acc[0], acc[NV - 1]));
}

static float dot(const float *a, const float *b, size_t n)
{
    vf acc[NV];
    size_t i = 0;
    for (int v = 0; v < NV; v++)
        acc[v] = v_zero();
    for (; i + LANES <= n; i += LANES)
        for (int v = 0; v < NV; v++)
            acc[v] = v_fma(v_load(a + i + v * VL), v_load(b + i + v * VL), acc[v]);
    if (i < n) {
        float ta[LANES], tb[LANES];
        load_tail(ta, a + i, n - i, 0);
        load_tail(tb, b + i, n - i, 0);
        for (int v = 0; v < NV; v++)
            acc[v] = v_fma(v_load(ta + v * VL), v_load(tb + v * VL), acc[v]);
    }
    return fold_sum(acc);
}

static float sum_squares(const float *x, size_t n)
{
    return dot(x, x, n);
}

static float max_of(const float *x, size_t n)
{
    vf acc[NV];
    size_t i = 0;
    for (int v = 0; v < NV; v++)
        acc[v] = v_set1(-INFINITY);
    for (; i + LANES <= n; i += LANES)
        for (int v = 0; v < NV; v++)
            acc[v] = v_max(v_load(x + i + v * VL), acc[v]);
    if (i < n) {
        float tail[LANES];
        load_tail(tail, x + i, n - i, -INFINITY);
        for (int v = 0; v < NV; v++)
            acc[v] = v_max(v_load(tail + v * VL), acc[v]);
    }
    return v_max_lanes(NV == 1 ? acc[0] : v_max(acc[0], acc[NV - 1]));
}

static void exp_all(float *y, const float *x, size_t n)
{
    size_t i = 0;
    for (; i + VL <= n; i += VL)
        v_store(y + i, v_exp(v_load(x + i)));
    if (i < n) {
        float tail[LANES];
        load_tail(tail, x + i, n - i, 0);
        v_store(tail, v_exp(v_load(tail)));
        memcpy(y + i, tail, (n - i) * sizeof *y);
    }
}

static float exp_sub_sum(float *y, const float *x, float sub, size_t n)
{
    const vf s = v_set1(sub);
    vf acc[NV];
    size_t i = 0;
    for (int v = 0; v < NV; v++)
        acc[v] = v_zero();
    for (; i + LANES <= n; i += LANES)
        for (int v = 0; v < NV; v++) {
            vf e = v_exp(v_sub(v_load(x + i + v * VL), s));
            v_store(y + i + v * VL, e);
            acc[v] = v_add(acc[v], e);
        }
    if (i < n) {
        float tail[LANES];
        load_tail(tail, x + i, n - i, -INFINITY);
        for (int v = 0; v < NV; v++) {
            vf e = v_exp(v_sub(v_load(tail + v * VL), s));
            v_store(tail + v * VL, e);
            acc[v] = v_add(acc[v], e);
        }
        memcpy(y + i, tail, (n - i) * sizeof *y);
    }
    return fold_sum(acc);
}

static void add(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] += x[i];
}

static void axpy(float *y, float a, const float *x, size_t n)
{
    const vf va = v_set1(a);
    size_t i = 0;
    for (; i + VL <= n; i += VL)
        v_store(y + i, v_fma(va, v_load(x + i), v_load(y + i)));
    for (; i < n; i++)
        y[i] = fmaf(a, x[i], y[i]);
}

static void scale(float *y, float a, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] *= a;
}

static void rmsnorm(float *y, const float *x, const float *w, float eps, size_t n)
{
    const float s = 1.0f / sqrtf(sum_squares(x, n) / (float)n + eps);
    for (size_t i = 0; i < n; i++)
        y[i] = x[i] * s * w[i];
}

/* y_i = x_i s w_i with s = (mean(x^2) + eps)^-1/2, so dx_i = s (w_i dy_i) - x_i s^3 / n sum_j w_j dy_j x_j. */
static void rmsnorm_backward(float *dx, const float *x, const float *w, float *dy, float eps, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dy[i] *= w[i];
    const float s = 1.0f / sqrtf(sum_squares(x, n) / (float)n + eps);
    axpy(dx, s, dy, n);
    axpy(dx, -s * s * s * (dot(dy, x, n) / (float)n), x, n);
}

/* Both gates are x sig(z), since (1 + tanh(u)) / 2 = sig(2u): z is x itself, or GELU_1 x + GELU_3 x^3. */
#define GELU_1 1.5957691216057308f /* 2 sqrt(2/pi) */
#define GELU_3 0.0713548162726f    /* that times 0.044715 */

/* 1 / sig(z): who divides by it rounds once. */
ALWAYS vf one_by_sigmoid(const enum ste_gate kind, vf x)
{
    vf z = x;
    if (kind == STE_GATE_GELU)
        z = v_mul(x, v_fma(v_mul(x, x), v_set1(GELU_3), v_set1(GELU_1)));
    return v_add(v_set1(1.0f), v_exp(v_sub(v_zero(), z)));
}

ALWAYS vf gated(const enum ste_gate kind, vf x, vf up)
{
    return v_mul(v_div(x, one_by_sigmoid(kind, x)), up);
}

ALWAYS void gate_by(const enum ste_gate kind, float *y, const float *gate, const float *up, size_t n)
{
    size_t i = 0;
    for (; i + VL <= n; i += VL)
        v_store(y + i, gated(kind, v_load(gate + i), v_load(up + i)));
    if (i < n) {
        float g[LANES], u[LANES];
        load_tail(g, gate + i, n - i, 0);
        load_tail(u, up + i, n - i, 0);
        v_store(g, gated(kind, v_load(g), v_load(u)));
        memcpy(y + i, g, (n - i) * sizeof *y);
    }
}

static void gate(enum ste_gate kind, float *y, const float *gate, const float *up, size_t n)
{
    if (kind == STE_GATE_GELU)
        gate_by(STE_GATE_GELU, y, gate, up, n);
    else
        gate_by(STE_GATE_SILU, y, gate, up, n);
}

/* h = x sig(z) u, so dx = dh u (sig(z) + x sig(z) (1 - sig(z)) z') and du = dh x sig(z). */
ALWAYS void gate_gradients(const enum ste_gate kind, vf *gate, vf *up, vf dh)
{
    const vf one = v_set1(1.0f), x = *gate, u = *up;
    const vf sig = v_div(one, one_by_sigmoid(kind, x)), xs = v_mul(x, sig);
    vf slope = v_mul(xs, v_sub(one, sig));
    if (kind == STE_GATE_GELU)
        slope = v_mul(slope, v_fma(v_mul(x, x), v_set1(3 * GELU_3), v_set1(GELU_1)));
    *gate = v_mul(v_mul(dh, u), v_add(sig, slope));
    *up = v_mul(dh, xs);
}

ALWAYS void gate_backward_by(const enum ste_gate kind, float *gate, float *up, const float *dh, size_t n)
{
    size_t i = 0;
    for (; i + VL <= n; i += VL) {
        vf g = v_load(gate + i), u = v_load(up + i);
        gate_gradients(kind, &g, &u, v_load(dh + i));
        v_store(gate + i, g);
        v_store(up + i, u);
    }
    if (i < n) {
        float g[LANES], u[LANES], d[LANES];
        load_tail(g, gate + i, n - i, 0);
        load_tail(u, up + i, n - i, 0);
        load_tail(d, dh + i, n - i, 0);
        vf x = v_load(g), y = v_load(u);
        gate_gradients(kind, &x, &y, v_load(d));
        v_store(g, x);
        v_store(u, y);
        memcpy(gate + i, g, (n - i) * sizeof *gate);
        memcpy(up + i, u, (n - i) * sizeof *up);
    }
}

static void gate_backward(enum ste_gate kind, float *gate, float *up, const float *dh, size_t n)
{
    if (kind == STE_GATE_GELU)
        gate_backward_by(STE_GATE_GELU, gate, up, dh, n);
    else
        gate_backward_by(STE_GATE_SILU, gate, up, dh, n);
}

/* A pair's two elements lie STEP * I and OTHER behind that. */
ALWAYS void rotate(const int step, const int other, int pairs, const float *cosines, const float *sines, float *x,
                   const bool inverse)
{
    for (int i = 0; i < pairs; i++) {
        float *a = x + i * step, *b = a + other, c = cosines[i], s = inverse ? -sines[i] : sines[i], a0 = *a, b0 = *b;
        *a = a0 * c - b0 * s;
        *b = a0 * s + b0 * c;
    }
}

static void rope(enum ste_rope form, const float *cos_sin, int dims, float *x, int heads, int head_dim, bool inverse)
{
    const int half = dims / 2;
    for (int h = 0; h < heads; h++, x += head_dim) {
        if (form == STE_ROPE_ADJACENT)
            rotate(2, 1, half, cos_sin, cos_sin + half, x, inverse);
        else
            rotate(1, half, half, cos_sin, cos_sin + half, x, inverse);
    }
}

/* An infinity would reach rows that must not see it. */
ALWAYS void store_f16(uint16_t *y, vf x)
{
    v_store_f16(y, v_max(v_set1(-65504.0f), v_min(v_set1(65504.0f), x))); /* in this order NaN stays NaN */
}

static void to_f16(uint16_t *y, const float *x, size_t n)
{
    size_t i = 0;
    for (; i + VL <= n; i += VL)
        store_f16(y + i, v_load(x + i));
    if (i < n) {
        float tail[LANES];
        uint16_t h[LANES];
        load_tail(tail, x + i, n - i, 0);
        for (int k = 0; k < LANES; k += VL)
            store_f16(h + k, v_load(tail + k));
        memcpy(y + i, h, (n - i) * sizeof *y);
    }
}

static void from_f16(float *y, const uint16_t *x, size_t n)
{
    size_t i = 0;
    for (; i + VL <= n; i += VL)
        v_store(y + i, v_load_f16(x + i));
    if (i < n) {
        uint16_t h[LANES] = {0};
        float tail[LANES];
        memcpy(h, x + i, (n - i) * sizeof *x);
        v_store(tail, v_load_f16(h));
        memcpy(y + i, tail, (n - i) * sizeof *y);
    }
}

const struct ste_ops OPS = {.dot = dot,
                            .sum_squares = sum_squares,
                            .max = max_of,
                            .add = add,
                            .axpy = axpy,
                            .scale = scale,
                            .exp = exp_all,
                            .exp_sub_sum = exp_sub_sum,
                            .rmsnorm = rmsnorm,
                            .rmsnorm_backward = rmsnorm_backward,
                            .gate = gate,
                            .gate_backward = gate_backward,
                            .rope = rope,
                            .to_f16 = to_f16,
                            .from_f16 = from_f16};
