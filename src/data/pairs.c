#include "data/pairs.h"

#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "core/mem.h"

static void item_clear(struct ste_answer_pair *p)
{
    free(p->id);
    free(p->first);
    free(p->second);
    ste_dialogue_clear(&p->prompt);
    json_decref(p->row);
}

void ste_answer_pairs_clear(struct ste_answer_pairs *p)
{
    for (size_t i = 0; i < p->n; i++)
        item_clear(&p->items[i]);
    free(p->items);
    free(p->path);
    free(p->name);
    *p = (struct ste_answer_pairs){0};
}

static char *name_of(const char *path)
{
    if (strcmp(path, "-") == 0)
        return ste_xstrdup("stdin");
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    const char *dot = strrchr(base, '.');
    return ste_xstrndup(base, dot && dot != base ? (size_t)(dot - base) : strlen(base));
}

/* An answer: a string, or a list of messages whose last is the assistant's. */
static int read_answer(const json_t *row, const char *key, char **out, const char *where, struct ste_err *err)
{
    const json_t *v = json_object_get(row, key);
    if (!v || json_is_null(v))
        return ste_err_set(err, STE_EINPUT, "%s: the field \"%s\" is missing", where, key);
    if (json_is_array(v)) {
        const json_t *last = json_array_get(v, json_array_size(v) - 1);
        const char *role = json_string_value(json_object_get(last, "role"));
        v = json_object_get(last, "content");
        if (!role || strcmp(role, "assistant") != 0 || !json_is_string(v))
            return ste_err_set(err, STE_EINPUT, "%s: the messages of \"%s\" must end with the assistant's text", where,
                               key);
    }
    if (!json_is_string(v))
        return ste_err_set(err, STE_EINPUT, "%s: \"%s\" must be a string or a list of messages", where, key);
    *out = ste_xstrdup(json_string_value(v));
    return 0;
}

/* TRL's "implicit prompt": chosen and rejected are whole dialogues and share all but the last turn. */
static int prompt_from_answers(struct ste_dialogue *d, const json_t *row, const char *first_key, const char *where,
                               struct ste_err *err)
{
    json_t *shared = json_copy(json_object_get(row, first_key));
    json_array_remove(shared, json_array_size(shared) - 1);
    int rc = ste_dialogue_from_json(d, shared, where, err);
    json_decref(shared);
    return rc;
}

static bool has_prompt(const json_t *row)
{
    static const char *const keys[] = {"prompt", "instruction", "messages", "conversations"};
    for (size_t i = 0; i < 4; i++) {
        const json_t *v = json_object_get(row, keys[i]);
        if (v && !json_is_null(v))
            return true;
    }
    return false;
}

static bool says_tie(const json_t *row)
{
    const json_t *tie = json_object_get(row, "tie");
    return json_is_true(tie) || (json_is_integer(tie) && json_integer_value(tie) != 0);
}

static int read_item(struct ste_answer_pair *p, const json_t *row, const char *name, enum ste_pairs_kind kind,
                     const char *where, struct ste_err *err)
{
    const char *first = kind == STE_PAIRS_LABELLED ? "chosen" : "response_a";
    const char *second = kind == STE_PAIRS_LABELLED ? "rejected" : "response_b";
    int rc = read_answer(row, first, &p->first, where, err);
    if (!rc)
        rc = read_answer(row, second, &p->second, where, err);
    if (!rc && !has_prompt(row) && json_is_array(json_object_get(row, first)) &&
        json_array_size(json_object_get(row, first)) > 1)
        rc = prompt_from_answers(&p->prompt, row, first, where, err);
    else if (!rc)
        rc = ste_dialogue_read(&p->prompt, row, where, err);
    if (rc)
        return rc;
    const json_t *id = json_object_get(row, "id");
    p->id = json_is_string(id)    ? ste_xstrdup(json_string_value(id))
            : json_is_integer(id) ? ste_xasprintf("%lld", (long long)json_integer_value(id))
                                  : ste_xasprintf("%s:%ld", name, p->line);
    p->tied = kind == STE_PAIRS_LABELLED && (says_tie(row) || strcmp(p->first, p->second) == 0);
    return 0;
}

int ste_answer_pairs_read(struct ste_answer_pairs *out, const char *path, enum ste_pairs_kind kind, size_t limit,
                          struct ste_err *err)
{
    *out = (struct ste_answer_pairs){0};
    struct ste_jsonl *f;
    int rc = ste_jsonl_open(&f, path, err);
    if (rc)
        return rc;
    out->path = ste_xstrdup(path);
    out->name = name_of(path);
    size_t cap = 0;
    json_t *row;
    while ((!limit || out->n < limit) && (rc = ste_jsonl_next(f, &row, err)) > 0) {
        struct ste_answer_pair p = {.line = ste_jsonl_line(f), .row = row};
        char *where = ste_xasprintf("%s:%ld", ste_jsonl_path(f), p.line);
        rc = read_item(&p, row, out->name, kind, where, err);
        free(where);
        if (rc) {
            item_clear(&p);
            break;
        }
        STE_GROW(out->items, cap, out->n + 1);
        out->items[out->n++] = p;
    }
    ste_jsonl_close(f);
    if (rc >= 0 && !out->n)
        rc = ste_err_set(err, STE_EINPUT, "%s holds no rows; one pair a line is expected", path);
    if (rc < 0) {
        ste_answer_pairs_clear(out);
        return rc;
    }
    return 0;
}
