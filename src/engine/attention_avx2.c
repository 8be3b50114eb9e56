#include "engine/attention.h"

#if defined(__AVX2__)
#include <immintrin.h>

#define INLINE static inline __attribute__((always_inline))

/* R rows by 16 positions: 2R sums in registers, one pass over head_dim. */
INLINE void scores_tile(const int R, const float *const *q, const float *kt, int head_dim, float *s)
{
    __m256 a[6][2];
    for (int r = 0; r < R; r++)
        a[r][0] = a[r][1] = _mm256_setzero_ps();
    for (int d = 0; d < head_dim; d++) {
        __m256 k0 = _mm256_loadu_ps(kt + (size_t)d * STE_KV_BLOCK);
        __m256 k1 = _mm256_loadu_ps(kt + (size_t)d * STE_KV_BLOCK + 8);
        for (int r = 0; r < R; r++) {
            __m256 x = _mm256_broadcast_ss(q[r] + d);
            a[r][0] = _mm256_fmadd_ps(x, k0, a[r][0]);
            a[r][1] = _mm256_fmadd_ps(x, k1, a[r][1]);
        }
    }
    for (int r = 0; r < R; r++) {
        _mm256_storeu_ps(s + r * STE_KV_BLOCK, a[r][0]);
        _mm256_storeu_ps(s + r * STE_KV_BLOCK + 8, a[r][1]);
    }
}

INLINE void mix_tile(const int R, float *const *acc, const float *p, const float *v, int head_dim, int n_pos, int at)
{
    __m256 a[6][2];
    for (int r = 0; r < R; r++) {
        a[r][0] = _mm256_loadu_ps(acc[r] + at);
        a[r][1] = _mm256_loadu_ps(acc[r] + at + 8);
    }
    for (int j = 0; j < n_pos; j++) {
        __m256 v0 = _mm256_loadu_ps(v + (size_t)j * (size_t)head_dim + at);
        __m256 v1 = _mm256_loadu_ps(v + (size_t)j * (size_t)head_dim + at + 8);
        for (int r = 0; r < R; r++) {
            __m256 x = _mm256_broadcast_ss(p + r * STE_KV_BLOCK + j);
            a[r][0] = _mm256_fmadd_ps(x, v0, a[r][0]);
            a[r][1] = _mm256_fmadd_ps(x, v1, a[r][1]);
        }
    }
    for (int r = 0; r < R; r++) {
        _mm256_storeu_ps(acc[r] + at, a[r][0]);
        _mm256_storeu_ps(acc[r] + at + 8, a[r][1]);
    }
}

#define EACH_TILE(n, call)                                                                                             \
    for (int r = 0; r < (n); r += 6) {                                                                                 \
        switch ((n)-r) {                                                                                               \
        case 1:                                                                                                        \
            call(1);                                                                                                   \
            break;                                                                                                     \
        case 2:                                                                                                        \
            call(2);                                                                                                   \
            break;                                                                                                     \
        case 3:                                                                                                        \
            call(3);                                                                                                   \
            break;                                                                                                     \
        case 4:                                                                                                        \
            call(4);                                                                                                   \
            break;                                                                                                     \
        case 5:                                                                                                        \
            call(5);                                                                                                   \
            break;                                                                                                     \
        default:                                                                                                       \
            call(6);                                                                                                   \
            break;                                                                                                     \
        }                                                                                                              \
    }

#include "engine/attention_body.h"

const struct ste_attn_kernels ste_attn_avx2 = {scores, mix};
#else
typedef int ste_attention_avx2_not_built;
#endif
