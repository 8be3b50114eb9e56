/*
 * The few vector operations that the kernels are written in, for the instruction set STE_SIMD (0: plain C; 2: AVX2,
 * FMA, F16C; 512: AVX-512 F, BW, VL, DQ, and VNNI for the integer part), which the including file defines. A vector
 * holds VL of a panel's rows. Every operation rounds as its plain C twin does, so that all sets give the same bits.
 */
#ifndef STE_ENGINE_SIMD_H
#define STE_ENGINE_SIMD_H

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
#include "engine/simd_avx512.h"
#elif STE_SIMD == 2
#include "engine/simd_avx2.h"
#else
#include "engine/simd_portable.h"
#endif

#define NV (16 / VL) /* vectors in the 16 rows of a panel */

/* To the nearest number of 8 significant bits (bf16), ties to even, still as a float. */
ALWAYS vf v_to_bf16(vf a)
{
    vi u = i_from_bits(a);
    u = i_add(i_add(u, i_set1(0x7fff)), i_and(i_srl(u, 16), i_set1(1)));
    return v_from_bits(i_and(u, i_set1((int32_t)0xffff0000u)));
}

#endif
