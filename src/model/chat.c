#include "model/chat.h"

#include <string.h>

#include "core/mem.h"

/* ChatML: <|im_start|>ROLE\nCONTENT<|im_end|>\n for each message, then the head of the assistant's. The two differ in
 * the system message that they add when the first message is none. */
struct ste_chat_template {
    const char *name;
    const char *default_system;
};

static const struct ste_chat_template templates[] = {
    {"chatml-smollm2", "You are a helpful AI assistant named SmolLM, trained by Hugging Face"},
    {"chatml-qwen2.5", "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."},
};
enum { N_TEMPLATES = sizeof templates / sizeof *templates };

/* A file's template is known when it writes ChatML's markers around each message and names the default system prompt:
 * files of one family differ in white space and in their parts for tools. */
const struct ste_chat_template *ste_chat_recognise(const struct ste_gguf *g)
{
    struct ste_str s;
    if (!ste_gguf_string(g, "tokenizer.chat_template", &s))
        return NULL;
    if (!memmem(s.s, s.n, "'<|im_start|>' + message", 24) || !memmem(s.s, s.n, "<|im_start|>assistant", 21))
        return NULL;
    for (size_t i = 0; i < N_TEMPLATES; i++)
        if (memmem(s.s, s.n, templates[i].default_system, strlen(templates[i].default_system)))
            return &templates[i];
    return NULL;
}

const struct ste_chat_template *ste_chat_by_name(const char *name)
{
    for (size_t i = 0; i < N_TEMPLATES; i++)
        if (!strcmp(templates[i].name, name))
            return &templates[i];
    return NULL;
}

const char *ste_chat_name(const struct ste_chat_template *c)
{
    return c->name;
}

struct ste_message *ste_chat_messages(const struct ste_dialogue *d)
{
    struct ste_message *messages = ste_xcalloc(d->n + 1, sizeof *messages);
    for (size_t i = 0; i < d->n; i++)
        messages[i] = (struct ste_message){ste_role_name(d->turns[i].role), d->turns[i].text};
    return messages;
}

/* The prompt so far: ids, and plain text that is not tokenized yet, since neighbouring plain text is one text. */
struct rendering {
    const struct ste_tokenizer *t;
    struct ste_tokens *out;
    struct ste_buf plain;
    int32_t start, end;
};

static int add_control(struct rendering *r, int32_t id, struct ste_err *err)
{
    int rc = r->plain.len ? ste_tokenize(r->t, r->plain.s, r->plain.len, false, r->out, err) : 0;
    ste_buf_reset(&r->plain);
    if (!rc && id >= 0)
        ste_tokens_add(r->out, id);
    return rc;
}

static int add_message(struct rendering *r, const char *role, const char *content, struct ste_err *err)
{
    int rc = add_control(r, r->start, err);
    if (rc)
        return rc;
    ste_buf_adds(&r->plain, role);
    ste_buf_addc(&r->plain, '\n');
    ste_buf_adds(&r->plain, content);
    if ((rc = add_control(r, r->end, err)))
        return ste_err_wrap(err, "the %s message", role), rc;
    ste_buf_addc(&r->plain, '\n');
    return 0;
}

static int render(struct rendering *r, const struct ste_chat_template *c, const struct ste_message *messages, size_t n,
                  const char *prefill, struct ste_err *err)
{
    int rc = 0;
    if (strcmp(messages[0].role, "system"))
        rc = add_message(r, "system", c->default_system, err);
    for (size_t i = 0; i < n && !rc; i++) {
        const char *role = messages[i].role;
        if (strcmp(role, "system") && strcmp(role, "user") && strcmp(role, "assistant"))
            return ste_err_set(err, STE_EINPUT, "the role '%.40s' is not known (system, user and assistant are)", role);
        rc = add_message(r, role, messages[i].content, err);
    }
    if (!rc)
        rc = add_control(r, r->start, err);
    ste_buf_adds(&r->plain, "assistant\n");
    ste_buf_adds(&r->plain, prefill ? prefill : "");
    return rc ? rc : add_control(r, -1, err);
}

int ste_chat_tokenize(const struct ste_model *m, const struct ste_message *messages, size_t n, const char *prefill,
                      struct ste_tokens *out, struct ste_err *err)
{
    struct rendering r = {m->tokenizer, out, STE_BUF_INIT, ste_token_id(m->tokenizer, "<|im_start|>"),
                          ste_token_id(m->tokenizer, "<|im_end|>")};
    size_t had = out->n;
    if (!m->chat)
        return ste_err_set(
            err, STE_EINPUT,
            "%s has no chat template that is known; name one: STE_CHAT_TEMPLATE=%s is that of most %s models",
            ste_gguf_path(m->gguf), m->hp.arch->chat ? m->hp.arch->chat : templates[0].name, m->hp.arch->name);
    if (r.start < 0 || r.end < 0)
        return ste_err_set(err, STE_EINPUT,
                           "%s: the vocabulary lacks <|im_start|> or <|im_end|>, which the chat template %s writes",
                           ste_gguf_path(m->gguf), m->chat->name);
    if (!n)
        return ste_err_set(err, STE_EINPUT, "a chat needs a message at least");
    int rc = render(&r, m->chat, messages, n, prefill, err);
    ste_buf_clear(&r.plain);
    if (rc)
        out->n = had;
    return rc;
}
