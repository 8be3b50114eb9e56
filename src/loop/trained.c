/* What an iteration trained, as a judge: on the server of models.judge, where that takes adapters, else here. */
#include <math.h>
#include <string.h>

#include "core/mem.h"
#include "llm/endpoint.h"
#include "llm/local.h"
#include "loop/internal.h"
#include "store/run.h"

#define WHERE "trained judge" /* the row of meta that says where it is asked: "here" or "there" */
#define FAR 1.5               /* log-probabilities of a label that are so far apart are of other weights */

/* ---- where ---- */

/* The run stays with what it began with: figures of two engines are not mixed. */
static int base_of(struct ste_loop *l, struct ste_role_model *out, struct ste_err *err)
{
    const char *name = l->recipe.judge_model;
    char *was = NULL;
    if (!ste_endpoint_is(name) || l->recipe.objective == STE_TRAIN_REWARD)
        return ste_loop_seed(l, out, err);
    int rc = ste_store_meta(l->store, WHERE, &was, err);
    bool there = !was || strcmp(was, "there") == 0;
    if (rc == 0 && there)
        rc = ste_loop_role_model(l, STE_LOOP_JUDGE, 1, out, err);
    if (rc == 0 && there && !(ste_llm_about(out->llm)->can & STE_CAN_ADAPTERS)) {
        there = false;
        if (was)
            rc = ste_err_set(err, STE_EUSAGE,
                             "models.judge: %s takes no adapters any more, and the run in %s asks there what its "
                             "iterations trained: start the server as it was",
                             name, ste_store_dir(l->store));
    }
    if (rc == 0 && !was)
        rc = ste_store_meta_set(l->store, WHERE, there ? "there" : "here", err);
    ste_xfree(was);
    return rc == 0 && !there ? ste_loop_seed(l, out, err) : rc;
}

/* ---- are its weights the seed's? ---- */

struct asked {
    struct ste_message message;
    int adapter, times;
    float p[2];
};

static int ask_next(void *arg, struct ste_question *q, struct ste_err *err)
{
    struct asked *a = arg;
    *q = (struct ste_question){.messages = &a->message,
                               .n_messages = 1,
                               .adapter = a->adapter,
                               .sampling = {.top_p = 1},
                               .choices = {"A", "B"},
                               .n_choices = 2};
    return a->times++ == 0;
}

static void ask_submitted(void *arg, void *tag, uint64_t ticket)
{
}

static int ask_too_long(void *arg, void *tag, const char *why, struct ste_err *err)
{
    return ste_err_set(err, STE_ETOOLONG, "%s", why);
}

static int ask_answer(void *arg, struct ste_answer *a, struct ste_err *err)
{
    memcpy(((struct asked *)arg)->p, a->completion.choice_logprobs, sizeof((struct asked *)arg)->p);
    return 0;
}

/* Log-probabilities of two labels, past any cache. */
static int ask(const struct ste_role_model *m, struct asked *a, struct ste_err *err)
{
    *a = (struct asked){.message = {"user", "Which of the two answers is the better one, A or B?"},
                        .adapter = m->adapter};
    const struct ste_pump p = {.llm = ste_llm_innermost(m->llm),
                               .arg = a,
                               .next = ask_next,
                               .submitted = ask_submitted,
                               .too_long = ask_too_long,
                               .answer = ask_answer};
    return ste_pump_run(&p, err);
}

/* Quantized weights, and those of another precision, answer a little otherwise; other weights quite otherwise. */
static int compare(const struct ste_role_model *here, const struct ste_role_model *there, struct ste_err *err)
{
    struct asked x, y;
    int rc = ask(here, &x, err);
    if (rc == 0)
        rc = ask(there, &y, err);
    if (rc == 0 && (fabsf(x.p[0] - y.p[0]) > (float)FAR || fabsf(x.p[1] - y.p[1]) > (float)FAR))
        ste_warn(
            "%s answers otherwise than the seed %s here%s: log-probabilities of two labels are %.2f and %.2f there, "
            "%.2f and %.2f here. Does it serve another model? (`adapters: false` in its file keeps what is "
            "trained here)",
            there->name, here->name, here->adapter ? " with the same adapter" : "", (double)y.p[0], (double)y.p[1],
            (double)x.p[0], (double)x.p[1]);
    return rc;
}

/* ---- the judge ---- */

static int hash_of(void *arg, const struct ste_iteration_row *r, struct ste_err *err)
{
    *(char **)arg = r->adapter_hash ? ste_xstrdup(r->adapter_hash) : NULL;
    return 0;
}

/* A reward model is opened on the seed's weights. */
static int read_trained(struct ste_loop *l, const char *folder, struct ste_role_model *out, const char **hash,
                        struct ste_err *err)
{
    int rc;
    if (l->recipe.objective == STE_TRAIN_REWARD) {
        const struct ste_engine *e = ste_loop_seed_engine(out, err);
        ste_reward_close(l->reward);
        l->reward = NULL;
        rc = e ? ste_reward_open_on(&l->reward, e, ste_local_pool(out->llm), folder, &l->recipe.engine, err)
               : STE_EUSAGE;
        out->reward = l->reward;
        *hash = rc == 0 ? ste_reward_hash(l->reward) : NULL;
    } else {
        rc = ste_llm_load_adapter(out->llm, folder, &out->adapter, err);
        *hash = rc == 0 ? ste_llm_adapter_hash(out->llm, out->adapter) : NULL;
    }
    return rc;
}

/* The seed here with the adapter that the run trained. */
static int adapted_seed(struct ste_loop *l, int iteration, const char *folder, struct ste_role_model *out,
                        struct ste_err *err)
{
    const char *found = NULL;
    char *hash = NULL;
    int rc = ste_each_iteration(l->store, iteration, hash_of, &hash, err);
    if (rc == 0 && !hash)
        rc = ste_err_set(err, STE_ENOTFOUND, "iteration %d of the run in %s is not trained yet: `ste train %s` first",
                         iteration, ste_store_dir(l->store), ste_store_dir(l->store));
    if (rc == 0)
        rc = ste_loop_seed(l, out, err);
    if (rc == 0)
        rc = read_trained(l, folder, out, &found, err);
    if (rc == 0 && strcmp(found, hash) != 0)
        rc = ste_err_set(err, STE_EINPUT, "the adapter in %s is not the one that the run trained (its content changed)",
                         folder);
    if (rc == 0)
        snprintf(out->hash, sizeof out->hash, "%s", hash);
    ste_xfree(hash);
    return rc;
}

/* One adapter is held at a time. */
static void hold(struct ste_loop *l, const struct ste_role_model *m)
{
    if (l->held)
        ste_llm_drop_adapter(l->held, l->held_adapter);
    l->held = m->llm;
    l->held_adapter = m->adapter;
}

int ste_loop_judge_after(struct ste_loop *l, int iteration, struct ste_role_model *out, struct ste_err *err)
{
    struct ste_role_model here = {0};
    int rc = base_of(l, out, err);
    const bool there = rc == 0 && ste_endpoint_is(out->name);
    if (rc == 0 && iteration == 0)
        return there && (rc = ste_loop_seed(l, &here, err)) == 0 ? compare(&here, out, err) : rc;
    char *folder = ste_run_adapter(ste_store_dir(l->store), iteration);
    if (rc == 0)
        rc = adapted_seed(l, iteration, folder, &here, err);
    if (rc == 0 && !there) {
        *out = here;
    } else if (rc == 0) {
        memcpy(out->hash, here.hash, sizeof out->hash);
        rc = ste_llm_load_adapter(out->llm, folder, &out->adapter, err);
        if (rc == 0)
            rc = compare(&here, out, err);
        ste_llm_drop_adapter(here.llm, here.adapter);
    }
    if (rc == 0)
        hold(l, out);
    ste_xfree(folder);
    return rc;
}
