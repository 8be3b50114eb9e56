#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/hash.h"
#include "core/interrupt.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/utf8.h"
#include "eval/eval.h"
#include "eval/reward.h"

/* A vote to come; its address is the question's tag. */
struct vote {
    struct cell *cell;
    uint64_t ticket;
    bool asked, done;
};

/* One order of one pair. */
struct cell {
    size_t pair;
    enum ste_order order;
    struct vote *votes;             /* [setting.votes] */
    struct ste_judgment *judgments; /* the same */
    struct ste_tally tally;         /* of those that came back */
    int asked, back;
};

struct evaluation {
    struct ste_llm *llm;
    const struct ste_judge_setting *setting;
    const struct ste_answer_pairs *pairs;
    struct ste_outcome *out;
    struct cell *cells; /* (pairs, 2) */
    struct vote *votes;
    struct ste_judgment *judgments;
    int orders, votes_each; /* ORDERS 2: both; 1: only as the file has them */
    size_t waiting;
    struct ste_progress *progress;
};

/* Markdown that a reader would see as form: a heading, a list, bold, a table or code. */
static bool formatted(const char *text)
{
    static const char *const starts[] = {"# ", "## ", "### ", "- ", "* ", "1. ", "| ", "```"};
    if (strstr(text, "**") || strstr(text, "```"))
        return true;
    for (const char *line = text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
        for (size_t i = 0; i < sizeof starts / sizeof *starts; i++)
            if (strncmp(line + strspn(line, " "), starts[i], strlen(starts[i])) == 0)
                return true;
    return false;
}

static void set_sides(struct ste_outcome *o, const struct ste_answer_pair *p)
{
    size_t x = ste_utf8_length(p->first), y = ste_utf8_length(p->second);
    o->side[STE_SPLIT_LENGTH] = (signed char)((x > y) - (x < y));
    o->side[STE_SPLIT_FORMAT] = (signed char)(formatted(p->first) - formatted(p->second));
    const json_t *drawn = json_object_get(p->row, "is_shuffled");
    o->drawn = (signed char)(json_is_boolean(drawn) ? json_is_true(drawn) : -1);
}

static uint64_t prompt_key(const struct ste_dialogue *d)
{
    json_t *j = ste_dialogue_json(d);
    char *canonical = ste_json_canonical(j);
    uint64_t key = ste_key_of(canonical, NULL);
    free(canonical);
    json_decref(j);
    return key;
}

void ste_outcome_begin(struct ste_outcome *o, const struct ste_answer_pair *p, bool judged)
{
    *o = (struct ste_outcome){.judged = judged, .prompt_key = prompt_key(&p->prompt), .tie = p->tied};
    set_sides(o, p);
    for (int order = 0; order < 2; order++)
        ste_judgment_clear(&o->order[order]);
}

static int ask(struct evaluation *e, struct cell *c, struct ste_err *err)
{
    const struct ste_answer_pair *p = &e->pairs->items[c->pair];
    bool swapped = c->order == STE_ORDER_BA;
    struct ste_judge_prompt texts;
    struct vote *v = &c->votes[c->asked];
    struct ste_ask question = {.tag = v};
    const struct ste_judge_material m = {.pair_id = p->id,
                                         .prompt = &p->prompt,
                                         .a = swapped ? p->second : p->first,
                                         .b = swapped ? p->first : p->second,
                                         .references = p->references.n ? &p->references : NULL};
    ste_judge_ask(e->setting, &m, c->asked, &texts, &question);
    int rc = ste_llm_submit(e->llm, &question, &v->ticket, err);
    ste_judge_prompt_clear(&texts);
    if (rc == 0) {
        v->asked = true;
        c->asked++;
        e->waiting++;
    }
    return rc;
}

static int needed(const struct evaluation *e, const struct cell *c)
{
    return e->setting->all_votes ? e->votes_each - c->back : ste_votes_needed(&c->tally, e->votes_each);
}

static void cancel(struct evaluation *e, struct cell *c)
{
    for (int i = 0; i < c->asked; i++)
        if (!c->votes[i].done) {
            ste_llm_cancel(e->llm, c->votes[i].ticket);
            c->votes[i].done = true;
            e->waiting--;
        }
}

/* A pair that does not fit in one order is not judged in the other either: it is wrong in both, and said so. */
static void skip(struct evaluation *e, size_t pair, const char *why)
{
    struct ste_outcome *o = &e->out[pair];
    for (int order = 0; order < 2; order++) {
        cancel(e, &e->cells[2 * pair + (size_t)order]);
        ste_judgment_clear(&o->order[order]);
    }
    ste_outcome_too_long(o);
    ste_progress_add(e->progress, (uint64_t)(e->orders * e->votes_each));
    ste_warn("%s, pair %s counts as invalid: %s", e->pairs->name, e->pairs->items[pair].id, why);
}

/* Asks for the votes of a pair that are needed for certain, one order after the other, so that they share the prompt's
 * prefix in the cache. */
static int ask_pair(struct evaluation *e, size_t pair, struct ste_err *err)
{
    for (int order = 0; order < e->orders; order++) {
        struct cell *c = &e->cells[2 * pair + (size_t)order];
        while (c->asked - c->back < needed(e, c)) {
            struct ste_err why = {0};
            int rc = ask(e, c, &why);
            if (rc == STE_ETOOLONG) {
                skip(e, pair, why.msg);
                return 0;
            }
            if (rc)
                return ste_err_set(err, rc, "judging pair %s of %s: %s", e->pairs->items[pair].id, e->pairs->path,
                                   why.msg);
        }
    }
    return 0;
}

/* Counts a vote; the order's label when it was the last one. */
static int take(struct evaluation *e, struct vote *v, const struct ste_answer *answer, struct ste_err *err)
{
    struct cell *c = v->cell;
    struct ste_judgment *j = &c->judgments[v - c->votes];
    struct ste_outcome *o = &e->out[c->pair];
    v->done = true;
    e->waiting--;
    c->back++;
    ste_judge_read(e->setting, answer, j);
    c->tally.a += j->verdict == STE_VERDICT_A;
    c->tally.b += j->verdict == STE_VERDICT_B;
    c->tally.invalid += j->verdict == STE_VERDICT_INVALID;
    ste_progress_add(e->progress, 1);
    if (needed(e, c) > 0)
        return ask_pair(e, c->pair, err);
    ste_progress_add(e->progress, (uint64_t)(e->votes_each - c->back));
    ste_judgment_clear(&o->order[c->order]);
    ste_votes_count(c->judgments, c->back, &o->order[c->order], &o->votes[c->order]);
    for (int i = 0; i < c->back; i++)
        ste_judgment_clear(&c->judgments[i]);
    return 0;
}

static int judge_all(struct evaluation *e, struct ste_err *err)
{
    size_t next = 0, window = ste_llm_window(e->llm);
    int rc = 0;
    while (!rc) {
        while (!rc && next < e->pairs->n && e->waiting < window) {
            if (!e->pairs->items[next].tied || e->setting->ask_ties)
                rc = ask_pair(e, next, err);
            next++;
        }
        if (rc || (rc = ste_interrupt_check(err)) || e->waiting == 0)
            break;
        struct ste_answer answer = {0};
        int got = ste_llm_next(e->llm, &answer, err);
        if (got <= 0) {
            rc = got < 0
                     ? got
                     : ste_err_set(err, STE_EFAIL, "%zu verdicts of %s never came back", e->waiting, e->pairs->path);
            break;
        }
        struct vote *v = answer.tag;
        if (!v->done)
            rc = take(e, v, &answer, err);
        ste_answer_clear(&answer);
    }
    return rc;
}

int ste_eval_pairs(struct ste_llm *llm, const struct ste_judge_setting *s, const struct ste_answer_pairs *pairs,
                   struct ste_outcome *out, struct ste_progress *progress, struct ste_err *err)
{
    return ste_judge_pairs(llm, s, pairs, true, out, progress, err);
}

int ste_judge_pairs(struct ste_llm *llm, const struct ste_judge_setting *s, const struct ste_answer_pairs *pairs,
                    bool both, struct ste_outcome *out, struct ste_progress *progress, struct ste_err *err)
{
    size_t cells = pairs->n ? 2 * pairs->n : 1, each = s->votes > 1 ? (size_t)s->votes : 1;
    struct evaluation e = {.llm = llm,
                           .setting = s,
                           .pairs = pairs,
                           .out = out,
                           .cells = ste_xcalloc(cells, sizeof *e.cells),
                           .votes = ste_xcalloc(cells * each, sizeof *e.votes),
                           .judgments = ste_xcalloc(cells * each, sizeof *e.judgments),
                           .orders = both ? 2 : 1,
                           .votes_each = (int)each,
                           .progress = progress};
    for (size_t i = 0; i < pairs->n; i++) {
        ste_outcome_begin(&out[i], &pairs->items[i], !pairs->items[i].tied || s->ask_ties);
        for (size_t order = 0; order < 2; order++) {
            struct cell *c = &e.cells[2 * i + order];
            *c = (struct cell){.pair = i,
                               .order = (enum ste_order)order,
                               .votes = e.votes + (2 * i + order) * each,
                               .judgments = e.judgments + (2 * i + order) * each};
            for (size_t v = 0; v < each; v++)
                c->votes[v].cell = c;
        }
    }
    int rc = judge_all(&e, err);
    for (size_t i = 0; i < 2 * pairs->n; i++) {
        if (rc)
            cancel(&e, &e.cells[i]);
        for (size_t v = 0; v < each; v++)
            ste_judgment_clear(&e.cells[i].judgments[v]);
    }
    free(e.cells);
    free(e.votes);
    free(e.judgments);
    return rc;
}

void ste_outcomes_clear(struct ste_outcome *o, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (int order = 0; order < 2; order++)
            ste_judgment_clear(&o[i].order[order]);
}
