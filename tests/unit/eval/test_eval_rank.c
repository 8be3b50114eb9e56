/* Ratings, the schedule of comparisons, and answers of several models. Ratings against choix: tests/interop/rating.py.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "core/rng.h"
#include "data/answers.h"
#include "eval/ranking.h"
#include "eval/schedule.h"

/* Two models: the maximum has the odds of the results, wins a to b with each tie half. */
static void two_models_by_hand(void **state)
{
    (void)state;
    const struct ste_match m[] = {{0, 1, 1, 1}, {0, 1, 1, 2}, {1, 0, 1, 3}, {0, 1, 0.5, 4}};
    double r[2];
    int which;
    assert_int_equal(ste_rate_models(m, 4, 2, 0, r, &which, NULL), 0);
    assert_float_equal(r[0] - r[1], log(2.5 / 1.5), 1e-9);
    assert_true(fabs(r[0] + r[1]) < 1e-9);
    assert_float_equal(ste_elo(0), 1000, 1e-9);
    assert_float_equal(ste_elo(log(10)), 1400, 1e-9);
}

static void no_finite_rating(void **state)
{
    (void)state;
    const struct ste_match m[] = {{0, 1, 1, 1}, {0, 1, 1, 2}, {1, 2, 0, 3}};
    double r[3];
    int which = -1;
    struct ste_err err = {0};
    assert_int_equal(ste_rate_models(m, 3, 3, 0, r, &which, &err), STE_EINPUT);
    assert_true(which >= 0 && err.msg[0]);
    struct ste_strings models = {0};
    struct ste_ranking ranking;
    ste_strings_add(&models, "strong");
    ste_strings_add(&models, "weak");
    ste_strings_add(&models, "middle");
    assert_int_equal(ste_ranking_of(&ranking, &models, m, 3, 1, 0, &err), 0); /* drawn to the mean, and said */
    assert_true(ranking.penalized);
    assert_int_equal(ranking.order[2], 1);
    assert_int_equal(ranking.prompts, 3);
    struct ste_buf table = STE_BUF_INIT;
    ste_ranking_table(&ranking, &table);
    for (const char *line = table.s; line && *line;) {
        const char *end = strchr(line, '\n');
        assert_true(end - line <= 80);
        line = end + 1;
    }
    assert_non_null(strstr(table.s, "1 without a result"));
    ste_buf_clear(&table);
    ste_ranking_clear(&ranking);
    ste_strings_clear(&models);
}

/* Models that never met: two groups, each with its own mean; one without a result has no rating. */
static void groups_are_rated_apart(void **state)
{
    (void)state;
    static const char *const names[] = {"p", "q", "r", "s", "t", "alone"};
    const struct ste_match m[] = {{0, 1, 1, 1}, {1, 0, 1, 2}, {2, 3, 1, 3}, {3, 2, 1, 4}, {3, 2, 1, 5}, {4, 3, 0.5, 6}};
    struct ste_strings models = {0};
    struct ste_ranking r;
    struct ste_buf table = STE_BUF_INIT;
    double apart[3];
    int which;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        ste_strings_add(&models, names[i]);
    assert_int_equal(ste_ranking_of(&r, &models, m, 6, 0, 0, NULL), 0);
    assert_int_equal(r.n_groups, 3);
    assert_false(r.penalized);
    const int group[] = {0, 0, 1, 1, 1, 2}, order[] = {0, 1, 3, 4, 2, 5};
    for (int i = 0; i < 6; i++) {
        assert_int_equal(r.group[i], group[i]);
        assert_int_equal(r.order[i], order[i]);
    }
    assert_float_equal(r.elo[0].value, 1000, 1e-6);
    assert_float_equal(r.elo[1].value, 1000, 1e-6);
    const struct ste_match of[] = {{0, 1, 1, 3}, {1, 0, 1, 4}, {1, 0, 1, 5}, {2, 1, 0.5, 6}};
    assert_int_equal(ste_rate_models(of, 4, 3, 0, apart, &which, NULL), 0);
    for (int i = 0; i < 3; i++)
        assert_float_equal(r.elo[2 + i].value, ste_elo(apart[i]), 1e-6);
    assert_true(isnan(r.elo[5].value));
    ste_ranking_table(&r, &table);
    assert_non_null(strstr(table.s, "3 groups that never met"));
    assert_non_null(strstr(table.s, "group 2\n"));
    assert_null(strstr(table.s, "drawn a little"));
    json_t *j = ste_ranking_json(&r);
    assert_int_equal(json_integer_value(json_object_get(j, "groups")), 3);
    const json_t *last = json_array_get(json_object_get(j, "models"), 5);
    assert_int_equal(json_integer_value(json_object_get(last, "group")), 3);
    assert_true(json_is_null(json_object_get(last, "rating")));
    json_decref(j);
    ste_buf_clear(&table);
    ste_ranking_clear(&r);
    ste_strings_clear(&models);
}

/* Intervals of simulated models hold the true difference to the mean about as often as they say. */
static void intervals_hold(void **state)
{
    (void)state;
    enum { MODELS = 4, SETS = 60, MATCHES = 400 };
    const double truth[MODELS] = {-0.8, -0.1, 0.2, 0.7};
    struct ste_match m[MATCHES];
    struct ste_rate rate[MODELS];
    int held = 0;
    for (uint64_t s = 0; s < SETS; s++) {
        struct ste_rng rng;
        ste_rng_init(&rng, s, 5);
        for (int k = 0; k < MATCHES; k++) {
            const int i = (int)ste_rng_below(&rng, MODELS), j = (i + 1 + (int)ste_rng_below(&rng, MODELS - 1)) % MODELS;
            m[k] = (struct ste_match){i, j, ste_rng_uniform(&rng) < 1 / (1 + exp(truth[j] - truth[i])), (uint64_t)k};
        }
        ste_rate_intervals(m, MATCHES, MODELS, 0, s, rate);
        for (int i = 0; i < MODELS; i++)
            held += rate[i].lo <= truth[i] && truth[i] <= rate[i].hi;
    }
    assert_in_range(held, 0.90 * SETS * MODELS, 0.99 * SETS * MODELS);
}

static char folder[] = "/tmp/ste-rank-XXXXXX";

static void file_of(const char *name, const char *text, char path[256])
{
    snprintf(path, 256, "%s/%s", folder, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static int read_answers(struct ste_answers *a, const char *name, const char *text, const char *questions,
                        struct ste_err *err)
{
    char path[256];
    struct ste_strings paths = {0};
    file_of(name, text, path);
    ste_strings_add(&paths, path);
    int rc = ste_answers_read(a, &paths, questions, err);
    ste_strings_clear(&paths);
    unlink(path);
    return rc;
}

static void answers_of_all_forms(void **state)
{
    (void)state;
    struct ste_answers a;
    struct ste_err err = {0};
    char questions[256];
    file_of("q.jsonl", "{\"question_id\": 7, \"turns\": [\"Say hi.\", \"Again.\"]}\n", questions);
    assert_int_equal(
        read_answers(&a, "x.jsonl",
                     "{\"prompt\": \"Say hi.\", \"output\": \"hi\", \"generator\": \"m\"}\n"
                     "{\"instruction\": \"Add 1 and 1.\", \"answers\": {\"m\": \"2\", \"n\": \"3\"}}\n"
                     "{\"question_id\": 7, \"model_id\": \"n\", \"choices\": [{\"turns\": [\"hello\", \"hey\"]}]}\n",
                     questions, &err),
        0);
    assert_int_equal(a.n, 2); /* the question's text is the first prompt's */
    assert_int_equal(a.models.n, 2);
    assert_string_equal(ste_answer_of(&a, 0, 0), "hi");
    assert_string_equal(ste_answer_of(&a, 0, 1), "hello");
    assert_string_equal(ste_answer_of(&a, 1, 1), "3");
    ste_answers_clear(&a);
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"{\"prompt\": \"p\", \"output\": \"o\", \"model\": \"m\"}\n", "two or more"},
        {"{\"prompt\": \"p\", \"output\": \"o\", \"model\": \"m\"}\n{\"prompt\": \"p\", \"output\": \"q\", \"model\": "
         "\"m\"}\n",
         "x.jsonl:2: m has answered"},
        {"{\"prompt\": \"p\"}\n", "x.jsonl:1: no answer"},
        {"{\"question_id\": 8, \"model_id\": \"m\", \"choices\": [{\"turns\": [\"a\"]}]}\n",
         "x.jsonl:1: an answer without"},
        {"{\"question_id\": 7, \"model_id\": \"m\", \"choices\": [{\"turns\": [1]}]}\n", "x.jsonl:1: turns"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(read_answers(&a, "x.jsonl", bad[i].text, questions, &err), STE_EINPUT);
        if (!strstr(err.msg, bad[i].says))
            fail_msg("\"%s\" does not say \"%s\"", err.msg, bad[i].says);
    }
    unlink(questions);
}

/* Every pair of answers once in the end; pairs of models alike at first; near ones later. */
static void schedule_tells_most(void **state)
{
    (void)state;
    struct ste_answers a;
    struct ste_err err = {0};
    struct ste_buf text = STE_BUF_INIT;
    for (int p = 0; p < 20; p++)
        ste_buf_addf(&text, "{\"prompt\": \"p%d\", \"answers\": {\"a\": \"1\", \"b\": \"2\", \"c\": \"3\"}}\n", p);
    assert_int_equal(read_answers(&a, "s.jsonl", text.s, NULL, &err), 0);
    struct ste_bouts *s = ste_bouts_new(&a, 3);
    struct ste_bout bouts[70];
    int of[3][3] = {0};
    bool taken[20][3][3] = {0};
    assert_int_equal(ste_bouts_next(s, 12, NULL, bouts), 12);
    for (int k = 0; k < 12; k++)
        of[bouts[k].i][bouts[k].j]++;
    assert_int_equal(of[0][1], 4);
    assert_int_equal(of[0][2], 4);
    assert_int_equal(of[1][2], 4);
    const double ratings[] = {0, 0.1, 5}; /* c's results are known before */
    size_t n = 12 + ste_bouts_next(s, 10, ratings, bouts + 12), near = 0;
    for (size_t k = 12; k < n; k++)
        near += bouts[k].i == 0 && bouts[k].j == 1;
    assert_true(near >= 8);
    n += ste_bouts_next(s, 48, ratings, bouts + n);
    assert_int_equal(n, 60);
    assert_int_equal(ste_bouts_next(s, 1, ratings, bouts), 0);
    for (size_t k = 1; k < n; k++) {
        assert_false(taken[bouts[k].prompt][bouts[k].i][bouts[k].j]);
        taken[bouts[k].prompt][bouts[k].i][bouts[k].j] = true;
    }
    ste_bouts_free(s);
    ste_answers_clear(&a);
    ste_buf_clear(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_models_by_hand),     cmocka_unit_test(no_finite_rating),
        cmocka_unit_test(groups_are_rated_apart), cmocka_unit_test(intervals_hold),
        cmocka_unit_test(answers_of_all_forms),   cmocka_unit_test(schedule_tells_most),
    };
    if (!mkdtemp(folder))
        return 1;
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    rmdir(folder);
    return rc;
}
