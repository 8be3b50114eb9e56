/* Two kinds whose rejected answer is meant to be a poor one to the same instruction: `worse` asks for that (the paper's
 * ablation), `weaker` takes it from a weaker model, or from the same one at a temperature that does it no good. */
#include <string.h>

#include "loop/kinds/kind.h"

enum { ANSWER, POOR };

static void ask_worse(const struct ste_loop *l, const struct ste_pair_job *j, int attempt, struct ste_piece_ask *out)
{
    ste_ask_template(j, l->pack->worse_user, out);
}

static const char *fault_worse(const struct ste_loop *l, const struct ste_pair_job *j, const char *text)
{
    return ste_text_repeats(text, l->pack->worse_user) ? "repeats the question" : ste_fault_other_answer(l, j, text);
}

/* A good model is poor at a high temperature only; a weaker one is poor enough, and at a high one writes noise. */
static double weaker_temperature(const struct ste_recipe *r)
{
    const char *answer = *r->answer_model ? r->answer_model : r->seed_model;
    if (r->weaker_temperature >= 0)
        return r->weaker_temperature;
    return *r->weaker_model && strcmp(r->weaker_model, answer) != 0 ? r->pair_temperature : 1.3;
}

static void ask_weaker(const struct ste_loop *l, const struct ste_pair_job *j, int attempt, struct ste_piece_ask *out)
{
    ste_ask_answer(l, j, attempt, out);
    out->temperature = weaker_temperature(&l->recipe);
}

static const struct ste_piece_kind worse[] = {
    [ANSWER] = STE_PIECE_ANSWER,
    [POOR] = {.name = "worse",
              .role = STE_LOOP_ANSWER,
              .after = 1u << ANSWER,
              .answers = true,
              .ask = ask_worse,
              .fault = fault_worse},
};

static const struct ste_piece_kind weaker[] = {
    [ANSWER] = STE_PIECE_ANSWER,
    [POOR] = {.name = "weaker",
              .role = STE_LOOP_WEAKER,
              .after = 1u << ANSWER,
              .answers = true,
              .ask = ask_weaker,
              .fault = ste_fault_other_answer},
};

const struct ste_pair_kind ste_kind_worse = {
    .name = "worse",
    .label_source = "constructed",
    .evidence = STE_EVIDENCE_ANSWERS,
    .pieces = worse,
    .n = 2,
    .chosen = ANSWER,
    .modified = -1,
    .rejected = POOR,
    .takes = ste_takes_ordinary,
};

const struct ste_pair_kind ste_kind_weaker = {
    .name = "weaker",
    .label_source = "constructed",
    .evidence = STE_EVIDENCE_ANSWERS,
    .pieces = weaker,
    .n = 2,
    .chosen = ANSWER,
    .modified = -1,
    .rejected = POOR,
    .takes = ste_takes_ordinary,
};
