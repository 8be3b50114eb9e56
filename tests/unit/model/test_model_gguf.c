/* The GGUF reader: right files, and every kind of wrong one. Run under the sanitizers to see that none reads astray. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "gguf_writer.h"
#include "model/gguf.h"

static const float weights[8] = {1, -2, 3, -4, 5, -6, 7, -8};

/* Keys of every kind, three tensors. */
static void small_file(struct ste_buf *out)
{
    struct gw w = {0};
    gw_key_str(&w, "general.architecture", "llama");
    gw_key_u32(&w, "count", 7);
    gw_key_f32(&w, "eps", 0.5f);
    gw_key(&w, "flag", 7);
    ste_buf_addc(&w.keys, 1);
    gw_key(&w, "i8", 1);
    ste_buf_addc(&w.keys, (char)-3);
    gw_key(&w, "u64", 10);
    gw_u64(&w.keys, UINT64_MAX);
    gw_key(&w, "f64", 12);
    ste_buf_add(&w.keys, &(double){0.25}, 8);
    gw_key_strs(&w, "words", (const char *const[]){"a", "", "bcd"}, 3);
    gw_key_i32s(&w, "numbers", (const int32_t[]){-1, 2}, 2);
    gw_tensor(&w, "x", 0, 2, (const uint64_t[]){4, 2}, weights, sizeof weights);
    gw_tensor(&w, "y", 8, 1, (const uint64_t[]){32}, NULL, 34);
    gw_tensor(&w, "z", 12, 1, (const uint64_t[]){256}, NULL, 144);
    gw_file(&w, out);
}

/* What any caller may do with a file that opened: all of it must be in bounds. */
static unsigned touch(const struct ste_gguf *g)
{
    unsigned sum = 0;
    for (uint64_t i = 0; i < ste_gguf_n_tensors(g); i++) {
        const struct ste_tensor *t = ste_gguf_tensor_at(g, i);
        assert_ptr_equal(ste_gguf_tensor(g, t->name), t);
        for (uint64_t k = 0; k < t->size; k++)
            sum += ((const uint8_t *)t->data)[k];
    }
    static const char *const keys[] = {
        "general.architecture", "count", "eps", "flag", "i8", "u64", "f64", "words", "numbers"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        int64_t n, *ints;
        double d;
        bool b;
        struct ste_str s, *strs;
        uint64_t len;
        sum += ste_gguf_int(g, keys[i], &n) + ste_gguf_real(g, keys[i], &d) + ste_gguf_bool(g, keys[i], &b);
        if (ste_gguf_string(g, keys[i], &s))
            for (uint64_t k = 0; k < s.n; k++)
                sum += (uint8_t)s.s[k];
        if (ste_gguf_strings(g, keys[i], &strs, &len)) {
            for (uint64_t k = 0; k < len; k++)
                for (uint64_t c = 0; c < strs[k].n; c++)
                    sum += (uint8_t)strs[k].s[c];
            free(strs);
        }
        if (ste_gguf_ints(g, keys[i], &ints, &len))
            free(ints);
    }
    return sum;
}

/* Opens the bytes: 0 or an error that names the file in one line. */
static int open_bytes(const char *path, const void *p, size_t n, struct ste_err *err)
{
    struct ste_gguf *g;
    gw_write(path, p, n);
    memset(err, 0, sizeof *err);
    int rc = ste_gguf_open(&g, path, err);
    if (rc == 0) {
        touch(g);
        ste_gguf_close(g);
    } else {
        assert_null(g);
        assert_int_equal(rc, STE_EINPUT);
        assert_non_null(strstr(err->msg, path));
        assert_null(strchr(err->msg, '\n'));
    }
    return rc;
}

static void reads_keys_and_tensors(void **state)
{
    struct ste_buf b = STE_BUF_INIT;
    struct ste_gguf *g;
    char *path = gw_temp("m.gguf");
    small_file(&b);
    gw_write(path, b.s, b.len);
    assert_int_equal(ste_gguf_open(&g, path, NULL), 0);
    int64_t i, *ints;
    double d;
    bool flag;
    struct ste_str s, *strs;
    uint64_t n;
    assert_true(ste_gguf_int(g, "count", &i) && i == 7);
    assert_true(ste_gguf_int(g, "i8", &i) && i == -3);
    assert_false(ste_gguf_int(g, "u64", &i)); /* does not fit */
    assert_int_equal(i, -3);
    assert_false(ste_gguf_int(g, "eps", &i));
    assert_false(ste_gguf_int(g, "none", &i));
    assert_true(ste_gguf_real(g, "eps", &d) && d == 0.5);
    assert_true(ste_gguf_real(g, "f64", &d) && d == 0.25);
    assert_false(ste_gguf_real(g, "count", &d));
    assert_true(ste_gguf_bool(g, "flag", &flag) && flag);
    assert_true(ste_gguf_string(g, "general.architecture", &s) && s.n == 5 && !memcmp(s.s, "llama", 5));
    assert_true(ste_gguf_strings(g, "words", &strs, &n) && n == 3 && strs[1].n == 0 && !memcmp(strs[2].s, "bcd", 3));
    free(strs);
    assert_true(ste_gguf_ints(g, "numbers", &ints, &n) && n == 2 && ints[0] == -1 && ints[1] == 2);
    free(ints);
    assert_false(ste_gguf_ints(g, "words", &ints, &n));
    const struct ste_tensor *t = ste_gguf_tensor(g, "x");
    assert_non_null(t);
    assert_int_equal(t->n_dims, 2);
    assert_int_equal(t->shape[0], 4);
    assert_int_equal(t->shape[1], 2);
    assert_int_equal(t->shape[2], 1);
    assert_memory_equal(t->data, weights, sizeof weights);
    assert_int_equal(ste_gguf_tensor(g, "z")->size, 144);
    assert_null(ste_gguf_tensor(g, "w"));
    ste_gguf_drop_pages(g);
    assert_memory_equal(t->data, weights, sizeof weights);
    ste_gguf_close(g);
    gw_temp_remove(path);
    ste_buf_clear(&b);
}

static void every_truncation_is_refused(void **state)
{
    struct ste_buf b = STE_BUF_INIT;
    struct ste_err err;
    char *path = gw_temp("m.gguf");
    small_file(&b);
    size_t whole = b.len - 32 + 144 % 32; /* the last tensor's padding may be missing */
    assert_int_equal(open_bytes(path, b.s, whole, &err), 0);
    for (size_t n = 0; n < whole; n++)
        if (open_bytes(path, b.s, n, &err) == 0)
            fail_msg("cut to %zu of %zu bytes it was taken", n, b.len);
    gw_temp_remove(path);
    ste_buf_clear(&b);
}

static void no_flipped_byte_is_followed_astray(void **state)
{
    static const uint8_t flips[] = {0x01, 0x80, 0xFF, 0x10};
    struct ste_buf b = STE_BUF_INIT;
    struct ste_err err;
    int taken = 0, refused = 0;
    char *path = gw_temp("m.gguf");
    small_file(&b);
    for (size_t at = 0; at < b.len; at++)
        for (size_t f = 0; f < sizeof flips; f++) {
            b.s[at] ^= (char)flips[f];
            open_bytes(path, b.s, b.len, &err) ? refused++ : taken++;
            b.s[at] ^= (char)flips[f];
        }
    assert_true(refused > 100 && taken > 100);
    gw_temp_remove(path);
    ste_buf_clear(&b);
}

/* One lie a file. Each refusal must say what is wrong, in words that belong to that lie. */
static void lies_are_named(void **state)
{
    enum {
        MAGIC,
        VERSION,
        BIG_ENDIAN_FILE,
        N_KEYS,
        N_TENSORS,
        KEY_LENGTH,
        STRING_LENGTH,
        ARRAY_LENGTH,
        NESTED,
        KIND,
        ITEM_KIND,
        BOOLEAN,
        TWICE_KEY,
        TWICE_TENSOR,
        DIMS,
        ZERO_DIM,
        PRODUCT,
        BYTES,
        OFFSET,
        OFFSET_WRAPS,
        MISALIGNED,
        TYPE,
        BLOCK,
        ALIGNMENT,
        NO_NAME,
        N_LIES
    };
    static const char *const said[N_LIES] = {
        [MAGIC] = "does not begin with",
        [VERSION] = "version 1",
        [BIG_ENDIAN_FILE] = "big-endian",
        [N_KEYS] = "keys, in a file of",
        [N_TENSORS] = "tensors, in a file of",
        [KEY_LENGTH] = "bytes long",
        [STRING_LENGTH] = "bytes long",
        [ARRAY_LENGTH] = "items, the file has",
        [NESTED] = "array of arrays",
        [KIND] = "unknown type 99",
        [ITEM_KIND] = "unknown type 77",
        [BOOLEAN] = "truth value",
        [TWICE_KEY] = "stands in it twice",
        [TWICE_TENSOR] = "stands in it twice",
        [DIMS] = "5 dimensions",
        [ZERO_DIM] = "impossible shape",
        [PRODUCT] = "impossible shape",
        [BYTES] = "larger than any memory",
        [OFFSET] = "needs 32 bytes",
        [OFFSET_WRAPS] = "needs 32 bytes",
        [MISALIGNED] = "no multiple of the alignment",
        [TYPE] = "type IQ2_XXS, which ste does not read",
        [BLOCK] = "no multiple of Q8_0",
        [ALIGNMENT] = "its alignment is 12",
        [NO_NAME] = "is no name",
    };
    char *path = gw_temp("m.gguf");
    for (int lie = 0; lie < N_LIES; lie++) {
        struct gw w = {0};
        struct ste_buf b = STE_BUF_INIT;
        struct ste_err err;
        gw_key_str(&w, "a", "b");
        switch (lie) {
        case KEY_LENGTH:
            gw_u64(&w.keys, (uint64_t)1 << 63);
            w.n_keys++;
            break;
        case STRING_LENGTH:
            gw_key(&w, "s", 8);
            gw_u64(&w.keys, UINT64_MAX - 3);
            break;
        case ARRAY_LENGTH:
            gw_key(&w, "s", 9);
            gw_u32(&w.keys, 10);
            gw_u64(&w.keys, (uint64_t)1 << 61);
            break;
        case NESTED:
            gw_key(&w, "s", 9);
            gw_u32(&w.keys, 9);
            gw_u64(&w.keys, 1);
            break;
        case KIND:
            gw_key(&w, "s", 99);
            break;
        case ITEM_KIND:
            gw_key(&w, "s", 9);
            gw_u32(&w.keys, 77);
            gw_u64(&w.keys, 1);
            break;
        case BOOLEAN:
            gw_key(&w, "s", 7);
            ste_buf_addc(&w.keys, 2);
            break;
        case TWICE_KEY:
            gw_key_str(&w, "a", "c");
            break;
        case ALIGNMENT:
            gw_key_u32(&w, "general.alignment", 12);
            break;
        case DIMS:
            gw_tensor(&w, "t", 0, 5, (const uint64_t[]){1, 1, 1, 1, 1}, NULL, 4);
            break;
        case ZERO_DIM:
            gw_tensor(&w, "t", 0, 2, (const uint64_t[]){4, 0}, NULL, 4);
            break;
        case PRODUCT:
            gw_tensor(&w, "t", 0, 2, (const uint64_t[]){(uint64_t)1 << 33, (uint64_t)1 << 33}, NULL, 4);
            break;
        case BYTES:
            gw_tensor(&w, "t", 0, 1, (const uint64_t[]){(uint64_t)1 << 63}, NULL, 4);
            break;
        case TYPE:
            gw_tensor(&w, "t", 16, 1, (const uint64_t[]){256}, NULL, 256);
            break;
        case BLOCK:
            gw_tensor(&w, "t", 8, 1, (const uint64_t[]){33}, NULL, 64);
            break;
        case NO_NAME:
            gw_tensor(&w, "", 0, 1, (const uint64_t[]){8}, NULL, 32);
            break;
        default:
            gw_tensor(&w, "t", 0, 1, (const uint64_t[]){8}, NULL, 32);
            if (lie == TWICE_TENSOR)
                gw_tensor(&w, "t", 0, 1, (const uint64_t[]){8}, NULL, 32);
        }
        uint64_t offset = lie == OFFSET ? 64 : lie == OFFSET_WRAPS ? UINT64_MAX - 31 : lie == MISALIGNED ? 4 : 0;
        if (offset)
            memcpy(w.infos.s + w.infos.len - 8, &offset, 8);
        if (lie == N_KEYS)
            w.n_keys = UINT64_MAX / 2;
        if (lie == N_TENSORS)
            w.n_tensors = (uint64_t)1 << 60;
        gw_file(&w, &b);
        if (lie == MAGIC)
            b.s[3] = 'E';
        if (lie == VERSION)
            b.s[4] = 1;
        if (lie == BIG_ENDIAN_FILE)
            memcpy(b.s + 4, "\0\0\0\3", 4);
        assert_int_equal(open_bytes(path, b.s, b.len, &err), STE_EINPUT);
        if (!strstr(err.msg, said[lie]))
            fail_msg("lie %d: '%s' does not say '%s'", lie, err.msg, said[lie]);
        ste_buf_clear(&b);
    }
    gw_temp_remove(path);
}

static void a_name_cannot_act_on_the_terminal(void **state)
{
    struct gw w = {0};
    struct ste_buf b = STE_BUF_INIT;
    struct ste_err err;
    char *path = gw_temp("m.gguf");
    gw_tensor(&w, "\033[2J\nt", 77, 1, (const uint64_t[]){8}, NULL, 32);
    gw_file(&w, &b);
    assert_int_equal(open_bytes(path, b.s, b.len, &err), STE_EINPUT);
    assert_null(strchr(err.msg, 033));
    ste_buf_clear(&b);
    gw_temp_remove(path);
}

static void a_missing_file_is_an_io_error(void **state)
{
    struct ste_err err;
    struct ste_gguf *g;
    assert_int_equal(ste_gguf_open(&g, "/nowhere/m.gguf", &err), STE_EIO);
    assert_non_null(strstr(err.msg, "/nowhere/m.gguf"));
    assert_int_equal(ste_gguf_open(&g, "/", &err), STE_EINPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_keys_and_tensors),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(no_flipped_byte_is_followed_astray),
        cmocka_unit_test(lies_are_named),
        cmocka_unit_test(a_name_cannot_act_on_the_terminal),
        cmocka_unit_test(a_missing_file_is_an_io_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
