#include "engine/attention.h"

#if defined(__AVX512F__)
#include <immintrin.h>

#define INLINE static inline __attribute__((always_inline))

/* R rows by 16 positions, one pass over head_dim. */
INLINE void scores_tile(const int R, const float *const *q, const float *kt, int head_dim, float *s)
{
    __m512 a[12];
    for (int r = 0; r < R; r++)
        a[r] = _mm512_setzero_ps();
    for (int d = 0; d < head_dim; d++) {
        __m512 k = _mm512_loadu_ps(kt + (size_t)d * STE_KV_BLOCK);
        for (int r = 0; r < R; r++)
            a[r] = _mm512_fmadd_ps(_mm512_set1_ps(q[r][d]), k, a[r]);
    }
    for (int r = 0; r < R; r++)
        _mm512_storeu_ps(s + r * STE_KV_BLOCK, a[r]);
}

INLINE void mix_tile(const int R, float *const *acc, const float *p, const float *v, int head_dim, int n_pos, int at)
{
    __m512 a[12];
    for (int r = 0; r < R; r++)
        a[r] = _mm512_loadu_ps(acc[r] + at);
    for (int j = 0; j < n_pos; j++) {
        __m512 x = _mm512_loadu_ps(v + (size_t)j * (size_t)head_dim + at);
        for (int r = 0; r < R; r++)
            a[r] = _mm512_fmadd_ps(_mm512_set1_ps(p[r * STE_KV_BLOCK + j]), x, a[r]);
    }
    for (int r = 0; r < R; r++)
        _mm512_storeu_ps(acc[r] + at, a[r]);
}

/* Tiles of 12 rows, then of 4, then single ones. */
#define EACH_TILE(n, call)                                                                                             \
    for (int r = 0; r < (n);) {                                                                                        \
        if ((n)-r >= 12) {                                                                                             \
            call(12);                                                                                                  \
            r += 12;                                                                                                   \
        } else if ((n)-r >= 4) {                                                                                       \
            call(4);                                                                                                   \
            r += 4;                                                                                                    \
        } else {                                                                                                       \
            call(1);                                                                                                   \
            r += 1;                                                                                                    \
        }                                                                                                              \
    }

#include "engine/attention_body.h"

const struct ste_attn_kernels ste_attn_avx512 = {scores, mix};
#else
typedef int ste_attention_avx512_not_built;
#endif
