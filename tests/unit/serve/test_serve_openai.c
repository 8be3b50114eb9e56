/* The routes of OpenAI's clients: what requests are read as, what is refused and how, the shapes of replies and
 * streams, stops that end within a piece. */
#include "paper.h"

#include <math.h>

#include "fake_exchange.h"
#include "serve/openai.h"

/* ---- requests ---- */

static int read_text(struct ste_openai_request *r, const char *text, bool chat, json_t **body, const char **code,
                     struct ste_err *err)
{
    *body = json_loads(text, JSON_DECODE_ANY, NULL);
    assert_non_null(*body);
    return ste_openai_read(r, *body, chat, code, err);
}

static void reads_a_chat(void **state)
{
    struct ste_openai_request r;
    json_t *body;
    const char *code;
    struct ste_err err = {0};
    assert_int_equal(
        read_text(&r,
                  "{\"model\":\"m\",\"messages\":[{\"role\":\"developer\",\"content\":\"be short\"},{\"role\":\"user\","
                  "\"content\":[{\"type\":\"text\",\"text\":\"one\"},{\"type\":\"text\",\"text\":\" two\"}]}],\"n\":2,"
                  "\"temperature\":0.5,\"top_p\":0.9,\"top_k\":40,\"min_p\":0.1,\"seed\":-7,\"stop\":[\"a\",\"b\"],"
                  "\"max_tokens\":5,\"max_completion_tokens\":9,\"stream\":true,\"stream_options\":{\"include_usage\":"
                  "true},\"logprobs\":true,\"top_logprobs\":0,\"user\":\"me\",\"tools\":[],\"tool_choice\":\"none\","
                  "\"response_format\":{\"type\":\"text\"},\"frequency_penalty\":0,\"presence_penalty\":null,"
                  "\"logit_bias\":{}}",
                  true, &body, &code, &err),
        0);
    assert_int_equal(r.n_messages, 2);
    assert_string_equal(r.messages[0].role, "system");
    assert_string_equal(r.messages[1].content, "one two");
    assert_int_equal(r.n, 2);
    assert_true(r.sampling.temperature == 0.5 && r.sampling.top_p == 0.9 && r.sampling.min_p == 0.1);
    assert_int_equal(r.sampling.top_k, 40);
    assert_true(r.has_seed && r.seed == (uint64_t)-7);
    assert_int_equal(r.n_stops, 2);
    assert_int_equal(r.max_tokens, 9);
    assert_true(r.stream && r.usage && r.logprobs);
    ste_openai_clear(&r);
    json_decref(body);
}

static void reads_completions(void **state)
{
    static const struct {
        const char *prompt;
        size_t prompts, ids;
    } cases[] = {{"\"text\"", 1, 0}, {"[\"a\",\"b\",\"c\"]", 3, 0}, {"[1,2,3]", 1, 3}, {"[[1,2],[3]]", 2, 2}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ste_openai_request r;
        json_t *body;
        const char *code;
        char text[128];
        snprintf(text, sizeof text, "{\"model\":\"m\",\"prompt\":%s,\"logprobs\":0}", cases[i].prompt);
        assert_int_equal(read_text(&r, text, false, &body, &code, NULL), 0);
        assert_int_equal(r.n_prompts, cases[i].prompts);
        assert_int_equal(r.prompts[0].n_ids, cases[i].ids);
        assert_int_equal(r.max_tokens, 16);
        assert_true(r.logprobs && r.sampling.temperature == 1);
        ste_openai_clear(&r);
        json_decref(body);
    }
}

static void refuses(void **state)
{
    static const struct {
        const char *more; /* of the fields */
        bool chat;
        const char *code, *named;
    } cases[] = {
        {"\"tools\":[{\"type\":\"function\"}]", true, "unsupported_parameter", "tools"},
        {"\"response_format\":{\"type\":\"json_object\"}", true, "unsupported_parameter", "response_format"},
        {"\"top_logprobs\":3,\"logprobs\":true", true, "unsupported_parameter", "top_logprobs"},
        {"\"logprobs\":2", false, "unsupported_parameter", "logprobs"},
        {"\"echo\":true", false, "unsupported_parameter", "echo"},
        {"\"suffix\":\"x\"", false, "unsupported_parameter", "suffix"},
        {"\"best_of\":3", false, "unsupported_parameter", "best_of"},
        {"\"logit_bias\":{\"5\":1}", true, "unsupported_parameter", "logit_bias"},
        {"\"presence_penalty\":0.5", true, "unsupported_parameter", "presence_penalty"},
        {"\"modalities\":[\"text\",\"audio\"]", true, "unsupported_parameter", "modalities"},
        {"\"temprature\":0.5", true, "unknown_parameter", "temprature"},
        {"\"temperature\":3", true, "invalid_value", "temperature"},
        {"\"temperature\":\"hot\"", true, "invalid_value", "temperature"},
        {"\"n\":0", true, "invalid_value", "\"n\""},
        {"\"n\":1000", true, "invalid_value", "\"n\""},
        {"\"max_tokens\":0", true, "invalid_value", "max_tokens"},
        {"\"max_tokens\":1.5", true, "invalid_value", "max_tokens"},
        {"\"stop\":[\"\"]", true, "invalid_value", "stop"},
        {"\"stop\":[1]", true, "invalid_value", "stop"},
        {"\"stop\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\"]", true, "invalid_value", "stop"},
        {"\"stream\":1", true, "invalid_value", "stream"},
        {"\"stream_options\":{\"include_usage\":true}", true, "invalid_value", "stream_options"},
        {"\"seed\":1.5", true, "invalid_value", "seed"},
        {"\"messages\":[]", true, "invalid_value", "messages"},
        {"\"messages\":[{\"role\":\"user\"}]", true, "invalid_value", "messages[0]"},
        {"\"messages\":[{\"role\":\"tool\",\"content\":\"x\"}]", true, "invalid_value", "messages[0].role"},
        {"\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\"}]}]", true, "unsupported_content",
         "image_url"},
        {"\"messages\":[{\"role\":\"user\",\"content\":[7]}]", true, "invalid_value", "content[0]"},
        {"\"prompt\":[1,\"a\"]", false, "invalid_value", "prompt"},
        {"\"prompt\":[[]]", false, "invalid_value", "prompt"},
        {"\"prompt\":{}", false, "invalid_value", "prompt"},
        {"\"prompt\":\"x\"", true, "unknown_parameter", "prompt"},
        {"\"model\":7", true, "invalid_value", "model"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ste_openai_request r;
        struct ste_err err = {0};
        const char *code = NULL;
        json_t *body =
            json_loads(cases[i].chat ? "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}"
                                     : "{\"model\":\"m\",\"prompt\":\"hi\"}",
                       0, NULL);
        char text[256];
        snprintf(text, sizeof text, "{%s}", cases[i].more);
        json_t *more = json_loads(text, 0, NULL);
        assert_non_null(more);
        json_object_update(body, more);
        json_decref(more);
        assert_true(ste_openai_read(&r, body, cases[i].chat, &code, &err) < 0);
        assert_string_equal(code, cases[i].code);
        if (!strstr(err.msg, cases[i].named))
            fail_msg("%s: %s", cases[i].more, err.msg);
        ste_openai_clear(&r);
        json_decref(body);
    }
    struct ste_openai_request r;
    const char *code;
    assert_true(ste_openai_read(&r, json_null(), true, &code, NULL) < 0);
    ste_openai_clear(&r);
}

/* ---- what may be told ---- */

static void holds_stops_back(void **state)
{
    const struct ste_openai_request r = {.stops = {"END", "\n\n"}, .n_stops = 2};
    assert_int_equal(ste_openai_safe(&r, "abc", 3, false), 3);
    assert_int_equal(ste_openai_safe(&r, "abcE", 4, false), 3);
    assert_int_equal(ste_openai_safe(&r, "abcEN", 5, false), 3);
    assert_int_equal(ste_openai_safe(&r, "abcENx", 6, false), 6);
    assert_int_equal(ste_openai_safe(&r, "abcEN", 5, true), 5);
    assert_int_equal(ste_openai_safe(&r, "abcEND.", 7, true), 3);
    assert_int_equal(ste_openai_safe(&r, "abcEND.", 7, false), 3);
    assert_int_equal(ste_openai_safe(&r, "a\nE", 3, false), 2);
    assert_int_equal(ste_openai_safe(&r, "a\n\nEND", 6, true), 1);
    assert_int_equal(ste_openai_safe(&r, "", 0, false), 0);
}

static void shapes_logprobs(void **state)
{
    struct ste_openai_token t[2] = {{(char *)"\xE2\x82", 2, -0.5f}, {(char *)"ab", 2, -INFINITY}};
    json_t *l = ste_openai_logprobs(true, t, 2, 0), *first = json_array_get(json_object_get(l, "content"), 0);
    assert_int_equal(json_integer_value(json_array_get(json_object_get(first, "bytes"), 1)), 0x82);
    assert_string_equal(json_string_value(json_object_get(first, "token")), "\xEF\xBF\xBD\xEF\xBF\xBD");
    assert_int_equal(json_array_size(json_object_get(first, "top_logprobs")), 0);
    json_decref(l);
    l = ste_openai_logprobs(false, t, 2, 10);
    assert_int_equal(json_integer_value(json_array_get(json_object_get(l, "text_offset"), 1)), 12);
    assert_true(json_real_value(json_array_get(json_object_get(l, "token_logprobs"), 1)) == -9999);
    json_decref(l);
}

/* ---- the routes ---- */

struct server {
    struct paper p;
    struct ste_work *w;
    struct ste_openai *o;
};

static void open_server(struct server *s)
{
    paper_open(&s->p, 4, 8);
    s->p.loaded = 1;
    const struct ste_work_params params = {.llm = &s->p.llm, .adapter = 1};
    assert_int_equal(ste_work_start(&s->w, &params, NULL), 0);
    s->o = ste_openai_new(&(struct ste_openai_params){
        .work = s->w, .llm = &s->p.llm, .base = "/models/paper.gguf", .judge = "runs/mine/"});
}

static void close_server(struct server *s)
{
    ste_work_stop(s->w, 1);
    ste_openai_free(s->o);
    paper_close(&s->p);
}

static void ask(struct server *s, const char *path, struct ste_exchange *x)
{
    size_t n;
    const struct ste_route *routes = ste_openai_table(s->o, &n);
    x->out = (struct ste_buf)STE_BUF_INIT;
    for (size_t i = 0; i < n; i++)
        if (strcmp(routes[i].path, path) == 0)
            routes[i].handle(routes[i].arg, x);
    for (int i = 0; i < 5000 && !x->ended; i++)
        usleep(1000);
    assert_true(x->ended);
}

static json_t *reply(struct server *s, const char *path, const char *body, int status)
{
    struct ste_exchange x = {.body = body};
    ask(s, path, &x);
    json_t *r = json_loads(x.out.s, 0, NULL);
    assert_non_null(r);
    if (x.status != status)
        fail_msg("%d: %s", x.status, x.out.s);
    ste_buf_clear(&x.out);
    return r;
}

static const char *text_at(const json_t *r, const char *a, size_t i, const char *b, const char *c)
{
    const json_t *at = json_object_get(json_array_get(json_object_get(r, a), i), b);
    return json_string_value(c ? json_object_get(at, c) : at);
}

static const char *error_code(const json_t *r)
{
    return json_string_value(json_object_get(json_object_get(r, "error"), "code"));
}

#define CHAT "/v1/chat/completions"
#define ASK(model, more) "{\"model\":\"" model "\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]" more "}"

static void replies(void **state)
{
    struct server s;
    open_server(&s);
    json_t *r = reply(&s, "/v1/models", "", 200);
    assert_string_equal(text_at(r, "data", 0, "id", NULL), "paper");
    assert_string_equal(text_at(r, "data", 1, "id", NULL), "mine");
    assert_string_equal(text_at(r, "data", 1, "parent", NULL), "paper");
    json_decref(r);
    r = reply(&s, CHAT, ASK("paper", ",\"max_tokens\":5,\"n\":3"), 200);
    assert_string_equal(json_string_value(json_object_get(r, "object")), "chat.completion");
    assert_int_equal(json_array_size(json_object_get(r, "choices")), 3);
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(text_at(r, "choices", i, "message", "content"), "aaaaa");
        assert_string_equal(text_at(r, "choices", i, "message", "role"), "assistant");
        assert_string_equal(text_at(r, "choices", i, "finish_reason", NULL), "length");
    }
    const json_t *usage = json_object_get(r, "usage");
    assert_int_equal(json_integer_value(json_object_get(usage, "prompt_tokens")), 3);
    assert_int_equal(json_integer_value(json_object_get(usage, "completion_tokens")), 15);
    assert_int_equal(json_integer_value(json_object_get(usage, "total_tokens")), 18);
    json_decref(r);
    r = reply(&s, CHAT, ASK("mine", ",\"max_tokens\":2"), 200);
    assert_string_equal(text_at(r, "choices", 0, "message", "content"), "bb");
    assert_string_equal(json_string_value(json_object_get(r, "model")), "mine");
    json_decref(r);
    close_server(&s);
}

static void replies_errors(void **state)
{
    struct server s;
    open_server(&s);
    static const struct {
        const char *body;
        int status;
        const char *code;
    } cases[] = {
        {ASK("other", ""), 404, "model_not_found"},
        {ASK("paper", ",\"tools\":[1]"), 400, "unsupported_parameter"},
        {"{\"model\":\"paper\",\"messages\":[{\"role\":\"user\",\"content\":\"endless\"}]}", 400,
         "context_length_exceeded"},
        {"{\"model\":\"paper\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"endless\"}]}", 400,
         "context_length_exceeded"},
        {"{\"model\":\"paper\",", 400, "invalid_request"},
        {"", 400, "invalid_request"},
        {"[]", 400, "invalid_value"},
        {ASK("paper", ",\"n\":1,\"n\":2"), 400, "invalid_request"},
        {ASK("paper", ",\"logprobs\":true"), 400, "invalid_request"}, /* of a model that is not of this machine */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *r = reply(&s, CHAT, cases[i].body, cases[i].status);
        assert_string_equal(error_code(r), cases[i].code);
        json_decref(r);
    }
    json_decref(reply(&s, "/v1/reload", "", 400));
    s.p.fail_at = s.p.steps + 3;
    json_decref(reply(&s, CHAT, ASK("paper", ",\"max_tokens\":50"), 500));
    struct ste_exchange x = {.body = "", .part = "mine"};
    ask(&s, "/v1/models/{model}", &x);
    assert_int_equal(x.status, 200);
    ste_buf_clear(&x.out);
    close_server(&s);
}

static void streams(void **state)
{
    struct server s;
    open_server(&s);
    struct ste_exchange x = {
        .body = ASK("mine", ",\"max_tokens\":7,\"stream\":true,\"stream_options\":{\"include_usage\":true},\"n\":2")};
    ask(&s, CHAT, &x);
    assert_int_equal(x.status, 200);
    struct ste_buf text[2] = {STE_BUF_INIT, STE_BUF_INIT};
    int pieces = 0, finished = 0, roles = 0, done = 0;
    json_int_t total = 0;
    for (char *at = x.out.s, *end; *at; at = end + 2) {
        end = strstr(at, "\n\n");
        assert_non_null(end);
        assert_memory_equal(at, "data: ", 6);
        *end = 0;
        if (strcmp(at + 6, "[DONE]") == 0) {
            done++;
            continue;
        }
        assert_false(done);
        json_t *e = json_loads(at + 6, 0, NULL), *c = json_array_get(json_object_get(e, "choices"), 0);
        const json_int_t i = json_integer_value(json_object_get(c, "index"));
        const char *piece = json_string_value(json_object_get(json_object_get(c, "delta"), "content"));
        assert_string_equal(json_string_value(json_object_get(e, "object")), "chat.completion.chunk");
        roles += json_object_get(json_object_get(c, "delta"), "role") != NULL;
        finished += json_is_string(json_object_get(c, "finish_reason"));
        if (piece)
            ste_buf_adds(&text[i], piece);
        pieces += piece && *piece;
        assert_non_null(json_object_get(e, "usage"));
        total += json_integer_value(json_object_get(json_object_get(e, "usage"), "total_tokens"));
        json_decref(e);
    }
    assert_int_equal(done, 1);
    assert_int_equal(roles, 2);
    assert_int_equal(finished, 2);
    assert_int_equal(total, 3 + 14);
    assert_true(pieces >= 12);
    for (int i = 0; i < 2; i++) {
        assert_string_equal(text[i].s, "bbbbbbb");
        ste_buf_clear(&text[i]);
    }
    ste_buf_clear(&x.out);
    /* An error in the middle stands in the stream. */
    s.p.fail_at = s.p.steps + 5;
    struct ste_exchange y = {.body = ASK("mine", ",\"max_tokens\":50,\"stream\":true")};
    ask(&s, CHAT, &y);
    assert_int_equal(y.status, 200);
    assert_non_null(strstr(y.out.s, "the paper is torn"));
    assert_null(strstr(y.out.s, "[DONE]"));
    ste_buf_clear(&y.out);
    close_server(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_chat),     cmocka_unit_test(reads_completions), cmocka_unit_test(refuses),
        cmocka_unit_test(holds_stops_back), cmocka_unit_test(shapes_logprobs),   cmocka_unit_test(replies),
        cmocka_unit_test(replies_errors),   cmocka_unit_test(streams),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
