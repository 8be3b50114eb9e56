#include "model/quant.h"

#include <assert.h>
#include <string.h>

static_assert(sizeof(struct ste_block_q4_0) == 18, "q4_0");
static_assert(sizeof(struct ste_block_q4_1) == 20, "q4_1");
static_assert(sizeof(struct ste_block_q5_0) == 22, "q5_0");
static_assert(sizeof(struct ste_block_q5_1) == 24, "q5_1");
static_assert(sizeof(struct ste_block_q8_0) == 34, "q8_0");
static_assert(sizeof(struct ste_block_q2_k) == 84, "q2_k");
static_assert(sizeof(struct ste_block_q3_k) == 110, "q3_k");
static_assert(sizeof(struct ste_block_q4_k) == 144, "q4_k");
static_assert(sizeof(struct ste_block_q5_k) == 176, "q5_k");
static_assert(sizeof(struct ste_block_q6_k) == 210, "q6_k");
static_assert(sizeof(struct ste_block_iq4_nl) == 18, "iq4_nl");
static_assert(sizeof(struct ste_block_iq4_xs) == 136, "iq4_xs");
static_assert(sizeof(struct ste_block_mxfp4) == 17, "mxfp4");

struct type_info {
    const char *name;
    int block;
    size_t bytes;
};

static const struct type_info types[] = {
    [STE_F32] = {"F32", 1, 4},
    [STE_F16] = {"F16", 1, 2},
    [STE_BF16] = {"BF16", 1, 2},
    [STE_Q4_0] = {"Q4_0", 32, sizeof(struct ste_block_q4_0)},
    [STE_Q4_1] = {"Q4_1", 32, sizeof(struct ste_block_q4_1)},
    [STE_Q5_0] = {"Q5_0", 32, sizeof(struct ste_block_q5_0)},
    [STE_Q5_1] = {"Q5_1", 32, sizeof(struct ste_block_q5_1)},
    [STE_Q8_0] = {"Q8_0", 32, sizeof(struct ste_block_q8_0)},
    [STE_Q2_K] = {"Q2_K", 256, sizeof(struct ste_block_q2_k)},
    [STE_Q3_K] = {"Q3_K", 256, sizeof(struct ste_block_q3_k)},
    [STE_Q4_K] = {"Q4_K", 256, sizeof(struct ste_block_q4_k)},
    [STE_Q5_K] = {"Q5_K", 256, sizeof(struct ste_block_q5_k)},
    [STE_Q6_K] = {"Q6_K", 256, sizeof(struct ste_block_q6_k)},
    [STE_IQ4_NL] = {"IQ4_NL", 32, sizeof(struct ste_block_iq4_nl)},
    [STE_IQ4_XS] = {"IQ4_XS", 256, sizeof(struct ste_block_iq4_xs)},
    [STE_MXFP4] = {"MXFP4", 32, sizeof(struct ste_block_mxfp4)},
};

static const struct type_info *info(enum ste_type t)
{
    static const struct type_info none;
    return (unsigned)t < sizeof types / sizeof *types ? &types[t] : &none;
}

const char *ste_type_name(enum ste_type t)
{
    return info(t)->name;
}

int ste_type_block(enum ste_type t)
{
    return info(t)->block;
}

size_t ste_type_bytes(enum ste_type t)
{
    return info(t)->bytes;
}

const char *ste_type_unread_name(uint32_t t)
{
    static const char *const names[] = {
        [9] = "Q8_1",   [15] = "Q8_K",  [16] = "IQ2_XXS", [17] = "IQ2_XS", [18] = "IQ3_XXS",
        [19] = "IQ1_S", [21] = "IQ3_S", [22] = "IQ2_S",   [24] = "I8",     [25] = "I16",
        [26] = "I32",   [27] = "I64",   [28] = "F64",     [29] = "IQ1_M",  [34] = "TQ1_0",
        [35] = "TQ2_0", [40] = "NVFP4", [41] = "Q1_0",    [42] = "Q2_0"};
    return t < sizeof names / sizeof *names ? names[t] : NULL;
}

static float float_of_bits(uint32_t u)
{
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

static uint32_t bits_of_float(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

float ste_f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 31, fraction = h & 0x3FF;
    if (exponent == 31)
        return float_of_bits(sign | 0x7F800000 | fraction << 13);
    if (exponent)
        return float_of_bits(sign | (exponent + 112) << 23 | fraction << 13);
    float f = (float)fraction * 0x1p-24f; /* zero or subnormal: exact */
    return float_of_bits(sign | bits_of_float(f));
}

uint16_t ste_f32_to_f16(float f)
{
    uint32_t u = bits_of_float(f), a = u & 0x7FFFFFFF;
    uint16_t sign = (uint16_t)(u >> 16 & 0x8000);
    if (a > 0x7F800000) /* NaN: keep what fits of the payload, and keep it a NaN */
        return (uint16_t)(sign | 0x7C00 | (a >> 13 & 0x3FF) | ((a >> 13 & 0x3FF) ? 0 : 0x200));
    if (a >= 0x477FF000) /* 65520 and more rounds to infinity */
        return (uint16_t)(sign | 0x7C00);
    if (a < 0x38800000) /* below 2^-14: adding 0.5 lets the FPU round at the subnormal's last bit, to even */
        return (uint16_t)(sign | (bits_of_float(float_of_bits(a) + 0.5f) - 0x3F000000));
    a += 0xFFF + (a >> 13 & 1);
    return (uint16_t)(sign | ((a - 0x38000000) >> 13));
}

uint16_t ste_f32_to_bf16(float f)
{
    uint32_t u = bits_of_float(f);
    if ((u & 0x7FFFFFFF) > 0x7F800000) /* NaN: stays one */
        return (uint16_t)(u >> 16 | 0x40);
    return (uint16_t)((u + 0x7FFF + (u >> 16 & 1)) >> 16);
}

static void q4_0(const void *src, float *y, size_t n)
{
    const struct ste_block_q4_0 *b = src;
    for (size_t i = 0; i < n / 32; i++, b++, y += 32) {
        float d = ste_f16_to_f32(b->d);
        for (int j = 0; j < 16; j++) {
            y[j] = (float)((b->qs[j] & 15) - 8) * d;
            y[j + 16] = (float)((b->qs[j] >> 4) - 8) * d;
        }
    }
}

static void q4_1(const void *src, float *y, size_t n)
{
    const struct ste_block_q4_1 *b = src;
    for (size_t i = 0; i < n / 32; i++, b++, y += 32) {
        float d = ste_f16_to_f32(b->d), m = ste_f16_to_f32(b->m);
        for (int j = 0; j < 16; j++) {
            y[j] = (float)(b->qs[j] & 15) * d + m;
            y[j + 16] = (float)(b->qs[j] >> 4) * d + m;
        }
    }
}

/* The fifth bit of weight j, in place. */
static int high_bit(const uint8_t qh[4], int j)
{
    return (qh[j >> 3] >> (j & 7) & 1) << 4;
}

static void q5_0(const void *src, float *y, size_t n)
{
    const struct ste_block_q5_0 *b = src;
    for (size_t i = 0; i < n / 32; i++, b++, y += 32) {
        float d = ste_f16_to_f32(b->d);
        for (int j = 0; j < 16; j++) {
            y[j] = (float)(((b->qs[j] & 15) | high_bit(b->qh, j)) - 16) * d;
            y[j + 16] = (float)((b->qs[j] >> 4 | high_bit(b->qh, j + 16)) - 16) * d;
        }
    }
}

static void q5_1(const void *src, float *y, size_t n)
{
    const struct ste_block_q5_1 *b = src;
    for (size_t i = 0; i < n / 32; i++, b++, y += 32) {
        float d = ste_f16_to_f32(b->d), m = ste_f16_to_f32(b->m);
        for (int j = 0; j < 16; j++) {
            y[j] = (float)((b->qs[j] & 15) | high_bit(b->qh, j)) * d + m;
            y[j + 16] = (float)(b->qs[j] >> 4 | high_bit(b->qh, j + 16)) * d + m;
        }
    }
}

static void q8_0(const void *src, float *y, size_t n)
{
    const struct ste_block_q8_0 *b = src;
    for (size_t i = 0; i < n / 32; i++, b++, y += 32) {
        float d = ste_f16_to_f32(b->d);
        for (int j = 0; j < 32; j++)
            y[j] = (float)b->qs[j] * d;
    }
}

/* Eight 6-bit scales and eight 6-bit minima in twelve bytes: the last four of each keep their top two bits above
 * the first four. */
void ste_k_scale_min(const uint8_t s[12], int j, int *scale, int *min)
{
    if (j < 4) {
        *scale = s[j] & 63;
        *min = s[j + 4] & 63;
    } else {
        *scale = (s[j + 4] & 15) | (s[j - 4] >> 6) << 4;
        *min = s[j + 4] >> 4 | (s[j] >> 6) << 4;
    }
}

/* Sixteen 6-bit scales in twelve bytes: four bits of each in the first eight, two in the last four. */
int ste_q3_k_scale(const uint8_t s[12], int j)
{
    return ((s[j % 8] >> (j < 8 ? 0 : 4) & 15) | (s[8 + j % 4] >> 2 * (j / 4) & 3) << 4) - 32;
}

int ste_iq4_xs_scale(const struct ste_block_iq4_xs *b, int j)
{
    return ((b->scales_l[j / 2] >> 4 * (j % 2) & 15) | (b->scales_h >> 2 * j & 3) << 4) - 32;
}

static void q2_k(const void *src, float *y, size_t n)
{
    const struct ste_block_q2_k *b = src;
    for (size_t i = 0; i < n / 256; i++, b++, y += 256) {
        float d = ste_f16_to_f32(b->d), dmin = ste_f16_to_f32(b->dmin);
        for (int j = 0; j < 256; j++) { /* 32 bytes hold 128 weights, two bits each, by fours of 32 */
            int q = b->qs[32 * (j / 128) + j % 32] >> 2 * (j / 32 % 4) & 3, s = b->scales[j / 16];
            y[j] = d * (float)(s & 15) * (float)q - dmin * (float)(s >> 4);
        }
    }
}

static void q3_k(const void *src, float *y, size_t n)
{
    const struct ste_block_q3_k *b = src;
    for (size_t i = 0; i < n / 256; i++, b++, y += 256) {
        float d = ste_f16_to_f32(b->d);
        for (int j = 0; j < 256; j++) { /* as Q2_K, and a third bit */
            int q = (b->qs[32 * (j / 128) + j % 32] >> 2 * (j / 32 % 4) & 3) | (b->hmask[j % 32] >> j / 32 & 1) << 2;
            y[j] = d * (float)ste_q3_k_scale(b->scales, j / 16) * (float)(q - 4);
        }
    }
}

const int8_t ste_iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
const int8_t ste_mxfp4_values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

float ste_mxfp4_scale(uint8_t e)
{
    return float_of_bits(e < 2 ? 0x00200000u << e : (uint32_t)(e - 1) << 23);
}

/* 32 weights D * values: the low nibbles, then the high ones. */
static void by_values(const int8_t values[16], float d, const uint8_t qs[16], float *y)
{
    for (int j = 0; j < 16; j++) {
        y[j] = d * (float)values[qs[j] & 15];
        y[j + 16] = d * (float)values[qs[j] >> 4];
    }
}

static void iq4_nl(const void *src, float *y, size_t n)
{
    const struct ste_block_iq4_nl *b = src;
    for (size_t i = 0; i < n / 32; i++, b++, y += 32)
        by_values(ste_iq4_values, ste_f16_to_f32(b->d), b->qs, y);
}

static void iq4_xs(const void *src, float *y, size_t n)
{
    const struct ste_block_iq4_xs *b = src;
    for (size_t i = 0; i < n / 256; i++, b++, y += 256)
        for (int j = 0; j < 8; j++)
            by_values(ste_iq4_values, ste_f16_to_f32(b->d) * (float)ste_iq4_xs_scale(b, j), b->qs + 16 * j, y + 32 * j);
}

static void mxfp4(const void *src, float *y, size_t n)
{
    const struct ste_block_mxfp4 *b = src;
    for (size_t i = 0; i < n / 32; i++, b++, y += 32)
        by_values(ste_mxfp4_values, ste_mxfp4_scale(b->e), b->qs, y);
}

static void q4_k(const void *src, float *y, size_t n)
{
    const struct ste_block_q4_k *b = src;
    for (size_t i = 0; i < n / 256; i++, b++, y += 256) {
        float d = ste_f16_to_f32(b->d), dmin = ste_f16_to_f32(b->dmin);
        for (int j = 0; j < 8; j++) { /* sub-block j: 32 low or high nibbles of 32 bytes */
            int scale, min;
            ste_k_scale_min(b->scales, j, &scale, &min);
            float ds = d * (float)scale, ms = dmin * (float)min;
            for (int l = 0; l < 32; l++)
                y[32 * j + l] = ds * (float)(b->qs[32 * (j / 2) + l] >> 4 * (j & 1) & 15) - ms;
        }
    }
}

static void q5_k(const void *src, float *y, size_t n)
{
    const struct ste_block_q5_k *b = src;
    for (size_t i = 0; i < n / 256; i++, b++, y += 256) {
        float d = ste_f16_to_f32(b->d), dmin = ste_f16_to_f32(b->dmin);
        for (int j = 0; j < 8; j++) {
            int scale, min;
            ste_k_scale_min(b->scales, j, &scale, &min);
            float ds = d * (float)scale, ms = dmin * (float)min;
            for (int l = 0; l < 32; l++) {
                int q = (b->qs[32 * (j / 2) + l] >> 4 * (j & 1) & 15) | (b->qh[l] >> j & 1) << 4;
                y[32 * j + l] = ds * (float)q - ms;
            }
        }
    }
}

static void q6_k(const void *src, float *y, size_t n)
{
    const struct ste_block_q6_k *b = src;
    for (size_t i = 0; i < n / 256; i++, b++, y += 256) {
        float d = ste_f16_to_f32(b->d);
        for (int j = 0; j < 8; j++) { /* 32 weights: nibbles from ql, two bits from qh, two scales */
            const uint8_t *ql = b->ql + 64 * (j / 4) + 32 * (j & 1), *qh = b->qh + 32 * (j / 4);
            for (int l = 0; l < 32; l++) {
                int q = (ql[l] >> (j & 2 ? 4 : 0) & 15) | (qh[l] >> 2 * (j & 3) & 3) << 4;
                float ds = d * (float)b->scales[2 * j + l / 16];
                y[32 * j + l] = ds * (float)(q - 32);
            }
        }
    }
}

void ste_dequantize(enum ste_type t, const void *src, float *dst, size_t n)
{
    switch (t) {
    case STE_F32:
        memcpy(dst, src, n * sizeof *dst);
        break;
    case STE_F16:
        for (size_t i = 0; i < n; i++)
            dst[i] = ste_f16_to_f32(((const uint16_t *)src)[i]);
        break;
    case STE_BF16:
        for (size_t i = 0; i < n; i++)
            dst[i] = float_of_bits((uint32_t)((const uint16_t *)src)[i] << 16);
        break;
    case STE_Q4_0:
        q4_0(src, dst, n);
        break;
    case STE_Q4_1:
        q4_1(src, dst, n);
        break;
    case STE_Q5_0:
        q5_0(src, dst, n);
        break;
    case STE_Q5_1:
        q5_1(src, dst, n);
        break;
    case STE_Q8_0:
        q8_0(src, dst, n);
        break;
    case STE_Q2_K:
        q2_k(src, dst, n);
        break;
    case STE_Q3_K:
        q3_k(src, dst, n);
        break;
    case STE_Q4_K:
        q4_k(src, dst, n);
        break;
    case STE_Q5_K:
        q5_k(src, dst, n);
        break;
    case STE_Q6_K:
        q6_k(src, dst, n);
        break;
    case STE_IQ4_NL:
        iq4_nl(src, dst, n);
        break;
    case STE_IQ4_XS:
        iq4_xs(src, dst, n);
        break;
    case STE_MXFP4:
        mxfp4(src, dst, n);
        break;
    }
}
