#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "core/file.h"
#include "core/hash.h"
#include "core/json.h"
#include "core/mem.h"
#include "train/internal.h"

/*
 * One line of JSON, padded with spaces to HEADER bytes, then f32 values: every tensor of the adapter in the order of
 * ste_lora_tensor, then the first moments, then the second ones; then the log; then the references (f64). The line
 * names what is trained and on what, every parameter that changes the result, the step, and the SHA-256 of what
 * follows.
 */
enum { HEADER = 4096, VERSION = 3 };

/* Adapter, first and second moments as one list of arrays. */
static float *state_array(const struct ste_trainer *t, int i, size_t *n)
{
    int count = ste_lora_tensor_count(t->lora);
    float *w = ste_lora_tensor(t->lora, i % count, n);
    return !w ? NULL : i < count ? w : i < 2 * count ? t->m[i - count] : t->v[i - 2 * count];
}

static size_t state_values(const struct ste_trainer *t)
{
    size_t sum = 0, n;
    for (int i = 0; i < 3 * ste_lora_tensor_count(t->lora); i++)
        if (state_array(t, i, &n))
            sum += n;
    return sum;
}

/* Bytes of the file after STEP steps. */
static size_t state_size(const struct ste_trainer *t, int step)
{
    return HEADER + state_values(t) * sizeof(float) + (size_t)step * sizeof *t->log +
           (size_t)t->n_references * sizeof *t->references;
}

/* What must be the same for a state to be gone on from; where several things differ, the first one is named. Threads,
 * instruction set, pack size and recomputation change the speed only. */
static json_t *identity(const struct ste_trainer *t, const char *examples)
{
    const struct ste_train_params *p = &t->p;
    return json_pack("{s:s, s:i, s:s, s:s, s:s, s:s, s:i, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:s, s:i, s:i, s:i, s:s, "
                     "s:i, s:I, s:s, s:s, s:I, s:f, s:f, s:i}",
                     "format", "ste trainer", "version", VERSION, "model", t->model->sha256, "examples", examples,
                     "adapter", t->start, "objective", p->objective->name, "r", p->r, "alpha", p->alpha, "lr",
                     p->learning_rate, "beta1", p->beta1, "beta2", p->beta2, "eps", p->adam_eps, "weight_decay",
                     p->weight_decay, "max_grad_norm", p->max_grad_norm, "schedule", ste_schedule_names[p->schedule],
                     "warmup", p->warmup_steps, "steps", p->total_steps, "batch", p->batch_examples, "order",
                     ste_shuffle_names[p->shuffle], "together", p->together, "seed", (json_int_t)p->seed, "activations",
                     ste_activations_name(p->activations), "gradients", ste_gradients_names[p->gradients], "values",
                     (json_int_t)state_values(t), "beta", p->beta, "nll", p->nll, "references", t->n_references);
}

int ste_trainer_save(const struct ste_trainer *t, const char *examples, const char *path, struct ste_err *err)
{
    size_t size = state_size(t, t->step), n;
    void *mem;
    int rc = ste_big_alloc(&mem, size, "a state of training", err);
    if (rc)
        return rc;
    char *file = mem, *at = file + HEADER, hex[65];
    for (int i = 0; i < 3 * ste_lora_tensor_count(t->lora); i++) {
        const float *src = state_array(t, i, &n);
        if (src) {
            memcpy(at, src, n * sizeof *src);
            at += n * sizeof *src;
        }
    }
    if (t->step)
        memcpy(at, t->log, (size_t)t->step * sizeof *t->log);
    if (t->n_references)
        memcpy(at + (size_t)t->step * sizeof *t->log, t->references, (size_t)t->n_references * sizeof *t->references);
    ste_sha256(file + HEADER, size - HEADER, hex);
    json_t *header = identity(t, examples);
    json_object_set_new(header, "step", json_integer(t->step));
    json_object_set_new(header, "sha256", json_string(hex));
    char *line = ste_json_canonical(header);
    memset(file, ' ', HEADER);
    memcpy(file, line, strlen(line)); /* under 1500 bytes: hashes, short names and numbers */
    file[HEADER - 1] = '\n';
    rc = ste_file_write(path, file, size, err);
    ste_xfree(line);
    json_decref(header);
    ste_big_free(mem, size);
    return rc;
}

/* For people: a hash by its beginning. */
static char *value_text(const json_t *v)
{
    const char *s = json_string_value(v);
    return s && !*s ? ste_xstrdup("none")
           : s      ? ste_xasprintf("%.*s", strlen(s) == 64 ? 12 : 60, s)
                    : json_dumps(v, JSON_ENCODE_ANY | JSON_REAL_PRECISION(12));
}

static int check_identity(const struct ste_trainer *t, const char *examples, const char *path, const json_t *got,
                          struct ste_err *err)
{
    json_t *want = identity(t, examples), *value;
    const char *key;
    int rc = 0;
    json_object_foreach(want, key, value)
    {
        const json_t *was = json_object_get(got, key);
        if (rc || json_equal(value, was))
            continue;
        char *now = value_text(value), *then = was ? value_text(was) : NULL;
        rc = ste_err_set(err, STE_EINPUT,
                         "%s is the state of a training with %s %s, and now it is %s; go on with what it was begun "
                         "with, or remove that file to begin anew",
                         path, key, then ? then : "unknown", now);
        ste_xfree(now);
        ste_xfree(then);
    }
    json_decref(want);
    return rc;
}

/* The step and the hash of the values are handed out. */
static int check_header(const struct ste_trainer *t, const char *examples, const char *path, const char *file,
                        int *step, char sha256[65], struct ste_err *err)
{
    json_error_t e;
    json_t *got = json_loadb(file, HEADER, 0, &e), *step_value = json_object_get(got, "step");
    const char *format = json_string_value(json_object_get(got, "format")),
               *hash = json_string_value(json_object_get(got, "sha256"));
    int rc = 0;
    if (!format || strcmp(format, "ste trainer"))
        rc = ste_err_set(err, STE_EINPUT, "%s is not a state of training", path);
    else if (!hash || strlen(hash) != 64 || !json_is_integer(step_value) || json_integer_value(step_value) < 0 ||
             json_integer_value(step_value) > 1000000000)
        rc = ste_err_set(err, STE_EINPUT, "the header of the state %s is damaged", path);
    else
        rc = check_identity(t, examples, path, got, err);
    if (!rc) {
        strcpy(sha256, hash);
        *step = (int)json_integer_value(step_value);
    }
    json_decref(got);
    return rc;
}

static int check_file(const struct ste_trainer *t, const char *examples, const char *path, const struct ste_buf *file,
                      int *step, struct ste_err *err)
{
    char want[65], got[65];
    if (file->len < HEADER)
        return ste_err_set(err, STE_EINPUT, "%s is not a state of training: it has only %zu bytes", path, file->len);
    int rc = check_header(t, examples, path, file->s, step, want, err);
    if (rc)
        return rc;
    if (file->len != state_size(t, *step))
        return ste_err_set(err, STE_EINPUT, "the state %s is cut off: %zu bytes of %zu", path, file->len,
                           state_size(t, *step));
    ste_sha256(file->s + HEADER, file->len - HEADER, got);
    return strcmp(want, got)
               ? ste_err_set(err, STE_EINPUT, "the state %s is damaged: its values do not have the hash it names", path)
               : 0;
}

int ste_trainer_load(struct ste_trainer *t, const char *examples, const char *path, struct ste_err *err)
{
    struct ste_buf file = STE_BUF_INIT;
    size_t n;
    int step = 0, rc = ste_file_read(path, state_size(t, 1000000000), &file, err);
    if (!rc)
        rc = check_file(t, examples, path, &file, &step, err);
    const char *at = rc ? NULL : file.s + HEADER;
    for (int i = 0; !rc && i < 3 * ste_lora_tensor_count(t->lora); i++) {
        float *dst = state_array(t, i, &n);
        if (dst) {
            memcpy(dst, at, n * sizeof *dst);
            at += n * sizeof *dst;
        }
    }
    if (!rc && (t->step = step)) {
        STE_GROW(t->log, t->log_cap, step);
        memcpy(t->log, at, (size_t)step * sizeof *t->log);
    }
    if (!rc && t->n_references)
        memcpy(t->references, at + (size_t)step * sizeof *t->log, (size_t)t->n_references * sizeof *t->references);
    ste_buf_clear(&file);
    return rc;
}
