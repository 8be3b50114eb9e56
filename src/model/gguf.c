#include "model/gguf_internal.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/mem.h"

const uint8_t ste_gguf_kind_size[N_KINDS] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

/* ---- tables ---- */

static uint64_t hash(struct ste_str s)
{
    uint64_t h = 0xCBF29CE484222325;
    for (uint64_t i = 0; i < s.n; i++)
        h = (h ^ (uint8_t)s.s[i]) * 0x100000001B3;
    return h ^ h >> 32;
}

static bool equal(struct ste_str a, struct ste_str b)
{
    return a.n == b.n && memcmp(a.s, b.s, a.n) == 0;
}

static struct ste_str str_of(const char *s)
{
    return (struct ste_str){s, strlen(s)};
}

typedef struct ste_str name_at_fn(const struct ste_gguf *, uint32_t);

static struct ste_str key_at(const struct ste_gguf *g, uint32_t i)
{
    return g->values[i].key;
}

static struct ste_str name_at(const struct ste_gguf *g, uint32_t i)
{
    return str_of(g->tensors[i].name);
}

/* The slot that holds S, or the empty one where it would go; NULL: the table has no slots yet. */
static uint32_t *table_slot(const struct ste_gguf *g, const struct ste_gguf_table *t, name_at_fn *at, struct ste_str s)
{
    if (!t->slots)
        return NULL;
    size_t i = hash(s) & t->mask;
    while (t->slots[i] && !equal(at(g, t->slots[i] - 1), s))
        i = (i + 1) & t->mask;
    return &t->slots[i];
}

/* Enters the item behind the last one, which is at its place already. False: one of that name is there. */
static bool table_add(const struct ste_gguf *g, struct ste_gguf_table *t, name_at_fn *at)
{
    if (!t->slots || 2 * t->n >= t->mask) {
        const size_t size = t->slots ? 4 * (t->mask + 1) : 64;
        ste_xfree(t->slots);
        t->slots = ste_xcalloc(size, sizeof *t->slots);
        t->mask = size - 1;
        for (uint32_t i = 0; i < t->n; i++)
            *table_slot(g, t, at, at(g, i)) = i + 1;
    }
    uint32_t *slot = table_slot(g, t, at, at(g, (uint32_t)t->n));
    if (*slot)
        return false;
    *slot = (uint32_t)++t->n;
    return true;
}

static uint32_t find(const struct ste_gguf *g, const struct ste_gguf_table *t, name_at_fn *at, const char *name)
{
    const uint32_t *slot = table_slot(g, t, at, str_of(name));
    return slot ? *slot : 0;
}

/* ---- the whole ---- */

struct ste_gguf *ste_gguf_new(const char *name)
{
    struct ste_gguf *g = ste_xcalloc(1, sizeof *g);
    g->path = ste_xstrdup(name);
    return g;
}

void ste_gguf_close(struct ste_gguf *g)
{
    if (!g)
        return;
    for (size_t i = 0; i < g->n_large; i++)
        ste_big_free(g->large[i].p, g->large[i].size);
    for (size_t i = 0; i < g->n_small; i++)
        ste_xfree(g->small[i]);
    ste_xfree(g->large);
    ste_xfree(g->small);
    ste_xfree(g->by_key.slots);
    ste_xfree(g->by_name.slots);
    ste_xfree(g->values);
    ste_xfree(g->tensors);
    ste_xfree(g->path);
    ste_xfree(g);
}

void *ste_gguf_keep_small(struct ste_gguf *g, void *p)
{
    STE_GROW(g->small, g->small_cap, g->n_small + 1);
    return g->small[g->n_small++] = p;
}

static void keep_large(struct ste_gguf *g, struct ste_gguf_bytes bytes)
{
    STE_GROW(g->large, g->large_cap, g->n_large + 1);
    g->large[g->n_large++] = bytes;
}

void ste_gguf_keep(struct ste_gguf *g, void *p, size_t size)
{
    keep_large(g, (struct ste_gguf_bytes){p, size, size});
}

void ste_gguf_keep_map(struct ste_gguf *g, void *p, size_t size, size_t weights)
{
    keep_large(g, (struct ste_gguf_bytes){p, size, weights});
}

bool ste_gguf_put_value(struct ste_gguf *g, const struct ste_gguf_value *v)
{
    STE_GROW(g->values, g->values_cap, g->n_values + 1);
    g->values[g->n_values] = *v;
    if (!table_add(g, &g->by_key, key_at))
        return false;
    g->n_values++;
    return true;
}

bool ste_gguf_put_tensor(struct ste_gguf *g, const struct ste_tensor *t)
{
    STE_GROW(g->tensors, g->tensors_cap, g->n_tensors + 1);
    g->tensors[g->n_tensors] = *t;
    if (!table_add(g, &g->by_name, name_at))
        return false;
    g->n_tensors++;
    return true;
}

const char *ste_gguf_absorb(struct ste_gguf *g, struct ste_gguf *part)
{
    const char *twice = NULL;
    for (size_t i = 0; i < part->n_large; i++)
        keep_large(g, part->large[i]);
    for (size_t i = 0; i < part->n_small; i++)
        ste_gguf_keep_small(g, part->small[i]);
    part->n_large = part->n_small = 0;
    for (size_t i = 0; i < part->n_tensors && !twice; i++)
        if (!ste_gguf_put_tensor(g, &part->tensors[i]))
            twice = part->tensors[i].name;
    return twice;
}

void ste_gguf_drop_pages(const struct ste_gguf *g)
{
    const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    for (size_t i = 0; g && i < g->n_large; i++) {
        const struct ste_gguf_bytes *b = &g->large[i];
        const uint64_t from = (b->weights + page - 1) / page * page;
        if (from < b->size)
            madvise((char *)b->p + from, b->size - from, MADV_DONTNEED);
    }
}

const char *ste_gguf_path(const struct ste_gguf *g)
{
    return g->path;
}

bool ste_gguf_is_folder(const struct ste_gguf *g)
{
    return g->is_folder;
}

void ste_gguf_mark_folder(struct ste_gguf *g)
{
    g->is_folder = true;
}

uint64_t ste_gguf_n_tensors(const struct ste_gguf *g)
{
    return g->n_tensors;
}

const struct ste_tensor *ste_gguf_tensor_at(const struct ste_gguf *g, uint64_t i)
{
    return i < g->n_tensors ? &g->tensors[i] : NULL;
}

const struct ste_tensor *ste_gguf_tensor(const struct ste_gguf *g, const char *name)
{
    const uint32_t i = find(g, &g->by_name, name_at, name);
    return i ? &g->tensors[i - 1] : NULL;
}

/* ---- keys ---- */

struct ste_gguf_value *ste_gguf_find(const struct ste_gguf *g, const char *key)
{
    const uint32_t i = find(g, &g->by_key, key_at, key);
    return i ? &g->values[i - 1] : NULL;
}

/* False for a kind that is no integer and for an unsigned one beyond int64. */
static bool int_of(uint32_t kind, const uint8_t *p, int64_t *out)
{
    uint64_t u = 0;
    if (kind == F32 || kind == BOOL || kind >= N_KINDS || !ste_gguf_kind_size[kind] || kind == F64)
        return false;
    memcpy(&u, p, ste_gguf_kind_size[kind]);
    switch (kind) {
    case I8:
        *out = (int8_t)u;
        return true;
    case I16:
        *out = (int16_t)u;
        return true;
    case I32:
        *out = (int32_t)u;
        return true;
    default:
        *out = (int64_t)u;
        return kind == I64 || u <= INT64_MAX;
    }
}

bool ste_gguf_int(const struct ste_gguf *g, const char *key, int64_t *out)
{
    const struct ste_gguf_value *v = ste_gguf_find(g, key);
    int64_t i;
    if (!v || !int_of(v->kind, v->data, &i))
        return false;
    *out = i;
    return true;
}

bool ste_gguf_real(const struct ste_gguf *g, const char *key, double *out)
{
    const struct ste_gguf_value *v = ste_gguf_find(g, key);
    float f;
    if (!v || (v->kind != F32 && v->kind != F64))
        return false;
    if (v->kind == F64) {
        memcpy(out, v->data, sizeof *out);
    } else {
        memcpy(&f, v->data, sizeof f);
        *out = (double)f;
    }
    return true;
}

bool ste_gguf_bool(const struct ste_gguf *g, const char *key, bool *out)
{
    const struct ste_gguf_value *v = ste_gguf_find(g, key);
    if (!v || v->kind != BOOL)
        return false;
    *out = *v->data != 0;
    return true;
}

bool ste_gguf_string(const struct ste_gguf *g, const char *key, struct ste_str *out)
{
    const struct ste_gguf_value *v = ste_gguf_find(g, key);
    if (!v || v->kind != STRING)
        return false;
    *out = (struct ste_str){(const char *)v->data, v->n};
    return true;
}

bool ste_gguf_strings(const struct ste_gguf *g, const char *key, struct ste_str **out, uint64_t *n)
{
    const struct ste_gguf_value *v = ste_gguf_find(g, key);
    if (!v || v->kind != ARRAY || v->item_kind != STRING)
        return false;
    struct ste_str *s = ste_xcalloc(v->n, sizeof *s);
    const uint8_t *p = v->data;
    for (uint64_t i = 0; i < v->n; i++) { /* lengths were checked when the file was opened */
        memcpy(&s[i].n, p, 8);
        s[i].s = (const char *)p + 8;
        p += 8 + s[i].n;
    }
    *out = s;
    *n = v->n;
    return true;
}

bool ste_gguf_ints(const struct ste_gguf *g, const char *key, int64_t **out, uint64_t *n)
{
    const struct ste_gguf_value *v = ste_gguf_find(g, key);
    if (!v || v->kind != ARRAY || v->item_kind == STRING)
        return false;
    int64_t *a = ste_xcalloc(v->n, sizeof *a);
    for (uint64_t i = 0; i < v->n; i++)
        if (v->item_kind == BOOL)
            a[i] = v->data[i] != 0;
        else if (!int_of(v->item_kind, v->data + i * ste_gguf_kind_size[v->item_kind], &a[i])) {
            ste_xfree(a);
            return false;
        }
    *out = a;
    *n = v->n;
    return true;
}

bool ste_gguf_reals(const struct ste_gguf *g, const char *key, float **out, uint64_t *n)
{
    const struct ste_gguf_value *v = ste_gguf_find(g, key);
    if (!v || v->kind != ARRAY || v->item_kind != F32)
        return false;
    *out = ste_xcalloc(v->n, sizeof **out);
    memcpy(*out, v->data, v->n * sizeof **out);
    *n = v->n;
    return true;
}

static bool says(const struct ste_gguf *g, const char *key, const char *value)
{
    struct ste_str s;
    return ste_gguf_string(g, key, &s) && s.n == strlen(value) && !memcmp(s.s, value, s.n);
}

int ste_gguf_check_model(const struct ste_gguf *g, struct ste_err *err)
{
    const char *path = g->path;
    struct ste_str s;
    if (says(g, "general.type", "adapter") || ste_gguf_string(g, "adapter.type", &s))
        return ste_err_set(err, STE_EINPUT,
                           "%s is a LoRA adapter for llama.cpp, not a model; name the folder with its "
                           "adapter_config.json, or the model that it is for",
                           path);
    if (ste_gguf_string(g, "general.type", &s) && !says(g, "general.type", "model"))
        return ste_err_set(err, STE_EINPUT, "%s is no model: its general.type is '%.*s'", path,
                           (int)(s.n < 40 ? s.n : 40), s.s);
    return 0;
}
