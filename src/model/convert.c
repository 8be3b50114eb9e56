#include "model/convert.h"

#include <stdio.h>
#include <string.h>

#include "core/log.h"
#include "core/mem.h"
#include "model/arch.h"
#include "model/quantize.h"

/* ---- the order of rows ---- */

/* Rows of a head where T, of a folder, has them in another order than a file; 0: it has not. */
static uint64_t turned(const struct ste_gguf *g, const struct ste_tensor *t)
{
    struct ste_str s;
    char key[96];
    int64_t heads = 0;
    int layer, end = 0;
    char which;
    if (!ste_gguf_is_folder(g) || sscanf(t->name, "blk.%d.attn_%c.%n", &layer, &which, &end) != 2 || !end ||
        (which != 'q' && which != 'k') || !ste_gguf_string(g, "general.architecture", &s))
        return 0;
    for (size_t i = 0; ste_archs[i]; i++) {
        const struct ste_arch *a = ste_archs[i];
        if (!a->interleaved || strlen(a->name) != s.n || memcmp(a->name, s.s, s.n))
            continue;
        snprintf(key, sizeof key, "%s.attention.head_count%s", a->name, which == 'k' ? "_kv" : "");
        if (!ste_gguf_int(g, key, &heads)) {
            snprintf(key, sizeof key, "%s.attention.head_count", a->name);
            ste_gguf_int(g, key, &heads);
        }
        const uint64_t n = t->n_dims == 1 ? t->shape[0] : t->shape[1];
        return heads > 0 ? n / (uint64_t)heads : 0;
    }
    return 0;
}

/* ---- rows ---- */

static int not_finite(const struct ste_tensor *t, enum ste_type type, struct ste_err *err)
{
    return ste_err_set(err, STE_EINPUT, "tensor '%s' has a weight that is not finite as %s; write it as F32", t->name,
                       ste_type_name(type));
}

/* As a maker of gguf.h: T is the one that is written, under the name of the one it is made of. */
static int make_rows(void *arg, const struct ste_tensor *t, uint64_t from, uint64_t n, void *out, struct ste_err *err)
{
    const struct ste_convert *c = arg;
    const struct ste_tensor *s = ste_gguf_tensor(c->from, t->name);
    const uint64_t cols = s->shape[0], bytes = s->size / ste_tensor_rows(s), head = turned(c->from, s);
    const bool adds = c->adds && c->adds(c->arg, s), same = t->type == s->type && !adds;
    if (s->n_dims == 1) { /* a bias, in f32 */
        for (uint64_t i = 0; i < cols; i++)
            ((float *)out)[i] = ((const float *)s->data)[ste_hf_row(i, head)];
        return 0;
    }
    float *x = same ? NULL : ste_xmalloc(n * cols * sizeof *x);
    for (uint64_t i = 0, some; i < n; i += some) {
        const uint64_t row = ste_hf_row(from + i, head);
        const char *data = (const char *)s->data + row * bytes;
        some = head ? 1 : n;
        if (same)
            memcpy((char *)out + i * bytes, data, some * bytes);
        else
            ste_dequantize(s->type, data, x + i * cols, some * cols);
        if (adds)
            c->add(c->arg, s, row, some, x + i * cols);
    }
    const bool fits = same || ste_quantize(t->type, x, out, n * cols, c->pool);
    ste_xfree(x);
    return fits ? 0 : not_finite(t, t->type, err);
}

/* ---- the file ---- */

static int n_layers_of(const struct ste_gguf *g)
{
    struct ste_str s;
    char key[96];
    int64_t n = 0;
    if (ste_gguf_string(g, "general.architecture", &s)) {
        snprintf(key, sizeof key, "%.*s.block_count", (int)(s.n < 40 ? s.n : 40), s.s);
        ste_gguf_int(g, key, &n);
    }
    return n > 0 && n < 1 << 20 ? (int)n : 1;
}

int ste_convert_begin(const struct ste_convert *c, struct ste_gguf *out, struct ste_err *err)
{
    const struct ste_gguf *g = c->from;
    const struct ste_tensor *most = ste_gguf_tensor(g, "token_embd.weight");
    const struct ste_mix *mix = c->mix ? c->mix : most ? ste_mix_of(ste_type_name(most->type)) : NULL;
    const bool tied = !ste_gguf_tensor(g, "output.weight");
    int64_t type;
    int rc = 0;
    ste_gguf_copy_keys(out, g);
    if (mix && (c->mix || !ste_gguf_int(g, "general.file_type", &type)))
        ste_gguf_set_int(out, "general.file_type", mix->file_type);
    ste_gguf_set_int(out, "general.quantization_version", 2);
    for (uint64_t i = 0; i < ste_gguf_n_tensors(g) && !rc; i++) {
        const struct ste_tensor *t = ste_gguf_tensor_at(g, i);
        const enum ste_type to = c->mix ? ste_mix_type(c->mix, t, n_layers_of(g), tied) : t->type;
        const bool stays = to == t->type && !turned(g, t) && !(c->adds && c->adds(c->arg, t));
        if (!stays && !ste_type_is_written(to) && to != t->type)
            rc = ste_err_set(err, STE_EUSAGE, "ste does not write weights of type %s", ste_type_name(to));
        else
            rc = ste_gguf_add(out, t->name, to, t->n_dims, t->shape, stays ? t->data : NULL, err);
    }
    return rc;
}

struct writing {
    const struct ste_convert *c;
    struct ste_progress *shown;
};

static int make_and_show(void *arg, const struct ste_tensor *t, uint64_t from, uint64_t n, void *out,
                         struct ste_err *err)
{
    const struct writing *w = arg;
    ste_progress_add(w->shown, n * (t->size / ste_tensor_rows(t)));
    return make_rows((void *)(uintptr_t)w->c, t, from, n, out, err);
}

int ste_convert_write(const struct ste_convert *c, const struct ste_gguf *out, const char *path, struct ste_err *err)
{
    uint64_t total = 0;
    for (uint64_t i = 0; i < ste_gguf_n_tensors(out); i++)
        if (!ste_gguf_tensor_at(out, i)->data)
            total += ste_gguf_tensor_at(out, i)->size;
    struct writing w = {c, ste_progress_new("convert", "bytes", total)};
    const struct ste_gguf_maker maker = {make_and_show, &w};
    int rc = ste_gguf_write(out, path, &maker, err);
    ste_progress_end(w.shown);
    return rc ? ste_err_wrap(err, "%s", ste_gguf_path(c->from)) : 0;
}

/* ---- one in memory ---- */

int ste_convert_tensor(const struct ste_tensor *t, enum ste_type type, struct ste_pool *pool, struct ste_tensor *out,
                       struct ste_err *err)
{
    const uint64_t cols = t->shape[0], n = ste_tensor_rows(t), bytes = t->size / n,
                   row = cols / (uint64_t)ste_type_block(type) * ste_type_bytes(type), most = 1 + (1u << 22) / cols;
    void *made;
    int rc = ste_big_alloc(&made, n * row, t->name, err);
    if (rc)
        return rc;
    *out = *t;
    out->type = type;
    out->data = made;
    out->size = n * row;
    float *x = ste_xmalloc((most < n ? most : n) * cols * sizeof *x);
    for (uint64_t at = 0; at < n && !rc; at += most) {
        const uint64_t some = n - at < most ? n - at : most;
        ste_dequantize(t->type, (const char *)t->data + at * bytes, x, some * cols);
        if (!ste_quantize(type, x, (char *)made + at * row, some * cols, pool))
            rc = not_finite(t, type, err);
    }
    ste_xfree(x);
    if (rc)
        ste_big_free(made, n * row);
    return rc;
}
