/* Small GGUF files for tests: keys and tensors are added, then gw_file gives the bytes. */
#ifndef STE_TEST_GGUF_WRITER_H
#define STE_TEST_GGUF_WRITER_H

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/file.h"
#include "core/mem.h"

struct gw {
    struct ste_buf keys, infos, data;
    uint64_t n_keys, n_tensors;
};

static inline void gw_u32(struct ste_buf *b, uint32_t v)
{
    ste_buf_add(b, &v, 4);
}
static inline void gw_u64(struct ste_buf *b, uint64_t v)
{
    ste_buf_add(b, &v, 8);
}
static inline void gw_str(struct ste_buf *b, const char *s)
{
    gw_u64(b, strlen(s));
    ste_buf_adds(b, s);
}
static inline void gw_key(struct gw *w, const char *key, uint32_t kind)
{
    gw_str(&w->keys, key);
    gw_u32(&w->keys, kind);
    w->n_keys++;
}
static inline void gw_key_u32(struct gw *w, const char *key, uint32_t v)
{
    gw_key(w, key, 4);
    gw_u32(&w->keys, v);
}
static inline void gw_key_f32(struct gw *w, const char *key, float v)
{
    gw_key(w, key, 6);
    ste_buf_add(&w->keys, &v, 4);
}
static inline void gw_key_str(struct gw *w, const char *key, const char *v)
{
    gw_key(w, key, 8);
    gw_str(&w->keys, v);
}
static inline void gw_key_strs(struct gw *w, const char *key, const char *const *v, uint64_t n)
{
    gw_key(w, key, 9);
    gw_u32(&w->keys, 8);
    gw_u64(&w->keys, n);
    for (uint64_t i = 0; i < n; i++)
        gw_str(&w->keys, v[i]);
}
static inline void gw_key_i32s(struct gw *w, const char *key, const int32_t *v, uint64_t n)
{
    gw_key(w, key, 9);
    gw_u32(&w->keys, 5);
    gw_u64(&w->keys, n);
    ste_buf_add(&w->keys, v, n * 4);
}
/* BYTES may be NULL: zeros. */
static inline void gw_tensor(struct gw *w, const char *name, uint32_t type, uint32_t n_dims, const uint64_t *shape,
                             const void *bytes, size_t size)
{
    gw_str(&w->infos, name);
    gw_u32(&w->infos, n_dims);
    for (uint32_t i = 0; i < n_dims; i++)
        gw_u64(&w->infos, shape[i]);
    gw_u32(&w->infos, type);
    gw_u64(&w->infos, w->data.len);
    w->n_tensors++;
    for (size_t i = 0; i < size; i++)
        ste_buf_addc(&w->data, bytes ? ((const char *)bytes)[i] : 0);
    while (w->data.len % 32)
        ste_buf_addc(&w->data, 0);
}
/* The file's bytes go to OUT; W is empty again. */
static inline void gw_file(struct gw *w, struct ste_buf *out)
{
    ste_buf_adds(out, "GGUF");
    gw_u32(out, 3);
    gw_u64(out, w->n_tensors);
    gw_u64(out, w->n_keys);
    ste_buf_add(out, w->keys.s, w->keys.len);
    ste_buf_add(out, w->infos.s, w->infos.len);
    while (out->len % 32)
        ste_buf_addc(out, 0);
    ste_buf_add(out, w->data.s, w->data.len);
    ste_buf_clear(&w->keys);
    ste_buf_clear(&w->infos);
    ste_buf_clear(&w->data);
    *w = (struct gw){0};
}

/* A file's path in a folder of its own; gw_temp_remove takes both away. */
static inline char *gw_temp(const char *name)
{
    const char *base = getenv("TMPDIR");
    char *dir = ste_xasprintf("%s/ste-test-XXXXXX", base && *base ? base : P_tmpdir);
    if (!mkdtemp(dir))
        abort();
    char *path = ste_path_join(dir, name);
    free(dir);
    return path;
}
static inline void gw_temp_remove(char *path)
{
    unlink(path);
    *strrchr(path, '/') = 0;
    rmdir(path);
    free(path);
}
/* In place and without a sync, for thousands of files: truncating to nothing first would make some file systems wait
 * for the disk each time. */
static inline void gw_write(const char *path, const void *p, size_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    struct stat st;
    if (fd < 0 || (n && pwrite(fd, p, n, 0) != (ssize_t)n) || fstat(fd, &st) ||
        ((size_t)st.st_size != n && ftruncate(fd, (off_t)n)) || close(fd))
        abort();
}

#endif
