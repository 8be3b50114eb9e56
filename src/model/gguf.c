#include "model/gguf.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/file.h"
#include "core/mem.h"

enum kind { U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64, N_KINDS };
static const uint8_t kind_size[N_KINDS] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

struct value {
    struct ste_str key;
    uint32_t kind;
    uint32_t item_kind; /* of an array */
    uint64_t n;         /* items of an array, bytes of a string */
    const uint8_t *data;
};

/* An open-addressed table of indices + 1; 0 is empty. */
struct table {
    uint32_t *slots;
    size_t mask;
};

struct ste_gguf {
    char *path;
    const uint8_t *map;
    size_t size;
    struct value *values;
    uint64_t n_values, n_tensors;
    struct ste_tensor *tensors;
    struct table by_key, by_name;
    char *names; /* the tensors' names, NUL-terminated, one after the other */
    uint64_t data_start;
};

/* ---- reading: a cursor that never passes the end ---- */

struct cursor {
    const struct ste_gguf *g;
    uint64_t at;
    struct ste_err *err;
};

static int cut_off(struct cursor *c, const char *what)
{
    return ste_err_set(
        c->err, STE_EINPUT,
        "%s is not a whole GGUF file: it ends within %s (%zu bytes; it may have been cut off, fetch it again)",
        c->g->path, what, c->g->size);
}

static int take(struct cursor *c, void *out, uint64_t n, const char *what)
{
    if (n > c->g->size - c->at)
        return cut_off(c, what);
    memcpy(out, c->g->map + c->at, n);
    c->at += n;
    return 0;
}

static int take_string(struct cursor *c, struct ste_str *out, const char *what)
{
    int rc = take(c, &out->n, 8, what);
    if (rc)
        return rc;
    if (out->n > c->g->size - c->at)
        return ste_err_set(c->err, STE_EINPUT, "%s is damaged: %s says it is %llu bytes long, the file has %llu left",
                           c->g->path, what, (unsigned long long)out->n, (unsigned long long)(c->g->size - c->at));
    out->s = (const char *)c->g->map + c->at;
    c->at += out->n;
    return 0;
}

/* Names from the file go into error sentences: short, and with nothing a terminal would act on. */
struct shown {
    char s[72];
};
static struct shown show(struct ste_str str)
{
    struct shown o;
    size_t n = str.n < sizeof o.s - 4 ? str.n : sizeof o.s - 4;
    for (size_t i = 0; i < n; i++)
        o.s[i] = str.s[i] >= 32 && str.s[i] < 127 ? str.s[i] : '?';
    strcpy(o.s + n, n < str.n ? "..." : "");
    return o;
}

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

static void table_init(struct table *t, uint64_t n)
{
    size_t size = 16;
    while (size < 2 * n)
        size *= 2;
    t->slots = ste_xcalloc(size, sizeof *t->slots);
    t->mask = size - 1;
}

static struct ste_str key_at(const struct ste_gguf *g, uint32_t i)
{
    return g->values[i].key;
}

static struct ste_str name_at(const struct ste_gguf *g, uint32_t i)
{
    return (struct ste_str){g->tensors[i].name, strlen(g->tensors[i].name)};
}

/* The slot that holds S, or the empty one where it would go. */
static uint32_t *table_slot(const struct ste_gguf *g, const struct table *t,
                            struct ste_str (*at)(const struct ste_gguf *, uint32_t), struct ste_str s)
{
    size_t i = hash(s) & t->mask;
    while (t->slots[i] && !equal(at(g, t->slots[i] - 1), s))
        i = (i + 1) & t->mask;
    return &t->slots[i];
}

/* ---- keys ---- */

static int read_value(struct cursor *c, struct value *v)
{
    const char *path = c->g->path;
    struct shown key = show(v->key);
    int rc = take(c, &v->kind, 4, "the type of a key");
    if (rc)
        return rc;
    if (v->kind >= N_KINDS)
        return ste_err_set(c->err, STE_EINPUT, "%s is damaged: key '%s' has the unknown type %u", path, key.s, v->kind);
    struct ste_str str = {0};
    if (v->kind == STRING) {
        rc = take_string(c, &str, "the value of a key");
        v->data = (const uint8_t *)str.s;
        v->n = str.n;
        return rc;
    }
    if (v->kind != ARRAY) {
        v->data = c->g->map + c->at;
        if (kind_size[v->kind] > c->g->size - c->at)
            return cut_off(c, "the value of a key");
        if (v->kind == BOOL && *v->data > 1)
            return ste_err_set(c->err, STE_EINPUT, "%s is damaged: key '%s' is a truth value of %u", path, key.s,
                               *v->data);
        c->at += kind_size[v->kind];
        return 0;
    }
    if ((rc = take(c, &v->item_kind, 4, "the type of an array")) || (rc = take(c, &v->n, 8, "the length of an array")))
        return rc;
    if (v->item_kind >= N_KINDS)
        return ste_err_set(c->err, STE_EINPUT, "%s is damaged: the array '%s' has items of the unknown type %u", path,
                           key.s, v->item_kind);
    if (v->item_kind == ARRAY)
        return ste_err_set(c->err, STE_EINPUT, "%s: key '%s' is an array of arrays, which ste does not read", path,
                           key.s);
    v->data = c->g->map + c->at;
    uint64_t left = c->g->size - c->at, least = v->item_kind == STRING ? 8 : kind_size[v->item_kind];
    if (v->n > left / least)
        return ste_err_set(c->err, STE_EINPUT,
                           "%s is damaged: the array '%s' says it has %llu items, the file has %llu bytes left", path,
                           key.s, (unsigned long long)v->n, (unsigned long long)left);
    if (v->item_kind != STRING) {
        c->at += v->n * least;
        return 0;
    }
    for (uint64_t i = 0; i < v->n && !rc; i++)
        rc = take_string(c, &str, "a string of an array");
    return rc;
}

static int read_values(struct cursor *c, struct ste_gguf *g)
{
    /* A key takes 13 bytes at least, so the count is bounded by the file before memory is asked for. */
    uint64_t left = g->size - c->at;
    if (g->n_values > left / 13 || g->n_values > UINT32_MAX / 4)
        return ste_err_set(c->err, STE_EINPUT, "%s is damaged: it says it has %llu keys, in a file of %zu bytes",
                           g->path, (unsigned long long)g->n_values, g->size);
    g->values = ste_xcalloc(g->n_values, sizeof *g->values);
    table_init(&g->by_key, g->n_values);
    for (uint64_t i = 0; i < g->n_values; i++) {
        struct value *v = &g->values[i];
        int rc = take_string(c, &v->key, "the name of a key");
        if (!rc)
            rc = read_value(c, v);
        if (rc)
            return rc;
        uint32_t *slot = table_slot(g, &g->by_key, key_at, v->key);
        if (*slot)
            return ste_err_set(c->err, STE_EINPUT, "%s is damaged: key '%s' stands in it twice", g->path,
                               show(v->key).s);
        *slot = (uint32_t)i + 1;
    }
    return 0;
}

/* ---- tensors ---- */

static int read_tensor(struct cursor *c, struct ste_tensor *t, struct ste_str name, uint64_t *offset)
{
    const char *path = c->g->path;
    struct shown shown = show(name);
    uint32_t n_dims = 0, type = 0;
    int rc = take(c, &n_dims, 4, "a tensor's number of dimensions");
    if (rc)
        return rc;
    if (n_dims < 1 || n_dims > 4)
        return ste_err_set(c->err, STE_EINPUT, "%s is damaged: tensor '%s' has %u dimensions (1 to 4 are possible)",
                           path, shown.s, n_dims);
    t->n_dims = (int)n_dims;
    uint64_t n = 1;
    for (int i = 0; i < 4; i++) {
        t->shape[i] = 1;
        if (i < t->n_dims && (rc = take(c, &t->shape[i], 8, "a tensor's shape")))
            return rc;
        if (!t->shape[i] || ste_mul_overflows(n, t->shape[i], &n))
            return ste_err_set(c->err, STE_EINPUT,
                               "%s is damaged: tensor '%s' has an impossible shape (dimension %d is %llu)", path,
                               shown.s, i, (unsigned long long)t->shape[i]);
    }
    if ((rc = take(c, &type, 4, "a tensor's type")) || (rc = take(c, offset, 8, "a tensor's offset")))
        return rc;
    t->type = (enum ste_type)type;
    if (type > 1000 || !ste_type_name(t->type))
        return ste_err_set(c->err, STE_EINPUT,
                           "%s: tensor '%s' has the type %u, which ste does not read (it reads F32, F16, BF16, Q4_0, "
                           "Q4_1, Q5_0, Q5_1, "
                           "Q8_0, Q4_K, Q5_K and Q6_K; quantize the model to one of these)",
                           path, shown.s, type);
    uint64_t block = (uint64_t)ste_type_block(t->type);
    if (t->shape[0] % block)
        return ste_err_set(
            c->err, STE_EINPUT,
            "%s is damaged: the rows of tensor '%s' have %llu weights, no multiple of %s's block of %llu", path,
            shown.s, (unsigned long long)t->shape[0], ste_type_name(t->type), (unsigned long long)block);
    if (ste_mul_overflows(n / block, ste_type_bytes(t->type), &t->size))
        return ste_err_set(c->err, STE_EINPUT, "%s is damaged: tensor '%s' is larger than any memory", path, shown.s);
    return 0;
}

static int place_tensor(struct cursor *c, struct ste_tensor *t, uint64_t offset, uint64_t alignment)
{
    const struct ste_gguf *g = c->g;
    if (offset % alignment)
        return ste_err_set(c->err, STE_EINPUT,
                           "%s is damaged: tensor '%s' begins at offset %llu, no multiple of the alignment %llu",
                           g->path, t->name, (unsigned long long)offset, (unsigned long long)alignment);
    uint64_t begin, end;
    if (ste_add_overflows(g->data_start, offset, &begin) || ste_add_overflows(begin, t->size, &end) || end > g->size)
        return ste_err_set(c->err, STE_EINPUT,
                           "%s is cut off or damaged: tensor '%s' needs %llu bytes at offset %llu, the file has %zu "
                           "bytes in all; fetch it again",
                           g->path, t->name, (unsigned long long)t->size, (unsigned long long)offset, g->size);
    t->data = g->map + begin;
    return 0;
}

static int read_alignment(struct cursor *c, uint64_t *alignment)
{
    int64_t a = 32;
    ste_gguf_int(c->g, "general.alignment", &a);
    if (a < 8 || a > 1 << 20 || (a & (a - 1)))
        return ste_err_set(c->err, STE_EINPUT, "%s is damaged: its alignment is %lld, not a power of two from 8 up",
                           c->g->path, (long long)a);
    *alignment = (uint64_t)a;
    return 0;
}

static int read_tensors(struct cursor *c, struct ste_gguf *g)
{
    uint64_t left = g->size - c->at, alignment = 32, *offsets = NULL;
    int rc = read_alignment(c, &alignment);
    if (rc)
        return rc;
    if (g->n_tensors > left / 32 || g->n_tensors > UINT32_MAX / 4) /* 32 bytes each at least */
        return ste_err_set(c->err, STE_EINPUT, "%s is damaged: it says it has %llu tensors, in a file of %zu bytes",
                           g->path, (unsigned long long)g->n_tensors, g->size);
    g->tensors = ste_xcalloc(g->n_tensors, sizeof *g->tensors);
    offsets = ste_xcalloc(g->n_tensors, sizeof *offsets);
    table_init(&g->by_name, g->n_tensors);
    /* A name takes its bytes and 8 for its length in the file, so the names and their NULs fit what is left of it. */
    uint64_t room = g->n_tensors * 256 < left ? g->n_tensors * 256 : left;
    char *name_end = g->names = ste_xmalloc(room);
    for (uint64_t i = 0; i < g->n_tensors && !rc; i++) {
        struct ste_tensor *t = &g->tensors[i];
        struct ste_str name;
        if ((rc = take_string(c, &name, "the name of a tensor")))
            break;
        if (!name.n || name.n > 255 || memchr(name.s, 0, name.n)) {
            rc = ste_err_set(c->err, STE_EINPUT, "%s is damaged: the name of tensor %llu ('%s') is no name", g->path,
                             (unsigned long long)i, show(name).s);
            break;
        }
        t->name = name_end;
        memcpy(name_end, name.s, name.n);
        name_end[name.n] = 0;
        name_end += name.n + 1;
        uint32_t *slot = table_slot(g, &g->by_name, name_at, name);
        if (*slot)
            rc =
                ste_err_set(c->err, STE_EINPUT, "%s is damaged: tensor '%s' stands in it twice", g->path, show(name).s);
        else
            rc = read_tensor(c, t, name, &offsets[i]);
        *slot = (uint32_t)i + 1;
    }
    g->data_start = (c->at + alignment - 1) & ~(alignment - 1); /* at most the file's size plus 2^20: no overflow */
    for (uint64_t i = 0; i < g->n_tensors && !rc; i++)
        rc = place_tensor(c, &g->tensors[i], offsets[i], alignment);
    ste_xfree(offsets);
    return rc;
}

/* ---- the file ---- */

static int map_file(struct ste_gguf *g, struct ste_err *err)
{
    int fd = ste_open(g->path, O_RDONLY);
    if (fd < 0)
        return ste_err_errno(err, "cannot open the model %s", g->path);
    struct stat st;
    int rc = 0;
    if (fstat(fd, &st))
        rc = ste_err_errno(err, "cannot read %s", g->path);
    else if (!S_ISREG(st.st_mode))
        rc = ste_err_set(err, STE_EINPUT, "%s is not a file, so it is no GGUF file", g->path);
    else if (st.st_size == 0)
        rc = ste_err_set(err, STE_EINPUT, "%s is not a GGUF file: it is empty", g->path);
    else {
        void *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (map == MAP_FAILED)
            rc = ste_err_errno(err, "cannot map %s", g->path);
        else {
            ste_big_own(map, (size_t)st.st_size);
            g->map = map, g->size = (size_t)st.st_size;
        }
    }
    ste_close(fd);
    return rc;
}

static int read_file(struct ste_gguf *g, struct ste_err *err)
{
    int rc = map_file(g, err);
    if (rc)
        return rc;
    struct cursor c = {g, 0, err};
    char magic[4] = {0};
    const char *is = ste_bytes_are(g->map, g->size);
    uint32_t version = 0;
    if (g->size < 4 || memcmp(g->map, "GGUF", 4))
        return ste_err_set(err, STE_EINPUT, "%s is not a GGUF file: it %s%s", g->path, is ? "is " : "does not begin ",
                           is ? is : "with 'GGUF'");
    if ((rc = take(&c, magic, 4, "its head")) || (rc = take(&c, &version, 4, "its head")) ||
        (rc = take(&c, &g->n_tensors, 8, "its head")) || (rc = take(&c, &g->n_values, 8, "its head")))
        return rc;
    if (version != 3 && version != 2) /* 2 has the same layout */
        return ste_err_set(err, STE_EINPUT, "%s is GGUF version %u%s; ste reads version 3", g->path, version,
                           version & 0xFFFF ? "" : " (it seems to be big-endian)");
    if ((rc = read_values(&c, g)))
        return rc;
    return read_tensors(&c, g);
}

int ste_gguf_open(struct ste_gguf **out, const char *path, struct ste_err *err)
{
    struct ste_gguf *g = ste_xcalloc(1, sizeof *g);
    g->path = ste_xstrdup(path);
    int rc = read_file(g, err);
    *out = g;
    if (rc) {
        ste_gguf_close(g);
        *out = NULL;
    }
    return rc;
}

void ste_gguf_close(struct ste_gguf *g)
{
    if (!g)
        return;
    ste_big_free((void *)(uintptr_t)g->map, g->size);
    ste_xfree(g->by_key.slots);
    ste_xfree(g->by_name.slots);
    ste_xfree(g->values);
    ste_xfree(g->tensors);
    ste_xfree(g->names);
    ste_xfree(g->path);
    ste_xfree(g);
}

void ste_gguf_drop_pages(const struct ste_gguf *g)
{
    if (!g)
        return;
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), from = (g->data_start + page - 1) / page * page;
    if (from < g->size)
        madvise((void *)(uintptr_t)(g->map + from), g->size - from, MADV_DONTNEED);
}

const char *ste_gguf_path(const struct ste_gguf *g)
{
    return g->path;
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
    uint32_t i = *table_slot(g, &g->by_name, name_at, (struct ste_str){name, strlen(name)});
    return i ? &g->tensors[i - 1] : NULL;
}

static const struct value *find(const struct ste_gguf *g, const char *key)
{
    uint32_t i = *table_slot(g, &g->by_key, key_at, (struct ste_str){key, strlen(key)});
    return i ? &g->values[i - 1] : NULL;
}

/* False for a kind that is no integer and for an unsigned one beyond int64. */
static bool int_of(uint32_t kind, const uint8_t *p, int64_t *out)
{
    uint64_t u = 0;
    if (kind == F32 || kind == BOOL || kind >= N_KINDS || !kind_size[kind] || kind == F64)
        return false;
    memcpy(&u, p, kind_size[kind]);
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
    const struct value *v = find(g, key);
    int64_t i;
    if (!v || !int_of(v->kind, v->data, &i))
        return false;
    *out = i;
    return true;
}

bool ste_gguf_real(const struct ste_gguf *g, const char *key, double *out)
{
    const struct value *v = find(g, key);
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
    const struct value *v = find(g, key);
    if (!v || v->kind != BOOL)
        return false;
    *out = *v->data != 0;
    return true;
}

bool ste_gguf_string(const struct ste_gguf *g, const char *key, struct ste_str *out)
{
    const struct value *v = find(g, key);
    if (!v || v->kind != STRING)
        return false;
    *out = (struct ste_str){(const char *)v->data, v->n};
    return true;
}

bool ste_gguf_strings(const struct ste_gguf *g, const char *key, struct ste_str **out, uint64_t *n)
{
    const struct value *v = find(g, key);
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
    const struct value *v = find(g, key);
    if (!v || v->kind != ARRAY || v->item_kind == STRING)
        return false;
    int64_t *a = ste_xcalloc(v->n, sizeof *a);
    for (uint64_t i = 0; i < v->n; i++)
        if (v->item_kind == BOOL)
            a[i] = v->data[i] != 0;
        else if (!int_of(v->item_kind, v->data + i * kind_size[v->item_kind], &a[i])) {
            ste_xfree(a);
            return false;
        }
    *out = a;
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
    int64_t parts = 1, part = 0;
    if (says(g, "general.type", "adapter") || ste_gguf_string(g, "adapter.type", &s))
        return ste_err_set(err, STE_EINPUT,
                           "%s is a LoRA adapter for llama.cpp, not a model; name the folder with its "
                           "adapter_config.json, or the model that it is for",
                           path);
    if (ste_gguf_int(g, "split.count", &parts) && parts > 1) {
        ste_gguf_int(g, "split.no", &part);
        return ste_err_set(err, STE_EINPUT,
                           "%s is part %lld of %lld of a model; join them (llama.cpp's llama-gguf-split --merge FIRST "
                           "WHOLE) and name the whole",
                           path, (long long)part + 1, (long long)parts);
    }
    if (ste_gguf_string(g, "general.type", &s) && !says(g, "general.type", "model"))
        return ste_err_set(err, STE_EINPUT, "%s is no model: its general.type is '%.*s'", path,
                           (int)(s.n < 40 ? s.n : 40), s.s);
    return 0;
}
