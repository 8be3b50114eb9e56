/* Each allocation of opening a judge, of judging, of a step of the loop and of one of training is refused in turn,
 * alone or with all behind it: the call says so, nothing is lost (make sanitize), and other judges go on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../engine/small_model.h"
#include "core/context.h"
#include "core/domain.h"
#include "core/file.h"
#include "loop/loop.h"
#include "refused.h"
#include "ste.h"
#include "store/run.h"

static char *path, *folder, *in_memory; /* IN_MEMORY: where FOLDER leads to */
static int began, ended;                /* work that the library told of */

static const char *setting(void *arg, const char *name)
{
    return strcmp(name, "STE_CHAT_TEMPLATE") == 0 ? "chatml-qwen2.5" : NULL;
}

static void progress(void *arg, struct ste_progress *p, enum ste_progress_event what)
{
    began += what == STE_PROGRESS_BEGINS;
    ended += what == STE_PROGRESS_ENDS;
}

static const struct ste_context context = {.setting = setting, .progress = progress};
static const struct ste_judge_config config = {.threads = 2};
static const struct ste_pair pairs[2] = {{"say hello", "hello", "no"}, {"count", "1 2 3", "4"}};

/* Of this process; those of the directory that is read for it do not matter. */
static int open_files(void)
{
    int n = 0;
    DIR *d = opendir("/proc/self/fd");
    while (d && readdir(d))
        n++;
    if (d)
        closedir(d);
    return n;
}

static void done(int rc, const struct ste_err *err, const char *what, long n)
{
    if (rc != 0 && (rc != STE_ENOMEM || err->code != rc || !err->msg[0]))
        fail_msg("%s, allocation %ld: %d, %s", what, n, rc, err->msg);
    assert_int_equal(began, ended);
}

/* ---- judges ---- */

static void opening(void **state)
{
    const char *const kinds[] = {"", "likelihood:"};
    for (size_t kind = 0; kind < 2; kind++) {
        char *name = ste_xasprintf("%s%s", kinds[kind], path);
        long n = 0;
        for (bool more = true; more;) {
            n++;
            for (int behind = 0; behind < 2; behind++) {
                struct ste_err err = {0};
                struct ste_judge *j;
                count_from_here(n, behind);
                int rc = ste_judge_open(&j, name, &config, &context, &err);
                more = count_to_here();
                assert_true((rc == 0) == (j != NULL));
                assert_true(rc != 0 || !more);
                done(rc, &err, name, n);
                ste_judge_close(j);
            }
        }
        print_message("%s: %ld allocations\n", name, n);
        assert_true(n > 50);
        ste_xfree(name);
    }
}

static char *labelled_rows(void)
{
    static const char rows[] = "{\"prompt\": \"say\", \"chosen\": \"hello\", \"rejected\": \"no\"}\n";
    char *data = ste_path_join(folder, "labelled.jsonl");
    assert_int_equal(ste_file_write(data, rows, sizeof rows - 1, NULL), 0);
    return data;
}

/* OTHER judges as it did whatever happens to the one that is refused memory. */
static void judging(void **state)
{
    static const char row[] = "{\"prompt\": \"say\", \"response_a\": \"hello\", \"response_b\": \"no\"}";
    const char *const kinds[] = {"", "likelihood:"};
    for (size_t kind = 0; kind < 2; kind++) {
        char *name = ste_xasprintf("%s%s", kinds[kind], path);
        struct ste_err err = {0};
        struct ste_judge *other, *j;
        struct ste_preference want[2], got[2];
        double scores[2];
        char *rows, *figures, *data = labelled_rows();
        assert_int_equal(ste_judge_open(&other, name, &config, &context, &err), 0);
        assert_int_equal(ste_judge_compare(other, pairs, 2, want, &err), 0);
        long n = 0;
        for (bool more = true; more;) {
            n++;
            assert_int_equal(ste_judge_open(&j, name, &config, &context, &err), 0);
            count_from_here(n, n % 2);
            int rc = ste_judge_compare(j, pairs, 2, got, &err);
            if (rc == 0 && kind == 0)
                rc = ste_judge_score(j, pairs, 2, scores, &err);
            rows = figures = NULL;
            if (rc == 0)
                rc = ste_judge_compare_rows(j, row, &rows, &err);
            if (rc == 0)
                rc = ste_judge_evaluate(j, (const char *const *)&data, 1, NULL, 0, &figures, &err);
            more = count_to_here();
            assert_true(rc != 0 || !more);
            done(rc, &err, name, n);
            assert_true((rc == 0) == (figures != NULL));
            ste_free(rows);
            ste_free(figures);
            ste_preferences_clear(got, 2);
            if (rc != 0) {
                assert_int_equal(ste_judge_compare(j, pairs, 2, got, &err), STE_ENOMEM);
                assert_int_equal(got[0].verdict, '?');
            }
            ste_judge_close(j);
            if (n % 16 == 1) {
                assert_int_equal(ste_judge_compare(other, pairs, 2, got, &err), 0);
                for (int i = 0; i < 2; i++) {
                    assert_int_equal(got[i].verdict, want[i].verdict);
                    assert_true(got[i].margin == want[i].margin || isnan(want[i].margin));
                }
                ste_preferences_clear(got, 2);
            }
        }
        print_message("judging by %s: %ld allocations\n", name, n);
        assert_true(n > 20);
        ste_preferences_clear(want, 2);
        ste_judge_close(other);
        ste_xfree(data);
        ste_xfree(name);
    }
}

/* ---- runs ---- */

static char *at(const char *name)
{
    return ste_path_join(folder, name);
}

static char *recipe_file(void)
{
    struct ste_buf b = STE_BUF_INIT;
    char *rows = at("rows.jsonl"), *recipe = at("small.yaml");
    for (int i = 0; i < 12; i++)
        ste_buf_addf(
            &b,
            "{\"id\": \"p%d\", \"prompt\": \"Question %d of %d?\", \"chosen\": \"Yes, %d.\", \"rejected\": \"No.\"}\n",
            i, i, i * 37 % 101, i);
    assert_int_equal(ste_file_write(rows, b.s, b.len, NULL), 0);
    ste_buf_reset(&b);
    ste_buf_addf(
        &b,
        "models: {seed: '%s'}\nprompts: {pack: direct}\n"
        "pair: {kinds: {labelled: 1}, labelled: ['%s']}\ncheck: {by: none}\nselect: {min_chars: 1, duplicate: 0}\n"
        "split: {dev: 0.2, test: 0.2, dev_pairs: 0, cluster: 1}\njudge: {samples: 2, orders: both}\n"
        "filter: {rule: margin, trust_from: 100}\n"
        "train: {r: 2, batch: 4, max_steps: 1, warmup: 0}\niterations: 1\nengine: {threads: 2}\n",
        path, rows);
    assert_int_equal(ste_file_write(recipe, b.s, b.len, NULL), 0);
    ste_buf_clear(&b);
    ste_xfree(rows);
    return recipe;
}

static int add_line(void *arg, const char *json, struct ste_err *err)
{
    ste_buf_adds(arg, json);
    ste_buf_addc(arg, '\n');
    return 0;
}

static char *dump(const char *dir)
{
    struct ste_buf b = STE_BUF_INIT;
    struct ste_store *s;
    assert_int_equal(ste_store_open(&s, dir, 0, 1, NULL), 0);
    assert_int_equal(ste_store_dump(s, add_line, &b, NULL), 0);
    ste_store_close(s);
    return ste_buf_detach(&b);
}

/* A run that is refused memory again and again, ever later, and is called again ends in the rows of one that was not.
 */
static void running(void **state)
{
    char *recipe = recipe_file(), *whole = at("whole"), *broken = at("broken"), *report;
    struct ste_err err = {0};
    if (ste_run(recipe, whole, NULL, 0, &context, &err) != 0)
        fail_msg("%s", err.msg);
    long n = 1;
    for (bool more = true; more; n += 1 + n / 16) {
        count_from_here(n, n % 2);
        int rc = ste_run(recipe, broken, NULL, 0, &context, &err);
        more = count_to_here();
        done(rc, &err, "ste_run", n);
    }
    print_message("a run that goes on: %ld allocations\n", n);
    char *want = dump(whole), *got = dump(broken);
    assert_string_equal(got, want);
    assert_non_null(strstr(want, "\"table\":\"example\""));
    n = 0;
    for (bool more = true; more;) {
        n++;
        count_from_here(n, n % 2);
        int rc = ste_run_report(whole, &report, &context, &err);
        more = count_to_here();
        done(rc, &err, "ste_run_report", n);
        assert_true((rc == 0) == (report != NULL));
        ste_free(report);
    }
    print_message("a report: %ld allocations\n", n);
    ste_xfree(want);
    ste_xfree(got);
    ste_xfree(recipe);
    ste_xfree(whole);
    ste_xfree(broken);
}

static long stride = 19; /* of the allocations of a step that are refused; 1 with an argument, which takes long */
static int (*loop_step)(struct ste_loop *l, int iteration, struct ste_err *err);

static int one_step(void *dir, struct ste_err *err)
{
    struct ste_loop *l = NULL;
    int rc = ste_loop_open(&l, dir, NULL, err);
    if (rc == 0)
        rc = loop_step(l, 1, err);
    ste_loop_close(l);
    return rc;
}

static int remove_one(const char *name, const struct stat *s, int kind, struct FTW *f)
{
    return remove(name);
}

/* Before the first training a run is these files. */
static void copy_run(const char *from, const char *to)
{
    static const char *const names[] = {STE_RUN_DATABASE, STE_RUN_RECIPE};
    nftw(to, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    assert_int_equal(mkdir(to, 0700), 0);
    for (int i = 0; i < 2; i++) {
        char *source = ste_path_join(from, names[i]), *target = ste_path_join(to, names[i]);
        struct ste_buf b = STE_BUF_INIT;
        assert_int_equal(ste_file_read(source, SIZE_MAX, &b, NULL), 0);
        assert_int_equal(ste_file_write(target, b.s, b.len, NULL), 0);
        ste_buf_clear(&b);
        ste_xfree(source);
        ste_xfree(target);
    }
}

/* STEP on a copy of the run in FROM, each time with another allocation refused; the run in FROM then has that step
 * behind it. */
static void each_refused(int (*step)(struct ste_loop *l, int iteration, struct ste_err *err), const char *from,
                         const char *what)
{
    char *to = at("copy");
    struct ste_err err = {0};
    const int files = open_files();
    long n = 0;
    loop_step = step;
    for (bool more = true; more;) {
        n += n < 100 ? 1 : stride;
        copy_run(from, to);
        struct ste_domain *d = ste_domain_new();
        count_from_here(n, n % 2);
        int rc = ste_domain_call(d, one_step, to, &err);
        more = count_to_here();
        ste_domain_free(d);
        done(rc, &err, what, n);
        assert_int_equal(open_files(), files);
    }
    print_message("%s: %ld allocations\n", what, n);
    assert_true(n > 100);
    if (one_step((char *)from, &err) != 0)
        fail_msg("%s", err.msg);
    ste_xfree(to);
}

static void one_step_each(void **state)
{
    char *recipe = recipe_file(), *from = at("steps");
    struct ste_err err = {0};
    struct ste_recipe r;
    struct ste_loop *l = NULL;
    const struct ste_context *was = ste_context_set(&context);
    int rc = ste_recipe_load(&r, recipe, &err);
    if (rc == 0)
        rc = ste_loop_open(&l, from, &r, &err);
    if (rc == 0)
        rc = ste_loop_select(l, &err);
    if (rc == 0)
        rc = ste_loop_pair(l, &err);
    if (rc == 0)
        rc = ste_loop_check(l, &err);
    if (rc != 0)
        fail_msg("%s", err.msg);
    ste_loop_close(l);
    ste_recipe_clear(&r);
    each_refused(ste_loop_judge, from, "a step of the loop");
    if ((loop_step = ste_loop_filter, one_step(from, &err)) != 0)
        fail_msg("%s", err.msg);
    each_refused(ste_loop_train, from, "a step of training");
    ste_context_set(was);
    ste_xfree(recipe);
    ste_xfree(from);
}

static int setup(void **state)
{
    refuse_others_too();
    ste_model_close(sm_open(&path, "qwen2"));
    const char *tmp = getenv("TMPDIR");
    folder = ste_xasprintf("%s/ste-memory-%ld", tmp ? tmp : "/tmp", (long)getpid());
    in_memory = ste_xasprintf("/dev/shm/ste-memory-%ld", (long)getpid());
    if (mkdir(in_memory, 0700) == 0) /* thousands of runs: none goes to a disk */
        return symlink(in_memory, folder);
    return mkdir(folder, 0700);
}

static int teardown(void **state)
{
    char *command = ste_xasprintf("rm -rf '%s' '%s'", folder, in_memory);
    int rc = system(command);
    ste_xfree(command);
    ste_xfree(folder);
    ste_xfree(in_memory);
    gw_temp_remove(path);
    return rc;
}

int main(int argc, char **argv)
{
    if (argc > 1)
        stride = 1;
    const struct CMUnitTest tests[] = {cmocka_unit_test(opening), cmocka_unit_test(judging), cmocka_unit_test(running),
                                       cmocka_unit_test(one_step_each)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
