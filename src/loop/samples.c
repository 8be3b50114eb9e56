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

/* SPECULATE samples are asked at first and twice as many at each further go: few are thrown away when the first is
 * right, and a pair that is hard does not wait for its samples one by one. */
void ste_samples_init(struct ste_samples *s, int limit, int already, int speculate, bool stop_early)
{
    *s = (struct ste_samples){.limit = limit, .next_ask = already, .final = already, .stop_early = stop_early};
    s->asked_to = stop_early && already + speculate < limit ? already + speculate : limit;
    s->done = already >= limit;
}

int ste_samples_ask(struct ste_samples *s)
{
    if (s->done || s->next_ask >= s->asked_to)
        return -1;
    return s->next_ask++;
}

bool ste_samples_final(struct ste_samples *s, bool right)
{
    s->final++;
    if ((right && s->stop_early) || s->final == s->limit) {
        s->done = true;
        return false;
    }
    if (s->final < s->asked_to)
        return false;
    s->asked_to = 2 * s->asked_to < s->limit ? 2 * s->asked_to : s->limit;
    return true;
}
