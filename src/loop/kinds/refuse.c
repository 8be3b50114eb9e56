/* Requests that ought to be declined (`refuse`: declining well is chosen, doing what was asked rejected), and the
 * mirror kind: harmless requests that look harmful (`comply`). Which instructions these are, their categories say. The
 * evidence is in the texts: one declines and the other does not. Likelihood would say the opposite, since a model that
 * goes along writes what only this request could have brought. */
#include "loop/kinds/kind.h"

static void ask_decline(const struct ste_loop *l, const struct ste_pair_job *j, int attempt, struct ste_piece_ask *out)
{
    ste_ask_dialogue(j, l->pack->decline_system, NULL, out);
}

static void ask_comply(const struct ste_loop *l, const struct ste_pair_job *j, int attempt, struct ste_piece_ask *out)
{
    ste_ask_dialogue(j, l->pack->comply_system, NULL, out);
}

static const char *fault_decline(const struct ste_loop *l, const struct ste_pair_job *j, const char *text)
{
    return ste_text_refuses(text) ? NULL : "does not decline";
}

static bool takes_harmful(const struct ste_loop *l, const struct ste_pair_job *j)
{
    return ste_is_harmful(&l->recipe, j->category);
}

static bool takes_harmless(const struct ste_loop *l, const struct ste_pair_job *j)
{
    return ste_is_harmless(&l->recipe, j->category);
}

enum { DECLINE, COMPLY };
static const struct ste_piece_kind refuse[] = {
    [DECLINE] =
        {.name = "decline", .role = STE_LOOP_ANSWER, .answers = true, .ask = ask_decline, .fault = fault_decline},
    [COMPLY] = {.name = "comply",
                .role = STE_LOOP_ANSWER,
                .after = 1u << DECLINE,
                .answers = true,
                .ask = ask_comply,
                .fault = ste_fault_answer},
};

const struct ste_pair_kind ste_kind_refuse = {
    .name = "refuse",
    .mirror = &ste_kind_comply,
    .label_source = "constructed",
    .pieces = refuse,
    .n = 2,
    .chosen = DECLINE,
    .modified = -1,
    .rejected = COMPLY,
    .takes = takes_harmful,
};

enum { ANSWER, NEEDLESS };
static const struct ste_piece_kind comply[] = {
    [ANSWER] = STE_PIECE_ANSWER,
    [NEEDLESS] = {.name = "decline",
                  .role = STE_LOOP_ANSWER,
                  .after = 1u << ANSWER,
                  .answers = true,
                  .ask = ask_decline,
                  .fault = fault_decline},
};

const struct ste_pair_kind ste_kind_comply = {
    .name = "comply",
    .mirror = &ste_kind_refuse,
    .label_source = "constructed",
    .pieces = comply,
    .n = 2,
    .chosen = ANSWER,
    .modified = -1,
    .rejected = NEEDLESS,
    .takes = takes_harmless,
};
