#include "loop/internal.h"

#include <string.h>

bool ste_loop_any_label(const struct ste_loop *l)
{
    return l->recipe.rule == STE_RULE_MARGIN && !l->pack->reasoning;
}

/* A verdict at once has its whole distribution in its log-probabilities: the rule margin needs no second one. */
int ste_loop_samples(const struct ste_loop *l)
{
    return ste_loop_any_label(l) ? 1 : (int)l->recipe.samples;
}

bool ste_loop_stops_early(const struct ste_loop *l)
{
    return l->recipe.stop_early && l->recipe.rule == STE_RULE_PAPER;
}
