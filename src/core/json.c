#include "core/json.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/file.h"
#include "core/interrupt.h"
#include "core/mem.h"
#include "core/utf8.h"

char *ste_json_canonical(const json_t *j)
{
    char *s = json_dumps(j, JSON_SORT_KEYS | JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(17));
    if (!s)
        abort(); /* only a value with itself inside or no memory at all */
    char *own = ste_xstrdup(s);
    free(s);
    return own;
}

json_t *ste_json_parse(const char *text, size_t n, const char *what, struct ste_err *err)
{
    json_error_t e;
    size_t bad = ste_utf8_bad(text, n);
    if (bad < n) {
        ste_err_set(err, STE_EINPUT, "%s: not UTF-8 at byte %zu; save it as UTF-8", what, bad + 1);
        return NULL;
    }
    json_t *j = json_loadb(text, n, JSON_DECODE_ANY, &e);
    if (!j)
        ste_err_set(err, STE_EINPUT, "%s: not JSON: %s (at byte %d)", what, e.text, e.position);
    return j;
}

struct ste_jsonl {
    int fd;
    bool ended;
    char *path;
    long line;
    struct ste_buf buf; /* bytes read and not yet taken start at AT */
    size_t at;
};

int ste_jsonl_open(struct ste_jsonl **out, const char *path, struct ste_err *err)
{
    *out = NULL;
    bool std = strcmp(path, "-") == 0;
    int fd = std ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return ste_err_errno(err, "cannot open %s", path);
    struct ste_jsonl *f = ste_xcalloc(1, sizeof *f);
    f->buf = (struct ste_buf)STE_BUF_INIT;
    f->fd = fd;
    f->path = ste_xstrdup(std ? "stdin" : path);
    *out = f;
    return 0;
}

/* Reads more; the bytes taken before are let go first. */
static int fill(struct ste_jsonl *f, struct ste_err *err)
{
    if (f->at) {
        memmove(f->buf.s, f->buf.s + f->at, f->buf.len - f->at);
        f->buf.len -= f->at;
        f->at = 0;
    }
    size_t more = 1 << 16;
    ste_buf_reserve(&f->buf, more);
    for (;;) {
        ssize_t n = read(f->fd, f->buf.s + f->buf.len, more);
        if (n < 0 && errno == EINTR) {
            int rc = ste_interrupt_check(err);
            if (rc)
                return rc;
            continue;
        }
        if (n < 0) {
            f->ended = true;
            return ste_err_errno(err, "cannot read %s", f->path);
        }
        f->ended = n == 0;
        f->buf.len += (size_t)n;
        f->buf.s[f->buf.len] = 0;
        return 0;
    }
}

/* The next line without its end: 1, 0 at the end of the file, or negative. *TEXT is valid until the next call. A line
 * that is too long is read to its end and let go of on the way. */
static int next_line(struct ste_jsonl *f, const char **text, size_t *n, struct ste_err *err)
{
    size_t seen = 0, dropped = 0;
    for (;;) {
        char *from = f->buf.s + f->at;
        size_t have = f->buf.len - f->at;
        char *nl = have > seen ? memchr(from + seen, '\n', have - seen) : NULL;
        if (!nl && !f->ended) {
            seen = have;
            if (have > STE_JSONL_MAX_LINE) {
                dropped += have;
                f->at = f->buf.len;
                seen = 0;
            }
            int rc = fill(f, err);
            if (rc)
                return rc;
            continue;
        }
        if (!nl && !have && !dropped)
            return 0;
        size_t len = nl ? (size_t)(nl - from) : have;
        f->at += len + (nl ? 1 : 0);
        f->line++;
        if (dropped + len > STE_JSONL_MAX_LINE)
            return ste_err_set(err, STE_EINPUT,
                               "%s:%ld: the line is %.1f MB long, more than the %u MB that a row may have", f->path,
                               f->line, (double)(dropped + len) / 1e6, STE_JSONL_MAX_LINE >> 20);
        *text = from;
        *n = len;
        return 1;
    }
}

int ste_jsonl_next(struct ste_jsonl *f, json_t **row, struct ste_err *err)
{
    *row = NULL;
    for (;;) {
        const char *s = NULL;
        size_t n = 0;
        int rc = next_line(f, &s, &n, err);
        if (rc <= 0)
            return rc;
        if (f->line == 1 && n >= 3 && memcmp(s, "\xEF\xBB\xBF", 3) == 0)
            s += 3, n -= 3; /* a byte order mark, as some editors leave */
        if (n && s[n - 1] == '\r')
            n--;
        size_t blank = 0;
        while (blank < n && (s[blank] == ' ' || s[blank] == '\t'))
            blank++;
        if (blank == n)
            continue;
        size_t bad = ste_utf8_bad(s, n);
        if (bad < n)
            return ste_err_set(err, STE_EINPUT, "%s:%ld: not UTF-8 at byte %zu of the line; save the file as UTF-8",
                               f->path, f->line, bad + 1);
        json_error_t e;
        json_t *j = json_loadb(s, n, JSON_DECODE_ANY, &e);
        if (!j)
            return ste_err_set(err, STE_EINPUT, "%s:%ld: not JSON: %s (at byte %d of the line)", f->path, f->line,
                               e.text, e.position);
        if (!json_is_object(j)) {
            json_decref(j);
            return ste_err_set(err, STE_EINPUT,
                               "%s:%ld: not a JSON object; each line must be one, such as {\"prompt\": \"...\"}",
                               f->path, f->line);
        }
        *row = j;
        return 1;
    }
}

bool ste_jsonl_ready(const struct ste_jsonl *f)
{
    struct pollfd p = {.fd = f->fd, .events = POLLIN};
    return f->ended || (f->buf.len > f->at && memchr(f->buf.s + f->at, '\n', f->buf.len - f->at)) || poll(&p, 1, 0) > 0;
}

long ste_jsonl_line(const struct ste_jsonl *f)
{
    return f->line;
}

const char *ste_jsonl_path(const struct ste_jsonl *f)
{
    return f->path;
}

void ste_jsonl_close(struct ste_jsonl *f)
{
    if (!f)
        return;
    if (f->fd != STDIN_FILENO)
        close(f->fd);
    ste_buf_clear(&f->buf);
    free(f->path);
    free(f);
}

int ste_jsonl_each(const char *path, int (*fn)(void *arg, json_t *row, const char *where, struct ste_err *err),
                   void *arg, struct ste_err *err)
{
    struct ste_jsonl *f;
    json_t *row;
    int rc = ste_jsonl_open(&f, path, err);
    if (rc)
        return rc;
    while ((rc = ste_jsonl_next(f, &row, err)) > 0) {
        char *where = ste_xasprintf("%s:%ld", path, ste_jsonl_line(f));
        rc = fn(arg, row, where, err);
        free(where);
        json_decref(row);
        if (rc)
            break;
    }
    ste_jsonl_close(f);
    return rc;
}

struct ste_jsonl_writer {
    struct ste_file_writer *file;
};

int ste_jsonl_create(struct ste_jsonl_writer **out, const char *path, struct ste_err *err)
{
    *out = NULL;
    struct ste_file_writer *file;
    int rc = ste_file_create(&file, path, true, err);
    if (rc)
        return rc;
    *out = ste_xmalloc(sizeof **out);
    (*out)->file = file;
    return 0;
}

int ste_jsonl_write(struct ste_jsonl_writer *w, const json_t *row, struct ste_err *err)
{
    char *s = json_dumps(row, JSON_COMPACT | JSON_REAL_PRECISION(17));
    if (!s)
        return ste_err_set(err, STE_EFAIL, "cannot write a row as JSON");
    size_t n = strlen(s);
    s[n] = '\n'; /* in place of the NUL */
    int rc = ste_file_put(w->file, s, n + 1, err);
    free(s);
    return rc;
}

int ste_jsonl_flush(struct ste_jsonl_writer *w, struct ste_err *err)
{
    return ste_file_flush(w->file, err);
}

int ste_jsonl_commit(struct ste_jsonl_writer *w, struct ste_err *err)
{
    int rc = ste_file_commit(w->file, err);
    free(w);
    return rc;
}

int ste_jsonl_end(struct ste_jsonl_writer *w, int rc, struct ste_err *err)
{
    if (!rc)
        return ste_jsonl_commit(w, err);
    ste_jsonl_abort(w);
    return rc;
}

void ste_jsonl_abort(struct ste_jsonl_writer *w)
{
    if (w)
        ste_file_abort(w->file);
    free(w);
}

static const char *kind_of(const json_t *v)
{
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "a list";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
    case JSON_REAL:
        return "a number";
    case JSON_NULL:
        return "null";
    default:
        return "true or false";
    }
}

/* The value of KEY; null counts as missing. 0 with *V NULL: missing and not required. */
static int field(const json_t *row, const char *key, bool required, json_t **v, const char *where, struct ste_err *err)
{
    *v = json_object_get(row, key);
    if (*v && json_is_null(*v))
        *v = NULL;
    if (!*v && required)
        return ste_err_set(err, STE_EINPUT, "%s: the field \"%s\" is missing", where, key);
    return 0;
}

static int wrong_kind(const char *key, const char *want, const json_t *v, const char *where, struct ste_err *err)
{
    return ste_err_set(err, STE_EINPUT, "%s: the field \"%s\" must be %s, not %s", where, key, want, kind_of(v));
}

int ste_json_string(const json_t *row, const char *key, bool required, const char **out, const char *where,
                    struct ste_err *err)
{
    json_t *v;
    int rc = field(row, key, required, &v, where, err);
    if (rc || !v)
        return rc;
    if (!json_is_string(v))
        return wrong_kind(key, "a string", v, where, err);
    *out = json_string_value(v);
    return 0;
}

int ste_json_int(const json_t *row, const char *key, bool required, long long *out, const char *where,
                 struct ste_err *err)
{
    json_t *v;
    int rc = field(row, key, required, &v, where, err);
    if (rc || !v)
        return rc;
    if (!json_is_integer(v))
        return wrong_kind(key, "a whole number", v, where, err);
    *out = json_integer_value(v);
    return 0;
}

int ste_json_real(const json_t *row, const char *key, bool required, double *out, const char *where,
                  struct ste_err *err)
{
    json_t *v;
    int rc = field(row, key, required, &v, where, err);
    if (rc || !v)
        return rc;
    if (!json_is_number(v))
        return wrong_kind(key, "a number", v, where, err);
    *out = json_number_value(v);
    return 0;
}

char *ste_json_id(const json_t *row, const char *key)
{
    const json_t *id = json_object_get(row, key);
    return json_is_string(id)    ? ste_xstrdup(json_string_value(id))
           : json_is_integer(id) ? ste_xasprintf("%lld", (long long)json_integer_value(id))
                                 : NULL;
}
