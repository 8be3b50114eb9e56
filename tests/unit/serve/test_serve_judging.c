/* The judging routes from a request's body to its reply, on a judge of paper: an answer "q=N ..." has the worth N, and
 * the judge leans to what stands first. */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "core/json.h"
#include "core/mem.h"
#include "serve/judging.h"

/* ---- an exchange of paper: one request, whose reply is waited for ---- */

struct ste_exchange {
    const char *body;
    const char *const *query; /* names and values */
    pthread_mutex_t lock;
    pthread_cond_t done;
    int status, replies;
    json_t *reply;
    char invalid[16]; /* the header */
};

const char *ste_exchange_body(const struct ste_exchange *x, size_t *n)
{
    *n = strlen(x->body);
    return x->body;
}

const char *ste_exchange_query(const struct ste_exchange *x, const char *name)
{
    for (const char *const *q = x->query; q && *q; q += 2)
        if (strcmp(*q, name) == 0)
            return q[1];
    return NULL;
}

const char *ste_exchange_client(const struct ste_exchange *x)
{
    return "127.0.0.1";
}

bool ste_exchange_gone(const struct ste_exchange *x)
{
    return false;
}

void ste_reply_json(struct ste_exchange *x, int status, json_t *body)
{
    pthread_mutex_lock(&x->lock);
    x->status = status;
    x->reply = body;
    x->replies++;
    pthread_cond_signal(&x->done);
    pthread_mutex_unlock(&x->lock);
}

void ste_reply_error(struct ste_exchange *x, int status, const char *code, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    ste_reply_json(x, status, json_pack("{s:{s:s}}", "error", "message", text));
}

void ste_reply_failed(struct ste_exchange *x, const struct ste_err *err)
{
    ste_reply_error(x, err->code == STE_EINPUT ? 400 : 503, NULL, "%s", err->msg);
}

void ste_reply_header(struct ste_exchange *x, const char *name, const char *value)
{
    assert_string_equal(name, "Ste-Invalid");
    snprintf(x->invalid, sizeof x->invalid, "%s", value);
}

/* ---- a judge of paper ---- */

struct paper {
    struct ste_llm llm;
    struct ste_prepared *waiting;
    size_t n, cap;
};

static double worth(const char **at)
{
    const char *q = strstr(*at, "q=");
    *at = q ? q + 2 : *at;
    return q ? atof(q + 2) : 0;
}

static int prepare(struct ste_llm *l, const struct ste_question *ask, struct ste_prepared *q, struct ste_err *err)
{
    const char *at = ask->messages[ask->n_messages - 1].content;
    if (strstr(at, "TOO LONG"))
        return ste_err_set(err, STE_ETOOLONG, "too long");
    double *out = ste_xcalloc(STE_MAX_CHOICES, sizeof *out);
    if (ask->n_choices == 2) {
        const double a = worth(&at), b = worth(&at), odds = a - b + 0.5; /* 0.5: leans to the first */
        out[0] = -log1p(exp(-odds));
        out[1] = -log1p(exp(odds));
        if (strstr(ask->messages[ask->n_messages - 1].content, "UNSURE"))
            out[0] = out[1] = -5;
    } else {
        const int score = (int)worth(&at);
        for (int i = 0; i < ask->n_choices; i++)
            out[i] = i == score - 1 ? log(0.75) : log(0.01);
        if (ask->prefill)
            out[0] = -20;
    }
    q->own = out;
    q->free_own = ste_xfree;
    return 0;
}

static int submit(struct ste_llm *l, struct ste_prepared *q, struct ste_err *err)
{
    struct paper *p = (struct paper *)l;
    STE_GROW(p->waiting, p->cap, p->n + 1);
    p->waiting[p->n++] = *q;
    *q = (struct ste_prepared){0};
    return 0;
}

static void cancel(struct ste_llm *l, uint64_t ticket)
{
    struct paper *p = (struct paper *)l;
    for (size_t i = 0; i < p->n; i++)
        if (p->waiting[i].ticket == ticket) {
            ste_prepared_clear(&p->waiting[i]);
            p->waiting[i] = p->waiting[--p->n];
        }
}

static int next(struct ste_llm *l, struct ste_answer *out, struct ste_err *err)
{
    struct paper *p = (struct paper *)l;
    if (!p->n)
        return 0;
    struct ste_prepared q = p->waiting[--p->n];
    const double *logprobs = q.own;
    *out = (struct ste_answer){.ticket = q.ticket, .tag = q.tag};
    out->completion = (struct ste_completion){.finish = STE_FINISH_CHOICE, .free_finish = STE_FINISH_END};
    for (int i = 0; i < STE_MAX_CHOICES; i++)
        out->completion.choice_logprobs[i] = (float)logprobs[i];
    out->completion.choice = logprobs[1] > logprobs[0];
    ste_prepared_clear(&q);
    return 1;
}

static const struct ste_llm_ops ops = {.prepare = prepare, .submit = submit, .cancel = cancel, .next = next};
static struct paper paper = {.llm = {.ops = &ops, .about = {.name = "paper", .can = 63, .window = 4}}};
static struct ste_session session = {.name = "paper", .llm = &paper.llm};
static struct ste_judge_options options = {.sampling = {.temperature = 0.7, .top_p = 0.9}};
static struct ste_judging_service service = {.judge = &session, .options = &options};

static int setup(void **state)
{
    static const struct ste_context none;
    struct ste_err err = {0};
    const struct ste_work_params p = {.llm = &paper.llm, .context = &none};
    if (ste_pack_load(&session.pack, "direct", NULL, &err) || ste_work_start(&service.work, &p, &err))
        return -1;
    session.setting =
        (struct ste_judge_setting){.pack = session.pack, .secret = "s", .mode = session.pack->mode, .sampling = {0, 1}};
    return 0;
}

static int teardown(void **state)
{
    ste_work_stop(service.work, 1);
    ste_pack_free(session.pack);
    ste_xfree(paper.waiting);
    ste_xfree(paper.llm.flying);
    return 0;
}

/* ---- asking ---- */

static char invalid[16];

/* The reply to BODY, which the caller frees. */
static json_t *asking(const char *path, const char *const *query, const char *body, int status)
{
    struct ste_exchange x = {.body = body, .query = query, .lock = PTHREAD_MUTEX_INITIALIZER};
    pthread_cond_init(&x.done, NULL);
    size_t n;
    const struct ste_route *routes = ste_judging_table(&service, &n);
    for (size_t i = 0; i < n; i++)
        if (strcmp(routes[i].path, path) == 0)
            routes[i].handle(routes[i].arg, &x);
    pthread_mutex_lock(&x.lock);
    while (!x.replies)
        pthread_cond_wait(&x.done, &x.lock);
    pthread_mutex_unlock(&x.lock);
    if (x.status != status)
        fail_msg("%s: %d: %s", path, x.status, json_dumps(x.reply, JSON_ENCODE_ANY));
    assert_int_equal(x.replies, 1);
    memcpy(invalid, x.invalid, sizeof invalid);
    pthread_cond_destroy(&x.done);
    return x.reply;
}

static const char *text(const json_t *o, const char *key)
{
    return json_string_value(json_object_get(o, key));
}

static double real(const json_t *o, const char *key)
{
    return json_number_value(json_object_get(o, key));
}

#define PAIR(id, a, b) "{\"id\": \"" id "\", \"prompt\": \"p\", \"response_a\": \"" a "\", \"response_b\": \"" b "\"}"

static void test_judge(void **state)
{
    json_t *r = asking("/v1/judge", NULL, PAIR("x", "q=2", "q=1"), 200);
    assert_string_equal(text(r, "id"), "x");
    assert_string_equal(text(r, "verdict"), "A");
    assert_string_equal(text(r, "verdict_two_order"), "A");
    assert_true(fabs(real(r, "margin") - 1) < 1e-6); /* the leaning is gone */
    assert_null(json_object_get(r, "prompt"));
    assert_null(json_object_get(json_object_get(r, "ab"), "reasoning"));
    assert_string_equal(text(json_object_get(r, "ba"), "verdict"), "B");
    json_decref(r);

    /* within the leaning: the orders disagree, the margin does not */
    r = asking("/v1/judge", NULL,
               "{\"pairs\": [" PAIR("x", "q=1", "q=1.25") ", " PAIR("y", "UNSURE", "q=1") ", " PAIR(
                   "z", "TOO LONG", "q=1") "], "
                                           "\"reasons\": true}",
               200);
    const json_t *data = json_object_get(r, "data");
    assert_int_equal(json_array_size(data), 3);
    assert_string_equal(text(json_array_get(data, 0), "verdict"), "tie");
    assert_string_equal(text(json_array_get(data, 0), "verdict_two_order"), "B");
    assert_non_null(json_object_get(json_object_get(json_array_get(data, 0), "ab"), "reasoning"));
    assert_string_equal(text(json_array_get(data, 1), "reason"), "low label mass");
    assert_string_equal(text(json_array_get(data, 2), "verdict"), "invalid");
    assert_string_equal(text(json_array_get(data, 2), "reason"), "prompt too long");
    json_decref(r);

    r = asking("/v1/judge", NULL, "{\"pairs\": [" PAIR("x", "q=1", "q=1.25") "], \"order\": \"one\", \"votes\": 8}",
               200);
    data = json_array_get(json_object_get(r, "data"), 0);
    assert_string_equal(text(data, "verdict"), "A");
    assert_null(json_object_get(data, "verdict_ba"));
    json_decref(r);

    r = asking("/v1/judge", NULL, "{\"pairs\": [" PAIR("x", "q=1", "q=2") ", {}]}", 400);
    const json_t *rows = json_object_get(json_object_get(r, "error"), "rows");
    assert_int_equal(json_array_size(rows), 1);
    assert_int_equal(real(json_array_get(rows, 0), "index"), 1);
    json_decref(r);
    json_decref(asking("/v1/judge", NULL, "{", 400));
    json_decref(asking("/v1/judge", NULL, "", 400));
}

static void test_score(void **state)
{
    json_t *r = asking("/v1/score", NULL,
                       "{\"answers\": [{\"prompt\": \"p\", \"output\": \"q=7\", \"id\": 3}, {\"prompt\": \"p\", "
                       "\"output\": \"TOO LONG\"}]}",
                       200);
    const json_t *data = json_object_get(r, "data");
    assert_int_equal(real(json_array_get(data, 0), "id"), 3);
    assert_int_equal(real(json_array_get(data, 0), "likeliest"), 7);
    assert_true(json_is_null(json_object_get(json_array_get(data, 1), "score")));
    assert_string_equal(text(json_array_get(data, 1), "reason"), "prompt too long");
    json_decref(r);
}

static void test_rank(void **state)
{
    json_t *r = asking("/v1/rank", NULL,
                       "{\"prompt\": \"p\", \"answers\": {\"low\": \"q=1\", \"high\": \"q=3\", \"mid\": \"q=2\", "
                       "\"again\": \"q=3\"}}",
                       200);
    const json_t *order = json_object_get(r, "order"), *answers = json_object_get(r, "answers");
    static const int want[] = {1, 3, 2, 0};
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(json_integer_value(json_array_get(order, i)), want[i]);
    assert_int_equal(real(r, "calls"), 6); /* three different answers, both orders */
    assert_string_equal(text(json_array_get(answers, 1), "name"), "high");
    assert_int_equal(real(json_array_get(answers, 1), "wins"), 2);
    assert_int_equal(real(json_array_get(answers, 1), "ties"), 1);
    assert_int_equal(real(json_array_get(answers, 1), "rank"), 1);
    assert_true(fabs(real(json_array_get(answers, 1), "rating") - real(json_array_get(answers, 3), "rating")) < 1e-9);
    assert_true(json_is_true(json_object_get(r, "penalized")));
    double sum = 0;
    for (size_t i = 0; i < 4; i++)
        sum += real(json_array_get(answers, i), "rating");
    assert_true(fabs(sum) < 1e-9);
    json_decref(r);

    r = asking("/v1/rank", NULL, "{\"prompts\": [{\"prompt\": \"p\", \"answers\": [\"q=1\", \"UNSURE\", \"q=2\"]}]}",
               200);
    const json_t *one = json_array_get(json_object_get(r, "data"), 0);
    assert_int_equal(real(one, "invalid"), 2);
    assert_int_equal(json_integer_value(json_array_get(json_object_get(one, "order"), 0)), 2);
    json_decref(r);
}

static void rewards(const json_t *r, size_t n, const double *want)
{
    const json_t *list = json_object_get(r, "rewards");
    assert_int_equal(json_array_size(list), n);
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_array_get(list, i);
        if (isnan(want[i]) ? !json_is_null(v) : !(fabs(json_number_value(v) - want[i]) < 1e-6))
            fail_msg("reward %zu: %s, not %g", i, json_dumps(v, JSON_ENCODE_ANY), want[i]);
    }
}

#define GROUP "\"prompt\": \"p\", \"responses\": [\"q=1\", \"q=3\", \"q=2\"]"

static void test_group(void **state)
{
    json_t *r = asking("/v1/group", NULL, "{" GROUP "}", 200);
    rewards(r, 3, (const double[]){0, 1, 0.5});
    assert_int_equal(real(r, "calls"), 6);
    json_decref(r);
    r = asking("/v1/group", NULL, "{" GROUP ", \"zero_sum\": true}", 200);
    rewards(r, 3, (const double[]){-0.5, 0.5, 0});
    json_decref(r);
    r = asking("/v1/group", NULL, "{" GROUP ", \"by\": \"margin\"}", 200);
    rewards(r, 3, (const double[]){-1.5, 1.5, 0});
    json_decref(r);
    r = asking("/v1/group", NULL, "{" GROUP ", \"by\": \"margin\", \"anchor\": \"q=2\"}", 200);
    rewards(r, 3, (const double[]){-1, 1, 0}); /* the last one is the anchor's text: a tie that nobody is asked about */
    assert_int_equal(real(r, "calls"), 4);
    json_decref(r);
    r = asking("/v1/group", NULL, "{\"prompt\": \"p\", \"responses\": [\"q=1\", \"q=1\"]}", 200);
    rewards(r, 2, (const double[]){0.5, 0.5});
    assert_int_equal(real(r, "calls"), 0);
    json_decref(r);
    /* what is invalid is left out, and an answer that has nothing else has no reward, or what the request says */
    r = asking("/v1/group", NULL, "{\"prompt\": \"p\", \"responses\": [\"q=1\", \"UNSURE\", \"q=2\"]}", 200);
    rewards(r, 3, (const double[]){0, NAN, 1});
    assert_int_equal(real(r, "invalid"), 1);
    json_decref(r);
    r = asking(
        "/v1/group", NULL,
        "{\"prompt\": \"p\", \"responses\": [\"q=1\", \"UNSURE\", \"q=2\"], \"fallback\": -2, \"zero_sum\": true}",
        200);
    rewards(r, 3, (const double[]){-0.5, -2, 0.5});
    json_decref(r);
    r = asking("/v1/group", NULL, "{" GROUP ", \"by\": \"score\"}", 200);
    const json_t *list = json_object_get(r, "rewards");
    assert_true(json_number_value(json_array_get(list, 1)) > json_number_value(json_array_get(list, 2)) &&
                json_number_value(json_array_get(list, 2)) > json_number_value(json_array_get(list, 0)));
    json_decref(r);
    r = asking("/v1/group", NULL,
               "{\"prompts\": [\"p\", \"x\", \"p\", \"x\"], \"completions\": [\"q=1\", \"q=5\", \"q=2\", \"q=4\"]}",
               200);
    rewards(r, 4, (const double[]){0, 1, 1, 0});
    json_decref(r);
}

#define CHAT "<|im_start|>user\\np<|im_end|>\\n<|im_start|>assistant\\n"

static void test_trainers(void **state)
{
    static const char *const anchor[] = {"label", "anchor", NULL}, *const fallback[] = {"fallback", "0.25", NULL},
                             *const wrong[] = {"label", "y", NULL};
    json_t *r = asking("/get_reward", NULL,
                       "{\"query\": [\"" CHAT "q=7<|im_end|>\", \"" CHAT "q=3\"], \"prompts\": [\"" CHAT "\", \"" CHAT
                       "\"], \"labels\": [\"\", \"\"]}",
                       200);
    const json_t *list = json_object_get(r, "rewards");
    assert_int_equal(json_array_size(list), 2);
    assert_true(json_number_value(json_array_get(list, 0)) > json_number_value(json_array_get(list, 1)));
    assert_true(json_equal(list, json_object_get(r, "scores")));
    assert_int_equal(json_array_size(json_object_get(json_object_get(r, "extra_logs"), "invalid")), 2);
    json_decref(r);
    json_decref(asking("/get_reward", NULL, "{\"query\": [\"" CHAT "TOO LONG\"]}", 422));
    r = asking("/get_reward", fallback, "{\"query\": [\"" CHAT "TOO LONG\"]}", 200);
    rewards(r, 1, (const double[]){0.25});
    assert_string_equal(invalid, "1");
    json_decref(r);
    json_decref(asking("/get_reward", wrong, "{\"query\": [\"" CHAT "q=1\"]}", 400));
    r = asking("/get_reward", anchor,
               "{\"query\": [\"" CHAT "q=2\", \"" CHAT "q=1\"], \"labels\": [\"q=1.5\", \"q=1.5\"]}", 200);
    rewards(r, 2, (const double[]){1, 0});
    json_decref(r);

    r = asking("/remote_rm", NULL, "{\"prompt\": \"" CHAT "\", \"response\": \"q=7\", \"label\": null}", 200);
    assert_true(json_is_real(r) && json_real_value(r) > 5);
    json_decref(r);
    r = asking("/remote_rm", anchor,
               "{\"prompt\": [{\"role\": \"user\", \"content\": \"p\"}], \"response\": \"q=7\", \"label\": \"q=8\"}",
               200);
    assert_true(json_number_value(r) == 0);
    json_decref(r);
    json_decref(asking("/remote_rm", NULL, "{\"prompt\": \"p\", \"response\": \"TOO LONG\"}", 422));
    r = asking("/classify", NULL, "{\"input\": \"" CHAT "q=7<|im_end|>\\n\", \"activation\": false}", 200);
    const json_t *probs = json_object_get(json_array_get(json_object_get(r, "data"), 0), "probs");
    assert_true(json_number_value(json_array_get(probs, 0)) > 5);
    json_decref(r);
    json_decref(asking("/classify", NULL, "{\"input\": [\"no marks\"]}", 400));
    json_decref(asking("/classify", NULL, "{\"input\": []}", 400));
}

static void test_references(void **state)
{
    json_decref(asking("/v1/judge", NULL, PAIR("x", "q=2", "q=1"), 200));
    options.reference = true;
    json_decref(asking("/v1/judge", NULL, PAIR("x", "q=2", "q=1"), 400));
    options.reference = false;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_judge), cmocka_unit_test(test_score),    cmocka_unit_test(test_rank),
        cmocka_unit_test(test_group), cmocka_unit_test(test_trainers), cmocka_unit_test(test_references),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
