/*
 * The k-quants: 256 weights in sub-blocks whose scales (and minima) are integers of 6 or 8 bits times the block's own.
 * Of each sub-block the scales near its largest weight are tried, with least squares for what the rounded integers
 * leave open; then the integers of the scales beside the nearest, since rounding them shifts the best; then the block's
 * own scales by least squares over all of its weights.
 */
#include "model/quantize_k.h"

#include <math.h>
#include <string.h>

enum { TRIES = 24 }; /* side by side, so that compilers make vectors of them */

/* Weights are about a * q + c. */
struct line {
    float a, c;
};

static float between(float x, float lo, float hi)
{
    x = x > lo ? x : lo;
    return x < hi ? x : hi;
}

static float nearest(float x) /* below 2^22 */
{
    return x + 0x1.8p23f - 0x1.8p23f;
}

/* Sums over weights x that were rounded to integers q: of 1, q, q q, x, x q, x x. */
struct sums {
    float one, q, qq, x, xq, xx;
};

/* The line through integers with S, c at most 0, and what is left of the squares; a 0: none. */
static struct line solve(const struct sums *s, bool with_c, float *left)
{
    struct line l = {0, 0};
    const float det = s->one * s->qq - s->q * s->q;
    *left = INFINITY;
    if (with_c && det > 0)
        l = (struct line){(s->one * s->xq - s->x * s->q) / det, (s->qq * s->x - s->q * s->xq) / det};
    if (!with_c || l.c > 0 || !(det > 0))
        l = (struct line){s->qq > 0 ? s->xq / s->qq : 0, 0};
    if (l.a != 0)
        *left = s->xx - l.a * s->xq - l.c * s->x;
    return l;
}

/* N weights at X as integers from LOW to TOP, of which START is the one at 0: scales of which the largest in size is
 * about TOP or LOW. */
static struct line fit(const float *x, int n, int low, int top, float start, const float inverse[TRIES], bool with_c)
{
    float q[TRIES] = {0}, qq[TRIES] = {0}, xq[TRIES] = {0}, least = INFINITY, left;
    struct sums s = {.one = (float)n};
    struct line best = {0, 0};
    for (int j = 0; j < n; j++) {
        s.x += x[j];
        s.xx += x[j] * x[j];
        for (int t = 0; t < TRIES; t++) {
            const float r = nearest(between((x[j] - start) * inverse[t], (float)low, (float)top));
            q[t] += r;
            qq[t] += r * r;
            xq[t] += x[j] * r;
        }
    }
    for (int t = 0; t < TRIES; t++) {
        s.q = q[t];
        s.qq = qq[t];
        s.xq = xq[t];
        const struct line l = solve(&s, with_c, &left);
        if (left < least) {
            least = left;
            best = l;
        }
    }
    for (int again = 0; again < 2 && best.a != 0; again++) {
        const float by = 1 / best.a;
        s.q = s.qq = s.xq = 0;
        for (int j = 0; j < n; j++) {
            const float r = nearest(between((x[j] - best.c) * by, (float)low, (float)top));
            s.q += r;
            s.qq += r * r;
            s.xq += x[j] * r;
        }
        const struct line l = solve(&s, with_c, &left);
        if (!(left < least))
            break;
        least = left;
        best = l;
    }
    return best;
}

/* The one of N lines with the least error over COUNT weights; N up to LANES, which is a constant. */
static inline int best_of(const int lanes, const struct line *l, int n, const float *x, int count, int low, int top)
{
    float a[TRIES] = {0}, c[TRIES] = {0}, inverse[TRIES] = {0}, error[TRIES] = {0};
    for (int t = 0; t < n; t++) {
        a[t] = l[t].a;
        c[t] = l[t].c;
        inverse[t] = a[t] != 0 ? 1 / a[t] : 0;
    }
    for (int j = 0; j < count; j++)
        for (int t = 0; t < lanes; t++) {
            const float r = nearest(between((x[j] - c[t]) * inverse[t], (float)low, (float)top)),
                        e = a[t] * r + c[t] - x[j];
            error[t] += e * e;
        }
    int best = 0;
    for (int t = 1; t < n; t++)
        if (error[t] < error[best])
            best = t;
    return best;
}

/* N weights, a multiple of 8, as the nearest integers on line L; returned are the errors' squares. */
static float set_integers(const float *x, int n, struct line l, int low, int top, int *q)
{
    const float inverse = l.a != 0 ? 1 / l.a : 0;
    float error[8] = {0}, sum = 0;
    for (int i = 0; i < n; i += 8)
        for (int j = 0; j < 8; j++) {
            const float r = nearest(between((x[i + j] - l.c) * inverse, (float)low, (float)top)),
                        e = l.a * r + l.c - x[i + j];
            q[i + j] = (int)r;
            error[j] += e * e;
        }
    for (int j = 0; j < 8; j++)
        sum += error[j];
    return sum;
}

/* ---- a scale and a minimum for 32: Q4_K, Q5_K ---- */

struct k_block {
    uint16_t d, dmin;
    int scale[8], min[8], q[256];
};

static struct line line_of(float d, float dmin, int scale, int min)
{
    return (struct line){d * (float)scale, -(dmin * (float)min)};
}

static void fit_lines(const float *x, int top, struct line lines[8])
{
    for (int j = 0; j < 8; j++, x += 32) {
        float lo = 0, hi = 0, inverse[TRIES];
        for (int i = 0; i < 32; i++) {
            lo = x[i] < lo ? x[i] : lo;
            hi = x[i] > hi ? x[i] : hi;
        }
        for (int t = 0; t < TRIES; t++)
            inverse[t] = hi > lo ? ((float)top - 1.2f + 0.1f * (float)t) / (hi - lo) : 0;
        lines[j] = fit(x, 32, 0, top, lo, inverse, true);
        if (lines[j].a == 0)
            lines[j] = (struct line){(hi - lo) / (float)top, lo};
    }
}

/* The block's scales for all of its integers, by least squares. */
static void fit_block_scales(const float *x, struct k_block *b)
{
    float uu = 0, uv = 0, vv = 0, ux = 0, vx = 0;
    for (int j = 0; j < 256; j++) {
        const float u = (float)(b->scale[j / 32] * b->q[j]), v = (float)-b->min[j / 32];
        uu += u * u;
        uv += u * v;
        vv += v * v;
        ux += u * x[j];
        vx += v * x[j];
    }
    const float det = uu * vv - uv * uv;
    if (!(det > 0.001f * uu * vv)) {
        if (uu > 0 && !(vv > 0))
            b->d = ste_f32_to_f16(ux / uu);
        return;
    }
    const float d = (ux * vv - vx * uv) / det, dmin = (vx * uu - ux * uv) / det;
    if (d > 0 && dmin > 0) {
        b->d = ste_f32_to_f16(d);
        b->dmin = ste_f32_to_f16(dmin);
    }
}

static float set_block(const float *x, int top, struct k_block *b)
{
    const float d = ste_f16_to_f32(b->d), dmin = ste_f16_to_f32(b->dmin);
    float error = 0;
    for (int j = 0; j < 8; j++) {
        error += set_integers(x + 32 * j, 32, line_of(d, dmin, b->scale[j], b->min[j]), 0, top, b->q + 32 * j);
    }
    return error;
}

static void quantize_k(const float *x, int top, struct k_block *b)
{
    float d = 0, dmin = 0;
    struct line lines[8];
    fit_lines(x, top, lines);
    for (int j = 0; j < 8; j++) {
        d = lines[j].a > d ? lines[j].a : d;
        dmin = -lines[j].c > dmin ? -lines[j].c : dmin;
    }
    b->d = ste_f32_to_f16(d / 63);
    b->dmin = ste_f32_to_f16(dmin / 63);
    d = ste_f16_to_f32(b->d);
    dmin = ste_f16_to_f32(b->dmin);
    for (int j = 0; j < 8; j++) {
        const float scale = d > 0 ? lines[j].a / d : 0, min = dmin > 0 ? -lines[j].c / dmin : 0;
        int scales[9], mins[9];
        struct line beside[9];
        for (int t = 0; t < 9; t++) {
            scales[t] = (int)between(nearest(scale) + (float)(t % 3 - 1), 0, 63);
            mins[t] = (int)between(nearest(min) + (float)(t / 3 - 1), 0, 63);
            beside[t] = line_of(d, dmin, scales[t], mins[t]);
        }
        const int best = best_of(12, beside, 9, x + 32 * j, 32, 0, top);
        b->scale[j] = scales[best];
        b->min[j] = mins[best];
    }
    const float error = set_block(x, top, b);
    struct k_block refined = *b;
    fit_block_scales(x, &refined);
    if (set_block(x, top, &refined) < error)
        *b = refined;
}

static void put_scales(const struct k_block *b, uint8_t packed[12])
{
    memset(packed, 0, 12);
    for (int j = 0; j < 4; j++) {
        packed[j] = (uint8_t)(b->scale[j] | b->scale[j + 4] >> 4 << 6);
        packed[j + 4] = (uint8_t)(b->min[j] | b->min[j + 4] >> 4 << 6);
        packed[j + 8] = (uint8_t)((b->scale[j + 4] & 15) | (b->min[j + 4] & 15) << 4);
    }
}

static void put_nibbles(const int *q, uint8_t qs[128])
{
    for (int j = 0; j < 128; j++) {
        const int *low = q + j / 32 * 64 + j % 32;
        qs[j] = (uint8_t)((low[0] & 15) | (low[32] & 15) << 4);
    }
}

void ste_quantize_q4_k(const float *x, void *dst, size_t n)
{
    struct ste_block_q4_k *to = dst;
    for (size_t i = 0; i < n / 256; i++, to++, x += 256) {
        struct k_block b;
        quantize_k(x, 15, &b);
        to->d = b.d;
        to->dmin = b.dmin;
        put_scales(&b, to->scales);
        put_nibbles(b.q, to->qs);
    }
}

void ste_quantize_q5_k(const float *x, void *dst, size_t n)
{
    struct ste_block_q5_k *to = dst;
    for (size_t i = 0; i < n / 256; i++, to++, x += 256) {
        struct k_block b;
        quantize_k(x, 31, &b);
        to->d = b.d;
        to->dmin = b.dmin;
        put_scales(&b, to->scales);
        put_nibbles(b.q, to->qs);
        memset(to->qh, 0, sizeof to->qh);
        for (int j = 0; j < 256; j++)
            to->qh[j % 32] |= (uint8_t)(b.q[j] >> 4 << j / 32);
    }
}

/* ---- a scale for 16: Q6_K ---- */

struct k16_block {
    uint16_t d;
    int scale[16], q[256];
};

static float set_block16(const float *x, struct k16_block *b)
{
    const float d = ste_f16_to_f32(b->d);
    float error = 0;
    for (int j = 0; j < 16; j++) {
        error += set_integers(x + 16 * j, 16, line_of(d, 0, b->scale[j], 0), -32, 31, b->q + 16 * j);
    }
    return error;
}

static void quantize_k16(const float *x, struct k16_block *b)
{
    float d = 0, a[16];
    for (int j = 0; j < 16; j++) {
        float most = 0, inverse[TRIES];
        const float *xj = x + 16 * j;
        for (int i = 0; i < 16; i++)
            most = fabsf(xj[i]) > fabsf(most) ? xj[i] : most;
        for (int t = 0; t < TRIES; t++)
            inverse[t] = most != 0 ? (-32 + 0.1f * (float)(t - TRIES / 2)) / most : 0;
        a[j] = fit(xj, 16, -32, 31, 0, inverse, false).a;
        if (a[j] == 0)
            a[j] = most / -32;
        d = fabsf(a[j]) > fabsf(d) ? a[j] : d;
    }
    b->d = ste_f32_to_f16(d / -128);
    d = ste_f16_to_f32(b->d);
    for (int j = 0; j < 16; j++) {
        int scales[3];
        struct line beside[3];
        for (int t = 0; t < 3; t++) {
            scales[t] = (int)between(nearest(d != 0 ? a[j] / d : 0) + (float)(t - 1), -128, 127);
            beside[t] = line_of(d, 0, scales[t], 0);
        }
        b->scale[j] = scales[best_of(4, beside, 3, x + 16 * j, 16, -32, 31)];
    }
    const float error = set_block16(x, b);
    struct k16_block refined = *b;
    float uu = 0, ux = 0;
    for (int j = 0; j < 256; j++) {
        const float u = (float)(b->scale[j / 16] * b->q[j]);
        uu += u * u;
        ux += u * x[j];
    }
    refined.d = ste_f32_to_f16(uu > 0 ? ux / uu : d);
    if (set_block16(x, &refined) < error)
        *b = refined;
}

void ste_quantize_q6_k(const float *x, void *dst, size_t n)
{
    struct ste_block_q6_k *to = dst;
    for (size_t i = 0; i < n / 256; i++, to++, x += 256) {
        struct k16_block b;
        quantize_k16(x, &b);
        memset(to, 0, sizeof *to);
        to->d = b.d;
        for (int j = 0; j < 16; j++)
            to->scales[j] = (int8_t)b.scale[j];
        for (int j = 0; j < 256; j++) {
            const int q = b.q[j] + 32, half = j / 128, in = j % 128;
            to->ql[half * 64 + in % 64] |= (uint8_t)((q & 15) << 4 * (in / 64));
            to->qh[half * 32 + in % 32] |= (uint8_t)(q >> 4 << 2 * (in / 32));
        }
    }
}
