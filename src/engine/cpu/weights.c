#include "engine/cpu/weights.h"

#include "core/mem.h"
#include "model/convert.h"

static int vector(float **out, const struct ste_tensor *t, size_t *bytes, struct ste_err *err)
{
    uint64_t n = t->shape[0], block = (uint64_t)ste_type_block(t->type);
    if (!n || n > 1 << 24 || n % block || t->size / ste_type_bytes(t->type) < n / block)
        return ste_err_set(err, STE_EINPUT, "cannot read %s: its data does not fit its shape", t->name);
    *out = ste_xmalloc(n * sizeof **out);
    ste_dequantize(t->type, t->data, *out, n);
    *bytes += n * sizeof **out;
    return 0;
}

static int matrix(struct ste_matrix **out, struct ste_weights *w, const struct ste_tensor *t, enum ste_isa isa,
                  struct ste_pool *pool, struct ste_err *err)
{
    const enum ste_type type = ste_model_type(w->model, t);
    struct ste_tensor made = *t;
    int rc = type != t->type ? ste_convert_tensor(t, type, pool, &made, err) : 0;
    if (!rc)
        rc = ste_matrix_pack(out, &made, isa, pool, err);
    if (made.data != t->data)
        ste_big_free((void *)(uintptr_t)made.data, made.size);
    if (!rc)
        w->bytes += ste_matrix_bytes(*out);
    return rc;
}

static int layer(struct ste_weights *w, int i, enum ste_isa isa, struct ste_pool *pool, struct ste_err *err)
{
    const struct ste_layer *from = &w->model->layers[i];
    struct ste_layer_weights *to = &w->layers[i];
    int rc = 0;
    for (int n = 0; n < STE_N_NORM && !rc; n++)
        if (from->norm[n])
            rc = vector(&to->norm[n], from->norm[n], &w->bytes, err);
    for (int l = 0; l < STE_N_LINEAR && !rc; l++) {
        rc = matrix(&to->linear[l], w, from->linear[l], isa, pool, err);
        if (!rc && from->bias[l])
            rc = vector(&to->bias[l], from->bias[l], &w->bytes, err);
    }
    return rc;
}

static size_t size_of(const struct ste_model *m, const struct ste_tensor *t)
{
    return !t              ? 0
           : t->n_dims > 1 ? ste_matrix_size(ste_model_type(m, t), t->shape[0], t->shape[1])
                           : t->shape[0] * sizeof(float);
}

size_t ste_weights_size(const struct ste_model *m)
{
    size_t sum = size_of(m, m->embedding) + size_of(m, m->output_norm);
    if (m->output != m->embedding)
        sum += size_of(m, m->output);
    for (int i = 0; i < m->hp.n_layers; i++) {
        for (int n = 0; n < STE_N_NORM; n++)
            sum += size_of(m, m->layers[i].norm[n]);
        for (int l = 0; l < STE_N_LINEAR; l++)
            sum += size_of(m, m->layers[i].linear[l]) + size_of(m, m->layers[i].bias[l]);
    }
    return sum;
}

int ste_weights_new(struct ste_weights **out, const struct ste_model *m, enum ste_isa isa, struct ste_pool *pool,
                    struct ste_err *err)
{
    *out = NULL;
    struct ste_weights *w = ste_xcalloc(1, sizeof *w);
    w->model = m;
    w->layers = ste_xcalloc((size_t)m->hp.n_layers, sizeof *w->layers);
    int rc = 0;
    for (int i = 0; i < m->hp.n_layers && !rc; i++) {
        rc = layer(w, i, isa, pool, err);
        ste_gguf_drop_pages(m->gguf); /* as they go: else the file and its copy are in memory at once */
    }
    if (!rc)
        rc = vector(&w->output_norm, m->output_norm, &w->bytes, err);
    if (!rc)
        rc = matrix(&w->embedding, w, m->embedding, isa, pool, err);
    if (!rc && m->output == m->embedding)
        w->output = w->embedding;
    else if (!rc)
        rc = matrix(&w->output, w, m->output, isa, pool, err);
    if (rc) {
        ste_weights_free(w);
        return ste_err_wrap(err, "packing the weights of %s", m->gguf ? ste_gguf_path(m->gguf) : "a model in memory");
    }
    ste_gguf_drop_pages(m->gguf);
    *out = w;
    return 0;
}

void ste_weights_free(struct ste_weights *w)
{
    if (!w)
        return;
    for (int i = 0; i < w->model->hp.n_layers; i++) {
        struct ste_layer_weights *l = &w->layers[i];
        for (int n = 0; n < STE_N_NORM; n++)
            ste_xfree(l->norm[n]);
        for (int j = 0; j < STE_N_LINEAR; j++) {
            ste_matrix_free(l->linear[j]);
            ste_xfree(l->bias[j]);
        }
    }
    if (w->output != w->embedding)
        ste_matrix_free(w->output);
    ste_matrix_free(w->embedding);
    ste_xfree(w->output_norm);
    ste_xfree(w->layers);
    ste_xfree(w);
}
