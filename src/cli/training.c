#include "cli/training.h"

#include <stdio.h>

#include "core/file.h"
#include "core/log.h"
#include "core/mem.h"
#include "data/catalogue.h"
#include "model/chat.h"
#include "train/objective.h"

/* clang-format off */
#define OPTIONS_OF struct ste_training_flags
const struct ste_option ste_training_options[] = {
    STE_STRING("adapter", adapter, NULL, "DIR", "start from this PEFT folder (its rank and alpha hold)"),
    STE_TABLE("", train, ste_train_options),
    STE_INT("steps", steps, "0", 0, STE_LARGE, "optimizer steps, instead of --epochs; 0: the epochs decide"),
    STE_INT("seed", seed, "0", 0, 0, "of the adapter's start and of the order"),
    STE_INT("max_tokens", max_tokens, "0", 0, STE_LARGE, "leave longer examples out; 0: the model's context"),
    STE_STRING("log", log, NULL, "FILE.jsonl", "also write each step as a JSON line"),
    STE_SPEED_INT("threads", threads, "0", 0, 4096, "0: one a core"),
    STE_STRING("load_as", load_as, "", "TYPE", "make F32, F16 and BF16 weights smaller as they are loaded: q8_0, q4_k"),
    STE_STRING("chat_template", chat_template, "", "NAME",
               "a chat template by name, in place of the model's own: chatml, llama3, ... (docs/models.md)"),
    STE_STRING("chat_date", chat_date, "", "DATE", "the date that chat templates see; empty: 2024-07-26"),
    STE_SPEED_STRING("isa", isa, "", "NAME", "force an instruction set: amx, avx512, avx-vnni, avx2, portable"),
    {0},
};
/* clang-format on */

int ste_training_try(const struct ste_training *g, struct ste_err *err)
{
    bool others = false;
    int rc = 0;
    if (!ste_file_exists(g->f->out))
        rc = ste_folder_try(g->f->out, err);
    else if (!ste_is_folder(g->f->out) || (ste_train_newest(g->f->out, &others) < 0 && others))
        rc = ste_err_set(err, STE_EUSAGE, "%s is already there; name a new folder for --out, or remove it", g->f->out);
    return rc ? rc : ste_outputs_try((const char *const[]){g->f->log}, 1, err);
}

int ste_training_open(struct ste_training *g, struct ste_err *err)
{
    const struct ste_training_flags *f = g->f;
    char *path = NULL;
    ste_train_params_of(&g->p, &f->train);
    g->p.seed = (uint64_t)f->seed;
    int rc = ste_isa_choose(f->isa, &g->p.isa, err);
    if (!rc)
        rc = ste_model_resolve(f->model, &path, err);
    if (!rc)
        rc = ste_model_open(&g->m, path, err);
    if (!rc)
        rc = ste_model_load_as(g->m, f->load_as, err);
    if (!rc)
        rc = ste_chat_choose(g->m, f->chat_template, f->chat_date, err);
    if (!rc)
        g->p.pool = ste_pool_new((int)f->threads);
    ste_xfree(path);
    return rc;
}

size_t ste_training_max_tokens(const struct ste_training *g)
{
    return (size_t)(g->f->max_tokens > 0 ? g->f->max_tokens : g->m->hp.n_ctx_train);
}

int ste_training_begin(struct ste_training *g, struct ste_err *err)
{
    const struct ste_training_flags *f = g->f;
    const int n = (int)g->x.n / g->p.objective->group;
    if (f->steps == 0 && f->train.epochs == 0)
        return ste_err_set(err, STE_EUSAGE, "--epochs must be above 0 where --steps is not given");
    struct ste_lora *start = NULL;
    int rc = f->adapter ? ste_lora_read_peft(&start, g->m, f->adapter, err) : 0;
    if (start) { /* an adapter keeps its own rank and scale */
        g->p.r = start->r;
        g->p.alpha = start->alpha;
    }
    ste_train_params_total(&g->p, f->steps ? (int)f->steps : ste_train_steps(n, g->p.batch_examples, f->train.epochs));
    if (!rc)
        rc = ste_trainer_new(&g->t, g->m, NULL, &g->p, err);
    if (!rc && start)
        rc = ste_trainer_set_lora(g->t, start, err);
    ste_lora_free(start);
    if (!rc)
        ste_info("%d %s, %d steps of %d, rank %d, alpha %g", n, g->p.objective->group > 1 ? "pairs" : "examples",
                 g->p.total_steps, g->p.batch_examples, g->p.r, g->p.alpha);
    return rc;
}

void ste_training_close(struct ste_training *g)
{
    ste_trainer_free(g->t);
    ste_examples_clear(&g->x);
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
    int rc = ste_lora_write_peft(lora, g->m, g->f->model, folder, err);
    if (!rc && !lora->head)
        rc = ste_lora_write_gguf(lora, g->m, gguf, err);
    if (!rc && lora->head)
        printf("reward model %.12s in %s: PEFT folder with its head; ste eval --judge %s\n", lora->hash, folder,
               folder);
    else if (!rc)
        printf("adapter %.12s in %s: PEFT folder, and adapter.gguf for llama.cpp\n", lora->hash, folder);
    ste_xfree(gguf);
    return rc;
}

static int write_or_keep(const struct ste_training *g, struct ste_err *err)
{
    int rc = write_adapter(g, g->f->out, err);
    char *at;
    for (int i = 0; rc == STE_EIO && (at = ste_keep_path(g->f->out, i)); i++) {
        struct ste_err again = {0};
        const bool kept = !ste_file_exists(at) && write_adapter(g, at, &again) == 0;
        if (kept) {
            again = *err;
            ste_err_set(err, rc, "%.500s; what was trained is kept in %s", again.msg, at);
        }
        ste_xfree(at);
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
                                      .folder = g->f->out,
                                      .carry_on = true,
                                      .arg = &log,
                                      .stepped = log_step};
    char *lock = ste_path_join(g->f->out, "state-lock"); /* goes with the states */
    bool others;
    int held = -1, rc = ste_mkdirs(g->f->out, err);
    if (!rc)
        rc = ste_lock_signed(lock, &held, err);
    ste_xfree(lock);
    if (rc)
        return rc;
    if (g->f->log)
        rc = ste_jsonl_create(&log.rows, g->f->log, err);
    if (!rc)
        rc = ste_train_run(&job, NULL, err);
    if (log.rows)
        ste_jsonl_end(log.rows, rc, &log.unwritten);
    if (!rc)
        rc = write_or_keep(g, err);
    if (!rc || ste_train_newest(g->f->out, &others) < 0)
        ste_train_clean(g->f->out);
    ste_unlock(held);
    return ste_err_pass(err, &log.unwritten, rc);
}
