/* What OpenAI's routes read: the first byte says whether it is a chat, the rest is the body. */
#include <stdlib.h>

#include "core/json.h"
#include "core/mem.h"
#include "serve/openai.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* What is let through must be whole. */
static void check(const struct ste_openai_request *r)
{
    if (!r->model || !r->n_prompts || r->n < 1 || r->n_prompts * (size_t)r->n > STE_OPENAI_MAX_CHOICES ||
        r->chat != (r->n_messages > 0) || r->n_stops > STE_MAX_STOPS || r->max_tokens < 0)
        abort();
    for (size_t i = 0; i < r->n_messages; i++)
        if (!r->messages[i].role || !r->messages[i].content)
            abort();
    for (size_t i = 0; !r->chat && i < r->n_prompts; i++)
        if (!r->prompts[i].text && !r->prompts[i].n_ids)
            abort();
    for (int i = 0; i < r->n_stops; i++)
        if (!*r->stops[i])
            abort();
    const struct ste_sampling *s = &r->sampling;
    if (!(s->temperature >= 0 && s->temperature <= 2 && s->top_p >= 0 && s->top_p <= 1 && s->top_k >= 0))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (!n)
        return 0;
    struct ste_err err = {0};
    struct ste_openai_request r = {0};
    const char *code = NULL;
    char *text = ste_xmemdup(data + 1, n - 1);
    json_t *body = ste_json_parse(text, n - 1, "the body", &err);
    const int rc = body ? ste_openai_read(&r, body, data[0] & 1, &code, &err) : STE_EINPUT;
    if (rc == 0)
        check(&r);
    else if ((rc != STE_EINPUT && rc != STE_EUSAGE) || !*err.msg || (body && !code))
        abort();
    ste_openai_clear(&r);
    json_decref(body);
    ste_xfree(text);
    return 0;
}
