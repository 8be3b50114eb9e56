/* simd.h in AVX-512; included by it. */

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
/* A * 2^N for whole N, rounded once. */
ALWAYS vf v_times_pow2(vf a, vf n)
{
    return _mm512_scalef_ps(a, n);
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
ALWAYS vi i_sixteen(const uint8_t *p)
{
    return _mm512_broadcast_i32x4(_mm_loadu_si128((const void *)p));
}
ALWAYS vi i_look_up(vi table, vi n)
{
    return _mm512_shuffle_epi8(table, n);
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
