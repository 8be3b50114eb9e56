#include "eval/scoring.h"

#include <math.h>

#include "core/mem.h"

struct ste_scores_asked {
    const struct ste_judge_setting *setting;
    const struct ste_answer_rows *rows;
    struct ste_score *out; /* (rows); an address here is a question's tag */
    size_t fresh;          /* rows before FRESH have been asked of */
    size_t *tens;          /* rows whose second question is to be asked: it goes first, while the prompt is warm */
    size_t n_tens;
    bool *second; /* (rows): its second question is asked */
    struct ste_judge_prompt texts;
    char *prefill; /* of the question being asked */
    struct ste_progress *progress;
};

static int next(void *arg, struct ste_question *question, struct ste_err *err)
{
    struct ste_scores_asked *g = arg;
    if (!g->n_tens && g->fresh == g->rows->n)
        return 0;
    const bool ten = g->n_tens > 0;
    const size_t row = ten ? g->tens[--g->n_tens] : g->fresh++;
    const struct ste_answer_row *r = &g->rows->items[row];
    const struct ste_judge_material m = {
        .pair_id = r->id, .prompt = &r->prompt, .a = r->text, .references = r->references.n ? &r->references : NULL};
    if (ten)
        ste_score_ask_ten(g->setting, &m, &g->out[row], &g->texts, &g->prefill, question);
    else
        ste_score_ask(g->setting, &m, &g->texts, question);
    g->second[row] = ten;
    question->tag = &g->out[row];
    return 1;
}

static void submitted(void *arg, void *tag, uint64_t ticket)
{
    struct ste_scores_asked *g = arg;
    ste_judge_prompt_clear(&g->texts);
    ste_xfree(g->prefill);
    g->prefill = NULL;
}

static int too_long(void *arg, void *tag, const char *why, struct ste_err *err)
{
    struct ste_scores_asked *g = arg;
    struct ste_score *s = tag;
    ste_score_clear(s);
    s->reason = STE_INVALID_TOO_LONG;
    ste_progress_add(g->progress, 1);
    ste_warn("answer %s has no score: %s", g->rows->items[s - g->out].id, why);
    return 0;
}

static int answer(void *arg, struct ste_answer *a, struct ste_err *err)
{
    struct ste_scores_asked *g = arg;
    struct ste_score *s = a->tag;
    const size_t row = (size_t)(s - g->out);
    if (g->second[row]) {
        ste_score_read_ten(a, s);
    } else if (ste_score_read(a, s)) {
        g->tens[g->n_tens++] = row;
        return 0;
    }
    ste_progress_add(g->progress, 1);
    return 0;
}

struct ste_scores_asked *ste_score_answers_ask(struct ste_llm *llm, const struct ste_judge_setting *s,
                                               const struct ste_answer_rows *rows, struct ste_score *out,
                                               struct ste_progress *progress, struct ste_pump *pump)
{
    struct ste_scores_asked *g = ste_xcalloc(1, sizeof *g);
    *g = (struct ste_scores_asked){.setting = s,
                                   .rows = rows,
                                   .out = out,
                                   .tens = ste_xcalloc(rows->n + 1, sizeof *g->tens),
                                   .second = ste_xcalloc(rows->n + 1, sizeof *g->second),
                                   .progress = progress};
    for (size_t i = 0; i < rows->n; i++)
        out[i] = (struct ste_score){.expected = NAN};
    *pump = (struct ste_pump){
        .llm = llm, .arg = g, .next = next, .submitted = submitted, .too_long = too_long, .answer = answer};
    return g;
}

void ste_score_answers_done(struct ste_scores_asked *g)
{
    ste_xfree(g->tens);
    ste_xfree(g->second);
    ste_xfree(g);
}

int ste_score_answers(struct ste_llm *llm, const struct ste_judge_setting *s, const struct ste_answer_rows *rows,
                      struct ste_score *out, struct ste_progress *progress, struct ste_err *err)
{
    struct ste_pump pump;
    struct ste_scores_asked *g = ste_score_answers_ask(llm, s, rows, out, progress, &pump);
    int rc = ste_pump_run(&pump, err);
    ste_score_answers_done(g);
    return rc;
}

json_t *ste_score_row(const struct ste_answer_row *r, const struct ste_score *s)
{
    json_t *row = json_copy(r->row), *p = json_array();
    if (!json_object_get(row, "id"))
        json_object_set_new(row, "id", json_string(r->id));
    for (int k = 0; k < STE_SCORES; k++)
        json_array_append_new(p, json_real(s->p[k]));
    const bool there = s->reason == STE_INVALID_NONE;
    json_object_set_new(row, "score", there ? json_real(s->expected) : json_null());
    json_object_set_new(row, "likeliest", there ? json_integer(s->likeliest) : json_null());
    json_object_set_new(row, "probabilities", there ? json_incref(p) : json_null());
    json_object_set_new(row, "mass", isfinite(s->mass) ? json_real(s->mass) : json_null());
    json_object_set_new(row, "reason", json_string(ste_invalid_name(s->reason)));
    if (s->reasoning)
        json_object_set_new(row, "reasoning", json_string(s->reasoning));
    json_decref(p);
    return row;
}
