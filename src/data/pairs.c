#include "data/pairs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/hash.h"
#include "core/json.h"
#include "core/log.h"
#include "core/mem.h"

static void item_clear(struct ste_answer_pair *p)
{
    free(p->id);
    free(p->first);
    free(p->second);
    ste_dialogue_clear(&p->prompt);
    ste_strings_clear(&p->references);
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

int ste_references_read(struct ste_strings *out, const json_t *row, const char *where, struct ste_err *err)
{
    json_t *one = json_object_get(row, "reference"), *all = json_object_get(row, "references"), *v;
    size_t i;
    if (json_is_string(one)) {
        ste_strings_add(out, json_string_value(one));
        return 0;
    }
    json_array_foreach(json_is_array(one) ? one : all, i, v)
    {
        if (!json_is_string(v))
            return ste_err_set(err, STE_EINPUT, "%s: reference %zu is no text", where, i + 1);
        ste_strings_add(out, json_string_value(v));
    }
    if (out->n == 0)
        return ste_err_set(err, STE_EINPUT,
                           "%s: no reference answer; give reference, a text, or references, a list of texts, or leave "
                           "--reference out",
                           where);
    return 0;
}

int ste_answer_pairs_references(struct ste_answer_pairs *p, struct ste_err *err)
{
    int rc = 0;
    for (size_t i = 0; i < p->n && !rc; i++) {
        char *where = ste_xasprintf("%s:%ld", p->path, p->items[i].line);
        rc = ste_references_read(&p->items[i].references, p->items[i].row, where, err);
        free(where);
    }
    return rc;
}

struct draw {
    uint64_t number;
    size_t at;
};

static int by_number(const void *a, const void *b)
{
    const struct draw *x = a, *y = b;
    return x->number != y->number ? (x->number > y->number) - (x->number < y->number)
                                  : (x->at > y->at) - (x->at < y->at);
}

void ste_answer_pairs_sample(struct ste_answer_pairs *p, size_t n, uint64_t seed)
{
    struct draw *draws = ste_xcalloc(p->n + 1, sizeof *draws);
    bool *keep = ste_xcalloc(p->n + 1, sizeof *keep);
    size_t count = 0, kept = 0;
    char text[2][32];
    snprintf(text[0], sizeof text[0], "%llu", (unsigned long long)seed);
    for (size_t i = 0; i < p->n; i++) {
        snprintf(text[1], sizeof text[1], "%ld", p->items[i].line);
        if (!p->items[i].tied)
            draws[count++] = (struct draw){ste_key_of("sample", text[0], p->name, text[1], NULL), i};
    }
    qsort(draws, count, sizeof *draws, by_number);
    for (size_t i = 0; i < count && i < n; i++)
        keep[draws[i].at] = true;
    for (size_t i = 0; i < p->n; i++)
        if (keep[i])
            p->items[kept++] = p->items[i];
        else
            item_clear(&p->items[i]);
    p->n = kept;
    free(draws);
    free(keep);
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
    p->id = ste_json_id(row, "id");
    if (!p->id)
        p->id = ste_xasprintf("%s:%ld", name, p->line);
    p->tied = kind == STE_PAIRS_LABELLED && (says_tie(row) || strcmp(p->first, p->second) == 0);
    return 0;
}

int ste_pairs_kind_by_name(const char *name, enum ste_pairs_kind *out, const char *what, struct ste_err *err)
{
    static const struct {
        const char *name;
        enum ste_pairs_kind kind;
    } kinds[] = {{"pairs", STE_PAIRS_LABELLED},
                 {"helpsteer2", STE_PAIRS_HELPSTEER2},
                 {"mtbench-votes", STE_PAIRS_MTBENCH_VOTES},
                 {"verifiable", STE_PAIRS_VERIFIABLE}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kinds[i].name, name) == 0) {
            *out = kinds[i].kind;
            return 0;
        }
    return ste_err_set(err, STE_EINPUT,
                       "%s: format %s is unknown; there are pairs, helpsteer2, mtbench-votes and verifiable", what,
                       name);
}

/* The two answers in the order that the label asks for: SIGN > 0 when Y is better. */
static void order_answers(struct ste_answer_pair *p, const char *x, const char *y, double sign)
{
    p->first = ste_xstrdup(sign > 0 ? y : x);
    p->second = ste_xstrdup(sign > 0 ? x : y);
    p->tied = sign == 0 || strcmp(x, y) == 0;
}

static void set_prompt(struct ste_answer_pair *p, const char *text)
{
    ste_dialogue_add(&p->prompt, STE_ROLE_USER, text, strlen(text));
}

/* 1: a pair; 0: a rating that waits in *BEFORE for the next one of its prompt. */
static int read_helpsteer2(struct ste_answer_pair *p, json_t *row, json_t **before, const char *name, const char *where,
                           struct ste_err *err)
{
    const char *prompt, *x, *y;
    double helpful, other;
    int rc = ste_json_string(row, "prompt", true, &prompt, where, err);
    if (rc)
        return rc;
    if (json_object_get(row, "preference_strength")) {
        rc = ste_json_string(row, "response_1", true, &x, where, err);
        if (!rc)
            rc = ste_json_string(row, "response_2", true, &y, where, err);
        if (!rc)
            rc = ste_json_real(row, "preference_strength", true, &helpful, where, err);
        if (rc)
            return rc;
        order_answers(p, x, y, helpful);
    } else {
        rc = ste_json_string(row, "response", true, &y, where, err);
        if (!rc)
            rc = ste_json_real(row, "helpfulness", true, &helpful, where, err);
        if (rc)
            return rc;
        const char *last = *before ? json_string_value(json_object_get(*before, "prompt")) : NULL;
        if (!last || strcmp(last, prompt) != 0) {
            json_decref(*before);
            *before = json_incref(row);
            return 0;
        }
        x = json_string_value(json_object_get(*before, "response"));
        other = json_number_value(json_object_get(*before, "helpfulness"));
        order_answers(p, x, y, helpful - other);
    }
    set_prompt(p, prompt);
    json_decref(*before);
    *before = NULL;
    p->id = ste_xasprintf("%s:%ld", name, p->line);
    return 1;
}

static const char *turn_text(const json_t *conversation, size_t i)
{
    return json_string_value(json_object_get(json_array_get(conversation, i), "content"));
}

static int read_vote(struct ste_answer_pair *p, const json_t *row, const char *where, struct ste_err *err)
{
    const char *winner, *a, *b, *judge = "";
    long long turn, question;
    int rc = ste_json_string(row, "winner", true, &winner, where, err);
    if (!rc)
        rc = ste_json_string(row, "model_a", true, &a, where, err);
    if (!rc)
        rc = ste_json_string(row, "model_b", true, &b, where, err);
    if (!rc)
        rc = ste_json_int(row, "turn", true, &turn, where, err);
    if (!rc)
        rc = ste_json_int(row, "question_id", true, &question, where, err);
    if (rc)
        return rc;
    judge = json_string_value(json_object_get(row, "judge"));
    int sign = strcmp(winner, "model_a") == 0 ? -1 : strcmp(winner, "model_b") == 0 ? 1 : 0;
    if (!sign && strncmp(winner, "tie", 3) != 0)
        return ste_err_set(err, STE_EINPUT, "%s: winner is \"%s\"; it must be model_a, model_b or tie", where, winner);
    if (turn != 1 && turn != 2)
        return ste_err_set(err, STE_EINPUT, "%s: turn is %lld; it must be 1 or 2", where, turn);
    char *texts[2];
    for (int side = 0; side < 2; side++) {
        const json_t *c = json_object_get(row, side ? "conversation_b" : "conversation_a");
        for (size_t i = 0; i < 2 * (size_t)turn; i++)
            if (!turn_text(c, i)) {
                if (side)
                    free(texts[0]);
                return ste_err_set(err, STE_EINPUT, "%s: conversation_%c has too few turns for turn %lld", where,
                                   side ? 'b' : 'a', turn);
            }
        texts[side] = turn == 1 ? ste_xstrdup(turn_text(c, 1))
                                : ste_xasprintf("%s\n\nUser: %s\n\nAssistant: %s", turn_text(c, 1), turn_text(c, 2),
                                                turn_text(c, 3));
    }
    order_answers(p, texts[0], texts[1], sign);
    set_prompt(p, turn_text(json_object_get(row, "conversation_a"), 0));
    p->id = ste_xasprintf("%lld:%s:%s:%lld:%s", question, a, b, turn, judge ? judge : "");
    free(texts[0]);
    free(texts[1]);
    return 0;
}

struct ste_pairs_reader {
    enum ste_pairs_kind kind;
    struct ste_jsonl *f;
    char *path, *name;
    json_t *before; /* a rating that waits for the next one of its prompt */
    json_t *ids;    /* to the lines that bore them */
};

int ste_pairs_reader_open(struct ste_pairs_reader **out, const char *path, enum ste_pairs_kind kind,
                          struct ste_err *err)
{
    struct ste_jsonl *f;
    int rc = ste_jsonl_open(&f, path, err);
    if (rc)
        return rc;
    *out = ste_xcalloc(1, sizeof **out);
    **out = (struct ste_pairs_reader){
        .kind = kind, .f = f, .path = ste_xstrdup(path), .name = ste_path_stem(path), .ids = json_object()};
    return 0;
}

void ste_pairs_reader_close(struct ste_pairs_reader *r)
{
    if (!r)
        return;
    ste_jsonl_close(r->f);
    json_decref(r->before);
    json_decref(r->ids);
    free(r->path);
    free(r->name);
    free(r);
}

/* Pairs that go by one id would share their fence, and one of them is likely there twice. */
static int check_id(struct ste_pairs_reader *r, const struct ste_answer_pair *p, const char *where, struct ste_err *err)
{
    const json_t *at = json_object_get(r->ids, p->id);
    if (at)
        return ste_err_set(err, STE_EINPUT, "%s: the id \"%s\" is that of line %lld; give each row its own", where,
                           p->id, (long long)json_integer_value(at));
    json_object_set_new(r->ids, p->id, json_integer(p->line));
    if (r->kind == STE_PAIRS_LABELLED && !says_tie(p->row) && strcmp(p->first, p->second) == 0)
        ste_warn("%s: chosen and rejected are the same text; the row counts as a tie", where);
    return 0;
}

int ste_pairs_reader_next(struct ste_pairs_reader *r, struct ste_answer_pairs *out, size_t most, bool ready,
                          struct ste_err *err)
{
    *out = (struct ste_answer_pairs){.path = ste_xstrdup(r->path), .name = ste_xstrdup(r->name)};
    size_t cap = 0;
    int rc = 0;
    json_t *row;
    while ((!most || out->n < most) && !(ready && out->n && !ste_jsonl_ready(r->f)) &&
           (rc = ste_jsonl_next(r->f, &row, err)) > 0) {
        struct ste_answer_pair p = {.line = ste_jsonl_line(r->f), .row = row};
        char *where = ste_xasprintf("%s:%ld", ste_jsonl_path(r->f), p.line);
        int got = 1; /* 0: the row waits for its pair */
        if (r->kind == STE_PAIRS_HELPSTEER2) {
            got = read_helpsteer2(&p, row, &r->before, r->name, where, err);
            rc = got < 0 ? got : 0;
        } else if (r->kind == STE_PAIRS_MTBENCH_VOTES) {
            rc = read_vote(&p, row, where, err);
        } else {
            rc = read_item(&p, row, r->name, r->kind, where, err);
            if (!rc)
                rc = check_id(r, &p, where, err);
        }
        free(where);
        if (got == 0) {
            json_decref(row);
            continue;
        }
        if (rc) {
            item_clear(&p);
            break;
        }
        STE_GROW(out->items, cap, out->n + 1);
        out->items[out->n++] = p;
    }
    if (rc < 0)
        ste_answer_pairs_clear(out);
    return rc < 0 ? rc : 0;
}

int ste_answer_pairs_read(struct ste_answer_pairs *out, const char *path, enum ste_pairs_kind kind, size_t limit,
                          struct ste_err *err)
{
    struct ste_pairs_reader *r;
    *out = (struct ste_answer_pairs){0};
    int rc = ste_pairs_reader_open(&r, path, kind, err);
    if (rc)
        return rc;
    rc = ste_pairs_reader_next(r, out, limit, false, err);
    ste_pairs_reader_close(r);
    if (!rc && !out->n) {
        ste_answer_pairs_clear(out);
        rc = ste_err_set(err, STE_EINPUT, "%s holds no rows; one pair a line is expected", path);
    }
    return rc;
}
