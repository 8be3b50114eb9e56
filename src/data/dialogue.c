#include "data/dialogue.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"

const char *ste_role_name(enum ste_role role)
{
    return role == STE_ROLE_SYSTEM ? "system" : role == STE_ROLE_USER ? "user" : "assistant";
}

void ste_dialogue_add(struct ste_dialogue *d, enum ste_role role, const char *text, size_t len)
{
    d->turns = ste_xrealloc(d->turns, (d->n + 1) * sizeof *d->turns);
    d->turns[d->n++] = (struct ste_turn){role, ste_xstrndup(text, len)};
}

void ste_dialogue_clear(struct ste_dialogue *d)
{
    for (size_t i = 0; i < d->n; i++)
        free(d->turns[i].text);
    free(d->turns);
    *d = (struct ste_dialogue){0};
}

static bool is_blank(const char *s)
{
    return !s[strspn(s, " \t\r\n")];
}

/* The names that the field gives the roles: OpenAI's, ShareGPT's, and what people write. */
static int role_of(const char *name, enum ste_role *role)
{
    static const struct {
        const char *name;
        enum ste_role role;
    } names[] = {
        {"user", STE_ROLE_USER},         {"human", STE_ROLE_USER},       {"assistant", STE_ROLE_ASSISTANT},
        {"gpt", STE_ROLE_ASSISTANT},     {"model", STE_ROLE_ASSISTANT},  {"bot", STE_ROLE_ASSISTANT},
        {"chatgpt", STE_ROLE_ASSISTANT}, {"bing", STE_ROLE_ASSISTANT},   {"bard", STE_ROLE_ASSISTANT},
        {"system", STE_ROLE_SYSTEM},     {"developer", STE_ROLE_SYSTEM},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i].name) == 0) {
            *role = names[i].role;
            return 0;
        }
    return -1;
}

/* A turn's text: a string, or OpenAI's list of parts, of which only text can be judged here. */
static int turn_text(const json_t *v, struct ste_buf *out, const char *where, struct ste_err *err)
{
    if (json_is_string(v)) {
        ste_buf_adds(out, json_string_value(v));
        return 0;
    }
    if (!json_is_array(v))
        return ste_err_set(err, STE_EINPUT, "%s: a message has no text", where);
    for (size_t i = 0; i < json_array_size(v); i++) {
        const json_t *part = json_array_get(v, i);
        const char *type = json_string_value(json_object_get(part, "type"));
        const char *text = json_string_value(json_object_get(part, "text"));
        if (!type || strcmp(type, "text") != 0 || !text)
            return ste_err_set(err, STE_EINPUT, "%s: a message has a part that is not text; only text is read", where);
        ste_buf_adds(out, text);
    }
    return 0;
}

static int read_messages(struct ste_dialogue *d, const json_t *list, const char *role_key, const char *text_key,
                         const char *where, struct ste_err *err)
{
    if (!json_is_array(list) || !json_array_size(list))
        return ste_err_set(err, STE_EINPUT, "%s: the list of messages is empty or is no list", where);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *m = json_array_get(list, i);
        const char *name = json_string_value(json_object_get(m, role_key));
        enum ste_role role;
        if (!json_is_object(m) || !name)
            return ste_err_set(err, STE_EINPUT, "%s: message %zu has no \"%s\"", where, i + 1, role_key);
        if (role_of(name, &role))
            return ste_err_set(err, STE_EINPUT,
                               "%s: message %zu has the role \"%.40s\", which is not system, user or assistant", where,
                               i + 1, name);
        if (role == STE_ROLE_SYSTEM && d->n)
            return ste_err_set(err, STE_EINPUT, "%s: message %zu is a system message, which only the first may be",
                               where, i + 1);
        struct ste_buf text = STE_BUF_INIT;
        int rc = turn_text(json_object_get(m, text_key), &text, where, err);
        if (!rc)
            ste_dialogue_add(d, role, text.s ? text.s : "", text.len);
        ste_buf_clear(&text);
        if (rc)
            return rc;
    }
    return 0;
}

/* "prompt": a string, or a list of messages as TRL has it. */
static int read_prompt(struct ste_dialogue *d, const json_t *v, const char *where, struct ste_err *err)
{
    if (json_is_array(v))
        return read_messages(d, v, "role", "content", where, err);
    if (!json_is_string(v))
        return ste_err_set(err, STE_EINPUT, "%s: \"prompt\" must be a string or a list of messages", where);
    ste_dialogue_add(d, STE_ROLE_USER, json_string_value(v), json_string_length(v));
    return 0;
}

/* Alpaca: the input stands under the instruction. */
static int read_instruction(struct ste_dialogue *d, const json_t *row, const char *where, struct ste_err *err)
{
    const json_t *v = json_object_get(row, "instruction"), *input = json_object_get(row, "input");
    if (!json_is_string(v))
        return ste_err_set(err, STE_EINPUT, "%s: \"instruction\" must be a string", where);
    struct ste_buf b = STE_BUF_INIT;
    ste_buf_adds(&b, json_string_value(v));
    if (json_is_string(input) && !is_blank(json_string_value(input)))
        ste_buf_addf(&b, "\n\n%s", json_string_value(input));
    ste_dialogue_add(d, STE_ROLE_USER, b.s, b.len);
    ste_buf_clear(&b);
    return 0;
}

static const json_t *present(const json_t *row, const char *key)
{
    const json_t *v = json_object_get(row, key);
    return v && !json_is_null(v) ? v : NULL;
}

static int read_any(struct ste_dialogue *d, const json_t *row, const char *where, struct ste_err *err)
{
    const json_t *messages = present(row, "messages"), *conversations = present(row, "conversations");
    const json_t *prompt = present(row, "prompt"), *system = present(row, "system");
    bool list = messages || conversations || json_is_array(prompt);
    const json_t *first = messages        ? json_array_get(messages, 0)
                          : conversations ? json_array_get(conversations, 0)
                                          : json_array_get(prompt, 0);
    const char *first_role = json_string_value(json_object_get(first, conversations && !messages ? "from" : "role"));
    bool has_system = list && first_role && strcmp(first_role, "system") == 0;
    if (json_is_string(system) && !is_blank(json_string_value(system)) && !has_system)
        ste_dialogue_add(d, STE_ROLE_SYSTEM, json_string_value(system), json_string_length(system));
    if (messages)
        return read_messages(d, messages, "role", "content", where, err);
    if (conversations)
        return read_messages(d, conversations, "from", "value", where, err);
    if (prompt)
        return read_prompt(d, prompt, where, err);
    if (present(row, "instruction"))
        return read_instruction(d, row, where, err);
    return ste_err_set(err, STE_EINPUT,
                       "%s: no prompt; a row has \"prompt\", \"instruction\", \"messages\" or \"conversations\"",
                       where);
}

/* What every dialogue must be: something that a user said last. */
static int check(const struct ste_dialogue *d, const char *where, struct ste_err *err)
{
    if (!d->n || d->turns[d->n - 1].role != STE_ROLE_USER)
        return ste_err_set(err, STE_EINPUT, "%s: the last turn of the prompt must be the user's", where);
    if (is_blank(d->turns[d->n - 1].text))
        return ste_err_set(err, STE_EINPUT, "%s: the prompt is empty", where);
    return 0;
}

int ste_dialogue_read(struct ste_dialogue *d, const json_t *row, const char *where, struct ste_err *err)
{
    *d = (struct ste_dialogue){0};
    int rc = read_any(d, row, where, err);
    if (!rc)
        rc = check(d, where, err);
    if (rc)
        ste_dialogue_clear(d);
    return rc;
}

int ste_dialogue_from_json(struct ste_dialogue *d, const json_t *messages, const char *where, struct ste_err *err)
{
    *d = (struct ste_dialogue){0};
    int rc = read_messages(d, messages, "role", "content", where, err);
    if (!rc)
        rc = check(d, where, err);
    if (rc)
        ste_dialogue_clear(d);
    return rc;
}

json_t *ste_dialogue_json(const struct ste_dialogue *d)
{
    json_t *list = json_array();
    for (size_t i = 0; i < d->n; i++)
        json_array_append_new(
            list, json_pack("{s:s, s:s}", "content", d->turns[i].text, "role", ste_role_name(d->turns[i].role)));
    return list;
}

void ste_dialogue_text(const struct ste_dialogue *d, struct ste_buf *out)
{
    static const char *const heads[] = {"System: ", "User: ", "Assistant: "};
    if (d->n == 1 && d->turns[0].role == STE_ROLE_USER) {
        ste_buf_adds(out, d->turns[0].text);
        return;
    }
    for (size_t i = 0; i < d->n; i++)
        ste_buf_addf(out, "%s%s%s", i ? "\n\n" : "", heads[d->turns[i].role], d->turns[i].text);
}
