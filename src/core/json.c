#include "core/json.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/file.h"
#include "core/context.h"
#include "core/mem.h"
#include "core/raw.h"
#include "core/utf8.h"

char *ste_json_canonical(const json_t *j)
{
    char *s = json_dumps(j, JSON_SORT_KEYS | JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(17));
    if (!s)
        abort(); /* a value with itself inside */
    return s;
}

/* The length of the JSON number that S begins with; 0: there is none. */
static size_t number_length(const char *s)
{
    static const char digits[] = "0123456789";
    const size_t sign = *s == '-', whole = strspn(s + sign, digits);
    size_t n = sign + whole, more;
    if (!whole || (whole > 1 && s[sign] == '0'))
        return 0;
    if (s[n] == '.') {
        if (!(more = strspn(s + n + 1, digits)))
            return 0;
        n += 1 + more;
    }
    if (s[n] == 'e' || s[n] == 'E') {
        const size_t from = n + 1 + (s[n + 1] == '+' || s[n + 1] == '-');
        if (!(more = strspn(s + from, digits)))
            return 0;
        n = from + more;
    }
    return n;
}

static bool is_too_large(const char *number, size_t n)
{
    errno = 0;
    if (strcspn(number, ".eE") < n)
        return isinf(strtod(number, NULL));
    return (strtoll(number, NULL, 10), errno == ERANGE);
}

/* Adds S to OUT, each number that is too large as ste_json_large has it. False: a text of S has a NUL of its own. */
static bool keep_numbers(const char *s, struct ste_buf *out)
{
    bool in_text = false;
    for (size_t n; *s; s += n) {
        const size_t number = in_text ? 0 : number_length(s);
        const bool escape = in_text && *s == '\\' && s[1];
        n = number ? number : escape ? 2 : 1;
        if (escape && strncmp(s, "\\u0000", 6) == 0)
            return false;
        in_text ^= *s == '"';
        if (number && is_too_large(s, n))
            ste_buf_addf(out, "\"\\u0000%.*s\"", (int)n, s);
        else
            ste_buf_add(out, s, n);
    }
    return true;
}

/* NULL: WHY says what is wrong. */
static json_t *parse(const char *text, size_t n, char *why, size_t size)
{
    json_error_t e;
    struct ste_raw v;
    json_t *j = ste_raw_read(&v, text, n) ? ste_raw_value(v) : NULL; /* in a fifth of the time */
    if (j)
        return j;
    j = json_loadb(text, n, JSON_DECODE_ANY, &e);
    bool nul = !j && json_error_code(&e) == json_error_null_character;
    if (!j && json_error_code(&e) == json_error_numeric_overflow) {
        struct ste_buf kept = STE_BUF_INIT;
        char *whole = ste_xstrndup(text, n);
        nul = !keep_numbers(whole, &kept);
        j = nul ? NULL : json_loadb(kept.s, kept.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, &e);
        ste_buf_clear(&kept);
        ste_xfree(whole);
    }
    if (nul)
        snprintf(why, size, "a text in it has a NUL character (\\u0000), which no text may have here; take it out");
    else if (!j)
        snprintf(why, size, "not JSON: %s (at byte %d)%s", e.text, e.position,
                 json_error_code(&e) == json_error_premature_end_of_input ? "; give one whole object a line" : "");
    return j;
}

json_t *ste_json_parse(const char *text, size_t n, const char *what, struct ste_err *err)
{
    char why[JSON_ERROR_TEXT_LENGTH + 64];
    size_t bad = ste_utf8_bad(text, n);
    if (bad < n) {
        ste_err_set(err, STE_EINPUT, "%s: not UTF-8 at byte %zu; save it as UTF-8", what, bad + 1);
        return NULL;
    }
    json_t *j = parse(text, n, why, sizeof why);
    if (!j)
        ste_err_set(err, STE_EINPUT, "%s: %s", what, why);
    return j;
}

void ste_json_add_ids(json_t *list, const int32_t *ids, size_t n)
{
    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, json_integer(ids[i]));
}

json_t *ste_json_ids(const int32_t *ids, size_t n)
{
    json_t *list = json_array();
    ste_json_add_ids(list, ids, n);
    return list;
}

const char *ste_json_large(const json_t *v)
{
    return json_is_string(v) && json_string_length(v) && !*json_string_value(v) ? json_string_value(v) + 1 : NULL;
}

const char *ste_json_text(const json_t *v)
{
    return ste_json_large(v) ? NULL : json_string_value(v);
}

struct ste_jsonl {
    int fd;
    bool ended, began;
    bool list; /* the file is one JSON list, whose items are the rows */
    char *path;
    long line, within;  /* WITHIN: line ends within the row that was taken last */
    struct ste_buf buf; /* bytes read and not yet taken start at AT */
    size_t at;
};

int ste_jsonl_open(struct ste_jsonl **out, const char *path, struct ste_err *err)
{
    *out = NULL;
    bool std = strcmp(path, "-") == 0;
    int fd = std ? STDIN_FILENO : ste_open(path, O_RDONLY);
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
            int rc = ste_cancel_check(err);
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

/* Passes blanks, counting lines; *C is the byte behind them, which stays, or 0 at the end of the file. */
static int pass_blanks(struct ste_jsonl *f, char *c, struct ste_err *err)
{
    for (int rc;;) {
        while (f->at < f->buf.len && strchr(" \t\r\n", f->buf.s[f->at]))
            f->line += f->buf.s[f->at++] == '\n';
        *c = f->at < f->buf.len ? f->buf.s[f->at] : 0;
        if (f->at < f->buf.len || f->ended)
            return 0;
        if ((rc = fill(f, err)))
            return rc;
    }
}

/* A file whose first byte that is no blank is a bracket is a list. */
static int begin(struct ste_jsonl *f, struct ste_err *err)
{
    char c;
    int rc = 0;
    while (!f->ended && f->buf.len < 3 && !rc)
        rc = fill(f, err);
    if (f->buf.len >= 3 && memcmp(f->buf.s, "\xEF\xBB\xBF", 3) == 0)
        f->at = 3; /* a byte order mark, as some editors leave */
    if (!rc)
        rc = pass_blanks(f, &c, err);
    if (rc)
        return rc;
    const char *is = ste_bytes_are(f->buf.s + f->at, f->buf.len - f->at);
    if (is)
        return ste_err_set(err, STE_EINPUT, "%s is %s; JSON is expected, one object a line", f->path, is);
    f->began = true;
    f->list = c == '[';
    f->line += f->list;
    f->at += f->list;
    return 0;
}

static int broken_list(struct ste_jsonl *f, const char *how, struct ste_err *err)
{
    f->list = false;
    f->ended = true;
    f->at = f->buf.len;
    return ste_err_set(err, STE_EINPUT, "%s:%ld: the file is one JSON list, and %s", f->path, f->line, how);
}

/* The next item of a list; returns as next_line does. */
static int next_item(struct ste_jsonl *f, const char **text, size_t *n, struct ste_err *err)
{
    bool in_text = false, escaped = false;
    int depth = 0;
    char c;
    f->line += f->within;
    f->within = 0;
    int rc = pass_blanks(f, &c, err);
    if (!rc && c == ']') {
        f->list = false;
        f->at++;
        if (!(rc = pass_blanks(f, &c, err)) && c)
            rc = broken_list(f, "something stands behind it; take that out, or give one object a line", err);
        return rc;
    }
    for (size_t i = 0; !rc; i++) {
        if (f->at + i == f->buf.len && !f->ended && i <= STE_JSONL_MAX_LINE)
            rc = fill(f, err);
        if (!rc && f->at + i == f->buf.len)
            rc = broken_list(f, f->ended ? "it has no end" : "an item of it is longer than a row may be", err);
        if (rc)
            break;
        c = f->buf.s[f->at + i];
        if (!in_text && !depth && (c == ',' || c == ']')) {
            *text = f->buf.s + f->at;
            *n = i;
            f->at += i + (c == ',');
            return 1;
        }
        f->within += c == '\n';
        depth += in_text ? 0 : (c == '{' || c == '[') - (c == '}' || c == ']');
        in_text ^= c == '"' && !escaped;
        escaped = in_text && c == '\\' && !escaped;
    }
    return rc;
}

int ste_jsonl_next(struct ste_jsonl *f, json_t **row, struct ste_err *err)
{
    *row = NULL;
    int rc = f->began ? 0 : begin(f, err);
    while (!rc) {
        const char *s = NULL;
        char why[JSON_ERROR_TEXT_LENGTH + 64];
        size_t n = 0;
        rc = f->list ? next_item(f, &s, &n, err) : next_line(f, &s, &n, err);
        if (rc <= 0)
            return rc;
        rc = 0;
        if (strspn(s, " \t\r") >= n)
            continue;
        size_t bad = ste_utf8_bad(s, n);
        if (bad < n)
            return ste_err_set(err, STE_EINPUT, "%s:%ld: not UTF-8 at byte %zu of the row; save the file as UTF-8",
                               f->path, f->line, bad + 1);
        json_t *j = parse(s, n, why, sizeof why);
        if (!j)
            return ste_err_set(err, STE_EINPUT, "%s:%ld: %s", f->path, f->line, why);
        if (!json_is_object(j)) {
            json_decref(j);
            return ste_err_set(err, STE_EINPUT,
                               "%s:%ld: not a JSON object; each line (or item of a list) must be one, such as "
                               "{\"prompt\": \"...\"}",
                               f->path, f->line);
        }
        *row = j;
        return 1;
    }
    return rc;
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
        ste_close(f->fd);
    ste_buf_clear(&f->buf);
    ste_xfree(f->path);
    ste_xfree(f);
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
        char *where = ste_xasprintf("%s:%ld", f->path, f->line);
        rc = fn(arg, row, where, err);
        ste_xfree(where);
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

/* Takes the marks of ste_json_large out of S, as a number stands there again; its new length. No text has a NUL, and a
 * quote within one is escaped, so that the mark is seen nowhere else. */
static size_t write_numbers(char *s)
{
    static const char mark[] = "\"\\u0000";
    const char *const start = s;
    char *to = s;
    for (char *at; (at = strstr(s, mark));) {
        const char *number = at + sizeof mark - 1;
        const size_t before = (size_t)(at - s), n = strcspn(number, "\"");
        memmove(to, s, before);
        memmove(to + before, number, n);
        to += before + n;
        s = at + sizeof mark + n;
    }
    const size_t rest = strlen(s);
    memmove(to, s, rest + 1);
    return (size_t)(to - start) + rest;
}

void ste_jsonl_add(struct ste_buf *out, const json_t *row)
{
    const size_t before = out->len;
    ste_raw_add_value(out, row);
    out->len = before + write_numbers(out->s + before);
    ste_buf_addc(out, '\n');
}

int ste_jsonl_write(struct ste_jsonl_writer *w, const json_t *row, struct ste_err *err)
{
    struct ste_buf b = STE_BUF_INIT;
    ste_jsonl_add(&b, row);
    int rc = ste_file_put(w->file, b.s, b.len, err);
    ste_buf_clear(&b);
    return rc;
}

int ste_jsonl_flush(struct ste_jsonl_writer *w, struct ste_err *err)
{
    return ste_file_flush(w->file, err);
}

int ste_jsonl_commit(struct ste_jsonl_writer *w, struct ste_err *err)
{
    int rc = ste_file_commit(w->file, err);
    ste_xfree(w);
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
    ste_xfree(w);
}

static const char *kind_of(const json_t *v)
{
    if (ste_json_large(v))
        return "a number that large";
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
    if (!ste_json_text(v))
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

char *ste_json_name(const json_t *v)
{
    const char *text = ste_json_large(v) ? ste_json_large(v) : json_string_value(v);
    return text                 ? ste_xstrdup(text)
           : json_is_integer(v) ? ste_xasprintf("%lld", (long long)json_integer_value(v))
                                : NULL;
}
