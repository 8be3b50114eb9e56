#include "cli/training.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/file.h"
#include "core/log.h"
#include "core/mem.h"
#include "data/catalogue.h"

/* clang-format off */
#define OPTIONS_OF struct ste_training_flags
const struct ste_option ste_training_options[] = {
    STE_TABLE("", train, ste_train_options),
    STE_INT("steps", steps, "0", 0, STE_LARGE, "optimizer steps, instead of --epochs; 0: the epochs decide"),
    STE_INT("seed", seed, "0", 0, 9e15, "of the adapter's start and of the order"),
    STE_INT("max_tokens", max_tokens, "0", 0, STE_LARGE, "leave longer examples out; 0: the model's context"),
    STE_STRING("log", log, NULL, "FILE.jsonl", "also write each step as a JSON line"),
    STE_SPEED_INT("threads", threads, "0", 0, 4096, "0: one a core"),
    STE_SPEED_STRING("isa", isa, "", "NAME", "force an instruction set: amx, avx512, avx-vnni, avx2, portable"),
    {0},
};
/* clang-format on */

static int params_of(const struct ste_training_flags *f, struct ste_train_params *p, struct ste_err *err)
{
    ste_train_params_of(p, &f->train);
    int rc = ste_isa_choose(f->isa, &p->isa, err);
    if (rc)
        return rc;
    p->pool = ste_pool_new((int)f->threads);
    p->seed = (uint64_t)f->seed;
    return 0;
}

int ste_training_open(const struct ste_training_flags *f, const char *model, struct ste_train_params *p,
                      struct ste_model **m, struct ste_err *err)
{
    char *path = NULL;
    *m = NULL;
    int rc = params_of(f, p, err);
    if (!rc)
        rc = ste_model_resolve(model, &path, err);
    if (!rc)
        rc = ste_model_open(m, path, err);
    free(path);
    return rc;
}

void ste_training_close(struct ste_train_params *p, struct ste_model *m)
{
    ste_model_close(m);
    ste_pool_free(p->pool);
}

int ste_training_total_steps(const struct ste_training_flags *f, const struct ste_train_params *p, size_t n_items)
{
    long long per_epoch = ((long long)n_items + p->batch_examples - 1) / p->batch_examples;
    return (int)(f->steps > 0 ? f->steps : (long long)(f->train.epochs * (double)per_epoch + 0.5));
}

static int log_step(struct ste_jsonl_writer *log, const struct ste_train_step *s, double seconds, struct ste_err *err)
{
    printf("step %d loss %.6f lr %.3e norm %.4f, %ld tokens, %.1f tok/s\n", s->step, s->loss, s->lr, s->grad_norm,
           s->tokens, (double)s->tokens / seconds);
    fflush(stdout);
    if (!log)
        return 0;
    json_t *row =
        json_pack("{s:i, s:f, s:f, s:f, s:i, s:i, s:f}", "step", s->step, "loss", s->loss, "lr", s->lr, "grad_norm",
                  s->grad_norm, "tokens", (int)s->tokens, "loss_tokens", (int)s->loss_tokens, "seconds", seconds);
    int rc = ste_jsonl_write(log, row, err);
    json_decref(row);
    return rc;
}

int ste_training_run(const struct ste_training_flags *f, const struct ste_train_params *p, struct ste_trainer *t,
                     int (*batch_of)(const void *arg, int step, struct ste_example *batch), const void *arg, int most,
                     struct ste_err *unwritten, struct ste_err *err)
{
    struct ste_jsonl_writer *log = NULL;
    struct ste_example *batch = ste_xcalloc((size_t)most, sizeof *batch);
    int rc = f->log ? ste_jsonl_create(&log, f->log, err) : 0;
    for (int step = 0; !rc && step < p->total_steps; step++) {
        struct ste_train_step s;
        double from = ste_now();
        int n = batch_of(arg, step, batch);
        rc = ste_trainer_step(t, batch, n, &s, err);
        if (!rc && log_step(log, &s, ste_now() - from, unwritten)) {
            ste_jsonl_abort(log);
            log = NULL;
        }
    }
    free(batch);
    if (log)
        ste_jsonl_end(log, rc, unwritten);
    return rc;
}

int ste_training_try(const struct ste_training_flags *f, const char *out, struct ste_err *err)
{
    int rc = out ? ste_folder_try(out, err) : 0;
    return rc ? rc : ste_outputs_try((const char *const[]){f->log}, 1, err);
}

int ste_training_write(int (*write)(const void *arg, const char *folder, struct ste_err *err), const void *arg,
                       const char *out, struct ste_err *err)
{
    int rc = write(arg, out, err);
    if (rc != STE_EIO)
        return rc;
    char *at;
    for (int i = 0; (at = ste_keep_path(out, i)); i++) {
        struct ste_err again = {0};
        const bool kept = !ste_file_exists(at) && write(arg, at, &again) == 0;
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
