/* ste sft: a LoRA adapter from a user's own examples, without the loop. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/training.h"
#include "core/file.h"
#include "core/log.h"
#include "core/mem.h"
#include "train/examples.h"

struct sft_options {
    char *model, *in, *out, *adapter, *grads;
    enum { SHUFFLE, FILE_ORDER } order;
    struct ste_training_flags f;
};
/* clang-format off */
#define OPTIONS_OF struct sft_options
static const struct ste_option options[] = {
    STE_STRING("model", model, NULL, "NAME",
               "catalogue name or .gguf file to train on; its weights stay as they are"),
    STE_STRING("in", in, NULL, "FILE.jsonl",
               "examples, one a line: {\"messages\": [...]} (the last one, the assistant's, is learnt), {\"prompt\", "
               "\"completion\"} (both texts or both lists of messages), {\"prompt_ids\", \"completion_ids\"} (of `ste "
               "export`), or {\"tokens\": [...], \"n_prompt\": N}; \"weight\" is optional"),
    STE_STRING("out", out, NULL, "DIR", "new folder for the adapter: PEFT's files and adapter.gguf"),
    STE_STRING("adapter", adapter, NULL, "DIR", "start from this PEFT folder (its rank and alpha hold)"),
    STE_CHOICE("order", order, "shuffle", STE_NAMES("shuffle", "file"), "each epoch anew, or that of the file"),
    STE_STRING("grads", grads, NULL, "DIR", "only write the gradients of the first batch, as a PEFT folder"),
    STE_TABLE("", f, ste_training_options),
    {0},
};
/* clang-format on */

struct batches {
    const struct sft_options *o;
    const struct ste_train_params *p;
    const struct ste_examples *x;
};

static int batch_of(const void *arg, int step, struct ste_example *batch)
{
    const struct batches *b = arg;
    const struct sft_options *o = b->o;
    const struct ste_train_params *p = b->p;
    const struct ste_examples *x = b->x;
    int n, *index = ste_xcalloc((size_t)p->batch_examples, sizeof *index), total = (int)x->n;
    if (o->order == FILE_ORDER) {
        int per_epoch = (total + p->batch_examples - 1) / p->batch_examples,
            from = step % per_epoch * p->batch_examples;
        n = total - from < p->batch_examples ? total - from : p->batch_examples;
        for (int i = 0; i < n; i++)
            index[i] = from + i;
    } else
        ste_train_batch(p->seed, total, 1, p->batch_examples, step, index, &n);
    for (int i = 0; i < n; i++)
        batch[i] = x->items[index[i]];
    free(index);
    return n;
}

static int write_grads(const struct sft_options *o, const struct ste_model *m, const struct ste_train_params *p,
                       struct ste_trainer *t, const struct ste_examples *x, struct ste_err *err)
{
    struct ste_example *batch = ste_xcalloc((size_t)p->batch_examples, sizeof *batch);
    struct ste_lora *grads = NULL;
    double loss = 0;
    int n = batch_of(&(struct batches){o, p, x}, 0, batch), rc = ste_lora_new(&grads, &m->hp, p->r, p->alpha, 0, err);
    if (!rc)
        rc = ste_trainer_grads(t, batch, n, grads, &loss, err);
    if (!rc)
        rc = ste_lora_write_peft(grads, m, o->model, o->grads, err);
    if (!rc)
        printf("loss %.6f; gradients of %d examples in %s\n", loss, n, o->grads);
    ste_lora_free(grads);
    free(batch);
    return rc;
}

struct result {
    const char *base;
    const struct ste_model *m;
    struct ste_lora *lora;
};

static int write_adapter(const void *arg, const char *folder, struct ste_err *err)
{
    const struct result *r = arg;
    int rc = ste_lora_write_peft(r->lora, r->m, r->base, folder, err);
    char *path = ste_path_join(folder, "adapter.gguf");
    if (!rc)
        rc = ste_lora_write_gguf(r->lora, r->m, path, err);
    if (!rc)
        printf("adapter %.12s in %s: PEFT folder, and adapter.gguf for llama.cpp\n", r->lora->hash, folder);
    free(path);
    return rc;
}

static int run_with(const struct sft_options *o, const struct ste_model *m, struct ste_train_params *p,
                    struct ste_err *err)
{
    struct ste_examples x = {0};
    struct ste_lora *start = NULL;
    struct ste_trainer *t = NULL;
    long long limit = o->f.max_tokens > 0 ? o->f.max_tokens : m->hp.n_ctx_train;
    int rc = ste_examples_read(&x, m, o->in, (size_t)limit, err);
    if (!rc && o->adapter)
        rc = ste_lora_read_peft(&start, m, o->adapter, err);
    if (start) { /* an adapter keeps its own rank and scale */
        p->r = start->r;
        p->alpha = start->alpha;
    }
    if (!rc) {
        ste_train_params_total(p, ste_training_total_steps(&o->f, p, x.n));
        rc = ste_trainer_new(&t, m, NULL, p, err);
    }
    if (!rc && start)
        rc = ste_trainer_set_lora(t, start, err);
    ste_lora_free(start);
    if (!rc)
        ste_info("%zu examples, %d steps of %d, rank %d, alpha %g", x.n, p->total_steps, p->batch_examples, p->r,
                 p->alpha);
    if (!rc && o->grads)
        rc = write_grads(o, m, p, t, &x, err);
    else if (!rc) {
        struct ste_err unwritten = {0};
        rc = ste_training_run(&o->f, p, t, batch_of, &(struct batches){o, p, &x}, p->batch_examples, &unwritten, err);
        if (!rc)
            rc = ste_training_write(write_adapter, &(struct result){o->model, m, ste_trainer_lora(t)}, o->out, err);
        rc = ste_err_pass(err, &unwritten, rc);
    }
    ste_trainer_free(t);
    ste_examples_clear(&x);
    return rc;
}

static int check_options(const struct sft_options *o, struct ste_err *err)
{
    if (!o->model || !o->in || (!o->out && !o->grads))
        return ste_err_set(err, STE_EUSAGE,
                           "sft takes --model NAME, --in EXAMPLES.jsonl and --out DIR; see `ste help sft`");
    if (o->out && !o->grads && ste_file_exists(o->out))
        return ste_err_set(err, STE_EUSAGE, "%s is already there; name a new folder for --out, or remove it", o->out);
    return ste_training_try(&o->f, o->grads ? o->grads : o->out, err);
}

static int sft(void *options_, const struct ste_strings *words, struct ste_err *err)
{
    const struct sft_options *o = options_;
    struct ste_train_params p = {0};
    struct ste_model *m = NULL;
    int rc = check_options(o, err);
    if (!rc)
        rc = ste_training_open(&o->f, o->model, &p, &m, err);
    if (!rc)
        rc = run_with(o, m, &p, err);
    ste_training_close(&p, m);
    return rc;
}

const struct ste_command ste_cmd_sft = {"sft",
                                        "sft --model NAME --in EXAMPLES.jsonl --out DIR [flags]",
                                        "Fine-tune a LoRA adapter on your own examples.",
                                        options,
                                        sizeof(struct sft_options),
                                        0,
                                        sft};
