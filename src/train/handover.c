/* What an external trainer is given: examples, their order, the adapter to begin with, and the job, written last. */
#include <string.h>

#include "core/file.h"
#include "core/json.h"
#include "core/mem.h"
#include "train/internal.h"

/* Labels are as transformers has them: a token's own id, or -100 where nothing is learnt. */
static json_t *labels_json(const struct ste_example *x)
{
    json_t *list = json_array();
    for (int i = 0; i < x->n; i++)
        json_array_append_new(list, json_integer(i < x->n_prompt ? -100 : x->tokens[i]));
    return list;
}

static json_t *completion_json(const struct ste_example *x)
{
    return ste_json_ids(x->tokens + x->n_prompt, (size_t)(x->n - x->n_prompt));
}

static json_t *example_json(const struct ste_external_job *j, int i)
{
    const struct ste_example *x = &j->examples[i * j->params->objective->group];
    json_t *row = json_object();
    if (j->params->objective->group > 1) {
        json_object_set_new(row, "prompt_ids", ste_json_ids(x->tokens, (size_t)x->n_prompt));
        json_object_set_new(row, "chosen_ids", completion_json(x));
        json_object_set_new(row, "rejected_ids", completion_json(x + 1));
    } else {
        json_object_set_new(row, "input_ids", ste_json_ids(x->tokens, (size_t)x->n));
        json_object_set_new(row, "labels", labels_json(x));
    }
    json_object_set_new(row, "weight", json_real((double)x->weight));
    return row;
}

static json_t *batch_json(const struct ste_external_job *j, int step)
{
    int *index = ste_xcalloc((size_t)j->params->batch_examples, sizeof *index);
    const int n = ste_train_batch(j->params, j->n / j->params->objective->group, step, index);
    json_t *row = json_pack("{s:i,s:o}", "step", step + 1, "rows", ste_json_ids(index, (size_t)n));
    ste_xfree(index);
    return row;
}

static int write_rows(const struct ste_external_job *j, const char *name, int n,
                      json_t *(*row_of)(const struct ste_external_job *j, int i), struct ste_err *err)
{
    char *path = ste_path_join(j->folder, name);
    struct ste_jsonl_writer *w = NULL;
    int rc = ste_jsonl_create(&w, path, err);
    for (int i = 0; !rc && i < n; i++) {
        json_t *row = row_of(j, i);
        rc = ste_jsonl_write(w, row, err);
        json_decref(row);
    }
    rc = w ? ste_jsonl_end(w, rc, err) : rc;
    ste_xfree(path);
    return rc;
}

/* Modules that the adapter is on, as PEFT names them. */
static json_t *targets_json(const struct ste_external_job *j)
{
    json_t *list = json_array();
    for (int k = 0; k < STE_N_LINEAR; k++) {
        bool on = false;
        for (int i = 0; i < j->start->n_layers; i++)
            on |= j->start->factors[i][k].a && !j->start->factors[i][k].shares_a;
        if (on)
            json_array_append_new(list, json_string(ste_linear_peft_name(j->model->hp.arch, (enum ste_linear)k)));
    }
    return list;
}

static json_t *job_json(const struct ste_external_job *j)
{
    const struct ste_train_params *p = j->params;
    const bool dpo = p->objective->group > 1;
    char hash[65];
    ste_examples_hash(j->examples, j->n, hash);
    json_t *job =
        json_pack("{s:i,s:s,s:s,s:s?,s:s,s:i,s:s,s:s,s:s,s:i,s:i,s:i}", "version", 1, "objective", dpo ? "dpo" : "sft",
                  "model", j->name, "base", j->base, "examples", "examples.jsonl", "n_examples",
                  j->n / p->objective->group, "examples_hash", hash, "batches", "batches.jsonl", "start", "start",
                  "steps", p->total_steps, "batch", p->batch_examples, "checkpoint_every", j->every);
    json_object_set_new(job, "r", json_integer(p->r));
    json_object_set_new(job, "alpha", json_real(p->alpha));
    json_object_set_new(job, "targets", targets_json(j));
    json_object_set_new(job, "lr", json_real(p->learning_rate));
    json_object_set_new(job, "schedule", json_string(ste_schedule_names[p->schedule]));
    json_object_set_new(job, "warmup", json_integer(p->warmup_steps));
    json_object_set_new(job, "beta1", json_real(p->beta1));
    json_object_set_new(job, "beta2", json_real(p->beta2));
    json_object_set_new(job, "adam_eps", json_real(p->adam_eps));
    json_object_set_new(job, "weight_decay", json_real(p->weight_decay));
    json_object_set_new(job, "max_grad_norm", json_real(p->max_grad_norm));
    json_object_set_new(job, "seed", json_integer((json_int_t)(p->seed & 0x7fffffff)));
    if (dpo) {
        json_object_set_new(job, "beta", json_real(p->beta));
        json_object_set_new(job, "nll", json_real(p->nll));
    }
    return job;
}

/* The first key that A has otherwise than B, but for the checkpoint. */
static const char *differs(json_t *a, json_t *b)
{
    const char *key;
    json_t *v;
    json_object_foreach(a, key, v)
    {
        if (strcmp(key, "resume") != 0 && !json_equal(v, json_object_get(b, key)))
            return key;
    }
    return NULL;
}

/* The job that is in the folder must be this one: what it led to is gone on with. */
static int check_job(const struct ste_external_job *j, const char *path, json_t *job, struct ste_err *err)
{
    struct ste_buf text = STE_BUF_INIT;
    int rc = ste_file_read(path, 1 << 20, &text, err);
    json_t *old = rc ? NULL : ste_json_parse(text.s, text.len, path, err);
    const char *key = old ? differs(job, old) : NULL;
    if (!rc && !old)
        rc = STE_EINPUT;
    if (key)
        rc =
            ste_err_set(err, STE_EINPUT, "%s has another \"%s\" than this training: remove the folder %s to begin anew",
                        path, key, j->folder);
    json_decref(old);
    ste_buf_clear(&text);
    return rc;
}

static int write_job(const char *path, json_t *job, const char *resume, struct ste_err *err)
{
    json_object_set_new(job, "resume", resume ? json_string(resume) : json_null());
    char *text = json_dumps(job, JSON_INDENT(2) | JSON_SORT_KEYS);
    int rc = text ? ste_file_write(path, text, strlen(text), err)
                  : ste_err_set(err, STE_EINPUT, "the model's name or folder is not UTF-8");
    ste_xfree(text);
    return rc;
}

int ste_hand_over(const struct ste_external_job *j, const char *resume, struct ste_err *err)
{
    char *path = ste_path_join(j->folder, "job.json"), *start = ste_path_join(j->folder, "start");
    json_t *job = job_json(j);
    int rc = 0;
    if (ste_file_exists(path)) {
        rc = check_job(j, path, job, err);
    } else {
        rc = write_rows(j, "examples.jsonl", j->n / j->params->objective->group, example_json, err);
        if (!rc)
            rc = write_rows(j, "batches.jsonl", j->params->total_steps, batch_json, err);
        if (!rc)
            rc = ste_lora_write_peft(j->start, j->model, j->base ? j->base : j->name, start, err);
    }
    if (!rc)
        rc = write_job(path, job, resume, err);
    json_decref(job);
    ste_xfree(path);
    ste_xfree(start);
    return rc;
}
