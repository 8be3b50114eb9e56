/* Random numbers, hashes, UTF-8, the pool, files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../environment.h"
#include "core/file.h"
#include "core/hash.h"
#include "core/mem.h"
#include "core/rng.h"
#include "core/thread.h"
#include "core/utf8.h"

static char folder[] = "/tmp/ste-core-XXXXXX";

static int make_folder(void **state)
{
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    char *cmd = ste_xasprintf("rm -rf '%s'", folder);
    int rc = system(cmd);
    free(cmd);
    return rc;
}

/* The known answers that Random123 publishes for philox4x32, ten rounds. */
static void philox_known_answers(void **state)
{
    static const struct {
        uint32_t ctr[4], key[2], out[4];
    } kat[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < 3; i++) {
        uint32_t out[4];
        ste_philox(kat[i].key, kat[i].ctr, out);
        assert_memory_equal(out, kat[i].out, sizeof out);
    }
}

static void rng_streams(void **state)
{
    struct ste_rng a, b, c;
    ste_rng_init(&a, 7, 1);
    ste_rng_init(&b, 7, 1);
    ste_rng_init(&c, 7, 2);
    int same = 0, seen[6] = {0};
    for (int i = 0; i < 1000; i++) {
        uint32_t x = ste_rng_u32(&a);
        assert_int_equal(x, ste_rng_u32(&b));
        same += x == ste_rng_u32(&c);
    }
    assert_true(same < 3);
    for (int i = 0; i < 6000; i++) {
        uint32_t k = ste_rng_below(&a, 6);
        assert_true(k < 6);
        seen[k]++;
        double u = ste_rng_uniform(&b);
        assert_true(u >= 0 && u < 1);
    }
    for (int i = 0; i < 6; i++)
        assert_in_range(seen[i], 850, 1150);
    double sum = 0, squares = 0;
    for (int i = 0; i < 20000; i++) {
        double z = ste_rng_normal(&a);
        sum += z;
        squares += z * z;
    }
    assert_true(sum / 20000 < 0.03 && sum / 20000 > -0.03);
    assert_true(squares / 20000 > 0.96 && squares / 20000 < 1.04);
}

static void sha256_known_answers(void **state)
{
    char hex[65];
    ste_sha256("abc", 3, hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    ste_sha256("", 0, hex);
    assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    /* fields stay apart */
    assert_string_not_equal(ste_id_of("ab", "c", NULL).s, ste_id_of("a", "bc", NULL).s);
    assert_string_equal(ste_id_of("ab", "c", NULL).s, ste_id_of("ab", "c", NULL).s);
}

static void sha256_is_kept_beside_a_file(void **state)
{
    char *path = ste_path_join(folder, "m.bin"), *side = ste_path_join(folder, "m.bin.sha256"), hex[65];
    struct ste_err err;
    assert_int_equal(ste_file_write(path, "abc", 3, &err), 0);
    assert_int_equal(ste_sha256_file_kept(path, hex, &err), 0);
    assert_memory_equal(hex, "ba7816bf", 8);
    struct ste_buf b = STE_BUF_INIT;
    assert_int_equal(ste_file_read(side, 4096, &b, &err), 0);
    b.s[0] = 'c'; /* taken from there, so this lie must come back */
    assert_int_equal(ste_file_write(side, b.s, b.len, &err), 0);
    assert_int_equal(ste_sha256_file_kept(path, hex, &err), 0);
    assert_int_equal(hex[0], 'c');
    assert_int_equal(ste_file_write(path, "abcd", 4, &err), 0); /* a changed file is hashed anew */
    assert_int_equal(ste_sha256_file_kept(path, hex, &err), 0);
    assert_memory_equal(hex, "88d4266f", 8);
    ste_buf_clear(&b);
    free(path);
    free(side);
}

static void utf8_is_checked(void **state)
{
    static const struct {
        const char *s;
        size_t n, bad;
    } cases[] = {
        {"", 0, 0},
        {"plain", 5, 5},
        {"\xc3\xa9", 2, 2},
        {"\xf0\x9f\x98\x80", 4, 4},
        {"a\xc0\x80", 3, 1},
        {"\xed\xa0\x80", 3, 0},
        {"\xf4\x90\x80\x80", 4, 0},
        {"ab\xe2\x82", 4, 2},
        {"\x80", 1, 0},
        {"\xe0\x9f\xbf", 3, 0},
        {"\xff", 1, 0},
        {"\xf4\x8f\xbf\xbf", 4, 4},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(ste_utf8_bad(cases[i].s, cases[i].n), cases[i].bad);
    assert_int_equal(ste_utf8_whole("ab\xe2\x82", 4), 2);
    assert_int_equal(ste_utf8_whole("ab\xe2\x82\xac", 5), 5);
}

struct parts {
    atomic_int count[1000];
};

static void count_part(void *arg, int part)
{
    struct parts *p = arg;
    atomic_fetch_add(&p->count[part], 1);
}

static void pool_runs_each_part_once(void **state)
{
    for (int threads = 1; threads <= 4; threads++) {
        struct ste_pool *pool = ste_pool_new(threads);
        for (int job = 0; job < 50; job++) {
            struct parts p = {0};
            int n = job * 20;
            ste_pool_run(pool, count_part, &p, n);
            for (int i = 0; i < 1000; i++)
                assert_int_equal(p.count[i], i < n);
        }
        ste_pool_free(pool);
    }
    assert_int_equal(ste_pool_size(NULL), 1);
}

static int files_in(const char *path)
{
    char *cmd = ste_xasprintf("exit $(ls -A '%s' | wc -l)", path);
    int rc = system(cmd);
    free(cmd);
    return WEXITSTATUS(rc);
}

static void writes_are_whole(void **state)
{
    struct ste_err err;
    struct ste_buf b = STE_BUF_INIT;
    char *sub = ste_path_join(folder, "a/b/c"), *path = ste_path_join(sub, "f");
    assert_int_equal(ste_mkdirs(sub, &err), 0);
    assert_int_equal(ste_file_write(path, "old", 3, &err), 0);
    /* a writer that is given up leaves the old bytes and no temporary file */
    struct ste_file_writer *w;
    assert_int_equal(ste_file_create(&w, path, false, &err), 0);
    assert_int_equal(ste_file_put(w, "new", 3, &err), 0);
    assert_int_equal(files_in(sub), 2);
    ste_file_abort(w);
    assert_int_equal(files_in(sub), 1);
    assert_int_equal(ste_file_read(path, 100, &b, &err), 0);
    assert_string_equal(b.s, "old");
    /* too large a file is named */
    ste_buf_reset(&b);
    assert_int_equal(ste_file_read(path, 2, &b, &err), STE_EINPUT);
    assert_non_null(strstr(err.msg, path));
    assert_int_equal(ste_mkdirs(path, &err), STE_EIO);
    ste_buf_clear(&b);
    free(sub);
    free(path);
}

static void a_full_disk_is_said(void **state)
{
    struct ste_err err;
    assert_int_equal(ste_file_write("/dev/full", "x", 1, &err), STE_EIO);
    assert_non_null(strstr(err.msg, "No space left"));
    assert_non_null(strstr(err.msg, "free some space"));
    assert_int_equal(ste_file_write("/dev/null", "x", 1, &err), 0);
    struct stat st;
    assert_int_equal(stat("/dev/null", &st), 0);
    assert_true(S_ISCHR(st.st_mode)); /* written, not replaced */
}

/* A limit on a file's size fails in the middle of a write as a full disk does. */
static void a_write_that_fails_midway_keeps_the_old_file(void **state)
{
    struct ste_err err;
    struct ste_buf b = STE_BUF_INIT;
    char *sub = ste_path_join(folder, "midway"), *path = ste_path_join(sub, "f"), *big = ste_xcalloc(1, 1 << 20);
    struct rlimit was, small;
    assert_int_equal(ste_mkdirs(sub, &err), 0);
    assert_int_equal(ste_file_write(path, "old", 3, &err), 0);
    getrlimit(RLIMIT_FSIZE, &was);
    small = was;
    small.rlim_cur = 100000;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    int rc = ste_file_write(path, big, 1 << 20, &err);
    setrlimit(RLIMIT_FSIZE, &was);
    assert_int_equal(rc, STE_EIO);
    assert_non_null(strstr(err.msg, path));
    assert_int_equal(files_in(sub), 1);
    assert_int_equal(ste_file_read(path, 100, &b, &err), 0);
    assert_string_equal(b.s, "old");
    ste_buf_clear(&b);
    free(big);
    free(sub);
    free(path);
}

static void buffers_are_strings(void **state)
{
    struct ste_buf b = STE_BUF_INIT, other = STE_BUF_INIT, zero = {0};
    assert_string_equal(b.s, "");
    ste_buf_reset(&b);
    ste_buf_cut(&b, 0);
    ste_buf_clear(&b);
    assert_string_equal(b.s, "");
    ste_buf_add(&b, NULL, 0);
    ste_buf_addf(&b, "%s", "");
    assert_int_equal(b.len, 0);
    ste_buf_adds(&b, "four");
    assert_string_equal(other.s, ""); /* what fresh ones share is not written to */
    ste_buf_cut(&b, 2);
    assert_string_equal(b.s, "fo");
    char *s = ste_buf_detach(&b), *empty = ste_buf_detach(&other);
    assert_string_equal(s, "fo");
    assert_string_equal(empty, "");
    assert_string_equal(b.s, "");
    ste_buf_adds(&zero, "a zeroed struct is a buffer too");
    ste_buf_clear(&zero);
    free(s);
    free(empty);
    /* a size that does not fit ends the process, and does not wrap around */
    pid_t pid = fork();
    if (pid == 0) {
        if (!freopen("/dev/null", "w", stderr))
            _exit(2);
        ste_buf_adds(&b, "x");
        ste_buf_reserve(&b, SIZE_MAX - 1);
        _exit(0);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    assert_true(WIFSIGNALED(status)); /* as nothing says what to do without memory (context.h) */
    assert_int_equal(WTERMSIG(status), SIGABRT);
}

/* The file that the error names; it is removed. */
static void kept_bytes(const struct ste_err *err, struct ste_buf *out)
{
    struct ste_err none;
    const char *at = strstr(err->msg, "kept in ");
    assert_non_null(at);
    at += strlen("kept in ");
    ste_buf_reset(out);
    assert_int_equal(ste_file_read(at, 1 << 20, out, &none), 0);
    unlink(at);
}

static void a_result_is_kept_elsewhere(void **state)
{
    struct ste_err err;
    struct ste_buf b = STE_BUF_INIT;
    char *sub = ste_path_join(folder, "gone"), *path = ste_path_join(sub, "f"), *big = ste_xmalloc(300000);
    setenv("TMPDIR", folder, 1);
    assert_int_equal(ste_result_write("/dev/full", "hello", 5, &err), STE_EIO);
    assert_non_null(strstr(err.msg, "No space left"));
    kept_bytes(&err, &b);
    assert_string_equal(b.s, "hello");
    /* the folder goes when most of the bytes are in it */
    for (int i = 0; i < 300000; i++)
        big[i] = (char)('a' + i % 26);
    struct ste_file_writer *w;
    assert_int_equal(ste_mkdirs(sub, &err), 0);
    assert_int_equal(ste_file_create(&w, path, true, &err), 0);
    assert_int_equal(ste_file_put(w, big, 200000, &err), 0);
    char *remove = ste_xasprintf("rm -r '%s'", sub);
    assert_int_equal(system(remove), 0);
    assert_int_equal(ste_file_put(w, big + 200000, 100000, &err), 0);
    assert_int_equal(ste_file_commit(w, &err), STE_EIO);
    assert_non_null(strstr(err.msg, path));
    kept_bytes(&err, &b);
    assert_int_equal(b.len, 300000);
    assert_memory_equal(b.s, big, 300000);
    /* nowhere to keep it: the reason stands, and two results have two names */
    char *first = ste_keep_path("x/f", 0), *second;
    assert_int_equal(ste_file_write(first, "1", 1, &err), 0);
    second = ste_keep_path("x/f", 0);
    assert_string_not_equal(first, second);
    unlink(first);
    unsetenv("TMPDIR");
    ste_buf_clear(&b);
    free(remove);
    free(first);
    free(second);
    free(big);
    free(sub);
    free(path);
}

static void paths_are_tried_before(void **state)
{
    struct ste_err err;
    char *sub = ste_path_join(folder, "try"), *path = ste_path_join(sub, "f"), *deep = ste_path_join(sub, "a/b/c/"),
         *under = ste_path_join(path, "x");
    assert_int_equal(ste_file_try(path, &err), STE_EIO); /* no folder */
    assert_non_null(strstr(err.msg, path));
    assert_int_equal(ste_mkdirs(sub, &err), 0);
    assert_int_equal(ste_file_try(path, &err), 0);
    assert_int_equal(ste_file_try(sub, &err), STE_EIO);
    assert_int_equal(ste_file_try("/dev/full", &err), 0);
    assert_int_equal(ste_folder_try(deep, &err), 0);
    assert_int_equal(files_in(sub), 0);
    assert_int_equal(ste_file_write(path, "x", 1, &err), 0);
    assert_int_equal(ste_folder_try(under, &err), STE_EIO);
    assert_non_null(strstr(err.msg, under));
    free(sub);
    free(path);
    free(deep);
    free(under);
}

/* Root may write everywhere, so the check is made as nobody. */
static void a_read_only_folder_is_said(void **state)
{
    struct ste_err err;
    char *sub = ste_path_join(folder, "locked"), *path = ste_path_join(sub, "f");
    assert_int_equal(ste_mkdirs(sub, &err), 0);
    chmod(folder, 0755);
    chmod(sub, 0555);
    pid_t pid = fork();
    if (pid == 0) {
        if (geteuid() == 0 && setuid(65534))
            _exit(0);
        int rc = ste_file_write(path, "x", 1, &err);
        _exit(rc == STE_EIO && strstr(err.msg, path) && strstr(err.msg, "Permission denied") ? 0 : 1);
    }
    int status = 1;
    waitpid(pid, &status, 0);
    assert_int_equal(status, 0);
    chmod(sub, 0755);
    free(sub);
    free(path);
}

static void locks_exclude(void **state)
{
    struct ste_err err;
    int a, b;
    char *path = ste_path_join(folder, "lock");
    assert_int_equal(ste_lock(path, &a, &err), 0);
    assert_int_equal(ste_lock(path, &b, &err), STE_EBUSY);
    ste_unlock(a);
    assert_int_equal(ste_lock_signed(path, &a, &err), 0);
    assert_int_equal(ste_lock_signed(path, &b, &err), STE_EBUSY);
    char *holder = ste_xasprintf("%s is held by another ste (process %ld on ", path, (long)getpid());
    assert_ptr_equal(strstr(err.msg, holder), err.msg);
    free(holder);
    ste_unlock(a);
    assert_int_equal(ste_lock(path, &b, &err), 0);
    ste_unlock(b);
    free(path);
}

static void wrapping_keeps_the_code(void **state)
{
    struct ste_err err;
    ste_err_set(&err, STE_EINPUT, "inner");
    assert_int_equal(ste_err_wrap(&err, "outer %d", 1), STE_EINPUT);
    assert_string_equal(err.msg, "outer 1: inner");
}

static void sentences_are_text(void **state)
{
    struct ste_err err;
    char longest[2000];
    for (size_t i = 0; i + 3 < sizeof longest; i += 3)
        memcpy(longest + i, "\xe8\xa9\x95", 4);
    ste_err_set(&err, STE_EINPUT, "x%s", longest);
    assert_int_equal(ste_utf8_bad(err.msg, strlen(err.msg)), strlen(err.msg));
    assert_true(strlen(err.msg) > sizeof err.msg - 5);
    ste_err_set(&err, STE_EINPUT, "says %.8s, and %.4s; caf\xe9.jsonl", longest, longest);
    assert_string_equal(err.msg, "says \xe8\xa9\x95\xe8\xa9\x95?, and \xe8\xa9\x95?; caf?.jsonl");
    ste_err_wrap(&err, "f\xff");
    assert_int_equal(strncmp(err.msg, "f?: says ", 9), 0);
}

static void bytes_are_named(void **state)
{
    static const char safetensors[] = "\x40\1\0\0\0\0\0\0{\"a";
    assert_string_equal(ste_bytes_are("PAR1", 4), "a Parquet file");
    assert_string_equal(ste_bytes_are("GGUF\3", 5), "a GGUF file");
    assert_string_equal(ste_bytes_are(safetensors, sizeof safetensors - 1), "a safetensors file");
    for (size_t n = 0; n < 4; n++)
        assert_null(ste_bytes_are("PAR1", n));
    assert_null(ste_bytes_are("{\"prompt\": 1}", 13));
}

int main(void)
{
    read_environment();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_known_answers),
        cmocka_unit_test(rng_streams),
        cmocka_unit_test(sha256_known_answers),
        cmocka_unit_test(sha256_is_kept_beside_a_file),
        cmocka_unit_test(utf8_is_checked),
        cmocka_unit_test(pool_runs_each_part_once),
        cmocka_unit_test(writes_are_whole),
        cmocka_unit_test(a_full_disk_is_said),
        cmocka_unit_test(a_write_that_fails_midway_keeps_the_old_file),
        cmocka_unit_test(buffers_are_strings),
        cmocka_unit_test(a_result_is_kept_elsewhere),
        cmocka_unit_test(paths_are_tried_before),
        cmocka_unit_test(a_read_only_folder_is_said),
        cmocka_unit_test(locks_exclude),
        cmocka_unit_test(wrapping_keeps_the_code),
        cmocka_unit_test(sentences_are_text),
        cmocka_unit_test(bytes_are_named),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
