#include <fcntl.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "core/file.h"
#include "core/mem.h"
#include "model/gguf_internal.h"

/* ---- reading: a cursor that never passes the end ---- */

struct cursor {
    const char *path;
    const uint8_t *map;
    uint64_t size, at;
    struct ste_err *err;
};

static int cut_off(struct cursor *c, const char *what)
{
    return ste_err_set(
        c->err, STE_EINPUT,
        "%s is not a whole GGUF file: it ends within %s (%llu bytes; it may have been cut off, fetch it again)",
        c->path, what, (unsigned long long)c->size);
}

static int take(struct cursor *c, void *out, uint64_t n, const char *what)
{
    if (n > c->size - c->at)
        return cut_off(c, what);
    memcpy(out, c->map + c->at, n);
    c->at += n;
    return 0;
}

static int take_string(struct cursor *c, struct ste_str *out, const char *what)
{
    int rc = take(c, &out->n, 8, what);
    if (rc)
        return rc;
    if (out->n > c->size - c->at)
        return ste_err_set(c->err, STE_EINPUT, "%s is damaged: %s says it is %llu bytes long, the file has %llu left",
                           c->path, what, (unsigned long long)out->n, (unsigned long long)(c->size - c->at));
    out->s = (const char *)c->map + c->at;
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

/* ---- keys ---- */

static int read_value(struct cursor *c, struct ste_gguf_value *v)
{
    const char *path = c->path;
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
        v->n = v->size = str.n;
        return rc;
    }
    if (v->kind != ARRAY) {
        v->data = c->map + c->at;
        if (ste_gguf_kind_size[v->kind] > c->size - c->at)
            return cut_off(c, "the value of a key");
        if (v->kind == BOOL && *v->data > 1)
            return ste_err_set(c->err, STE_EINPUT, "%s is damaged: key '%s' is a truth value of %u", path, key.s,
                               *v->data);
        c->at += v->size = ste_gguf_kind_size[v->kind];
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
    v->data = c->map + c->at;
    uint64_t left = c->size - c->at, least = v->item_kind == STRING ? 8 : ste_gguf_kind_size[v->item_kind];
    if (v->n > left / least)
        return ste_err_set(c->err, STE_EINPUT,
                           "%s is damaged: the array '%s' says it has %llu items, the file has %llu bytes left", path,
                           key.s, (unsigned long long)v->n, (unsigned long long)left);
    if (v->item_kind != STRING)
        c->at += v->n * least;
    else
        for (uint64_t i = 0; i < v->n && !rc; i++)
            rc = take_string(c, &str, "a string of an array");
    v->size = (uint64_t)(c->map + c->at - v->data);
    return rc;
}

static int read_values(struct cursor *c, struct ste_gguf *g, uint64_t n)
{
    /* A key takes 13 bytes at least, so the count is bounded by the file before memory is asked for. */
    if (n > (c->size - c->at) / 13 || n > UINT32_MAX / 4)
        return ste_err_set(c->err, STE_EINPUT, "%s is damaged: it says it has %llu keys, in a file of %llu bytes",
                           c->path, (unsigned long long)n, (unsigned long long)c->size);
    for (uint64_t i = 0; i < n; i++) {
        struct ste_gguf_value v = {0};
        int rc = take_string(c, &v.key, "the name of a key");
        if (!rc)
            rc = read_value(c, &v);
        if (rc)
            return rc;
        if (!ste_gguf_put_value(g, &v))
            return ste_err_set(c->err, STE_EINPUT, "%s is damaged: key '%s' stands in it twice", c->path,
                               show(v.key).s);
    }
    return 0;
}

/* ---- tensors ---- */

static int read_tensor(struct cursor *c, struct ste_tensor *t, struct ste_str name, uint64_t *offset)
{
    const char *path = c->path;
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
    if (!ste_type_name(t->type)) {
        const char *known = ste_type_unread_name(type);
        char what[32];
        if (known)
            snprintf(what, sizeof what, "type %s", known);
        else
            snprintf(what, sizeof what, "unknown type %u", type);
        return ste_err_set(c->err, STE_EINPUT,
                           "%s: tensor '%s' has the %s, which ste does not read; take the model as Q4_K_M, or as "
                           "IQ4_XS, Q3_K_M or Q2_K where it must be smaller",
                           path, shown.s, what);
    }
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

static int place_tensor(struct cursor *c, struct ste_tensor *t, uint64_t start, uint64_t offset, uint64_t alignment)
{
    if (offset % alignment)
        return ste_err_set(c->err, STE_EINPUT,
                           "%s is damaged: tensor '%s' begins at offset %llu, no multiple of the alignment %llu",
                           c->path, t->name, (unsigned long long)offset, (unsigned long long)alignment);
    uint64_t begin, end;
    if (ste_add_overflows(start, offset, &begin) || ste_add_overflows(begin, t->size, &end) || end > c->size)
        return ste_err_set(c->err, STE_EINPUT,
                           "%s is cut off or damaged: tensor '%s' needs %llu bytes at offset %llu, the file has %llu "
                           "bytes in all; fetch it again",
                           c->path, t->name, (unsigned long long)t->size, (unsigned long long)offset,
                           (unsigned long long)c->size);
    t->data = c->map + begin;
    return 0;
}

static int read_alignment(struct cursor *c, const struct ste_gguf *g, uint64_t *alignment)
{
    int64_t a = 32;
    ste_gguf_int(g, "general.alignment", &a);
    if (a < 8 || a > 1 << 20 || (a & (a - 1)))
        return ste_err_set(c->err, STE_EINPUT, "%s is damaged: its alignment is %lld, not a power of two from 8 up",
                           c->path, (long long)a);
    *alignment = (uint64_t)a;
    return 0;
}

/* WEIGHTS: where they begin in the file. */
static int read_tensors(struct cursor *c, struct ste_gguf *g, uint64_t n, uint64_t *weights)
{
    uint64_t left = c->size - c->at, alignment = 32, *offsets = NULL;
    int rc = read_alignment(c, g, &alignment);
    if (rc)
        return rc;
    if (n > left / 32 || n > UINT32_MAX / 4) /* 32 bytes each at least */
        return ste_err_set(c->err, STE_EINPUT, "%s is damaged: it says it has %llu tensors, in a file of %llu bytes",
                           c->path, (unsigned long long)n, (unsigned long long)c->size);
    offsets = ste_xcalloc(n, sizeof *offsets);
    /* A name takes its bytes and 8 for its length in the file, so the names and their NULs fit what is left of it. */
    char *name_end = ste_gguf_keep_small(g, ste_xmalloc(n * 256 < left ? n * 256 : left));
    for (uint64_t i = 0; i < n && !rc; i++) {
        struct ste_tensor t = {0};
        struct ste_str name;
        if ((rc = take_string(c, &name, "the name of a tensor")))
            break;
        if (!name.n || name.n > 255 || memchr(name.s, 0, name.n)) {
            rc = ste_err_set(c->err, STE_EINPUT, "%s is damaged: the name of tensor %llu ('%s') is no name", c->path,
                             (unsigned long long)i, show(name).s);
            break;
        }
        t.name = name_end;
        memcpy(name_end, name.s, name.n);
        name_end[name.n] = 0;
        name_end += name.n + 1;
        rc = read_tensor(c, &t, name, &offsets[i]);
        if (!rc && !ste_gguf_put_tensor(g, &t))
            rc =
                ste_err_set(c->err, STE_EINPUT, "%s is damaged: tensor '%s' stands in it twice", c->path, show(name).s);
    }
    /* At most the file's size plus 2^20: no overflow. */
    *weights = (c->at + alignment - 1) & ~(alignment - 1);
    for (uint64_t i = 0; i < n && !rc; i++)
        rc = place_tensor(c, &g->tensors[i], *weights, offsets[i], alignment);
    ste_xfree(offsets);
    return rc;
}

/* ---- the file ---- */

static int map_file(struct cursor *c)
{
    int fd = ste_open(c->path, O_RDONLY);
    if (fd < 0)
        return ste_err_errno(c->err, "cannot open the model %s", c->path);
    struct stat st;
    int rc = 0;
    if (fstat(fd, &st))
        rc = ste_err_errno(c->err, "cannot read %s", c->path);
    else if (!S_ISREG(st.st_mode))
        rc = ste_err_set(c->err, STE_EINPUT, "%s is not a file, so it is no GGUF file", c->path);
    else if (st.st_size == 0)
        rc = ste_err_set(c->err, STE_EINPUT, "%s is not a GGUF file: it is empty", c->path);
    else {
        void *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (map == MAP_FAILED)
            rc = ste_err_errno(c->err, "cannot map %s", c->path);
        else {
            ste_big_own(map, (size_t)st.st_size);
            c->map = map, c->size = (uint64_t)st.st_size;
        }
    }
    ste_close(fd);
    return rc;
}

static int read_mapped(struct cursor *c, struct ste_gguf *g, uint64_t *weights)
{
    char magic[4] = {0};
    const char *is = ste_bytes_are(c->map, c->size);
    uint32_t version = 0;
    uint64_t n_tensors = 0, n_values = 0;
    int rc;
    if (c->size < 4 || memcmp(c->map, "GGUF", 4))
        return ste_err_set(c->err, STE_EINPUT, "%s is not a GGUF file: it %s%s", c->path,
                           is ? "is " : "does not begin ", is ? is : "with 'GGUF'");
    if ((rc = take(c, &magic, 4, "its head")) || (rc = take(c, &version, 4, "its head")) ||
        (rc = take(c, &n_tensors, 8, "its head")) || (rc = take(c, &n_values, 8, "its head")))
        return rc;
    if (version != 3 && version != 2) /* 2 has the same layout */
        return ste_err_set(c->err, STE_EINPUT, "%s is GGUF version %u%s; ste reads version 3", c->path, version,
                           version & 0xFFFF ? "" : " (it seems to be big-endian)");
    if ((rc = read_values(c, g, n_values)))
        return rc;
    return read_tensors(c, g, n_tensors, weights);
}

static int open_file(struct ste_gguf **out, const char *path, struct ste_err *err)
{
    struct ste_gguf *g = *out = ste_gguf_new(path);
    struct cursor c = {.path = path, .err = err};
    uint64_t weights = 0;
    int rc = map_file(&c);
    if (!rc)
        rc = read_mapped(&c, g, &weights);
    if (c.map)
        ste_gguf_keep_map(g, (void *)(uintptr_t)c.map, c.size, weights);
    return rc;
}

/* ---- a model in parts ---- */

/* The length of what stands before "-00001-of-00003.gguf" in PATH, and its numbers; 0: it ends otherwise. */
static size_t part_of(const char *path, int64_t *no, int64_t *count)
{
    enum { TAIL = sizeof "-00001-of-00003.gguf" - 1 };
    const size_t n = strlen(path);
    const char *tail = path + n - TAIL;
    if (n <= TAIL || memcmp(tail, "-", 1) || memcmp(tail + 6, "-of-", 4) || memcmp(tail + 15, ".gguf", 5) ||
        strspn(tail + 1, "0123456789") != 5 || strspn(tail + 10, "0123456789") != 5)
        return 0;
    *no = strtoll(tail + 1, NULL, 10);
    *count = strtoll(tail + 10, NULL, 10);
    return n - TAIL;
}

char *ste_gguf_part_path(const char *path, int i)
{
    int64_t no, count;
    const size_t stem = part_of(path, &no, &count);
    if (!stem)
        return i == 0 ? ste_xstrdup(path) : NULL;
    return i < count ? ste_xasprintf("%.*s-%05d-of-%05d.gguf", (int)stem, path, i + 1, (int)count) : NULL;
}

/* G, which was read from PATH, is part I of COUNT. */
static int check_part(const struct ste_gguf *g, const char *path, int64_t i, int64_t count, struct ste_err *err)
{
    int64_t no = 0, says = 1;
    ste_gguf_int(g, "split.no", &no);
    ste_gguf_int(g, "split.count", &says);
    if (no == i && says == count)
        return 0;
    return ste_err_set(err, STE_EINPUT,
                       "%s is part %lld of %lld of a model by its keys; ste finds the parts by their names, which end "
                       "in -00001-of-%05lld.gguf and so on: give each its own again",
                       path, (long long)no + 1, (long long)says, (long long)(says < 99999 ? says : 99999));
}

static int add_part(struct ste_gguf *g, const char *path, int i, int64_t count, struct ste_err *err)
{
    struct ste_gguf *part = NULL;
    int rc = open_file(&part, path, err);
    if (rc == STE_EIO)
        rc = ste_err_wrap(err, "the model %s has %lld parts", g->path, (long long)count);
    if (!rc)
        rc = check_part(part, path, i, count, err);
    const char *twice = rc ? NULL : ste_gguf_absorb(g, part);
    if (twice)
        rc = ste_err_set(err, STE_EINPUT, "%s is damaged: tensor '%s' stands in another part too", path, twice);
    ste_gguf_close(part);
    return rc;
}

static int open_parts(struct ste_gguf *g, struct ste_err *err)
{
    int64_t no = 1, count = 1, tensors;
    part_of(g->path, &no, &count);
    int rc = check_part(g, g->path, no - 1, count, err);
    for (int i = 1; i < count && !rc; i++) {
        char *path = ste_gguf_part_path(g->path, i);
        rc = add_part(g, path, i, count, err);
        ste_xfree(path);
    }
    if (!rc && ste_gguf_int(g, "split.tensors.count", &tensors) && (uint64_t)tensors != g->n_tensors)
        rc = ste_err_set(err, STE_EINPUT, "%s and its parts have %zu tensors, and it says %lld; fetch them again",
                         g->path, g->n_tensors, (long long)tensors);
    return rc;
}

int ste_gguf_open(struct ste_gguf **out, const char *path, struct ste_err *err)
{
    char *first = ste_gguf_part_path(path, 0);
    int rc = open_file(out, first ? first : path, err);
    if (!rc)
        rc = open_parts(*out, err);
    if (rc) {
        ste_gguf_close(*out);
        *out = NULL;
    }
    ste_xfree(first);
    return rc;
}
