/* Packed matrices of every weight type against products in double; the same bits whatever rows, threads and set. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/mem.h"
#include "engine/cpu/kernels.h"

static const enum ste_type types[] = {STE_F32,  STE_F16,    STE_BF16,   STE_Q4_0, STE_Q4_1, STE_Q5_0,
                                      STE_Q5_1, STE_Q8_0,   STE_Q4_K,   STE_Q5_K, STE_Q6_K, STE_Q2_K,
                                      STE_Q3_K, STE_IQ4_NL, STE_IQ4_XS, STE_MXFP4};
#define N_TYPES (sizeof types / sizeof *types)

static uint64_t state = 88172645463325252u;

static uint32_t next(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 20);
}

static float uniform(void)
{
    return (float)(next() % 200001) / 100000.0f - 1;
}

static float *floats(size_t n)
{
    float *x = ste_xmalloc(n * sizeof *x);
    for (size_t i = 0; i < n; i++)
        x[i] = uniform();
    return x;
}

/* Random bits everywhere, but for the f16 scales, which are kept to sensible sizes. */
static struct ste_tensor random_tensor(enum ste_type type, int out, int in)
{
    const size_t n = (size_t)out * (size_t)in, blocks = n / (size_t)ste_type_block(type), size = ste_type_bytes(type);
    uint8_t *data = ste_xmalloc(blocks * size);
    for (size_t i = 0; i < blocks * size; i++)
        data[i] = (uint8_t)next();
    for (size_t b = 0; b < blocks; b++) {
        uint8_t *p = data + b * size;
        uint16_t h = ste_f32_to_f16(uniform() * 0.1f), m = ste_f32_to_f16(uniform() * 0.1f);
        float f = uniform();
        uint32_t bits;
        memcpy(&bits, &f, 4);
        switch (type) {
        case STE_F32:
            memcpy(p, &f, 4);
            break;
        case STE_BF16:
            bits >>= 16;
            memcpy(p, &bits, 2);
            break;
        case STE_Q3_K:
        case STE_Q6_K:
            memcpy(p + size - 2, &h, 2);
            break;
        case STE_Q2_K:
            memcpy(p + size - 4, &h, 2);
            memcpy(p + size - 2, &m, 2);
            break;
        case STE_MXFP4:
            *p = (uint8_t)(118 + next() % 8);
            break;
        case STE_Q4_1:
        case STE_Q5_1:
        case STE_Q4_K:
        case STE_Q5_K:
            memcpy(p + 2, &m, 2);
            memcpy(p, &h, 2);
            break;
        default:
            memcpy(p, &h, 2);
        }
    }
    return (struct ste_tensor){.name = ste_type_name(type),
                               .type = type,
                               .n_dims = 2,
                               .shape = {(uint64_t)in, (uint64_t)out, 1, 1},
                               .data = data,
                               .size = blocks * size};
}

static struct ste_matrix *pack(const struct ste_tensor *t, enum ste_isa isa, struct ste_pool *pool)
{
    struct ste_matrix *w;
    struct ste_err err = {0};
    if (ste_matrix_pack(&w, t, isa, pool, &err))
        fail_msg("%s", err.msg);
    return w;
}

static bool have(enum ste_isa isa)
{
    enum ste_isa got;
    return ste_isa_choose(ste_isa_name(isa), &got, NULL) == 0;
}

static float *dequantized(const struct ste_tensor *t)
{
    const size_t n = t->shape[0] * t->shape[1];
    float *w = ste_xmalloc(n * sizeof *w);
    ste_dequantize(t->type, t->data, w, n);
    return w;
}

static void same_bits(const float *a, const float *b, size_t n, const char *what, const char *type)
{
    for (size_t i = 0; i < n; i++)
        if (memcmp(a + i, b + i, sizeof *a) != 0)
            fail_msg("%s, %s: element %zu is %.9g, not %.9g", type, what, i, (double)a[i], (double)b[i]);
}

static void test_rows_are_exact(void **s)
{
    (void)s;
    for (size_t i = 0; i < N_TYPES; i++) {
        const int out = 37, in = 512;
        struct ste_tensor t = random_tensor(types[i], out, in);
        struct ste_matrix *w = pack(&t, STE_ISA_PORTABLE, NULL);
        float *want = dequantized(&t), row[512];
        assert_int_equal(ste_matrix_out(w), out);
        assert_int_equal(ste_matrix_in(w), in);
        for (int r = 0; r < out; r++) {
            ste_matrix_row(w, r, row);
            for (int k = 0; k < in; k++)
                if (!(row[k] == want[r * in + k]))
                    fail_msg("%s (%d, %d): %.9g, not %.9g", t.name, r, k, (double)row[k], (double)want[r * in + k]);
        }
        free(want);
        ste_matrix_free(w);
        free((void *)t.data);
    }
}

/* What the kernels see of W is exactly W: X is the unit matrix. */
static void test_expansion_is_exact(void **s)
{
    (void)s;
    const int out = 21, in = 256;
    float *unit = ste_xcalloc((size_t)in * in, sizeof *unit), *y = ste_xmalloc((size_t)in * out * sizeof *y);
    for (int i = 0; i < in; i++)
        unit[i * in + i] = 1;
    for (enum ste_isa isa = STE_ISA_PORTABLE; isa <= STE_ISA_AMX; isa++) {
        if (!have(isa))
            continue;
        for (size_t i = 0; i < N_TYPES; i++) {
            struct ste_tensor t = random_tensor(types[i], out, in);
            struct ste_matrix *w = pack(&t, isa, NULL);
            float *want = dequantized(&t);
            ste_matrix_mul(w, STE_ACT_F32, unit, (size_t)in, in, NULL, y, (size_t)out, NULL);
            for (int k = 0; k < in; k++)
                for (int r = 0; r < out; r++)
                    if (!(y[k * out + r] == want[r * in + k]))
                        fail_msg("%s on %s (%d, %d): %.9g, not %.9g", t.name, ste_isa_name(isa), r, k,
                                 (double)y[k * out + r], (double)want[r * in + k]);
            free(want);
            ste_matrix_free(w);
            free((void *)t.data);
        }
    }
    free(unit);
    free(y);
}

/* The activations as the integer path sees them. */
static void round_to_bytes(float *x, size_t n, size_t group)
{
    for (size_t b = 0; b < n; b += group) {
        float top = 0;
        for (size_t i = b; i < b + group; i++)
            top = fabsf(x[i]) > top ? fabsf(x[i]) : top;
        for (size_t i = b; i < b + group; i++)
            x[i] = top > 0 ? rintf(x[i] * (127.0f / top)) * (top / 127.0f) : 0;
    }
}

/* The nearest numbers of 8 significant bits, ties to even. */
static void round_to_bf16(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int e;
        const float fraction = frexpf(x[i], &e); /* of 1/2 to 1 */
        x[i] = ldexpf(rintf(ldexpf(fraction, 8)), e - 8);
    }
}

/* Inputs of T's X with one scale. */
static size_t group_of(enum ste_activations act, enum ste_type type)
{
    return ste_type_block(type) < 256 || type == STE_IQ4_XS || act == STE_ACT_INT8 ? 32
           : act == STE_ACT_INT8_G64                                               ? 64
                                                                                   : 128;
}

/* Of 8 bits, and next to the true one. */
static bool plain_bf16(enum ste_activations act)
{
    return act == STE_ACT_BF16 || act == STE_ACT_BF16_DOT;
}

static bool bf16_of(float y, float w, float most)
{
    float rounded = y;
    int e;
    round_to_bf16(&rounded, 1);
    frexpf(w, &e);
    return rounded == y && fabsf(y - w) <= ldexpf(0.67f, e - 8) + 1e-6f * most;
}

/* W as the path of ACT sees it, which is what the unit matrix brings out. */
static void weights_as_seen(enum ste_activations act, const struct ste_tensor *t, float *w)
{
    const size_t in = t->shape[0], out = t->shape[1], block = (size_t)ste_type_block(t->type);
    struct ste_matrix *m = pack(t, STE_ISA_PORTABLE, NULL);
    float *unit = ste_xcalloc(in, sizeof *unit), *y = ste_xmalloc(out * sizeof *y), most = 0,
          *top = ste_xcalloc(out * in / block, sizeof *top);
    double mean = 0;
    for (size_t i = 0; i < in * out; i++) {
        most = fmaxf(most, fabsf(w[i]));
        top[i / block] = fmaxf(top[i / block], fabsf(w[i]));
    }
    for (size_t k = 0; k < in; k++) {
        unit[k] = 1;
        ste_matrix_mul(m, act, unit, in, 1, NULL, y, out, NULL);
        unit[k] = 0;
        for (size_t o = 0; o < out; o++) {
            float *true_w = w + o * in + k;
            const float step = top[(o * in + k) / block] / 127; /* its scale allows for what the block might hold */
            if (plain_bf16(act) ? !bf16_of(y[o], *true_w, most) : !(fabsf(y[o] - *true_w) <= step))
                fail_msg("%s (%zu, %zu): %.9g for %.9g", t->name, o, k, (double)y[o], (double)*true_w);
            mean += plain_bf16(act) ? 0 : (double)((y[o] - *true_w) / step) / (double)(in * out);
            *true_w = y[o];
        }
    }
    assert_true(fabs(mean) < 0.01);
    free(unit);
    free(y);
    free(top);
    ste_matrix_free(m);
}

/* Y = X W^T + bias against sums in double; ROWS[i] alone equals row i of all; sets and threads make no difference. */
static void check_products(enum ste_activations act)
{
    const int out = 75, in = 1536, m = 203;
    const int counts[] = {1, 2, 3, 4, 5, 7, 13, 64, 193};
    struct ste_pool *pools[] = {ste_pool_new(2), ste_pool_new(3)};
    const size_t ldx = (size_t)in + 5, ldy = (size_t)out + 3;
    float *x = floats((size_t)m * ldx), *bias = floats((size_t)out),
          *seen = ste_xmemdup(x, (size_t)m * ldx * sizeof *x);
    float *first = ste_xcalloc((size_t)m * ldy, sizeof *first), *y = ste_xcalloc((size_t)m * ldy, sizeof *y);
    for (size_t i = 0; i < N_TYPES; i++) {
        struct ste_tensor t = random_tensor(types[i], out, in);
        float *wd = dequantized(&t);
        const bool quantized = ste_type_block(t.type) > 1, integers = ste_activations_are_int8(act) && quantized,
                   as_it_is = t.type == STE_BF16 && act != STE_ACT_F32 && act != STE_ACT_BF16X3,
                   bf16 = as_it_is || (plain_bf16(act) && quantized);
        for (int r = 0; r < m; r++) {
            memcpy(seen + (size_t)r * ldx, x + (size_t)r * ldx, (size_t)in * sizeof *x);
            if (integers)
                round_to_bytes(seen + (size_t)r * ldx, (size_t)in, group_of(act, t.type));
            else if (bf16)
                round_to_bf16(seen + (size_t)r * ldx, (size_t)in);
        }
        if ((bf16 && quantized) || (integers && group_of(act, t.type) > 32))
            weights_as_seen(act, &t, wd);
        struct ste_matrix *w = NULL;
        bool done = false;
        for (int isa = STE_ISA_AMX; isa >= STE_ISA_PORTABLE; isa--) {
            if (!have((enum ste_isa)isa))
                continue;
            ste_matrix_free(w);
            w = pack(&t, (enum ste_isa)isa, NULL);
            float *to = done ? y : first;
            ste_matrix_mul(w, act, x, ldx, m, bias, to, ldy, NULL);
            if (done)
                for (int r = 0; r < m; r++)
                    same_bits(y + (size_t)r * ldy, first + (size_t)r * ldy, (size_t)out,
                              ste_isa_name((enum ste_isa)isa), t.name);
            if (isa == STE_ISA_PORTABLE && done)
                break; /* too slow for the rest */
            done = true;
            for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
                int at = (int)(next() % (uint32_t)(m - counts[c] + 1));
                struct ste_pool *pool = c % 3 ? pools[c % 3 - 1] : NULL;
                ste_matrix_mul(w, act, x + (size_t)at * ldx, ldx, counts[c], bias, y, ldy, pool);
                for (int r = 0; r < counts[c]; r++)
                    same_bits(y + (size_t)r * ldy, first + (size_t)(at + r) * ldy, (size_t)out, "fewer rows", t.name);
            }
        }
        for (int r = 0; r < m; r += 3)
            for (int o = 0; o < out; o++) {
                double want = (double)bias[o], size = fabs(want);
                for (int k = 0; k < in; k++) {
                    double p = (double)seen[(size_t)r * ldx + (size_t)k] * (double)wd[o * in + k];
                    want += p;
                    size += fabs(p);
                }
                double got = (double)first[(size_t)r * ldy + (size_t)o];
                /* the integer path's rounded activations are d * q in one product more */
                if (!(fabs(got - want) <= (act == STE_ACT_BF16X3 && quantized ? 0x1p-15 : 4e-6) * size))
                    fail_msg("%s (%d, %d): %.9g, not %.9g", t.name, r, o, got, want);
            }
        ste_matrix_free(w);
        free(wd);
        free((void *)t.data);
    }
    free(x);
    free(seen);
    free(bias);
    free(first);
    free(y);
    ste_pool_free(pools[0]);
    ste_pool_free(pools[1]);
}

static void test_products(void **s)
{
    (void)s;
    check_products(STE_ACT_F32);
}

static void test_integer_products(void **s)
{
    (void)s;
    check_products(STE_ACT_INT8);
}

static void test_grouped_products(void **s)
{
    (void)s;
    check_products(STE_ACT_INT8_G128);
    check_products(STE_ACT_INT8_G64);
}

static void test_bf16_products(void **s)
{
    (void)s;
    check_products(STE_ACT_BF16);
    check_products(STE_ACT_BF16_DOT);
}

static void test_split_products(void **s)
{
    (void)s;
    check_products(STE_ACT_BF16X3);
}

/* Whether byte J of a block belongs to its scales. */
static bool is_scale(enum ste_type type, size_t j)
{
    switch (type) {
    case STE_Q2_K:
        return j < 16 || j >= 80;
    case STE_Q3_K:
        return j >= 96;
    case STE_Q6_K:
        return j >= 192;
    case STE_IQ4_XS:
        return j < 8;
    case STE_MXFP4:
        return j < 1;
    case STE_Q4_0:
    case STE_Q5_0:
    case STE_Q8_0:
    case STE_IQ4_NL:
        return j < 2;
    default:
        return j < 4;
    }
}

/* The largest sums that the 16-bit accumulators may meet. */
static void test_integer_extremes(void **s)
{
    (void)s;
    const int out = 16, in = 256;
    float x[2 * 256], y[2 * 16], want[2 * 16];
    for (int k = 0; k < in; k++) {
        x[k] = 127;
        x[in + k] = -127;
    }
    for (size_t i = 0; i < N_TYPES; i++) {
        if (ste_type_block(types[i]) == 1)
            continue;
        for (int fill = 0; fill < 256; fill += 255) {
            struct ste_tensor t = random_tensor(types[i], out, in);
            uint8_t *data = (uint8_t *)t.data;
            const size_t size = ste_type_bytes(t.type);
            for (size_t b = 0; b < t.size / size; b++)
                for (size_t j = 0; j < size; j++) {
                    if (!is_scale(t.type, j))
                        data[b * size + j] = (uint8_t)(t.type == STE_Q8_0 && fill ? 127
                                                       : t.type == STE_Q8_0       ? 128
                                                                                  : fill);
                }
            for (int grouped = 0; grouped < 2; grouped++) {
                bool done = false;
                for (enum ste_isa isa = STE_ISA_PORTABLE; isa <= STE_ISA_AMX; isa++) {
                    if (!have(isa))
                        continue;
                    struct ste_matrix *w = pack(&t, isa, NULL);
                    ste_matrix_mul(w, grouped ? STE_ACT_INT8_G128 : STE_ACT_INT8, x, (size_t)in, 2, NULL,
                                   done ? y : want, (size_t)out, NULL);
                    if (done)
                        same_bits(y, want, 2 * (size_t)out, ste_isa_name(isa), t.name);
                    done = true;
                    ste_matrix_free(w);
                }
            }
            free(data);
        }
    }
}

static void product_of(const struct ste_inputs *in, const struct ste_matrix *w, int m, float *y, struct ste_pool *pool)
{
    const size_t out = (size_t)ste_matrix_out(w);
    memset(y, 0, (size_t)m * out * sizeof *y);
    ste_inputs_mul(in, &(struct ste_product){w, NULL, y, out}, 1, pool);
}

/* Products that share X, two of which are gated and rounded on the way: what the same gives step by step. */
static void test_gated_products(void **s)
{
    (void)s;
    enum { WIDTH = 256, FF = 768, OUT = 80, M = 508 };
    static const int counts[] = {1, 3, 7, 203, M};
    static const enum ste_type kinds[][3] = {{STE_Q4_K, STE_Q4_K, STE_Q6_K},
                                             {STE_Q5_0, STE_Q5_0, STE_Q4_K},
                                             {STE_Q4_K, STE_Q8_0, STE_Q5_0},
                                             {STE_Q3_K, STE_Q2_K, STE_IQ4_XS}};
    float *x = floats((size_t)M * WIDTH), *gate = floats((size_t)M * FF), *up = floats((size_t)M * FF),
          *want = floats((size_t)M * OUT), *y = floats((size_t)M * OUT);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct ste_tensor t[] = {random_tensor(kinds[i][0], FF, WIDTH), random_tensor(kinds[i][1], FF, WIDTH),
                                 random_tensor(kinds[i][2], OUT, FF)};
        for (enum ste_isa isa = STE_ISA_PORTABLE; isa <= STE_ISA_AVX512; isa++) {
            if (!have(isa))
                continue;
            struct ste_pool *pool = ste_pool_new(2);
            struct ste_matrix *w[] = {pack(&t[0], isa, NULL), pack(&t[1], isa, NULL), pack(&t[2], isa, NULL)};
            struct ste_inputs *in = ste_inputs_new(), *next = ste_inputs_new();
            for (size_t c = 0; c < 2 * sizeof counts / sizeof *counts; c++) {
                const int m = counts[c / 2];
                const enum ste_activations act = c % 2 ? STE_ACT_INT8_G128 : STE_ACT_INT8,
                                           act_down = m == M ? act : ste_activations_of(act, STE_DOWN);
                if (m == M && (isa != STE_ISA_PORTABLE || act == STE_ACT_INT8 || i != 0))
                    continue; /* many rows whose results go in groups of 128: cut so that a group has room */
                const struct ste_product pair[] = {{w[0], NULL, gate, FF}, {w[1], NULL, up, FF}},
                                         down = {w[2], NULL, NULL, OUT};
                ste_inputs_begin(in, pair, 2, act, x, WIDTH, m);
                ste_inputs_round(in, 0, m, 0, WIDTH);
                ste_inputs_begin(next, &down, 1, act_down, NULL, 0, m);
                assert_true(ste_inputs_gate(in, pair, STE_GATE_SILU, next, pool));
                product_of(next, w[2], m, y, pool);
                ste_inputs_mul(in, pair, 2, pool);
                for (int r = 0; r < m; r++)
                    ste_ops_of(isa)->gate(STE_GATE_SILU, gate + r * FF, gate + r * FF, up + r * FF, FF);
                ste_inputs_begin(next, &down, 1, act_down, gate, FF, m);
                const int half = FF / 2 / ste_inputs_columns(next) * ste_inputs_columns(next);
                ste_inputs_round(next, 0, m, half, FF - half); /* in any order of parts */
                ste_inputs_round(next, 0, m, 0, half);
                product_of(next, w[2], m, want, NULL);
                same_bits(y, want, (size_t)m * OUT, "gated", t[2].name);
            }
            for (int k = 0; k < 3; k++)
                ste_matrix_free(w[k]);
            ste_inputs_free(in);
            ste_inputs_free(next);
            ste_pool_free(pool);
        }
        for (int k = 0; k < 3; k++)
            free((void *)t[k].data);
    }
    free(x);
    free(gate);
    free(up);
    free(want);
    free(y);
}

static void check_backward(enum ste_activations act, double bound)
{
    const int out = 300, in = 512, m = 67;
    struct ste_pool *pool = ste_pool_new(3);
    float *dy = floats((size_t)m * out), *base = floats((size_t)m * in);
    float *first = ste_xmalloc((size_t)m * in * sizeof *first), *dx = ste_xmalloc((size_t)m * in * sizeof *dx);
    for (size_t i = 0; i < N_TYPES; i++) {
        struct ste_tensor t = random_tensor(types[i], out, in);
        float *wd = dequantized(&t);
        const bool quantized = ste_type_block(t.type) > 1;
        bool done = false;
        for (int isa = STE_ISA_AMX; isa >= STE_ISA_PORTABLE; isa--) {
            if (!have((enum ste_isa)isa))
                continue;
            struct ste_matrix *w = pack(&t, (enum ste_isa)isa, pool);
            float *to = done ? dx : first;
            memcpy(to, base, (size_t)m * in * sizeof *to);
            ste_matrix_mul_back(w, act, dy, (size_t)out, m, to, (size_t)in, true, done ? NULL : pool);
            if (done)
                same_bits(dx, first, (size_t)m * in, ste_isa_name((enum ste_isa)isa), t.name);
            done = true;
            ste_matrix_mul_back(w, act, dy + 5 * out, (size_t)out, 1, dx, (size_t)in, false, NULL);
            for (int k = 0; k < in; k++) {
                double want = 0, size = fabs((double)base[5 * in + k]);
                for (int o = 0; o < out; o++) {
                    double p = (double)dy[5 * out + o] * (double)wd[o * in + k];
                    want += p;
                    size += fabs(p);
                }
                assert_true(fabs((double)dx[k] - want) <= (quantized ? bound : 2e-6) * size);
                want += (double)base[5 * in + k];
                assert_true(fabs((double)first[5 * in + k] - want) <= (quantized ? bound : 2e-6) * size);
            }
            ste_matrix_free(w);
        }
        free(wd);
        free((void *)t.data);
    }
    free(dy);
    free(base);
    free(first);
    free(dx);
    ste_pool_free(pool);
}

static void test_backward(void **s)
{
    (void)s;
    check_backward(STE_ACT_F32, 2e-6);
}

/* Both factors are cut to 8 bits: at most 2^-9 and 2/3 of 2^-7 of each product. */
static void test_bf16_backward(void **s)
{
    (void)s;
    check_backward(STE_ACT_BF16, 0x1p-9 + 0x1p-7 * 2 / 3);
    check_backward(STE_ACT_BF16_DOT, 0x1p-9 + 0x1p-7 * 2 / 3);
}

static void test_split_backward(void **s)
{
    (void)s;
    check_backward(STE_ACT_BF16X3, 0x1p-15);
}

/* f32 matrices may have any width. */
static void test_odd_shapes(void **s)
{
    (void)s;
    for (enum ste_isa isa = STE_ISA_PORTABLE; isa <= STE_ISA_AMX; isa++) {
        if (!have(isa))
            continue;
        for (int in = 1; in < 40; in += 3) {
            const int out = 1 + (in * 7) % 35, m = 1 + in % 5;
            struct ste_tensor t = random_tensor(STE_F32, out, in);
            const float *wd = t.data;
            struct ste_matrix *w = pack(&t, isa, NULL);
            float *x = floats((size_t)(m * in)), y[5 * 35], back[5 * 40];
            ste_matrix_mul(w, STE_ACT_F32, x, (size_t)in, m, NULL, y, (size_t)out, NULL);
            ste_matrix_mul_back(w, STE_ACT_F32, y, (size_t)out, m, back, (size_t)in, false, NULL);
            for (int r = 0; r < m; r++)
                for (int o = 0; o < out; o++) {
                    double want = 0;
                    for (int k = 0; k < in; k++)
                        want += (double)x[r * in + k] * (double)wd[o * in + k];
                    assert_true(fabs((double)y[r * out + o] - want) < 1e-4);
                }
            for (int r = 0; r < m; r++)
                for (int k = 0; k < in; k++) {
                    double want = 0;
                    for (int o = 0; o < out; o++)
                        want += (double)y[r * out + o] * (double)wd[o * in + k];
                    assert_true(fabs((double)back[r * in + k] - want) < 1e-3);
                }
            free(x);
            ste_matrix_free(w);
            free((void *)t.data);
        }
    }
}

static void test_refusals(void **s)
{
    (void)s;
    struct ste_tensor t = random_tensor(STE_Q4_K, 4, 512);
    struct ste_matrix *w;
    struct ste_err err = {0};
    t.size -= 1;
    assert_int_equal(ste_matrix_pack(&w, &t, STE_ISA_PORTABLE, NULL, &err), STE_EINPUT);
    assert_null(w);
    assert_non_null(strstr(err.msg, "shorter"));
    t.shape[0] = 500;
    assert_int_equal(ste_matrix_pack(&w, &t, STE_ISA_PORTABLE, NULL, &err), STE_EINPUT);
    t.type = (enum ste_type)77;
    assert_int_equal(ste_matrix_pack(&w, &t, STE_ISA_PORTABLE, NULL, &err), STE_EINPUT);
    enum ste_isa isa;
    assert_int_equal(ste_isa_choose("sse9", &isa, &err), STE_EUSAGE);
    assert_int_equal(ste_isa_choose(NULL, &isa, &err), 0);
    free((void *)t.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_are_exact),   cmocka_unit_test(test_expansion_is_exact),
        cmocka_unit_test(test_products),         cmocka_unit_test(test_integer_products),
        cmocka_unit_test(test_grouped_products), cmocka_unit_test(test_gated_products),
        cmocka_unit_test(test_bf16_products),    cmocka_unit_test(test_split_products),
        cmocka_unit_test(test_bf16_backward),    cmocka_unit_test(test_split_backward),
        cmocka_unit_test(test_integer_extremes), cmocka_unit_test(test_backward),
        cmocka_unit_test(test_odd_shapes),       cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
