#include "model/quantize.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "model/quantize_k.h"

#define PART 8192 /* weights to a part of the work: whole blocks of every type */

static void to_f32(const float *x, void *dst, size_t n)
{
    memcpy(dst, x, n * sizeof *x);
}

static void to_f16(const float *x, void *dst, size_t n)
{
    uint16_t *y = dst;
    for (size_t i = 0; i < n; i++)
        y[i] = ste_f32_to_f16(x[i]);
}

static void to_bf16(const float *x, void *dst, size_t n)
{
    uint16_t *y = dst;
    for (size_t i = 0; i < n; i++)
        y[i] = ste_f32_to_bf16(x[i]);
}

/* To the nearest integer, halves away from 0. */
static int nearest(float x)
{
    const float a = fabsf(x);
    int n = (int)a;
    n += a - (float)n >= 0.5f;
    return x < 0 ? -n : n;
}

static void to_q8_0(const float *x, void *dst, size_t n)
{
    struct ste_block_q8_0 *b = dst;
    for (size_t i = 0; i < n / 32; i++, b++, x += 32) {
        float most = 0;
        for (int j = 0; j < 32; j++)
            most = fabsf(x[j]) > most ? fabsf(x[j]) : most;
        const float d = most / 127, inverse = d > 0 ? 1 / d : 0;
        b->d = ste_f32_to_f16(d);
        for (int j = 0; j < 32; j++)
            b->qs[j] = (int8_t)nearest(x[j] * inverse);
    }
}

static int at_most(int n, int most)
{
    return n < most ? n : most;
}

/* The fifth bits of a block's weights, in order. */
static void put_high_bits(uint8_t qh[4], const int q[32])
{
    for (int i = 0; i < 4; i++) {
        qh[i] = 0;
        for (int j = 0; j < 8; j++)
            qh[i] |= (uint8_t)((q[8 * i + j] >> 4 & 1) << j);
    }
}

static void put_nibbles(uint8_t qs[16], const int q[32])
{
    for (int j = 0; j < 16; j++)
        qs[j] = (uint8_t)((q[j] & 15) | (q[j + 16] & 15) << 4);
}

/* 32 weights as D * (q - ZERO), q from 0 to 2 * ZERO - 1: the largest in size is d * -ZERO. Returned is D. */
static float around_zero(const float *x, int zero, int q[32])
{
    float most = 0, size = 0;
    for (int j = 0; j < 32; j++)
        if (fabsf(x[j]) > size) {
            size = fabsf(x[j]);
            most = x[j];
        }
    const float d = most / (float)-zero, inverse = d != 0 ? 1 / d : 0;
    for (int j = 0; j < 32; j++)
        q[j] = at_most((int)(x[j] * inverse + ((float)zero + 0.5f)), 2 * zero - 1);
    return d;
}

/* 32 weights as D * q + the least of them, q from 0 to TOP. */
static float above_least(const float *x, int top, int q[32], float *least)
{
    float lo = x[0], hi = x[0];
    for (int j = 1; j < 32; j++) {
        lo = x[j] < lo ? x[j] : lo;
        hi = x[j] > hi ? x[j] : hi;
    }
    const float d = (hi - lo) / (float)top, inverse = d > 0 ? 1 / d : 0;
    for (int j = 0; j < 32; j++)
        q[j] = at_most((int)((x[j] - lo) * inverse + 0.5f), top);
    *least = lo;
    return d;
}

static void to_q4_0(const float *x, void *dst, size_t n)
{
    struct ste_block_q4_0 *b = dst;
    int q[32];
    for (size_t i = 0; i < n / 32; i++, b++, x += 32) {
        b->d = ste_f32_to_f16(around_zero(x, 8, q));
        put_nibbles(b->qs, q);
    }
}

static void to_q4_1(const float *x, void *dst, size_t n)
{
    struct ste_block_q4_1 *b = dst;
    int q[32];
    for (size_t i = 0; i < n / 32; i++, b++, x += 32) {
        float least;
        b->d = ste_f32_to_f16(above_least(x, 15, q, &least));
        b->m = ste_f32_to_f16(least);
        put_nibbles(b->qs, q);
    }
}

static void to_q5_0(const float *x, void *dst, size_t n)
{
    struct ste_block_q5_0 *b = dst;
    int q[32];
    for (size_t i = 0; i < n / 32; i++, b++, x += 32) {
        b->d = ste_f32_to_f16(around_zero(x, 16, q));
        put_high_bits(b->qh, q);
        put_nibbles(b->qs, q);
    }
}

static void to_q5_1(const float *x, void *dst, size_t n)
{
    struct ste_block_q5_1 *b = dst;
    int q[32];
    for (size_t i = 0; i < n / 32; i++, b++, x += 32) {
        float least;
        b->d = ste_f32_to_f16(above_least(x, 31, q, &least));
        b->m = ste_f32_to_f16(least);
        put_high_bits(b->qh, q);
        put_nibbles(b->qs, q);
    }
}

static const struct writer {
    enum ste_type type;
    float most; /* the largest weight that surely has a finite value */
    void (*write)(const float *x, void *dst, size_t n);
} writers[] = {
    {STE_F32, 0x1.fffffep127f, to_f32},   {STE_F16, 65504, to_f16},
    {STE_BF16, 0x1.fep127f, to_bf16},     {STE_Q8_0, 65504, to_q8_0},
    {STE_Q4_0, 65504, to_q4_0},           {STE_Q4_1, 65504, to_q4_1},
    {STE_Q5_0, 65504, to_q5_0},           {STE_Q5_1, 65504, to_q5_1},
    {STE_Q4_K, 65504, ste_quantize_q4_k}, {STE_Q5_K, 65504, ste_quantize_q5_k},
    {STE_Q6_K, 65504, ste_quantize_q6_k},
};

static const struct writer *writer_of(enum ste_type t)
{
    for (size_t i = 0; i < sizeof writers / sizeof *writers; i++)
        if (writers[i].type == t)
            return &writers[i];
    return NULL;
}

bool ste_type_is_written(enum ste_type t)
{
    return writer_of(t) != NULL;
}

struct quantizing {
    const struct writer *w;
    const float *src;
    char *dst;
    size_t n;
    atomic_bool bad;
};

static void quantize_part(void *arg, int part)
{
    struct quantizing *q = arg;
    const size_t first = (size_t)part * PART, n = q->n - first < PART ? q->n - first : PART;
    const float *x = q->src + first;
    bool fits = true;
    for (size_t i = 0; i < n; i++)
        fits &= fabsf(x[i]) <= q->w->most; /* false for NaN */
    if (fits)
        q->w->write(x, q->dst + first / (size_t)ste_type_block(q->w->type) * ste_type_bytes(q->w->type), n);
    else
        atomic_store(&q->bad, true);
}

bool ste_quantize(enum ste_type t, const float *src, void *dst, size_t n, struct ste_pool *pool)
{
    struct quantizing q = {.w = writer_of(t), .src = src, .dst = dst, .n = n};
    ste_pool_run(pool, quantize_part, &q, (int)((n + PART - 1) / PART));
    return !atomic_load(&q.bad);
}
