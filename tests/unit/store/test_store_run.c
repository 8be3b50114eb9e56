/* The store: versions, locks, transactions, dumps, what a person is told when the disk refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/file.h"
#include "core/mem.h"
#include "store/memo.h"
#include "store/rows.h"
#include "store/run.h"
#include "store/statement.h"

static char *base;

static struct ste_store *open_run(const char *name, int create)
{
    char *dir = ste_path_join(base, name);
    struct ste_store *s = NULL;
    struct ste_err err = {0};
    if (ste_store_open(&s, dir, create, 0, &err) != 0)
        fail_msg("%s", err.msg);
    free(dir);
    return s;
}

static int open_code(const char *name, int create, int read_only, struct ste_err *err)
{
    char *dir = ste_path_join(base, name);
    struct ste_store *s = NULL;
    int rc = ste_store_open(&s, dir, create, read_only, err);
    ste_store_close(s);
    free(dir);
    return rc;
}

static int add_line(void *arg, const char *json, struct ste_err *err)
{
    ste_buf_adds(arg, json);
    ste_buf_addc(arg, '\n');
    return 0;
}

static char *dump(struct ste_store *s)
{
    struct ste_buf b = STE_BUF_INIT;
    assert_int_equal(ste_store_dump(s, add_line, &b, NULL), 0);
    return ste_buf_detach(&b);
}

static void test_missing(void **state)
{
    struct ste_err err = {0};
    assert_int_equal(open_code("nothing", 0, 0, &err), STE_ENOTFOUND);
    assert_non_null(strstr(err.msg, "ste run"));
    assert_int_equal(open_code("nothing", 0, 1, &err), STE_ENOTFOUND);
}

static void test_lock(void **state)
{
    struct ste_store *s = open_run("lock", 1);
    struct ste_err err = {0};
    assert_int_equal(open_code("lock", 1, 0, &err), STE_EBUSY);
    assert_non_null(strstr(err.msg, "another ste"));
    assert_int_equal(open_code("lock", 0, 1, &err), 0); /* readers need no lock */
    ste_store_close(s);
    assert_int_equal(open_code("lock", 1, 0, &err), 0);
}

static void test_version(void **state)
{
    struct ste_store *s = open_run("version", 1);
    assert_int_equal(sqlite3_exec(ste_store_db(s), "PRAGMA user_version = 99", NULL, NULL, NULL), SQLITE_OK);
    ste_store_close(s);
    struct ste_err err = {0};
    assert_int_equal(open_code("version", 1, 0, &err), STE_EINPUT);
    assert_non_null(strstr(err.msg, "99"));
    char *path = ste_path_join(base, "garbage");
    assert_int_equal(ste_mkdirs(path, NULL), 0);
    free(path);
    path = ste_path_join(base, "garbage/run.db");
    assert_int_equal(ste_file_write(path, "this is no database at all, not at all", 38, NULL), 0);
    free(path);
    assert_int_equal(open_code("garbage", 1, 0, &err), STE_EINPUT);
}

static void test_rows(void **state)
{
    struct ste_store *s = open_run("rows", 1);
    const int32_t ids[] = {1, -2, 300000};
    assert_int_equal(ste_store_begin(s, NULL), 0);
    assert_int_equal(
        ste_store_exec(s, NULL, "INSERT INTO prompt (id, tokens) VALUES (?, ?)", "tb", "b", ids, sizeof ids), 0);
    assert_int_equal(
        ste_store_exec(s, NULL, "INSERT INTO prompt (id, tokens) VALUES (?, ?)", "tb", "a", ids, (size_t)4), 0);
    assert_int_equal(ste_store_exec(s, NULL, "INSERT INTO train_step (iteration, step, loss, lr) VALUES (?, ?, ?, ?)",
                                    "iirr", (int64_t)1, (int64_t)2, 0.1, (double)NAN),
                     0);
    assert_int_equal(ste_store_exec(s, NULL, "INSERT INTO work (step, iteration, seconds) VALUES ('pair', 0, 3.5)", ""),
                     0);
    assert_int_equal(ste_store_commit(s, NULL), 0);
    char *text = dump(s);
    assert_string_equal(text, "{\"id\":\"a\",\"table\":\"prompt\",\"tokens\":[1]}\n"
                              "{\"id\":\"b\",\"table\":\"prompt\",\"tokens\":[1,-2,300000]}\n"
                              "{\"grad_norm\":null,\"iteration\":1,\"loss\":0.10000000000000001,\"loss_tokens\":null,"
                              "\"lr\":null,\"step\":2,\"table\":\"train_step\",\"tokens\":null}\n");
    free(text);
    /* what is not committed is gone */
    assert_int_equal(ste_store_begin(s, NULL), 0);
    assert_int_equal(ste_store_meta_set(s, "key", "value", NULL), 0);
    ste_store_rollback(s);
    char *gone;
    assert_int_equal(ste_store_meta(s, "key", &gone, NULL), 0);
    assert_null(gone);
    /* a query that is under way does not hinder the same statement */
    sqlite3_stmt *q, *p;
    const char *sql = "SELECT id FROM prompt ORDER BY id";
    assert_int_equal(ste_store_query(s, &q, NULL, sql, ""), 0);
    assert_int_equal(ste_store_row(s, q, NULL), 1);
    assert_int_equal(ste_store_query(s, &p, NULL, sql, ""), 0);
    assert_ptr_not_equal(p, q);
    assert_int_equal(ste_store_row(s, p, NULL), 1);
    assert_string_equal(sqlite3_column_text(p, 0), "a");
    assert_int_equal(ste_store_row(s, q, NULL), 1);
    assert_string_equal(sqlite3_column_text(q, 0), "b");
    assert_int_equal(ste_store_row(s, q, NULL), 0);
    ste_store_done(s, p);
    ste_store_done(s, q);
    ste_store_close(s);
}

static int take_generation(void *arg, const struct ste_generation_row *r, struct ste_err *err)
{
    assert_string_equal(r->id, "g");
    assert_string_equal(r->instruction, "i");
    assert_null(r->parent);
    assert_string_equal(r->text, "caf\xc3\xa9");
    assert_int_equal(r->tokens, 7);
    ++*(int *)arg;
    return 0;
}

static int take_example(void *arg, const struct ste_example_view *v, struct ste_err *err)
{
    const int32_t prompt[] = {5, 151643}, completion[] = {-1, 9, 70000};
    const int n = ++*(int *)arg;
    assert_int_equal(v->row.position, n - 1);
    assert_string_equal(v->row.id, n == 1 ? "second" : "first");
    assert_int_equal(v->prompt.n, 2);
    assert_memory_equal(v->prompt.ids, prompt, sizeof prompt);
    assert_int_equal(v->row.completion.n, 3);
    assert_memory_equal(v->row.completion.ids, completion, sizeof completion);
    assert_float_equal(v->row.weight, 0.25, 0);
    assert_int_equal(v->row.border, 1);
    return n == 3 ? ste_err_set(err, STE_EFAIL, "enough") : 0;
}

static int take_checkpoint(void *arg, const struct ste_checkpoint_row *r, struct ste_err *err)
{
    *(struct ste_checkpoint_row *)arg = *r;
    return 0;
}

/* What is put comes back, nulls too; a reader's error ends the reading. */
static void test_typed_rows(void **state)
{
    struct ste_store *s = open_run("typed", 1);
    assert_int_equal(ste_store_begin(s, NULL), 0);
    const struct ste_generation_row g = {.id = "g",
                                         .instruction = "i",
                                         .kind = "answer",
                                         .text = "caf\xc3\xa9",
                                         .finish = "end",
                                         .tokens = 7,
                                         .provenance = "p"};
    assert_int_equal(ste_put_generation(s, &g, NULL), 0);
    int n = 0;
    assert_int_equal(ste_each_generation(s, "i", "answer", take_generation, &n, NULL), 0);
    assert_int_equal(ste_each_generation(s, "i", "rejected", take_generation, &n, NULL), 0);
    assert_int_equal(n, 1);
    const int32_t prompt[] = {5, 151643}, completion[] = {-1, 9, 70000};
    struct ste_id id, same;
    assert_int_equal(ste_put_prompt(s, (struct ste_token_ids){prompt, 2}, &id, NULL), 0);
    assert_int_equal(ste_put_prompt(s, (struct ste_token_ids){prompt, 2}, &same, NULL), 0);
    assert_string_equal(id.s, same.s);
    struct ste_example_row e = {.id = "first",
                                .judgment = "j",
                                .pair = "p",
                                .iteration = 2,
                                .position = 1,
                                .label = "A",
                                .label_source = "constructed",
                                .weight = 0.25,
                                .prompt = id.s,
                                .completion = {completion, 3},
                                .border = 1};
    assert_int_equal(ste_put_example(s, &e, NULL), 0);
    e.id = "second";
    e.position = 0;
    assert_int_equal(ste_put_example(s, &e, NULL), 0);
    n = 0;
    assert_int_equal(ste_each_example(s, 2, take_example, &n, NULL), 0);
    assert_int_equal(n, 2);
    n = 2;
    struct ste_err err = {0};
    assert_int_equal(ste_put_example(s, &e, &err), STE_EFAIL); /* there is one of that id */
    int64_t count;
    assert_int_equal(ste_count(s, STE_COUNT_EXAMPLES, 2, &count, NULL), 0);
    assert_int_equal(count, 2);
    struct ste_checkpoint_row c = {.iteration = 1,
                                   .step = 4,
                                   .adapter_hash = "h",
                                   .pairs = STE_NO_INT,
                                   .log_loss = NAN,
                                   .accuracy = NAN,
                                   .consistent = NAN,
                                   .two_order = NAN,
                                   .first_position = NAN,
                                   .invalid = STE_NO_INT},
                              got;
    assert_int_equal(ste_put_checkpoint(s, &c, NULL), 0);
    assert_int_equal(ste_each_checkpoint(s, 1, take_checkpoint, &got, NULL), 0);
    assert_true(got.pairs == STE_NO_INT && isnan(got.log_loss));
    c.pairs = 30;
    c.log_loss = 0.5;
    assert_int_equal(ste_score_checkpoint(s, &c, NULL), 0);
    assert_int_equal(ste_each_checkpoint(s, 1, take_checkpoint, &got, NULL), 0);
    assert_true(got.pairs == 30 && got.log_loss == 0.5 && isnan(got.accuracy));
    assert_int_equal(ste_store_commit(s, NULL), 0);
    ste_store_close(s);
}

/* What a kill left half-written goes; what is whole, and other iterations', stays. */
static void test_clean_adapter(void **state)
{
    static const char *const there[] = {"adapters/iter-1/adapter_config.json",
                                        "adapters/iter-1/adapter.gguf.tmp77",
                                        "adapters/iter-1.tmp123/adapter_config.json",
                                        "adapters/iter-1.tmp123/w.tmp123",
                                        "adapters/iter-2.tmp5/w",
                                        "adapters/iter-1.tmpx/w"};
    static const bool stays[] = {true, false, false, false, true, true};
    char *run = ste_path_join(base, "cleaned");
    for (size_t i = 0; i < sizeof there / sizeof *there; i++) {
        char *path = ste_path_join(run, there[i]), *folder = ste_xstrndup(path, (size_t)(strrchr(path, '/') - path));
        assert_int_equal(ste_mkdirs(folder, NULL), 0);
        assert_int_equal(ste_file_write(path, "x", 1, NULL), 0);
        free(folder);
        free(path);
    }
    ste_run_clean_adapter(run, 1);
    for (size_t i = 0; i < sizeof there / sizeof *there; i++) {
        char *path = ste_path_join(run, there[i]);
        assert_int_equal(ste_file_exists(path), stays[i]);
        free(path);
    }
    char *gone = ste_path_join(run, "adapters/iter-1.tmp123");
    assert_false(ste_is_folder(gone));
    free(gone);
    free(run);
}

static void test_full(void **state)
{
    struct ste_store *s = open_run("full", 1);
    struct ste_err err = {0};
    assert_int_equal(ste_store_meta_set(s, "kept", "yes", NULL), 0);
    /* A bound on the pages is a full disk as far as SQLite goes. */
    sqlite3_exec(ste_store_db(s), "PRAGMA max_page_count = 1", NULL, NULL, NULL);
    char *big = ste_xmalloc(1 << 20);
    memset(big, 'x', (1 << 20) - 1);
    big[(1 << 20) - 1] = 0;
    assert_int_equal(ste_store_begin(s, NULL), 0);
    int rc = ste_store_meta_set(s, "big", big, &err);
    if (rc == 0)
        rc = ste_store_commit(s, &err);
    assert_int_equal(rc, STE_EIO);
    assert_non_null(strstr(err.msg, "disk is full"));
    ste_store_rollback(s);
    char *kept;
    assert_int_equal(ste_store_meta(s, "kept", &kept, NULL), 0);
    assert_string_equal(kept, "yes");
    free(kept);
    free(big);
    ste_store_close(s);
}

static void test_read_only(void **state)
{
    ste_store_close(open_run("still", 1));
    char *dir = ste_path_join(base, "still");
    struct ste_err err = {0};
    chmod(dir, 0555);
    if (access(dir, W_OK) == 0) { /* root may write everywhere: tests/e2e/bad_run.sh does it as another user */
        chmod(dir, 0755);
        free(dir);
        skip();
        return;
    }
    assert_int_equal(open_code("still", 0, 1, &err), 0);
    assert_int_equal(open_code("still/below", 1, 0, &err), STE_EIO);
    chmod(dir, 0755);
    free(dir);
}

static int setup(void **state)
{
    const char *tmp = getenv("TMPDIR");
    base = ste_xasprintf("%s/ste-store-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(base));
    return 0;
}

static int teardown(void **state)
{
    char *command = ste_xasprintf("rm -rf '%s'", base);
    int rc = system(command);
    free(command);
    free(base);
    return rc;
}

/* The cache of an older ste: its answers are there still. Of two for one question the first counts. */
static void test_memo(void **state)
{
    char *path = ste_path_join(base, "memo.db");
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db,
                                  "CREATE TABLE answer(address TEXT, numerics TEXT, bytes BLOB NOT NULL,"
                                  " PRIMARY KEY(address, numerics)) WITHOUT ROWID;"
                                  "INSERT INTO answer VALUES('0123456789abcdef-1', 'n', x'6f6c64')",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    sqlite3_close(db);
    struct ste_memo *m = ste_memo_open(path);
    struct ste_buf b = STE_BUF_INIT, first = STE_BUF_INIT, second = STE_BUF_INIT;
    ste_buf_adds(&first, "first");
    ste_buf_adds(&second, "second");
    assert_true(ste_memo_get(m, "0123456789abcdef-1", "n", &b));
    assert_string_equal(b.s, "old");
    ste_memo_put(m, "0123456789abcdef-2", "n", &first);
    ste_memo_put(m, "0123456789abcdef-2", "n", &second);
    ste_memo_put(m, "0123456789abcdef-2", "other", &second);
    ste_memo_close(m);
    m = ste_memo_open(path);
    ste_buf_reset(&b);
    assert_true(ste_memo_get(m, "0123456789abcdef-2", "n", &b));
    assert_string_equal(b.s, "first");
    assert_false(ste_memo_get(m, "0123456789abcdef-3", "n", &b));
    ste_memo_close(m);
    ste_buf_clear(&b);
    ste_buf_clear(&first);
    ste_buf_clear(&second);
    ste_xfree(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_missing),   cmocka_unit_test(test_lock),       cmocka_unit_test(test_version),
        cmocka_unit_test(test_rows),      cmocka_unit_test(test_typed_rows), cmocka_unit_test(test_full),
        cmocka_unit_test(test_read_only), cmocka_unit_test(test_memo),       cmocka_unit_test(test_clean_adapter),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
