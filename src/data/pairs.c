#include "data/pairs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/file.h"
#include "core/hash.h"
#include "core/json.h"
#include "core/log.h"
#include "core/mem.h"
#include "data/pair_rows.h"
#include "data/verifiable.h"

static void item_clear(struct ste_answer_pair *p)
{
    ste_xfree(p->id);
    ste_xfree(p->row_id);
    ste_xfree(p->first);
    ste_xfree(p->second);
    ste_dialogue_clear(&p->prompt);
    ste_strings_clear(&p->references);
    json_decref(p->row);
}

void ste_answer_pairs_clear(struct ste_answer_pairs *p)
{
    for (size_t i = 0; i < p->n; i++)
        item_clear(&p->items[i]);
    ste_xfree(p->items);
    ste_xfree(p->path);
    ste_xfree(p->name);
    *p = (struct ste_answer_pairs){0};
}

int ste_answer_pairs_references(struct ste_answer_pairs *p, struct ste_err *err)
{
    int rc = 0;
    for (size_t i = 0; i < p->n && !rc; i++) {
        char *where = ste_xasprintf("%s:%ld", p->path, p->items[i].line);
        rc = ste_references_read(&p->items[i].references, p->items[i].row, where, err);
        ste_xfree(where);
    }
    return rc;
}

struct draw {
    uint64_t number;
    size_t at;
};

static int by_number(const void *a, const void *b)
{
    const struct draw *x = a, *y = b;
    return x->number != y->number ? (x->number > y->number) - (x->number < y->number)
                                  : (x->at > y->at) - (x->at < y->at);
}

/* Of the pairs of its row. */
static bool is_first(const struct ste_answer_pairs *p, size_t i)
{
    return i == 0 || !p->items[i].row_id || p->items[i - 1].line != p->items[i].line;
}

void ste_answer_pairs_sample(struct ste_answer_pairs *p, size_t n, uint64_t seed)
{
    struct draw *draws = ste_xcalloc(p->n + 1, sizeof *draws);
    bool *keep = ste_xcalloc(p->n + 1, sizeof *keep);
    size_t count = 0, kept = 0;
    char text[2][32];
    snprintf(text[0], sizeof text[0], "%llu", (unsigned long long)seed);
    for (size_t i = 0; i < p->n; i++) {
        snprintf(text[1], sizeof text[1], "%ld", p->items[i].line);
        if (!p->items[i].tied && is_first(p, i))
            draws[count++] = (struct draw){ste_key_of("sample", text[0], p->name, text[1], NULL), i};
    }
    qsort(draws, count, sizeof *draws, by_number);
    for (size_t i = 0; i < count && i < n; i++)
        for (size_t k = draws[i].at; k == draws[i].at || (k < p->n && !is_first(p, k)); k++)
            keep[k] = true;
    for (size_t i = 0; i < p->n; i++)
        if (keep[i])
            p->items[kept++] = p->items[i];
        else
            item_clear(&p->items[i]);
    p->n = kept;
    ste_xfree(draws);
    ste_xfree(keep);
}

int ste_pairs_kind_by_name(const char *name, enum ste_pairs_kind *out, const char *what, struct ste_err *err)
{
    static const struct {
        const char *name;
        enum ste_pairs_kind kind;
    } kinds[] = {{"pairs", STE_PAIRS_LABELLED},
                 {"helpsteer2", STE_PAIRS_HELPSTEER2},
                 {"mtbench-votes", STE_PAIRS_MTBENCH_VOTES},
                 {"verifiable", STE_PAIRS_VERIFIABLE}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kinds[i].name, name) == 0) {
            *out = kinds[i].kind;
            return 0;
        }
    return ste_err_set(err, STE_EINPUT,
                       "%s: format %s is unknown; there are pairs, helpsteer2, mtbench-votes and verifiable", what,
                       name);
}

struct ste_pairs_reader {
    enum ste_pairs_kind kind;
    bool references, ended;
    struct ste_jsonl *f;
    char *path, *name;
    json_t *row;           /* that has pairs left; NULL: none */
    size_t next;           /* of its pairs */
    json_t *waiting;       /* rows that wait for another one of their prompt, by prompt */
    json_t *ids;           /* to the lines that bore them */
    size_t doubled;        /* votes that are there already */
    struct ste_err failed; /* of the row behind the pairs that were given last */
};

int ste_pairs_reader_open(struct ste_pairs_reader **out, const char *path, const char *name, enum ste_pairs_kind kind,
                          bool references, struct ste_err *err)
{
    struct ste_jsonl *f;
    int rc = ste_jsonl_open(&f, path, err);
    if (rc)
        return rc;
    *out = ste_xcalloc(1, sizeof **out);
    **out = (struct ste_pairs_reader){.kind = kind,
                                      .references = references,
                                      .f = f,
                                      .path = ste_xstrdup(path),
                                      .name = name ? ste_xstrdup(name) : ste_path_stem(path),
                                      .waiting = json_object(),
                                      .ids = json_object()};
    return 0;
}

void ste_pairs_reader_close(struct ste_pairs_reader *r)
{
    if (!r)
        return;
    ste_jsonl_close(r->f);
    json_decref(r->row);
    json_decref(r->waiting);
    json_decref(r->ids);
    ste_xfree(r->path);
    ste_xfree(r->name);
    ste_xfree(r);
}

/* Votes of one person on one question may differ; one that says the same again is not counted. */
static bool is_doubled(struct ste_pairs_reader *r, struct ste_answer_pair *p)
{
    char *key = ste_xasprintf("%s:%s", p->id, json_string_value(json_object_get(p->row, "winner")));
    const bool there = json_object_get(r->ids, key);
    json_object_set_new(r->ids, key, json_integer(p->line));
    if (json_object_get(r->ids, p->id)) {
        ste_xfree(p->id);
        p->id = key;
        return there;
    }
    ste_xfree(key);
    return false;
}

/* Pairs that go by one id would share their fence, and one of them is likely there twice. 1: P is to be kept. */
static int check_id(struct ste_pairs_reader *r, struct ste_answer_pair *p, const char *where, struct ste_err *err)
{
    if (r->kind == STE_PAIRS_MTBENCH_VOTES && is_doubled(r, p)) {
        r->doubled++;
        return 0;
    }
    const json_t *at = json_object_get(r->ids, p->id);
    if (at && r->kind != STE_PAIRS_MTBENCH_VOTES)
        return ste_err_set(err, STE_EINPUT, "%s: the id \"%s\" is that of line %lld; give each row its own", where,
                           p->id, (long long)json_integer_value(at));
    json_object_set_new(r->ids, p->id, json_integer(p->line));
    if (r->kind == STE_PAIRS_LABELLED && !ste_pair_says_tie(p->row) && strcmp(p->first, p->second) == 0)
        ste_warn("%s: chosen and rejected are the same text; the row counts as a tie", where);
    return 1;
}

/* The next pair, as P: 1; a row without a pair of its own, or the end: 0; negative: an error. */
static int read_pair(struct ste_pairs_reader *r, struct ste_answer_pair *p, struct ste_err *err)
{
    *p = (struct ste_answer_pair){0};
    int rc = r->row ? 1 : ste_jsonl_next(r->f, &r->row, err);
    r->ended = rc == 0;
    if (rc <= 0)
        return rc;
    p->row = json_incref(r->row);
    p->line = ste_jsonl_line(r->f);
    char *where = ste_xasprintf("%s:%ld", ste_jsonl_path(r->f), p->line);
    rc = ste_pair_row_read(p, r->kind, r->next, r->name, r->waiting, where, err);
    if (rc > 0)
        rc = check_id(r, p, where, err);
    if (rc > 0 && r->references && ste_references_read(&p->references, p->row, where, err))
        rc = STE_EINPUT;
    ste_xfree(where);
    if (rc <= 0 || ++r->next == ste_pair_row_pairs(r->row, r->kind)) {
        json_decref(r->row);
        r->row = NULL;
        r->next = 0;
    }
    if (rc <= 0)
        item_clear(p);
    return rc;
}

int ste_pairs_reader_next(struct ste_pairs_reader *r, struct ste_answer_pairs *out, size_t most, bool ready,
                          struct ste_err *err)
{
    struct ste_answer_pair p;
    size_t cap = 0, rows = 0;
    int rc = r->failed.code;
    *out = (struct ste_answer_pairs){0};
    if (rc) {
        ste_err_set(err, rc, "%s", r->failed.msg);
        r->failed.code = 0;
        return rc;
    }
    out->path = ste_xstrdup(r->path);
    out->name = ste_xstrdup(r->name);
    while (!r->ended && (!most || rows < most) && !(ready && out->n && !r->row && !ste_jsonl_ready(r->f)) &&
           (rc = read_pair(r, &p, out->n ? &r->failed : err)) >= 0)
        if (rc) {
            STE_GROW(out->items, cap, out->n + 1);
            out->items[out->n++] = p;
            rows += !r->row;
        }
    if (rc < 0 && !out->n)
        ste_answer_pairs_clear(out);
    return rc < 0 && !out->n ? rc : 0;
}

static void say_left_out(const struct ste_pairs_reader *r)
{
    const size_t waiting = json_object_size(r->waiting);
    if (waiting)
        ste_warn("%s: %zu rating%s left out, since no other row has the same prompt", r->path, waiting,
                 waiting == 1 ? " is" : "s are");
    if (r->doubled)
        ste_warn("%s: %zu vote%s there already and counted once", r->path, r->doubled,
                 r->doubled == 1 ? " is" : "s are");
}

int ste_answer_pairs_read(struct ste_answer_pairs *out, const char *path, const char *name, enum ste_pairs_kind kind,
                          size_t limit, struct ste_err *err)
{
    struct ste_pairs_reader *r;
    *out = (struct ste_answer_pairs){0};
    int rc = ste_pairs_reader_open(&r, path, name, kind, false, err);
    if (rc)
        return rc;
    rc = ste_pairs_reader_next(r, out, limit, false, err);
    if (!rc && r->failed.code)
        rc = ste_err_set(err, r->failed.code, "%s", r->failed.msg);
    else if (!rc && !out->n)
        rc = json_object_size(r->waiting)
                 ? ste_err_set(err, STE_EINPUT, "%s holds no pair: no two of its ratings have the same prompt", path)
                 : ste_err_set(err, STE_EINPUT, "%s holds no rows; one pair a line is expected", path);
    else if (!rc && r->ended)
        say_left_out(r);
    ste_pairs_reader_close(r);
    if (rc)
        ste_answer_pairs_clear(out);
    return rc;
}

/* The stem of PATH behind so many of its folders. */
static char *name_of(const char *path, size_t folders)
{
    const char *file = ste_path_base(path), *from = file;
    for (; folders && from > path; folders--)
        for (from--; from > path && from[-1] != '/';)
            from--;
    char *stem = ste_path_stem(path), *name = ste_xasprintf("%.*s%s", (int)(file - from), from, stem);
    ste_xfree(stem);
    return name;
}

static bool is_shared(const struct ste_strings *paths, size_t i, const char *name, size_t folders)
{
    bool shared = false;
    for (size_t k = 0; k < paths->n && !shared; k++) {
        char *other = name_of(paths->items[k], folders);
        shared = k != i && strcmp(other, name) == 0;
        ste_xfree(other);
    }
    return shared;
}

static bool same_file(const char *a, const char *b)
{
    struct stat x, y;
    return strcmp(a, b) == 0 || (!stat(a, &x) && !stat(b, &y) && x.st_dev == y.st_dev && x.st_ino == y.st_ino);
}

int ste_pairs_names(const struct ste_strings *paths, struct ste_strings *names, struct ste_err *err)
{
    *names = (struct ste_strings){0};
    for (size_t i = 0; i < paths->n; i++)
        for (size_t k = 0; k < i; k++)
            if (same_file(paths->items[i], paths->items[k]))
                return ste_err_set(err, STE_EUSAGE, "%s and %s are one file: its pairs would count double",
                                   paths->items[k], paths->items[i]);
    for (size_t i = 0; i < paths->n; i++) {
        const char *path = paths->items[i];
        char *name = name_of(path, 0);
        for (size_t folders = 1; folders <= strlen(path) && is_shared(paths, i, name, folders - 1); folders++) {
            ste_xfree(name);
            name = name_of(path, folders);
        }
        /* a.json beside a.jsonl */
        ste_strings_add(names, is_shared(paths, i, name, strlen(path)) ? path : name);
        ste_xfree(name);
    }
    return 0;
}

#define VERIFIABLE_PAIRS 400

int ste_pair_files_read(struct ste_pair_files *out, const struct ste_strings *paths, enum ste_pairs_kind kind,
                        const struct ste_pairs_params *p, struct ste_err *err)
{
    struct ste_strings names = {0};
    *out = (struct ste_pair_files){.files = ste_xcalloc(paths->n + 1, sizeof *out->files)};
    if (kind == STE_PAIRS_VERIFIABLE) {
        out->n = 1;
        out->pairs = p->limit ? p->limit : p->sample ? p->sample : VERIFIABLE_PAIRS;
        ste_verifiable_pairs(&out->files[0], out->pairs, p->seed);
        return 0;
    }
    int rc = ste_pairs_names(paths, &names, err);
    for (size_t i = 0; i < paths->n && !rc; i++) {
        struct ste_answer_pairs *f = &out->files[i];
        rc = ste_answer_pairs_read(f, paths->items[i], names.items[i], kind, p->limit, err);
        out->n = i + 1;
        if (!rc && p->sample)
            ste_answer_pairs_sample(f, p->sample, p->seed);
        if (!rc && p->references)
            rc = ste_answer_pairs_references(f, err);
        if (!rc && f->n == 0)
            rc = ste_err_set(err, STE_EINPUT, "%s has no row; it needs prompt, chosen and rejected in each line",
                             paths->items[i]);
        f->ask_ties = kind == STE_PAIRS_MTBENCH_VOTES;
        for (size_t k = 0; k < f->n && !rc; k++) {
            out->pairs += !f->items[k].tied || f->ask_ties;
            out->tied += f->items[k].tied;
        }
    }
    ste_strings_clear(&names);
    if (rc)
        ste_pair_files_clear(out);
    return rc;
}

void ste_pair_files_clear(struct ste_pair_files *f)
{
    for (size_t i = 0; i < f->n; i++)
        ste_answer_pairs_clear(&f->files[i]);
    ste_xfree(f->files);
    *f = (struct ste_pair_files){0};
}
