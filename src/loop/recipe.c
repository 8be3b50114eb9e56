#include "loop/recipe.h"

#include <stdlib.h>
#include <string.h>

#include "core/context.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/yaml.h"
#include "data/embedded.h"
#include "llm/endpoint.h"
#include "loop/kinds/kind.h"
#include "model/chat.h"

/* clang-format off */
#define OPTIONS_OF struct ste_recipe
const struct ste_option ste_recipe_options[] = {
    STE_STEP(STE_STEP_SELECT),
    STE_STRING("models.seed", seed_model, "qwen2.5-coder-0.5b-instruct", NULL,
           "the model that is trained: a catalogue name, a .gguf path or a folder; every other role is this one unless named (a server's "
           "too: URL#MODEL, docs/cluster.md)"),
    STE_STRING("models.label", label_model, "", NULL, "labels the instructions"),
    STE_STEP(STE_STEP_PAIR),
    STE_STRING("models.answer", answer_model, "", NULL, "writes the answers"),
    STE_STRING("models.modify", modify_model, "", NULL, "writes the modified instructions"),
    STE_STRING("models.weaker", weaker_model, "", NULL, "writes the rejected answers of the kind `weaker`"),
    STE_STEP(STE_STEP_EVALUATE),
    STE_STRING("models.judge", judge_model, "", NULL,
           "judges in the first iteration; later ones are judged by what the iteration before trained, there if it is a "
           "server that takes adapters (docs/cluster.md)"),
    STE_STEP(STE_STEP_SELECT),
    STE_STRING("prompts.pack", pack, "small", NULL, "prompt pack: paper, small, direct, brief, or a path to a YAML file"),
    STE_STRING("prompts.folder", pack_folder, "", NULL, "a folder whose packs go before the built-in ones"),
    STE_STEP(STE_STEP_EVALUATE),
    STE_CHOICE("verdict.mode", verdict_mode, "pack", ste_mode_names,
           "how a verdict is read: free reads the marker in the text, closed draws it from the two labels"),
    STE_STEP(STE_STEP_SELECT),
    STE_LIST("instructions.files", files, "builtin", NULL, "JSONL or text files of instructions; builtin: those of ste"),
    STE_INT("instructions.limit", read_limit, "0", 0, STE_LARGE, "read the first N of each file; 0: all"),
    STE_CHOICE("select.labels", labels, "file", STE_NAMES("none", "file", "llm"),
           "category, complexity and expected length: none, the fields of the file, or asked of the model"),
    STE_LIST("select.categories", categories, "", NULL, "keep these categories; empty: all"),
    STE_LIST("select.lengths", lengths, "", NULL, "keep these expected lengths; empty: all"),
    STE_INT("select.complexity_min", complexity_min, "1", 1, 10, "keep instructions of at least this complexity"),
    STE_INT("select.complexity_max", complexity_max, "10", 1, 10, "keep instructions of at most this complexity"),
    STE_INT("select.min_chars", min_chars, "8", 1, STE_LARGE, "drop shorter instructions"),
    STE_INT("select.max_chars", max_chars, "6000", 1, STE_LARGE, "drop longer instructions"),
    STE_INT("select.per_category", per_category, "0", 0, STE_LARGE, "keep at most N a category; 0: all"),
    STE_INT("select.limit", select_limit, "0", 0, STE_LARGE, "keep at most N in all; 0: all"),
    STE_REAL("select.duplicate", duplicate, "0.8", 0, 1,
         "drop an instruction this similar (Jaccard of shingles) to an earlier one; 0: exact copies only"),
    STE_REAL("select.contamination", contamination, "0.7", 0, 1,
         "drop an instruction this similar to a prompt of eval.files; 0: exact copies only"),
    STE_REAL("split.dev", dev, "0.1", 0, 0.9, "share of the instructions that choose checkpoints"),
    STE_REAL("split.test", test, "0.2", 0, 0.9, "share of the instructions that only report"),
    STE_INT("split.dev_pairs", dev_pairs, "60", 0, STE_LARGE,
        "dev has at least this many instructions, up to a fifth of all, whatever split.dev says; without split.dev none"),
    STE_REAL("split.cluster", cluster, "0.5", 0.05, 1,
         "instructions this similar go into one cluster; clusters are never cut by the split"),
    STE_SHARES("pair.kinds", kinds, "modify=1",
           "kinds of pairs with their shares: modify, worse, other, weaker, sampled, corrupt, verified, refuse, comply, "
           "labelled (docs/loop.md)"),
    STE_LIST("pair.labelled", labelled, "", NULL,
           "JSONL files of labelled pairs (prompt or messages, chosen, rejected): the kind `labelled`"),
    STE_STEP(STE_STEP_PAIR),
    STE_CHOICE("pair.modify", modify, "two_calls", STE_NAMES("two_calls", "one_call"),
           "the modified instruction and the answer to it in two calls or in one"),
    STE_STRING("pair.system", pair_system, "", NULL, "system message for the answers, where the instruction has none"),
    STE_REAL("pair.temperature", pair_temperature, "0.7", 0, 5, "of answers and modified instructions"),
    STE_REAL("pair.top_p", pair_top_p, "0.9", 0.01, 1, "of answers and modified instructions"),
    STE_INT("pair.max_tokens", pair_max_tokens, "512", 1, STE_LARGE,
        "longest answer; twice that where the instruction is labelled with an expected length of several paragraphs"),
    STE_CHOICE("pair.cut", cut, "trim", STE_NAMES("trim", "drop"),
           "an answer that reaches the limit, chosen or rejected: brought back to its last whole sentence if half of it "
           "remains, or dropped"),
    STE_INT("pair.tries", tries, "4", 1, 100,
        "times that a text is asked for, each time as another sample, until it is of use; the second half of the tries "
        "for a modified instruction ask in another way"),
    STE_REAL("pair.near", near, "0.8", 0.05, 1,
         "a modified instruction this similar to the original (Jaccard of shingles) is the same"),
    STE_REAL("pair.other_nearest", other_nearest, "0.6", 0, 1,
         "of the kind `other`: the share whose rejected answer is that to the nearest instruction by text; the rest take "
         "any: higher is harder"),
    STE_REAL("pair.weaker_temperature", weaker_temperature, "-1", -1, 5,
         "of the rejected answers of the kind `weaker`; -1: as the other answers where models.weaker is another model, "
         "else 1.3"),
    STE_STEP(STE_STEP_SELECT),
    STE_LIST("pair.harmful", harmful, "Harmful", NULL, "categories whose requests ought to be declined: the kind `refuse`"),
    STE_LIST("pair.harmless", harmless, "Looks harmful", NULL,
         "categories of harmless requests that look harmful and ought to be answered: the kind `comply`"),
    STE_CHOICE("pair.sandbox", sandbox, "off", STE_NAMES("off", "bwrap"),
           "where the kind `verified` runs the code of answers against known tests: nowhere, or in bubblewrap's sandbox"),
    STE_REAL("pair.weaker_trim", weaker_trim, "0", 0, 1,
         "of the kind `weaker`: the share of pairs whose rejected answer, where it is the longer one, goes back to whole "
         "sentences that are no longer than the chosen answer (a weak model may be wordy)"),
    STE_STEP(STE_STEP_CHECK),
    STE_CHOICE("check.by", check, "likelihood", STE_NAMES("none", "likelihood"),
           "hold every constructed label against how likely the seed finds the answers behind the instructions"),
    STE_REAL("check.margin", check_margin, "4", -1000, 1000,
         "drop a pair whose evidence for its label is below this: nats that the instruction adds, by the fourth root of "
         "the answer's tokens (docs/learning.md); of the kind `sampled`: one whose answers differ by less"),
    STE_CHOICE("check.disputed", disputed, "drop", STE_NAMES("drop", "other"),
           "what becomes of a disputed pair: it is dropped, or its chosen answer is held against the answer to another "
           "instruction, as a pair of the kind `other`"),
    STE_REAL("check.longer", longer, "0", 0, 0.99,
         "cut each kind so that the chosen answer is the longer one in about this share of pairs; 0: leave it (docs/loop.md)"),
    STE_STEP(STE_STEP_JUDGE),
    STE_INT("judge.samples", samples, "15", 1, 1000, "judgments a pair (and order) at most"),
    STE_STEP(STE_STEP_EVALUATE),
    STE_TABLE("judge", judge, ste_judge_sampling_options),
    STE_STEP(STE_STEP_JUDGE),
    STE_CHOICE("judge.orders", orders, "random", STE_NAMES("random", "both"), "each pair once with the winner's place drawn, or in both"),
    STE_BOOL("judge.stop_early", stop_early, "true",
         "cancel the samples above the first right one: exact, see docs/loop.md"),
    STE_SPEED_INT("judge.speculate", speculate, "2", 1, 1000, "samples of a pair asked at first, doubled each time"),
    STE_CHOICE("filter.rule", rule, "paper", STE_NAMES("paper", "share", "margin"),
           "which pairs are trained on: paper: those with a right judgment; share: those whose share of right judgments "
           "reaches filter.min_share; margin: by the judge's probability for the right answer, both orders together "
           "(filter.min_probability), whatever label it drew"),
    STE_REAL("filter.min_share", min_share, "0.5", 0, 1, "of the rule share"),
    STE_STEP(STE_STEP_FILTER),
    STE_REAL("filter.min_probability", min_probability, "0.2", 0, 1,
         "of the rule margin: below it the judge disputes the label, and the pair is dropped"),
    STE_INT("filter.trust_from", trust_from, "2", 1, STE_LARGE,
        "the first iteration whose judge may dispute labels by the rule margin; 1: the untrained one too"),
    STE_BOOL("filter.weigh", weigh, "false", "weigh an example by that probability"),
    STE_STEP(STE_STEP_JUDGE),
    STE_LIST("filter.kinds", filter_kinds, "", NULL,
         "shares of the kinds in each iteration, as in \"other=1 modify=1\",\"modify=1\"; the last goes for later ones; "
         "empty: all pairs in all iterations"),
    STE_STEP(STE_STEP_FILTER),
    STE_BOOL("filter.both_orders", both_orders, "false", "keep only pairs judged right in both orders (orders: both)"),
    STE_CHOICE("filter.per_pair", per_pair, "one", STE_NAMES("one", "order"), "one right judgment a pair, or one for each order"),
    STE_BOOL("filter.balance", balance, "true", "cut the labels A and B to the smaller class"),
    STE_REAL("filter.verdict_only", verdict_only, "0", 0, 1,
         "share of the pairs whose target is the verdict alone, behind the closing words, though the judge reasoned"),
    STE_STEP(STE_STEP_JUDGE),
    STE_CHOICE("train.objective", objective, "sft", STE_NAMES("sft", "dpo", "reward"),
           "sft: one right judgment of a pair is learnt; dpo: a right one is preferred to a wrong one of the same order, "
           "and behind reasoning all judge.samples are drawn for that; reward: nothing is judged; a score for each answer is "
           "learnt (a reward model), higher for the better one of a pair; for one iteration"),
    STE_STEP(STE_STEP_TRAIN),
    STE_STRING("train.adapter", adapter, "", NULL,
           "each training starts from this adapter, RUN:N or a folder (its rank and alpha hold); empty: from the seed"),
    STE_TABLE("train", dpo, ste_dpo_options),
    STE_TABLE("train", train, ste_train_options),
    STE_INT("train.max_steps", max_steps, "0", 0, STE_LARGE, "stop after N steps; 0: the epochs decide"),
    STE_STEP(STE_STEP_FILTER),
    STE_CHOICE("train.order", order, "shuffle", STE_NAMES("shuffle", "easy_first"),
           "of the examples in the first epoch: shuffled, or the clearest first by the check's margin and harder ones "
           "among them as it goes on; later epochs are shuffled"),
    STE_STEP(STE_STEP_TRAIN),
    STE_INT("train.checkpoint_every", checkpoint_every, "0", 0, STE_LARGE,
        "steps between checkpoints that dev pairs choose among; 0: a quarter of the run"),
    STE_LIST("train.command", trainer, "", NULL,
             "a program that trains in ste's place, and its arguments, as trainers/README.md says; empty: ste trains"),
    STE_STRING("train.base", base, "", NULL, "of train.command: a Hugging Face folder of models.seed, where it needs one"),
    STE_SPEED_INT("train.grace", grace, "120", 0, STE_LARGE,
                  "of train.command: seconds that it has to keep a checkpoint when ste is stopped"),
    STE_STEP(STE_STEP_AGAIN),
    STE_INT("iterations", iterations, "2", 1, 1000, "times around the loop; a run may be continued with more"),
    STE_STEP(STE_STEP_TRAIN),
    STE_REAL("stop.drift", stop_drift, "1", 0.5, 1,
         "stop when the share of first-position (or of second-position) verdicts exceeds this; 1: never"),
    STE_REAL("stop.min_gain", stop_min_gain, "-1", -1, 1,
         "stop when the log-loss on dev pairs falls by less than this from the iteration before; -1: never"),
    STE_REAL("stop.same", stop_same, "1", 0.5, 1,
         "stop before training when more than this share of the examples are those of the iteration before; 1: only when "
         "all are"),
    STE_STEP(STE_STEP_SELECT),
    STE_LIST("eval.files", eval_files, "", NULL, "labelled pairs: training keeps clear of them, and every iteration is scored"),
    STE_STEP(STE_STEP_EVALUATE),
    STE_INT("eval.limit", eval_limit, "0", 0, STE_LARGE, "score the first N rows of each file; 0: all"),
    STE_REAL("eval.temperature", eval_temperature, "0", 0, 5, "of the reasoning in evaluations"),
    STE_STEP(STE_STEP_SELECT),
    STE_INT("seed", seed, "1", 0, 9e15, "every random number comes from it"),
    STE_TABLE("engine", engine, ste_llm_options),
    STE_SPEED_STRING("engine.cache", cache, "", NULL, "a database that remembers answers over runs; empty: none"),
    {0},
};
/* clang-format on */

void ste_recipe_init(struct ste_recipe *r)
{
    memset(r, 0, sizeof *r);
    ste_options_init(ste_recipe_options, r);
}

void ste_recipe_clear(struct ste_recipe *r)
{
    ste_options_clear(ste_recipe_options, r);
}

int ste_recipe_common(const struct ste_recipe *a, const struct ste_recipe *b)
{
    struct ste_recipe as_long = *b; /* a shallow copy: its strings stay B's */
    as_long.iterations = a->iterations;
    const int first = ste_options_first_step(ste_recipe_options, a, &as_long);
    if (first < STE_STEP_AGAIN || a->iterations == b->iterations)
        return first;
    return STE_STEP_TRAIN + (int)(a->iterations < b->iterations ? a->iterations : b->iterations);
}

void ste_recipe_before(struct ste_recipe *out, const struct ste_recipe *r, int step)
{
    ste_recipe_init(out);
    ste_options_take(ste_recipe_options, out, r, step);
    out->iterations = step > STE_STEP_TRAIN ? step - STE_STEP_TRAIN : 1;
}

int ste_recipe_load(struct ste_recipe *r, const char *name, struct ste_err *err)
{
    ste_recipe_init(r);
    char *what = NULL;
    struct ste_err why = {0};
    json_t *yaml = ste_named_yaml(name, NULL, "recipes", "recipe", &what, &why);
    ste_xfree(what);
    if (!yaml)
        return ste_err_set(err, why.code, "%s", why.msg);
    int rc = json_object_get(yaml, "recipe")
                 ? ste_err_set(err, STE_EUSAGE, "%s is a sweep of several runs: `ste sweep %s` does them", name, name)
                 : ste_options_load(ste_recipe_options, r, yaml, name, err);
    json_decref(yaml);
    return rc;
}

static int check_kinds(const struct ste_recipe *r, struct ste_err *err)
{
    int rc = ste_pair_kinds_check(&r->kinds, "pair.kinds", err);
    for (size_t i = 0; rc == 0 && i < r->filter_kinds.n; i++) {
        struct ste_strings shares;
        if ((rc = ste_pair_kinds_parse(r->filter_kinds.items[i], &shares, err)) == 0)
            ste_strings_clear(&shares);
    }
    if (rc == 0 && ste_recipe_labelled_share(r) > 0 && r->labelled.n == 0)
        rc = ste_err_set(err, STE_EUSAGE,
                         "pair.kinds: labelled takes its pairs from pair.labelled, which is empty: name JSONL files with "
                         "prompt, chosen and rejected in each line there");
    return rc;
}

int ste_recipe_check(const struct ste_recipe *r, struct ste_err *err)
{
    int rc = check_kinds(r, err);
    if (rc != 0)
        return rc;
    if (ste_endpoint_is(r->seed_model))
        return ste_err_set(
            err, STE_EUSAGE,
            "models.seed: %s is on a server, and the seed is trained here: name a model of this machine, "
            "and the server as models.answer, models.modify, models.weaker or models.judge",
            r->seed_model);
    if (r->dev + r->test >= 0.95)
        return ste_err_set(err, STE_EUSAGE,
                           "split.dev %g and split.test %g leave too little to train on: their sum must be below 0.95",
                           r->dev, r->test);
    if (r->both_orders && r->orders != STE_ORDERS_BOTH)
        return ste_err_set(err, STE_EUSAGE, "filter.both_orders needs judge.orders: both");
    if (r->per_pair == STE_PER_PAIR_ORDER && r->orders != STE_ORDERS_BOTH)
        return ste_err_set(err, STE_EUSAGE, "filter.per_pair: order needs judge.orders: both");
    if (r->rule == STE_RULE_MARGIN && r->orders != STE_ORDERS_BOTH)
        return ste_err_set(err, STE_EUSAGE, "filter.rule: margin needs judge.orders: both");
    if (ste_share(&r->kinds, "sampled") > 0 && r->check != STE_CHECK_LIKELIHOOD)
        return ste_err_set(err, STE_EUSAGE, "pair.kinds: sampled takes its labels from the check: it needs check.by: "
                                            "likelihood");
    if (r->complexity_min > r->complexity_max)
        return ste_err_set(err, STE_EUSAGE, "select.complexity_min %lld is above select.complexity_max %lld",
                           r->complexity_min, r->complexity_max);
    if (r->files.n == 0 && ste_recipe_labelled_share(r) < 1)
        return ste_err_set(err, STE_EUSAGE, "instructions.files is empty: name a file, or builtin");
    if (r->train.epochs <= 0 && r->max_steps <= 0)
        return ste_err_set(err, STE_EUSAGE, "train.epochs and train.max_steps are both 0: nothing would be trained");
    if (r->objective == STE_TRAIN_REWARD && r->iterations > 1)
        return ste_err_set(err, STE_EUSAGE, "train.objective: reward makes a judge that writes no judgments, so there is "
                                            "nothing to filter in a second iteration: set iterations: 1");
    if (r->objective == STE_TRAIN_REWARD && r->trainer.n)
        return ste_err_set(err, STE_EUSAGE, "train.command: the trainers' contract has no reward models; with "
                                            "train.objective: reward ste trains (or `ste export --what pairs` gives the "
                                            "pairs to another program)");
    if (r->stop_min_gain > -1 && r->dev <= 0)
        return ste_err_set(err, STE_EUSAGE, "stop.min_gain needs dev pairs: set split.dev above 0");
    return 0;
}

bool ste_recipe_prefers(const struct ste_recipe *r)
{
    return r->objective != STE_TRAIN_SFT;
}

double ste_recipe_labelled_share(const struct ste_recipe *r)
{
    double all = 0;
    for (size_t i = 0; ste_pair_kinds[i]; i++)
        all += ste_share(&r->kinds, ste_pair_kinds[i]->name);
    return ste_share(&r->kinds, ste_kind_labelled.name) / all;
}

char *ste_recipe_run_folder(const char *name)
{
    char *stem = ste_yaml_stem(name), *folder = ste_xasprintf("runs/%s", stem);
    ste_xfree(stem);
    return folder;
}

void ste_recipe_write(const struct ste_recipe *r, struct ste_buf *out)
{
    json_t *all = ste_options_dump(ste_recipe_options, r, false);
    ste_yaml_write(all, out);
    json_decref(all);
}

char *ste_recipe_json(const struct ste_recipe *r, bool result_only)
{
    json_t *all = ste_options_dump(ste_recipe_options, r, result_only);
    char *text = ste_json_canonical(all);
    json_decref(all);
    return text;
}

int ste_recipe_from_json(struct ste_recipe *r, const char *json, struct ste_err *err)
{
    ste_recipe_init(r);
    json_t *all = ste_json_parse(json, strlen(json), "the run's recipe", err);
    if (!all)
        return STE_EINPUT;
    int rc = ste_options_load(ste_recipe_options, r, all, "the run's recipe", err);
    json_decref(all);
    if (rc != 0)
        ste_err_wrap(err, "the run was begun by another ste, whose recipes have other options: go on with that one, or "
                          "give another folder with --run");
    return rc;
}

static void settle(enum ste_activations *act, const enum ste_activations *old, bool training)
{
    if (*act == STE_ACT_AUTO)
        *act = ste_activations_settle(old ? *old : *act, training);
}

static void settle_text(char **text, const char *old, const char *fresh)
{
    if (**text)
        return;
    ste_xfree(*text);
    *text = ste_xstrdup(old ? old : fresh ? fresh : "");
}

void ste_recipe_settle(struct ste_recipe *r, const struct ste_recipe *old)
{
    const char *date = ste_setting("STE_CHAT_DATE");
    settle_text(&r->engine.chat_template, old ? old->engine.chat_template : NULL, ste_setting("STE_CHAT_TEMPLATE"));
    settle_text(&r->engine.chat_date, old ? old->engine.chat_date : NULL, date ? date : STE_CHAT_DATE);
    settle(&r->engine.activations, old ? &old->engine.activations : NULL, false);
    settle(&r->train.activations, old ? &old->train.activations : NULL, true);
    if (r->train.gradients == STE_GRAD_AUTO)
        r->train.gradients = old ? old->train.gradients : ste_gradients_settle(STE_GRAD_AUTO, r->train.activations);
}

int ste_recipe_may_continue(const struct ste_recipe *old, const struct ste_recipe *r, const char *dir,
                            struct ste_err *err)
{
    struct ste_recipe same = *r; /* a shallow copy: its strings stay R's */
    if (r->iterations > old->iterations)
        same.iterations = old->iterations;
    struct ste_buf lines = STE_BUF_INIT;
    int n = ste_options_diff(ste_recipe_options, old, &same, &lines);
    int rc = 0;
    if (n > 0)
        rc = ste_err_set(err, STE_EUSAGE,
                         "the run in %s was made with another recipe:\n%s%d option%s would change its result; give "
                         "another folder with --run, or the old value%s (more iterations, threads and batch may change)",
                         dir, lines.s, n, n == 1 ? "" : "s", n == 1 ? "" : "s");
    ste_buf_clear(&lines);
    return rc;
}
