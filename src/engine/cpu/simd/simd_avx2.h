/* simd.h in AVX2; included by it. */

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
/* 16 bytes for I_LOOK_UP, which gives for each byte N of 0 to 15 the Nth of them. */
ALWAYS vi i_sixteen(const uint8_t *p)
{
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const void *)p));
}
ALWAYS vi i_look_up(vi table, vi n)
{
    return _mm256_shuffle_epi8(table, n);
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
typedef __m256i dacc;
#ifdef __AVXVNNI__
/* Dot products of unsigned and signed bytes in fours, summed in 32 bits (D_WIDE). */
#define D_WIDE
ALWAYS dacc d_step(dacc s, vi w, vi x) /* written out as in simd_avx512.h */
{
    __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(s) : "x"(w), "x"(x));
    return s;
}
ALWAYS dacc d_first(vi w, vi x)
{
    return d_step(_mm256_setzero_si256(), w, x);
}
ALWAYS vi d_sum(dacc s)
{
    return s;
}
#else
/* Products of unsigned and signed bytes, summed in pairs in 16 bits: the caller sees to it that they fit. */
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
ALWAYS vi d_sum(dacc s)
{
    return _mm256_madd_epi16(s, _mm256_set1_epi16(1));
}
#endif
ALWAYS dacc d_from(vi n) /* of D_WIDE alone: see D_STARTS */
{
    return n;
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
