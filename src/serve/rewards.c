/* The routes that RL trainers' own clients ask: OpenRLHF's remote reward model, slime's remote_rm,
 * and the classifier of vLLM that verl takes for a reward model. */
#include <math.h>
#include <stdio.h>

#include "core/mem.h"
#include "serve/judging.h"

static const char *query_of(void *x, const char *name)
{
    return ste_exchange_query(x, name);
}

void ste_reward_route(struct ste_judging_service *s, struct ste_exchange *x, ste_asked_reader *read,
                      json_t *(*reply)(struct ste_call *c))
{
    struct ste_trainer_asks how;
    struct ste_err err = {0};
    if (ste_trainer_asks_read(&how, query_of, x, &err))
        ste_reply_error(x, 400, NULL, "%s", err.msg);
    else
        ste_call_route(s, x, read, &how, reply);
}

/* Trainers take numbers alone, so an answer without one is an error, unless the URL says what it counts as; then a
 * header says how many there were. NULL: it is answered. */
static double *rewards(struct ste_call *c, size_t *n)
{
    size_t invalid;
    enum ste_invalid why = STE_INVALID_NONE;
    double *reward = ste_call_rewards(c, n, &invalid, &why);
    char count[24];
    snprintf(count, sizeof count, "%zu", invalid);
    if (invalid && c->asked.has_fallback) {
        ste_reply_header(c->x, "Ste-Invalid", count);
    } else if (invalid) {
        ste_reply_error(c->x, 422, "no_reward",
                        "%zu of %zu answers have no reward: %s. ?fallback=NUMBER behind the URL says what such an "
                        "answer counts as",
                        invalid, *n, ste_invalid_name(why));
        ste_xfree(reward);
        reward = NULL;
    }
    return reward;
}

static double counted(const struct ste_call *c, double reward)
{
    return isnan(reward) ? c->asked.fallback : reward;
}

json_t *ste_reply_openrlhf(struct ste_call *c)
{
    size_t n;
    double *reward = rewards(c, &n);
    if (!reward)
        return NULL;
    json_t *list = json_array(), *invalid = json_array();
    for (size_t i = 0; i < n; i++) {
        json_array_append_new(list, json_real(counted(c, reward[i])));
        json_array_append_new(invalid, json_integer(isnan(reward[i])));
    }
    ste_xfree(reward);
    return json_pack("{s:o, s:O, s:{s:o}}", "rewards", list, "scores", list, "extra_logs", "invalid", invalid);
}

/* The bare number. */
json_t *ste_reply_slime(struct ste_call *c)
{
    size_t n;
    double *reward = rewards(c, &n);
    json_t *number = reward ? json_real(counted(c, reward[0])) : NULL;
    ste_xfree(reward);
    return number;
}

/* A class whose one number is the reward. */
json_t *ste_reply_classify(struct ste_call *c)
{
    size_t n;
    double *reward = rewards(c, &n);
    if (!reward)
        return NULL;
    json_t *data = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(data, json_pack("{s:I, s:s, s:[f], s:i}", "index", (json_int_t)i, "label", "reward",
                                              "probs", counted(c, reward[i]), "num_classes", 1));
    ste_xfree(reward);
    return json_pack("{s:s, s:o, s:s}", "object", "list", "data", data, "model", c->s->judge->name);
}
