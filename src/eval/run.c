#include <math.h>
#include <stdlib.h>

#include "core/hash.h"
#include "core/interrupt.h"
#include "core/json.h"
#include "core/mem.h"
#include "eval/eval.h"

/* One verdict to come; its address is the question's tag. */
struct cell {
    size_t pair;
    enum ste_order order;
    uint64_t ticket;
    bool asked, done;
};

struct evaluation {
    struct ste_llm *llm;
    const struct ste_judge_setting *setting;
    const struct ste_answer_pairs *pairs;
    struct ste_outcome *out;
    struct cell *cells; /* (pairs, 2) */
    int orders;         /* 2: both; 1: only as the file has them */
};

static uint64_t prompt_key(const struct ste_dialogue *d)
{
    json_t *j = ste_dialogue_json(d);
    char *canonical = ste_json_canonical(j);
    uint64_t key = ste_key_of(canonical, NULL);
    free(canonical);
    json_decref(j);
    return key;
}

static int ask(struct evaluation *e, struct cell *c, struct ste_err *err)
{
    const struct ste_answer_pair *p = &e->pairs->items[c->pair];
    bool swapped = c->order == STE_ORDER_BA;
    struct ste_judge_prompt texts;
    struct ste_ask question = {.tag = c};
    ste_judge_ask(e->setting, p->id, &p->prompt, swapped ? p->second : p->first, swapped ? p->first : p->second, 0,
                  &texts, &question);
    int rc = ste_llm_submit(e->llm, &question, &c->ticket, err);
    ste_judge_prompt_clear(&texts);
    c->asked = rc == 0;
    return rc;
}

/* A pair that does not fit in one order is not judged in the other either: it is wrong in both, and said so. */
static void skip(struct evaluation *e, size_t pair, const char *why)
{
    struct ste_outcome *o = &e->out[pair];
    o->skipped = true;
    for (int order = 0; order < 2; order++) {
        struct cell *c = &e->cells[2 * pair + (size_t)order];
        if (c->asked && !c->done)
            ste_llm_cancel(e->llm, c->ticket);
        c->done = true;
        ste_judgment_clear(&o->order[order]);
        o->order[order].reason = STE_INVALID_TOO_LONG;
    }
    ste_warn("%s, pair %s counts as invalid: %s", e->pairs->name, e->pairs->items[pair].id, why);
}

static void cancel_all(struct evaluation *e)
{
    for (size_t i = 0; i < 2 * e->pairs->n; i++)
        if (e->cells[i].asked && !e->cells[i].done)
            ste_llm_cancel(e->llm, e->cells[i].ticket);
}

/* Asks for both orders of one pair, one after the other, so that they share the prompt's prefix in the cache. */
static int ask_pair(struct evaluation *e, size_t pair, size_t *asked, struct ste_progress *progress,
                    struct ste_err *err)
{
    for (int order = 0; order < e->orders; order++) {
        struct ste_err why = {0};
        int rc = ask(e, &e->cells[2 * pair + (size_t)order], &why);
        if (rc == STE_ETOOLONG) {
            *asked -= (size_t)order;
            skip(e, pair, why.msg);
            ste_progress_add(progress, (uint64_t)e->orders);
            return 0;
        }
        if (rc)
            return ste_err_set(err, rc, "judging pair %s of %s: %s", e->pairs->items[pair].id, e->pairs->path, why.msg);
        ++*asked;
    }
    return 0;
}

int ste_eval_pairs(struct ste_llm *llm, const struct ste_judge_setting *s, const struct ste_answer_pairs *pairs,
                   struct ste_outcome *out, struct ste_progress *progress, struct ste_err *err)
{
    return ste_judge_pairs(llm, s, pairs, true, out, progress, err);
}

int ste_judge_pairs(struct ste_llm *llm, const struct ste_judge_setting *s, const struct ste_answer_pairs *pairs,
                    bool both, struct ste_outcome *out, struct ste_progress *progress, struct ste_err *err)
{
    struct evaluation e = {llm,         s, pairs, out, ste_xcalloc(pairs->n ? 2 * pairs->n : 1, sizeof(struct cell)),
                           both ? 2 : 1};
    for (size_t i = 0; i < pairs->n; i++) {
        out[i] =
            (struct ste_outcome){.judged = !pairs->items[i].tied, .prompt_key = prompt_key(&pairs->items[i].prompt)};
        for (int order = 0; order < 2; order++) {
            ste_judgment_clear(&out[i].order[order]);
            e.cells[2 * i + (size_t)order] = (struct cell){.pair = i, .order = (enum ste_order)order};
        }
    }
    size_t next = 0, waiting = 0, window = ste_llm_window(llm);
    int rc = 0;
    while (!rc) {
        while (!rc && next < pairs->n && waiting < window) {
            if (!pairs->items[next].tied)
                rc = ask_pair(&e, next, &waiting, progress, err);
            next++;
        }
        if (rc || (rc = ste_interrupt_check(err)) || waiting == 0)
            break;
        struct ste_answer answer = {0};
        int got = ste_llm_next(llm, &answer, err);
        if (got <= 0) {
            rc =
                got < 0 ? got : ste_err_set(err, STE_EFAIL, "%zu verdicts of %s never came back", waiting, pairs->path);
            break;
        }
        struct cell *c = answer.tag;
        if (!c->done) {
            c->done = true;
            waiting--;
            ste_judge_read(s, &answer, &out[c->pair].order[c->order]);
            ste_progress_add(progress, 1);
        }
        ste_answer_clear(&answer);
    }
    if (rc)
        cancel_all(&e);
    free(e.cells);
    return rc;
}

void ste_outcomes_clear(struct ste_outcome *o, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (int order = 0; order < 2; order++)
            ste_judgment_clear(&o[i].order[order]);
}
