/* ste sft and ste dpo: a LoRA adapter from a user's own examples or preferences, without the loop. */
#include <stdio.h>

#include "cli/training.h"
#include "core/file.h"
#include "core/mem.h"
#include "train/objective.h"

struct sft_options {
    struct ste_training_flags f;
    char *grads;
    enum ste_shuffle order;
    long long together;
    struct ste_dpo_options dpo;
};
/* clang-format off */
#define OPTIONS_OF struct sft_options
static const struct ste_option shared_options[] = {
    STE_STRING("out", f.out, NULL, "DIR",
               "new folder for the adapter: PEFT's files and adapter.gguf; the same command goes on where it was stopped"),
    STE_CHOICE("order", order, "shuffle", ste_shuffle_names, "anew in each epoch, in each but the first, or that of the file"),
    STE_INT("together", together, "1", 1, 100000,
            "shuffle so many examples that stand side by side as one; a run's are in fours"),
    STE_STRING("grads", grads, NULL, "DIR", "only write the gradients of the first batch, as a PEFT folder"),
    STE_TABLE("", f, ste_training_options),
    {0},
};
static const struct ste_option sft_table[] = {
    STE_TRAINING_MODEL,
    STE_STRING("in", f.in, NULL, "FILE.jsonl",
               "examples, one a line: {\"messages\": [...]} (the last one, the assistant's, is learnt), {\"prompt\", "
               "\"completion\"} (both texts or both lists of messages), {\"prompt_ids\", \"completion_ids\"} (of `ste "
               "export`), or {\"tokens\": [...], \"n_prompt\": N}; \"weight\" is optional"),
    {.kind = STE_OPT_TABLE, .key = "", .table = shared_options},
    {0},
};
static const struct ste_option dpo_table[] = {
    STE_TRAINING_MODEL,
    STE_STRING("in", f.in, NULL, "FILE.jsonl",
               "preferences, one a line: {\"prompt\", \"chosen\", \"rejected\"} (all texts, with the template's tokens in "
               "them, or all lists of messages), {\"chosen\", \"rejected\"} (conversations that differ in their last "
               "message), or {\"prompt_ids\", \"chosen_ids\", \"rejected_ids\"} (of `ste export`); \"weight\" is optional"),
    STE_TABLE("", dpo, ste_dpo_options),
    {.kind = STE_OPT_TABLE, .key = "", .table = shared_options},
    {0},
};
/* clang-format on */

static int write_grads(const struct ste_training *g, const char *folder, struct ste_err *err)
{
    const struct ste_train_params *p = &g->p;
    const int group = p->objective->group;
    struct ste_example *batch = ste_xcalloc((size_t)(p->batch_examples * group), sizeof *batch);
    int *index = ste_xcalloc((size_t)p->batch_examples, sizeof *index);
    struct ste_lora *grads = NULL;
    double loss = 0;
    const int n = ste_train_batch(p, (int)g->x.n / group, 0, index);
    for (int i = 0; i < n * group; i++)
        batch[i] = g->x.items[index[i / group] * group + i % group];
    int rc = ste_lora_new(&grads, &g->m->hp, p->r, p->alpha, 0, err);
    if (!rc)
        rc = ste_trainer_grads(g->t, batch, n * group, grads, &loss, err);
    if (!rc)
        rc = ste_lora_write_peft(grads, g->m, g->f->model, folder, err);
    if (!rc)
        printf("loss %.6f; gradients of %d %s in %s\n", loss, n, group > 1 ? "pairs" : "examples", folder);
    ste_lora_free(grads);
    ste_xfree(index);
    ste_xfree(batch);
    return rc;
}

static int check_options(const struct ste_training *g, const struct sft_options *o, bool preferences,
                         struct ste_err *err)
{
    const char *name = preferences ? "dpo" : "sft";
    if (!o->f.model || !o->f.in || (!o->f.out && !o->grads))
        return ste_err_set(err, STE_EUSAGE, "%s takes --model NAME, --in %s.jsonl and --out DIR; see `ste help %s`",
                           name, preferences ? "PREFERENCES" : "EXAMPLES", name);
    return o->grads ? ste_folder_try(o->grads, err) : ste_training_try(g, err);
}

static int tune(const struct sft_options *o, bool preferences, struct ste_err *err)
{
    struct ste_training g = {.f = &o->f};
    int rc = check_options(&g, o, preferences, err);
    if (!rc)
        rc = ste_training_open(&g, err);
    if (!rc && preferences)
        ste_train_params_dpo(&g.p, &o->dpo);
    if (!rc)
        rc = ste_examples_read(&g.x, g.m, o->f.in, preferences, ste_training_max_tokens(&g), err);
    g.p.shuffle = o->order;
    g.p.together = (int)o->together;
    if (!rc)
        rc = ste_training_begin(&g, err);
    if (!rc)
        rc = o->grads ? write_grads(&g, o->grads, err) : ste_training_run(&g, err);
    ste_training_close(&g);
    return rc;
}

static int sft(void *options, const struct ste_strings *words, struct ste_err *err)
{
    return tune(options, false, err);
}

static int dpo(void *options, const struct ste_strings *words, struct ste_err *err)
{
    return tune(options, true, err);
}

STE_COMMAND(sft, "sft", "--model NAME --in EXAMPLES.jsonl --out DIR [flags]",
            "Fine-tune a LoRA adapter on your own examples.", sft_table, 0, NULL, sft);
STE_COMMAND(dpo, "dpo", "--model NAME --in PREFERENCES.jsonl --out DIR [flags]",
            "Fine-tune a LoRA adapter on what is preferred to what.", dpo_table, 0, NULL, dpo);
