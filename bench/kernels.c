/*
 * How fast the kernels are, and what share of the multipliers' peak that is.
 * ste-bench-kernels [THREADS [OUT IN [ISA [TYPE]]]]
 * ste-bench-kernels --limits THREADS: only what the machine allows, as JSON
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/mem.h"
#include "engine/cpu/kernels.h"

/* One thread's own time: other load on the machine then counts less. */
static clockid_t the_clock = CLOCK_MONOTONIC;

static double now(void)
{
    struct timespec t;
    clock_gettime(the_clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

#if defined(__x86_64__)
#include <immintrin.h>
#define PEAK_LOOPS 4000000
__attribute__((target("avx2,fma"))) static void peak_f32(void *arg, int part)
{
    __m256 a[12], x = _mm256_set1_ps(0.999f), y = _mm256_set1_ps(0.001f);
    for (int i = 0; i < 12; i++)
        a[i] = _mm256_set1_ps((float)(i + part));
    for (long n = 0; n < PEAK_LOOPS; n++) {
#pragma GCC unroll 12
        for (int i = 0; i < 12; i++)
            a[i] = _mm256_fmadd_ps(a[i], x, y);
    }
    for (int i = 1; i < 12; i++)
        a[0] = _mm256_add_ps(a[0], a[i]);
    ((volatile float *)arg)[part] = _mm256_cvtss_f32(a[0]);
}

__attribute__((target("avx2"))) static void peak_i8(void *arg, int part)
{
    __m256i a[12], x = _mm256_set1_epi8((char)(part + 3)), y = _mm256_set1_epi8(1);
#pragma GCC unroll 12 /* or the sums stay in memory */
    for (int i = 0; i < 12; i++)
        a[i] = _mm256_set1_epi8((char)i);
    for (long n = 0; n < PEAK_LOOPS; n++) {
#pragma GCC unroll 12
        for (int i = 0; i < 12; i++) {
            __m256i product;
            __asm__ volatile("vpmaddubsw %3, %2, %1\n\tvpaddw %1, %0, %0" /* as it stands: not hoisted, not regrouped */
                             : "+x"(a[i]), "=&x"(product)
                             : "x"(x), "x"(y));
        }
    }
#pragma GCC unroll 12
    for (int i = 1; i < 12; i++)
        a[0] = _mm256_add_epi16(a[0], a[i]);
    ((volatile float *)arg)[part] = (float)_mm256_extract_epi16(a[0], 0);
}

__attribute__((target("avx512f"))) static void peak_f32_512(void *arg, int part)
{
    __m512 a[12], x = _mm512_set1_ps(0.999f), y = _mm512_set1_ps(0.001f);
    for (int i = 0; i < 12; i++)
        a[i] = _mm512_set1_ps((float)(i + part));
    for (long n = 0; n < PEAK_LOOPS; n++) {
#pragma GCC unroll 12
        for (int i = 0; i < 12; i++)
            a[i] = _mm512_fmadd_ps(a[i], x, y);
    }
    for (int i = 1; i < 12; i++)
        a[0] = _mm512_add_ps(a[0], a[i]);
    ((volatile float *)arg)[part] = _mm512_cvtss_f32(a[0]);
}

/* vpdpbusd on vectors of so many BITS, as it stands: not hoisted, not regrouped. */
#define PEAK_VNNI(name, sets, bits, vector, prefix, constraint, sum)                                                   \
    __attribute__((target(sets))) static void name(void *arg, int part)                                                \
    {                                                                                                                  \
        vector a[12], x = _mm##bits##_set1_epi8((char)(part + 3)), y = _mm##bits##_set1_epi8(1);                       \
        _Pragma("GCC unroll 12") for (int i = 0; i < 12; i++) a[i] = _mm##bits##_set1_epi32(i);                        \
        for (long n = 0; n < PEAK_LOOPS; n++) {                                                                        \
            _Pragma("GCC unroll 12") for (int i = 0; i < 12; i++) __asm__ volatile(                                    \
                prefix "vpdpbusd %2, %1, %0" : "+" constraint(a[i]) : constraint(x), constraint(y));                   \
        }                                                                                                              \
        _Pragma("GCC unroll 12") for (int i = 1; i < 12; i++) a[0] = _mm##bits##_add_epi32(a[0], a[i]);                \
        ((volatile float *)arg)[part] = (float)sum(a[0]);                                                              \
    }
#define FIRST_OF_8(a) _mm256_extract_epi32(a, 0)
PEAK_VNNI(peak_i8_512, "avx512f,avx512vnni", 512, __m512i, "", "v", _mm512_reduce_add_epi32)
PEAK_VNNI(peak_i8_vex, "avx2,avxvnni", 256, __m256i, "%{vex%} ", "x", FIRST_OF_8)

__attribute__((target("avx512f,avx512bf16"))) static void peak_pairs(void *arg, int part)
{
    __m512 a[12];
    const __m512i x = _mm512_set1_epi32(0x3c003c00), y = x; /* pairs of 1/128 */
    for (int i = 0; i < 12; i++)
        a[i] = _mm512_set1_ps((float)(i + part));
    for (long n = 0; n < PEAK_LOOPS; n++) {
#pragma GCC unroll 12
        for (int i = 0; i < 12; i++)
            a[i] = _mm512_dpbf16_ps(a[i], (__m512bh)x, (__m512bh)y);
    }
    for (int i = 1; i < 12; i++)
        a[0] = _mm512_add_ps(a[0], a[i]);
    ((volatile float *)arg)[part] = _mm512_cvtss_f32(a[0]);
}

/* Sums of 2 x 2 tiles, operands in registers: 16 x 16 x 32 products each. */
__attribute__((target("avx512f"))) static void peak_tiles(void *arg, int part)
{
    struct {
        uint8_t palette, start_row, reserved[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } config = {.palette = 1};
    float sums[16 * 16];
    for (int t = 0; t < 8; t++) {
        config.row_bytes[t] = 64;
        config.rows[t] = 16;
    }
    __asm__ volatile("ldtilecfg %0" : : "m"(config));
    for (long n = 0; n < PEAK_LOOPS / 16; n++)
        __asm__ volatile("tdpbf16ps %%tmm6, %%tmm4, %%tmm0\n\ttdpbf16ps %%tmm7, %%tmm4, %%tmm1\n\t"
                         "tdpbf16ps %%tmm6, %%tmm5, %%tmm2\n\ttdpbf16ps %%tmm7, %%tmm5, %%tmm3"
                         :
                         :);
    __asm__ volatile("tilestored %%tmm0, (%0,%1,1)\n\ttilerelease" : : "r"(sums), "r"(64L) : "memory");
    ((volatile float *)arg)[part] = sums[0];
}
#endif

static int parts_of(struct ste_pool *pool)
{
    return ste_pool_size(pool) < 64 ? ste_pool_size(pool) : 64;
}

/* The best of four runs of PARTS parts, in seconds. */
static double best_time(struct ste_pool *pool, void (*fn)(void *, int), void *arg, int parts)
{
    double best = 1e9;
    for (int i = 0; i < 4; i++) {
        double t = now();
        ste_pool_run(pool, fn, arg, parts);
        t = now() - t;
        best = t < best ? t : best;
    }
    return best;
}

static double peak(void (*fn)(void *, int), double ops, struct ste_pool *pool)
{
    static volatile float sink[64];
    const int threads = parts_of(pool);
    return ops * PEAK_LOOPS * 12 * threads / best_time(pool, fn, (void *)sink, threads) * 1e-9;
}

#define READ_BYTES ((size_t)512 << 20)

struct reading {
    const uint64_t *data;
    int parts;
    size_t ahead; /* what is fetched before it is read: machines differ in how far is best */
    volatile uint64_t sums[64];
};

static void read_part(void *arg, int part)
{
    struct reading *r = arg;
    const size_t n = READ_BYTES / sizeof *r->data / (size_t)r->parts;
    const uint64_t *p = r->data + (size_t)part * n;
    uint64_t s[8] = {0};
    for (size_t i = 0; i + 8 <= n; i += 8) {
        __builtin_prefetch(p + i + r->ahead);
        for (int k = 0; k < 8; k++)
            s[k] += p[i + (size_t)k];
    }
    r->sums[part] = s[0] + s[1] + s[2] + s[3] + s[4] + s[5] + s[6] + s[7];
}

/* Bytes a second that all threads read together. */
static double peak_read(struct ste_pool *pool)
{
    struct reading r = {.parts = parts_of(pool)};
    struct ste_err err = {0};
    void *data;
    if (ste_big_alloc(&data, READ_BYTES, "the memory test", &err)) {
        fprintf(stderr, "%s\n", err.msg);
        exit(1);
    }
    memset(data, 1, READ_BYTES);
    r.data = data;
    double best = 1e9;
    for (r.ahead = 128; r.ahead <= 2048; r.ahead *= 2) {
        const double t = best_time(pool, read_part, &r, r.parts);
        best = t < best ? t : best;
    }
    ste_big_free(data, READ_BYTES);
    return (double)READ_BYTES / best;
}

static struct ste_tensor tensor(enum ste_type type, int out, int in)
{
    const size_t n = (size_t)out * (size_t)in, blocks = n / (size_t)ste_type_block(type), size = ste_type_bytes(type);
    uint8_t *data = ste_xmalloc(blocks * size);
    uint32_t seed = 1;
    for (size_t i = 0; i < blocks * size; i++) {
        seed = seed * 1664525u + 1013904223u;
        data[i] = (uint8_t)(seed >> 24) & 0x3b; /* keeps f16 and f32 scales small */
    }
    return (struct ste_tensor){.name = ste_type_name(type),
                               .type = type,
                               .n_dims = 2,
                               .shape = {(uint64_t)in, (uint64_t)out, 1, 1},
                               .data = data,
                               .size = blocks * size};
}

/* The median of rounds of about 40 ms. */
#define TIME(call, seconds)                                                                                            \
    do {                                                                                                               \
        call;                                                                                                          \
        double rounds_[5], t_ = now();                                                                                 \
        call;                                                                                                          \
        const int n_ = 1 + (int)(0.04 / (now() - t_ + 1e-9));                                                          \
        for (int r_ = 0; r_ < 5; r_++) {                                                                               \
            t_ = now();                                                                                                \
            for (int i_ = 0; i_ < n_; i_++)                                                                            \
                call;                                                                                                  \
            rounds_[r_] = (now() - t_) / n_;                                                                           \
            for (int j_ = r_; j_ > 0 && rounds_[j_] < rounds_[j_ - 1]; j_--) {                                         \
                double swap_ = rounds_[j_];                                                                            \
                rounds_[j_] = rounds_[j_ - 1];                                                                         \
                rounds_[j_ - 1] = swap_;                                                                               \
            }                                                                                                          \
        }                                                                                                              \
        (seconds) = rounds_[2];                                                                                        \
    } while (0)

/* GFLOP/s and GOP/s of the multipliers with instruction set ISA; 0 where it is not known. */
static void peaks(enum ste_isa isa, struct ste_pool *pool, double *f32, double *int8, double *bf16)
{
    *f32 = *int8 = *bf16 = 0;
#if defined(__x86_64__)
    const bool wide = isa >= STE_ISA_AVX512;
    if (isa == STE_ISA_PORTABLE)
        return;
    *f32 = wide ? peak(peak_f32_512, 32, pool) : peak(peak_f32, 16, pool);
    *int8 = wide && __builtin_cpu_supports("avx512vnni") ? peak(peak_i8_512, 128, pool)
            : isa == STE_ISA_AVX_VNNI                    ? peak(peak_i8_vex, 64, pool)
                                                         : peak(peak_i8, 64, pool);
    if (isa == STE_ISA_AMX)
        *bf16 = peak(peak_tiles, 4 * 2 * 16 * 16 * 32 / 12.0 / 16, pool);
    else if (wide && __builtin_cpu_supports("avx512bf16"))
        *bf16 = peak(peak_pairs, 64, pool);
#endif
}

/* What the machine allows, as JSON: operations and bytes a second. */
static int limits(int threads)
{
    struct ste_err err = {0};
    enum ste_isa isa;
    double f32, int8, bf16;
    if (ste_isa_choose(NULL, &isa, &err)) {
        fprintf(stderr, "%s\n", err.msg);
        return 2;
    }
    struct ste_pool *pool = ste_pool_new(threads);
    peaks(isa, pool, &f32, &int8, &bf16);
    printf("{\"isa\": \"%s\", \"threads\": %d, \"f32\": %.4g, \"int8\": %.4g, \"bf16\": %.4g, \"read\": %.4g}\n",
           ste_isa_name(isa), threads, f32 * 1e9, int8 * 1e9, bf16 * 1e9, peak_read(pool));
    ste_pool_free(pool);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 2 && strcmp(argv[1], "--limits") == 0)
        return limits(atoi(argv[2]));
    static const enum ste_type types[] = {STE_Q4_1, STE_Q5_0,   STE_Q8_0,   STE_Q4_K,  STE_Q6_K, STE_Q2_K,
                                          STE_Q3_K, STE_IQ4_NL, STE_IQ4_XS, STE_MXFP4, STE_F32};
    static const int rows[] = {1, 2, 4, 8, 16, 64, 512};
    const int threads = argc > 1 ? atoi(argv[1]) : 1;
    const int out = argc > 3 ? atoi(argv[2]) : 4864, in = argc > 3 ? atoi(argv[3]) : 1024;
    struct ste_err err = {0};
    enum ste_isa isa;
    if (ste_isa_choose(argc > 4 ? argv[4] : NULL, &isa, &err)) {
        fprintf(stderr, "%s\n", err.msg);
        return 2;
    }
    struct ste_pool *pool = ste_pool_new(threads);
    if (threads == 1)
        the_clock = CLOCK_THREAD_CPUTIME_ID;
    double f32, i8, bf16;
    peaks(isa, pool, &f32, &i8, &bf16);
    printf("%s, %d threads, W (%d, %d); peak: f32 %.0f GFLOP/s, int8 %.0f GOP/s, bf16 %.0f GFLOP/s\n",
           ste_isa_name(isa), threads, out, in, f32, i8, bf16);
    const enum ste_activations pairs = isa == STE_ISA_AMX ? STE_ACT_BF16 : STE_ACT_BF16_DOT;
    const int most = rows[sizeof rows / sizeof *rows - 1];
    float *x = ste_xcalloc((size_t)most * (size_t)in, sizeof *x),
          *y = ste_xcalloc((size_t)most * (size_t)out, sizeof *y);
    for (int i = 0; i < most * in; i++)
        x[i] = sinf((float)i);
    printf("%-6s %5s %10s %6s %10s %6s %10s %6s %10s %6s %10s %10s %8s\n", "type", "rows", "f32 G/s", "share",
           "int8 G/s", "share", "g128 G/s", "share", "bf16 G/s", "share", "back G/s", "in bf16", "f32 GB/s");
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (argc > 5 && strcmp(ste_type_name(types[i]), argv[5]) != 0)
            continue;
        struct ste_tensor t = tensor(types[i], out, in);
        struct ste_matrix *w;
        if (ste_matrix_pack(&w, &t, isa, pool, &err)) {
            fprintf(stderr, "%s\n", err.msg);
            return 1;
        }
        for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
            const int m = rows[r];
            const double ops = 2.0 * m * out * in * 1e-9;
            double a, b = 0, c = 0, d = 0, e = 0, g = 0;
            TIME(ste_matrix_mul(w, STE_ACT_F32, x, (size_t)in, m, NULL, y, (size_t)out, pool), a);
            if (types[i] != STE_F32)
                TIME(ste_matrix_mul(w, STE_ACT_INT8, x, (size_t)in, m, NULL, y, (size_t)out, pool), b);
            if (ste_type_block(types[i]) == 256 && types[i] != STE_IQ4_XS)
                TIME(ste_matrix_mul(w, STE_ACT_INT8_G128, x, (size_t)in, m, NULL, y, (size_t)out, pool), g);
            if (types[i] != STE_F32 && bf16 > 0)
                TIME(ste_matrix_mul(w, pairs, x, (size_t)in, m, NULL, y, (size_t)out, pool), d);
            if (m >= 64)
                TIME(ste_matrix_mul_back(w, STE_ACT_F32, y, (size_t)out, m, x, (size_t)in, false, pool), c);
            if (m >= 64 && types[i] != STE_F32 && bf16 > 0)
                TIME(ste_matrix_mul_back(w, pairs, y, (size_t)out, m, x, (size_t)in, false, pool), e);
            for (int j = 0; c > 0 && j < most * in; j++)
                x[j] = sinf((float)j);
            printf("%-6s %5d %10.1f %5.0f%% %10.1f %5.0f%% %10.1f %5.0f%% %10.1f %5.0f%% %10.1f %10.1f %8.1f\n", t.name,
                   m, ops / a, f32 > 0 ? ops / a / f32 * 100 : 0, b > 0 ? ops / b : 0,
                   b > 0 && i8 > 0 ? ops / b / i8 * 100 : 0, g > 0 ? ops / g : 0,
                   g > 0 && i8 > 0 ? ops / g / i8 * 100 : 0, d > 0 ? ops / d : 0,
                   d > 0 && bf16 > 0 ? ops / d / bf16 * 100 : 0, c > 0 ? ops / c : 0, e > 0 ? ops / e : 0,
                   (double)ste_matrix_bytes(w) / a * 1e-9);
            fflush(stdout);
        }
        ste_matrix_free(w);
        free((void *)t.data);
    }
    static const struct {
        int m, n, k;
        bool ta, tb;
        const char *what;
    } shapes[] = {{2048, 16, 896, false, true, "X . A^T"},   {2048, 4864, 16, false, true, "H . B^T"},
                  {2048, 16, 4864, false, false, "dY . B"},  {2048, 896, 16, false, false, "dH . A"},
                  {16, 896, 2048, true, false, "dH^T . X"},  {4864, 16, 2048, true, false, "dY^T . H"},
                  {1024, 1024, 1024, false, false, "plain"}, {1024, 1024, 1024, true, true, "both turned"},
                  {512, 512, 64, false, true, "attention"}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const int m = shapes[i].m, n = shapes[i].n, k = shapes[i].k;
        float *a = ste_xcalloc((size_t)m * (size_t)k, 4), *b = ste_xcalloc((size_t)n * (size_t)k, 4);
        float *c = ste_xcalloc((size_t)m * (size_t)n, 4);
        double s;
        TIME(ste_gemm(isa, shapes[i].ta, shapes[i].tb, m, n, k, 1, a, (size_t)(shapes[i].ta ? m : k), b,
                      (size_t)(shapes[i].tb ? k : n), 0, c, (size_t)n, pool),
             s);
        const double g = 2.0 * m * n * k / s * 1e-9;
        printf("gemm %-12s %5d x %5d x %5d %8.1f GFLOP/s %3.0f%%\n", shapes[i].what, m, n, k, g,
               f32 > 0 ? g / f32 * 100 : 0);
        free(a);
        free(b);
        free(c);
    }
    free(x);
    free(y);
    ste_pool_free(pool);
    return 0;
}
