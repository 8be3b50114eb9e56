/* Rows of activations to signed bytes: included by int8_body.h. */

static void put_scales(const struct ste_rounded *out, size_t at, float d, int32_t s0, int32_t s1)
{
    out->d[at] = d;
    if (out->sum)
        out->sum[at] = d * (float)(s0 + s1);
    if (out->sum_halves) {
        out->sum_halves[2 * at] = d * (float)s0;
        out->sum_halves[2 * at + 1] = d * (float)s1;
    }
    for (int bits = 4; bits <= 8; bits += bits == 5 ? 3 : 1)
        if (out->minus[STE_ZERO_OF(bits)])
            out->minus[STE_ZERO_OF(bits)][at] = -(s0 + s1) * ZERO(bits);
    if (out->minus_halves) {
        out->minus_halves[2 * at] = -s0 * ZERO(6);
        out->minus_halves[2 * at + 1] = -s1 * ZERO(6);
    }
}

#if STE_SIMD == 512
/* Four neighbouring cells of a row, the first of which goes to AT in OUT: the same numbers as one by one. */
ALWAYS void round_four(const float *x, const struct ste_rounded *out, size_t at)
{
    vf v[8], most[4];
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++)
        v[i] = v_load(x + i * VL);
#pragma GCC unroll 4
    for (int c = 0; c < 4; c++)
        most[c] = v_max(v_abs(v[2 * c]), v_abs(v[2 * c + 1]));
    const __m128 top = v_max_lanes_of4(most), full = _mm_set1_ps(127),
                 inverse = _mm_maskz_div_ps(_mm_cmp_ps_mask(top, _mm_setzero_ps(), _CMP_GT_OQ), full, top);
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++)
        v[i] = v_mul(v[i], v_lane(inverse, i / 2));
    const vi two[2] = {i_bytes_of4(v), i_bytes_of4(v + 4)};
    int32_t s[16];
    float d[4];
    _mm_storeu_ps(d, _mm_div_ps(top, full));
    i_sums_of16(s, two[0], two[1]);
#pragma GCC unroll 4
    for (int c = 0; c < 4; c++, at += (size_t)out->ld) {
        _mm256_storeu_si256((void *)(out->q + at * STE_CELL),
                            c % 2 ? _mm512_extracti64x4_epi64(two[c / 2], 1) : _mm512_castsi512_si256(two[c / 2]));
        put_scales(out, at, d[c], s[c % 2 * 8 + c / 2], s[c % 2 * 8 + 4 + c / 2]);
    }
}
#endif

/* So many CELLS of a row with one scale, the first of which goes to AT in OUT; of several the sum stands in its halves
 * together. */
ALWAYS void round_span(const int cells, const float *x, const struct ste_rounded *out, size_t at)
{
    vf most = v_zero();
#pragma GCC unroll 16
    for (int i = 0; i < cells * STE_CELL; i += VL)
        most = v_max(v_abs(v_load(x + i)), most);
    const float top = v_max_lanes(most);
    const vf inverse = v_set1(top > 0 ? 127.0f / top : 0);
    vf sum[2] = {v_zero(), v_zero()}; /* small integers: exact in any order */
#if STE_SIMD == 512
    vi sums = i_set1(0);
#pragma GCC unroll 2
    for (int cell = 0; cells > 1 && cell < cells; cell += 2) {
        vf v[4];
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++)
            v[i] = v_mul(v_load(x + cell * STE_CELL + i * VL), inverse);
        const vi bytes = i_bytes_of4(v);
        int8_t *to = out->q + (at + (size_t)(cell * out->ld)) * STE_CELL;
        _mm256_storeu_si256((void *)to, _mm512_castsi512_si256(bytes));
        _mm256_storeu_si256((void *)(to + (size_t)out->ld * STE_CELL), _mm512_extracti64x4_epi64(bytes, 1));
        sums = d_step(sums, _mm512_set1_epi8(1), bytes);
    }
    sum[0] = v_from_i32(sums);
    for (int i = 0; cells == 1 && i < STE_CELL; i += VL) {
#else
#pragma GCC unroll 4
    for (int i = 0; i < cells * STE_CELL; i += VL) {
#endif
        const size_t to = (at + (size_t)(i / STE_CELL * out->ld)) * STE_CELL + (size_t)(i % STE_CELL);
        const vf n = v_round(v_mul(v_load(x + i), inverse));
        v_store_s8(out->q + to, n);
#ifndef D_WIDE
        if (out->words)
            v_store_s16(out->words + to, n);
#endif
        vf *half = &sum[i % STE_CELL / 16];
        *half = v_add(*half, n);
    }
    put_scales(out, at, top / 127.0f, (int32_t)v_sum_lanes(sum[0]), (int32_t)v_sum_lanes(sum[1]));
}

static void round_rows(const float *x, size_t ldx, int m0, int m, int cell0, int cells, const struct ste_rounded *out)
{
    int cell = 0;
#if STE_SIMD == 512
    for (; out->span == 1 && cell + 4 <= cells; cell += 4)
        for (int r = 0; r < m; r++)
            round_four(x + (size_t)r * ldx + (size_t)cell * STE_CELL, out,
                       (size_t)(cell0 + cell) * (size_t)out->ld + (size_t)(m0 + r));
#endif
    for (; cell < cells; cell += out->span) /* the outer loop: rows of a cell are neighbours in OUT */
        for (int r = 0; r < m; r++) {
            const float *from = x + (size_t)r * ldx + (size_t)cell * STE_CELL;
            const size_t at = (size_t)(cell0 + cell) * (size_t)out->ld + (size_t)(m0 + r);
            if (out->span == 1)
                round_span(1, from, out, at);
            else if (out->span == 2)
                round_span(2, from, out, at);
            else
                round_span(STE_MAX_SPAN, from, out, at);
        }
}
