#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/hash.h"
#include "core/json.h"
#include "core/mem.h"
#include "train/internal.h"

/*
 * One line of JSON, padded with spaces to HEADER bytes, then f32 values: every tensor of the adapter in the order of
 * ste_lora_tensor, then the first moments, then the second ones. The line names the model, the parameters that change
 * the result (as a hash), the shape, the step, and the SHA-256 of the values.
 */
enum { HEADER = 1024, VERSION = 1 };

/* Threads, instruction set, pack size and recomputation change the speed only. */
static void params_hash(const struct ste_train_params *p, char hex[65])
{
    char text[512];
    uint8_t digest[32];
    int n =
        snprintf(text, sizeof text, "%d %a %a %a %a %a %a %a %d %d %d %d %" PRIu64 "%s%s%s", p->r, p->alpha,
                 p->learning_rate, p->beta1, p->beta2, p->adam_eps, p->weight_decay, p->max_grad_norm, (int)p->schedule,
                 p->warmup_steps, p->total_steps, p->batch_examples, p->seed, p->activations ? " " : "",
                 p->activations ? ste_activations_name(p->activations) : "", p->objective->head ? " reward" : "");
    ste_sha256(text, (size_t)n, digest);
    ste_hex(digest, 32, hex);
}

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

static json_t *header_of(const struct ste_trainer *t, const char *values_sha256)
{
    char hex[65];
    params_hash(&t->p, hex);
    return json_pack("{s:s, s:i, s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:I, s:s}", "format", "ste trainer", "version",
                     VERSION, "model", t->model->sha256, "params", hex, "layers", t->model->hp.n_layers, "d_model",
                     t->model->hp.d_model, "d_ff", t->model->hp.d_ff, "r", t->p.r, "step", t->step, "values",
                     (json_int_t)state_values(t), "sha256", values_sha256);
}

int ste_trainer_save(const struct ste_trainer *t, const char *path, struct ste_err *err)
{
    size_t values = state_values(t), size = HEADER + values * sizeof(float), n;
    void *mem;
    int rc = ste_big_alloc(&mem, size, "a checkpoint", err);
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
    uint8_t digest[32];
    ste_sha256(file + HEADER, values * sizeof(float), digest);
    ste_hex(digest, 32, hex);
    json_t *header = header_of(t, hex);
    char *line = ste_json_canonical(header);
    memset(file, ' ', HEADER);
    memcpy(file, line, strlen(line)); /* under 500 bytes: hashes and small numbers */
    file[HEADER - 1] = '\n';
    rc = ste_file_write(path, file, size, err);
    free(line);
    json_decref(header);
    ste_big_free(mem, size);
    return rc;
}

/* The header is as this trainer would write it, but for the step and the values' hash, which are handed out. */
static int check_header(const struct ste_trainer *t, const char *path, const char *file, int *step, char sha256[65],
                        struct ste_err *err)
{
    json_error_t e;
    json_t *got = json_loadb(file, HEADER, 0, &e), *want = NULL;
    const char *format = json_string_value(json_object_get(got, "format")),
               *hash = json_string_value(json_object_get(got, "sha256"));
    json_t *step_value = json_object_get(got, "step");
    int rc = 0;
    if (!format || strcmp(format, "ste trainer"))
        rc = ste_err_set(err, STE_EINPUT, "%s is not a checkpoint of training", path);
    else if (json_integer_value(json_object_get(got, "version")) != VERSION)
        rc = ste_err_set(err, STE_EINPUT, "%s is a checkpoint of version %d; this program reads version %d", path,
                         (int)json_integer_value(json_object_get(got, "version")), VERSION);
    else if (!hash || strlen(hash) != 64 || !json_is_integer(step_value) || json_integer_value(step_value) < 0 ||
             json_integer_value(step_value) > 1000000000)
        rc = ste_err_set(err, STE_EINPUT, "the header of the checkpoint %s is damaged", path);
    if (!rc) {
        const char *key;
        json_t *value;
        strcpy(sha256, hash);
        *step = (int)json_integer_value(step_value);
        want = header_of(t, hash);
        json_object_foreach(want, key, value)
        {
            if (strcmp(key, "step") && !json_equal(value, json_object_get(got, key))) {
                rc = ste_err_set(
                    err, STE_EINPUT,
                    "the checkpoint %s was written with another %s; train with the settings it was made with, or "
                    "start anew without it",
                    path, !strcmp(key, "params") ? "set of training parameters" : key);
                break;
            }
        }
    }
    json_decref(want);
    json_decref(got);
    return rc;
}

int ste_trainer_load(struct ste_trainer *t, const char *path, struct ste_err *err)
{
    size_t values = state_values(t), size = HEADER + values * sizeof(float), n;
    struct ste_buf file = STE_BUF_INIT;
    int step = 0, rc = ste_file_read(path, size, &file, err);
    char want[65], got[65];
    if (!rc && file.len < HEADER)
        rc = ste_err_set(err, STE_EINPUT, "%s is not a checkpoint of training: it has only %zu bytes", path, file.len);
    if (!rc)
        rc = check_header(t, path, file.s, &step, want, err);
    if (!rc && file.len != size)
        rc = ste_err_set(err, STE_EINPUT, "the checkpoint %s is cut off: %zu bytes of %zu", path, file.len, size);
    if (!rc) {
        uint8_t digest[32];
        ste_sha256(file.s + HEADER, size - HEADER, digest);
        ste_hex(digest, 32, got);
        if (strcmp(want, got))
            rc = ste_err_set(err, STE_EINPUT, "the checkpoint %s is damaged: its values do not have the hash it names",
                             path);
    }
    const char *at = rc ? NULL : file.s + HEADER;
    for (int i = 0; !rc && i < 3 * ste_lora_tensor_count(t->lora); i++) {
        float *dst = state_array(t, i, &n);
        if (dst) {
            memcpy(dst, at, n * sizeof *dst);
            at += n * sizeof *dst;
        }
    }
    if (!rc)
        t->step = step;
    ste_buf_clear(&file);
    return rc;
}
