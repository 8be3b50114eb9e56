/* Products in a thread whose stack is small: what threads get unasked is 128 KB under musl and 512 KB on a Mac. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/mem.h"
#include "engine/cpu/kernels.h"

enum { ROWS = 64, IN = 256, OUT = 256, STACK = 128 << 10 };

struct work {
    enum ste_isa isa;
    enum ste_activations act;
    const struct ste_matrix *f32, *q8;
    float *x, *y;
};

static void *products(void *arg)
{
    const struct work *w = arg;
    ste_gemm(w->isa, true, true, ROWS, OUT, IN, 1, w->x, ROWS, w->x, IN, 0, w->y, OUT, NULL);
    ste_gemm(w->isa, false, false, ROWS, OUT, IN, 1, w->x, IN, w->x, OUT, 0, w->y, OUT, NULL);
    ste_matrix_mul(w->f32, w->act, w->x, IN, ROWS, NULL, w->y, OUT, NULL);
    ste_matrix_mul(w->q8, w->act, w->x, IN, ROWS, NULL, w->y, OUT, NULL);
    ste_matrix_mul_back(w->q8, w->act, w->y, OUT, ROWS, w->x, IN, false, NULL);
    if (ste_activations_are_int8(w->act)) {
        struct ste_inputs *in = ste_inputs_new(), *next = ste_inputs_new();
        const struct ste_product pair[2] = {{w->q8, NULL, NULL, 0}, {w->q8, NULL, NULL, 0}};
        ste_inputs_begin(in, pair, 2, w->act, w->x, IN, ROWS);
        ste_inputs_round(in, 0, ROWS, 0, IN);
        ste_inputs_begin(next, pair, 1, w->act, NULL, 0, ROWS);
        ste_inputs_gate(in, pair, STE_GATE_SILU, next, NULL);
        ste_inputs_free(in);
        ste_inputs_free(next);
    }
    return NULL;
}

static struct ste_matrix *packed(enum ste_type type, enum ste_isa isa, void *zeros)
{
    struct ste_matrix *m;
    struct ste_err err = {0};
    const struct ste_tensor t = {.name = "t",
                                 .type = type,
                                 .n_dims = 2,
                                 .shape = {IN, OUT, 1, 1},
                                 .data = zeros,
                                 .size = (size_t)IN * OUT / (size_t)ste_type_block(type) * ste_type_bytes(type)};
    assert_int_equal(ste_matrix_pack(&m, &t, isa, NULL, &err), 0);
    return m;
}

static void products_need_no_stack(void **state)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    skip(); /* there no two variables share a place, and a frame takes a megabyte */
#endif
    static const char *const sets[] = {"portable", "avx2", "avx-vnni", "avx512", "amx"};
    void *zeros = ste_xcalloc((size_t)IN * OUT, sizeof(float));
    struct work w = {.x = ste_xcalloc((size_t)IN * OUT, sizeof(float)),
                     .y = ste_xcalloc((size_t)IN * OUT, sizeof(float))};
    struct ste_err err;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    assert_int_equal(pthread_attr_setstacksize(&attr, STACK), 0);
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        if (ste_isa_choose(sets[i], &w.isa, &err))
            continue; /* not this machine's */
        struct ste_matrix *f32 = packed(STE_F32, w.isa, zeros), *q8 = packed(STE_Q8_0, w.isa, zeros);
        w.f32 = f32;
        w.q8 = q8;
        for (w.act = STE_ACT_F32; w.act <= STE_ACT_INT8_G64; w.act++) {
            pthread_t thread;
            assert_int_equal(pthread_create(&thread, &attr, products, &w), 0);
            pthread_join(thread, NULL);
        }
        ste_matrix_free(f32);
        ste_matrix_free(q8);
    }
    pthread_attr_destroy(&attr);
    free(zeros);
    free(w.x);
    free(w.y);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(products_need_no_stack)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
