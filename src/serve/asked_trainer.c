/* The requests of RL trainers' own clients. */
#include <string.h>

#include "core/json.h"
#include "core/mem.h"
#include "data/rendered.h"
#include "serve/asked_rows.h"

int ste_trainer_asks_read(struct ste_trainer_asks *out, const char *(*value)(void *arg, const char *name), void *arg,
                          struct ste_err *err)
{
    static const char *const uses[] = {"none", "reference", "anchor", NULL};
    const char *label = value(arg, "label"), *by = value(arg, "by"), *fallback = value(arg, "fallback");
    *out = (struct ste_trainer_asks){.by = STE_REWARD_SCORE};
    int use = label ? ste_name_find(uses, label) : 0;
    if (use < 0)
        return ste_err_set(err, STE_EINPUT, "?label= must be none, reference or anchor");
    out->label = (enum ste_label_use)use;
    if (use == STE_LABEL_ANCHOR)
        out->by = STE_REWARD_SHARE;
    if (by) {
        const int at = ste_name_find(ste_reward_names, by);
        if (at < 0 || (use == STE_LABEL_ANCHOR) == (at == STE_REWARD_SCORE))
            return ste_err_set(err, STE_EINPUT,
                               "?by= must be score, or, with ?label=anchor, share or margin: an answer alone has none");
        out->by = (enum ste_reward_by)at;
    }
    if (!fallback)
        return 0;
    json_error_t e;
    json_t *number = json_loads(fallback, JSON_DECODE_ANY, &e);
    out->has_fallback = json_is_number(number);
    out->fallback = json_number_value(number);
    json_decref(number);
    return out->has_fallback ? 0 : ste_err_set(err, STE_EINPUT, "?fallback= must be a number");
}

/* One answer of a trainer's, of N bytes; PROMPT passes to it, whatever this returns. */
static int add(struct ste_asked *a, const struct ste_trainer_asks *how, struct ste_dialogue *prompt, const char *text,
               size_t n, const json_t *label, const char *where, struct ste_err *err)
{
    const char *said = ste_json_text(label);
    if (how->label != STE_LABEL_UNUSED && (!said || !*said)) {
        ste_dialogue_clear(prompt);
        return ste_err_set(err, STE_EINPUT, "%s: its label is no text, which ?label=%s asks for", where,
                           how->label == STE_LABEL_ANCHOR ? "anchor" : "reference");
    }
    if (how->label != STE_LABEL_ANCHOR) {
        ste_asked_add_answer(a, NULL, prompt, text, n);
        if (said && how->label == STE_LABEL_REFERENCE)
            ste_strings_add(&a->rows.items[a->rows.n - 1].references, said);
        return 0;
    }
    struct ste_group *g = ste_asked_add_group(a);
    char *answer = ste_xstrndup(text, n);
    g->prompt = *prompt;
    *prompt = (struct ste_dialogue){0};
    g->id = ste_asked_id(&g->prompt, "", "");
    g->anchor = ste_xstrdup(said);
    ste_strings_add(&g->answers, answer);
    ste_xfree(answer);
    return 0;
}

static void begin(struct ste_asked *out, const struct ste_trainer_asks *how)
{
    out->votes = -1;
    out->by = how->by;
    out->has_fallback = how->has_fallback;
    out->fallback = how->fallback;
}

/* A text of prompt and answer; without a prompt of its own the prompt is what stands before the answer. */
static int add_query(struct ste_asked *a, const struct ste_trainer_asks *how, const char *query, const char *prompt,
                     const json_t *label, const char *where, struct ste_err *err)
{
    struct ste_dialogue d = {0};
    const char *answer, *none;
    if (prompt) {
        answer = ste_rendered_behind(query, prompt);
        if (answer)
            ste_rendered_read(&d, prompt, &none);
    } else {
        ste_rendered_read(&d, query, &answer);
    }
    if (!answer) {
        ste_dialogue_clear(&d);
        return prompt ? ste_err_set(err, STE_EINPUT, "%s does not go on from its prompt", where)
                      : ste_err_set(err, STE_EINPUT,
                                    "%s: where its answer begins is not known, as it has no marks of a chat template "
                                    "(to /get_reward, send prompts beside query)",
                                    where);
    }
    int rc = ste_dialogue_end(&d, NULL, where, err);
    if (rc) {
        ste_dialogue_clear(&d);
        return rc;
    }
    return add(a, how, &d, answer, ste_rendered_answer_length(answer), label, where, err);
}

struct openrlhf {
    const json_t *query, *prompts, *labels;
    const struct ste_trainer_asks *how;
};

static int read_query(const struct openrlhf *r, struct ste_asked *a, size_t i, const char *where, struct ste_err *err)
{
    const char *query = ste_json_text(json_array_get(r->query, i)),
               *prompt = ste_json_text(json_array_get(r->prompts, i));
    if (!query || (r->prompts && !prompt))
        return ste_err_set(err, STE_EINPUT, "%s and its prompt must be texts", where);
    return add_query(a, r->how, query, prompt, json_array_get(r->labels, i), where, err);
}

int ste_asked_openrlhf(struct ste_asked *out, const json_t *body, const void *how_, json_t *bad, struct ste_err *err)
{
    const struct ste_trainer_asks *how = how_;
    const json_t *prompts = json_object_get(body, "prompts"), *labels = json_object_get(body, "labels");
    const struct openrlhf r = {json_object_get(body, "query"), json_is_null(prompts) ? NULL : prompts,
                               json_is_null(labels) ? NULL : labels, how};
    const size_t n = json_array_size(r.query);
    begin(out, how);
    out->many = true;
    if (!n || n > STE_ASKED_ROWS || (r.prompts && json_array_size(r.prompts) != n) ||
        (r.labels && json_array_size(r.labels) != n))
        return ste_err_set(err, STE_EINPUT,
                           "query (and prompts and labels, where they are given) must be lists of one length, of 1 to "
                           "%d",
                           STE_ASKED_ROWS);
    struct ste_err first = {0};
    for (size_t i = 0; i < n; i++) {
        struct ste_err why = {0};
        char *where = ste_xasprintf("query[%zu]", i);
        if (read_query(&r, out, i, where, &why))
            ste_asked_add_bad(bad, i, &why, &first);
        ste_xfree(where);
    }
    return ste_asked_bad(bad, &first, err);
}

int ste_asked_slime(struct ste_asked *out, const json_t *body, const void *how_, json_t *bad, struct ste_err *err)
{
    const struct ste_trainer_asks *how = how_;
    static const char where[] = "the request";
    struct ste_dialogue d = {0};
    const json_t *prompt = json_object_get(body, "prompt");
    const char *text = ste_json_text(prompt), *response = ste_json_text(json_object_get(body, "response")), *none;
    begin(out, how);
    if (!prompt || !response)
        return ste_err_set(err, STE_EINPUT, "the request must have prompt, a text or messages, and response, a text");
    int rc = 0;
    if (text)
        ste_rendered_read(&d, text, &none);
    rc = text ? ste_dialogue_end(&d, NULL, where, err) : ste_dialogue_read(&d, body, where, err);
    if (rc) {
        ste_dialogue_clear(&d);
        return rc;
    }
    return add(out, how, &d, response, ste_rendered_answer_length(response), json_object_get(body, "label"), where,
               err);
}

int ste_asked_classify(struct ste_asked *out, const json_t *body, const void *how, json_t *bad, struct ste_err *err)
{
    const json_t *input = json_object_get(body, "input");
    const size_t n = json_is_array(input) ? json_array_size(input) : 1;
    struct ste_err first = {0};
    begin(out, how);
    if (!input || !n || n > STE_ASKED_ROWS)
        return ste_err_set(err, STE_EINPUT, "input must be a text, or a list of 1 to %d", STE_ASKED_ROWS);
    for (size_t i = 0; i < n; i++) {
        struct ste_err why = {0};
        char *where = ste_xasprintf("input[%zu]", i);
        const char *text = ste_json_text(json_is_array(input) ? json_array_get(input, i) : input);
        if (text ? add_query(out, how, text, NULL, NULL, where, &why)
                 : ste_err_set(&why, STE_EINPUT, "%s is no text", where))
            ste_asked_add_bad(bad, i, &why, &first);
        ste_xfree(where);
    }
    return ste_asked_bad(bad, &first, err);
}
