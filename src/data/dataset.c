#include "data/dataset.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/file.h"
#include "core/hash.h"
#include "core/context.h"
#include "core/json.h"
#include "core/log.h"
#include "core/mem.h"
#include "data/hub.h"
#include "net/http.h"

#define ROWS_API "https://datasets-server.huggingface.co" /* unless STE_DATASETS_URL says otherwise */
#define PAGE 100                                          /* the API's largest */
#define MAX_ANSWER (64u << 20)

struct state {
    const struct ste_dataset_pull *p;
    char *config, *split, *revision;
    char *part, *note; /* OUT.part, and what it is the beginning of: OUT.part.json */
    size_t have, total;
};

static const char *rows_api(void)
{
    const char *url = ste_setting("STE_DATASETS_URL");
    return url ? url : ROWS_API;
}

/* Percent-encoded, but for what a query may hold as it is. */
static char *encoded(const char *s)
{
    struct ste_buf b = STE_BUF_INIT;
    for (; *s; s++)
        if ((*s >= '0' && *s <= '9') || (*s >= 'A' && *s <= 'Z') || (*s >= 'a' && *s <= 'z') || strchr("-._~/", *s))
            ste_buf_addc(&b, *s);
        else
            ste_buf_addf(&b, "%%%02X", (unsigned)(unsigned char)*s);
    return ste_buf_detach(&b);
}

/* Takes URL. */
static json_t *get(char *url, struct ste_err *err)
{
    struct ste_buf body = STE_BUF_INIT;
    char *login = ste_hub_login();
    const char *const headers[] = {login, NULL};
    json_t *j = NULL;
    if (ste_http_get(url, login ? headers : NULL, MAX_ANSWER, &body, err) == 0) {
        url[strcspn(url, "?")] = 0;
        j = ste_json_parse(body.s, body.len, url, err);
    }
    ste_buf_clear(&body);
    ste_xfree(login);
    ste_xfree(url);
    return j;
}

static int read_revision(const struct ste_dataset_pull *p, char **revision, struct ste_err *err)
{
    json_t *j = get(ste_xasprintf("%s/api/datasets/%s", ste_hub(), p->name), err);
    if (!j)
        return STE_EIO;
    const char *sha = json_string_value(json_object_get(j, "sha"));
    *revision = sha ? ste_xstrdup(sha) : NULL;
    json_decref(j);
    return sha ? 0 : ste_err_set(err, STE_EIO, "the Hub names no revision of %s", p->name);
}

/* The split that is asked for, or the only one. */
static int choose_split(struct state *s, struct ste_err *err)
{
    char *name = encoded(s->p->name);
    json_t *j = get(ste_xasprintf("%s/splits?dataset=%s", rows_api(), name), err), *v;
    ste_xfree(name);
    if (!j)
        return STE_EIO;
    struct ste_buf all = STE_BUF_INIT;
    size_t i, found = 0;
    json_array_foreach(json_object_get(j, "splits"), i, v)
    {
        const char *config = json_string_value(json_object_get(v, "config")),
                   *split = json_string_value(json_object_get(v, "split"));
        if (!config || !split)
            continue;
        ste_buf_addf(&all, "%s--config %s --split %s", all.len ? ", " : "", config, split);
        if ((s->p->config && strcmp(s->p->config, config) != 0) || (s->p->split && strcmp(s->p->split, split) != 0))
            continue;
        if (found++ == 0) {
            s->config = ste_xstrdup(config);
            s->split = ste_xstrdup(split);
        }
    }
    int rc = found == 1 ? 0
                        : ste_err_set(err, STE_EUSAGE, "%s has %s; say which: %s", s->p->name,
                                      found ? "several such splits" : "no such split", all.len ? all.s : "it has none");
    ste_buf_clear(&all);
    json_decref(j);
    return rc;
}

static json_t *description(const struct state *s)
{
    return json_pack("{s:s, s:s, s:s, s:s}", "dataset", s->p->name, "config", s->config, "split", s->split, "revision",
                     s->revision);
}

static bool describes(const char *path, const struct state *s)
{
    json_t *got = json_load_file(path, 0, NULL), *want = description(s);
    bool same = got != NULL;
    const char *key;
    json_t *v;
    json_object_foreach(want, key, v) same = same && json_equal(v, json_object_get(got, key));
    json_decref(got);
    json_decref(want);
    return same;
}

static int write_json(const char *path, json_t *j, struct ste_err *err)
{
    char *text = json_dumps(j, JSON_INDENT(2));
    int rc = ste_file_write(path, text, strlen(text), err);
    ste_xfree(text);
    json_decref(j);
    return rc;
}

/* Counts the whole rows that an earlier pull left, and cuts off one that is not whole. */
static int go_on(struct state *s, struct ste_err *err)
{
    s->have = 0;
    if (!describes(s->note, s)) {
        unlink(s->part);
        return write_json(s->note, description(s), err);
    }
    FILE *f = fopen(s->part, "rb");
    if (!f)
        return 0;
    long end = 0;
    for (int c; (c = getc(f)) != EOF;)
        if (c == '\n') {
            s->have++;
            end = ftell(f);
        }
    fclose(f);
    if (truncate(s->part, end))
        return ste_err_errno(err, "cannot write %s", s->part);
    return 0;
}

/* Appends the rows of a page; how many goes to *N. */
static int take_page(struct state *s, const json_t *page, FILE *f, size_t *n, struct ste_err *err)
{
    const json_t *rows = json_object_get(page, "rows"), *total = json_object_get(page, "num_rows_total");
    json_t *v;
    size_t i;
    if (!json_is_array(rows) || !json_is_integer(total))
        return ste_err_set(err, STE_EIO, "the rows API answered without rows and num_rows_total");
    s->total = (size_t)json_integer_value(total);
    *n = 0;
    json_array_foreach(rows, i, v)
    {
        const json_t *row = json_object_get(v, "row"), *cut = json_object_get(v, "truncated_cells");
        if (s->p->limit && s->have >= s->p->limit)
            break;
        if (json_integer_value(json_object_get(v, "row_idx")) != (json_int_t)s->have || !json_is_object(row))
            return ste_err_set(err, STE_EIO, "the rows API sent another row than row %zu, which was asked for",
                               s->have);
        if (json_array_size(cut))
            return ste_err_set(
                err, STE_EIO,
                "row %zu comes with its field \"%s\" cut off: it is too large for the rows API; take the "
                "data set's files instead",
                s->have, json_string_value(json_array_get(cut, 0)));
        char *line = json_dumps(row, JSON_COMPACT | JSON_REAL_PRECISION(17));
        bool written = line && fprintf(f, "%s\n", line) > 0;
        ste_xfree(line);
        if (!written)
            return ste_err_errno(err, "cannot write %s", s->part);
        s->have++;
        ++*n;
    }
    if (fflush(f))
        return ste_err_errno(err, "cannot write %s", s->part);
    return 0;
}

static int pull_rows(struct state *s, FILE *f, struct ste_err *err)
{
    char *name = encoded(s->p->name), *config = encoded(s->config), *split = encoded(s->split);
    struct ste_progress *progress = ste_progress_new("pull", "rows", 0);
    int rc = 0;
    bool partial = false;
    if (s->have)
        ste_progress_had(progress, s->have);
    for (;;) {
        size_t n = 0;
        json_t *page = get(ste_xasprintf("%s/rows?dataset=%s&config=%s&split=%s&offset=%zu&length=%d", rows_api(), name,
                                         config, split, s->have, PAGE),
                           err);
        rc = page ? take_page(s, page, f, &n, err) : STE_EIO;
        partial = json_is_true(json_object_get(page, "partial"));
        json_decref(page);
        if (rc || (rc = ste_cancel_check(err)))
            break;
        const size_t want = s->p->limit && s->p->limit < s->total ? s->p->limit : s->total;
        ste_progress_total(progress, want);
        ste_progress_add(progress, n);
        if (s->have >= want)
            break;
        if (!n) {
            rc = ste_err_set(err, STE_EIO, "the rows API sent no row %zu of %zu; the same command goes on there",
                             s->have, s->total);
            break;
        }
    }
    ste_progress_end(progress);
    if (!rc && partial)
        ste_warn("the rows API has only the first %zu rows of %s", s->total, s->p->name);
    ste_xfree(name);
    ste_xfree(config);
    ste_xfree(split);
    return rc;
}

/* The revision must have stayed, or pages of two would be mixed. */
static int finish(struct state *s, const char *source, struct ste_err *err)
{
    char *now = NULL, sha256[65];
    int rc = read_revision(s->p, &now, err);
    if (!rc && strcmp(now, s->revision) != 0) {
        unlink(s->part);
        unlink(s->note);
        rc = ste_err_set(err, STE_EIO, "%s changed while it was pulled (revision %.12s, now %.12s); pull it again",
                         s->p->name, s->revision, now);
    }
    ste_xfree(now);
    if (!rc)
        rc = ste_sha256_file(s->part, sha256, err);
    if (!rc && rename(s->part, s->p->out))
        rc = ste_err_errno(err, "cannot rename %s to %s", s->part, s->p->out);
    if (rc)
        return rc;
    unlink(s->note);
    json_t *j = description(s);
    json_object_set_new(j, "rows", json_integer((json_int_t)s->have));
    json_object_set_new(j, "sha256", json_string(sha256));
    ste_info("%zu rows of %s (%s, %s) at revision %.12s in %s", s->have, s->p->name, s->config, s->split, s->revision,
             s->p->out);
    return write_json(source, j, err);
}

int ste_dataset_pull(const struct ste_dataset_pull *p, struct ste_err *err)
{
    struct state s = {.p = p};
    const char *slash = strchr(p->name, '/');
    if (!slash || slash == p->name || !slash[1] || strchr(slash + 1, '/'))
        return ste_err_set(err, STE_EUSAGE, "a data set is called OWNER/NAME, not \"%s\"", p->name);
    char *source = ste_xasprintf("%s.source.json", p->out);
    s.part = ste_xasprintf("%s.part", p->out);
    s.note = ste_xasprintf("%s.part.json", p->out);
    int rc = read_revision(p, &s.revision, err);
    if (!rc)
        rc = choose_split(&s, err);
    const bool there = ste_file_exists(p->out);
    if (!rc && there && describes(source, &s)) {
        ste_info("%s is there: %s at revision %.12s", p->out, p->name, s.revision);
    } else if (!rc && there) {
        rc =
            ste_err_set(err, STE_EUSAGE, "%s is there and is not %s at revision %.12s; name another --out or remove it",
                        p->out, p->name, s.revision);
    } else if (!rc) {
        FILE *f = NULL;
        rc = ste_file_try(p->out, err);
        if (!rc)
            rc = go_on(&s, err);
        if (!rc && !(f = fopen(s.part, "ab")))
            rc = ste_err_errno(err, "cannot write %s", s.part);
        if (!rc)
            rc = pull_rows(&s, f, err);
        if (f && fclose(f) && !rc)
            rc = ste_err_errno(err, "cannot write %s", s.part);
        if (!rc)
            rc = finish(&s, source, err);
    }
    ste_xfree(s.config);
    ste_xfree(s.split);
    ste_xfree(s.revision);
    ste_xfree(s.part);
    ste_xfree(s.note);
    ste_xfree(source);
    return rc;
}
