#include "data/instructions.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "core/file.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/strings.h"
#include "core/utf8.h"
#include "data/embedded.h"
#include "data/truth.h"

#define MAX_TEXT_FILE ((size_t)256 << 20)

static void item_clear(struct ste_instruction *i)
{
    ste_xfree(i->id);
    ste_xfree(i->source);
    ste_xfree(i->category);
    ste_xfree(i->truth);
    ste_dialogue_clear(&i->dialogue);
}

void ste_instructions_clear(struct ste_instructions *l)
{
    for (size_t i = 0; i < l->n; i++)
        item_clear(&l->items[i]);
    ste_xfree(l->items);
    *l = (struct ste_instructions){0};
}

/* FILE: the file's name without its folder. */
static int add_row(struct ste_instructions *l, const json_t *row, const char *path, const char *file, long line,
                   struct ste_err *err)
{
    struct ste_instruction it = {.line = line};
    char *where = ste_xasprintf("%s:%ld", path, line);
    const char *source = NULL, *category = NULL;
    int rc = ste_dialogue_read(&it.dialogue, row, where, err);
    if (!rc)
        rc = ste_json_string(row, "source", false, &source, where, err);
    if (!rc)
        rc = ste_json_string(row, "category", false, &category, where, err);
    if (!rc)
        rc = ste_truth_read(row, &it.dialogue, &it.truth, where, err);
    ste_xfree(where);
    if (rc) {
        item_clear(&it);
        return rc;
    }
    it.id = ste_json_name(json_object_get(row, "id"));
    if (!it.id)
        it.id = ste_xasprintf("%s:%ld", file, line);
    it.source = ste_xstrdup(source ? source : file);
    it.category = ste_xstrdup(category);
    STE_GROW(l->items, l->cap, l->n + 1);
    l->items[l->n++] = it;
    return 0;
}

static int read_jsonl(struct ste_instructions *l, const char *path, const char *file, size_t limit, struct ste_err *err)
{
    struct ste_jsonl *f;
    json_t *row;
    size_t end = limit ? l->n + limit : SIZE_MAX;
    int rc = ste_jsonl_open(&f, path, err);
    if (rc)
        return rc;
    while (l->n < end && (rc = ste_jsonl_next(f, &row, err)) > 0) {
        rc = add_row(l, row, ste_jsonl_path(f), file, ste_jsonl_line(f), err);
        json_decref(row);
        if (rc)
            break;
    }
    ste_jsonl_close(f);
    return rc < 0 ? rc : 0;
}

/* One instruction a line, or (AS_JSON) one row a line, from memory. */
static int read_lines(struct ste_instructions *l, const char *text, size_t n, bool as_json, const char *path,
                      const char *file, size_t limit, struct ste_err *err)
{
    size_t end = limit ? l->n + limit : SIZE_MAX;
    long line = 0;
    for (size_t at = 0; at < n && l->n < end;) {
        const char *s = text + at, *nl = memchr(s, '\n', n - at);
        size_t len = nl ? (size_t)(nl - s) : n - at;
        at += len + 1;
        line++;
        while (len && strchr(" \t\r", s[len - 1]))
            len--;
        while (len && strchr(" \t", *s))
            s++, len--;
        if (!len)
            continue;
        char *where = ste_xasprintf("%s:%ld", path, line);
        size_t bad = ste_utf8_bad(s, len);
        json_t *row = NULL;
        if (bad < len || memchr(s, 0, len))
            ste_err_set(err, STE_EINPUT, "%s: not UTF-8 text; save the file as UTF-8", where);
        else
            row = as_json ? ste_json_parse(s, len, where, err) : json_pack("{s:s%}", "instruction", s, len);
        ste_xfree(where);
        if (!row)
            return STE_EINPUT;
        int rc = add_row(l, row, path, file, line, err);
        json_decref(row);
        if (rc)
            return rc;
    }
    return 0;
}

int ste_instructions_read(struct ste_instructions *l, const char *path, size_t limit, struct ste_err *err)
{
    size_t before = l->n;
    const char *file = ste_path_base(path);
    int rc;
    if (strcmp(path, "builtin") == 0) {
        const struct ste_embedded *e = ste_embedded_find("data/instructions.jsonl");
        if (!e)
            return ste_err_set(err, STE_ENOTFOUND,
                               "this ste was built without its instructions (data/instructions.jsonl)");
        rc = read_lines(l, e->bytes, e->size, true, "builtin", "builtin", limit, err);
    } else if (ste_ends_in(path, ".txt")) {
        struct ste_buf b = STE_BUF_INIT;
        rc = ste_file_read(path, MAX_TEXT_FILE, &b, err);
        if (!rc)
            rc = read_lines(l, b.s, b.len, false, path, file, limit, err);
        ste_buf_clear(&b);
    } else {
        rc = read_jsonl(l, path, file, limit, err);
    }
    if (!rc && l->n == before)
        rc = ste_err_set(err, STE_EINPUT, "%s holds no instructions", path);
    return rc;
}
