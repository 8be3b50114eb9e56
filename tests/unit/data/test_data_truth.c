/* Known answers: what a row says, and what an answer comes to beside it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/json.h"
#include "data/truth.h"

static char *truth_of(const char *json, struct ste_err *err)
{
    struct ste_dialogue d = {0};
    json_t *row = ste_json_parse(json, strlen(json), "a row", err);
    char *truth = NULL;
    assert_non_null(row);
    assert_int_equal(ste_dialogue_read(&d, row, "f:1", err), 0);
    if (ste_truth_read(row, &d, &truth, "f:1", err) != 0)
        assert_null(truth);
    ste_dialogue_clear(&d);
    json_decref(row);
    return truth;
}

static void test_rows(void **state)
{
    static const char *const rows[][2] = {
        {"{\"prompt\": \"q\", \"answer\": 42}", "number 42"},
        {"{\"prompt\": \"q\", \"answer\": \"$1,234.50\"}", "number 1234.5"},
        {"{\"prompt\": \"q\", \"answer\": \"6 / 2 = 3 of them.\\n#### 3\"}", "number 3"},
        {"{\"prompt\": \"q\", \"answer\": \"so \\\\boxed{\\\\frac{3}{4}}.\"}", "number 0.75"},
        {"{\"prompt\": \"q\", \"answer\": \"(C)\"}", "choice C"},
        {"{\"prompt\": \"q\", \"answer\": \"D.\"}", "choice D"},
        {"{\"prompt\": \"q\", \"answer\": \"x + 3\"}", NULL},
        {"{\"prompt\": \"q\", \"answer\": \"It depends on 3 things.\"}", NULL},
        {"{\"prompt\": \"q\"}", NULL},
        {"{\"prompt\": \"q\", \"answer\": 1, \"test_list\": [\"assert f(1)\"], \"test_imports\": [\"import re\"]}",
         "tests\nimport re\nassert f(1)\n"},
        {"{\"question\": \"q\", \"answer\": \"3 * 4 = 12\\n#### 12\"}", "number 12"},
        {"{\"problem\": \"q\", \"solution\": \"So \\\\boxed{7}.\"}", "number 7"},
        {"{\"question\": \"q\", \"choices\": [\"a\", \"b\"], \"answer\": 1}", "choice B"},
        {"{\"question\": \"q\", \"choices\": [\"a\", \"b\"], \"answer\": 12}", NULL},
        {"{\"prompt\": \"Write f. It should pass:\\nassert f(2) == 3\"}", "tests\nassert f(2) == 3\n"},
    };
    struct ste_err err = {0};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *truth = truth_of(rows[i][0], &err);
        if (rows[i][1])
            assert_string_equal(truth, rows[i][1]);
        else
            assert_null(truth);
        free(truth);
    }
    assert_null(truth_of("{\"prompt\": \"q\", \"tests\": [1]}", &err));
    assert_string_equal(err.msg, "f:1: tests must be a text or a list of texts, lines of Python");
}

static void test_findings(void **state)
{
    static const struct {
        const char *truth, *answer;
        enum ste_finding found;
    } cases[] = {
        {"number 42", "6 * 7 = 42", STE_FOUND_RIGHT},
        {"number 42", "The answer is 42 apples.", STE_FOUND_RIGHT},
        {"number 42", "There were 40 and 2, so the answer is \\boxed{42}. Check: 42 - 2 = 40.", STE_FOUND_RIGHT},
        {"number 1234", "It costs **$1,234.00**.", STE_FOUND_RIGHT},
        {"number -3", "x = -3", STE_FOUND_RIGHT},
        {"number 3", "10-7 is 3", STE_FOUND_RIGHT},
        {"number 0.75", "The answer is 3/4.", STE_FOUND_RIGHT},
        {"number 20", "Step 1: 4 * 5 = 20\nStep 2: that is 20 m^2", STE_FOUND_RIGHT},
        {"number 2", "The answer is 2. That took 12 minutes.", STE_FOUND_RIGHT},
        {"number 42", "The answer is 43.", STE_FOUND_WRONG},
        {"number 42", "First 42 and then one more.\nSo 43 in all.", STE_FOUND_WRONG},
        {"number 2", "It takes 2 hours (120 minutes).", STE_FOUND_UNCLEAR},
        {"number 33.333", "About 33.3", STE_FOUND_UNCLEAR},
        {"number 42", "I would count them.", STE_FOUND_UNCLEAR},
        {"choice B", "B", STE_FOUND_RIGHT},
        {"choice B", "B. Because of the weather.", STE_FOUND_RIGHT},
        {"choice B", "A good question. The correct answer is (B) the sea.", STE_FOUND_RIGHT},
        {"choice B", "The answer is **C**.", STE_FOUND_WRONG},
        {"choice B", "The answer is A or B.", STE_FOUND_UNCLEAR},
        {"choice B", "Both may be right.", STE_FOUND_UNCLEAR},
        {"choice B", "A tree", STE_FOUND_UNCLEAR},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (ste_truth_find(cases[i].truth, cases[i].answer) != cases[i].found)
            fail_msg("%s: \"%s\": %d", cases[i].truth, cases[i].answer,
                     (int)ste_truth_find(cases[i].truth, cases[i].answer));
}

static void test_code(void **state)
{
    char *code =
        ste_truth_code("Run `pip`:\n```bash\npip\n```\nthen\n```python\nimport re\ndef f():\n    return 1\n```\nDone.");
    assert_string_equal(code, "import re\ndef f():\n    return 1");
    free(code);
    code = ste_truth_code("def f():\n    return 1");
    assert_string_equal(code, "def f():\n    return 1");
    free(code);
    assert_null(ste_truth_code("I would write a function."));
    assert_null(ste_truth_code("```python\ndef f():\n    ret"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows), cmocka_unit_test(test_findings),
                                       cmocka_unit_test(test_code)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
