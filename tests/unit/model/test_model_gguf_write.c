/* A GGUF that a program makes, written and read again; a model in parts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "gguf_writer.h"
#include "model/gguf.h"

static const float weights[8] = {1, -2, 3, -4, 5, -6, 7, -8};
static const uint8_t block[34] = {1, 2, 3}; /* of Q8_0 */

static struct ste_gguf *made(void)
{
    struct ste_gguf *g = ste_gguf_new("made");
    ste_gguf_set_string(g, "general.architecture", "llama", 5);
    ste_gguf_set_int(g, "count", 7);
    ste_gguf_set_int(g, "below", -7);
    ste_gguf_set_real(g, "eps", 0.5);
    ste_gguf_set_bool(g, "flag", true);
    ste_gguf_set_strings(g, "words", (const struct ste_str[]){{"a", 1}, {"", 0}, {"bcd", 3}}, 3);
    ste_gguf_set_ints(g, "numbers", (const int32_t[]){-1, 2}, 2);
    ste_gguf_set_reals(g, "scores", (const float[]){0.25f, -1}, 2);
    ste_gguf_set_int(g, "split.count", 3);
    ste_gguf_set_int(g, "count", 8); /* in the place of 7 */
    assert_int_equal(ste_gguf_add(g, "x", STE_F32, 2, (const uint64_t[]){4, 2}, weights, NULL), 0);
    assert_int_equal(ste_gguf_add(g, "late", STE_F32, 2, (const uint64_t[]){1, 3}, NULL, NULL), 0);
    assert_int_equal(ste_gguf_add(g, "q", STE_Q8_0, 1, (const uint64_t[]){32}, block, NULL), 0);
    return g;
}

static void check(const struct ste_gguf *g)
{
    int64_t i, *ints;
    double d;
    bool flag;
    struct ste_str s, *strs;
    uint64_t n;
    assert_true(ste_gguf_string(g, "general.architecture", &s) && s.n == 5 && !memcmp(s.s, "llama", 5));
    assert_true(ste_gguf_int(g, "count", &i) && i == 8);
    assert_true(ste_gguf_int(g, "below", &i) && i == -7);
    assert_true(ste_gguf_real(g, "eps", &d) && d == 0.5);
    assert_true(ste_gguf_bool(g, "flag", &flag) && flag);
    assert_true(ste_gguf_strings(g, "words", &strs, &n) && n == 3 && strs[1].n == 0 && !memcmp(strs[2].s, "bcd", 3));
    ste_xfree(strs);
    assert_true(ste_gguf_ints(g, "numbers", &ints, &n) && n == 2 && ints[0] == -1 && ints[1] == 2);
    ste_xfree(ints);
    assert_false(ste_gguf_int(g, "none", &i));
}

/* Row R of "late" is R + 1. */
static int rows(void *arg, const struct ste_tensor *t, uint64_t from, uint64_t n, void *out, struct ste_err *err)
{
    assert_string_equal(t->name, "late");
    for (uint64_t i = 0; i < n; i++)
        ((float *)out)[i] = (float)(from + i + 1);
    return *(int *)arg ? ste_err_set(err, STE_EFAIL, "no rows") : 0;
}

static void is_written_and_read_again(void **state)
{
    char *path = gw_temp("m.gguf");
    int fails = 0;
    struct ste_gguf *g = made(), *back, *copy = ste_gguf_new("copy");
    const struct ste_gguf_maker maker = {rows, &fails};
    struct ste_err err = {0};
    check(g);
    assert_int_equal(ste_gguf_write(g, path, &maker, NULL), 0);
    assert_int_equal(ste_gguf_open(&back, path, &err), STE_EINPUT); /* it says it has three parts */
    assert_non_null(strstr(err.msg, "part 1 of 3 of a model by its keys"));
    ste_gguf_copy_keys(copy, g);
    for (uint64_t i = 0; i < ste_gguf_n_tensors(g); i++) {
        const struct ste_tensor *t = ste_gguf_tensor_at(g, i);
        assert_int_equal(ste_gguf_add(copy, t->name, t->type, t->n_dims, t->shape, t->data, NULL), 0);
    }
    ste_gguf_close(g); /* the keys are copies */
    assert_int_equal(ste_gguf_write(copy, path, &maker, NULL), 0);
    ste_gguf_close(copy);
    assert_int_equal(ste_gguf_open(&back, path, &err), 0);
    check(back);
    const struct ste_tensor *x = ste_gguf_tensor(back, "x"), *late = ste_gguf_tensor(back, "late");
    assert_true(x && x->shape[0] == 4 && x->shape[1] == 2 && !memcmp(x->data, weights, sizeof weights));
    assert_true(late && !memcmp(late->data, (const float[]){1, 2, 3}, 12) && (uintptr_t)late->data % 32 == 0);
    assert_memory_equal(ste_gguf_tensor(back, "q")->data, block, sizeof block);
    ste_gguf_close(back);
    gw_temp_remove(path);
}

static void what_fails_leaves_no_file(void **state)
{
    char *path = gw_temp("m.gguf");
    struct ste_gguf *g = made();
    int fails = 1;
    struct ste_err err = {0};
    assert_int_equal(ste_gguf_write(g, path, &(const struct ste_gguf_maker){rows, &fails}, &err), STE_EFAIL);
    assert_false(ste_file_exists(path));
    ste_gguf_close(g);
    *strrchr(path, '/') = 0;
    assert_int_equal(rmdir(path), 0); /* which an empty folder alone allows */
    ste_xfree(path);
}

static void bad_tensors_are_refused(void **state)
{
    struct ste_gguf *g = made();
    struct ste_err err = {0};
    assert_int_equal(ste_gguf_add(g, "x", STE_F32, 1, (const uint64_t[]){4}, weights, &err), STE_EINPUT);
    assert_non_null(strstr(err.msg, "tensor 'x' twice"));
    assert_int_equal(ste_gguf_add(g, "y", STE_Q8_0, 1, (const uint64_t[]){33}, weights, &err), STE_EINPUT);
    assert_non_null(strstr(err.msg, "no multiple of Q8_0's block"));
    assert_int_equal(ste_gguf_add(g, "z", STE_F32, 1, (const uint64_t[]){0}, weights, &err), STE_EINPUT);
    assert_int_equal(ste_gguf_add(g, "z", STE_F32, 2, (const uint64_t[]){1ull << 62, 4}, weights, &err), STE_EINPUT);
    assert_int_equal(ste_gguf_n_tensors(g), 3);
    ste_gguf_close(g);
}

static void many_names_are_found(void **state)
{
    struct ste_gguf *g = ste_gguf_new("many");
    char name[32];
    int64_t v;
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "t%d", i);
        ste_gguf_set_int(g, name, i);
        assert_int_equal(ste_gguf_add(g, name, STE_F32, 1, (const uint64_t[]){8}, weights, NULL), 0);
    }
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "t%d", i);
        assert_true(ste_gguf_int(g, name, &v) && v == i);
        assert_ptr_equal(ste_gguf_tensor(g, name), ste_gguf_tensor_at(g, (uint64_t)i));
    }
    ste_gguf_close(g);
}

/* ---- parts ---- */

/* Part NO of COUNT, with the tensor NAME; the first has a key. */
static void write_part(const char *path, int no, int count, const char *name)
{
    struct ste_gguf *g = ste_gguf_new(path);
    if (!no)
        ste_gguf_set_string(g, "general.architecture", "llama", 5);
    ste_gguf_set_int(g, "split.no", no);
    ste_gguf_set_int(g, "split.count", count);
    ste_gguf_set_int(g, "split.tensors.count", count);
    assert_int_equal(ste_gguf_add(g, name, STE_F32, 1, (const uint64_t[]){8}, weights, NULL), 0);
    assert_int_equal(ste_gguf_write(g, path, NULL, NULL), 0);
    ste_gguf_close(g);
}

static void refused(const char *path, int code, const char *says)
{
    struct ste_err err = {0};
    struct ste_gguf *g;
    assert_int_equal(ste_gguf_open(&g, path, &err), code);
    if (!strstr(err.msg, says))
        fail_msg("'%s' does not say '%s'", err.msg, says);
}

static void parts_are_one(void **state)
{
    char *first = gw_temp("m-00001-of-00003.gguf"), *second = ste_gguf_part_path(first, 1),
         *third = ste_gguf_part_path(first, 2);
    struct ste_gguf *g;
    assert_null(ste_gguf_part_path(first, 3));
    assert_null(ste_gguf_part_path("m.gguf", 1));
    write_part(first, 0, 3, "a");
    write_part(second, 1, 3, "b");
    refused(first, STE_EIO, "-00001-of-00003.gguf has 3 parts: cannot open the model");
    write_part(third, 2, 3, "c");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(ste_gguf_open(&g, i ? third : first, NULL), 0);
        struct ste_str s;
        assert_true(ste_gguf_string(g, "general.architecture", &s));
        assert_int_equal(ste_gguf_n_tensors(g), 3);
        assert_memory_equal(ste_gguf_tensor(g, "c")->data, weights, sizeof weights);
        ste_gguf_drop_pages(g);
        assert_memory_equal(ste_gguf_tensor(g, "a")->data, weights, sizeof weights);
        ste_gguf_close(g);
    }
    write_part(third, 2, 3, "b");
    refused(first, STE_EINPUT, "tensor 'b' stands in another part too");
    write_part(third, 1, 3, "c");
    refused(first, STE_EINPUT, "is part 2 of 3 of a model by its keys");
    write_part(third, 2, 4, "c");
    refused(first, STE_EINPUT, "is part 3 of 4 of a model by its keys");
    unlink(second);
    unlink(third);
    gw_temp_remove(first);
    ste_xfree(second);
    ste_xfree(third);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_written_and_read_again),
        cmocka_unit_test(what_fails_leaves_no_file),
        cmocka_unit_test(bad_tensors_are_refused),
        cmocka_unit_test(many_names_are_found),
        cmocka_unit_test(parts_are_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
