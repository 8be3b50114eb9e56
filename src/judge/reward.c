#include "judge/reward.h"

#include <string.h>

#include "core/mem.h"
#include "data/catalogue.h"
#include "engine/cpu/isa.h"
#include "model/chat.h"
#include "train/train.h"

struct ste_reward {
    const struct ste_model *model;
    struct ste_trainer *trainer; /* for its forward pass */
    bool lent;                   /* the trainer is */
    struct ste_model *opened;    /* NULL: the caller's */
    struct ste_pool *pool;       /* the same */
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
    ste_xfree(messages);
    return rc;
}

/* With POOL and, where there are some, WEIGHTS of the caller's. */
static int read_adapter(struct ste_reward *r, const struct ste_weights *weights, struct ste_pool *pool, const char *dir,
                        const struct ste_llm_params *how, struct ste_err *err)
{
    struct ste_lora *lora = NULL;
    struct ste_train_params p;
    ste_train_default_params(&p);
    int rc = ste_isa_choose(how->isa, &p.isa, err);
    p.activations = ste_activations_settle(how->activations, false);
    if (!rc)
        rc = ste_lora_read_peft(&lora, r->model, dir, err);
    if (!rc && !lora->head)
        rc = ste_err_set(err, STE_EINPUT, "%s has no head: it is no reward model", dir);
    if (!rc) {
        p.pool = pool;
        p.r = lora->r;
        p.alpha = lora->alpha;
        p.objective = &ste_bradley_terry;
        p.n_ctx = (int)how->ctx;
        p.activation_bytes = 0; /* nothing goes back: no layer's activations are kept */
        rc = ste_trainer_new(&r->trainer, r->model, weights, &p, err);
    }
    if (!rc)
        rc = ste_trainer_set_lora(r->trainer, lora, err);
    if (!rc)
        ste_lora_rehash(ste_trainer_lora(r->trainer));
    ste_lora_free(lora);
    return rc;
}

int ste_reward_open(struct ste_reward **out, const char *model, const char *dir, const struct ste_llm_params *how,
                    struct ste_err *err)
{
    struct ste_reward *r = ste_xcalloc(1, sizeof *r);
    char *path = NULL;
    int rc = ste_model_resolve(model, &path, err);
    if (!rc)
        rc = ste_model_open_chosen(&r->opened, path, &how->choices, err);
    if (!rc) {
        r->model = r->opened;
        r->pool = ste_pool_new((int)how->threads);
        rc = read_adapter(r, NULL, r->pool, dir, how, err);
    }
    ste_xfree(path);
    if (rc)
        ste_reward_close(r);
    else
        *out = r;
    return rc;
}

int ste_reward_open_on(struct ste_reward **out, const struct ste_engine *e, struct ste_pool *pool, const char *dir,
                       const struct ste_llm_params *how, struct ste_err *err)
{
    struct ste_reward *r = ste_xcalloc(1, sizeof *r);
    r->model = ste_engine_model(e);
    int rc = read_adapter(r, ste_engine_weights(e), pool, dir, how, err);
    if (rc)
        ste_reward_close(r);
    else
        *out = r;
    return rc;
}

struct ste_reward *ste_reward_of(struct ste_trainer *t, const struct ste_model *m)
{
    struct ste_reward *r = ste_xcalloc(1, sizeof *r);
    *r = (struct ste_reward){.model = m, .trainer = t, .lent = true};
    return r;
}

void ste_reward_close(struct ste_reward *r)
{
    if (!r)
        return;
    if (!r->lent)
        ste_trainer_free(r->trainer);
    ste_model_close(r->opened);
    ste_pool_free(r->pool);
    ste_xfree(r);
}

const char *ste_reward_hash(const struct ste_reward *r)
{
    return ste_trainer_lora(r->trainer)->hash;
}

const char *ste_reward_model_hash(const struct ste_reward *r)
{
    return r->model->sha256;
}

/* SCORE[n] of N answers, at most two, side by side. */
static int score_some(struct ste_reward *r, const struct ste_dialogue *prompt, const char *const *answers, int n,
                      double *score, struct ste_err *err)
{
    struct ste_tokens ids[2] = {{0}, {0}};
    struct ste_example x[2];
    int rc = 0, n_prompt;
    size_t longest = 0;
    for (int i = 0; i < n && !rc; i++) {
        rc = ste_reward_tokens(r->model, prompt, answers[i], &ids[i], &n_prompt, err);
        x[i] = (struct ste_example){ids[i].ids, (int)ids[i].n, n_prompt, 1, NULL};
        longest = ids[i].n > longest ? ids[i].n : longest;
    }
    if (!rc && longest > (size_t)r->model->hp.n_ctx_train)
        rc = ste_err_set(err, STE_ETOOLONG, "%zu tokens are more than the model's context of %d", longest,
                         r->model->hp.n_ctx_train);
    if (!rc)
        rc = ste_trainer_scores(r->trainer, x, n, score, err);
    ste_tokens_clear(&ids[0]);
    ste_tokens_clear(&ids[1]);
    return rc;
}

int ste_reward_scores(struct ste_reward *r, const struct ste_dialogue *prompt, const char *first, const char *second,
                      double *score, struct ste_err *err)
{
    return score_some(r, prompt, (const char *const[]){first, second}, 2, score, err);
}

int ste_reward_score(struct ste_reward *r, const struct ste_dialogue *prompt, const char *answer, double *score,
                     struct ste_err *err)
{
    return score_some(r, prompt, &answer, 1, score, err);
}
