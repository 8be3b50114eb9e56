/* Judges through ste.h: two of them in two threads at once, and what a caller may do wrong. Under ThreadSanitizer: make
 * tsan. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <pthread.h>
#include <unistd.h>

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

/* Rows say what the structs say, whichever rows stand beside them; what is no row is named. */
static void rows_as_the_program_has_them(void **state)
{
    static const char rows[] =
        "{\"id\": \"x\", \"prompt\": \"say hello\", \"response_a\": \"hello\", \"response_b\": \"no\", \"mine\": 7}\n\n"
        "{\"prompt\": \"hell\", \"response_a\": \"hello hello hello hello\", \"response_b\": \"h\"}";
    struct ste_judge *j;
    struct ste_err err = {0};
    struct ste_preference want[3];
    char *name = ste_xasprintf("likelihood:%s", path), *text, *alone;
    assert_int_equal(ste_judge_open(&j, name, NULL, &context, &err), 0);
    assert_int_equal(ste_judge_compare(j, pairs, 3, want, &err), 0);
    assert_int_equal(ste_judge_compare_rows(j, rows, &text, &err), 0);
    char *second = strchr(text, '\n') + 1;
    json_t *first = json_loads(text, JSON_DISABLE_EOF_CHECK, NULL), *other = json_loads(second, 0, NULL);
    assert_string_equal(json_string_value(json_object_get(first, "id")), "x");
    assert_int_equal(json_integer_value(json_object_get(first, "mine")), 7);
    assert_int_equal(*json_string_value(json_object_get(first, "verdict")), want[0].verdict);
    assert_true(json_number_value(json_object_get(first, "margin")) == want[0].margin);
    assert_true(json_number_value(json_object_get(other, "margin")) == want[2].margin);
    assert_int_equal(json_string_length(json_object_get(other, "id")), 32);
    assert_int_equal(ste_judge_compare_rows(j, strchr(rows, '\n'), &alone, &err), 0);
    assert_string_equal(alone, second);
    json_decref(first);
    json_decref(other);
    ste_free(alone);
    ste_free(text);
    assert_int_equal(ste_judge_compare_rows(j, "", &text, &err), 0);
    assert_string_equal(text, "");
    ste_free(text);
    assert_int_equal(ste_judge_compare_rows(j, "{\"prompt\": \"p\", \"response_a\": \"a\"}", &text, &err), STE_EINPUT);
    assert_null(text);
    assert_non_null(strstr(err.msg, "row 1: "));
    assert_int_equal(ste_judge_compare_rows(j, "{} []", &text, &err), STE_EINPUT);
    assert_int_equal(ste_judge_score_rows(j, "", &text, &err), STE_EUSAGE);
    ste_preferences_clear(want, 3);
    ste_judge_close(j);
    free(name);
}

static char *file_of(const char *text)
{
    char at[] = "/tmp/ste-rows-XXXXXX";
    const int fd = mkstemp(at);
    assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
    return ste_xstrdup(at);
}

static void figures_as_the_program_has_them(void **state)
{
    char *data = file_of("{\"prompt\": \"hell\", \"chosen\": \"hello hello\", \"rejected\": \"h\"}\n"
                         "{\"prompt\": \"say\", \"chosen\": \"x\", \"rejected\": \"hello\"}\n"),
         *answers = file_of("{\"prompt\": \"hell\", \"answers\": {\"one\": \"hello hello\", \"two\": \"h\"}}\n"),
         *name = ste_xasprintf("likelihood:%s", path), *json;
    const struct ste_judge_config config = {.options = (const char *const[]){"normalise=token"}, .n_options = 1};
    struct ste_judge *j;
    struct ste_err err = {0};
    assert_int_equal(ste_judge_open(&j, name, &config, &context, &err), 0);
    assert_int_equal(
        ste_judge_evaluate(j, (const char *const *)&data, 1, (const char *const[]){"logits=true"}, 1, &json, &err), 0);
    json_t *figures = json_loads(json, 0, NULL);
    assert_string_equal(json_string_value(json_object_get(figures, "judge")), name);
    assert_string_equal(json_string_value(json_object_get(json_object_get(figures, "provenance"), "normalise")),
                        "token");
    assert_int_equal(json_integer_value(json_object_get(json_object_get(figures, "overall"), "pairs")), 2);
    json_decref(figures);
    ste_free(json);
    assert_int_equal(ste_judge_evaluate(j, NULL, 0, NULL, 0, &json, &err), STE_EUSAGE);
    assert_int_equal(
        ste_judge_evaluate(j, (const char *const *)&data, 1, (const char *const[]){"limits=1"}, 1, &json, &err),
        STE_EUSAGE);
    assert_non_null(strstr(err.msg, "limit"));
    assert_int_equal(ste_judge_evaluate(j, (const char *const[]){"/no/such.jsonl"}, 1, NULL, 0, &json, &err), STE_EIO);
    assert_null(json);

    assert_int_equal(
        ste_judge_rank(j, (const char *const *)&answers, 1, (const char *const[]){"verdict=two-order"}, 1, &json, &err),
        0);
    figures = json_loads(json, 0, NULL);
    assert_string_equal(json_string_value(json_object_get(figures, "verdict")), "two-order");
    assert_int_equal(json_array_size(json_object_get(figures, "models")), 2);
    json_decref(figures);
    ste_free(json);
    assert_int_equal(ste_judge_rank(j, (const char *const *)&data, 1, NULL, 0, &json, &err), STE_EINPUT);
    assert_null(json);
    ste_judge_close(j);
    unlink(data);
    unlink(answers);
    ste_xfree(data);
    ste_xfree(answers);
    free(name);
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
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_judges_in_two_threads), cmocka_unit_test(errors_are_sentences),
        cmocka_unit_test(rows_as_the_program_has_them), cmocka_unit_test(figures_as_the_program_has_them)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
