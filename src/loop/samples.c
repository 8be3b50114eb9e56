#include "loop/internal.h"

bool ste_loop_judges(const struct ste_loop *l)
{
    return l->recipe.objective != STE_TRAIN_REWARD;
}

bool ste_loop_any_label(const struct ste_loop *l)
{
    return l->recipe.rule == STE_RULE_MARGIN && !l->pack->reasoning;
}

/* A verdict at once has its whole distribution in its log-probabilities: the rule margin needs no second one. */
int ste_loop_samples(const struct ste_loop *l)
{
    return ste_loop_any_label(l) ? 1 : (int)l->recipe.samples;
}

bool ste_loop_wants_wrong(const struct ste_loop *l)
{
    return l->recipe.objective == STE_TRAIN_DPO && l->pack->reasoning;
}

bool ste_loop_stops_early(const struct ste_loop *l)
{
    return l->recipe.stop_early && l->recipe.rule == STE_RULE_PAPER && !ste_loop_wants_wrong(l);
}

enum ste_verdict_mode ste_loop_mode(const struct ste_loop *l)
{
    return l->recipe.verdict_mode == STE_MODE_PACK ? l->pack->mode : l->recipe.verdict_mode;
}
