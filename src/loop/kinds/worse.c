/* Two kinds whose rejected answer is meant to be a poor one to the same instruction: `worse` asks for that (the paper's
 * ablation), `weaker` takes it from a weaker model, or from the same one at a temperature that does it no good. */
#include <string.h>

#include "core/hash.h"
#include "core/mem.h"
#include "core/rng.h"
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

/* A weak model that goes on and on would teach that the shorter answer is the better one. */
static const char *trim_weaker(const struct ste_loop *l, const struct ste_pair_job *j, const char *other,
                               struct ste_pair_texts *out)
{
    const char *chosen = j->pieces[ANSWER].text, *rejected = j->pieces[POOR].text;
    const size_t room = strlen(chosen);
    struct ste_rng draw;
    ste_rng_init(&draw, ste_key_of("trim", ste_digits(l->recipe.seed).s, j->instruction, NULL), 0);
    if (ste_rng_uniform(&draw) < l->recipe.weaker_trim && strlen(rejected) > room) {
        char *part = ste_xstrndup(rejected, room + 1); /* one more: what ends a sentence shows by what follows it */
        out->rejected = ste_text_whole_sentences(part);
        ste_xfree(part);
    }
    out->chosen = ste_xstrdup(chosen);
    if (!out->rejected || ste_text_same(out->rejected, chosen)) {
        ste_xfree(out->rejected);
        out->rejected = ste_xstrdup(rejected);
    }
    return NULL;
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
    .texts = trim_weaker,
};
