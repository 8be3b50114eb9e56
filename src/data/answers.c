#include "data/answers.h"

#include <string.h>

#include "core/file.h"
#include "core/json.h"
#include "core/mem.h"
#include "data/pairs.h"

const char *ste_answer_of(const struct ste_answers *a, size_t prompt, size_t model)
{
    return model < a->prompts[prompt].n_texts ? a->prompts[prompt].texts[model] : NULL;
}

static int put(struct ste_answers *a, struct ste_answered *p, const char *model, const char *text, const char *where,
               struct ste_err *err)
{
    size_t m = ste_strings_place(&a->models, model);
    if (m >= p->n_texts) {
        p->texts = ste_xrealloc(p->texts, (m + 1) * sizeof *p->texts);
        memset(p->texts + p->n_texts, 0, (m + 1 - p->n_texts) * sizeof *p->texts);
        p->n_texts = m + 1;
    }
    if (p->texts[m])
        return ste_err_set(err, STE_EINPUT, "%s: %s has answered this prompt before; leave one of the two out", where,
                           model);
    p->texts[m] = ste_xstrdup(text);
    return 0;
}

static const char *first_string(const json_t *row, const char *const *keys)
{
    for (; *keys; keys++)
        if (ste_json_text(json_object_get(row, *keys)))
            return ste_json_text(json_object_get(row, *keys));
    return NULL;
}

/* A row of FastChat's model answers as one of ours, a new one: the first turn, its prompt looked up by question_id.
 * *OUT is NULL for any other row. */
static int from_fastchat(const json_t *questions, const json_t *row, json_t **out, const char *where,
                         struct ste_err *err)
{
    json_t *choices = json_object_get(row, "choices"), *turns = json_object_get(row, "turns"),
           *id = json_object_get(row, "question_id");
    *out = NULL;
    if (choices)
        turns = json_object_get(json_array_get(choices, 0), "turns");
    if (!id || !turns)
        return 0;
    char *key = json_dumps(id, JSON_ENCODE_ANY);
    json_t *prompt = json_object_get(questions, key);
    ste_xfree(key);
    if (!prompt)
        return ste_err_set(err, STE_EINPUT,
                           "%s: an answer without its prompt; --questions names the file that has its question_id",
                           where);
    const char *text = ste_json_text(json_array_get(turns, 0)),
               *model = json_string_value(json_object_get(row, "model_id"));
    if (!model)
        model = json_string_value(json_object_get(row, "model"));
    if (!text)
        return ste_err_set(err, STE_EINPUT, "%s: turns is no list of texts", where);
    json_t *ours = json_pack("{s:O, s:O, s:s}", "id", id, "prompt", prompt, "output", text);
    if (model)
        json_object_set_new(ours, "model", json_string(model));
    *out = ours;
    return 0;
}

static int add_question(void *questions, json_t *row, const char *where, struct ste_err *err)
{
    json_t *id = json_object_get(row, "question_id"), *first = json_array_get(json_object_get(row, "turns"), 0);
    if (!id || !ste_json_text(first))
        return ste_err_set(err, STE_EINPUT, "%s: a question needs question_id and turns, a list of texts", where);
    char *key = json_dumps(id, JSON_ENCODE_ANY);
    json_object_set(questions, key, first);
    ste_xfree(key);
    return 0;
}

static const char *const text_keys[] = {"output", "response", "answer", NULL};

static int add_row(struct ste_answers *a, json_t *index, const json_t *row, const char *name, const char *where,
                   struct ste_err *err)
{
    static const char *const makers[] = {"generator", "model", NULL};
    struct ste_dialogue d = {0};
    json_t *all = json_object_get(row, "answers"), *v;
    const char *text = first_string(row, text_keys), *maker = first_string(row, makers), *key;
    /* Alpaca's fields would take output for part of the instruction's row; only the prompt is read here. */
    int rc = ste_dialogue_read(&d, row, where, err);
    if (rc)
        return rc;
    json_t *canonical = ste_dialogue_json(&d);
    char *address = ste_json_canonical(canonical);
    json_decref(canonical);
    const json_t *at = json_object_get(index, address);
    if (at) {
        ste_dialogue_clear(&d);
    } else {
        STE_GROW(a->prompts, a->cap, a->n + 1);
        char *id = ste_json_name(json_object_get(row, json_object_get(row, "id") ? "id" : "question_id"));
        a->prompts[a->n] = (struct ste_answered){.prompt = d, .id = id ? id : ste_xasprintf("%zu", a->n + 1)};
        json_object_set_new(index, address, json_integer((json_int_t)a->n++));
        at = json_object_get(index, address);
    }
    ste_xfree(address);
    struct ste_answered *p = &a->prompts[json_integer_value(at)];
    if (!json_is_object(all))
        return text ? put(a, p, maker ? maker : name, text, where, err)
                    : ste_err_set(err, STE_EINPUT,
                                  "%s: no answer in it; give output (or response) and generator (or model), or "
                                  "answers: {MODEL: text}",
                                  where);
    json_object_foreach(all, key, v)
    {
        if (!ste_json_text(v))
            return ste_err_set(err, STE_EINPUT, "%s: the answer of %s is no string", where, key);
        if ((rc = put(a, p, key, ste_json_text(v), where, err)))
            return rc;
    }
    return 0;
}

struct reading {
    struct ste_answers *a;
    json_t *index, *questions; /* canonical prompt to its place; question_id to its text */
    char *name;                /* of the file */
};

static int read_row(void *arg, json_t *row, const char *where, struct ste_err *err)
{
    const struct reading *r = arg;
    json_t *ours;
    int rc = from_fastchat(r->questions, row, &ours, where, err);
    if (!rc)
        rc = add_row(r->a, r->index, ours ? ours : row, r->name, where, err);
    json_decref(ours);
    return rc;
}

int ste_answers_read(struct ste_answers *out, const struct ste_strings *paths, const char *questions,
                     struct ste_err *err)
{
    struct reading r = {.a = out, .index = json_object(), .questions = json_object()};
    *out = (struct ste_answers){0};
    int rc = questions ? ste_jsonl_each(questions, add_question, r.questions, err) : 0;
    for (size_t i = 0; i < paths->n && !rc; i++) {
        r.name = ste_path_stem(paths->items[i]);
        rc = ste_jsonl_each(paths->items[i], read_row, &r, err);
        ste_xfree(r.name);
    }
    json_decref(r.index);
    json_decref(r.questions);
    if (!rc && out->models.n < 2)
        rc = ste_err_set(err, STE_EINPUT, "answers of %zu model were given; ranking takes two or more", out->models.n);
    if (rc)
        ste_answers_clear(out);
    return rc;
}

void ste_answers_clear(struct ste_answers *a)
{
    for (size_t i = 0; i < a->n; i++) {
        for (size_t m = 0; m < a->prompts[i].n_texts; m++)
            ste_xfree(a->prompts[i].texts[m]);
        ste_xfree(a->prompts[i].texts);
        ste_xfree(a->prompts[i].id);
        ste_dialogue_clear(&a->prompts[i].prompt);
    }
    ste_xfree(a->prompts);
    ste_strings_clear(&a->models);
    *a = (struct ste_answers){0};
}

void ste_answer_rows_clear(struct ste_answer_rows *a)
{
    for (size_t i = 0; i < a->n; i++) {
        ste_xfree(a->items[i].id);
        ste_xfree(a->items[i].text);
        ste_dialogue_clear(&a->items[i].prompt);
        ste_strings_clear(&a->items[i].references);
        json_decref(a->items[i].row);
    }
    ste_xfree(a->items);
    *a = (struct ste_answer_rows){0};
}

int ste_answer_row_add(struct ste_answer_rows *out, json_t *row, const char *id, bool references, const char *where,
                       struct ste_err *err)
{
    STE_GROW(out->items, out->cap, out->n + 1);
    struct ste_answer_row *a = &out->items[out->n++];
    char *own = ste_json_name(json_object_get(row, "id"));
    *a = (struct ste_answer_row){.row = row, .id = own ? own : ste_xstrdup(id)};
    const char *text = first_string(row, text_keys);
    if (!text)
        return ste_err_set(err, STE_EINPUT, "%s: no answer in it; give output, response or answer, a text", where);
    int rc = ste_dialogue_read(&a->prompt, row, where, err);
    if (rc)
        return rc;
    a->text = ste_xstrdup(text);
    return references ? ste_references_read(&a->references, row, where, err) : 0;
}

int ste_answer_rows_read(struct ste_answer_rows *out, const char *path, size_t limit, bool references,
                         struct ste_err *err)
{
    *out = (struct ste_answer_rows){0};
    struct ste_jsonl *f;
    json_t *row;
    int rc = ste_jsonl_open(&f, path, err);
    if (rc)
        return rc;
    char *name = ste_path_stem(path);
    while ((!limit || out->n < limit) && (rc = ste_jsonl_next(f, &row, err)) > 0) {
        char *id = ste_xasprintf("%s:%ld", name, ste_jsonl_line(f)),
             *where = ste_xasprintf("%s:%ld", ste_jsonl_path(f), ste_jsonl_line(f));
        rc = ste_answer_row_add(out, row, id, references, where, err);
        ste_xfree(id);
        ste_xfree(where);
        if (rc)
            break;
    }
    ste_jsonl_close(f);
    ste_xfree(name);
    if (rc >= 0 && !out->n)
        rc = ste_err_set(err, STE_EINPUT, "%s holds no rows; one answer a line is expected", path);
    if (rc < 0)
        ste_answer_rows_clear(out);
    return rc < 0 ? rc : 0;
}
