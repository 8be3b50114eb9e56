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
#include <immintrin.h>
#define VL 16
typedef __m512 vf;  /* VL floats */
typedef __m512i vi; /* VL integers of 32 bits, or four bytes each */

ALWAYS vf v_zero(void)
{
    return _mm512_setzero_ps();
}
ALWAYS vf v_set1(float f)
{
    return _mm512_set1_ps(f);
}
ALWAYS vf v_load(const float *p)
{
    return _mm512_loadu_ps(p);
}
ALWAYS void v_store(float *p, vf v)
{
    _mm512_storeu_ps(p, v);
}
ALWAYS vf v_add(vf a, vf b)
{
    return _mm512_add_ps(a, b);
}
ALWAYS vf v_sub(vf a, vf b)
{
    return _mm512_sub_ps(a, b);
}
ALWAYS vf v_mul(vf a, vf b)
{
    return _mm512_mul_ps(a, b);
}
ALWAYS vf v_div(vf a, vf b)
{
    return _mm512_div_ps(a, b);
}
ALWAYS vf v_fma(vf a, vf b, vf c)
{
    return _mm512_fmadd_ps(a, b, c);
}
ALWAYS vf v_max(vf a, vf b)
{
    return _mm512_max_ps(a, b);
}
ALWAYS vf v_min(vf a, vf b)
{
    return _mm512_min_ps(a, b);
}
ALWAYS vf v_abs(vf a)
{
    return _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(a), _mm512_set1_epi32(0x7fffffff)));
}
ALWAYS vf v_round(vf a)
{
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
ALWAYS vf v_pow2(vf n)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127)), 23));
}
ALWAYS vf v_load_f16(const uint16_t *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const void *)p));
}
ALWAYS void v_store_f16(uint16_t *p, vf v)
{
    _mm256_storeu_si256((void *)p, _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
ALWAYS vf v_from_u8(const uint8_t *p)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const void *)p)));
}
ALWAYS vf v_from_s8(const int8_t *p)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const void *)p)));
}
ALWAYS void v_store_s8(int8_t *p, vf v)
{
    _mm_storeu_si128((void *)p, _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(v)));
}
ALWAYS vi i_load(const void *p)
{
    return _mm512_loadu_si512(p);
}
ALWAYS void i_store(void *p, vi v)
{
    _mm512_storeu_si512(p, v);
}
ALWAYS vi i_set1(int32_t n)
{
    return _mm512_set1_epi32(n);
}
ALWAYS vi i_and(vi a, vi b)
{
    return _mm512_and_si512(a, b);
}
ALWAYS vi i_or(vi a, vi b)
{
    return _mm512_or_si512(a, b);
}
ALWAYS vi i_srl(vi a, int n)
{
    return _mm512_srli_epi32(a, (unsigned)n);
}
ALWAYS vi i_sll(vi a, int n)
{
    return _mm512_slli_epi32(a, (unsigned)n);
}
ALWAYS vi i_add(vi a, vi b)
{
    return _mm512_add_epi32(a, b);
}
ALWAYS vi i_from_v(vf a)
{
    return _mm512_cvtps_epi32(a);
}
/* The last word of a lane to both. */
ALWAYS vi i_spread(vi a)
{
    return _mm512_shuffle_epi8(a,
                               _mm512_broadcast_i32x4(_mm_setr_epi32(0x01000100, 0x05040504, 0x09080908, 0x0d0c0d0c)));
}
/* Each byte times its word of S and plus that of C, in 16 bits: of that the first 8. Even and odd bytes come as words.
 */
ALWAYS vi i_scale_words(vi even, vi odd, vi s, vi c)
{
    even = _mm512_add_epi16(_mm512_mullo_epi16(even, s), c);
    odd = _mm512_add_epi16(_mm512_mullo_epi16(odd, s), c);
    /* even | odd & 0xff00 */
    return _mm512_ternarylogic_epi32(_mm512_srli_epi16(even, 8), odd, _mm512_set1_epi16((short)0xff00), 0xf8);
}
ALWAYS vi i_scale_bytes(vi q, vi s, vi c)
{
    return i_scale_words(_mm512_and_si512(q, _mm512_set1_epi16(0xff)), _mm512_srli_epi16(q, 8), s, c);
}
/* The same of the low half of each byte, or of the high one. */
ALWAYS vi i_scale_nibbles(vi q, const int high, vi s, vi c)
{
    const vi low = _mm512_set1_epi16(0x0f);
    return high ? i_scale_words(_mm512_and_si512(_mm512_srli_epi16(q, 4), low), _mm512_srli_epi16(q, 12), s, c)
                : i_scale_words(_mm512_and_si512(q, low), _mm512_and_si512(_mm512_srli_epi16(q, 8), low), s, c);
}
ALWAYS vi i_sub(vi a, vi b)
{
    return _mm512_sub_epi32(a, b);
}
ALWAYS vf v_from_i32(vi a)
{
    return _mm512_cvtepi32_ps(a);
}
ALWAYS vi i_from_bits(vf a)
{
    return _mm512_castps_si512(a);
}
ALWAYS vf v_from_bits(vi a)
{
    return _mm512_castsi512_ps(a);
}
ALWAYS float v_max_lanes(vf a)
{
    return _mm512_reduce_max_ps(a);
}
ALWAYS float v_sum_lanes(vf a) /* folded in halves */
{
    return _mm512_reduce_add_ps(a);
}
ALWAYS vf v_keep(vf a, vf size, vf least) /* A where SIZE is at least LEAST, else 0 */
{
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(size, least, _CMP_GE_OQ), a);
}
ALWAYS void i_store_high16(uint16_t *p, vi a)
{
    _mm256_storeu_si256((void *)p, _mm512_cvtepi32_epi16(_mm512_srli_epi32(a, 16)));
}
ALWAYS vf v_from_byte(vi a, int j)
{
    const __m512i pick = _mm512_add_epi32(
        _mm512_broadcast_i32x4(_mm_setr_epi32((int)0x80808000, (int)0x80808004, (int)0x80808008, (int)0x8080800c)),
        _mm512_set1_epi32(j));
    return _mm512_cvtepi32_ps(_mm512_shuffle_epi8(a, pick));
}
#ifdef __AVX512VNNI__
/* Dot products of unsigned and signed bytes in fours, summed in 32 bits (D_WIDE). */
#define D_WIDE
typedef __m512i dacc;
ALWAYS dacc d_first(vi w, vi x)
{
    return _mm512_dpbusd_epi32(_mm512_setzero_si512(), w, x);
}
/* Written out, or gcc moves sums from register to register and to memory. */
ALWAYS dacc d_step(dacc s, vi w, vi x)
{
    __asm__("vpdpbusd %2, %1, %0" : "+v"(s) : "v"(w), "v"(x));
    return s;
}
ALWAYS dacc d_from(vi n)
{
    return n;
}
ALWAYS vi d_sum(dacc s)
{
    return s;
}
/* What a vector's lanes hold together, for four vectors at once: it takes hardly more than for one. */
ALWAYS __m128 v_max_lanes_of4(const vf v[4])
{
    const vf a = v_max(_mm512_unpacklo_ps(v[0], v[1]), _mm512_unpackhi_ps(v[0], v[1])),
             b = v_max(_mm512_unpacklo_ps(v[2], v[3]), _mm512_unpackhi_ps(v[2], v[3]));
    const __m512d ad = _mm512_castps_pd(a), bd = _mm512_castps_pd(b);
    const vf all = v_max(_mm512_castpd_ps(_mm512_unpacklo_pd(ad, bd)), _mm512_castpd_ps(_mm512_unpackhi_pd(ad, bd)));
    const __m256 half = _mm256_max_ps(_mm512_castps512_ps256(all), _mm512_extractf32x8_ps(all, 1));
    return _mm_max_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
}
/* Lane I of A to all lanes. */
ALWAYS vf v_lane(__m128 a, const int i)
{
    return _mm512_broadcastss_ps(i ? _mm_permute_ps(a, i * 0x55) : a);
}
/* Four vectors to signed bytes, in their order, rounded to nearest. */
ALWAYS vi i_bytes_of4(const vf v[4])
{
    const vi order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const vi a = _mm512_packs_epi32(_mm512_cvtps_epi32(v[0]), _mm512_cvtps_epi32(v[1])),
             b = _mm512_packs_epi32(_mm512_cvtps_epi32(v[2]), _mm512_cvtps_epi32(v[3]));
    return _mm512_permutexvar_epi32(order, _mm512_packs_epi16(a, b));
}
/* Sums of 16 signed bytes each: four of A at S[0], S[4], S[8], S[12], four of B each one behind. */
ALWAYS void i_sums_of16(int32_t s[16], vi a, vi b)
{
    const vi ones = _mm512_set1_epi8(1), sa = d_first(ones, a), sb = d_first(ones, b);
    const vi two = i_add(_mm512_unpacklo_epi32(sa, sb), _mm512_unpackhi_epi32(sa, sb));
    i_store(s, i_add(two, _mm512_shuffle_epi32(two, _MM_PERM_BADC)));
}
#endif

#elif STE_SIMD == 2
#include <immintrin.h>
#define VL 8
typedef __m256 vf;
typedef __m256i vi;

ALWAYS vf v_zero(void)
{
    return _mm256_setzero_ps();
}
ALWAYS vf v_set1(float f)
{
    return _mm256_set1_ps(f);
}
ALWAYS vf v_load(const float *p)
{
    return _mm256_loadu_ps(p);
}
ALWAYS void v_store(float *p, vf v)
{
    _mm256_storeu_ps(p, v);
}
ALWAYS vf v_add(vf a, vf b)
{
    return _mm256_add_ps(a, b);
}
ALWAYS vf v_sub(vf a, vf b)
{
    return _mm256_sub_ps(a, b);
}
ALWAYS vf v_mul(vf a, vf b)
{
    return _mm256_mul_ps(a, b);
}
ALWAYS vf v_div(vf a, vf b)
{
    return _mm256_div_ps(a, b);
}
ALWAYS vf v_fma(vf a, vf b, vf c)
{
    return _mm256_fmadd_ps(a, b, c);
}
ALWAYS vf v_max(vf a, vf b)
{
    return _mm256_max_ps(a, b);
}
ALWAYS vf v_min(vf a, vf b)
{
    return _mm256_min_ps(a, b);
}
ALWAYS vf v_abs(vf a)
{
    return _mm256_and_ps(a, _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff)));
}
ALWAYS vf v_round(vf a)
{
    return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
ALWAYS vf v_pow2(vf n)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23));
}
ALWAYS vf v_load_f16(const uint16_t *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const void *)p));
}
ALWAYS void v_store_f16(uint16_t *p, vf v)
{
    _mm_storeu_si128((void *)p, _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
ALWAYS vf v_from_u8(const uint8_t *p)
{
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const void *)p)));
}
ALWAYS vf v_from_s8(const int8_t *p)
{
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const void *)p)));
}
ALWAYS void v_store_s8(int8_t *p, vf v)
{
    __m256i i = _mm256_cvtps_epi32(v);
    __m128i h = _mm_packs_epi32(_mm256_castsi256_si128(i), _mm256_extracti128_si256(i, 1));
    _mm_storel_epi64((void *)p, _mm_packs_epi16(h, h));
}
ALWAYS vi i_load(const void *p)
{
    return _mm256_loadu_si256(p);
}
ALWAYS void i_store(void *p, vi v)
{
    _mm256_storeu_si256(p, v);
}
ALWAYS vi i_set1(int32_t n)
{
    return _mm256_set1_epi32(n);
}
ALWAYS vi i_and(vi a, vi b)
{
    return _mm256_and_si256(a, b);
}
ALWAYS vi i_or(vi a, vi b)
{
    return _mm256_or_si256(a, b);
}
ALWAYS vi i_srl(vi a, int n)
{
    return _mm256_srli_epi32(a, n);
}
ALWAYS vi i_sll(vi a, int n)
{
    return _mm256_slli_epi32(a, n);
}
ALWAYS vi i_add(vi a, vi b)
{
    return _mm256_add_epi32(a, b);
}
ALWAYS vi i_from_v(vf a)
{
    return _mm256_cvtps_epi32(a);
}
ALWAYS vi i_spread(vi a)
{
    return _mm256_shuffle_epi8(
        a, _mm256_broadcastsi128_si256(_mm_setr_epi32(0x01000100, 0x05040504, 0x09080908, 0x0d0c0d0c)));
}
ALWAYS vi i_scale_bytes(vi q, vi s, vi c)
{
    const vi first = _mm256_set1_epi16((short)0xff00),
             even = _mm256_add_epi16(_mm256_mullo_epi16(_mm256_andnot_si256(first, q), s), c),
             odd = _mm256_add_epi16(_mm256_mullo_epi16(_mm256_srli_epi16(q, 8), s), c);
    return _mm256_or_si256(_mm256_srli_epi16(even, 8), _mm256_and_si256(odd, first));
}
ALWAYS vi i_scale_nibbles(vi q, const int high, vi s, vi c)
{
    return i_scale_bytes(_mm256_and_si256(high ? _mm256_srli_epi16(q, 4) : q, _mm256_set1_epi8(0x0f)), s, c);
}
ALWAYS vi i_sub(vi a, vi b)
{
    return _mm256_sub_epi32(a, b);
}
ALWAYS vf v_from_i32(vi a)
{
    return _mm256_cvtepi32_ps(a);
}
ALWAYS vi i_from_bits(vf a)
{
    return _mm256_castps_si256(a);
}
ALWAYS vf v_from_bits(vi a)
{
    return _mm256_castsi256_ps(a);
}
ALWAYS float v_max_lanes(vf a)
{
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}
ALWAYS float v_sum_lanes(vf a) /* folded in halves */
{
    __m128 m = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    m = _mm_add_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_add_ss(m, _mm_movehdup_ps(m)));
}
ALWAYS vf v_keep(vf a, vf size, vf least) /* A where SIZE is at least LEAST, else 0 */
{
    return _mm256_and_ps(a, _mm256_cmp_ps(size, least, _CMP_GE_OQ));
}
ALWAYS void i_store_high16(uint16_t *p, vi a)
{
    vi h = _mm256_srli_epi32(a, 16);
    _mm_storeu_si128((void *)p, _mm_packus_epi32(_mm256_castsi256_si128(h), _mm256_extracti128_si256(h, 1)));
}
ALWAYS vf v_from_byte(vi a, int j)
{
    const __m256i pick = _mm256_add_epi32(
        _mm256_broadcastsi128_si256(_mm_setr_epi32((int)0x80808000, (int)0x80808004, (int)0x80808008, (int)0x8080800c)),
        _mm256_set1_epi32(j));
    return _mm256_cvtepi32_ps(_mm256_shuffle_epi8(a, pick));
}
/* Products of unsigned and signed bytes, summed in pairs in 16 bits: the caller sees to it that they fit. */
typedef __m256i dacc;
ALWAYS dacc d_first(vi w, vi x)
{
    return _mm256_maddubs_epi16(w, x);
}
ALWAYS dacc d_step(dacc s, vi w, vi x)
{
    vi p = _mm256_maddubs_epi16(w, x);
    /* Written out, or compilers make trees of the sums, which do not fit the registers, or move each to another. */
    __asm__("vpaddw %1, %0, %0" : "+x"(s) : "x"(p));
    return s;
}
ALWAYS dacc d_from(vi n) /* not used: see D_STARTS */
{
    return n;
}
ALWAYS vi d_sum(dacc s)
{
    return _mm256_madd_epi16(s, _mm256_set1_epi16(1));
}
/* A lane's four unsigned bytes as 16-bit words: its first two, its last two. */
ALWAYS vi i_words(vi bytes, const int last)
{
    const __m128i pick = last ? _mm_setr_epi8(2, -1, 3, -1, 6, -1, 7, -1, 10, -1, 11, -1, 14, -1, 15, -1)
                              : _mm_setr_epi8(0, -1, 1, -1, 4, -1, 5, -1, 8, -1, 9, -1, 12, -1, 13, -1);
    return _mm256_shuffle_epi8(bytes, _mm256_broadcastsi128_si256(pick));
}
ALWAYS vi i_sub_words(vi a, int16_t b)
{
    return _mm256_sub_epi16(a, _mm256_set1_epi16(b));
}
/* S + the products of words, in pairs. */
ALWAYS vi i_step_words(vi s, vi w, vi x)
{
    vi p = _mm256_madd_epi16(w, x);
    __asm__("vpaddd %1, %0, %0" : "+x"(s) : "x"(p));
    return s;
}
ALWAYS void v_store_s16(int16_t *p, vf v)
{
    __m256i i = _mm256_cvtps_epi32(v);
    _mm_storeu_si128((void *)p, _mm_packs_epi32(_mm256_castsi256_si128(i), _mm256_extracti128_si256(i, 1)));
}

#else
#include "model/quant.h"
#define VL 16
typedef struct {
    float v[VL];
} vf;
typedef struct {
    uint32_t v[VL];
} vi;
#define EACH for (int l_ = 0; l_ < VL; l_++)

ALWAYS vf v_set1(float f)
{
    vf r;
    EACH r.v[l_] = f;
    return r;
}
ALWAYS vf v_zero(void)
{
    return v_set1(0);
}
ALWAYS vf v_load(const float *p)
{
    vf r;
    memcpy(r.v, p, sizeof r.v);
    return r;
}
ALWAYS void v_store(float *p, vf v)
{
    memcpy(p, v.v, sizeof v.v);
}
ALWAYS vf v_add(vf a, vf b)
{
    EACH a.v[l_] += b.v[l_];
    return a;
}
ALWAYS vf v_sub(vf a, vf b)
{
    EACH a.v[l_] -= b.v[l_];
    return a;
}
ALWAYS vf v_mul(vf a, vf b)
{
    EACH a.v[l_] *= b.v[l_];
    return a;
}
ALWAYS vf v_div(vf a, vf b)
{
    EACH a.v[l_] /= b.v[l_];
    return a;
}
ALWAYS vf v_fma(vf a, vf b, vf c)
{
    EACH c.v[l_] = fmaf(a.v[l_], b.v[l_], c.v[l_]);
    return c;
}
/* As the instructions do it: the second when one is not a number. */
ALWAYS vf v_max(vf a, vf b)
{
    EACH b.v[l_] = a.v[l_] > b.v[l_] ? a.v[l_] : b.v[l_];
    return b;
}
ALWAYS vf v_min(vf a, vf b)
{
    EACH b.v[l_] = a.v[l_] < b.v[l_] ? a.v[l_] : b.v[l_];
    return b;
}
ALWAYS vf v_abs(vf a)
{
    EACH a.v[l_] = fabsf(a.v[l_]);
    return a;
}
ALWAYS vf v_round(vf a)
{
    EACH a.v[l_] = rintf(a.v[l_]);
    return a;
}
ALWAYS vi i_from_v(vf a)
{
    vi r;
    EACH r.v[l_] = a.v[l_] >= -2147483648.0f && a.v[l_] < 2147483648.0f ? (uint32_t)(int32_t)rintf(a.v[l_]) : 1u << 31;
    return r;
}
ALWAYS vf v_pow2(vf n)
{
    vi r = i_from_v(n);
    EACH r.v[l_] = (r.v[l_] + 127) << 23;
    memcpy(n.v, r.v, sizeof n.v);
    return n;
}
ALWAYS vf v_load_f16(const uint16_t *p)
{
    vf r;
    EACH r.v[l_] = ste_f16_to_f32(p[l_]);
    return r;
}
ALWAYS void v_store_f16(uint16_t *p, vf v)
{
    EACH p[l_] = ste_f32_to_f16(v.v[l_]);
}
ALWAYS vf v_from_u8(const uint8_t *p)
{
    vf r;
    EACH r.v[l_] = p[l_];
    return r;
}
ALWAYS vf v_from_s8(const int8_t *p)
{
    vf r;
    EACH r.v[l_] = p[l_];
    return r;
}
ALWAYS void v_store_s8(int8_t *p, vf v)
{
    vi r = i_from_v(v);
    EACH p[l_] = (int8_t)(uint8_t)r.v[l_];
}
ALWAYS vi i_load(const void *p)
{
    vi r;
    memcpy(r.v, p, sizeof r.v);
    return r;
}
ALWAYS void i_store(void *p, vi v)
{
    memcpy(p, v.v, sizeof v.v);
}
ALWAYS vi i_set1(int32_t n)
{
    vi r;
    EACH r.v[l_] = (uint32_t)n;
    return r;
}
ALWAYS vi i_and(vi a, vi b)
{
    EACH a.v[l_] &= b.v[l_];
    return a;
}
ALWAYS vi i_or(vi a, vi b)
{
    EACH a.v[l_] |= b.v[l_];
    return a;
}
ALWAYS vi i_srl(vi a, int n)
{
    EACH a.v[l_] >>= n;
    return a;
}
ALWAYS vi i_sll(vi a, int n)
{
    EACH a.v[l_] <<= n;
    return a;
}
ALWAYS vi i_add(vi a, vi b)
{
    EACH a.v[l_] += b.v[l_];
    return a;
}
ALWAYS vi i_spread(vi a)
{
    EACH a.v[l_] = (a.v[l_] & 0xffff) * 0x00010001u;
    return a;
}
ALWAYS vi i_scale_bytes(vi q, vi s, vi c)
{
    vi r = i_set1(0);
    for (int j = 0; j < 32; j += 8)
        EACH r.v[l_] |= ((q.v[l_] >> j & 0xff) * (s.v[l_] & 0xffff) + (c.v[l_] & 0xffff)) >> 8 << 24 >> (24 - j);
    return r;
}
ALWAYS vi i_scale_nibbles(vi q, const int high, vi s, vi c)
{
    return i_scale_bytes(i_and(high ? i_srl(q, 4) : q, i_set1(0x0f0f0f0f)), s, c);
}
ALWAYS vi i_sub(vi a, vi b)
{
    EACH a.v[l_] -= b.v[l_];
    return a;
}
ALWAYS vf v_from_i32(vi a)
{
    vf r;
    EACH r.v[l_] = (float)(int32_t)a.v[l_];
    return r;
}
ALWAYS vi i_from_bits(vf a)
{
    vi r;
    memcpy(r.v, a.v, sizeof r.v);
    return r;
}
ALWAYS vf v_from_bits(vi a)
{
    vf r;
    memcpy(r.v, a.v, sizeof r.v);
    return r;
}
ALWAYS float v_max_lanes(vf a)
{
    float m = a.v[0];
    EACH m = a.v[l_] > m ? a.v[l_] : m;
    return m;
}
ALWAYS float v_sum_lanes(vf a) /* folded in halves */
{
    for (int half = VL / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            a.v[i] += a.v[i + half];
    return a.v[0];
}
ALWAYS vf v_keep(vf a, vf size, vf least) /* A where SIZE is at least LEAST, else 0 */
{
    EACH a.v[l_] = size.v[l_] >= least.v[l_] ? a.v[l_] : 0;
    return a;
}
ALWAYS void i_store_high16(uint16_t *p, vi a)
{
    EACH p[l_] = (uint16_t)(a.v[l_] >> 16);
}
ALWAYS vf v_from_byte(vi a, int j)
{
    vf r;
    EACH r.v[l_] = (float)((a.v[l_] >> (8 * j)) & 0xff);
    return r;
}
#define D_WIDE
typedef vi dacc;
ALWAYS dacc d_step(dacc s, vi w, vi x)
{
    for (int j = 0; j < 32; j += 8)
        EACH s.v[l_] += (uint32_t)((int32_t)((w.v[l_] >> j) & 0xff) * (int8_t)((x.v[l_] >> j) & 0xff));
    return s;
}
ALWAYS dacc d_first(vi w, vi x)
{
    return d_step(i_set1(0), w, x);
}
ALWAYS dacc d_from(vi n)
{
    return n;
}
ALWAYS vi d_sum(dacc s)
{
    return s;
}
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
