/*
 * The few vector operations that the kernels are written in, for the instruction set STE_SIMD (0: plain C; 2: AVX2,
 * FMA, F16C; 512: AVX-512 F, BW, VL, DQ, and VNNI for the integer part), which the including file defines. A vector
 * holds VL of a panel's rows. Every operation rounds as its plain C twin does, so that all sets give the same bits.
 */
#ifndef STE_ENGINE_CPU_SIMD_H
#define STE_ENGINE_CPU_SIMD_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#if STE_SIMD
#define ALWAYS static inline __attribute__((always_inline, unused))
#elif defined(__SANITIZE_ADDRESS__) /* plain C inlined takes gcc minutes and gigabytes there */
#define ALWAYS static __attribute__((noinline, unused))
#else
#define ALWAYS static inline __attribute__((unused))
#endif

#if STE_SIMD == 512
#include "engine/cpu/simd/simd_avx512.h"
#elif STE_SIMD == 2
#include "engine/cpu/simd/simd_avx2.h"
#else
#include "engine/cpu/simd/simd_portable.h"
#endif

#define NV (16 / VL) /* vectors in the 16 rows of a panel */

#if STE_SIMD != 512
/* A * 2^N for whole N, in two halves, so that results below the normal range are rounded once. */
ALWAYS vf v_times_pow2(vf a, vf n)
{
    vf half = v_round(v_mul(n, v_set1(0.5f)));
    return v_mul(v_mul(a, v_pow2(half)), v_pow2(v_sub(n, half)));
}
#endif

/* e^x = 2^n * e^r with |r| <= ln2/2: ln2 is taken off in two parts, e^r is a polynomial of degree 7. */
ALWAYS vf v_exp(vf x)
{
    x = v_max(v_set1(-104.0f), v_min(v_set1(89.0f), x)); /* in this order NaN stays NaN */
    vf n = v_round(v_mul(x, v_set1(1.44269504f)));
    vf r = v_fma(n, v_set1(-0x1.62e4p-1f), x);
    r = v_fma(n, v_set1(-0x1.7f7d1cp-20f), r);
    vf p = v_set1(1.0f / 5040.0f);
    p = v_fma(p, r, v_set1(1.0f / 720.0f));
    p = v_fma(p, r, v_set1(1.0f / 120.0f));
    p = v_fma(p, r, v_set1(1.0f / 24.0f));
    p = v_fma(p, r, v_set1(1.0f / 6.0f));
    p = v_fma(p, r, v_set1(0.5f));
    p = v_fma(p, r, v_set1(1.0f));
    p = v_fma(p, r, v_set1(1.0f));
    return v_times_pow2(p, n);
}

/* To the nearest number of 8 significant bits (bf16), ties to even, still as a float. */
ALWAYS vf v_to_bf16(vf a)
{
    vi u = i_from_bits(a);
    u = i_add(i_add(u, i_set1(0x7fff)), i_and(i_srl(u, 16), i_set1(1)));
    return v_from_bits(i_and(u, i_set1((int32_t)0xffff0000u)));
}

#endif
