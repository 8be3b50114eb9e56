/* ste train-rm: a reward model from labelled or synthetic pairs, the paper's classifier baseline. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/training.h"
#include "core/file.h"
#include "core/log.h"
#include "core/mem.h"
#include "eval/reward.h"

struct options {
    const char *model, *in, *out, *split;
    struct ste_training_flags f;
};

/* Two examples a pair: chosen, rejected. They own their tokens. */
struct pairs {
    struct ste_example *items;
    size_t n, tied, too_long; /* pairs */
    const struct ste_train_params *p;
};

static void pairs_clear(struct pairs *x)
{
    for (size_t i = 0; i < 2 * x->n; i++)
        free((void *)(uintptr_t)x->items[i].tokens);
    free(x->items);
}

static bool of_split(const json_t *row, const char *split)
{
    const char *s = json_string_value(json_object_get(row, "split"));
    return !split || (s && strcmp(s, split) == 0);
}

static int read_pairs(const struct options *o, const struct ste_model *m, struct pairs *x, struct ste_err *err)
{
    struct ste_answer_pairs rows;
    const size_t longest = (size_t)(o->f.max_tokens > 0 ? o->f.max_tokens : m->hp.n_ctx_train);
    int rc = ste_answer_pairs_read(&rows, o->in, NULL, STE_PAIRS_LABELLED, 0, err);
    if (rc)
        return rc;
    x->items = ste_xcalloc(2 * rows.n, sizeof *x->items);
    for (size_t i = 0; i < rows.n && !rc; i++) {
        const struct ste_answer_pair *p = &rows.items[i];
        struct ste_tokens ids[2] = {{0}, {0}};
        int n_prompt = 0;
        if (!of_split(p->row, o->split))
            continue;
        x->tied += p->tied;
        for (int k = 0; k < 2 && !rc && !p->tied; k++)
            rc = ste_reward_tokens(m, &p->prompt, k ? p->second : p->first, &ids[k], &n_prompt, err);
        const bool fits = ids[0].n <= longest && ids[1].n <= longest;
        if (rc || p->tied || !fits) {
            x->too_long += !rc && !fits;
            ste_tokens_clear(&ids[0]);
            ste_tokens_clear(&ids[1]);
            continue;
        }
        for (int k = 0; k < 2; k++)
            x->items[2 * x->n + (size_t)k] = (struct ste_example){ids[k].ids, (int)ids[k].n, n_prompt, 1};
        x->n++;
    }
    if (!rc && x->too_long)
        ste_warn("%zu pairs of %s have an answer that is longer, with its prompt, than %zu tokens: left out",
                 x->too_long, o->in, longest);
    if (!rc && x->tied)
        ste_warn("%zu pairs of %s are ties: left out", x->tied, o->in);
    if (!rc && !x->n)
        rc = ste_err_set(err, STE_EINPUT, "%s has no pair to train on%s%s", o->in, o->split ? " in the split " : "",
                         o->split ? o->split : "");
    ste_answer_pairs_clear(&rows);
    return rc;
}

static int batch_of(const void *arg, int step, struct ste_example *batch)
{
    const struct pairs *x = arg;
    int n, *index = ste_xcalloc((size_t)x->p->batch_examples, sizeof *index);
    ste_train_batch(x->p->seed, (int)x->n, 1, x->p->batch_examples, step, index, &n);
    for (int i = 0; i < n; i++) {
        batch[2 * i] = x->items[2 * index[i]];
        batch[2 * i + 1] = x->items[2 * index[i] + 1];
    }
    free(index);
    return 2 * n;
}

struct result {
    const char *base;
    const struct ste_model *m;
    struct ste_lora *lora;
};

static int write_model(const void *arg, const char *folder, struct ste_err *err)
{
    const struct result *r = arg;
    int rc = ste_lora_write_peft(r->lora, r->m, r->base, folder, err);
    if (!rc)
        printf("reward model %.12s in %s: PEFT folder with its head; ste eval --judge %s\n", r->lora->hash, folder,
               folder);
    return rc;
}

static int run_with(const struct options *o, const struct ste_model *m, struct ste_train_params *p, struct ste_err *err)
{
    struct pairs x = {.p = p};
    struct ste_trainer *t = NULL;
    int rc = read_pairs(o, m, &x, err);
    if (!rc) {
        p->objective = &ste_bradley_terry;
        p->total_steps = ste_training_total_steps(&o->f, p, x.n);
        rc = ste_trainer_new(&t, m, NULL, p, err);
    }
    if (!rc) {
        ste_info("%zu pairs, %d steps of %d, rank %d, alpha %g", x.n, p->total_steps, p->batch_examples, p->r,
                 p->alpha);
        struct ste_err unwritten = {0};
        rc = ste_training_run(&o->f, p, t, batch_of, &x, 2 * p->batch_examples, &unwritten, err);
        if (!rc)
            rc = ste_training_write(write_model, &(struct result){o->model, m, ste_trainer_lora(t)}, o->out, err);
        rc = ste_err_pass(err, &unwritten, rc);
    }
    ste_trainer_free(t);
    pairs_clear(&x);
    return rc;
}

static int train_rm(int argc, char **argv, struct ste_err *err)
{
    struct options o = {0};
    struct ste_train_params p = {0};
    struct ste_model *m = NULL;
    ste_training_defaults(&o.f);
    const struct ste_flag flags[] = {
        {"model", STE_FLAG_STRING, &o.model, "NAME",
         "catalogue name or .gguf file to train on; its weights stay as they are"},
        {"in", STE_FLAG_STRING, &o.in, "FILE.jsonl",
         "pairs, one a line: prompt or messages, chosen, rejected (`ste export RUN --what pairs` writes a run's)"},
        {"split", STE_FLAG_STRING, &o.split, "NAME", "only rows whose field split is NAME (a run's: train, heldout)"},
        {"out", STE_FLAG_STRING, &o.out, "DIR", "new folder for the adapter and its head, in PEFT's form"},
        STE_TRAINING_FLAGS(o.f, "pairs"),
        {NULL, 0, NULL, NULL, NULL},
    };
    int rc = ste_flags_parse(&ste_cmd_train_rm, flags, argc, argv, NULL, 0, err);
    if (rc)
        return rc > 0 ? 0 : rc;
    if (!o.model || !o.in || !o.out)
        return ste_err_set(err, STE_EUSAGE,
                           "train-rm takes --model NAME, --in PAIRS.jsonl and --out DIR; see `ste help train-rm`");
    if (ste_file_exists(o.out))
        return ste_err_set(err, STE_EUSAGE, "%s is already there; name a new folder for --out, or remove it", o.out);
    rc = ste_training_try(&o.f, o.out, err);
    if (!rc)
        rc = ste_training_open(&o.f, o.model, &p, &m, err);
    if (!rc)
        rc = run_with(&o, m, &p, err);
    ste_training_close(&p, m);
    return rc;
}

const struct ste_command ste_cmd_train_rm = {
    "train-rm",
    "train-rm --model NAME --in PAIRS.jsonl --out DIR [flags]",
    "Train a reward model on pairs: the classifier to beat.",
    train_rm,
};
