#include "model/safetensors.h"

#include <fcntl.h>
#include <jansson.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/file.h"
#include "core/mem.h"

/* The format: 8 bytes, the header's length; the header, JSON: name -> {dtype, shape, data_offsets}; the values. */

static const struct {
    const char *name;
    uint64_t size;
} types[] = {[STE_ST_F32] = {"F32", 4}, [STE_ST_F16] = {"F16", 2}, [STE_ST_BF16] = {"BF16", 2}};
enum { N_TYPES = sizeof types / sizeof *types };
enum { MAX_HEADER = 100 << 20 };

static bool non_negative(const json_t *j, uint64_t *out)
{
    if (!json_is_integer(j) || json_integer_value(j) < 0)
        return false;
    *out = (uint64_t)json_integer_value(j);
    return true;
}

/* NULL, or what is wrong. */
static const char *read_tensor(struct ste_st_tensor *t, const json_t *j, const uint8_t *data, uint64_t size)
{
    const char *type = json_string_value(json_object_get(j, "dtype"));
    const json_t *shape = json_object_get(j, "shape"), *offsets = json_object_get(j, "data_offsets");
    int known = -1;
    for (int i = 0; i < N_TYPES && type; i++)
        if (!strcmp(types[i].name, type))
            known = i;
    if (known < 0)
        return "has a type other than F32, F16 and BF16";
    t->type = (enum ste_st_type)known;
    if (!json_is_array(shape) || json_array_size(shape) > 4)
        return "has no shape of at most four dimensions";
    uint64_t bytes = types[known].size, begin, end;
    t->n_dims = (int)json_array_size(shape);
    for (int i = 0; i < 4; i++) {
        t->shape[i] = 1;
        if (i < t->n_dims && (!non_negative(json_array_get(shape, (size_t)i), &t->shape[i]) ||
                              ste_mul_overflows(bytes, t->shape[i], &bytes)))
            return "has an impossible shape";
    }
    if (!json_is_array(offsets) || json_array_size(offsets) != 2 || !non_negative(json_array_get(offsets, 0), &begin) ||
        !non_negative(json_array_get(offsets, 1), &end) || end < begin || end > size)
        return "lies outside the file (it may have been cut off)";
    if (end - begin != bytes)
        return "has as many bytes as its shape does not need";
    t->data = data + begin;
    t->size = bytes;
    return NULL;
}

static int read_header(struct ste_safetensors *st, const char *path, struct ste_err *err)
{
    const uint8_t *map = st->map;
    uint64_t n = 0;
    if (st->map_size >= 8)
        memcpy(&n, map, 8);
    if (st->map_size < 8 || n > MAX_HEADER || n > st->map_size - 8)
        return ste_err_set(err, STE_EINPUT,
                           "%s is not a safetensors file: its header would be %llu bytes long, the file is %zu", path,
                           (unsigned long long)n, st->map_size);
    json_error_t e;
    json_t *root = json_loadb((const char *)map + 8, n, JSON_REJECT_DUPLICATES, &e), *j;
    const char *name;
    int rc = 0;
    if (!json_is_object(root)) {
        json_decref(root);
        return ste_err_set(err, STE_EINPUT, "%s is not a safetensors file: its header is not a JSON object", path);
    }
    st->data_start = 8 + n;
    st->tensors = ste_xcalloc(json_object_size(root), sizeof *st->tensors);
    json_object_foreach(root, name, j)
    {
        if (!strcmp(name, "__metadata__"))
            continue;
        struct ste_st_tensor *t = &st->tensors[st->n++];
        t->name = ste_xstrdup(name);
        const char *wrong = read_tensor(t, j, map + 8 + n, st->map_size - 8 - n);
        if (wrong) {
            const char *type = json_string_value(json_object_get(j, "dtype"));
            rc = ste_err_set(err, STE_EINPUT, "%s: tensor '%.80s' %s (it is %.20s)", path, name, wrong,
                             type ? type : "of none");
            break;
        }
    }
    json_decref(root);
    return rc;
}

int ste_safetensors_open(struct ste_safetensors *st, const char *path, struct ste_err *err)
{
    *st = (struct ste_safetensors){0};
    int fd = ste_open(path, O_RDONLY);
    if (fd < 0)
        return ste_err_errno(err, "cannot open %s", path);
    struct stat s;
    int rc = 0;
    if (fstat(fd, &s) || !S_ISREG(s.st_mode) || s.st_size < 8) {
        rc = ste_err_set(err, STE_EINPUT, "%s is not a safetensors file: it is shorter than a header", path);
    } else {
        st->map_size = (size_t)s.st_size;
        st->map = mmap(NULL, st->map_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (st->map == MAP_FAILED) {
            st->map = NULL;
            rc = ste_err_errno(err, "cannot map %s", path);
        } else {
            ste_big_own(st->map, st->map_size);
        }
    }
    ste_close(fd);
    if (!rc)
        rc = read_header(st, path, err);
    if (rc)
        ste_safetensors_close(st);
    return rc;
}

void ste_safetensors_close(struct ste_safetensors *st)
{
    for (size_t i = 0; i < st->n; i++)
        ste_xfree(st->tensors[i].name);
    ste_xfree(st->tensors);
    ste_big_free(st->map, st->map_size);
    *st = (struct ste_safetensors){0};
}

const struct ste_st_tensor *ste_safetensors_find(const struct ste_safetensors *st, const char *name)
{
    for (size_t i = 0; i < st->n; i++)
        if (!strcmp(st->tensors[i].name, name))
            return &st->tensors[i];
    return NULL;
}

int ste_safetensors_write(const char *path, const struct ste_st_tensor *tensors, size_t n, struct ste_err *err)
{
    struct ste_buf b = STE_BUF_INIT;
    json_t *root = json_pack("{s:{s:s}}", "__metadata__", "format", "pt");
    uint64_t at = 0;
    for (size_t i = 0; i < n; i++) {
        const struct ste_st_tensor *t = &tensors[i];
        json_t *shape = json_array();
        for (int d = 0; d < t->n_dims; d++)
            json_array_append_new(shape, json_integer((json_int_t)t->shape[d]));
        json_object_set_new(root, t->name,
                            json_pack("{s:s,s:o,s:[I,I]}", "dtype", types[t->type].name, "shape", shape, "data_offsets",
                                      (json_int_t)at, (json_int_t)(at + t->size)));
        at += t->size;
    }
    char *header = json_dumps(root, JSON_COMPACT);
    json_decref(root);
    if (!header)
        return ste_err_set(err, STE_EFAIL, "cannot write %s: a tensor's name is not UTF-8", path);
    uint64_t len = (strlen(header) + 7) / 8 * 8; /* spaces up to a multiple of 8, so that the values are aligned */
    ste_buf_reserve(&b, 8 + len + at);
    ste_buf_add(&b, &len, 8);
    ste_buf_adds(&b, header);
    while (b.len < 8 + len)
        ste_buf_addc(&b, ' ');
    for (size_t i = 0; i < n; i++)
        ste_buf_add(&b, tensors[i].data, tensors[i].size);
    ste_xfree(header);
    int rc = ste_file_write(path, b.s, b.len, err);
    ste_buf_clear(&b);
    return rc;
}
