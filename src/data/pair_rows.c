/* One row of a file as a pair of answers, in each of the forms of data/pairs.h. */
#include "data/pair_rows.h"

#include <stdint.h>
#include <string.h>

#include "core/json.h"
#include "core/mem.h"

int ste_references_read(struct ste_strings *out, const json_t *row, const char *where, struct ste_err *err)
{
    json_t *one = json_object_get(row, "reference"), *all = json_object_get(row, "references"), *v;
    size_t i;
    if (ste_json_text(one)) {
        ste_strings_add(out, ste_json_text(one));
        return 0;
    }
    json_array_foreach(json_is_array(one) ? one : all, i, v)
    {
        if (!ste_json_text(v))
            return ste_err_set(err, STE_EINPUT, "%s: reference %zu is no text", where, i + 1);
        ste_strings_add(out, ste_json_text(v));
    }
    if (out->n == 0)
        return ste_err_set(err, STE_EINPUT,
                           "%s: no reference answer; give reference, a text, or references, a list of texts, or leave "
                           "--reference out",
                           where);
    return 0;
}

bool ste_pair_says_tie(const json_t *row)
{
    const json_t *tie = json_object_get(row, "tie");
    return json_is_true(tie) || (json_is_integer(tie) && json_integer_value(tie) != 0);
}

/* Answers in a list of texts; 0: V is no such list. */
static size_t texts_in(const json_t *v)
{
    return json_is_string(json_array_get(v, 0)) ? json_array_size(v) : 0;
}

size_t ste_pair_row_pairs(const json_t *row, enum ste_pairs_kind kind)
{
    const size_t chosen = texts_in(json_object_get(row, "chosen")),
                 rejected = texts_in(json_object_get(row, "rejected"));
    return kind == STE_PAIRS_LABELLED ? (chosen ? chosen : 1) * (rejected ? rejected : 1) : 1;
}

/* An answer as a dialogue: a text alone, or the messages that end with it, perhaps with all that went before. WHICH: of
 * a list of answers; SIZE_MAX: there may be none. */
static int read_answer(struct ste_dialogue *d, const json_t *row, const char *key, size_t which, const char *where,
                       struct ste_err *err)
{
    const json_t *v = json_object_get(row, key);
    if (texts_in(v) && which >= texts_in(v))
        return ste_err_set(err, STE_EINPUT, "%s: \"%s\" is a list of texts; a pair to judge has one on each side",
                           where, key);
    if (texts_in(v))
        v = json_array_get(v, which);
    const char *text = ste_json_text(v);
    int rc = 0;
    if (!v || json_is_null(v))
        return ste_err_set(err, STE_EINPUT, "%s: the field \"%s\" is missing", where, key);
    if (text)
        ste_dialogue_add(d, STE_ROLE_ASSISTANT, text, strlen(text));
    else if (json_is_array(v))
        rc = ste_dialogue_add_messages(d, v, where, err);
    else
        rc = ste_err_set(err, STE_EINPUT, "%s: \"%s\" must be a string or a list of messages", where, key);
    if (!rc && d->turns[d->n - 1].role != STE_ROLE_ASSISTANT)
        rc = ste_err_set(err, STE_EINPUT, "%s: the messages of \"%s\" must end with the assistant's text", where, key);
    return rc;
}

/* Turns that both dialogues begin with, the last one the user's. */
static size_t shared_turns(const struct ste_dialogue *a, const struct ste_dialogue *b)
{
    size_t n = 0;
    while (n < a->n && n < b->n && a->turns[n].role == b->turns[n].role &&
           strcmp(a->turns[n].text, b->turns[n].text) == 0)
        n++;
    while (n && a->turns[n - 1].role != STE_ROLE_USER)
        n--;
    return n;
}

/* Turns up to the last of the user's; 0 where D is no dialogue, but what an assistant goes on with. */
static size_t asked_turns(const struct ste_dialogue *d)
{
    return d->turns[0].role == STE_ROLE_ASSISTANT ? 0 : ste_dialogue_asked(d);
}

static char *answer_from(const struct ste_dialogue *d, size_t from)
{
    struct ste_buf text = STE_BUF_INIT;
    ste_dialogue_answer(d, from, &text);
    return ste_buf_detach(&text);
}

/* Answers that are whole dialogues bring their prompt along (TRL's "implicit prompt"): what both begin with. What they
 * go on with, each in its own way, is what is compared. */
static int join_answers(struct ste_answer_pair *p, struct ste_dialogue side[2], const json_t *row, const char *where,
                        struct ste_err *err)
{
    const size_t asked[2] = {asked_turns(&side[0]), asked_turns(&side[1])};
    const bool both = asked[0] && asked[1];
    const size_t shared = shared_turns(&side[0], &side[1]);
    size_t from[2];
    if (both && !shared)
        return ste_err_set(
            err, STE_EINPUT,
            "%s: the two dialogues begin with different questions; both answers of a pair must be to one", where);
    for (int i = 0; i < 2; i++)
        from[i] = both ? shared : asked[i];
    p->first = answer_from(&side[0], from[0]);
    p->second = answer_from(&side[1], from[1]);
    if (!asked[0] && !asked[1])
        return ste_dialogue_read(&p->prompt, row, where, err);
    struct ste_dialogue *whole = &side[!asked[0]];
    ste_dialogue_cut(whole, from[!asked[0]]);
    p->prompt = *whole;
    *whole = (struct ste_dialogue){0};
    return ste_dialogue_end(&p->prompt, row, where, err);
}

static int read_item(struct ste_answer_pair *p, const json_t *row, size_t which, const char *name, bool labelled,
                     const char *where, struct ste_err *err)
{
    static const char *const keys[2][2] = {{"response_a", "response_b"}, {"chosen", "rejected"}};
    const size_t chosen = labelled ? texts_in(json_object_get(row, "chosen")) : 0,
                 rejected = labelled ? texts_in(json_object_get(row, "rejected")) : 0,
                 at[2] = {labelled ? which / (rejected ? rejected : 1) : SIZE_MAX,
                          labelled ? which % (rejected ? rejected : 1) : SIZE_MAX};
    struct ste_dialogue side[2] = {{0}, {0}};
    int rc = 0;
    for (int i = 0; i < 2 && !rc; i++)
        rc = read_answer(&side[i], row, keys[labelled][i], at[i], where, err);
    if (!rc)
        rc = join_answers(p, side, row, where, err);
    for (int i = 0; i < 2; i++)
        ste_dialogue_clear(&side[i]);
    if (rc)
        return rc;
    p->id = ste_json_name(json_object_get(row, "id"));
    if (!p->id)
        p->id = ste_xasprintf("%s:%ld", name, p->line);
    if (chosen || rejected) {
        p->row_id = p->id;
        p->id = ste_xasprintf("%s/%zu-%zu", p->row_id, at[0] + 1, at[1] + 1);
    }
    p->tied = labelled && (ste_pair_says_tie(row) || strcmp(p->first, p->second) == 0);
    return 0;
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

/* A row of ratings waits in WAITING, under its prompt, for the next one of that prompt, which need not stand beside it.
 */
static int read_rating(struct ste_answer_pair *p, json_t *row, const char *prompt, json_t *waiting, const char *where,
                       struct ste_err *err)
{
    const char *text;
    double helpful;
    int rc = ste_json_string(row, "response", true, &text, where, err);
    if (!rc)
        rc = ste_json_real(row, "helpfulness", true, &helpful, where, err);
    if (rc)
        return rc;
    const json_t *other = json_object_get(waiting, prompt);
    if (!other) {
        json_object_set(waiting, prompt, row);
        return 0;
    }
    order_answers(p, json_string_value(json_object_get(other, "response")), text,
                  helpful - json_number_value(json_object_get(other, "helpfulness")));
    json_object_del(waiting, prompt);
    return 1;
}

static int read_helpsteer2(struct ste_answer_pair *p, json_t *row, const char *name, json_t *waiting, const char *where,
                           struct ste_err *err)
{
    const char *prompt, *x, *y;
    double strength;
    int rc = ste_json_string(row, "prompt", true, &prompt, where, err);
    if (rc)
        return rc;
    if (!json_object_get(row, "preference_strength")) {
        if ((rc = read_rating(p, row, prompt, waiting, where, err)) <= 0)
            return rc;
    } else {
        rc = ste_json_string(row, "response_1", true, &x, where, err);
        if (!rc)
            rc = ste_json_string(row, "response_2", true, &y, where, err);
        if (!rc)
            rc = ste_json_real(row, "preference_strength", true, &strength, where, err);
        if (rc)
            return rc;
        order_answers(p, x, y, strength);
    }
    set_prompt(p, prompt);
    p->id = ste_xasprintf("%s:%ld", name, p->line);
    return 1;
}

int ste_vote_read(const char *winner, int *sign)
{
    const bool a = !strcmp(winner, "model_a") || !strcmp(winner, "model_1"),
               b = !strcmp(winner, "model_b") || !strcmp(winner, "model_2"),
               bad = !strcmp(winner, "both_bad") || !strcmp(winner, "bothbad");
    *sign = a - b;
    return a || b || bad || strncmp(winner, "tie", 3) == 0 ? 0 : -1;
}

static const char *turn_text(const json_t *conversation, size_t i)
{
    return ste_json_text(json_object_get(json_array_get(conversation, i), "content"));
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
    int sign;
    if (ste_vote_read(winner, &sign))
        return ste_err_set(err, STE_EINPUT, "%s: winner is \"%s\"; it must be model_a, model_b, tie or both_bad", where,
                           winner);
    if (turn != 1 && turn != 2)
        return ste_err_set(err, STE_EINPUT, "%s: turn is %lld; it must be 1 or 2", where, turn);
    char *texts[2];
    for (int side = 0; side < 2; side++) {
        const json_t *c = json_object_get(row, side ? "conversation_b" : "conversation_a");
        for (size_t i = 0; i < 2 * (size_t)turn; i++)
            if (!turn_text(c, i)) {
                if (side)
                    ste_xfree(texts[0]);
                return ste_err_set(err, STE_EINPUT, "%s: conversation_%c has too few turns for turn %lld", where,
                                   side ? 'b' : 'a', turn);
            }
        texts[side] = turn == 1 ? ste_xstrdup(turn_text(c, 1))
                                : ste_xasprintf("%s\n\nUser: %s\n\nAssistant: %s", turn_text(c, 1), turn_text(c, 2),
                                                turn_text(c, 3));
    }
    order_answers(p, texts[0], texts[1], -sign);
    set_prompt(p, turn_text(json_object_get(row, "conversation_a"), 0));
    p->id = ste_xasprintf("%lld:%s:%s:%lld:%s", question, a, b, turn, judge ? judge : "");
    ste_xfree(texts[0]);
    ste_xfree(texts[1]);
    return 0;
}

int ste_pair_row_read(struct ste_answer_pair *p, enum ste_pairs_kind kind, size_t which, const char *name,
                      json_t *waiting, const char *where, struct ste_err *err)
{
    if (kind == STE_PAIRS_HELPSTEER2)
        return read_helpsteer2(p, p->row, name, waiting, where, err);
    int rc = kind == STE_PAIRS_MTBENCH_VOTES
                 ? read_vote(p, p->row, where, err)
                 : read_item(p, p->row, which, name, kind == STE_PAIRS_LABELLED, where, err);
    return rc ? rc : 1;
}
