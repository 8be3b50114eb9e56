#include "loop/internal.h"

#include <string.h>

bool ste_loop_any_label(const struct ste_loop *l)
{
    return strcmp(l->recipe.rule, "margin") == 0 && !l->pack->reasoning;
}

/* A verdict at once has its whole distribution in its log-probabilities: the rule margin needs no second one. */
int ste_loop_samples(const struct ste_loop *l)
{
    return ste_loop_any_label(l) ? 1 : (int)l->recipe.samples;
}

bool ste_loop_stops_early(const struct ste_loop *l)
{
    return l->recipe.stop_early && strcmp(l->recipe.rule, "paper") == 0;
}
