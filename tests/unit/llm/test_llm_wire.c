/* A server's replies as answers: those that fit what was asked, and all that do not. And names of servers. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "core/context.h"
#include "core/file.h"
#include "core/json.h"
#include "core/mem.h"
#include "llm/endpoint.h"
#include "llm/wire.h"

static struct ste_dialect vllm = {STE_API_VLLM, STE_WAY_IDS, "base", false, "max_completion_tokens", 0, -1};
static struct ste_dialect llama = {STE_API_LLAMA_SERVER, STE_WAY_IDS, "base", false, "max_tokens", 300, 7};
static struct ste_dialect turn = {STE_API_OPENAI, STE_WAY_TURN, "base", false, "max_tokens", 0, -1};
static struct ste_dialect vote = {STE_API_OPENAI, STE_WAY_VOTE, "base", false, "max_tokens", 0, -1};

static struct ste_ask *question(int max_tokens, bool labels)
{
    struct ste_ask *a = ste_xcalloc(1, sizeof *a);
    a->messages = ste_xstrdup("[{\"content\":\"Hi\",\"role\":\"user\"}]");
    a->sampling = (struct ste_sampling){.temperature = 0.7, .top_p = 0.9};
    a->max_tokens = max_tokens;
    a->key = 0x123456789abcdef0;
    a->choice = -1;
    for (int i = 0; i < 2 && labels; i++) {
        a->choices[a->n_choices++] = ste_xstrdup(i ? "B" : "A");
        ste_tokens_add(&a->choice_ids[i], 50 + i);
        a->alive[i] = true;
    }
    if (labels)
        ste_tokens_add(&a->closing, 9);
    return a;
}

static json_t *request(const struct ste_dialect *d, const struct ste_ask *a, const char *path)
{
    char *text;
    assert_string_equal(ste_wire_request(d, a, NULL, &text), path);
    json_t *body = json_loads(text, 0, NULL);
    char *same = ste_json_canonical(body);
    assert_string_equal(text, same);
    ste_xfree(same);
    ste_xfree(text);
    return body;
}

static bool has(json_t *body, const char *json)
{
    json_t *want = json_loads(json, 0, NULL), *was = json_copy(body);
    assert_non_null(want);
    json_object_update(was, want);
    const bool same = json_equal(was, body);
    json_decref(want);
    json_decref(was);
    return same;
}

static void take(const struct ste_dialect *d, struct ste_ask *a, const char *reply, enum ste_wire want)
{
    char *why;
    const enum ste_wire got = ste_wire_take(d, a, reply, strlen(reply), &why);
    if (got != want)
        fail_msg("%s: %d, not %d (%s)", reply, got, want, why ? why : "");
    assert_int_equal(why != NULL, got == STE_WIRE_BAD);
    ste_xfree(why);
}

static void free_text(void **state)
{
    struct ste_ask *a = question(12, false);
    a->stops = ste_xstrdup("[\"[[\"]");
    json_t *b = request(&vllm, a, "/v1/chat/completions");
    assert_true(
        has(b, "{\"model\": \"base\", \"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}], \"top_k\": -1,"
               "\"max_completion_tokens\": 12, \"return_token_ids\": true, \"temperature\": 0.7, \"stop\": [\"[[\"],"
               "\"top_p\": 0.9, \"min_p\": 0.0, \"repetition_penalty\": 1.0, \"seed\": 448585456}"));
    assert_null(json_object_get(b, "n"));
    json_decref(b);
    take(&vllm, a,
         "{\"choices\": [{\"index\": 0, \"message\": {\"role\": \"assistant\", \"content\": \"Hello\"}, "
         "\"finish_reason\":"
         "\"stop\", \"stop_reason\": null, \"token_ids\": [19, 2]}], \"prompt_token_ids\": [1, 96]}",
         STE_WIRE_DONE);
    struct ste_answer out = {0};
    ste_wire_answer(a, &out);
    assert_string_equal(out.text, "Hello");
    assert_int_equal(out.completion.finish, STE_FINISH_END);
    assert_int_equal(out.completion.n_free, 2);
    assert_int_equal(out.n_written, 1); /* less the end of the turn */
    assert_int_equal(out.n_prompt, 2);
    assert_int_equal(out.prompt[1], 96);
    assert_int_equal(out.completion.choice, -1);
    ste_answer_clear(&out);
    ste_ask_free(a);

    a = question(12, false); /* hosted: nothing that it does not know */
    b = request(&turn, a, "/v1/chat/completions");
    assert_true(has(b, "{\"max_tokens\": 12}"));
    assert_null(json_object_get(b, "top_k"));
    assert_null(json_object_get(b, "min_p"));
    assert_null(json_object_get(b, "return_token_ids"));
    json_decref(b);
    ste_ask_free(a);
}

static void no_answers(void **state)
{
#define CHAT(choices) "{\"choices\": [" choices "]}"
#define CHOICE(index, message, finish) "{\"index\": " index ", \"message\": " message ", \"finish_reason\": " finish "}"
#define TEXT "{\"role\": \"assistant\", \"content\": \"x\"}"
    static const char *const bad[] = {
        "",
        "null",
        "[]",
        "<html>",
        "{",
        "{}",
        "{\"choices\": null}",
        "{\"choices\": []}",
        "{\"error\": {\"message\": \"late\"}, \"choices\": [" CHOICE("0", TEXT, "\"stop\"") "]}",
        "{\"error\": \"Unauthorized\"}",
        CHAT("7"),
        CHAT(CHOICE("1", TEXT, "\"stop\"")),
        CHAT(CHOICE("null", TEXT, "\"stop\"")),
        CHAT(CHOICE("0", TEXT, "\"stop\"") "," CHOICE("0", TEXT, "\"stop\"")),
        CHAT(CHOICE("0", TEXT, "null")),
        CHAT(CHOICE("0", TEXT, "\"content_filter\"")),
        CHAT(CHOICE("0", TEXT, "\"abort\"")),
        CHAT(CHOICE("0", TEXT, "\"tool_calls\"")),
        CHAT(CHOICE("0", "null", "\"stop\"")),
        CHAT(CHOICE("0", "{\"content\": null}", "\"stop\"")),
        CHAT(CHOICE("0", "{\"content\": null}", "\"length\"")),
        CHAT(CHOICE("0", "{\"content\": null, \"reasoning\": \"so\"}", "\"stop\"")),
        CHAT(CHOICE("0", "{\"content\": [\"x\"]}", "\"stop\"")),
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct ste_ask *a = question(12, false);
        take(&turn, a, bad[i], STE_WIRE_BAD);
        assert_false(a->have_free);
        take(&turn, a, CHAT(CHOICE("0", TEXT, "\"length\"")), STE_WIRE_DONE); /* the next try is not harmed */
        ste_ask_free(a);
    }
    struct ste_ask *a = question(12, false); /* without its ids it is no answer of vLLM's */
    take(&vllm, a, CHAT(CHOICE("0", TEXT, "\"stop\"")), STE_WIRE_BAD);
    ste_ask_free(a);
    /* the limit came before the reasoning ended: an answer that was cut */
    for (int i = 0; i < 2; i++) {
        a = question(12, false);
        take(&turn, a,
             i ? CHAT(CHOICE("0", "{\"content\": null, \"reasoning_content\": \"so\"}", "\"length\""))
               : CHAT(CHOICE("0", "{\"content\": null, \"reasoning\": \"so\"}", "\"length\"")),
             STE_WIRE_DONE);
        struct ste_answer out = {0};
        ste_wire_answer(a, &out);
        assert_string_equal(out.text, "");
        assert_int_equal(out.completion.finish, STE_FINISH_LENGTH);
        ste_answer_clear(&out);
        ste_ask_free(a);
    }
}

#define LABELS(of)                                                                                                     \
    "{\"choices\": [{\"index\": 0, \"text\": \"I\", \"logprobs\": {\"top_logprobs\": [" of "]}, \"finish_reason\": "   \
    "\"length\"}]}"

static void labels_of_vllm(void **state)
{
    struct ste_ask *a = question(0, true);
    json_t *b = request(&vllm, a, "/tokenize");
    assert_true(has(b, "{\"add_generation_prompt\": true}"));
    json_decref(b);
    take(&vllm, a, "{\"count\": 2, \"tokens\": []}", STE_WIRE_BAD);
    take(&vllm, a, "{\"count\": 2, \"tokens\": [1, 4093]}", STE_WIRE_MORE);
    b = request(&vllm, a, "/v1/completions");
    assert_true(has(b, "{\"prompt\": [1, 4093, 9], \"max_tokens\": 1, \"logprob_token_ids\": [50, 51], \"logprobs\": 0,"
                       "\"temperature\": 0.0, \"return_tokens_as_token_ids\": true, \"add_special_tokens\": false}"));
    json_decref(b);
    take(&vllm, a, LABELS("{\"token_id:57\": -2.1, \"token_id:50\": -5.5}"), STE_WIRE_BAD); /* one is missing */
    take(&vllm, a, LABELS("{\"I\": -2.1}"), STE_WIRE_BAD);
    take(&vllm, a, LABELS(""), STE_WIRE_BAD);
    take(&vllm, a, LABELS("{\"token_id:57\": -2.1, \"token_id:50\": -5.5, \"token_id:51\": -9999.0}"), STE_WIRE_DONE);
    struct ste_answer out = {0};
    ste_wire_answer(a, &out);
    assert_int_equal(out.completion.finish, STE_FINISH_CHOICE);
    assert_int_equal(out.completion.choice, 0);
    assert_true(fabs((double)out.completion.choice_logprobs[0] + 5.5) < 1e-6);
    assert_int_equal(out.completion.n, 2);
    assert_int_equal(out.completion.tokens[0], 9);
    assert_int_equal(out.completion.tokens[1], 50);
    assert_int_equal(out.completion.n_free, 0);
    ste_answer_clear(&out);
    ste_ask_free(a);

    a = question(12, true); /* behind reasoning that was cut, no labels are asked for */
    take(&vllm, a,
         "{\"choices\": [{\"index\": 0, \"message\": {\"content\": \"so\"}, \"finish_reason\": \"length\", "
         "\"token_ids\":"
         "[5]}], \"prompt_token_ids\": [1]}",
         STE_WIRE_DONE);
    assert_int_equal(a->choice, -1);
    ste_ask_free(a);
    a = question(12, true); /* else behind what was written, less the end of the turn */
    take(&vllm, a,
         "{\"choices\": [{\"index\": 0, \"message\": {\"content\": \"so\"}, \"finish_reason\": \"stop\", \"token_ids\":"
         "[5, 2]}], \"prompt_token_ids\": [1]}",
         STE_WIRE_MORE);
    b = request(&vllm, a, "/v1/completions");
    assert_true(has(b, "{\"prompt\": [1, 5, 9]}"));
    json_decref(b);
    ste_ask_free(a);
}

static void labels_of_two_tokens(void **state)
{
    struct ste_ask *a = question(0, true);
    ste_tokens_add(&a->choice_ids[0], 60); /* 50 60 and 51 */
    take(&vllm, a, "{\"tokens\": [1]}", STE_WIRE_MORE);
    a->sampling.temperature = 0;
    take(&vllm, a, LABELS("{\"token_id:50\": -0.5, \"token_id:51\": -1.5}"), STE_WIRE_MORE);
    json_t *b = request(&vllm, a, "/v1/completions");
    assert_true(has(b, "{\"prompt\": [1, 9, 50], \"logprob_token_ids\": [60]}"));
    json_decref(b);
    take(&vllm, a, LABELS("{\"token_id:60\": -0.25}"), STE_WIRE_DONE);
    assert_int_equal(a->choice, 0);
    assert_true(a->logprobs[0] == -0.75f && a->logprobs[1] == -1.5f);
    ste_ask_free(a);
}

static void labels_of_llama_server(void **state)
{
    struct ste_ask *a = question(8, true);
    json_decref(request(&llama, a, "/apply-template"));
    take(&llama, a, "{\"prompt\": \"<user>Hi\"}", STE_WIRE_MORE);
    json_t *b = request(&llama, a, "/tokenize");
    assert_true(has(b, "{\"content\": \"<user>Hi\", \"add_special\": true, \"parse_special\": true}"));
    json_decref(b);
    take(&llama, a, "{\"tokens\": [1, 3]}", STE_WIRE_MORE);
    b = request(&llama, a, "/completion");
    assert_true(
        has(b, "{\"prompt\": [1, 3], \"n_predict\": 8, \"top_k\": 0, \"min_p\": 0.0, \"return_tokens\": true}"));
    json_decref(b);
    take(&llama, a, "{\"content\": \"so\", \"tokens\": [5], \"stop_type\": \"none\"}", STE_WIRE_BAD);
    take(&llama, a, "{\"content\": \"so\", \"tokens\": [5], \"stop_type\": \"eos\", \"truncated\": true}",
         STE_WIRE_BAD);
    take(&llama, a, "{\"content\": \"so\", \"tokens\": [5], \"stop_type\": \"eos\", \"truncated\": false}",
         STE_WIRE_MORE);
    assert_int_equal(a->free.n, 2);
    assert_int_equal(a->free.ids[1], 7); /* the end of the turn, which the reply leaves out */
    b = request(&llama, a, "/completion");
    assert_true(has(b, "{\"prompt\": [1, 3, 5, 9], \"n_predict\": 1, \"n_probs\": 256}"));
    json_decref(b);
    /* a label is not among them: then all; a token's text may have a NUL */
    take(&llama, a,
         "{\"completion_probabilities\": [{\"id\": 50, \"top_logprobs\": [{\"id\": 50, \"token\": \"\\u0000\","
         "\"logprob\": -0.1}]}]}",
         STE_WIRE_MORE);
    b = request(&llama, a, "/completion");
    assert_true(has(b, "{\"n_probs\": 300}"));
    json_decref(b);
    take(&llama, a, "{\"completion_probabilities\": [{\"id\": 50, \"top_logprobs\": []}]}", STE_WIRE_BAD);
    take(&llama, a,
         "{\"completion_probabilities\": [{\"id\": 50, \"top_logprobs\": [{\"id\": 50, \"logprob\": -3.5},"
         "{\"id\": 51, \"logprob\": -0.125}]}]}",
         STE_WIRE_DONE);
    assert_true(a->logprobs[0] == -3.5f && a->logprobs[1] == -0.125f);
    assert_int_equal(a->choice, 1);
    ste_ask_free(a);
}

#define TOP(tokens)                                                                                                    \
    "{\"choices\": [{\"index\": 0, \"message\": {\"content\": \"A\"}, \"finish_reason\": \"length\", \"logprobs\": "   \
    "{\"content\": [{\"token\": \"A\", \"top_logprobs\": [" tokens "]}]}}]}"

static void labels_by_turn(void **state)
{
    struct ste_ask *a = question(0, true);
    json_t *b = request(&turn, a, "/v1/chat/completions");
    assert_true(
        has(b, "{\"messages\": [{\"role\": \"user\", \"content\": \"Hi\\n\\nReply with A or B and nothing else.\"}],"
               "\"logprobs\": true, \"top_logprobs\": 20, \"max_tokens\": 1, \"temperature\": 0.0}"));
    json_decref(b);
    take(&turn, a, CHAT(CHOICE("0", TEXT, "\"stop\"")), STE_WIRE_BAD);
    take(&turn, a,
         TOP("{\"token\": \"A\", \"logprob\": -1.0}, {\"token\": \" A\", \"logprob\": -1.0}, {\"token\": \"The\","
             "\"logprob\": -2.0}"),
         STE_WIRE_DONE);
    assert_true(fabs((double)a->logprobs[0] - log(2 * exp(-1))) < 1e-6);
    assert_true(isinf(a->logprobs[1]));
    assert_int_equal(a->choice, 0);
    ste_ask_free(a);

    a = question(8, true); /* behind what was written: a turn of its own */
    take(&turn, a, CHAT(CHOICE("0", TEXT, "\"stop\"")), STE_WIRE_MORE);
    b = request(&turn, a, "/v1/chat/completions");
    assert_true(has(b,
                    "{\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}, {\"role\": \"assistant\", \"content\":"
                    "\"x\"}, {\"role\": \"user\", \"content\": \"Reply with A or B and nothing else.\"}]}"));
    json_decref(b);
    ste_ask_free(a);
}

static void labels_by_vote(void **state)
{
    static const struct {
        const char *text;
        int label;
    } of[] = {{"A", 0}, {" **B**.", 1}, {"B, since A is short", 1}, {"Answer", -1}, {"neither", -1}, {"", -1}};
    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        struct ste_ask *a = question(0, true);
        char *reply = ste_xasprintf(CHAT(CHOICE("0", "{\"content\": \"%s\"}", "\"stop\"")), of[i].text);
        take(&vote, a, reply, STE_WIRE_DONE);
        assert_int_equal(a->choice, of[i].label < 0 ? 0 : of[i].label);
        if (of[i].label < 0)
            assert_true(isinf(a->logprobs[0]) && isinf(a->logprobs[1])); /* no mass: no verdict */
        else
            assert_true(fabs(exp((double)a->logprobs[of[i].label]) - 2.0 / 3) < 1e-6);
        ste_xfree(reply);
        ste_ask_free(a);
    }
}

/* Drawn at the temperature, by the question's key, and the same each time. */
static void drawn_labels(void **state)
{
    int taken[2] = {0};
    for (int i = 0; i < 400; i++) {
        int first = -1;
        for (int again = 0; again < 2; again++) {
            struct ste_ask *a = question(0, true);
            a->sample_choice = true;
            a->sampling.temperature = 1;
            a->key = (uint64_t)i * 0x9E3779B97F4A7C15u;
            take(&vllm, a, "{\"tokens\": [1]}", STE_WIRE_MORE);
            take(&vllm, a, LABELS("{\"token_id:50\": -1.609438, \"token_id:51\": -0.223144}"), STE_WIRE_DONE);
            assert_true(first < 0 || first == a->choice);
            first = a->choice;
            ste_ask_free(a);
        }
        taken[first]++;
    }
    assert_in_range(taken[0], 50, 112); /* a fifth */
}

static void refusals(void **state)
{
    static const struct {
        long status;
        const char *body;
        enum ste_refusal want;
    } of[] = {
        {429, "", STE_REFUSAL_BUSY},
        {503, "{\"error\": {\"message\": \"Loading model\"}}", STE_REFUSAL_BUSY},
        {429, "{\"error\": {\"code\": \"insufficient_quota\"}}", STE_REFUSAL_ALL},
        {400, "This model's maximum context length is 2048 tokens. However, ...", STE_REFUSAL_TOO_LONG},
        {400, "{\"error\": {\"type\": \"exceed_context_size_error\"}}", STE_REFUSAL_TOO_LONG},
        {400, "{\"error\": {\"code\": \"context_length_exceeded\"}}", STE_REFUSAL_TOO_LONG},
        {400, "temperature must be positive", STE_REFUSAL_QUESTION},
        {422, "Unexpected fields", STE_REFUSAL_QUESTION},
        {401, "{\"error\": \"Unauthorized\"}", STE_REFUSAL_ALL},
        {403, "", STE_REFUSAL_ALL},
        {404, "{\"detail\": \"Not Found\"}", STE_REFUSAL_ALL},
        {307, "", STE_REFUSAL_ALL},
        {500, "EngineCore encountered an issue", STE_REFUSAL_FAULT},
        {502, "", STE_REFUSAL_FAULT},
        {501, "", STE_REFUSAL_ALL},
    };
    for (size_t i = 0; i < sizeof of / sizeof *of; i++)
        assert_int_equal(ste_wire_refusal(of[i].status, of[i].body, strlen(of[i].body)), of[i].want);
}

static const char *setting(void *arg, const char *name)
{
    return strcmp(name, (const char *)arg) == 0 ? "sesame" : NULL;
}

static void names(void **state)
{
    struct ste_endpoint e;
    struct ste_err err;
    assert_true(ste_endpoint_is("http://localhost:8000/v1#base") && ste_endpoint_is("a.yaml"));
    assert_false(ste_endpoint_is("smollm2-135m-instruct") || ste_endpoint_is("a.gguf"));
    assert_int_equal(ste_endpoint_read(&e, "http://a:1/v1/,https://b/v1#org/base", &err), 0);
    assert_int_equal(e.urls.n, 2);
    assert_string_equal(e.urls.items[0], "http://a:1/v1");
    assert_string_equal(e.model, "org/base");
    assert_null(e.key);
    ste_endpoint_clear(&e);
    static const char *const bad[] = {"ftp://a#b", "http://", "http://u:secret@a/v1#b", "http://a/v1?key=secret#b"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(ste_endpoint_read(&e, bad[i], &err), STE_EUSAGE);
        assert_null(strstr(err.msg, "secret"));
        ste_endpoint_clear(&e);
    }
    /* OPENAI_API_KEY is for api.openai.com alone */
    const struct ste_context c = {.setting = setting, .arg = "OPENAI_API_KEY"},
                             mine = {.setting = setting, .arg = "STE_API_KEY"};
    static const struct {
        const char *name;
        bool openai, own;
    } keys[] = {{"https://api.openai.com/v1#gpt", true, true},
                {"https://api.openai.com.evil.org/v1#gpt", false, true},
                {"http://api.openai.com/v1#gpt", false, true},
                {"https://api.openai.com/v1,http://a/v1#gpt", false, true}};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        for (int own = 0; own < 2; own++) {
            const struct ste_context *was = ste_context_set(own ? &mine : &c);
            assert_int_equal(ste_endpoint_read(&e, keys[i].name, &err), 0);
            ste_context_set(was);
            assert_int_equal(e.key != NULL, own ? keys[i].own : keys[i].openai);
            ste_endpoint_clear(&e);
        }
}

static void files(void **state)
{
    struct ste_endpoint e;
    struct ste_err err;
    char folder[] = "/tmp/ste-endpoint-XXXXXX";
    assert_non_null(mkdtemp(folder));
    char *path = ste_path_join(folder, "judge.yaml");
    static const char good[] = "url: [http://a:1/v1, http://b:1/v1]\nmodel: base\napi: vllm\nmax_in_flight: 512\n";
    assert_int_equal(ste_file_write(path, good, strlen(good), NULL), 0);
    assert_int_equal(ste_endpoint_read(&e, path, &err), 0);
    assert_int_equal(e.urls.n, 2);
    assert_int_equal(e.api, STE_API_VLLM);
    assert_int_equal(e.max_in_flight, 512);
    ste_endpoint_clear(&e);
    static const char *const bad[] = {"model: base\n",
                                      "url: http://a\nmodle: b\n",
                                      "url: http://a\napi: tgi\n",
                                      "url: http://a\nkey_env: NOT_THERE\n",
                                      "url: http://a\nkey_file: /not/there\n",
                                      "url: http://a\nkey_env: A\nkey_file: B\n",
                                      "- http://a\n"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(ste_file_write(path, bad[i], strlen(bad[i]), NULL), 0);
        assert_true(ste_endpoint_read(&e, path, &err) < 0);
        ste_endpoint_clear(&e);
    }
    unlink(path);
    rmdir(folder);
    ste_xfree(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(free_text),
        cmocka_unit_test(no_answers),
        cmocka_unit_test(labels_of_vllm),
        cmocka_unit_test(labels_of_two_tokens),
        cmocka_unit_test(labels_of_llama_server),
        cmocka_unit_test(labels_by_turn),
        cmocka_unit_test(labels_by_vote),
        cmocka_unit_test(drawn_labels),
        cmocka_unit_test(refusals),
        cmocka_unit_test(names),
        cmocka_unit_test(files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
