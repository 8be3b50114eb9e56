#include "model/chat.h"

#include <stdio.h>
#include <string.h>

#include "core/context.h"
#include "core/mem.h"
#include "core/utf8.h"
#include "model/chat_named.h"
#include "model/jinja/jinja.h"

struct ste_chat_template {
    struct ste_jinja *jinja; /* NULL: there is none, or WHY it cannot be read */
    struct ste_err why;
    struct ste_jinja_date date;
    char *bos, *eos; /* as text; "" where there is no such token */
};

/* What of a rendered text the messages have. */
enum { FROM_TEMPLATE, FROM_MESSAGE, FROM_SYSTEM, FROM_LAST };

struct ste_message *ste_chat_messages(const struct ste_dialogue *d)
{
    struct ste_message *messages = ste_xcalloc(d->n + 1, sizeof *messages);
    for (size_t i = 0; i < d->n; i++)
        messages[i] = (struct ste_message){ste_role_name(d->turns[i].role), d->turns[i].text};
    return messages;
}

/* ---- which template ---- */

static int read_date(const char *text, struct ste_jinja_date *date, struct ste_err *err)
{
    static const int days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int end = 0;
    if (sscanf(text, "%4d-%2d-%2d%n", &date->year, &date->month, &date->day, &end) != 3 || text[end] ||
        date->year < 1 || date->month < 1 || date->month > 12 || date->day < 1 || date->day > days[date->month - 1])
        return ste_err_set(err, STE_EUSAGE, "the chat's date '%.40s' is none; write it as %s", text, STE_CHAT_DATE);
    return 0;
}

static char *token_text(const struct ste_model *m, const char *key)
{
    struct ste_buf b = STE_BUF_INIT;
    int64_t id;
    if (ste_gguf_int(m->gguf, key, &id) && id >= 0 && id < ste_token_count(m->tokenizer))
        ste_detokenize(m->tokenizer, &(int32_t){(int32_t)id}, 1, true, &b);
    return ste_buf_detach(&b);
}

static int by_name(struct ste_chat_template *c, const struct ste_model *m, const char *name, struct ste_err *err)
{
    const struct ste_chat_named *t = ste_chat_named;
    struct ste_buf names = STE_BUF_INIT;
    while (t->name && strcmp(t->name, name))
        t++;
    for (const struct ste_chat_named *k = ste_chat_named; k->name; k++)
        ste_buf_addf(&names, "%s%s", k == ste_chat_named ? "" : ", ", k->name);
    int rc = t->name ? 0 : ste_err_set(err, STE_EUSAGE, "there is no chat template '%.60s'; ste has %s", name, names.s);
    for (int i = 0; !rc && t->tokens[i]; i++)
        if (ste_token_id(m->tokenizer, t->tokens[i]) < 0)
            rc = ste_err_set(err, STE_EUSAGE, "%s: the vocabulary lacks %s, which the chat template %s writes",
                             ste_gguf_path(m->gguf), t->tokens[i], name);
    ste_buf_clear(&names);
    return rc ? rc : ste_jinja_new(&c->jinja, name, t->text, strlen(t->text), err);
}

static void of_file(struct ste_chat_template *c, const struct ste_model *m)
{
    const char *path = ste_gguf_path(m->gguf), *usual = m->hp.arch ? m->hp.arch->chat : NULL;
    char *name = ste_xasprintf("%s: the chat template", path);
    struct ste_str s;
    if (ste_gguf_string(m->gguf, "tokenizer.chat_template", &s))
        ste_jinja_new(&c->jinja, name, s.s, s.n, &c->why);
    else
        ste_err_set(&c->why, STE_EINPUT, "%s has no chat template; name one with --chat-template (%s)", path,
                    usual ? usual : "docs/models.md");
    ste_xfree(name);
}

int ste_chat_choose(struct ste_model *m, const char *name, const char *date, struct ste_err *err)
{
    struct ste_chat_template *c = ste_xcalloc(1, sizeof *c);
    name = name && *name ? name : ste_setting("STE_CHAT_TEMPLATE");
    date = date && *date ? date : ste_setting("STE_CHAT_DATE");
    int rc = read_date(date ? date : STE_CHAT_DATE, &c->date, err);
    if (!rc && name)
        rc = by_name(c, m, name, err);
    else if (!rc)
        of_file(c, m);
    c->bos = token_text(m, "tokenizer.ggml.bos_token_id");
    c->eos = token_text(m, "tokenizer.ggml.eos_token_id");
    ste_chat_free(rc ? c : m->chat);
    m->chat = rc ? m->chat : c;
    return rc;
}

void ste_chat_free(struct ste_chat_template *c)
{
    if (!c)
        return;
    ste_jinja_free(c->jinja);
    ste_xfree(c->bos);
    ste_xfree(c->eos);
    ste_xfree(c);
}

/* ---- messages to text ---- */

static uint8_t mark_of(const void *list, const json_t *object, const char *key)
{
    const char *role = json_string_value(json_object_get(object, "role"));
    if (!role || strcmp(key, "content"))
        return FROM_TEMPLATE;
    if (object == json_array_get(list, json_array_size(list) - 1))
        return FROM_LAST;
    return strcmp(role, "system") ? FROM_MESSAGE : FROM_SYSTEM;
}

static bool says(const struct ste_message *m)
{
    return m->content[strspn(m->content, " \t\r\n")] != 0;
}

/* FOLD: a system message stands before the text of the next message, and is none of its own. */
static json_t *variables(const struct ste_chat_template *c, const struct ste_message *messages, size_t n, bool fold)
{
    json_t *list = json_array();
    for (size_t i = fold; i < n; i++) {
        char *content = fold && i == 1 ? ste_xasprintf("%s\n\n%s", messages[0].content, messages[1].content) : NULL;
        json_array_append_new(list, json_pack("{s:s, s:s}", "role", messages[i].role, "content",
                                              content ? content : messages[i].content));
        ste_xfree(content);
    }
    return json_pack("{s:o, s:n, s:n, s:b, s:b, s:b, s:s, s:s}", "messages", list, "tools", "documents",
                     "add_generation_prompt", 1, "enable_thinking", 0, "thinking", 0, "bos_token", c->bos, "eos_token",
                     c->eos);
}

static int render(const struct ste_chat_template *c, const struct ste_message *messages, size_t n, bool fold,
                  struct ste_buf *text, struct ste_buf *marks, bool *raised, struct ste_err *err)
{
    json_t *v = variables(c, messages, n, fold);
    const struct ste_jinja_input in = {v, mark_of, json_object_get(v, "messages"), c->date};
    ste_buf_reset(text);
    ste_buf_reset(marks);
    const int rc = ste_jinja_render(c->jinja, &in, text, marks, raised, err);
    json_decref(v);
    return rc;
}

/* Some templates refuse a system message, or leave it out: then it is told to stand before the first user's. What shows
 * nothing of a system message may have read a switch in it, so one that is no switch is shown too. */
static int render_all(const struct ste_chat_template *c, const struct ste_message *messages, size_t n,
                      struct ste_buf *text, struct ste_buf *marks, struct ste_err *err)
{
    bool raised, fold = false;
    int rc = render(c, messages, n, false, text, marks, &raised, err);
    if (n > 1 && !strcmp(messages[0].role, "system") && !strcmp(messages[1].role, "user")) {
        fold = rc ? raised : says(&messages[0]) && !memchr(marks->s, FROM_SYSTEM, marks->len);
        if (fold && !rc) {
            struct ste_message *plain = ste_xmemdup(messages, n * sizeof *messages);
            plain[0].content = "x";
            rc = render(c, plain, n, false, text, marks, &raised, err);
            fold = !rc && !memchr(marks->s, FROM_SYSTEM, marks->len);
            ste_xfree(plain);
            rc = rc || fold ? rc : render(c, messages, n, false, text, marks, &raised, err);
        }
    }
    if (fold)
        rc = render(c, messages, n, true, text, marks, &raised, err);
    if (!rc && says(&messages[n - 1]) && !memchr(marks->s, FROM_LAST, marks->len))
        rc = ste_err_set(err, STE_EINPUT,
                         "the chat template shows nothing of the last message: it is not made for "
                         "messages that are texts; name another with --chat-template (docs/models.md)");
    return rc;
}

/* ---- text to ids ---- */

/* Control tokens of the template's own text; between them, plain text. */
static int tokenize(const struct ste_tokenizer *t, const struct ste_buf *text, const struct ste_buf *marks,
                    struct ste_tokens *out, struct ste_err *err)
{
    size_t from = 0, own_end = 0;
    int rc = 0;
    for (size_t at = 0; at < text->len && !rc;) {
        for (own_end = own_end < at ? at : own_end; own_end < text->len && marks->s[own_end] == FROM_TEMPLATE;)
            own_end++;
        size_t length = 1;
        const int32_t id = own_end > at ? ste_token_at(t, text->s + at, own_end - at, &length) : -1;
        if (id >= 0 && ste_token_is_control(t, id)) {
            rc = at > from ? ste_tokenize(t, text->s + from, at - from, false, out, err) : 0;
            ste_tokens_add(out, id);
            from = at + length;
        }
        at += length;
    }
    return rc || from == text->len ? rc : ste_tokenize(t, text->s + from, text->len - from, false, out, err);
}

static int check(const struct ste_message *messages, size_t n, struct ste_err *err)
{
    if (!n)
        return ste_err_set(err, STE_EINPUT, "a chat needs a message at least");
    for (size_t i = 0; i < n; i++) {
        const char *role = messages[i].role, *text = messages[i].content;
        const size_t length = strlen(text), bad = ste_utf8_bad(text, length);
        if (strcmp(role, "system") && strcmp(role, "user") && strcmp(role, "assistant"))
            return ste_err_set(err, STE_EINPUT, "the role '%.40s' is not known (system, user and assistant are)", role);
        if (bad < length)
            return ste_err_set(err, STE_EINPUT,
                               "the %s message: the text is not UTF-8: byte %zu (0x%02X) of %zu begins no character",
                               role, bad, (uint8_t)text[bad], length);
    }
    return 0;
}

int ste_chat_tokenize(const struct ste_model *m, const struct ste_message *messages, size_t n, const char *prefill,
                      struct ste_tokens *out, struct ste_err *err)
{
    const struct ste_chat_template *c = m->chat;
    struct ste_buf text = STE_BUF_INIT, marks = STE_BUF_INIT;
    struct ste_tokens ids = {0};
    int rc = c->jinja ? check(messages, n, err) : ste_err_set(err, STE_EINPUT, "%s", c->why.msg);
    if (!rc)
        rc = render_all(c, messages, n, &text, &marks, err);
    for (const char *p = prefill; !rc && p && *p; p++) {
        ste_buf_addc(&text, *p);
        ste_buf_addc(&marks, FROM_MESSAGE);
    }
    if (!rc)
        rc = tokenize(m->tokenizer, &text, &marks, &ids, err);
    if (!rc)
        ste_tokens_begin(m->tokenizer, &ids);
    for (size_t i = 0; i < ids.n && !rc; i++)
        ste_tokens_add(out, ids.ids[i]);
    ste_tokens_clear(&ids);
    ste_buf_clear(&text);
    ste_buf_clear(&marks);
    return rc;
}
