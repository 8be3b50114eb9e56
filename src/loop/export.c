#include "loop/export.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "core/mem.h"
#include "data/catalogue.h"
#include "loop/internal.h"
#include "model/model.h"
#include "train/train.h"

/* TEXT of the ids; bytes that form no whole character are not in any file of a run, so they are an error. */
static int add_text(const struct ste_model *m, json_t *row, const char *key, const int32_t *ids, size_t n,
                    struct ste_err *err)
{
    struct ste_buf text = STE_BUF_INIT;
    ste_detokenize(m->tokenizer, ids, n, true, &text);
    int bad = json_object_set_new(row, key, json_stringn(text.s, text.len));
    ste_buf_clear(&text);
    return bad ? ste_err_set(err, STE_EINPUT, "an example's %s is not UTF-8 and cannot be exported", key) : 0;
}

struct writing {
    const struct ste_model *m;
    bool preferences;
    struct ste_jsonl_writer *w;
    size_t *n;
};

/* The ids from FROM on, as text under KEY and as they are under KEY_ids. */
static int add_both(const struct ste_model *m, json_t *row, const char *key, struct ste_token_ids t, size_t from,
                    struct ste_err *err)
{
    char *ids = ste_xasprintf("%s_ids", key);
    json_object_set_new(row, ids, ste_json_ids(t.ids + from, t.n - from));
    ste_xfree(ids);
    return add_text(m, row, key, t.ids + from, t.n - from, err);
}

static int put_example(void *arg, const struct ste_example_view *v, struct ste_err *err)
{
    struct writing *g = arg;
    const size_t border = (size_t)v->row.border, n_prompt = v->prompt.n + border;
    int32_t *prompt = ste_xmalloc((n_prompt + 1) * sizeof *prompt);
    memcpy(prompt, v->prompt.ids, v->prompt.n * sizeof *prompt);
    memcpy(prompt + v->prompt.n, v->row.completion.ids, border * sizeof *prompt);
    json_t *row = json_object();
    json_object_set_new(row, "id", json_string(v->row.id));
    int rc = add_both(g->m, row, "prompt", (struct ste_token_ids){prompt, n_prompt}, 0, err);
    if (rc == 0)
        rc = add_both(g->m, row, g->preferences ? "chosen" : "completion", v->row.completion, border, err);
    if (rc == 0 && g->preferences)
        rc = add_both(g->m, row, "rejected", v->row.rejected, border, err);
    json_object_set_new(row, "weight", json_real(v->row.weight));
    json_object_set_new(row, "label_source", json_string(v->row.label_source));
    ste_xfree(prompt);
    if (rc == 0)
        rc = ste_jsonl_write(g->w, row, err);
    json_decref(row);
    *g->n += rc == 0;
    return rc;
}

static int load_recipe(struct ste_store *s, struct ste_recipe *r, struct ste_err *err)
{
    char *json = NULL;
    int rc = ste_store_meta(s, "recipe", &json, err);
    if (rc == 0)
        rc = ste_recipe_from_json(r, json ? json : "{}", err);
    ste_xfree(json);
    return rc;
}

/* The run's seed model, whose tokenizer the ids are of. */
static int open_seed(const struct ste_recipe *r, struct ste_model **out, struct ste_err *err)
{
    char *path = NULL;
    int rc = ste_model_resolve(r->seed_model, &path, err);
    if (rc == 0)
        rc = ste_model_open(out, path, err);
    ste_xfree(path);
    return rc;
}

/* " --NAME V" with as many digits as it takes to read V again. */
static void add_real(struct ste_buf *b, const char *name, double v)
{
    char text[32];
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtod(text, NULL) == v)
            break;
    }
    ste_buf_addf(b, " --%s %s", name, text);
}

/* The command that trains N examples in the file IN as iteration ITERATION does, to the same bytes. */
static int add_command(const struct ste_recipe *r, int iteration, const char *in, size_t n, struct ste_buf *b,
                       struct ste_err *err)
{
    struct ste_train_params p;
    char *start = NULL;
    int rc = ste_loop_train_params(r, iteration, (int)n, &p, err);
    if (rc == 0)
        rc = ste_loop_start_adapter(r, &start, err);
    if (rc != 0)
        return rc;
    ste_buf_addf(
        b,
        "ste %s --model %s --in %s --out DIR --order %s --together %d --steps %d --batch %d --seed %lld --r %d "
        "--schedule %s --warmup %d --activations %s --gradients %s",
        r->objective == STE_TRAIN_DPO ? "dpo" : "sft", r->seed_model, in, ste_shuffle_names[p.shuffle], p.together,
        p.total_steps, p.batch_examples, (long long)p.seed, p.r, ste_schedule_names[p.schedule], p.warmup_steps,
        ste_activations_name(p.activations), ste_gradients_names[p.gradients]);
    add_real(b, "alpha", p.alpha);
    add_real(b, "lr", p.learning_rate);
    add_real(b, "weight-decay", p.weight_decay);
    add_real(b, "max-grad-norm", p.max_grad_norm);
    if (r->objective == STE_TRAIN_DPO) {
        add_real(b, "beta", p.beta);
        add_real(b, "nll", p.nll);
    }
    if (start)
        ste_buf_addf(b, " --adapter %s", start);
    ste_xfree(start);
    return 0;
}

static int export_examples(struct ste_store *s, bool preferences, int iteration, const char *out, size_t *n,
                           struct ste_buf *command, struct ste_err *err)
{
    int64_t turn = iteration;
    struct ste_model *m = NULL;
    struct ste_jsonl_writer *w = NULL;
    struct ste_recipe r = {0};
    int rc = iteration ? 0 : ste_count(s, STE_COUNT_LAST_EXAMPLES, 0, &turn, err);
    if (rc == 0 && turn == 0)
        rc = ste_err_set(err, STE_ENOTFOUND, "the run in %s has no training examples yet", ste_store_dir(s));
    if (rc == 0 && (rc = load_recipe(s, &r, err)) == 0) {
        if (preferences && !ste_recipe_prefers(&r))
            rc = ste_err_set(err, STE_EUSAGE, "the run in %s trains no preferences: its train.objective is sft",
                             ste_store_dir(s));
        if (rc == 0)
            rc = open_seed(&r, &m, err);
        if (rc == 0 && (rc = ste_jsonl_create(&w, out, err)) == 0) {
            struct writing g = {m, preferences, w, n};
            rc = ste_jsonl_end(w, ste_each_example(s, turn, put_example, &g, err), err);
        }
        if (rc == 0 && *n && r.trainer.n == 0 && r.objective == (preferences ? STE_TRAIN_DPO : STE_TRAIN_SFT))
            rc = add_command(&r, (int)turn, out, *n, command, err);
        ste_model_close(m);
        ste_recipe_clear(&r);
    }
    return rc;
}

static int put_pair(void *arg, const struct ste_pair_view *v, struct ste_err *err)
{
    struct writing *g = arg;
    json_t *row = json_object(), *messages = ste_json_parse(v->dialogue, strlen(v->dialogue), "a dialogue", err);
    const json_t *only = json_array_get(messages, 0);
    json_object_set_new(row, "id", json_string(v->row.id));
    if (json_array_size(messages) == 1)
        json_object_set(row, "prompt", json_object_get(only, "content"));
    else
        json_object_set(row, "messages", messages);
    json_object_set_new(row, "chosen", json_string(v->row.chosen));
    json_object_set_new(row, "rejected", json_string(v->row.rejected));
    json_object_set_new(row, "split", json_string(v->row.split));
    json_object_set_new(row, "label_source", json_string(v->row.label_source));
    json_object_set_new(row, "kind", json_string(v->row.kind));
    if (!isnan(v->margin))
        json_object_set_new(row, "margin", json_real(v->margin));
    int rc = messages ? ste_jsonl_write(g->w, row, err) : STE_EINPUT;
    json_decref(messages);
    json_decref(row);
    *g->n += rc == 0;
    return rc;
}

static int export_pairs(struct ste_store *s, const char *out, size_t *n, struct ste_err *err)
{
    struct ste_jsonl_writer *w = NULL;
    int rc = ste_jsonl_create(&w, out, err);
    struct writing g = {NULL, false, w, n};
    return rc == 0 ? ste_jsonl_end(w, ste_each_pair(s, NULL, NULL, put_pair, &g, err), err) : rc;
}

int ste_export(const char *dir, enum ste_export what, int iteration, const char *out, size_t *n,
               struct ste_buf *command, struct ste_err *err)
{
    struct ste_store *s = NULL;
    *n = 0;
    int rc = ste_store_open(&s, dir, 0, 1, err);
    if (rc == 0)
        rc = what == STE_EXPORT_PAIRS
                 ? export_pairs(s, out, n, err)
                 : export_examples(s, what == STE_EXPORT_PREFERENCES, iteration, out, n, command, err);
    ste_store_close(s);
    return rc;
}
