#include <math.h>
#include <string.h>

#include "core/buf.h"
#include "core/mem.h"
#include "core/utf8.h"
#include "serve/openai.h"

size_t ste_openai_safe(const struct ste_openai_request *r, const char *text, size_t n, bool ended)
{
    size_t safe = n;
    for (int i = 0; i < r->n_stops; i++) {
        const size_t len = strlen(r->stops[i]);
        const char *at = memmem(text, n, r->stops[i], len);
        if (at && (size_t)(at - text) < safe)
            safe = (size_t)(at - text);
        for (size_t k = len - 1; !ended && !at && k > 0; k--)
            if (k <= n && memcmp(text + n - k, r->stops[i], k) == 0) {
                safe = n - k < safe ? n - k : safe;
                break;
            }
    }
    return safe;
}

const char *ste_openai_finish(enum ste_finish f)
{
    return f == STE_FINISH_LENGTH ? "length" : "stop";
}

/* A token may end within a character: what is no text stands as U+FFFD. */
static json_t *text_of(const struct ste_openai_token *t)
{
    struct ste_buf b = STE_BUF_INIT;
    for (size_t at = 0; at < t->n;) {
        const size_t good = ste_utf8_bad(t->bytes + at, t->n - at);
        ste_buf_add(&b, t->bytes + at, good);
        at += good;
        if (at < t->n) {
            ste_buf_adds(&b, "\xEF\xBF\xBD");
            at++;
        }
    }
    json_t *s = json_stringn_nocheck(b.s, b.len);
    ste_buf_clear(&b);
    return s;
}

/* JSON knows no infinity; OpenAI's own stands for what is next to impossible. */
static json_t *logprob_of(const struct ste_openai_token *t)
{
    return json_real(isfinite(t->logprob) ? (double)t->logprob : -9999.0);
}

static json_t *chat_logprobs(const struct ste_openai_token *tokens, size_t n)
{
    json_t *content = json_array();
    for (size_t i = 0; i < n; i++) {
        json_t *bytes = json_array();
        for (size_t k = 0; k < tokens[i].n; k++)
            json_array_append_new(bytes, json_integer((unsigned char)tokens[i].bytes[k]));
        json_array_append_new(content, json_pack("{sososos[]}", "token", text_of(&tokens[i]), "logprob",
                                                 logprob_of(&tokens[i]), "bytes", bytes, "top_logprobs"));
    }
    return json_pack("{sosn}", "content", content, "refusal");
}

json_t *ste_openai_logprobs(bool chat, const struct ste_openai_token *tokens, size_t n, size_t offset)
{
    if (chat)
        return chat_logprobs(tokens, n);
    json_t *texts = json_array(), *logprobs = json_array(), *offsets = json_array();
    for (size_t i = 0; i < n; i++) {
        json_t *text = text_of(&tokens[i]);
        json_array_append_new(offsets, json_integer((json_int_t)offset));
        offset += ste_utf8_length(json_string_value(text));
        json_array_append_new(texts, text);
        json_array_append_new(logprobs, logprob_of(&tokens[i]));
    }
    return json_pack("{sososnso}", "tokens", texts, "token_logprobs", logprobs, "top_logprobs", "text_offset", offsets);
}

json_t *ste_openai_choice(const struct ste_openai_head *h, size_t index, bool first, const char *text, size_t n,
                          const char *finish, json_t *logprobs)
{
    json_t *c = json_pack("{sIsoss?}", "index", (json_int_t)index, "logprobs", logprobs ? logprobs : json_null(),
                          "finish_reason", finish),
           *of = h->chat ? json_object() : c;
    if (h->chat && first)
        json_object_set_new(of, "role", json_string("assistant"));
    if (text)
        json_object_set_new(of, h->chat ? "content" : "text", json_stringn_nocheck(text, n));
    else if (!h->chat)
        json_object_set_new(of, "text", json_string(""));
    if (h->chat && !h->stream)
        json_object_set_new(of, "refusal", json_null());
    if (h->chat)
        json_object_set_new(c, h->stream ? "delta" : "message", of);
    return c;
}

json_t *ste_openai_reply(const struct ste_openai_head *h, json_t *choices, const struct ste_openai_usage *usage,
                         bool null_usage)
{
    const char *object = !h->chat ? "text_completion" : h->stream ? "chat.completion.chunk" : "chat.completion";
    json_t *r = json_pack("{sssssIssssso}", "id", h->id, "object", object, "created", (json_int_t)h->created, "model",
                          h->model, "system_fingerprint", h->fingerprint, "choices", choices);
    if (usage)
        json_object_set_new(r, "usage",
                            json_pack("{sIsIsI}", "prompt_tokens", (json_int_t)usage->prompt, "completion_tokens",
                                      (json_int_t)usage->completion, "total_tokens",
                                      (json_int_t)(usage->prompt + usage->completion)));
    else if (null_usage)
        json_object_set_new(r, "usage", json_null());
    return r;
}
