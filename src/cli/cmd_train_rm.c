/* ste train-rm: a reward model from labelled or synthetic pairs, the paper's classifier baseline. */
#include <string.h>

#include "cli/training.h"
#include "core/log.h"
#include "eval/reward.h"

static bool of_split(const json_t *row, const char *split)
{
    const char *s = json_string_value(json_object_get(row, "split"));
    return !split || (s && strcmp(s, split) == 0);
}

static int read_pairs(struct ste_training *g, const char *split, struct ste_err *err)
{
    struct ste_answer_pairs rows;
    const size_t longest = (size_t)(g->f.max_tokens > 0 ? g->f.max_tokens : g->m->hp.n_ctx_train);
    size_t tied = 0, too_long = 0;
    int rc = ste_answer_pairs_read(&rows, g->in, NULL, STE_PAIRS_LABELLED, 0, err);
    if (rc)
        return rc;
    for (size_t i = 0; i < rows.n && !rc; i++) {
        const struct ste_answer_pair *p = &rows.items[i];
        struct ste_tokens ids[2] = {{0}, {0}};
        int n_prompt = 0;
        if (!of_split(p->row, split))
            continue;
        tied += p->tied;
        for (int k = 0; k < 2 && !rc && !p->tied; k++)
            rc = ste_reward_tokens(g->m, &p->prompt, k ? p->second : p->first, &ids[k], &n_prompt, err);
        const bool fits = ids[0].n <= longest && ids[1].n <= longest;
        too_long += !rc && !fits;
        for (int k = 0; k < 2; k++) {
            if (!rc && !p->tied && fits)
                ste_examples_add(&g->x, &ids[k], n_prompt, 1);
            ste_tokens_clear(&ids[k]);
        }
    }
    if (!rc && too_long)
        ste_warn("%zu pairs of %s have an answer that is longer, with its prompt, than %zu tokens: left out", too_long,
                 g->in, longest);
    if (!rc && tied)
        ste_warn("%zu pairs of %s are ties: left out", tied, g->in);
    if (!rc && !g->x.n)
        rc = ste_err_set(err, STE_EINPUT, "%s has no pair to train on%s%s", g->in, split ? " in the split " : "",
                         split ? split : "");
    ste_answer_pairs_clear(&rows);
    return rc;
}

static int train(struct ste_training *g, const char *split, struct ste_err *err)
{
    if (!g->model || !g->in || !g->out)
        return ste_err_set(err, STE_EUSAGE,
                           "train-rm takes --model NAME, --in PAIRS.jsonl and --out DIR; see `ste help train-rm`");
    int rc = ste_training_try(g, err);
    if (!rc)
        rc = ste_training_open(g, err);
    g->p.objective = &ste_bradley_terry;
    if (!rc)
        rc = read_pairs(g, split, err);
    if (!rc)
        rc = ste_training_begin(g, NULL, err);
    return rc ? rc : ste_training_run(g, err);
}

static int train_rm(int argc, char **argv, struct ste_err *err)
{
    struct ste_training g = {0};
    const char *split = NULL;
    ste_training_defaults(&g);
    const struct ste_flag flags[] = {
        {"model", STE_FLAG_STRING, &g.model, "NAME",
         "catalogue name or .gguf file to train on; its weights stay as they are"},
        {"in", STE_FLAG_STRING, &g.in, "FILE.jsonl",
         "pairs, one a line: prompt or messages, chosen, rejected (`ste export RUN --what pairs` writes a run's)"},
        {"split", STE_FLAG_STRING, &split, "NAME", "only rows whose field split is NAME (a run's: train, heldout)"},
        {"out", STE_FLAG_STRING, &g.out, "DIR",
         "new folder for the adapter and its head, in PEFT's form; the same command goes on where it was stopped"},
        STE_TRAINING_FLAGS(g.f, "pairs"),
        {NULL, 0, NULL, NULL, NULL},
    };
    int rc = ste_flags_parse(&ste_cmd_train_rm, flags, argc, argv, NULL, 0, err);
    if (!rc)
        rc = train(&g, split, err);
    ste_training_close(&g);
    return rc > 0 ? 0 : rc;
}

const struct ste_command ste_cmd_train_rm = {
    "train-rm",
    "train-rm --model NAME --in PAIRS.jsonl --out DIR [flags]",
    "Train a reward model on pairs: the classifier to beat.",
    train_rm,
};
