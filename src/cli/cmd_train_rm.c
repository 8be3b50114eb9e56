/* ste train-rm: a reward model from labelled or synthetic pairs, the paper's classifier baseline. */
#include <string.h>

#include "cli/training.h"
#include "core/log.h"
#include "data/pairs.h"
#include "judge/reward.h"

struct options {
    struct ste_training_flags f;
    char *split;
};
/* clang-format off */
#define OPTIONS_OF struct options
static const struct ste_option options[] = {
    STE_TRAINING_MODEL,
    STE_STRING("in", f.in, NULL, "FILE.jsonl",
               "pairs, one a line: prompt or messages, chosen, rejected (`ste export RUN --what pairs` writes a run's)"),
    STE_STRING("split", split, NULL, "NAME", "only rows whose field split is NAME (a run's: train, dev, test)"),
    STE_STRING("out", f.out, NULL, "DIR",
               "new folder for the adapter and its head, in PEFT's form; the same command goes on where it was stopped"),
    STE_TABLE("", f, ste_training_options),
    {0},
};
/* clang-format on */

static bool of_split(const json_t *row, const char *split)
{
    const char *s = json_string_value(json_object_get(row, "split"));
    return !split || (s && strcmp(s, split) == 0);
}

static int read_pairs(struct ste_training *g, const char *split, struct ste_err *err)
{
    struct ste_answer_pairs rows;
    const size_t longest = ste_training_max_tokens(g);
    size_t tied = 0, too_long = 0;
    int rc = ste_answer_pairs_read(&rows, g->f->in, NULL, STE_PAIRS_LABELLED, 0, err);
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
                 g->f->in, longest);
    if (!rc && tied)
        ste_warn("%zu pairs of %s are ties: left out", tied, g->f->in);
    if (!rc && !g->x.n)
        rc = ste_err_set(err, STE_EINPUT, "%s has no pair to train on%s%s", g->f->in, split ? " in the split " : "",
                         split ? split : "");
    ste_answer_pairs_clear(&rows);
    return rc;
}

static int train_rm(void *options_, const struct ste_strings *words, struct ste_err *err)
{
    const struct options *o = options_;
    struct ste_training g = {.f = &o->f};
    if (!o->f.model || !o->f.in || !o->f.out)
        return ste_err_set(err, STE_EUSAGE,
                           "train-rm takes --model NAME, --in PAIRS.jsonl and --out DIR; see `ste help train-rm`");
    int rc = ste_training_try(&g, err);
    if (!rc)
        rc = ste_training_open(&g, err);
    g.p.objective = &ste_bradley_terry;
    if (!rc)
        rc = read_pairs(&g, o->split, err);
    if (!rc)
        rc = ste_training_begin(&g, err);
    if (!rc)
        rc = ste_training_run(&g, err);
    ste_training_close(&g);
    return rc;
}

STE_COMMAND(train_rm, "train-rm", "--model NAME --in PAIRS.jsonl --out DIR [flags]",
            "Train a reward model on pairs: the classifier to beat.", options, 0, NULL, train_rm);
