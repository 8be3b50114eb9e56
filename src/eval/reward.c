#include "eval/reward.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "data/catalogue.h"
#include "model/chat.h"
#include "train/train.h"

struct ste_reward {
    struct ste_model *model;
    struct ste_trainer *trainer; /* for its forward pass */
};

int ste_reward_tokens(const struct ste_model *m, const struct ste_dialogue *prompt, const char *answer,
                      struct ste_tokens *out, int *n_prompt, struct ste_err *err)
{
    struct ste_message *messages = ste_chat_messages(prompt);
    *out = (struct ste_tokens){0};
    int rc = ste_chat_tokenize(m, messages, prompt->n, NULL, out, err);
    *n_prompt = (int)out->n;
    if (!rc)
        rc = ste_tokenize(m->tokenizer, answer, strlen(answer), false, out, err);
    if (!rc)
        ste_tokens_add(out, ste_token_end_of_turn(m->tokenizer));
    free(messages);
    return rc;
}

int ste_reward_open(struct ste_reward **out, const char *model, const char *dir, struct ste_pool *pool,
                    enum ste_isa isa, enum ste_activations activations, struct ste_err *err)
{
    struct ste_reward *r = ste_xcalloc(1, sizeof *r);
    struct ste_lora *lora = NULL;
    struct ste_train_params p;
    char *path = NULL;
    int rc = ste_model_resolve(model, &path, err);
    if (!rc)
        rc = ste_model_open(&r->model, path, err);
    if (!rc)
        rc = ste_lora_read_peft(&lora, r->model, dir, err);
    if (!rc && !lora->head)
        rc = ste_err_set(err, STE_EINPUT, "%s has no head: it is no reward model", dir);
    if (!rc) {
        ste_train_default_params(&p);
        p.pool = pool;
        p.isa = isa;
        p.activations = activations;
        p.r = lora->r;
        p.alpha = lora->alpha;
        p.objective = &ste_bradley_terry;
        p.activation_bytes = 0; /* nothing goes back: no layer's activations are kept */
        rc = ste_trainer_new(&r->trainer, r->model, NULL, &p, err);
    }
    if (!rc)
        rc = ste_trainer_set_lora(r->trainer, lora, err);
    if (!rc)
        ste_lora_rehash(ste_trainer_lora(r->trainer));
    ste_lora_free(lora);
    free(path);
    if (rc)
        ste_reward_close(r);
    else
        *out = r;
    return rc;
}

void ste_reward_close(struct ste_reward *r)
{
    if (!r)
        return;
    ste_trainer_free(r->trainer);
    ste_model_close(r->model);
    free(r);
}

const char *ste_reward_hash(const struct ste_reward *r)
{
    return ste_trainer_lora(r->trainer)->hash;
}

const char *ste_reward_model_hash(const struct ste_reward *r)
{
    return r->model->sha256;
}

static double log_sigmoid(double x)
{
    return x > 0 ? -log1p(exp(-x)) : x - log1p(exp(x));
}

static void set_verdict(struct ste_judgment *j, double a, double b)
{
    if (!isfinite(a) || !isfinite(b)) {
        j->verdict = STE_VERDICT_INVALID;
        j->reason = STE_INVALID_NO_NUMBER;
        return;
    }
    j->logprob_a = log_sigmoid(a - b);
    j->logprob_b = log_sigmoid(b - a);
    j->verdict = j->logprob_a > j->logprob_b   ? STE_VERDICT_A
                 : j->logprob_a < j->logprob_b ? STE_VERDICT_B
                                               : STE_VERDICT_TIE;
}

void ste_outcome_of_scores(struct ste_outcome *o, double first, double second)
{
    set_verdict(&o->order[STE_ORDER_AB], first, second);
    set_verdict(&o->order[STE_ORDER_BA], second, first);
}

/* Both answers of a pair side by side, so that they share the prompt. */
static int judge_pair(struct ste_reward *r, const struct ste_answer_pair *p, struct ste_outcome *o, const char *name,
                      struct ste_err *err)
{
    struct ste_tokens ids[2] = {{0}, {0}};
    struct ste_example x[2];
    double score[2];
    int rc = 0, n_prompt;
    for (int i = 0; i < 2 && !rc; i++) {
        rc = ste_reward_tokens(r->model, &p->prompt, i ? p->second : p->first, &ids[i], &n_prompt, err);
        x[i] = (struct ste_example){ids[i].ids, (int)ids[i].n, n_prompt, 1};
    }
    const size_t longest = ids[0].n > ids[1].n ? ids[0].n : ids[1].n;
    if (!rc && longest > (size_t)r->model->hp.n_ctx_train) {
        ste_outcome_too_long(o);
        ste_warn("%s, pair %s counts as invalid: %zu tokens are more than the model's context of %d", name, p->id,
                 longest, r->model->hp.n_ctx_train);
    } else if (!rc) {
        rc = ste_trainer_scores(r->trainer, x, 2, score, err);
        if (!rc)
            ste_outcome_of_scores(o, score[0], score[1]);
    }
    ste_tokens_clear(&ids[0]);
    ste_tokens_clear(&ids[1]);
    return rc;
}

int ste_reward_pairs(struct ste_reward *r, const struct ste_answer_pairs *pairs, struct ste_outcome *out,
                     struct ste_progress *progress, struct ste_err *err)
{
    for (size_t i = 0; i < pairs->n; i++)
        ste_outcome_begin(&out[i], &pairs->items[i], !pairs->items[i].tied);
    int rc = 0;
    for (size_t i = 0; i < pairs->n && !rc; i++) {
        if (!out[i].judged)
            continue;
        rc = judge_pair(r, &pairs->items[i], &out[i], pairs->name, err);
        ste_progress_add(progress, 2);
    }
    return rc;
}
