/* Exact values of every weight type, against a fixture made by the gguf package (tests/interop/make_quant_fixtures.py).
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/file.h"
#include "core/mem.h"
#include "model/mix.h"
#include "model/quantize.h"

static void values_equal_the_fixture(void **state)
{
    struct ste_buf b = STE_BUF_INIT;
    assert_int_equal(ste_file_read(STE_SOURCE_DIR "/tests/fixtures/quant.bin", 1 << 20, &b, NULL), 0);
    size_t at = 0, types = 0;
    while (at < b.len) {
        uint32_t head[3];
        assert_true(at + sizeof head <= b.len);
        memcpy(head, b.s + at, sizeof head);
        at += sizeof head;
        enum ste_type t = (enum ste_type)head[0];
        size_t n = head[2];
        assert_non_null(ste_type_name(t));
        assert_true(at + head[1] + n * sizeof(float) <= b.len);
        assert_int_equal(n / (size_t)ste_type_block(t) * ste_type_bytes(t), head[1]);
        void *raw = ste_xmemdup(b.s + at, head[1]);
        at += head[1];
        float *got = ste_xmalloc(n * sizeof *got);
        ste_dequantize(t, raw, got, n);
        for (size_t i = 0; i < n; i++) {
            uint32_t want, have;
            memcpy(&want, b.s + at + i * sizeof want, sizeof want);
            memcpy(&have, &got[i], sizeof have);
            if (want != have)
                fail_msg("%s: weight %zu is %.9g (bits %08x), not bits %08x", ste_type_name(t), i, (double)got[i], have,
                         want);
        }
        at += n * sizeof(float);
        free(raw);
        free(got);
        types++;
    }
    assert_int_equal(types, 16);
    ste_buf_clear(&b);
}

/* Where the rule is one formula, ste writes the bytes that the gguf package writes. */
static void bytes_equal_the_fixture(void **state)
{
    struct ste_buf b = STE_BUF_INIT;
    assert_int_equal(ste_file_read(STE_SOURCE_DIR "/tests/fixtures/quantize.bin", 1 << 20, &b, NULL), 0);
    uint32_t n, head[2];
    memcpy(&n, b.s, sizeof n);
    const size_t floats = n * sizeof(float);
    float *x = ste_xmemdup(b.s + sizeof n, floats);
    struct ste_pool *pool = ste_pool_new(2);
    int types = 0;
    for (size_t at = sizeof n + floats; at < b.len; at += head[1], types++) {
        memcpy(head, b.s + at, sizeof head);
        at += sizeof head;
        const enum ste_type t = (enum ste_type)head[0];
        assert_true(ste_type_is_written(t));
        assert_int_equal(n / (size_t)ste_type_block(t) * ste_type_bytes(t), head[1]);
        uint8_t *got = ste_xmalloc(head[1]);
        assert_true(ste_quantize(t, x, got, n, pool));
        for (size_t i = 0; i < head[1]; i++)
            if (got[i] != (uint8_t)b.s[at + i])
                fail_msg("%s: byte %zu is %02x, not %02x", ste_type_name(t), i, got[i], (uint8_t)b.s[at + i]);
        free(got);
    }
    assert_int_equal(types, 8);
    free(x);
    ste_pool_free(pool);
    ste_buf_clear(&b);
}

static void what_is_not_finite_is_refused(void **state)
{
    enum { N = 1 << 16 };
    float *x = ste_xcalloc(N, sizeof *x);
    uint8_t *y = ste_xmalloc(N * sizeof *x);
    for (int t = 0; t < 64; t++) {
        if (!ste_type_is_written((enum ste_type)t))
            continue;
        static const float bad[] = {NAN, -NAN, INFINITY, -INFINITY, 65505, 1e30f};
        for (int i = 0; i < 6; i++) {
            x[N - 1] = bad[i];
            const bool wide = t == STE_F32 || t == STE_BF16;
            assert_int_equal(ste_quantize((enum ste_type)t, x, y, N, NULL), i > 3 && wide);
        }
        x[N - 1] = 65504;
        assert_true(ste_quantize((enum ste_type)t, x, y, N, NULL));
    }
    free(x);
    free(y);
}

static uint64_t seed = 88172645463325252u;

static float uniform(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (float)(seed >> 40) / (float)(1 << 24);
}

static float normal(void)
{
    float sum = 0;
    for (int i = 0; i < 12; i++)
        sum += uniform();
    return sum - 6;
}

static double rms_error(enum ste_type t, const float *x, size_t n, int threads)
{
    uint8_t *packed = ste_xmalloc(n * sizeof *x);
    float *y = ste_xmalloc(n * sizeof *y);
    struct ste_pool *pool = ste_pool_new(threads);
    double sum = 0;
    assert_true(ste_quantize(t, x, packed, n, pool));
    ste_dequantize(t, packed, y, n);
    for (size_t i = 0; i < n; i++) {
        assert_true(isfinite(y[i]));
        sum += ((double)y[i] - (double)x[i]) * ((double)y[i] - (double)x[i]);
    }
    ste_pool_free(pool);
    free(packed);
    free(y);
    return sqrt(sum / (double)n);
}

/* On weights as models have them: of the k-quants what ggml's own leave, of the others a little more than theirs do. */
static void errors_are_small(void **state)
{
    static const struct {
        enum ste_type type;
        double most;
    } bounds[] = {{STE_Q8_0, 0.0054}, {STE_Q4_0, 0.0865}, {STE_Q4_1, 0.079},  {STE_Q5_0, 0.043},
                  {STE_Q5_1, 0.0382}, {STE_Q4_K, 0.0705}, {STE_Q5_K, 0.0357}, {STE_Q6_K, 0.0175}};
    enum { N = 256 * 256 };
    float *x = ste_xmalloc(N * sizeof *x);
    for (int i = 0; i < N; i++)
        x[i] = normal() * 0.02f;
    for (size_t i = 0; i < sizeof bounds / sizeof *bounds; i++) {
        const double error = rms_error(bounds[i].type, x, N, 1) / 0.02;
        if (!(error <= bounds[i].most))
            fail_msg("%s: %.5f of a standard deviation", ste_type_name(bounds[i].type), error);
        assert_true(error == rms_error(bounds[i].type, x, N, 3) / 0.02);
    }
    free(x);
}

/* Blocks that no model should have: still close, by what a block's largest weight allows. */
static void odd_blocks_are_close(void **state)
{
    static const float scales[] = {1, 0, 65504, 1e-6f, 1e-20f, 1e-44f};
    float x[256];
    for (int t = 0; t < 64; t++) {
        const enum ste_type type = (enum ste_type)t;
        if (!ste_type_is_written(type) || ste_type_block(type) == 1)
            continue;
        for (int kind = 0; kind < 6; kind++)
            for (size_t k = 0; k < sizeof scales / sizeof *scales; k++) {
                for (int i = 0; i < 256; i++)
                    x[i] = scales[k] * (kind == 0   ? 1
                                        : kind == 1 ? -1
                                        : kind == 2 ? (float)(i == 77)
                                        : kind == 3 ? (float)(i % 2) * 2 - 1
                                        : kind == 4 ? uniform()
                                                    : (float)(i / 32 % 2) * normal() / 6);
                const double error = rms_error(type, x, 256, 1);
                if (!(error <= 0.1 * (double)scales[k] + 0x1p-24 * 255))
                    fail_msg("%s, kind %d of size %g: error %g", ste_type_name(type), kind, (double)scales[k], error);
            }
    }
}

static enum ste_type chosen(const char *mix, const char *name, int columns, int n_layers, bool tied)
{
    const struct ste_tensor t = {.name = name, .n_dims = 2, .shape = {(uint64_t)columns, 64, 1, 1}};
    return ste_mix_type(ste_mix_of(mix), &t, n_layers, tied);
}

static void mixes_give_each_tensor_its_type(void **state)
{
    assert_null(ste_mix_of("Q4"));
    assert_int_equal(ste_mix_of("q4_k")->file_type, 15);
    assert_int_equal(ste_mix_of("Q5_K")->file_type, 17);
    assert_int_equal(ste_mix_of("bf16")->type, STE_BF16);
    /* In 32 layers: 0-3, 28-31 and every third between. */
    static const int more[] = {0, 1, 2, 3, 6, 9, 12, 15, 18, 21, 24, 27, 28, 29, 30, 31};
    for (int i = 0, k = 0; i < 32; i++) {
        char v[32], down[32], q[32];
        const bool six = k < 16 && more[k] == i;
        k += six;
        snprintf(v, sizeof v, "blk.%d.attn_v.weight", i);
        snprintf(down, sizeof down, "blk.%d.ffn_down.weight", i);
        snprintf(q, sizeof q, "blk.%d.attn_q.weight", i);
        assert_int_equal(chosen("Q4_K_M", v, 4096, 32, false), six ? STE_Q6_K : STE_Q4_K);
        assert_int_equal(chosen("Q5_K_M", down, 4096, 32, false), six ? STE_Q6_K : STE_Q5_K);
        assert_int_equal(chosen("Q4_K_M", down, 4864 + 32, 32, false), six ? STE_Q8_0 : STE_Q5_0);
        assert_int_equal(chosen("Q4_K_S", v, 4096, 32, false), i < 4 ? STE_Q5_K : STE_Q4_K);
        assert_int_equal(chosen("Q4_K_S", down, 4096, 32, false), i < 4 ? STE_Q5_K : STE_Q4_K);
        assert_int_equal(chosen("Q4_K_M", q, 4096, 32, false), STE_Q4_K);
        assert_int_equal(chosen("Q6_K", v, 4096, 32, false), STE_Q6_K);
        assert_int_equal(chosen("Q5_K_S", v, 896, 32, false), STE_Q5_1);
    }
    assert_int_equal(chosen("Q4_K_M", "blk.0.attn_qkv.weight", 3072, 32, false), STE_Q5_K);
    assert_int_equal(chosen("Q4_K_M", "output.weight", 4096, 32, false), STE_Q6_K);
    assert_int_equal(chosen("Q4_0", "output.weight", 4096, 32, false), STE_Q6_K);
    assert_int_equal(chosen("Q8_0", "output.weight", 4096, 32, false), STE_Q8_0);
    assert_int_equal(chosen("Q4_K_M", "output.weight", 896, 32, false), STE_Q8_0);
    assert_int_equal(chosen("Q4_K_M", "token_embd.weight", 4096, 32, false), STE_Q4_K);
    assert_int_equal(chosen("Q4_K_M", "token_embd.weight", 4096, 32, true), STE_Q6_K);
    assert_int_equal(chosen("Q4_K_M", "token_embd.weight", 100, 32, true), STE_F16);
    assert_int_equal(chosen("F16", "output.weight", 100, 32, false), STE_F16);
    assert_int_equal(chosen("BF16", "output.weight", 100, 32, false), STE_BF16);
    assert_int_equal(chosen("Q8_0", "blk.0.attn_q_norm.weight", 64, 32, false), STE_F32);
    assert_int_equal(chosen("F16", "blk.0.attn_q.bias", 64, 32, false), STE_F32);
}

static void f16_round_trips(void **state)
{
    for (unsigned h = 0; h < 65536; h++) {
        float f = ste_f16_to_f32((uint16_t)h);
        unsigned back = ste_f32_to_f16(f);
        if (back != h)
            fail_msg("f16 %04x becomes %.9g becomes %04x", h, (double)f, back);
    }
}

/* Between two neighbours: the nearer one; in the middle: the even one. */
static void f16_rounds_to_nearest_even(void **state)
{
    for (unsigned h = 0; h < 0x7BFF; h++) {
        float lo = ste_f16_to_f32((uint16_t)h), hi = ste_f16_to_f32((uint16_t)(h + 1)), mid = (lo + hi) / 2;
        for (int s = 0; s < 2; s++) {
            unsigned sign = s ? 0x8000 : 0;
            float m = s ? -mid : mid;
            float less = mid, more = mid;
            uint32_t u;
            memcpy(&u, &mid, 4);
            u--;
            memcpy(&less, &u, 4);
            u += 2;
            memcpy(&more, &u, 4);
            assert_int_equal(ste_f32_to_f16(m), sign | (h & 1 ? h + 1 : h));
            assert_int_equal(ste_f32_to_f16(s ? -less : less), sign | h);
            assert_int_equal(ste_f32_to_f16(s ? -more : more), sign | (h + 1));
        }
    }
    assert_int_equal(ste_f32_to_f16(65519.0f), 0x7BFF);
    assert_int_equal(ste_f32_to_f16(65520.0f), 0x7C00);
    assert_int_equal(ste_f32_to_f16(-1e30f), 0xFC00);
    assert_int_equal(ste_f32_to_f16(0x1p-25f), 0);
    assert_int_equal(ste_f32_to_f16(0x1.8p-25f), 1);
    uint32_t nan = 0x7F800001;
    float f;
    memcpy(&f, &nan, 4);
    assert_true((ste_f32_to_f16(f) & 0x7FFF) > 0x7C00);
}

static void unknown_types_have_no_name(void **state)
{
    for (int t = -3; t < 100; t++) {
        bool known = t == 0 || t == 1 || t == 2 || t == 3 || (t >= 6 && t <= 8) || (t >= 10 && t <= 14) || t == 20 ||
                     t == 23 || t == 30 || t == 39;
        assert_int_equal(ste_type_name((enum ste_type)t) != NULL, known);
        assert_int_equal(ste_type_block((enum ste_type)t) > 0, known);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_equal_the_fixture),
        cmocka_unit_test(bytes_equal_the_fixture),
        cmocka_unit_test(what_is_not_finite_is_refused),
        cmocka_unit_test(errors_are_small),
        cmocka_unit_test(odd_blocks_are_close),
        cmocka_unit_test(mixes_give_each_tensor_its_type),
        cmocka_unit_test(f16_round_trips),
        cmocka_unit_test(f16_rounds_to_nearest_even),
        cmocka_unit_test(unknown_types_have_no_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
