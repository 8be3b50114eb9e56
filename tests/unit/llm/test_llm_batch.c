/* Requests by files: what is written, what is taken from results, and what is wrong with them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "core/file.h"
#include "core/json.h"
#include "core/mem.h"
#include "llm/batch.h"

#define SERVER "http://localhost:8000/v1#base"

static char folder[] = "/tmp/ste-batch-XXXXXX";

static char *at(const char *name)
{
    return ste_path_join(folder, name);
}

static struct ste_question question(const struct ste_message *m, int sample, bool labels)
{
    struct ste_question q = {.messages = m,
                             .n_messages = 1,
                             .max_tokens = 40,
                             .sampling = {.temperature = 0.5, .top_p = 1},
                             .sample = sample};
    for (int i = 0; i < 2 && labels; i++)
        q.choices[q.n_choices++] = i ? "B" : "A";
    return q;
}

/* The answers of N samples in order; the caller clears them. */
static int ask(struct ste_batch *b, int n, bool labels, struct ste_answer *out, bool *whole, struct ste_err *err)
{
    const struct ste_message m = {.role = "user", .content = "Which?"};
    struct ste_llm *l;
    int rc = ste_batch_open(&l, SERVER, b, NULL, err);
    if (rc)
        return rc;
    for (int i = 0; i < n; i++) {
        uint64_t ticket;
        const struct ste_question q = question(&m, i, labels);
        assert_int_equal(ste_llm_submit(l, &q, &ticket, err), 0);
        assert_int_equal(ste_llm_next(l, &out[i], err), 1);
    }
    rc = ste_batch_finish(l, 0, whole, err);
    ste_llm_close(l);
    return rc;
}

static void clear(struct ste_answer *a, int n)
{
    for (int i = 0; i < n; i++)
        ste_answer_clear(&a[i]);
}

/* The custom_id of each line of the file; the caller frees it. */
static char *id_of(const char *path, int line)
{
    struct ste_jsonl *f;
    json_t *row = NULL;
    assert_int_equal(ste_jsonl_open(&f, path, NULL), 0);
    for (int i = 0; i <= line; i++) {
        json_decref(row);
        assert_int_equal(ste_jsonl_next(f, &row, NULL), 1);
    }
    char *id = ste_xstrdup(json_string_value(json_object_get(row, "custom_id")));
    json_decref(row);
    ste_jsonl_close(f);
    return id;
}

static void parts(void **state)
{
    struct ste_answer a[5];
    struct ste_err err;
    bool whole;
    char *one = at("r.jsonl"), *two = at("r.2.jsonl"), *three = at("r.3.jsonl"), *plain = at("plain"),
         *second = at("plain.2");
    struct ste_batch b = {.out = one, .max_requests = 2};
    assert_int_equal(ask(&b, 5, false, a, &whole, &err), 0);
    assert_false(whole);
    assert_int_equal(b.questions, 5);
    assert_int_equal(b.written, 5);
    assert_int_equal(b.files.n, 3);
    assert_string_equal(b.files.items[1], two);
    assert_string_equal(b.files.items[2], three);
    assert_true(ste_file_exists(one) && ste_file_exists(two) && ste_file_exists(three));
    for (int i = 0; i < 5; i++)
        assert_int_equal(a[i].completion.finish, STE_FINISH_FAILED);
    clear(a, 5);
    ste_batch_clear(&b);
    b = (struct ste_batch){.out = plain, .max_bytes = 700};
    assert_int_equal(ask(&b, 4, false, a, &whole, &err), 0);
    assert_true(b.files.n >= 2 && ste_file_exists(plain) && ste_file_exists(second));
    clear(a, 4);
    ste_batch_clear(&b);
    ste_xfree(one);
    ste_xfree(two);
    ste_xfree(three);
    ste_xfree(plain);
    ste_xfree(second);
}

/* A question that is asked twice is one request, and both have its answer. */
static void same(void **state)
{
    const struct ste_message m = {.role = "user", .content = "Which?"};
    struct ste_llm *l;
    struct ste_err err;
    struct ste_answer a;
    uint64_t ticket;
    bool whole;
    char *path = at("same.jsonl");
    struct ste_batch b = {.out = path};
    const struct ste_question q = question(&m, 0, true);
    assert_int_equal(ste_batch_open(&l, SERVER, &b, NULL, &err), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(ste_llm_submit(l, &q, &ticket, &err), 0);
        assert_int_equal(ste_llm_next(l, &a, &err), 1);
        ste_answer_clear(&a);
    }
    assert_int_equal(ste_batch_finish(l, 0, &whole, &err), 0);
    assert_int_equal(b.written, 1);
    assert_true(b.most.requests == 2); /* its label comes in another round */
    ste_llm_close(l);
    ste_batch_clear(&b);
    ste_xfree(path);
}

#define BODY(TEXT, WHY)                                                                                                \
    "{\"choices\": [{\"index\": 0, \"finish_reason\": \"" WHY "\", \"message\": {\"content\": " TEXT                   \
    "}}], \"usage\": {\"prompt_tokens\": 10, \"completion_tokens\": 2}}"

static void results(void **state)
{
    static const struct {
        const char *response, *error;
        bool again, too_long;
        const char *text; /* of an answer; NULL: it failed */
    } of[] = {
        {"{\"status_code\": 200, \"body\": " BODY("\"yes\"", "stop") "}", "null", false, false, "yes"},
        {"{\"status_code\": 200, \"body\": " BODY("\"ye\"", "length") "}", "null", false, false, "ye"},
        {"{\"status_code\": 200, \"body\": " BODY("null", "stop") "}", "null", true, false, NULL},
        {"{\"status_code\": 200, \"body\": " BODY("\"no\"", "content_filter") "}", "null", true, false, NULL},
        {"{\"status_code\": 200, \"body\": null}", "null", true, false, NULL},
        {"{\"status_code\": 429, \"body\": {\"error\": {\"message\": \"too many\"}}}", "null", true, false, NULL},
        {"{\"status_code\": 500, \"body\": null}", "{\"message\": \"vLLM's\"}", true, false, NULL},
        {"{\"status_code\": 400, \"body\": {\"error\": {\"message\": \"not liked\"}}}", "null", false, false, NULL},
        {"{\"status_code\": 400, \"body\": {\"error\": {\"message\": \"maximum context length\"}}}", "null", false,
         true, NULL},
        {"null", "{\"code\": \"batch_expired\", \"message\": \"too late\"}", true, false, NULL},
    };
    const size_t n = sizeof of / sizeof *of;
    char *requests = at("all.jsonl"), *path = at("all.out"), *again = at("again.jsonl"), *name = path;
    struct ste_answer a[16];
    struct ste_err err;
    bool whole;
    struct ste_batch b = {.out = requests};
    assert_int_equal(ask(&b, (int)n, false, a, &whole, &err), 0);
    clear(a, (int)n);
    ste_batch_clear(&b);
    struct ste_buf text = STE_BUF_INIT;
    for (size_t i = 0; i < n; i++) {
        char *id = id_of(requests, (int)(n - 1 - i)); /* in another order */
        ste_buf_addf(&text, "{\"id\": \"x\", \"custom_id\": \"%s\", \"response\": %s, \"error\": %s}\n\n", id,
                     of[n - 1 - i].response, of[n - 1 - i].error);
        ste_xfree(id);
    }
    assert_int_equal(ste_file_write(path, text.s, text.len, NULL), 0);
    const struct ste_strings in = {&name, 1};
    for (int asks = 0; asks < 2; asks++) {
        b = (struct ste_batch){.in = &in, .out = asks ? again : NULL};
        assert_int_equal(ask(&b, (int)n, false, a, &whole, &err), 0);
        assert_int_equal(whole, !asks);
        assert_int_equal(b.used.prompt, 40); /* those that say it, of which some were not taken */
        size_t expect = 0;
        for (size_t i = 0; i < n; i++) {
            expect += of[i].again;
            assert_int_equal(a[i].too_long != NULL, of[i].too_long);
            assert_int_equal(a[i].completion.finish == STE_FINISH_FAILED, !of[i].text);
            if (of[i].text)
                assert_string_equal(a[i].text, of[i].text);
        }
        assert_int_equal(b.written, asks ? expect : 0);
        assert_int_equal(b.failed, asks ? 1 : expect + 1);
        clear(a, (int)n);
        ste_batch_clear(&b);
    }
    ste_buf_clear(&text);
    ste_xfree(requests);
    ste_xfree(path);
    ste_xfree(again);
}

static void wrong(void **state)
{
    static const struct {
        const char *text, *says;
    } of[] = {
        {"{\"custom_id\": \"a\", \"response\": {\"status_code\": 200", "line 1: the file ends within this line"},
        {"\n{\"custom_id\": \"a\", \"resp\n{}\n", "line 2: this is no JSON"},
        {"{\"response\": {}}\n", "line 1: this has no custom_id"},
        {"{\"custom_id\": 7, \"response\": {}}\n", "line 1: this has no custom_id"},
        {"{\"custom_id\": \"0123456789012345678901234567890123456789012345678901234567890123456789\", \"response\": "
         "{}}\n",
         "line 1: this has no custom_id"},
        {"{\"custom_id\": \"a\", \"method\": \"POST\", \"url\": \"/v1\", \"body\": {}}\n",
         "neither a response nor an error"},
        {"{\"custom_id\": \"a\", \"response\": {\"status_code\": 200}}\n{\"custom_id\": \"a\", \"response\": "
         "{\"status_code\": 200}}\n",
         "line 2: a is answered a second time (first in"},
        {"{\"custom_id\": \"a\", \"response\": {\"status_code\": 200}}\n{\"custom_id\": \"a\", \"response\": "
         "{\"status_code\": 500}}\n",
         "line 1: a is of no question here (1 of 1 results are of none)"},
        {"", "2 requests have no result (the first is "},
    };
    char *path = at("wrong.out");
    const struct ste_strings in = {&path, 1};
    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        struct ste_answer a[2] = {0};
        struct ste_err err = {0};
        struct ste_batch b = {.in = &in};
        bool whole;
        assert_int_equal(ste_file_write(path, of[i].text, strlen(of[i].text), NULL), 0);
        assert_int_equal(ask(&b, 2, true, a, &whole, &err), STE_EINPUT);
        if (!strstr(err.msg, of[i].says))
            fail_msg("%s, not %s", err.msg, of[i].says);
        clear(a, 2);
        ste_batch_clear(&b);
    }
    ste_xfree(path);
    struct ste_llm *l;
    struct ste_err err;
    struct ste_batch b = {.out = "/not/there.jsonl"}, counts = {0};
    assert_int_equal(ste_batch_open(&l, "http://localhost:8000/v1", &b, NULL, &err), STE_EUSAGE);
    assert_non_null(strstr(err.msg, "say which model"));
    assert_int_equal(ste_batch_open(&l, "smollm2-135m-instruct", &b, NULL, &err), STE_EUSAGE);
    assert_int_equal(ste_batch_open(&l, "smollm2-135m-instruct", &counts, NULL, &err), 0);
    ste_llm_close(l);
}

static int make(void **state)
{
    return mkdtemp(folder) ? 0 : -1;
}

static int clean(void **state)
{
    char *rm = ste_xasprintf("rm -r %s", folder);
    const int rc = system(rm);
    ste_xfree(rm);
    return rc;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts),
        cmocka_unit_test(same),
        cmocka_unit_test(results),
        cmocka_unit_test(wrong),
    };
    return cmocka_run_group_tests(tests, make, clean);
}
