/* A GGUF that a program makes, and the file of one. */
#include <math.h>
#include <string.h>

#include "core/file.h"
#include "core/mem.h"
#include "model/gguf_internal.h"

enum { ALIGNMENT = 32 };

/* ---- keys ---- */

/* SIZE bytes at DATA, which G keeps, become KEY's value; what it had is gone. */
static void set(struct ste_gguf *g, const char *key, uint32_t kind, uint32_t item_kind, uint64_t n, void *data,
                uint64_t size)
{
    struct ste_gguf_value v = {.kind = kind, .item_kind = item_kind, .n = n, .size = size}, *old;
    v.data = ste_gguf_keep_small(g, data);
    if ((old = ste_gguf_find(g, key))) {
        v.key = old->key;
        *old = v;
        return;
    }
    v.key = (struct ste_str){ste_gguf_keep_small(g, ste_xstrdup(key)), strlen(key)};
    ste_gguf_put_value(g, &v);
}

static void set_scalar(struct ste_gguf *g, const char *key, enum ste_gguf_kind kind, const void *p)
{
    const size_t size = ste_gguf_kind_size[kind];
    set(g, key, kind, 0, 0, ste_xmemdup(p, size), size);
}

void ste_gguf_set_int(struct ste_gguf *g, const char *key, int64_t v)
{
    if (v < 0 || v > UINT32_MAX)
        set_scalar(g, key, I64, &v);
    else
        set_scalar(g, key, U32, &(uint32_t){(uint32_t)v});
}

void ste_gguf_set_real(struct ste_gguf *g, const char *key, double v)
{
    set_scalar(g, key, F32, &(float){(float)v});
}

void ste_gguf_set_bool(struct ste_gguf *g, const char *key, bool v)
{
    set_scalar(g, key, BOOL, &(uint8_t){v});
}

void ste_gguf_set_string(struct ste_gguf *g, const char *key, const char *s, size_t n)
{
    set(g, key, STRING, 0, n, ste_xmemdup(s, n), n);
}

void ste_gguf_set_strings(struct ste_gguf *g, const char *key, const struct ste_str *s, uint64_t n)
{
    uint64_t size = 0;
    for (uint64_t i = 0; i < n; i++)
        size += 8 + s[i].n;
    uint8_t *data = ste_xmalloc(size), *p = data;
    for (uint64_t i = 0; i < n; i++) {
        memcpy(p, &s[i].n, 8);
        memcpy(p + 8, s[i].s, s[i].n);
        p += 8 + s[i].n;
    }
    set(g, key, ARRAY, STRING, n, data, size);
}

void ste_gguf_set_ints(struct ste_gguf *g, const char *key, const int32_t *v, uint64_t n)
{
    set(g, key, ARRAY, I32, n, ste_xmemdup(v, n * 4), n * 4);
}

void ste_gguf_set_reals(struct ste_gguf *g, const char *key, const float *v, uint64_t n)
{
    set(g, key, ARRAY, F32, n, ste_xmemdup(v, n * 4), n * 4);
}

void ste_gguf_set_bools(struct ste_gguf *g, const char *key, const bool *v, uint64_t n)
{
    set(g, key, ARRAY, BOOL, n, ste_xmemdup(v, n), n);
}

void ste_gguf_copy_keys(struct ste_gguf *g, const struct ste_gguf *from)
{
    for (size_t i = 0; i < from->n_values; i++) {
        const struct ste_gguf_value *v = &from->values[i];
        if (v->key.n >= 6 && !memcmp(v->key.s, "split.", 6))
            continue;
        char *key = ste_xstrndup(v->key.s, v->key.n);
        set(g, key, v->kind, v->item_kind, v->n, ste_xmemdup(v->data, v->size), v->size);
        ste_xfree(key);
    }
}

/* ---- tensors ---- */

uint64_t ste_tensor_rows(const struct ste_tensor *t)
{
    return t->shape[1] * t->shape[2] * t->shape[3];
}

int ste_gguf_add(struct ste_gguf *g, const char *name, enum ste_type type, int n_dims, const uint64_t *shape,
                 const void *data, struct ste_err *err)
{
    struct ste_tensor t = {.type = type, .n_dims = n_dims, .shape = {1, 1, 1, 1}, .data = data};
    uint64_t n = 1;
    for (int i = 0; i < n_dims; i++)
        if (!(t.shape[i] = shape[i]) || ste_mul_overflows(n, shape[i], &n))
            return ste_err_set(err, STE_EINPUT, "%s: tensor '%s' has an impossible shape", g->path, name);
    const uint64_t block = (uint64_t)ste_type_block(type);
    if (t.shape[0] % block)
        return ste_err_set(err, STE_EINPUT,
                           "%s: the rows of tensor '%s' have %llu weights, no multiple of %s's block of %llu", g->path,
                           name, (unsigned long long)t.shape[0], ste_type_name(type), (unsigned long long)block);
    if (ste_mul_overflows(n / block, ste_type_bytes(type), &t.size))
        return ste_err_set(err, STE_EINPUT, "%s: tensor '%s' is larger than any memory", g->path, name);
    t.name = ste_gguf_keep_small(g, ste_xstrdup(name));
    if (!ste_gguf_put_tensor(g, &t))
        return ste_err_set(err, STE_EINPUT, "%s has the tensor '%s' twice", g->path, name);
    return 0;
}

/* ---- the file ---- */

static void add_u32(struct ste_buf *b, uint32_t v)
{
    ste_buf_add(b, &v, 4);
}

static void add_u64(struct ste_buf *b, uint64_t v)
{
    ste_buf_add(b, &v, 8);
}

static void add_str(struct ste_buf *b, struct ste_str s)
{
    add_u64(b, s.n);
    ste_buf_add(b, s.s, s.n);
}

static uint64_t aligned(uint64_t n)
{
    return (n + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static bool is_alignment(const struct ste_gguf_value *v)
{
    static const char key[] = "general.alignment";
    return v->key.n == sizeof key - 1 && !memcmp(v->key.s, key, v->key.n);
}

/* All before the weights. A file that was aligned otherwise loses the key that said so. */
static void add_head(struct ste_buf *b, const struct ste_gguf *g)
{
    uint64_t n = g->n_values, offset = 0;
    for (size_t i = 0; i < g->n_values; i++)
        n -= is_alignment(&g->values[i]);
    ste_buf_adds(b, "GGUF");
    add_u32(b, 3);
    add_u64(b, g->n_tensors);
    add_u64(b, n);
    for (size_t i = 0; i < g->n_values; i++) {
        const struct ste_gguf_value *v = &g->values[i];
        if (is_alignment(v))
            continue;
        add_str(b, v->key);
        add_u32(b, v->kind);
        if (v->kind == ARRAY)
            add_u32(b, v->item_kind);
        if (v->kind == ARRAY || v->kind == STRING)
            add_u64(b, v->n);
        ste_buf_add(b, v->data, v->size);
    }
    for (size_t i = 0; i < g->n_tensors; i++) {
        const struct ste_tensor *t = &g->tensors[i];
        add_str(b, (struct ste_str){t->name, strlen(t->name)});
        add_u32(b, (uint32_t)t->n_dims);
        for (int d = 0; d < t->n_dims; d++)
            add_u64(b, t->shape[d]);
        add_u32(b, t->type);
        add_u64(b, offset);
        offset += aligned(t->size);
    }
    while (b->len % ALIGNMENT)
        ste_buf_addc(b, 0);
}

/* The rows of a tensor that has no bytes yet, a few megabytes at a time. */
static int put_made(struct ste_file_writer *w, const struct ste_tensor *t, const struct ste_gguf_maker *m,
                    struct ste_err *err)
{
    const uint64_t n = ste_tensor_rows(t), row = t->size / n, most = 1 + (4u << 20) / row;
    uint8_t *rows = ste_xmalloc((most < n ? most : n) * row);
    int rc = 0;
    for (uint64_t at = 0; at < n && !rc; at += most) {
        const uint64_t some = n - at < most ? n - at : most;
        rc = m->rows(m->arg, t, at, some, rows, err);
        if (!rc)
            rc = ste_file_put(w, rows, some * row, err);
    }
    ste_xfree(rows);
    return rc;
}

int ste_gguf_write(const struct ste_gguf *g, const char *path, const struct ste_gguf_maker *maker, struct ste_err *err)
{
    static const char zeros[ALIGNMENT];
    struct ste_buf head = STE_BUF_INIT;
    struct ste_file_writer *w = NULL;
    add_head(&head, g);
    int rc = ste_file_create(&w, path, false, err);
    if (!rc)
        rc = ste_file_put(w, head.s, head.len, err);
    for (size_t i = 0; i < g->n_tensors && !rc; i++) {
        const struct ste_tensor *t = &g->tensors[i];
        rc = t->data ? ste_file_put(w, t->data, t->size, err) : put_made(w, t, maker, err);
        if (!rc)
            rc = ste_file_put(w, zeros, aligned(t->size) - t->size, err);
    }
    ste_buf_clear(&head);
    if (!rc)
        return ste_file_commit(w, err);
    ste_file_abort(w);
    return rc;
}
