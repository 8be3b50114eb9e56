#include "model/merge_internal.h"

#include <stdio.h>
#include <string.h>

#include "core/file.h"
#include "core/mem.h"
#include "model/convert.h"

const struct ste_mix *ste_merge_mix(const struct ste_model *m)
{
    const enum ste_type type = m->layers[0].linear[STE_Q]->type;
    return ste_mix_of(type == STE_F32 || type == STE_F16 || type == STE_BF16 ? ste_type_name(type) : "F16");
}

/* Rows of a tensor with what the adapter adds to those that are rows FIRST.. of a linear layer: all of it, or a part
 * where the file has several layers as one tensor. */
struct adding {
    const struct ste_lora_factors *p;
    int r;
    float scale;
    uint64_t from, n, first, cols;
    float *x; /* (n, cols) */
};

static void add_row(void *arg, int part)
{
    const struct adding *a = arg;
    const uint64_t row = a->from + (uint64_t)part;
    if (row < a->first || row >= a->first + (uint64_t)a->p->out)
        return;
    const float *b = a->p->b + (row - a->first) * (uint64_t)a->r;
    float *x = a->x + (uint64_t)part * a->cols, sum[256];
    for (uint64_t at = 0; at < a->cols; at += 256) {
        const uint64_t n = a->cols - at < 256 ? a->cols - at : 256;
        memset(sum, 0, sizeof sum);
        for (int k = 0; k < a->r; k++) {
            const float *v = a->p->a + (uint64_t)k * a->cols + at;
            for (uint64_t i = 0; i < n; i++)
                sum[i] += b[k] * v[i];
        }
        for (uint64_t i = 0; i < n; i++)
            x[at + i] += a->scale * sum[i];
    }
}

/* Whether T holds the layer W; *FIRST: from which row on. */
static bool holds(const struct ste_tensor *t, const struct ste_tensor *w, uint64_t *first)
{
    const char *at = w->data, *begin = t->data;
    if (!at || at < begin || at >= begin + t->size)
        return false;
    *first = (uint64_t)(at - begin) / (t->size / ste_tensor_rows(t));
    return true;
}

static bool is_adapted(const struct ste_merge *g, const struct ste_tensor *t)
{
    uint64_t first;
    for (int i = 0; i < g->model->hp.n_layers; i++)
        for (int k = 0; k < STE_N_LINEAR; k++)
            if (g->lora->factors[i][k].a && holds(t, g->model->layers[i].linear[k], &first))
                return true;
    return false;
}

void ste_merge_add(const struct ste_merge *g, const struct ste_tensor *t, uint64_t from, uint64_t n, float *x)
{
    const struct ste_lora *l = g->lora;
    struct adding a = {.r = l->r, .scale = (float)(l->alpha / l->r), .from = from, .n = n, .cols = t->shape[0], .x = x};
    for (int i = 0; i < g->model->hp.n_layers; i++)
        for (int k = 0; k < STE_N_LINEAR; k++) {
            a.p = &l->factors[i][k];
            if (a.p->a && holds(t, g->model->layers[i].linear[k], &a.first))
                ste_pool_run(g->pool, add_row, &a, (int)n);
        }
}

/* As of struct ste_convert. */
static bool adds(void *arg, const struct ste_tensor *t)
{
    return is_adapted(arg, t);
}

static void add(void *arg, const struct ste_tensor *t, uint64_t first, uint64_t n, float *x)
{
    ste_merge_add(arg, t, first, n, x);
}

static void set_string(struct ste_gguf *g, const char *key, const char *s)
{
    ste_gguf_set_string(g, key, s, strlen(s));
}

static void set_keys(struct ste_gguf *out, const struct ste_merge *g, const struct ste_mix *mix, const char *path)
{
    char *name = ste_path_stem(path);
    struct ste_str base;
    if (!ste_gguf_string(g->model->gguf, "general.name", &base) || !base.n)
        base = (struct ste_str){g->base_name, strlen(g->base_name)};
    ste_gguf_set_int(out, "general.base_model.count", 1);
    ste_gguf_set_string(out, "general.base_model.0.name", base.s, base.n);
    set_string(out, "general.name", name);
    set_string(out, "ste.base.sha256", g->model->sha256);
    set_string(out, "ste.adapter.sha256", g->lora->hash);
    ste_gguf_set_int(out, "general.file_type", mix->file_type);
    ste_gguf_set_int(out, "general.quantization_version", 2);
    ste_xfree(name);
}

int ste_merge_check(const struct ste_merge *g, struct ste_err *err)
{
    return g->lora->head ? ste_err_set(err, STE_EUSAGE,
                                       "the adapter is a reward model's: its head is no part of a model that writes")
                         : 0;
}

int ste_merge_write_gguf(const struct ste_merge *g, const char *path, struct ste_err *err)
{
    const struct ste_convert c = {.from = g->model->gguf,
                                  .mix = g->mix ? g->mix : ste_merge_mix(g->model),
                                  .pool = g->pool,
                                  .adds = adds,
                                  .add = add,
                                  .arg = (void *)(uintptr_t)g};
    int rc = ste_merge_check(g, err);
    if (rc)
        return rc;
    struct ste_gguf *out = ste_gguf_new(path);
    rc = ste_convert_begin(&c, out, err);
    if (!rc) {
        set_keys(out, g, c.mix, path);
        rc = ste_convert_write(&c, out, path, err);
    }
    ste_gguf_close(out);
    return rc;
}
