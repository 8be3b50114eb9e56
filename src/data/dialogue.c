#include "data/dialogue.h"

#include <stdbool.h>
#include <string.h>

#include "core/json.h"
#include "core/mem.h"
#include "core/raw.h"

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
        ste_xfree(d->turns[i].text);
    ste_xfree(d->turns);
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
    if (ste_json_text(v)) {
        ste_buf_adds(out, ste_json_text(v));
        return 0;
    }
    if (!json_is_array(v))
        return ste_err_set(err, STE_EINPUT, "%s: a message has no text", where);
    for (size_t i = 0; i < json_array_size(v); i++) {
        const json_t *part = json_array_get(v, i);
        const char *type = json_string_value(json_object_get(part, "type"));
        const char *text = ste_json_text(json_object_get(part, "text"));
        if (!type || strcmp(type, "text") != 0 || !text)
            return ste_err_set(err, STE_EINPUT, "%s: a message has a part that is not text; only text is read", where);
        ste_buf_adds(out, text);
    }
    return 0;
}

static const json_t *either(const json_t *object, const char *key, const char *other)
{
    const json_t *v = json_object_get(object, key);
    return v ? v : json_object_get(object, other);
}

/* Messages as OpenAI has them (role, content) or as ShareGPT has them (from, value). */
int ste_dialogue_add_messages(struct ste_dialogue *d, const json_t *list, const char *where, struct ste_err *err)
{
    if (!json_is_array(list) || !json_array_size(list))
        return ste_err_set(err, STE_EINPUT, "%s: the list of messages is empty or is no list", where);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *m = json_array_get(list, i);
        const char *name = json_string_value(either(m, "role", "from"));
        enum ste_role role;
        if (!name)
            return ste_err_set(err, STE_EINPUT, "%s: message %zu has no \"role\"", where, i + 1);
        if (role_of(name, &role))
            return ste_err_set(err, STE_EINPUT,
                               "%s: message %zu has the role \"%s\", which is not system, user or assistant", where,
                               i + 1, name);
        if (role == STE_ROLE_SYSTEM && d->n)
            return ste_err_set(err, STE_EINPUT, "%s: message %zu is a system message, which only the first may be",
                               where, i + 1);
        struct ste_buf text = STE_BUF_INIT;
        int rc = turn_text(either(m, "content", "value"), &text, where, err);
        if (!rc)
            ste_dialogue_add(d, role, text.s, text.len);
        ste_buf_clear(&text);
        if (rc)
            return rc;
    }
    return 0;
}

void ste_dialogue_cut(struct ste_dialogue *d, size_t n)
{
    while (d->n > n)
        ste_xfree(d->turns[--d->n].text);
}

size_t ste_dialogue_asked(const struct ste_dialogue *d)
{
    size_t n = d->n;
    while (n && d->turns[n - 1].role != STE_ROLE_USER)
        n--;
    return n;
}

/* "prompt": a string, or a list of messages as TRL has it. */
static int read_prompt(struct ste_dialogue *d, const json_t *row, const char *key, const char *where,
                       struct ste_err *err)
{
    const json_t *v = json_object_get(row, key);
    const char *text = ste_json_text(v);
    if (json_is_array(v))
        return ste_dialogue_add_messages(d, v, where, err);
    if (!text)
        return ste_err_set(err, STE_EINPUT, "%s: \"prompt\" must be a string or a list of messages", where);
    ste_dialogue_add(d, STE_ROLE_USER, text, strlen(text));
    return 0;
}

/* A whole conversation, perhaps with the answer to its last question: up to that question. */
static int read_conversation(struct ste_dialogue *d, const json_t *row, const char *key, const char *where,
                             struct ste_err *err)
{
    int rc = ste_dialogue_add_messages(d, json_object_get(row, key), where, err);
    if (!rc && ste_dialogue_asked(d))
        ste_dialogue_cut(d, ste_dialogue_asked(d));
    return rc;
}

static const char *text_of(const json_t *row, const char *key, const char *where, struct ste_err *err)
{
    const char *text = ste_json_text(json_object_get(row, key));
    if (!text)
        ste_err_set(err, STE_EINPUT, "%s: \"%s\" must be a string", where, key);
    return text;
}

/* Alpaca: the input stands under the instruction. */
static int read_instruction(struct ste_dialogue *d, const json_t *row, const char *key, const char *where,
                            struct ste_err *err)
{
    const char *text = text_of(row, key, where, err), *input = ste_json_text(json_object_get(row, "input"));
    if (!text)
        return STE_EINPUT;
    struct ste_buf b = STE_BUF_INIT;
    ste_buf_adds(&b, text);
    if (input && !is_blank(input))
        ste_buf_addf(&b, "\n\n%s", input);
    ste_dialogue_add(d, STE_ROLE_USER, b.s, b.len);
    ste_buf_clear(&b);
    return 0;
}

/* GSM8K, MATH, MMLU: the choices stand under the question, each behind its letter. */
static int read_question(struct ste_dialogue *d, const json_t *row, const char *key, const char *where,
                         struct ste_err *err)
{
    const char *text = text_of(row, key, where, err);
    if (!text)
        return STE_EINPUT;
    const json_t *choices = json_object_get(row, "choices"), *choice;
    size_t i;
    struct ste_buf b = STE_BUF_INIT;
    ste_buf_adds(&b, text);
    json_array_foreach(choices, i, choice)
    {
        if (ste_json_text(choice) && i < 26)
            ste_buf_addf(&b, "\n%c. %s", (char)('A' + i), ste_json_text(choice));
    }
    ste_dialogue_add(d, STE_ROLE_USER, b.s, b.len);
    ste_buf_clear(&b);
    return 0;
}

/* In the order in which they are looked for: `prompt` stands beside the whole conversation in many sets. */
static const struct {
    const char *key;
    int (*read)(struct ste_dialogue *d, const json_t *row, const char *key, const char *where, struct ste_err *err);
} prompt_fields[] = {{"prompt", read_prompt},
                     {"messages", read_conversation},
                     {"conversations", read_conversation},
                     {"conversation", read_conversation},
                     {"instruction", read_instruction},
                     {"question", read_question},
                     {"problem", read_question}};

static int read_any(struct ste_dialogue *d, const json_t *row, const char *where, struct ste_err *err)
{
    for (size_t i = 0; i < sizeof prompt_fields / sizeof *prompt_fields; i++) {
        const json_t *v = json_object_get(row, prompt_fields[i].key);
        if (v && !json_is_null(v))
            return prompt_fields[i].read(d, row, prompt_fields[i].key, where, err);
    }
    return ste_err_set(err, STE_EINPUT,
                       "%s: no prompt; a row has \"prompt\", \"instruction\", \"messages\", \"conversations\", "
                       "\"conversation\", \"question\" or \"problem\"",
                       where);
}

static void set_system(struct ste_dialogue *d, const json_t *row)
{
    const char *system = ste_json_text(json_object_get(row, "system"));
    if (!system || is_blank(system) || (d->n && d->turns[0].role == STE_ROLE_SYSTEM))
        return;
    ste_dialogue_add(d, STE_ROLE_SYSTEM, system, strlen(system));
    const struct ste_turn first = d->turns[d->n - 1];
    memmove(d->turns + 1, d->turns, (d->n - 1) * sizeof *d->turns);
    d->turns[0] = first;
}

int ste_dialogue_end(struct ste_dialogue *d, const json_t *row, const char *where, struct ste_err *err)
{
    set_system(d, row);
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
        rc = ste_dialogue_end(d, row, where, err);
    if (rc)
        ste_dialogue_clear(d);
    return rc;
}

int ste_dialogue_from_json(struct ste_dialogue *d, const json_t *messages, const char *where, struct ste_err *err)
{
    *d = (struct ste_dialogue){0};
    int rc = ste_dialogue_add_messages(d, messages, where, err);
    if (!rc)
        rc = ste_dialogue_end(d, NULL, where, err);
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

void ste_dialogue_canonical(const struct ste_dialogue *d, struct ste_buf *out)
{
    ste_buf_addc(out, '[');
    for (size_t i = 0; i < d->n; i++) {
        ste_buf_adds(out, i ? ",{\"content\":" : "{\"content\":");
        ste_raw_add_text(out, d->turns[i].text);
        ste_buf_addf(out, ",\"role\":\"%s\"}", ste_role_name(d->turns[i].role));
    }
    ste_buf_addc(out, ']');
}

static const char *const heads[] = {"System: ", "User: ", "Assistant: "};

int ste_dialogue_parse(struct ste_dialogue *out, const char *json, const char *what, struct ste_err *err)
{
    *out = (struct ste_dialogue){0};
    json_t *list = ste_json_parse(json, strlen(json), what, err);
    int rc = list ? ste_dialogue_from_json(out, list, what, err) : STE_EINPUT;
    json_decref(list);
    return rc;
}

void ste_dialogue_text(const struct ste_dialogue *d, struct ste_buf *out)
{
    if (d->n == 1 && d->turns[0].role == STE_ROLE_USER) {
        ste_buf_adds(out, d->turns[0].text);
        return;
    }
    for (size_t i = 0; i < d->n; i++)
        ste_buf_addf(out, "%s%s%s", i ? "\n\n" : "", heads[d->turns[i].role], d->turns[i].text);
}

void ste_dialogue_answer(const struct ste_dialogue *d, size_t from, struct ste_buf *out)
{
    ste_buf_adds(out, d->turns[from].text);
    for (size_t i = from + 1; i < d->n; i++)
        ste_buf_addf(out, "\n\n%s%s", heads[d->turns[i].role], d->turns[i].text);
}
