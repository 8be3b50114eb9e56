/* ste sft: a LoRA adapter from a user's own examples, without the loop. */
#include <stdio.h>
#include <stdlib.h>

#include "cli/training.h"
#include "core/file.h"
#include "core/mem.h"

struct sft_options {
    struct ste_training_flags f;
    char *adapter, *grads;
    enum ste_shuffle order;
    long long together;
};
/* clang-format off */
#define OPTIONS_OF struct sft_options
static const struct ste_option options[] = {
    STE_STRING("model", f.model, NULL, "NAME",
               "catalogue name or .gguf file to train on; its weights stay as they are"),
    STE_STRING("in", f.in, NULL, "FILE.jsonl",
               "examples, one a line: {\"messages\": [...]} (the last one, the assistant's, is learnt), {\"prompt\", "
               "\"completion\"} (both texts or both lists of messages), {\"prompt_ids\", \"completion_ids\"} (of `ste "
               "export`), or {\"tokens\": [...], \"n_prompt\": N}; \"weight\" is optional"),
    STE_STRING("out", f.out, NULL, "DIR",
               "new folder for the adapter: PEFT's files and adapter.gguf; the same command goes on where it was stopped"),
    STE_STRING("adapter", adapter, NULL, "DIR", "start from this PEFT folder (its rank and alpha hold)"),
    STE_CHOICE("order", order, "shuffle", ste_shuffle_names, "anew in each epoch, in each but the first, or that of the file"),
    STE_INT("together", together, "1", 1, 100000,
            "shuffle so many examples that stand side by side as one; a run's are in fours"),
    STE_STRING("grads", grads, NULL, "DIR", "only write the gradients of the first batch, as a PEFT folder"),
    STE_TABLE("", f, ste_training_options),
    {0},
};
/* clang-format on */

static int write_grads(const struct ste_training *g, const char *folder, struct ste_err *err)
{
    const struct ste_train_params *p = &g->p;
    struct ste_example *batch = ste_xcalloc((size_t)p->batch_examples, sizeof *batch);
    int *index = ste_xcalloc((size_t)p->batch_examples, sizeof *index);
    struct ste_lora *grads = NULL;
    double loss = 0;
    const int n = ste_train_batch(p, (int)g->x.n, 0, index);
    for (int i = 0; i < n; i++)
        batch[i] = g->x.items[index[i]];
    int rc = ste_lora_new(&grads, &g->m->hp, p->r, p->alpha, 0, err);
    if (!rc)
        rc = ste_trainer_grads(g->t, batch, n, grads, &loss, err);
    if (!rc)
        rc = ste_lora_write_peft(grads, g->m, g->f->model, folder, err);
    if (!rc)
        printf("loss %.6f; gradients of %d examples in %s\n", loss, n, folder);
    ste_lora_free(grads);
    ste_xfree(index);
    ste_xfree(batch);
    return rc;
}

static int check_options(const struct ste_training *g, const struct sft_options *o, struct ste_err *err)
{
    if (!o->f.model || !o->f.in || (!o->f.out && !o->grads))
        return ste_err_set(err, STE_EUSAGE,
                           "sft takes --model NAME, --in EXAMPLES.jsonl and --out DIR; see `ste help sft`");
    return o->grads ? ste_folder_try(o->grads, err) : ste_training_try(g, err);
}

static int sft(void *options_, const struct ste_strings *words, struct ste_err *err)
{
    const struct sft_options *o = options_;
    struct ste_training g = {.f = &o->f};
    struct ste_lora *start = NULL;
    int rc = check_options(&g, o, err);
    if (!rc)
        rc = ste_training_open(&g, err);
    if (!rc)
        rc = ste_examples_read(&g.x, g.m, o->f.in, ste_training_max_tokens(&g), err);
    if (!rc && o->adapter)
        rc = ste_lora_read_peft(&start, g.m, o->adapter, err);
    g.p.shuffle = o->order;
    g.p.together = (int)o->together;
    if (!rc)
        rc = ste_training_begin(&g, start, err);
    ste_lora_free(start);
    if (!rc)
        rc = o->grads ? write_grads(&g, o->grads, err) : ste_training_run(&g, err);
    ste_training_close(&g);
    return rc;
}

const struct ste_command ste_cmd_sft = {"sft",
                                        "sft --model NAME --in EXAMPLES.jsonl --out DIR [flags]",
                                        "Fine-tune a LoRA adapter on your own examples.",
                                        options,
                                        sizeof(struct sft_options),
                                        0,
                                        sft};
