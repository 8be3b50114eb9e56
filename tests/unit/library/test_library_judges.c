/* Judges through ste.h: two of them in two threads at once, and what a caller may do wrong. Under ThreadSanitizer: make
 * tsan. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>

#include "../engine/small_model.h"
#include "ste.h"

enum { N = 5 };
static const struct ste_pair pairs[N] = {{"say hello", "hello", "no"},
                                         {"say hello", "no", "hello"},
                                         {"hell", "hello hello hello hello", "h"},
                                         {"", "two\nlines", "one"},
                                         {"the same", "same", "same"}};
static char *path;

static const char *setting(void *arg, const char *name)
{
    return strcmp(name, "STE_CHAT_TEMPLATE") == 0 ? "chatml-qwen2.5" : NULL;
}

static bool stop(void *arg)
{
    return true;
}

static void say(void *arg, bool warning, const char *text)
{
    ++*(int *)arg;
}

static const struct ste_context context = {.setting = setting};

/* By how likely the answers are, which a random model can do as well as any. */
static void *judge(void *arg)
{
    struct ste_preference *out = arg;
    const struct ste_judge_config config = {.threads = 2, .batch = 3};
    struct ste_judge *j;
    struct ste_err err;
    char *name = ste_xasprintf("likelihood:%s", path);
    if (ste_judge_open(&j, name, &config, &context, &err) == 0) {
        for (int turn = 0; turn < 3; turn++) {
            ste_preferences_clear(out, N);
            if (ste_judge_compare(j, pairs, N, out, &err) != 0)
                out[0].verdict = 'x';
        }
        ste_judge_close(j);
    }
    free(name);
    return NULL;
}

static void two_judges_in_two_threads(void **state)
{
    struct ste_preference want[N] = {{0}}, got[2][N] = {{{0}}};
    pthread_t threads[2];
    judge(want);
    assert_int_not_equal(want[0].verdict, want[1].verdict);
    assert_true(fabs(want[0].margin + want[1].margin) < 1e-9 && want[0].margin != 0);
    assert_int_equal(want[4].verdict, '=');
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, judge, got[i]), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < 2; i++)
        for (int p = 0; p < N; p++) {
            assert_int_equal(got[i][p].verdict, want[p].verdict);
            assert_int_equal(got[i][p].two_order, want[p].two_order);
            assert_true(got[i][p].margin == want[p].margin);
        }
    ste_preferences_clear(want, N);
    ste_preferences_clear(got[0], N);
    ste_preferences_clear(got[1], N);
}

static void errors_are_sentences(void **state)
{
    struct ste_judge *j;
    struct ste_err err = {0};
    struct ste_preference out;
    double score;
    int said = 0;
    assert_int_equal(ste_judge_open(&j, "/no/such.gguf", NULL, NULL, &err), STE_ENOTFOUND);
    assert_null(j);
    assert_non_null(strstr(err.msg, "/no/such.gguf"));
    assert_int_equal(ste_judge_open(&j, path, &(struct ste_judge_config){.votes = 3}, &context, &err), STE_EUSAGE);
    assert_int_equal(ste_judge_open(&j, path, &(struct ste_judge_config){.pack = "none"}, &context, &err),
                     STE_ENOTFOUND);

    /* A prompt that the context of 1024 tokens does not hold has no verdict, and is warned of. */
    const struct ste_context loud = {.setting = setting, .say = say, .arg = &said};
    assert_int_equal(ste_judge_open(&j, path, NULL, &loud, &err), 0);
    char *prompt = memset(ste_xcalloc(4001, 1), '.', 4000);
    assert_int_equal(ste_judge_compare(j, &(struct ste_pair){prompt, "a", "b"}, 1, &out, &err), 0);
    assert_int_equal(out.verdict, '?');
    assert_string_equal(out.reason, "prompt too long");
    assert_true(said > 0);
    free(prompt);
    ste_preferences_clear(&out, 1);
    assert_int_equal(ste_judge_compare(j, &(struct ste_pair){"p", "a", NULL}, 1, &out, &err), STE_EUSAGE);
    ste_judge_close(j);
    ste_judge_close(NULL);

    const struct ste_context stopped = {.setting = setting, .cancelled = stop};
    char *name = ste_xasprintf("likelihood:%s", path);
    assert_int_equal(ste_judge_open(&j, name, NULL, &stopped, &err), 0);
    assert_int_equal(ste_judge_compare(j, pairs, N, (struct ste_preference[N]){{0}}, &err), STE_EINTERRUPTED);
    assert_int_equal(ste_judge_score(j, pairs, 1, &score, &err), STE_EUSAGE);
    ste_judge_close(j);
    free(name);
    char *report;
    assert_int_equal(ste_run_report("/no/such/run", &report, NULL, &err), STE_ENOTFOUND);
    assert_null(report);
}

static int setup(void **state)
{
    ste_model_close(sm_open(&path, "qwen2"));
    return 0;
}

static int teardown(void **state)
{
    gw_temp_remove(path);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(two_judges_in_two_threads),
                                       cmocka_unit_test(errors_are_sentences)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
