#include <math.h>
#include <string.h>

#include "core/buf.h"
#include "core/mem.h"
#include "core/strings.h"
#include "serve/openai.h"

/* Fields that change nothing here. */
static const char *const ignored[] = {"user",
                                      "metadata",
                                      "store",
                                      "service_tier",
                                      "safety_identifier",
                                      "prompt_cache_key",
                                      "prompt_cache_retention",
                                      "parallel_tool_calls",
                                      NULL};
static const char *const taken[] = {"model",      "messages", "prompt",         "n",        "temperature",
                                    "top_p",      "top_k",    "min_p",          "stop",     "seed",
                                    "max_tokens", "stream",   "stream_options", "logprobs", "max_completion_tokens",
                                    NULL};

struct reader {
    const json_t *body;
    const char **code;
    struct ste_err *err;
};

/* The field, but for null, which is as none. */
static const json_t *get(const struct reader *r, const char *key)
{
    const json_t *v = json_object_get(r->body, key);
    return json_is_null(v) ? NULL : v;
}

static int wrong(const struct reader *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int wrong(const struct reader *r, const char *fmt, ...)
{
    struct ste_buf b = STE_BUF_INIT;
    va_list ap;
    va_start(ap, fmt);
    ste_buf_vaddf(&b, fmt, ap);
    va_end(ap);
    ste_err_set(r->err, STE_EINPUT, "%s", b.s);
    ste_buf_clear(&b);
    *r->code = "invalid_value";
    return STE_EINPUT;
}

static int lacking(const struct reader *r, const char *key, const char *what)
{
    *r->code = "unsupported_parameter";
    return ste_err_set(r->err, STE_EUSAGE, "\"%s\" is not supported here%s%s", key, *what ? ": " : "", what);
}

static int real(const struct reader *r, const char *key, double least, double most, double *out)
{
    const json_t *v = get(r, key);
    if (!v)
        return 0;
    const double x = json_number_value(v);
    if (!json_is_number(v) || !(x >= least && x <= most))
        return wrong(r, "\"%s\" must be a number from %g to %g", key, least, most);
    *out = x;
    return 0;
}

static int whole(const struct reader *r, const char *key, long long least, long long most, int *out)
{
    const json_t *v = get(r, key);
    if (!v)
        return 0;
    if (!json_is_integer(v) || json_integer_value(v) < least || json_integer_value(v) > most)
        return wrong(r, "\"%s\" must be a whole number from %lld to %lld", key, least, most);
    *out = (int)json_integer_value(v);
    return 0;
}

static int flag(const struct reader *r, const char *key, bool *out)
{
    const json_t *v = get(r, key);
    if (v && !json_is_boolean(v))
        return wrong(r, "\"%s\" must be true or false", key);
    *out = json_is_true(v);
    return 0;
}

/* ---- messages ---- */

/* The text of CONTENT: a string, or parts of type text, which follow one another. */
static int content_of(const struct reader *r, struct ste_openai_request *out, const json_t *content, size_t i,
                      const char **text)
{
    struct ste_buf all = STE_BUF_INIT;
    size_t k;
    json_t *part;
    int rc = 0;
    *text = json_string_value(content);
    if (*text)
        return 0;
    if (!json_is_array(content))
        return wrong(r, "messages[%zu].content must be a text or a list of parts of text", i);
    json_array_foreach(content, k, part)
    {
        const char *type = json_string_value(json_object_get(part, "type")),
                   *is = json_string_value(json_object_get(part, "text"));
        if (type && strcmp(type, "text") != 0) {
            ste_buf_clear(&all);
            *r->code = "unsupported_content";
            return ste_err_set(r->err, STE_EUSAGE,
                               "messages[%zu].content[%zu] is of type \"%.40s\"; the models here read text alone", i, k,
                               type);
        }
        if (!is) {
            rc = wrong(r, "messages[%zu].content[%zu] must have the type \"text\" and a text", i, k);
            break;
        }
        ste_buf_adds(&all, is);
    }
    if (rc) {
        ste_buf_clear(&all);
        return rc;
    }
    *text = out->texts[out->n_texts++] = ste_buf_detach(&all);
    return 0;
}

static int read_messages(const struct reader *r, struct ste_openai_request *out)
{
    static const char *const roles[] = {"system", "developer", "user", "assistant", NULL};
    const json_t *list = get(r, "messages");
    const size_t n = json_array_size(list);
    if (!n)
        return wrong(r, "\"messages\" must be a list of at least one message");
    out->messages = ste_xcalloc(n, sizeof *out->messages);
    out->texts = ste_xcalloc(n, sizeof *out->texts);
    out->prompts = ste_xcalloc(1, sizeof *out->prompts);
    out->n_prompts = 1;
    for (size_t i = 0; i < n; i++) {
        const json_t *m = json_array_get(list, i);
        const char *role = json_string_value(json_object_get(m, "role"));
        if (!role)
            return wrong(r, "messages[%zu] must have a role and a content", i);
        if (ste_name_find(roles, role) < 0)
            return wrong(r, "messages[%zu].role is \"%.40s\"; it may be system, developer, user or assistant", i, role);
        if (json_object_get(m, "tool_calls") && !json_is_null(json_object_get(m, "tool_calls")))
            return lacking(r, "tool_calls", "the models here call no tools");
        out->messages[i].role = strcmp(role, "developer") == 0 ? "system" : role;
        int rc = content_of(r, out, json_object_get(m, "content"), i, &out->messages[i].content);
        if (rc)
            return rc;
        out->n_messages++;
    }
    return 0;
}

/* ---- prompts ---- */

static int read_ids(const struct reader *r, const json_t *list, struct ste_openai_prompt *p)
{
    const size_t n = json_array_size(list);
    p->ids = ste_xcalloc(n + 1, sizeof *p->ids);
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_array_get(list, i);
        if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > INT32_MAX)
            return wrong(r, "\"prompt\": a list of tokens must hold ids alone");
        p->ids[p->n_ids++] = (int32_t)json_integer_value(v);
    }
    return n ? 0 : wrong(r, "\"prompt\": a list of tokens must not be empty");
}

static int read_prompts(const struct reader *r, struct ste_openai_request *out)
{
    const json_t *p = get(r, "prompt");
    const bool list = json_is_array(p) && !json_is_integer(json_array_get(p, 0));
    const size_t n = list ? json_array_size(p) : 1;
    if ((!json_is_string(p) && !json_is_array(p)) || !n)
        return wrong(r, "\"prompt\" must be a text, a list of token ids, or a list of such");
    if (n > STE_OPENAI_MAX_CHOICES)
        return wrong(r, "\"prompt\" has %zu prompts; it may have %d", n, STE_OPENAI_MAX_CHOICES);
    out->prompts = ste_xcalloc(n, sizeof *out->prompts);
    for (size_t i = 0; i < n; i++) {
        const json_t *one = list ? json_array_get(p, i) : p;
        struct ste_openai_prompt *to = &out->prompts[out->n_prompts++];
        int rc = 0;
        to->text = json_string_value(one);
        if (json_is_array(one))
            rc = read_ids(r, one, to);
        else if (!to->text)
            rc = wrong(r, "\"prompt\" must be a text, a list of token ids, or a list of such");
        if (rc)
            return rc;
    }
    return 0;
}

/* ---- the rest ---- */

static int read_stops(const struct reader *r, struct ste_openai_request *out)
{
    const json_t *v = get(r, "stop");
    const size_t n = json_is_array(v) ? json_array_size(v) : v != NULL;
    if (n > STE_MAX_STOPS)
        return wrong(r, "\"stop\" has %zu texts; it may have %d", n, STE_MAX_STOPS);
    for (size_t i = 0; i < n; i++) {
        const char *s = json_string_value(json_is_array(v) ? json_array_get(v, i) : v);
        if (!s || !*s)
            return wrong(r, "\"stop\" must be a text that is not empty, or a list of such");
        out->stops[out->n_stops++] = s;
    }
    return 0;
}

static int read_limit(const struct reader *r, struct ste_openai_request *out)
{
    int rc = whole(r, "max_tokens", 1, INT32_MAX, &out->max_tokens);
    return rc ? rc : whole(r, "max_completion_tokens", 1, INT32_MAX, &out->max_tokens);
}

static int read_sampling(const struct reader *r, struct ste_openai_request *out)
{
    struct ste_sampling *s = &out->sampling;
    int top_k = 0, rc = real(r, "temperature", 0, 2, &s->temperature);
    if (!rc)
        rc = real(r, "top_p", 0, 1, &s->top_p);
    if (!rc)
        rc = real(r, "min_p", 0, 1, &s->min_p);
    if (!rc)
        rc = whole(r, "top_k", -1, INT32_MAX, &top_k);
    s->top_k = top_k > 0 ? top_k : 0;
    const json_t *seed = get(r, "seed");
    if (!rc && seed && !json_is_integer(seed))
        rc = wrong(r, "\"seed\" must be a whole number");
    out->has_seed = seed != NULL;
    out->seed = (uint64_t)json_integer_value(seed);
    return rc;
}

static int read_stream(const struct reader *r, struct ste_openai_request *out)
{
    int rc = flag(r, "stream", &out->stream);
    const json_t *o = get(r, "stream_options");
    if (rc || !o)
        return rc;
    if (!json_is_object(o) || !out->stream)
        return wrong(r, "\"stream_options\" must be an object, and goes with \"stream\"");
    const struct reader of = {o, r->code, r->err};
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)o, key, v)
    {
        if (strcmp(key, "include_usage") != 0 && strcmp(key, "include_obfuscation") != 0)
            return lacking(r, key, "of stream_options there is include_usage");
    }
    return flag(&of, "include_usage", &out->usage);
}

/* A chat's is a flag with top_logprobs beside it, a completion's is how many alternatives are wanted. */
static int read_logprobs(const struct reader *r, struct ste_openai_request *out)
{
    int most = 0, rc;
    if (!out->chat) {
        out->logprobs = get(r, "logprobs") != NULL;
        rc = whole(r, "logprobs", 0, 5, &most);
        return rc || !most ? rc
                           : lacking(r, "logprobs above 0", "of each token its own is known, without alternatives");
    }
    rc = flag(r, "logprobs", &out->logprobs);
    if (!rc)
        rc = whole(r, "top_logprobs", 0, 20, &most);
    return rc || !most ? rc
                       : lacking(r, "top_logprobs above 0", "of each token its own is known, without alternatives");
}

/* Whether V asks for nothing, as the field's default does. */
static bool is_idle(const char *key, const json_t *v)
{
    const char *s = json_string_value(v);
    if (strcmp(key, "response_format") == 0)
        s = json_string_value(json_object_get(v, "type"));
    return (s && (strcmp(s, "text") == 0 || strcmp(s, "none") == 0)) || json_is_false(v) ||
           (json_is_number(v) && json_number_value(v) == (strcmp(key, "best_of") == 0 ? 1 : 0)) ||
           ((json_is_array(v) || json_is_object(v)) && !json_array_size(v) && !json_object_size(v)) ||
           (strcmp(key, "modalities") == 0 && json_array_size(v) == 1 &&
            strcmp(json_string_value(json_array_get(v, 0)) ? json_string_value(json_array_get(v, 0)) : "", "text") ==
                0);
}

/* Fields that are known, and cannot be done; and those that nobody knows. */
static int check_fields(const struct reader *r, bool chat)
{
    static const char *const known[] = {"response_format",
                                        "tools",
                                        "tool_choice",
                                        "functions",
                                        "function_call",
                                        "logit_bias",
                                        "presence_penalty",
                                        "frequency_penalty",
                                        "best_of",
                                        "echo",
                                        "suffix",
                                        "audio",
                                        "modalities",
                                        "prediction",
                                        "web_search_options",
                                        "reasoning_effort",
                                        "verbosity",
                                        "repetition_penalty",
                                        NULL};
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)r->body, key, v)
    {
        if (json_is_null(v) || ste_name_find(ignored, key) >= 0 || (chat && strcmp(key, "top_logprobs") == 0) ||
            (ste_name_find(taken, key) >= 0 && strcmp(key, chat ? "prompt" : "messages") != 0))
            continue;
        if (ste_name_find(known, key) < 0) {
            *r->code = "unknown_parameter";
            return ste_err_set(r->err, STE_EINPUT, "\"%.60s\" is no field of this request", key);
        }
        if (!is_idle(key, v))
            return lacking(r, key, "");
    }
    return 0;
}

int ste_openai_read(struct ste_openai_request *out, const json_t *body, bool chat, const char **code,
                    struct ste_err *err)
{
    const struct reader r = {body, code, err};
    *out = (struct ste_openai_request){
        .chat = chat, .n = 1, .sampling = {.temperature = 1, .top_p = 1}, .max_tokens = chat ? 0 : 16};
    *code = NULL;
    if (!json_is_object(body))
        return wrong(&r, "the body must be a JSON object");
    out->model = json_string_value(get(&r, "model"));
    if (!out->model)
        return wrong(&r, "\"model\" must name a model; GET /v1/models lists them");
    int rc = check_fields(&r, chat);
    if (!rc)
        rc = chat ? read_messages(&r, out) : read_prompts(&r, out);
    if (!rc)
        rc = whole(&r, "n", 1, STE_OPENAI_MAX_CHOICES, &out->n);
    if (!rc && out->n_prompts * (size_t)out->n > STE_OPENAI_MAX_CHOICES)
        rc = wrong(&r, "%zu prompts with n of %d are %zu choices; a request may have %d", out->n_prompts, out->n,
                   out->n_prompts * (size_t)out->n, STE_OPENAI_MAX_CHOICES);
    if (!rc)
        rc = read_sampling(&r, out);
    if (!rc)
        rc = read_limit(&r, out);
    if (!rc)
        rc = read_stops(&r, out);
    if (!rc)
        rc = read_stream(&r, out);
    return rc ? rc : read_logprobs(&r, out);
}

void ste_openai_clear(struct ste_openai_request *r)
{
    for (size_t i = 0; i < r->n_texts; i++)
        ste_xfree(r->texts[i]);
    for (size_t i = 0; i < r->n_prompts; i++)
        ste_xfree(r->prompts[i].ids);
    ste_xfree(r->texts);
    ste_xfree(r->messages);
    ste_xfree(r->prompts);
    *r = (struct ste_openai_request){0};
}
