#include "serve/asked.h"

#include <string.h>

#include "core/hash.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/utf8.h"
#include "data/pair_rows.h"
#include "data/rendered.h"
#include "serve/asked_rows.h"

const char *const ste_reward_names[] = {"share", "margin", "score", NULL};

static void group_clear(struct ste_group *g)
{
    ste_xfree(g->id);
    ste_dialogue_clear(&g->prompt);
    ste_strings_clear(&g->answers);
    ste_strings_clear(&g->names);
    ste_strings_clear(&g->references);
    ste_xfree(g->anchor);
    ste_xfree(g->places);
    ste_xfree(g->same);
    ste_xfree(g->row);
}

void ste_asked_clear(struct ste_asked *a)
{
    ste_answer_pairs_clear(&a->pairs);
    ste_answer_rows_clear(&a->rows);
    for (size_t i = 0; i < a->n_groups; i++)
        group_clear(&a->groups[i]);
    ste_xfree(a->groups);
    *a = (struct ste_asked){0};
}

/* ---- options ---- */

enum option { VOTES = 1, ORDER = 2, REASONS = 4, VERDICT = 8, REWARD = 16 };
static const struct {
    const char *key;
    unsigned of;
} option_keys[] = {{"votes", VOTES}, {"order", ORDER},     {"reasons", REASONS}, {"verdict", VERDICT},
                   {"by", REWARD},   {"zero_sum", REWARD}, {"fallback", REWARD}, {"rendered", REWARD}};

static int choice(const json_t *body, const char *key, const char *const *names, int *out, struct ste_err *err)
{
    const json_t *v = json_object_get(body, key);
    if (!v || json_is_null(v))
        return 0;
    const int at = ste_json_text(v) ? ste_name_find(names, ste_json_text(v)) : -1;
    if (at >= 0) {
        *out = at;
        return 0;
    }
    struct ste_buf all = STE_BUF_INIT;
    for (size_t i = 0; names[i]; i++)
        ste_buf_addf(&all, "%s\"%s\"", i ? (names[i + 1] ? ", " : " or ") : "", names[i]);
    ste_err_set(err, STE_EINPUT, "%s must be %s", key, all.s);
    ste_buf_clear(&all);
    return STE_EINPUT;
}

static int truth(const json_t *body, const char *key, bool *out, struct ste_err *err)
{
    const json_t *v = json_object_get(body, key);
    if (!v || json_is_null(v))
        return 0;
    *out = json_is_true(v);
    return json_is_boolean(v) ? 0 : ste_err_set(err, STE_EINPUT, "%s must be true or false", key);
}

static int read_votes(struct ste_asked *a, const json_t *body, struct ste_err *err)
{
    const json_t *v = json_object_get(body, "votes");
    a->votes = -1;
    if (!v || json_is_null(v))
        return 0;
    a->votes = json_integer_value(v);
    return json_is_integer(v) && a->votes >= 0 && a->votes <= STE_ASKED_VOTES && a->votes % 2 == 0
               ? 0
               : ste_err_set(err, STE_EINPUT,
                             "votes must be an even number from 0 to %d, since each order gets half of them",
                             STE_ASKED_VOTES);
}

/* LIST: the key of the rows, where BODY has it; then all other keys must be options, of WHICH. */
static int read_options(struct ste_asked *a, const json_t *body, const char *const *lists, unsigned which,
                        bool *rendered, struct ste_err *err)
{
    static const char *const orders[] = {"both", "one", NULL}, *const verdicts[] = {"two-order", "both", NULL};
    int order = 0, verdict = 0, by = 0, rc = read_votes(a, body, err);
    if (rc == 0 && which & ORDER)
        rc = choice(body, "order", orders, &order, err);
    if (rc == 0 && which & VERDICT)
        rc = choice(body, "verdict", verdicts, &verdict, err);
    if (rc == 0 && which & REWARD)
        rc = choice(body, "by", ste_reward_names, &by, err);
    if (rc == 0 && which & REASONS)
        rc = truth(body, "reasons", &a->reasons, err);
    if (rc == 0 && which & REWARD)
        rc = truth(body, "zero_sum", &a->zero_sum, err);
    if (rc == 0 && which & REWARD)
        rc = truth(body, "rendered", rendered, err);
    const json_t *fallback = which & REWARD ? json_object_get(body, "fallback") : NULL;
    a->has_fallback = fallback && !json_is_null(fallback);
    a->fallback = json_number_value(fallback);
    if (rc == 0 && a->has_fallback && !json_is_number(fallback))
        rc = ste_err_set(err, STE_EINPUT, "fallback must be a number");
    a->one_order = order;
    a->need_both = verdict;
    a->by = (enum ste_reward_by)by;
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)body, key, v)
    {
        bool known = !a->many || ste_name_find(lists, key) >= 0 || strcmp(key, "model") == 0;
        for (size_t i = 0; i < sizeof option_keys / sizeof *option_keys && !known; i++)
            known = option_keys[i].of & which && strcmp(option_keys[i].key, key) == 0;
        if (rc == 0 && !known)
            rc = ste_err_set(err, STE_EINPUT, "%.60s beside %s is no option of this route", key, lists[0]);
    }
    return rc;
}

/* ---- rows ---- */

/* Of the rows that flat requests are made into: where their answers stood. No key of JSON has a control character that
 * is not escaped, but one may be: such a row is only named wrongly. */
#define FLAT_PLACES "\001places"

/* A message as JSON: it may quote half a character. */
json_t *ste_asked_message(struct ste_err *err)
{
    const size_t n = strlen(err->msg);
    for (size_t bad; (bad = ste_utf8_bad(err->msg, n)) < n;)
        err->msg[bad] = '?';
    return json_string(err->msg);
}

/* One row of a request; WHERE names it in an error. */
typedef int read_fn(struct ste_asked *a, const json_t *row, const char *where, struct ste_err *err);

void ste_asked_add_bad(json_t *bad, size_t index, struct ste_err *why, struct ste_err *first)
{
    if (!json_array_size(bad))
        *first = *why;
    json_array_append_new(bad, json_pack("{s:I, s:o}", "index", (json_int_t)index, "message", ste_asked_message(why)));
}

int ste_asked_bad(const json_t *bad, const struct ste_err *first, struct ste_err *err)
{
    const size_t n = json_array_size(bad);
    if (n > 1)
        return ste_err_set(err, STE_EINPUT, "%s (and %zu more are wrong)", first->msg, n - 1);
    return n ? ste_err_set(err, STE_EINPUT, "%s", first->msg) : 0;
}

int ste_asked_each(struct ste_asked *a, const json_t *rows, const char *what, read_fn *read, json_t *bad,
                   struct ste_err *err)
{
    struct ste_err first = {0};
    size_t i;
    json_t *row;
    if (!json_array_size(rows) || json_array_size(rows) > STE_ASKED_ROWS)
        return ste_err_set(err, STE_EINPUT, "%s must be a list of 1 to %d", what, STE_ASKED_ROWS);
    json_array_foreach(rows, i, row)
    {
        struct ste_err why = {0};
        const json_t *place = json_array_get(json_object_get(row, FLAT_PLACES), 0);
        const size_t at = place ? (size_t)json_integer_value(place) : i;
        char *where = ste_xasprintf("%s[%zu]", what, at);
        if (json_is_object(row) ? read(a, row, where, &why)
                                : ste_err_set(&why, STE_EINPUT, "%s must be an object", where))
            ste_asked_add_bad(bad, at, &why, &first);
        ste_xfree(where);
    }
    return ste_asked_bad(bad, &first, err);
}

/* BODY as rows: those of the list under KEY, or itself. */
static int read_rows(struct ste_asked *a, const json_t *body, const char *key, unsigned options, read_fn *read,
                     json_t *bad, struct ste_err *err)
{
    const char *const lists[] = {key, NULL};
    bool rendered = false;
    if (!json_is_object(body))
        return ste_err_set(err, STE_EINPUT, "the request must be a JSON object");
    const json_t *rows = json_object_get(body, key);
    a->many = json_is_array(rows) && (!json_array_size(rows) || json_is_object(json_array_get(rows, 0)));
    int rc = read_options(a, body, lists, options, &rendered, err);
    if (rc)
        return rc;
    return a->many ? ste_asked_each(a, rows, key, read, bad, err) : read(a, body, "the request", err);
}

/* The row's own id, or none: what stands in the reply. */
static json_t *id_alone(const json_t *row)
{
    const json_t *id = json_object_get(row, "id");
    char *name = ste_json_name(id);
    json_t *alone = json_object();
    if (name)
        json_object_set_new(alone, "id", ste_json_large(id) ? json_string(name) : json_copy((json_t *)id));
    ste_xfree(name);
    return alone;
}

char *ste_asked_id(const struct ste_dialogue *prompt, const char *a, const char *b)
{
    struct ste_buf text = STE_BUF_INIT;
    ste_dialogue_canonical(prompt, &text);
    const bool swap = strcmp(a, b) > 0;
    char *id = ste_xstrdup(ste_id_of("asked", text.s, swap ? b : a, swap ? a : b, NULL).s);
    ste_buf_clear(&text);
    return id;
}

static bool has_references(const json_t *row)
{
    const json_t *one = json_object_get(row, "reference"), *all = json_object_get(row, "references");
    return (one && !json_is_null(one)) || (all && !json_is_null(all));
}

static bool is_taken(const struct ste_answer_pairs *p, const char *id)
{
    for (size_t i = 0; i + 1 < p->n; i++)
        if (strcmp(p->items[i].id, id) == 0)
            return true;
    return false;
}

static int read_pair(struct ste_asked *a, const json_t *row, const char *where, struct ste_err *err)
{
    struct ste_answer_pairs *all = &a->pairs;
    all->items = ste_xrealloc(all->items, (all->n + 1) * sizeof *all->items);
    struct ste_answer_pair *p = &all->items[all->n++];
    *p = (struct ste_answer_pair){.row = json_incref((json_t *)row)};
    int rc = ste_pair_row_read(p, STE_PAIRS_UNLABELLED, 0, "", NULL, where, err);
    if (rc < 0)
        return rc;
    if (has_references(row) && (rc = ste_references_read(&p->references, row, where, err)) < 0)
        return rc;
    p->row = id_alone(row);
    json_decref((json_t *)row);
    if (!json_object_get(p->row, "id")) {
        ste_xfree(p->id);
        p->id = ste_asked_id(&p->prompt, p->first, p->second);
        return 0;
    }
    return is_taken(all, p->id)
               ? ste_err_set(err, STE_EINPUT, "%s: its id \"%.60s\" is that of another one; give each its own", where,
                             p->id)
               : 0;
}

int ste_asked_judge(struct ste_asked *out, const json_t *body, const void *how, json_t *bad, struct ste_err *err)
{
    out->pairs.path = ste_xstrdup("a request");
    out->pairs.name = ste_xstrdup("a request");
    return read_rows(out, body, "pairs", VOTES | ORDER | REASONS, read_pair, bad, err);
}

void ste_asked_add_answer(struct ste_asked *a, const char *id, struct ste_dialogue *prompt, const char *text, size_t n)
{
    struct ste_answer_rows *all = &a->rows;
    STE_GROW(all->items, all->cap, all->n + 1);
    struct ste_answer_row *r = &all->items[all->n++];
    *r = (struct ste_answer_row){.prompt = *prompt, .text = ste_xstrndup(text, n), .row = json_object()};
    *prompt = (struct ste_dialogue){0};
    r->id = id ? ste_xstrdup(id) : ste_asked_id(&r->prompt, r->text, "");
}

static int read_answer(struct ste_asked *a, const json_t *row, const char *where, struct ste_err *err)
{
    static const char *const keys[] = {"output", "response", "answer"};
    const char *text = NULL;
    struct ste_dialogue prompt = {0};
    for (size_t i = 0; i < sizeof keys / sizeof *keys && !text; i++)
        text = ste_json_text(json_object_get(row, keys[i]));
    int rc = text ? ste_dialogue_read(&prompt, row, where, err)
                  : ste_err_set(err, STE_EINPUT, "%s: no answer in it; give output, response or answer, a text", where);
    if (rc) {
        ste_dialogue_clear(&prompt);
        return rc;
    }
    char *id = ste_json_name(json_object_get(row, "id"));
    ste_asked_add_answer(a, id, &prompt, text, strlen(text));
    ste_xfree(id);
    struct ste_answer_row *r = &a->rows.items[a->rows.n - 1];
    json_decref(r->row);
    r->row = id_alone(row);
    return has_references(row) ? ste_references_read(&r->references, row, where, err) : 0;
}

int ste_asked_score(struct ste_asked *out, const json_t *body, const void *how, json_t *bad, struct ste_err *err)
{
    return read_rows(out, body, "answers", REASONS, read_answer, bad, err);
}

/* ---- groups ---- */

/* An answer's text: a string, or messages that end with the assistant's. NULL: it is neither. */
static char *answer_text(const json_t *v, bool rendered, const char *where, struct ste_err *err)
{
    const char *text = ste_json_text(v);
    if (text)
        return rendered ? ste_xstrndup(text, ste_rendered_answer_length(text)) : ste_xstrdup(text);
    struct ste_dialogue d = {0};
    struct ste_buf out = STE_BUF_INIT;
    int rc = ste_dialogue_add_messages(&d, v, where, err);
    if (rc == 0 && d.turns[d.n - 1].role != STE_ROLE_ASSISTANT)
        rc = ste_err_set(err, STE_EINPUT, "%s: an answer must be a text, or messages that end with the assistant's",
                         where);
    if (rc == 0)
        ste_dialogue_answer(&d, 0, &out);
    ste_dialogue_clear(&d);
    if (rc == 0)
        return ste_buf_detach(&out);
    ste_buf_clear(&out);
    return NULL;
}

static int add_answer(struct ste_group *g, const json_t *v, bool rendered, const char *where, struct ste_err *err)
{
    char *text = answer_text(v, rendered, where, err);
    if (!text)
        return STE_EINPUT;
    ste_strings_add(&g->answers, text);
    ste_xfree(text);
    return 0;
}

struct ste_group *ste_asked_add_group(struct ste_asked *a)
{
    STE_GROW(a->groups, a->cap_groups, a->n_groups + 1);
    a->groups[a->n_groups] = (struct ste_group){0};
    return &a->groups[a->n_groups++];
}

static int read_prompt(struct ste_dialogue *d, const json_t *row, bool rendered, const char *where, struct ste_err *err)
{
    const char *text = rendered ? ste_json_text(json_object_get(row, "prompt")) : NULL, *answer;
    if (!text)
        return ste_dialogue_read(d, row, where, err);
    ste_rendered_read(d, text, &answer);
    return ste_dialogue_end(d, row, where, err);
}

static int read_answers(struct ste_group *g, const json_t *row, bool rendered, const char *where, struct ste_err *err)
{
    static const char *const keys[] = {"answers", "responses", "completions"};
    json_t *all = NULL, *v;
    const char *name;
    size_t i;
    int rc = 0;
    for (i = 0; i < sizeof keys / sizeof *keys && !all; i++)
        all = json_object_get(row, keys[i]);
    if (json_is_object(all)) {
        json_object_foreach(all, name, v)
        {
            if (rc == 0 && (rc = add_answer(g, v, rendered, where, err)) == 0)
                ste_strings_add(&g->names, name);
        }
    } else {
        json_array_foreach(all, i, v)
        {
            if (rc == 0 && i <= STE_ASKED_ANSWERS)
                rc = add_answer(g, v, rendered, where, err);
        }
    }
    const size_t least = g->anchor ? 1 : 2;
    if (rc == 0 && (g->answers.n < least || g->answers.n > STE_ASKED_ANSWERS))
        rc = ste_err_set(err, STE_EINPUT, "%s: answers must be a list of %zu to %d texts", where, least,
                         STE_ASKED_ANSWERS);
    return rc;
}

static int read_group_as(struct ste_asked *a, const json_t *row, bool rendered, const char *where, struct ste_err *err)
{
    struct ste_group *g = ste_asked_add_group(a);
    const json_t *anchor = json_object_get(row, "anchor");
    int rc = read_prompt(&g->prompt, row, rendered, where, err);
    if (rc == 0 && anchor && !json_is_null(anchor) && !(g->anchor = answer_text(anchor, rendered, where, err)))
        rc = STE_EINPUT;
    if (rc == 0)
        rc = read_answers(g, row, rendered, where, err);
    if (rc == 0 && has_references(row))
        rc = ste_references_read(&g->references, row, where, err);
    if (rc == 0 && !(g->id = ste_json_name(json_object_get(row, "id"))))
        g->id = ste_asked_id(&g->prompt, "", "");
    return rc;
}

static int read_group(struct ste_asked *a, const json_t *row, const char *where, struct ste_err *err)
{
    return read_group_as(a, row, json_is_true(json_object_get(row, "rendered")), where, err);
}

static int read_rendered_group(struct ste_asked *a, const json_t *row, const char *where, struct ste_err *err)
{
    return read_group_as(a, row, true, where, err);
}

size_t ste_group_pairs(const struct ste_group *g)
{
    const size_t n = g->answers.n;
    return g->anchor ? n : n * (n - 1) / 2;
}

static int check_pairs(const struct ste_asked *a, struct ste_err *err)
{
    size_t pairs = 0;
    for (size_t i = 0; i < a->n_groups; i++)
        pairs += ste_group_pairs(&a->groups[i]);
    return pairs <= STE_ASKED_PAIRS ? 0
                                    : ste_err_set(err, STE_EINPUT,
                                                  "the groups come to %zu pairs, and one request may ask for %d: send "
                                                  "fewer groups, or compare with an anchor",
                                                  pairs, STE_ASKED_PAIRS);
}

int ste_asked_rank(struct ste_asked *out, const json_t *body, const void *how, json_t *bad, struct ste_err *err)
{
    int rc = read_rows(out, body, "prompts", VOTES | VERDICT, read_group, bad, err);
    for (size_t i = 0; i < out->n_groups && rc == 0; i++)
        if (out->groups[i].anchor)
            rc = ste_err_set(err, STE_EINPUT, "answers are ranked against each other; an anchor is for /v1/group");
    return rc ? rc : check_pairs(out, err);
}

/* Answers side by side with their prompts: those of equal prompts make a group. */
static int read_flat(struct ste_asked *a, const json_t *prompts, const json_t *answers, const json_t *anchors,
                     bool rendered, json_t *bad, struct ste_err *err)
{
    const size_t n = json_array_size(prompts);
    if (!n || n > STE_ASKED_ROWS || json_array_size(answers) != n || (anchors && json_array_size(anchors) != n))
        return ste_err_set(
            err, STE_EINPUT,
            "prompts and responses (and anchors, where there are some) must be lists of one length, of 1 "
            "to %d",
            STE_ASKED_ROWS);
    json_t *places = json_object(), *rows = json_array();
    for (size_t i = 0; i < n; i++) {
        const json_t *prompt = json_array_get(prompts, i), *anchor = json_array_get(anchors, i);
        json_t *key = json_pack("[O, o]", prompt, anchor ? json_incref((json_t *)anchor) : json_null());
        char *text = ste_json_canonical(key);
        json_t *at = json_object_get(places, text);
        if (!at) {
            at = json_integer((json_int_t)json_array_size(rows));
            json_object_set_new(places, text, at);
            json_array_append_new(rows, json_pack("{s:O, s:[], s:[]}", "prompt", prompt, "responses", FLAT_PLACES));
            if (anchor)
                json_object_set(json_array_get(rows, json_array_size(rows) - 1), "anchor", (json_t *)anchor);
        }
        json_t *row = json_array_get(rows, (size_t)json_integer_value(at));
        json_array_append(json_object_get(row, "responses"), json_array_get(answers, i));
        json_array_append_new(json_object_get(row, FLAT_PLACES), json_integer((json_int_t)i));
        json_decref(key);
        ste_xfree(text);
    }
    int rc = ste_asked_each(a, rows, "prompts", rendered ? read_rendered_group : read_group, bad, err);
    for (size_t i = 0; i < a->n_groups && rc == 0; i++) {
        const json_t *at = json_object_get(json_array_get(rows, i), FLAT_PLACES);
        a->groups[i].places = ste_xcalloc(a->groups[i].answers.n, sizeof *a->groups[i].places);
        for (size_t k = 0; k < a->groups[i].answers.n; k++)
            a->groups[i].places[k] = (size_t)json_integer_value(json_array_get(at, k));
    }
    a->flat = n;
    json_decref(places);
    json_decref(rows);
    return rc;
}

int ste_asked_group(struct ste_asked *out, const json_t *body, const void *how, json_t *bad, struct ste_err *err)
{
    static const char *const lists[] = {"groups", "prompts", "responses", "completions", "anchors", NULL};
    const json_t *prompts = json_object_get(body, "prompts"), *groups = json_object_get(body, "groups"),
                 *answers = json_object_get(body, "responses");
    bool rendered = false;
    if (!json_is_object(body))
        return ste_err_set(err, STE_EINPUT, "the request must be a JSON object");
    out->many = prompts || groups;
    int rc = read_options(out, body, lists, VOTES | VERDICT | REWARD, &rendered, err);
    if (rc)
        return rc;
    read_fn *read = rendered ? read_rendered_group : read_group;
    if (prompts)
        rc = read_flat(out, prompts, answers ? answers : json_object_get(body, "completions"),
                       json_object_get(body, "anchors"), rendered, bad, err);
    else if (groups)
        rc = ste_asked_each(out, groups, "groups", read, bad, err);
    else
        rc = read(out, body, "the request", err);
    return rc ? rc : check_pairs(out, err);
}
