/*
 * One adapter an iteration, always from the seed, or from the adapter that the recipe names. A state of the training
 * (train/driver.h) is written first; then one transaction brings the store to where it stands. After a kill between the
 * two the next command does the second.
 */
#include "train/driver.h"
#include "train/external.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/context.h"
#include "core/file.h"
#include "core/mem.h"
#include "core/rng.h"
#include "eval/calibration.h"
#include "loop/figures.h"
#include "llm/local.h"
#include "loop/internal.h"
#include "loop/order.h"
#include "store/run.h"

struct training {
    struct ste_loop *l;
    int iteration;
    struct ste_role_model seed;
    struct ste_example *examples;
    int32_t **tokens; /* owned */
    int n;            /* of a preference two: what is chosen, what is rejected */
    size_t cap_tokens, cap_examples;
    struct ste_train_params params;
    struct ste_trainer *trainer; /* NULL: another program trains */
    struct ste_lora *made;       /* by that program */
    struct ste_lora *start;      /* NULL: the adapter begins anew */
    char *folder;                /* of the states */
    int logged;                  /* steps that are in the store */
};

/* ---- examples ---- */

static void add_completion(struct training *g, const struct ste_example_view *v, struct ste_token_ids completion)
{
    const size_t n_prompt = v->prompt.n, n = completion.n;
    int32_t *ids = ste_xmalloc((n_prompt + n + 1) * sizeof *ids);
    memcpy(ids, v->prompt.ids, n_prompt * sizeof *ids);
    memcpy(ids + n_prompt, completion.ids, n * sizeof *ids);
    STE_GROW(g->tokens, g->cap_tokens, (size_t)g->n + 1);
    STE_GROW(g->examples, g->cap_examples, (size_t)g->n + 1);
    g->tokens[g->n] = ids;
    g->examples[g->n++] = (struct ste_example){.tokens = ids,
                                               .n = (int)(n_prompt + n),
                                               .n_prompt = (int)(n_prompt + (size_t)v->row.border),
                                               .weight = (float)v->row.weight};
}

static int add_example(void *arg, const struct ste_example_view *v, struct ste_err *err)
{
    add_completion(arg, v, v->row.completion);
    if (v->row.rejected.ids)
        add_completion(arg, v, v->row.rejected);
    return 0;
}

static int load_examples(struct training *g, struct ste_err *err)
{
    int rc = ste_each_example(g->l->store, g->iteration, add_example, g, err);
    if (rc == 0 && g->n == 0)
        return ste_err_set(err, STE_EUSAGE, "iteration %d of the run in %s has no examples yet: `ste filter %s`",
                           g->iteration, ste_store_dir(g->l->store), ste_store_dir(g->l->store));
    return rc;
}

/* ---- the best checkpoint ---- */

static double zero_if_none(double v)
{
    return isnan(v) ? 0 : v;
}

/* A was chosen before B if both could be. */
static bool better(const struct ste_checkpoint_row *a, const struct ste_checkpoint_row *b)
{
    const bool scored = a->pairs != STE_NO_INT;
    if (scored != (b->pairs != STE_NO_INT))
        return scored;
    if (isnan(a->log_loss) != isnan(b->log_loss))
        return isnan(b->log_loss);
    if (!isnan(a->log_loss) && a->log_loss != b->log_loss)
        return a->log_loss < b->log_loss;
    const double x[2] = {zero_if_none(a->consistent), zero_if_none(a->accuracy)},
                 y[2] = {zero_if_none(b->consistent), zero_if_none(b->accuracy)};
    if (x[0] != y[0] || x[1] != y[1])
        return x[0] != y[0] ? x[0] > y[0] : x[1] > y[1];
    return scored && a->pairs > 0 ? a->step < b->step : a->step > b->step;
}

struct best {
    bool there;
    struct ste_checkpoint_row row; /* its texts are gone */
};

static int take_better(void *arg, const struct ste_checkpoint_row *r, struct ste_err *err)
{
    struct best *best = arg;
    if (!best->there || better(r, &best->row))
        best->row = *r;
    best->there = true;
    return 0;
}

/* The least log-loss on dev pairs decides; a judge without log-probabilities goes by right in both orders, then
 * accuracy. The earlier step of two equal ones. Without dev pairs: the last. 0 where there is no checkpoint. */
static int best_step(struct training *g, struct ste_err *err)
{
    struct best best = {0};
    int rc = ste_each_checkpoint(g->l->store, g->iteration, take_better, &best, err);
    return rc != 0 ? rc : best.there ? (int)best.row.step : 0;
}

/* ---- checkpoints ---- */

static struct ste_lora *trained(const struct training *g)
{
    return g->made ? g->made : ste_trainer_lora(g->trainer);
}

/* Steps that another program told nothing of have the number 0. */
static int put_log(struct training *g, const struct ste_train_step *log, int n, struct ste_err *err)
{
    int rc = 0;
    for (int i = g->logged; rc == 0 && i < n; i++) {
        const struct ste_train_step *s = &log[i];
        const struct ste_train_step_row row = {.iteration = g->iteration,
                                               .step = s->step,
                                               .loss = s->loss,
                                               .lr = s->lr,
                                               .grad_norm = s->grad_norm,
                                               .tokens = (int64_t)s->tokens,
                                               .loss_tokens = (int64_t)s->loss_tokens};
        rc = s->step ? ste_put_train_step(g->l->store, &row, err) : 0;
    }
    return rc;
}

/* What the store lacks of the log and of a checkpoint's row. */
static int put_rows(struct training *g, const struct ste_train_step *log, int n, bool checkpoint, struct ste_err *err)
{
    int rc = ste_store_begin(g->l->store, err);
    if (rc != 0)
        return rc;
    rc = put_log(g, log, n, err);
    if (rc == 0 && checkpoint) {
        struct ste_lora *lora = trained(g);
        ste_lora_rehash(lora);
        const struct ste_checkpoint_row row = {.iteration = g->iteration,
                                               .step = n,
                                               .adapter_hash = lora->hash,
                                               .pairs = STE_NO_INT,
                                               .log_loss = NAN,
                                               .accuracy = NAN,
                                               .consistent = NAN,
                                               .two_order = NAN,
                                               .first_position = NAN,
                                               .invalid = STE_NO_INT};
        rc = ste_put_checkpoint(g->l->store, &row, err);
    }
    rc = ste_store_end(g->l->store, rc, err);
    g->logged = rc == 0 ? n : g->logged;
    return rc;
}

struct open_checkpoint {
    int step;
    bool open; /* STEP is a checkpoint without a score */
};

static int find_open(void *arg, const struct ste_checkpoint_row *r, struct ste_err *err)
{
    struct open_checkpoint *c = arg;
    c->open |= r->step == c->step && r->pairs == STE_NO_INT;
    return 0;
}

/* Scores the adapter of this step on the dev pairs if it is a checkpoint without a score. */
static int score_checkpoint(struct training *g, int step, struct ste_err *err)
{
    struct open_checkpoint c = {.step = step};
    int64_t dev = 0;
    int rc = ste_each_checkpoint(g->l->store, g->iteration, find_open, &c, err);
    if (rc == 0)
        rc = ste_count(g->l->store, STE_COUNT_DEV_PAIRS, 0, &dev, err);
    if (rc != 0 || !c.open || dev == 0)
        return rc;
    struct ste_role_model model = g->seed;
    struct ste_lora *lora = trained(g);
    struct ste_metrics m;
    double log_loss;
    if (lora->head) {
        model.reward = ste_reward_of(g->trainer, ste_engine_model(ste_local_engine(g->seed.llm)));
        snprintf(model.hash, sizeof model.hash, "%s", lora->hash);
    } else if ((rc = ste_local_add_adapter(model.llm, lora, &model.adapter, err)) != 0) {
        return rc;
    }
    rc = ste_loop_evaluate_dev(g->l, &model, g->iteration, c.step, &m, &log_loss, err);
    ste_llm_drop_adapter(model.llm, model.adapter);
    ste_reward_close(model.reward);
    if (rc != 0)
        return rc;
    const struct ste_checkpoint_row row = {.iteration = g->iteration,
                                           .step = c.step,
                                           .adapter_hash = lora->hash,
                                           .pairs = (int64_t)m.pairs,
                                           .log_loss = log_loss,
                                           .accuracy = m.accuracy.value,
                                           .consistent = m.consistent.value,
                                           .two_order = m.two_order.value,
                                           .first_position = m.first_position,
                                           .invalid = (int64_t)m.invalid};
    return ste_score_checkpoint(g->l->store, &row, err);
}

static int saved(void *arg, const struct ste_train_step *log, int n, bool checkpoint, int *best, struct ste_err *err)
{
    struct training *g = arg;
    int rc = put_rows(g, log, n, checkpoint, err);
    if (rc == 0 && checkpoint)
        rc = ste_cancel_check(err);
    if (rc == 0)
        rc = score_checkpoint(g, n, err);
    if (rc == 0)
        rc = *best = best_step(g, err);
    return rc < 0 ? rc : 0;
}

/* ---- the steps ---- */

int ste_loop_train_params(const struct ste_recipe *r, int iteration, int n, struct ste_train_params *p,
                          struct ste_err *err)
{
    ste_train_params_of(p, &r->train);
    int rc = ste_isa_choose(r->engine.isa, &p->isa, err);
    p->shuffle = r->order == STE_TRAIN_EASY_FIRST ? STE_SHUFFLE_LATER : STE_SHUFFLE_ALL;
    p->together = STE_LOOP_TOGETHER;
    p->n_ctx = (int)r->engine.ctx;
    p->seed = ste_key_of("train", ste_digits(r->seed).s, ste_digits(iteration).s, NULL);
    if (r->objective == STE_TRAIN_DPO)
        ste_train_params_dpo(p, &r->dpo);
    else if (r->objective == STE_TRAIN_REWARD)
        p->objective = &ste_bradley_terry;
    int total = r->train.epochs > 0 ? ste_train_steps(n, p->batch_examples, r->train.epochs) : (int)r->max_steps;
    if (r->max_steps && total > r->max_steps)
        total = (int)r->max_steps;
    ste_train_params_total(p, total);
    return rc;
}

/* Rows of the store. */
static int rows_of(const struct training *g)
{
    return ste_recipe_prefers(&g->l->recipe) ? g->n / 2 : g->n;
}

static int read_start(struct training *g, const struct ste_model *m, struct ste_err *err)
{
    const struct ste_recipe *r = &g->l->recipe;
    char *folder = NULL;
    int rc = ste_loop_start_adapter(r, &folder, err);
    if (rc == 0 && folder)
        rc = ste_lora_read_peft(&g->start, m, folder, err);
    if (rc == 0 && folder)
        rc = ste_loop_pin(g->l, "adapter", r->adapter, g->start->hash, err);
    if (rc == 0 && folder) { /* it keeps its own rank and scale */
        g->params.r = g->start->r;
        g->params.alpha = g->start->alpha;
    }
    ste_xfree(folder);
    return rc;
}

static int checkpoint_every(const struct training *g)
{
    const long long every = g->l->recipe.checkpoint_every;
    return every ? (int)every : (g->params.total_steps + 3) / 4;
}

/* Another program trains: what it leaves is the one checkpoint. */
static int train_outside(struct training *g, const struct ste_model *m, const char *what, int *best,
                         struct ste_err *err)
{
    const struct ste_recipe *r = &g->l->recipe;
    const int total = *best = g->params.total_steps;
    struct ste_lora *fresh = NULL;
    struct ste_train_step *log = NULL;
    int rc = g->start ? 0 : ste_lora_new(&fresh, &m->hp, g->params.r, g->params.alpha, g->params.seed, err);
    const struct ste_external_job job = {.command = &r->trainer,
                                         .folder = g->folder,
                                         .model = m,
                                         .name = r->seed_model,
                                         .base = *r->base ? r->base : NULL,
                                         .start = g->start ? g->start : fresh,
                                         .params = &g->params,
                                         .examples = g->examples,
                                         .n = g->n,
                                         .every = checkpoint_every(g),
                                         .grace = (double)r->grace,
                                         .what = what};
    if (rc == 0)
        rc = ste_external_train(&job, &g->made, &log, err);
    if (rc == 0)
        rc = put_rows(g, log, total, true, err);
    if (rc == 0)
        rc = score_checkpoint(g, total, err);
    ste_lora_free(fresh);
    ste_xfree(log);
    return rc;
}

/* Leaves the trainer at the chosen step. */
static int train(struct training *g, int *best, struct ste_err *err)
{
    struct ste_engine *e = ste_loop_seed_engine(&g->seed, err);
    if (!e)
        return STE_EUSAGE;
    const struct ste_recipe *r = &g->l->recipe;
    int rc = ste_loop_train_params(r, g->iteration, rows_of(g), &g->params, err);
    g->params.pool = ste_local_pool(g->seed.llm);
    if (rc == 0)
        rc = read_start(g, ste_engine_model(e), err);
    char what[48];
    snprintf(what, sizeof what, "train, iteration %d", g->iteration);
    if (rc == 0 && r->trainer.n)
        return train_outside(g, ste_engine_model(e), what, best, err);
    if (rc == 0)
        rc = ste_trainer_new(&g->trainer, ste_engine_model(e), ste_engine_weights(e), &g->params, err);
    if (rc == 0 && g->start)
        rc = ste_trainer_set_lora(g->trainer, g->start, err);
    const struct ste_train_job job = {.trainer = g->trainer,
                                      .examples = g->examples,
                                      .n = g->n,
                                      .folder = g->folder,
                                      .every = checkpoint_every(g),
                                      .what = what,
                                      .arg = g,
                                      .saved = saved};
    return rc != 0 ? rc : ste_train_run(&job, best, err);
}

/* ---- the chosen one ---- */

struct scored {
    int steps[256], n;
};

static int add_scored(void *arg, const struct ste_checkpoint_row *r, struct ste_err *err)
{
    struct scored *s = arg;
    if (!isnan(r->log_loss) && s->n < (int)(sizeof s->steps / sizeof *s->steps))
        s->steps[s->n++] = (int)r->step;
    return 0;
}

/* The log-loss of every dev pair at every checkpoint that has one, (checkpoints, pairs); NULL where their numbers
 * differ. */
static int dev_losses(struct training *g, const struct scored *s, double **out, size_t *pairs, struct ste_err *err)
{
    int rc = 0;
    *out = NULL;
    *pairs = 0;
    for (int k = 0; rc == 0 && k < s->n; k++) {
        struct ste_outcome *o = NULL;
        size_t n = 0;
        rc = ste_loop_outcomes(g->l->store, "dev", g->iteration, s->steps[k], &o, &n, err);
        if (k == 0) {
            *pairs = n;
            *out = ste_xcalloc((size_t)s->n * n + 1, sizeof **out);
        }
        for (size_t i = 0; rc == 0 && i < n && n == *pairs; i++)
            (*out)[(size_t)k * n + i] = zero_if_none(ste_log_loss(&o[i]));
        ste_outcomes_clear(o, n);
        ste_xfree(o);
    }
    return rc;
}

/* How sure the choice of BEST is: the share of draws of the dev pairs (with replacement) in which it has the least
 * log-loss of all checkpoints. NAN where nothing was chosen. */
static int sureness(struct training *g, int best, double *out, struct ste_err *err)
{
    enum { DRAWS = 1000 };
    struct scored s = {.n = 0};
    double *loss = NULL;
    size_t pairs = 0;
    *out = NAN;
    int rc = ste_each_checkpoint(g->l->store, g->iteration, add_scored, &s, err);
    if (rc == 0)
        rc = dev_losses(g, &s, &loss, &pairs, err);
    int chosen = s.n - 1;
    while (chosen >= 0 && s.steps[chosen] != best)
        chosen--;
    if (rc == 0 && s.n > 1 && pairs && chosen >= 0) {
        struct ste_rng r;
        ste_rng_init(&r, ste_key_of("how sure", NULL), (uint64_t)g->iteration);
        double *sum = ste_xcalloc((size_t)s.n, sizeof *sum);
        int wins = 0;
        for (int d = 0; d < DRAWS; d++) {
            memset(sum, 0, (size_t)s.n * sizeof *sum);
            for (size_t i = 0; i < pairs; i++) {
                size_t which = (size_t)(ste_rng_uniform(&r) * (double)pairs);
                for (int k = 0; k < s.n; k++)
                    sum[k] += loss[(size_t)k * pairs + which];
            }
            bool least = true;
            for (int k = 0; k < s.n; k++)
                least &= k == chosen || sum[chosen] < sum[k];
            wins += least;
        }
        ste_xfree(sum);
        *out = (double)wins / DRAWS;
    }
    ste_xfree(loss);
    return rc;
}

/* The chosen checkpoint's adapter as a PEFT folder with a GGUF beside it; then the row that says it is there. */
static int publish(struct training *g, int best, struct ste_err *err)
{
    char *folder = ste_run_adapter(ste_store_dir(g->l->store), g->iteration),
         *adapters = ste_run_adapters(ste_store_dir(g->l->store));
    char *gguf = ste_path_join(folder, "adapter.gguf");
    const struct ste_model *m = ste_engine_model(ste_local_engine(g->seed.llm));
    struct ste_lora *lora = trained(g);
    ste_run_clean_adapter(ste_store_dir(g->l->store), g->iteration);
    int rc = ste_mkdirs(adapters, err);
    if (rc == 0)
        rc = ste_lora_write_peft(lora, m, g->l->recipe.seed_model, folder, err);
    if (rc == 0 && !lora->head)
        rc = ste_lora_write_gguf(lora, m, gguf, err);
    if (rc == 0)
        rc = ste_folder_sync(folder, err);
    ste_lora_rehash(lora);
    json_t *how = json_object();
    if (g->start)
        json_object_set_new(how, "start", json_string(g->start->hash));
    json_object_set_new(how, "r", json_integer(g->params.r));
    json_object_set_new(how, "alpha", json_real(g->params.alpha));
    json_object_set_new(how, "lr", json_real(g->params.learning_rate));
    json_object_set_new(how, "steps", json_integer(g->params.total_steps));
    json_object_set_new(how, "chosen_step", json_integer(best));
    json_object_set_new(how, "examples", json_integer(rows_of(g)));
    if (g->made)
        json_object_set_new(how, "trainer", json_string(g->l->recipe.trainer.items[0]));
    struct ste_id prov;
    double sure = NAN;
    if (rc == 0)
        rc = sureness(g, best, &sure, err);
    if (rc == 0 && (rc = ste_store_begin(g->l->store, err)) == 0) {
        rc = ste_loop_provenance_of(g->l, "train", &g->seed, json_incref(how), g->iteration, &prov, err);
        const struct ste_iteration_row row = {.iteration = g->iteration,
                                              .chosen_step = best,
                                              .chosen_sure = sure,
                                              .adapter_hash = lora->hash,
                                              .provenance = prov.s};
        if (rc == 0)
            rc = ste_set_adapter(g->l->store, &row, err);
        rc = ste_store_end(g->l->store, rc, err);
    }
    json_decref(how);
    if (rc == 0)
        ste_train_clean(g->folder);
    ste_xfree(folder);
    ste_xfree(adapters);
    ste_xfree(gguf);
    return rc;
}

static void clear(struct training *g)
{
    ste_trainer_free(g->trainer);
    ste_lora_free(g->made);
    ste_lora_free(g->start);
    for (int i = 0; i < g->n; i++)
        ste_xfree(g->tokens[i]);
    ste_xfree(g->tokens);
    ste_xfree(g->examples);
    ste_xfree(g->folder);
}

static int has_adapter(void *arg, const struct ste_iteration_row *r, struct ste_err *err)
{
    *(bool *)arg = r->adapter_hash != NULL;
    return 0;
}

int ste_loop_train(struct ste_loop *l, int iteration, struct ste_err *err)
{
    bool done = false;
    int rc = ste_each_iteration(l->store, iteration, has_adapter, &done, err);
    struct training g = {.l = l, .iteration = iteration};
    g.folder = ste_run_training(ste_store_dir(l->store), iteration);
    if (rc != 0 || done) {
        if (rc == 0)
            ste_train_clean(g.folder); /* a kill between the last commit and the cleaning */
        clear(&g);
        return rc;
    }
    struct ste_loop_clock clock;
    ste_loop_clock_start(&clock, "train", iteration);
    rc = ste_loop_seed(l, &g.seed, err);
    if (rc == 0)
        rc = load_examples(&g, err);
    int best = 0;
    if (rc == 0)
        rc = train(&g, &best, err);
    if (rc == 0)
        rc = publish(&g, best, err);
    if (rc == 0)
        rc = ste_loop_clock_stop(l, &clock, err);
    clear(&g);
    return rc;
}
