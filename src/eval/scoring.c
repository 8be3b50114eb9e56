#include "eval/scoring.h"

#include <math.h>
#include <stdlib.h>

#include "core/interrupt.h"
#include "core/mem.h"

struct question {
    size_t row;
    bool ten; /* the second question of the row */
    bool waits;
    uint64_t ticket;
};

struct scoring {
    struct ste_llm *llm;
    const struct ste_judge_setting *setting;
    const struct ste_answer_rows *rows;
    struct ste_score *out;
    struct question *questions; /* (rows): one at a time each */
    size_t waiting;
    struct ste_progress *progress;
};

static int ask(struct scoring *g, size_t row, bool ten, struct ste_err *err)
{
    const struct ste_answer_row *r = &g->rows->items[row];
    struct question *q = &g->questions[row];
    const struct ste_judge_material m = {
        .pair_id = r->id, .prompt = &r->prompt, .a = r->text, .references = r->references.n ? &r->references : NULL};
    struct ste_judge_prompt texts;
    struct ste_ask a = {.tag = q};
    struct ste_err why = {0};
    char *prefill = NULL;
    if (ten)
        ste_score_ask_ten(g->setting, &m, &g->out[row], &texts, &prefill, &a);
    else
        ste_score_ask(g->setting, &m, &texts, &a);
    *q = (struct question){.row = row, .ten = ten};
    int rc = ste_llm_submit(g->llm, &a, &q->ticket, &why);
    ste_judge_prompt_clear(&texts);
    free(prefill);
    if (rc == STE_ETOOLONG) {
        ste_score_clear(&g->out[row]);
        g->out[row].reason = STE_INVALID_TOO_LONG;
        ste_progress_add(g->progress, 1);
        ste_warn("answer %s has no score: %s", r->id, why.msg);
        return 0;
    }
    if (rc)
        return ste_err_set(err, rc, "scoring answer %s: %s", r->id, why.msg);
    q->waits = true;
    g->waiting++;
    return 0;
}

static int take(struct scoring *g, struct question *q, const struct ste_answer *answer, struct ste_err *err)
{
    struct ste_score *s = &g->out[q->row];
    q->waits = false;
    g->waiting--;
    if (q->ten)
        ste_score_read_ten(answer, s);
    else if (ste_score_read(answer, s))
        return ask(g, q->row, true, err);
    ste_progress_add(g->progress, 1);
    return 0;
}

int ste_score_answers(struct ste_llm *llm, const struct ste_judge_setting *s, const struct ste_answer_rows *rows,
                      struct ste_score *out, struct ste_progress *progress, struct ste_err *err)
{
    struct scoring g = {.llm = llm,
                        .setting = s,
                        .rows = rows,
                        .out = out,
                        .questions = ste_xcalloc(rows->n ? rows->n : 1, sizeof *g.questions),
                        .progress = progress};
    size_t next = 0, window = ste_llm_window(llm);
    int rc = 0;
    for (size_t i = 0; i < rows->n; i++)
        out[i] = (struct ste_score){.expected = NAN};
    while (!rc) {
        while (!rc && next < rows->n && g.waiting < window)
            rc = ask(&g, next++, false, err);
        if (rc || (rc = ste_interrupt_check(err)) || g.waiting == 0)
            break;
        struct ste_answer answer = {0};
        int got = ste_llm_next(llm, &answer, err);
        if (got <= 0) {
            rc = got < 0 ? got : ste_err_set(err, STE_EFAIL, "%zu scores never came back", g.waiting);
            break;
        }
        rc = take(&g, answer.tag, &answer, err);
        ste_answer_clear(&answer);
    }
    for (size_t i = 0; i < rows->n; i++)
        if (g.questions[i].waits)
            ste_llm_cancel(llm, g.questions[i].ticket);
    free(g.questions);
    return rc;
}
