#include "loop/recipe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/yaml.h"
#include "data/embedded.h"
#include "engine/arithmetic.h"
#include "loop/kinds/kind.h"

#define AT(field) offsetof(struct ste_recipe, field)
#define STRING(key, field, initial, help) {key, STE_OPT_STRING, AT(field), initial, 0, 0, NULL, false, help}
#define LIST(key, field, initial, help) {key, STE_OPT_LIST, AT(field), initial, 0, 0, NULL, false, help}
#define INT(key, field, initial, min, max, help) {key, STE_OPT_INT, AT(field), initial, min, max, NULL, false, help}
#define REAL(key, field, initial, min, max, help) {key, STE_OPT_REAL, AT(field), initial, min, max, NULL, false, help}
#define SHARES(key, field, initial, help) {key, STE_OPT_SHARES, AT(field), initial, 0, 0, NULL, false, help}
#define BOOL(key, field, initial, help) {key, STE_OPT_BOOL, AT(field), initial, 0, 0, NULL, false, help}
#define CHOICE(key, field, initial, choices, help)                                                                     \
    {key, STE_OPT_CHOICE, AT(field), initial, 0, 0, choices, false, help}
#define SPEED_INT(key, field, initial, min, max, help)                                                                 \
    {key, STE_OPT_INT, AT(field), initial, min, max, NULL, true, help}
#define SPEED_STRING(key, field, initial, help)                                                                        \
    {                                                                                                                  \
        key, STE_OPT_STRING, AT(field), initial, 0, 0, NULL, true, help                                                \
    }
#define LARGE 1e9

const struct ste_option ste_recipe_options[] = {
    STRING("models.seed", seed_model, "qwen2.5-coder-0.5b-instruct",
           "the model that is trained: a catalogue name or a .gguf path; every other role is this one unless named"),
    STRING("models.label", label_model, "", "labels the instructions"),
    STRING("models.answer", answer_model, "", "writes the answers"),
    STRING("models.modify", modify_model, "", "writes the modified instructions"),
    STRING("models.weaker", weaker_model, "", "writes the rejected answers of the kind `weaker`"),
    STRING("models.judge", judge_model, "",
           "judges in the first iteration; later ones are judged by what the iteration before trained"),
    STRING("prompts.pack", pack, "small", "prompt pack: paper, small, direct, brief, or a path to a YAML file"),
    STRING("prompts.folder", pack_folder, "", "a folder whose packs go before the built-in ones"),
    CHOICE("verdict.mode", verdict_mode, "pack", "pack|free|closed",
           "how a verdict is read: free reads the marker in the text, closed draws it from the two labels"),
    LIST("instructions.files", files, "builtin", "JSONL or text files of instructions; builtin: those of ste"),
    INT("instructions.limit", read_limit, "0", 0, LARGE, "read the first N of each file; 0: all"),
    CHOICE("select.labels", labels, "file", "none|file|llm",
           "category, complexity and expected length: none, the fields of the file, or asked of the model"),
    LIST("select.categories", categories, "", "keep these categories; empty: all"),
    LIST("select.lengths", lengths, "", "keep these expected lengths; empty: all"),
    INT("select.complexity_min", complexity_min, "1", 1, 10, "keep instructions of at least this complexity"),
    INT("select.complexity_max", complexity_max, "10", 1, 10, "keep instructions of at most this complexity"),
    INT("select.min_chars", min_chars, "8", 1, LARGE, "drop shorter instructions"),
    INT("select.max_chars", max_chars, "6000", 1, LARGE, "drop longer instructions"),
    INT("select.per_category", per_category, "0", 0, LARGE, "keep at most N a category; 0: all"),
    INT("select.limit", select_limit, "0", 0, LARGE, "keep at most N in all; 0: all"),
    REAL("select.duplicate", duplicate, "0.8", 0, 1,
         "drop an instruction this similar (Jaccard of shingles) to an earlier one; 0: exact copies only"),
    REAL("select.contamination", contamination, "0.7", 0, 1,
         "drop an instruction this similar to a prompt of eval.files; 0: exact copies only"),
    REAL("split.dev", dev, "0.1", 0, 0.9, "share of the instructions that choose checkpoints"),
    REAL("split.test", test, "0.2", 0, 0.9, "share of the instructions that only report"),
    INT("split.dev_pairs", dev_pairs, "60", 0, LARGE,
        "dev has at least this many instructions, up to a fifth of all, whatever split.dev says; without split.dev none"),
    REAL("split.cluster", cluster, "0.5", 0.05, 1,
         "instructions this similar go into one cluster; clusters are never cut by the split"),
    SHARES("pair.kinds", kinds, "modify=1",
           "kinds of pairs with their shares: modify, worse, other, weaker, sampled, refuse, comply; or labelled alone: "
           "both answers are those of instructions.files (prompt, chosen, rejected), and none is made (docs/loop.md)"),
    CHOICE("pair.modify", modify, "two_calls", "two_calls|one_call",
           "the modified instruction and the answer to it in two calls or in one"),
    STRING("pair.system", pair_system, "", "system message for the answers, where the instruction has none"),
    REAL("pair.temperature", pair_temperature, "0.7", 0, 5, "of answers and modified instructions"),
    REAL("pair.top_p", pair_top_p, "0.9", 0.01, 1, "of answers and modified instructions"),
    INT("pair.max_tokens", pair_max_tokens, "512", 1, LARGE,
        "longest answer; twice that where the instruction is labelled with an expected length of several paragraphs"),
    CHOICE("pair.cut", cut, "trim", "trim|drop",
           "an answer that reaches the limit, chosen or rejected: brought back to its last whole sentence if half of it "
           "remains, or dropped"),
    INT("pair.tries", tries, "4", 1, 100,
        "times that a text is asked for, each time as another sample, until it is of use; the second half of the tries "
        "for a modified instruction ask in another way"),
    REAL("pair.near", near, "0.8", 0.05, 1,
         "a modified instruction this similar to the original (Jaccard of shingles) is the same"),
    REAL("pair.other_nearest", other_nearest, "0.6", 0, 1,
         "of the kind `other`: the share whose rejected answer is that to the nearest instruction by text; the rest take "
         "any: higher is harder"),
    REAL("pair.weaker_temperature", weaker_temperature, "-1", -1, 5,
         "of the rejected answers of the kind `weaker`; -1: as the other answers where models.weaker is another model, "
         "else 1.3"),
    LIST("pair.harmful", harmful, "Harmful", "categories whose requests ought to be declined: the kind `refuse`"),
    LIST("pair.harmless", harmless, "Looks harmful",
         "categories of harmless requests that look harmful and ought to be answered: the kind `comply`"),
    CHOICE("check.by", check, "likelihood", "none|likelihood",
           "hold every constructed label against how likely the seed finds the answers behind the instructions"),
    REAL("check.margin", check_margin, "4", -1000, 1000,
         "drop a pair whose evidence for its label is below this: nats that the instruction adds, by the fourth root of "
         "the answer's tokens (docs/learning.md); of the kind `sampled`: one whose answers differ by less"),
    BOOL("check.match_length", match_length, "false",
         "cut each kind so that the chosen answer is the longer one as often as the shorter"),
    INT("judge.samples", samples, "15", 1, 1000, "judgments a pair (and order) at most"),
    REAL("judge.temperature", judge_temperature, "0.7", 0, 5, "of judgments in the loop"),
    REAL("judge.top_p", judge_top_p, "0.9", 0.01, 1, "of the reasoning; the label is drawn without it"),
    INT("judge.max_tokens", judge_max_tokens, "0", 0, LARGE, "longest reasoning; 0: the pack's"),
    CHOICE("judge.orders", orders, "random", "random|both", "each pair once with the winner's place drawn, or in both"),
    BOOL("judge.stop_early", stop_early, "true",
         "cancel the samples above the first right one: exact, see docs/loop.md"),
    SPEED_INT("judge.speculate", speculate, "2", 1, 1000, "samples of a pair asked at first, doubled each time"),
    CHOICE("filter.rule", rule, "paper", "paper|share|margin",
           "which pairs are trained on: paper: those with a right judgment; share: those whose share of right judgments "
           "reaches filter.min_share; margin: by the judge's probability for the right answer, both orders together "
           "(filter.min_probability), whatever label it drew"),
    REAL("filter.min_share", min_share, "0.5", 0, 1, "of the rule share"),
    REAL("filter.min_probability", min_probability, "0.2", 0, 1,
         "of the rule margin: below it the judge disputes the label, and the pair is dropped"),
    INT("filter.trust_from", trust_from, "2", 1, LARGE,
        "the first iteration whose judge may dispute labels by the rule margin; 1: the untrained one too"),
    BOOL("filter.weigh", weigh, "false", "weigh an example by that probability"),
    LIST("filter.kinds", filter_kinds, "",
         "shares of the kinds in each iteration, as in \"other=1 modify=1\",\"modify=1\"; the last goes for later ones; "
         "empty: all pairs in all iterations"),
    BOOL("filter.both_orders", both_orders, "false", "keep only pairs judged right in both orders (orders: both)"),
    CHOICE("filter.per_pair", per_pair, "one", "one|order", "one right judgment a pair, or one for each order"),
    BOOL("filter.balance", balance, "true", "cut the labels A and B to the smaller class"),
    INT("train.r", rank, "16", 1, 1024, "rank of the adapter"),
    REAL("train.alpha", alpha, "32", 0.001, 100000, "scale of the adapter: alpha / r"),
    REAL("train.lr", learning_rate, "0.0001", 0, 1, "peak learning rate of AdamW"),
    CHOICE("train.schedule", schedule, "cosine", "constant|linear|cosine", "of the learning rate, after the warm-up"),
    INT("train.warmup", warmup, "5", 0, LARGE, "steps of warm-up"),
    REAL("train.epochs", epochs, "1", 0, 1000, "times through the examples"),
    INT("train.max_steps", max_steps, "0", 0, LARGE, "stop after N steps; 0: the epochs decide"),
    INT("train.batch", batch_examples, "8", 1, 100000, "examples a step"),
    SPEED_INT("train.micro_tokens", micro_tokens, "512", 16, LARGE, "tokens packed into one forward pass"),
    CHOICE(
        "train.activations", train_activations, "auto", "auto|f32|int8|int8-g128|bf16|bf16x3",
        "how products round when training: auto is bf16x3 (about exact) where the machine that begins the run has AMX "
        "tiles, else f32; int8 and int8-g128 round in the forward pass only"),
    REAL("train.weight_decay", weight_decay, "0", 0, 10, "decoupled weight decay"),
    REAL("train.max_grad_norm", max_grad_norm, "1", 0, LARGE, "clip the gradient to this norm; 0: off"),
    CHOICE("train.order", order, "shuffle", "shuffle|easy_first",
           "of the examples in the first epoch: shuffled, or the clearest first by the check's margin and harder ones "
           "among them as it goes on; later epochs are shuffled"),
    INT("train.checkpoint_every", checkpoint_every, "0", 0, LARGE,
        "steps between checkpoints that dev pairs choose among; 0: a quarter of the run"),
    SPEED_INT("train.memory_mb", train_memory_mb, "2048", 0, LARGE,
              "activations of a pass that need more are computed again in the backward pass"),
    INT("iterations", iterations, "2", 1, 1000, "times around the loop; a run may be continued with more"),
    REAL("stop.drift", stop_drift, "1", 0.5, 1,
         "stop when the share of first-position (or of second-position) verdicts exceeds this; 1: never"),
    REAL("stop.min_gain", stop_min_gain, "-1", -1, 1,
         "stop when the log-loss on dev pairs falls by less than this from the iteration before; -1: never"),
    REAL("stop.same", stop_same, "1", 0.5, 1,
         "stop before training when more than this share of the examples are those of the iteration before; 1: only when "
         "all are"),
    LIST("eval.files", eval_files, "", "labelled pairs: training keeps clear of them, and every iteration is scored"),
    INT("eval.limit", eval_limit, "0", 0, LARGE, "score the first N rows of each file; 0: all"),
    REAL("eval.temperature", eval_temperature, "0", 0, 5, "of the reasoning in evaluations"),
    INT("seed", seed, "1", 0, 9e15, "every random number comes from it"),
    SPEED_INT("engine.threads", threads, "0", 0, 4096, "0: one a core"),
    SPEED_INT("engine.batch", batch, "0", 0, 4096, "sequences in flight; 0: the engine's choice"),
    INT("engine.ctx", ctx, "0", 0, LARGE, "context in tokens; 0: the model's, at most 8192"),
    CHOICE("engine.activations", activations, "auto", "auto|int8-g128|int8-g64|int8|bf16|bf16x3|f32",
           "how products round when generating: auto is bf16 where the machine that begins the run has AMX tiles, "
           "int8-g128 where it has AVX-512 VNNI, else int8; f32 is exact"),
    SPEED_STRING("engine.isa", isa, "", "force an instruction set: amx, avx512, avx-vnni, avx2, portable"),
    SPEED_STRING("engine.cache", cache, "", "a database that remembers answers over runs; empty: none"),
    {NULL, STE_OPT_STRING, 0, NULL, 0, 0, NULL, false, NULL},
};

void ste_recipe_init(struct ste_recipe *r)
{
    memset(r, 0, sizeof *r);
    ste_options_init(ste_recipe_options, r);
}

void ste_recipe_clear(struct ste_recipe *r)
{
    ste_options_clear(ste_recipe_options, r);
}

static bool is_path(const char *name)
{
    size_t n = strlen(name);
    return strchr(name, '/') || (n > 5 && strcmp(name + n - 5, ".yaml") == 0);
}

static int unknown_recipe(const char *name, struct ste_err *err)
{
    const char *names[65];
    size_t n = 0;
    char *copies[64];
    struct ste_buf list = STE_BUF_INIT;
    for (const struct ste_embedded *f = ste_embedded_files; f->name && n < 64; f++) {
        if (strncmp(f->name, "recipes/", 8) != 0)
            continue;
        copies[n] = ste_xstrndup(f->name + 8, strcspn(f->name + 8, "."));
        ste_buf_addf(&list, "%s%s", n ? ", " : "", copies[n]);
        names[n] = copies[n];
        n++;
    }
    names[n] = NULL;
    const char *near = ste_nearest(name, names);
    int rc = ste_err_set(err, STE_ENOTFOUND, "there is no built-in recipe %s (there are: %s)%s%s%s", name,
                         list.len ? list.s : "none", near ? "; did you mean " : "; a path must hold a / or end in .yaml",
                         near ? near : "", near ? "?" : "");
    ste_buf_clear(&list);
    for (size_t i = 0; i < n; i++)
        free(copies[i]);
    return rc;
}

int ste_recipe_load(struct ste_recipe *r, const char *name, struct ste_err *err)
{
    ste_recipe_init(r);
    json_t *yaml;
    if (is_path(name)) {
        yaml = ste_yaml_load(name, err);
    } else {
        char *file = ste_xasprintf("recipes/%s.yaml", name);
        const struct ste_embedded *e = ste_embedded_find(file);
        if (!e) {
            free(file);
            return unknown_recipe(name, err);
        }
        yaml = ste_yaml_parse(e->bytes, e->size, file, err);
        free(file);
    }
    if (!yaml)
        return err && err->code ? err->code : STE_EINPUT;
    int rc = ste_options_load(ste_recipe_options, r, yaml, name, err);
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
    if (rc == 0 && ste_recipe_labelled(r) && r->kinds.n > 1)
        rc = ste_err_set(err, STE_EUSAGE, "pair.kinds: labelled pairs come from files of their own: it stands alone");
    return rc;
}

int ste_recipe_check(const struct ste_recipe *r, struct ste_err *err)
{
    int rc = check_kinds(r, err);
    if (rc != 0)
        return rc;
    if (r->dev + r->test >= 0.95)
        return ste_err_set(err, STE_EUSAGE,
                           "split.dev %g and split.test %g leave too little to train on: their sum must be below 0.95",
                           r->dev, r->test);
    if (r->both_orders && strcmp(r->orders, "both") != 0)
        return ste_err_set(err, STE_EUSAGE, "filter.both_orders needs judge.orders: both");
    if (strcmp(r->per_pair, "order") == 0 && strcmp(r->orders, "both") != 0)
        return ste_err_set(err, STE_EUSAGE, "filter.per_pair: order needs judge.orders: both");
    if (strcmp(r->rule, "margin") == 0 && strcmp(r->orders, "both") != 0)
        return ste_err_set(err, STE_EUSAGE, "filter.rule: margin needs judge.orders: both");
    if (ste_share(&r->kinds, "sampled") > 0 && strcmp(r->check, "likelihood") != 0)
        return ste_err_set(err, STE_EUSAGE, "pair.kinds: sampled takes its labels from the check: it needs check.by: "
                                            "likelihood");
    if (r->complexity_min > r->complexity_max)
        return ste_err_set(err, STE_EUSAGE, "select.complexity_min %lld is above select.complexity_max %lld",
                           r->complexity_min, r->complexity_max);
    if (r->files.n == 0)
        return ste_err_set(err, STE_EUSAGE, "instructions.files is empty: name a file, or builtin");
    for (size_t i = 0; ste_recipe_labelled(r) && i < r->files.n; i++)
        if (strcmp(r->files.items[i], "builtin") == 0)
            return ste_err_set(err, STE_EUSAGE,
                               "pair.kinds: labelled takes its pairs from instructions.files, and builtin has no "
                               "answers: name JSONL files with prompt, chosen and rejected in each line");
    if (r->epochs <= 0 && r->max_steps <= 0)
        return ste_err_set(err, STE_EUSAGE, "train.epochs and train.max_steps are both 0: nothing would be trained");
    if (r->stop_min_gain > -1 && r->dev <= 0)
        return ste_err_set(err, STE_EUSAGE, "stop.min_gain needs dev pairs: set split.dev above 0");
    return 0;
}

bool ste_recipe_labelled(const struct ste_recipe *r)
{
    return ste_share(&r->kinds, "labelled") > 0;
}

char *ste_recipe_run_folder(const char *name)
{
    const char *base = strrchr(name, '/');
    base = base ? base + 1 : name;
    size_t n = strlen(base);
    if (n > 5 && strcmp(base + n - 5, ".yaml") == 0)
        n -= 5;
    return ste_xasprintf("runs/%.*s", (int)n, base);
}

void ste_recipe_write(const struct ste_recipe *r, struct ste_buf *out)
{
    json_t *all = ste_options_dump(ste_recipe_options, r);
    ste_yaml_write(all, out);
    json_decref(all);
}

/* Takes the options that only change the speed out of the dump (whose keys are nested at the dot). */
static void strip_speed(json_t *all)
{
    for (const struct ste_option *o = ste_recipe_options; o->key; o++) {
        if (!o->speed_only)
            continue;
        const char *dot = strchr(o->key, '.');
        if (!dot) {
            json_object_del(all, o->key);
            continue;
        }
        char *head = ste_xstrndup(o->key, (size_t)(dot - o->key));
        json_t *group = json_object_get(all, head);
        json_object_del(group, dot + 1);
        if (json_object_size(group) == 0)
            json_object_del(all, head);
        free(head);
    }
}

char *ste_recipe_json(const struct ste_recipe *r, bool result_only)
{
    json_t *all = ste_options_dump(ste_recipe_options, r);
    if (result_only)
        strip_speed(all);
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

static int settle(char **field, const char *old, bool training, struct ste_err *err)
{
    enum ste_activations act;
    if (strcmp(*field, "auto") != 0)
        return 0;
    int rc = ste_activations_by_name("auto", training, &act, err);
    free(*field);
    *field = ste_xstrdup(old ? old : rc == 0 ? ste_activations_name(act) : "f32");
    return rc;
}

int ste_recipe_settle(struct ste_recipe *r, const struct ste_recipe *old, struct ste_err *err)
{
    int rc = settle(&r->activations, old ? old->activations : NULL, false, err);
    return rc ? rc : settle(&r->train_activations, old ? old->train_activations : NULL, true, err);
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
