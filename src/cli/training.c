#include "cli/training.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/file.h"
#include "core/log.h"
#include "core/mem.h"
#include "data/catalogue.h"
#include "train/objective.h"

void ste_examples_add(struct ste_examples *x, struct ste_tokens *ids, long long n_prompt, double weight)
{
    STE_GROW(x->items, x->cap, x->n + 1);
    x->items[x->n++] = (struct ste_example){ids->ids, (int)ids->n, (int)n_prompt, (float)weight};
    *ids = (struct ste_tokens){0};
}

void ste_training_defaults(struct ste_training *g)
{
    struct ste_train_params p;
    ste_train_default_params(&p);
    g->f = (struct ste_training_flags){.schedule = "constant",
                                       .r = p.r,
                                       .alpha = p.alpha,
                                       .lr = p.learning_rate,
                                       .batch = p.batch_examples,
                                       .micro_tokens = p.micro_tokens,
                                       .memory_mb = (long long)(p.activation_bytes >> 20),
                                       .max_grad_norm = p.max_grad_norm,
                                       .epochs = 1};
}

static int check(const struct ste_training_flags *f, struct ste_err *err)
{
    if (f->batch < 1 || f->batch > 100000 || f->r < 1 || f->micro_tokens < 1 || f->micro_tokens > 1 << 20 ||
        f->warmup < 0 || f->steps < 0 || f->steps > 1000000000 || f->threads < 0 || f->threads > 1024 ||
        f->warmup > 1000000000 || f->memory_mb < 0 || f->memory_mb > 1 << 30)
        return ste_err_set(
            err, STE_EUSAGE,
            "--batch, --r and --micro-tokens are at least 1; --warmup, --steps, --memory-mb and --threads 0 "
            "or more");
    if (!(f->epochs > 0 && f->epochs <= 1000))
        return ste_err_set(err, STE_EUSAGE, "--epochs must be above 0 and at most 1000, not %g", f->epochs);
    return 0;
}

static int params_of(const struct ste_training_flags *f, struct ste_train_params *p, struct ste_err *err)
{
    ste_train_default_params(p);
    int rc = check(f, err);
    if (!rc)
        rc = ste_schedule_by_name(f->schedule, &p->schedule, err);
    if (!rc)
        rc = ste_isa_choose(f->isa, &p->isa, err);
    if (!rc)
        rc = ste_activations_by_name(f->activations ? f->activations : "auto", true, &p->activations, err);
    if (rc)
        return rc;
    p->pool = ste_pool_new((int)f->threads);
    p->r = (int)(f->r < 1 << 20 ? f->r : 1 << 20);
    p->alpha = f->alpha;
    p->learning_rate = f->lr;
    p->weight_decay = f->weight_decay;
    p->max_grad_norm = f->max_grad_norm;
    p->warmup_steps = (int)f->warmup;
    p->batch_examples = (int)f->batch;
    p->micro_tokens = (int)f->micro_tokens;
    p->activation_bytes = (size_t)f->memory_mb << 20;
    p->seed = (uint64_t)f->seed;
    return 0;
}

int ste_training_try(const struct ste_training *g, struct ste_err *err)
{
    bool others = false;
    int rc = 0;
    if (!ste_file_exists(g->out))
        rc = ste_folder_try(g->out, err);
    else if (!ste_is_folder(g->out) || (ste_train_newest(g->out, &others) < 0 && others))
        rc = ste_err_set(err, STE_EUSAGE, "%s is already there; name a new folder for --out, or remove it", g->out);
    return rc ? rc : ste_outputs_try(&g->f.log, 1, err);
}

int ste_training_open(struct ste_training *g, struct ste_err *err)
{
    char *path = NULL;
    int rc = params_of(&g->f, &g->p, err);
    if (!rc)
        rc = ste_model_resolve(g->model, &path, err);
    if (!rc)
        rc = ste_model_open(&g->m, path, err);
    free(path);
    return rc;
}

int ste_training_begin(struct ste_training *g, const struct ste_lora *start, struct ste_err *err)
{
    const struct ste_training_flags *f = &g->f;
    const int n = (int)g->x.n / g->p.objective->group;
    if (start) { /* an adapter keeps its own rank and scale */
        g->p.r = start->r;
        g->p.alpha = start->alpha;
    }
    g->p.total_steps = f->steps > 0 ? (int)f->steps : ste_train_steps(n, g->p.batch_examples, f->epochs);
    int rc = ste_trainer_new(&g->t, g->m, NULL, &g->p, err);
    if (!rc && start)
        rc = ste_trainer_set_lora(g->t, start, err);
    if (!rc)
        ste_info("%d %s, %d steps of %d, rank %d, alpha %g", n, g->p.objective->group > 1 ? "pairs" : "examples",
                 g->p.total_steps, g->p.batch_examples, g->p.r, g->p.alpha);
    return rc;
}

void ste_training_close(struct ste_training *g)
{
    ste_trainer_free(g->t);
    for (size_t i = 0; i < g->x.n; i++)
        free((void *)(uintptr_t)g->x.items[i].tokens);
    free(g->x.items);
    ste_model_close(g->m);
    ste_pool_free(g->p.pool);
}

/* ---- steps ---- */

struct log {
    struct ste_jsonl_writer *rows; /* NULL: not wanted, or what went wrong is in UNWRITTEN */
    struct ste_err unwritten;
};

static int log_step(void *arg, const struct ste_train_step *s, struct ste_err *err)
{
    struct log *log = arg;
    printf("step %d loss %.6f lr %.3e norm %.4f, %ld tokens, %.1f tok/s\n", s->step, s->loss, s->lr, s->grad_norm,
           s->tokens, (double)s->tokens / s->seconds);
    fflush(stdout);
    if (!log->rows)
        return 0;
    json_t *row =
        json_pack("{s:i, s:f, s:f, s:f, s:i, s:i, s:f}", "step", s->step, "loss", s->loss, "lr", s->lr, "grad_norm",
                  s->grad_norm, "tokens", (int)s->tokens, "loss_tokens", (int)s->loss_tokens, "seconds", s->seconds);
    if (ste_jsonl_write(log->rows, row, &log->unwritten)) {
        ste_jsonl_abort(log->rows);
        log->rows = NULL;
    }
    json_decref(row);
    return 0;
}

static int write_adapter(const struct ste_training *g, const char *folder, struct ste_err *err)
{
    struct ste_lora *lora = ste_trainer_lora(g->t);
    char *gguf = ste_path_join(folder, "adapter.gguf");
    int rc = ste_lora_write_peft(lora, g->m, g->model, folder, err);
    if (!rc && !lora->head)
        rc = ste_lora_write_gguf(lora, g->m, gguf, err);
    if (!rc && lora->head)
        printf("reward model %.12s in %s: PEFT folder with its head; ste eval --judge %s\n", lora->hash, folder,
               folder);
    else if (!rc)
        printf("adapter %.12s in %s: PEFT folder, and adapter.gguf for llama.cpp\n", lora->hash, folder);
    free(gguf);
    return rc;
}

static int write_or_keep(const struct ste_training *g, struct ste_err *err)
{
    int rc = write_adapter(g, g->out, err);
    char *at;
    for (int i = 0; rc == STE_EIO && (at = ste_keep_path(g->out, i)); i++) {
        struct ste_err again = {0};
        const bool kept = !ste_file_exists(at) && write_adapter(g, at, &again) == 0;
        if (kept) {
            again = *err;
            ste_err_set(err, rc, "%.500s; what was trained is kept in %s", again.msg, at);
        }
        free(at);
        if (kept)
            break;
    }
    return rc;
}

int ste_training_run(struct ste_training *g, struct ste_err *err)
{
    struct log log = {0};
    const struct ste_train_job job = {.trainer = g->t,
                                      .examples = g->x.items,
                                      .n = (int)g->x.n,
                                      .folder = g->out,
                                      .carry_on = true,
                                      .arg = &log,
                                      .stepped = log_step};
    char *lock = ste_path_join(g->out, "state-lock"); /* goes with the states */
    bool others;
    int held = -1, rc = ste_mkdirs(g->out, err);
    if (!rc)
        rc = ste_lock(lock, &held, err);
    free(lock);
    if (rc)
        return rc;
    if (g->f.log)
        rc = ste_jsonl_create(&log.rows, g->f.log, err);
    if (!rc)
        rc = ste_train_run(&job, NULL, err);
    if (log.rows)
        ste_jsonl_end(log.rows, rc, &log.unwritten);
    if (!rc)
        rc = write_or_keep(g, err);
    if (!rc || ste_train_newest(g->out, &others) < 0)
        ste_train_clean(g->out);
    ste_unlock(held);
    return ste_err_pass(err, &log.unwritten, rc);
}
