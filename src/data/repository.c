#include "data/repository.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "core/context.h"
#include "core/file.h"
#include "core/hash.h"
#include "core/json.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/strings.h"
#include "data/hub.h"
#include "net/http.h"

#define MAX_ANSWER ((size_t)64 << 20)
#define INDEX "model.safetensors.index.json"

int ste_repository_parse(struct ste_repository *out, const char *text, struct ste_err *err)
{
    const size_t n = strcspn(text, "@:"), m = text[n] == '@' ? strcspn(text + n, ":") : 0;
    const char *slash = memchr(text, '/', n), *file = text[n + m] == ':' ? text + n + m + 1 : NULL;
    *out = (struct ste_repository){0};
    if (!slash || slash == text || slash + 1 == text + n || memchr(slash + 1, '/', (size_t)(text + n - slash - 1)) ||
        text[n - 1] == '.' || slash[1] == '.' || m == 1 || (file && !*file) || strstr(text, "..") ||
        strpbrk(text, "?#% \t"))
        return ste_err_set(err, STE_EUSAGE, "a model of the Hub is named OWNER/NAME[@REVISION][:FILE], not \"%s\"",
                           text);
    out->name = ste_xstrndup(text, n);
    out->revision = m ? ste_xstrndup(text + n + 1, m - 1) : NULL;
    out->file = ste_xstrdup(file);
    return 0;
}

void ste_repository_clear(struct ste_repository *r)
{
    ste_xfree(r->name);
    ste_xfree(r->revision);
    ste_xfree(r->file);
    *r = (struct ste_repository){0};
}

/* A file as the Hub lists it. One of the two hashes is known, or, of a mirror that tells none, neither. */
struct item {
    const char *name, *sha256, *git;
    uint64_t size;
};

struct pull {
    const struct ste_repository *r;
    const char *as;       /* as given */
    json_t *info;         /* the Hub's answer, which owns the strings of ITEMS */
    const char *revision; /* the commit */
    struct item *items;
    size_t n;
    struct ste_strings take; /* names of those that are wanted */
    char *work, *target, *source;
    struct ste_progress *progress;
    uint64_t base, seen; /* bytes of finished files; bytes that the progress has counted */
};

static const struct item *find(const struct pull *p, const char *name)
{
    for (size_t i = 0; i < p->n; i++)
        if (strcmp(p->items[i].name, name) == 0)
            return &p->items[i];
    return NULL;
}

/* ---- what the Hub says ---- */

/* Says what a refusal of the Hub means for a repository: by itself it names an address and a number. */
static int refused(const struct pull *p, int rc, struct ste_err *err)
{
    if (rc != STE_EIO || !err || (!strstr(err->msg, "answered 401") && !strstr(err->msg, "answered 403")))
        return rc;
    return ste_err_set(err, rc,
                       "%s may not be read: either there is no such model, or it is gated; then accept its terms on "
                       "%s/%s, make a token that may read it and set HF_TOKEN to that",
                       p->r->name, ste_hub(), p->r->name);
}

static int ask(struct pull *p, struct ste_err *err)
{
    char *url = ste_xasprintf("%s/api/models/%s/revision/%s?blobs=true", ste_hub(), p->r->name,
                              p->r->revision ? p->r->revision : "main");
    char *login = ste_hub_login();
    const char *const headers[] = {login, NULL};
    struct ste_buf body = STE_BUF_INIT;
    int rc = ste_http_get(url, headers, MAX_ANSWER, &body, err);
    url[strcspn(url, "?")] = 0;
    if (rc)
        rc = refused(p, rc, err);
    else if (!(p->info = ste_json_parse(body.s, body.len, url, err)))
        rc = STE_EIO;
    ste_buf_clear(&body);
    ste_xfree(login);
    ste_xfree(url);
    return rc;
}

static bool is_hash(const char *s, size_t n)
{
    return s && strlen(s) == n && strspn(s, "0123456789abcdef") == n;
}

static int list(struct pull *p, struct ste_err *err)
{
    const json_t *files = json_object_get(p->info, "siblings");
    json_t *v;
    size_t i;
    p->revision = json_string_value(json_object_get(p->info, "sha"));
    if (!is_hash(p->revision, 40) || !json_is_array(files))
        return ste_err_set(err, STE_EIO, "the Hub's answer names no revision and no files of %s", p->r->name);
    p->items = ste_xcalloc(json_array_size(files) + 1, sizeof *p->items);
    json_array_foreach(files, i, v)
    {
        const json_t *lfs = json_object_get(v, "lfs");
        const char *name = json_string_value(json_object_get(v, "rfilename")),
                   *sha = json_string_value(json_object_get(lfs, "sha256")),
                   *git = json_string_value(json_object_get(v, "blobId"));
        const json_int_t size = json_integer_value(json_object_get(v, "size"));
        if (!name || strstr(name, "..") || *name == '/' || strpbrk(name, "?#%\\"))
            continue; /* no name of a model's file */
        p->items[p->n++] = (struct item){.name = name,
                                         .sha256 = is_hash(sha, 64) ? sha : NULL,
                                         .git = !lfs && is_hash(git, 40) ? git : NULL,
                                         .size = size > 0 ? (uint64_t)size : 0};
    }
    return 0;
}

/* ---- what is wanted of it ---- */

static void name_gguf(const struct pull *p, struct ste_buf *out)
{
    for (size_t i = 0; i < p->n; i++)
        if (ste_ends_in(p->items[i].name, ".gguf"))
            ste_buf_addf(out, "%s%s", out->len ? ", " : "", p->items[i].name);
}

static bool holds(const char *s, const char *part)
{
    for (const size_t n = strlen(part); strlen(s) >= n; s++)
        if (strncasecmp(s, part, n) == 0)
            return true;
    return false;
}

/* The place of "-00001-of-00003.gguf" in NAME, and how many parts that says; NULL: it is whole. */
static const char *part_of(const char *name, int *n)
{
    const char *at = strlen(name) > 20 ? name + strlen(name) - 20 : "";
    int i, end = 0;
    return sscanf(at, "-%5d-of-%5d.gguf%n", &i, n, &end) == 2 && end == 20 && i >= 1 && *n >= 1 ? at : NULL;
}

static int choose_file(struct pull *p, struct ste_err *err)
{
    const struct item *found = find(p, p->r->file);
    size_t n = found != NULL;
    int parts;
    for (size_t i = 0; !found && i < p->n; i++) {
        const char *name = p->items[i].name, *split = part_of(name, &parts);
        if (ste_ends_in(name, ".gguf") && holds(name, p->r->file) && (!split || strncmp(split, "-00001-", 7) == 0) &&
            n++ == 0)
            ste_strings_add(&p->take, name);
    }
    if (found)
        ste_strings_add(&p->take, found->name);
    if (n != 1 || !ste_ends_in(p->take.items[0], ".gguf")) {
        struct ste_buf all = STE_BUF_INIT;
        name_gguf(p, &all);
        int rc = ste_err_set(err, STE_EUSAGE, "%s has %s GGUF file \"%s\"; it has %s", p->r->name,
                             n > 1 ? "more than one" : "no", p->r->file, all.len ? all.s : "none at all");
        ste_buf_clear(&all);
        return rc;
    }
    const char *first = p->take.items[0], *split = part_of(first, &parts);
    for (int i = 2; split && i <= parts; i++) {
        char *next = ste_xasprintf("%.*s-%05d-of-%05d.gguf", (int)(split - first), first, i, parts);
        ste_strings_add(&p->take, next);
        ste_xfree(next);
    }
    return 0;
}

/* Beside the weights. Vocabularies in older forms are taken where there is no tokenizer.json. */
static const char *const beside[] = {
    "config.json",         "generation_config.json", "tokenizer.json",          "tokenizer_config.json",
    "chat_template.jinja", "chat_template.json",     "special_tokens_map.json", NULL};
static const char *const older[] = {"tokenizer.model", "vocab.json", "merges.txt", "added_tokens.json", NULL};

static void take_those_there(struct pull *p, const char *const *names)
{
    for (; *names; names++)
        if (find(p, *names))
            ste_strings_add(&p->take, *names);
}

static int choose_folder(struct pull *p, struct ste_err *err)
{
    take_those_there(p, beside);
    if (!find(p, "tokenizer.json"))
        take_those_there(p, older);
    if (find(p, "config.json") && (find(p, INDEX) || find(p, "model.safetensors"))) {
        ste_strings_add(&p->take, find(p, INDEX) ? INDEX : "model.safetensors");
        return 0;
    }
    struct ste_buf all = STE_BUF_INIT;
    name_gguf(p, &all);
    int rc = ste_err_set(err, STE_EINPUT, "%s has no config.json with model.safetensors%s%s", p->r->name,
                         all.len ? "; name one of its GGUF files as :FILE: " : ", and no GGUF file", all.s);
    ste_buf_clear(&all);
    return rc;
}

/* The files that the index names, which stands in the folder now. */
static int take_shards(struct pull *p, struct ste_err *err)
{
    char *path = ste_path_join(p->work, INDEX);
    struct ste_buf b = STE_BUF_INIT;
    json_t *j = NULL, *v;
    const char *key;
    int rc = ste_file_read(path, MAX_ANSWER, &b, err);
    if (!rc && !(j = ste_json_parse(b.s, b.len, path, err)))
        rc = STE_EINPUT;
    json_object_foreach(json_object_get(j, "weight_map"), key, v)
    {
        const char *name = json_string_value(v);
        if (!rc && (!name || strchr(name, '/') || !find(p, name)))
            rc = ste_err_set(err, STE_EINPUT, "%s names the file \"%s\", which %s does not have", path,
                             name ? name : "?", p->r->name);
        else if (!rc)
            ste_strings_place(&p->take, name);
    }
    json_decref(j);
    ste_buf_clear(&b);
    ste_xfree(path);
    return rc;
}

/* ---- the files ---- */

static void on_progress(void *arg, uint64_t have, uint64_t total)
{
    struct pull *p = arg;
    if (p->base + have > p->seen) {
        ste_progress_add(p->progress, p->base + have - p->seen);
        p->seen = p->base + have;
    }
}

static uint64_t size_of(const char *path)
{
    struct stat st;
    return stat(path, &st) ? 0 : (uint64_t)st.st_size;
}

static void count_had(struct pull *p, uint64_t have)
{
    if (p->base + have > p->seen) {
        ste_progress_had(p->progress, p->base + have - p->seen);
        p->seen = p->base + have;
    }
}

/* 1: the bytes at PATH are those that the Hub lists; 0: they are others. */
static int is_right(const struct item *f, const char *path, struct ste_err *err)
{
    char got[65];
    int rc = 0;
    if (f->size && size_of(path) != f->size)
        return 0;
    if (f->sha256)
        rc = ste_sha256_file(path, got, err);
    else if (f->git)
        rc = ste_git_hash_file(path, got, err);
    else
        return 1;
    return rc ? rc : strcmp(got, f->sha256 ? f->sha256 : f->git) == 0;
}

static int fetch(struct pull *p, const struct item *f, struct ste_err *err)
{
    char *path = ste_path_join(p->work, ste_path_base(f->name));
    if (ste_file_exists(path)) {
        count_had(p, f->size);
        ste_xfree(path);
        return 0;
    }
    char *part = ste_xasprintf("%s.part", path), *login = ste_hub_login();
    char *url = ste_xasprintf("%s/%s/resolve/%s/%s", ste_hub(), p->r->name, p->revision, f->name);
    const char *const headers[] = {login, NULL};
    int rc = 0;
    for (int try = 0;; try++) {
        const bool resumed = size_of(part) > 0;
        count_had(p, size_of(part));
        rc = size_of(part) == f->size && f->size ? 0 : ste_http_download(url, headers, part, on_progress, p, err);
        rc = rc ? refused(p, rc, err) : is_right(f, part, err);
        if (rc != 0)
            break;
        unlink(part);
        rc = ste_err_set(err, STE_EINPUT, "%s is not the file that the Hub lists (its %s is another); it is removed",
                         url, f->size ? "size or hash" : "hash");
        if (try || !resumed)
            break; /* the rest of an old beginning may be of another file: once more, from the start */
    }
    if (rc > 0)
        rc = rename(part, path) ? ste_err_errno(err, "cannot rename %s to %s", part, path) : 0;
    ste_xfree(url);
    ste_xfree(login);
    ste_xfree(part);
    ste_xfree(path);
    return rc;
}

static uint64_t wanted(const struct pull *p)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < p->take.n; i++)
        sum += find(p, p->take.items[i]) ? find(p, p->take.items[i])->size : 0;
    return sum;
}

static int check_room(const struct pull *p, struct ste_err *err)
{
    struct statvfs fs;
    const uint64_t size = wanted(p);
    if (statvfs(p->work, &fs) || (uint64_t)fs.f_bavail * fs.f_frsize >= size)
        return 0;
    return ste_err_set(err, STE_EIO, "%s needs %.0f MB and %s has %.0f MB left; free some space or set STE_HOME",
                       p->r->name, (double)size / 1e6, p->work, (double)fs.f_bavail * (double)fs.f_frsize / 1e6);
}

static int fetch_all(struct pull *p, struct ste_err *err)
{
    size_t told = 0;
    int rc = ste_mkdirs(p->work, err);
    for (size_t i = 0; !rc && i < p->take.n; i++) {
        const struct item *f = find(p, p->take.items[i]);
        if (!f)
            rc = ste_err_set(err, STE_EINPUT, "%s lacks the file %s", p->r->name, p->take.items[i]);
        if (!rc && told < p->take.n) { /* at first, and when the index named more */
            told = p->take.n;
            ste_progress_total(p->progress, wanted(p));
            rc = check_room(p, err);
        }
        if (!rc)
            rc = fetch(p, f, err);
        p->base += !rc ? f->size : 0;
        if (!rc && strcmp(f->name, INDEX) == 0)
            rc = take_shards(p, err);
        if (!rc)
            rc = ste_cancel_check(err);
    }
    return rc;
}

/* ---- its place ---- */

static json_t *describe(const struct pull *p)
{
    json_t *files = json_object();
    for (size_t i = 0; i < p->take.n; i++) {
        const struct item *f = find(p, p->take.items[i]);
        json_object_set_new(
            files, f->name,
            json_pack("{s:I, s:s*, s:s*}", "size", (json_int_t)f->size, "sha256", f->sha256, "git", f->git));
    }
    return json_pack("{s:s, s:s, s:o}", "repository", p->r->name, "revision", p->revision, "files", files);
}

/* What is there under TARGET came from this repository, and from the revision where one is asked for. */
static bool is_there(const struct pull *p)
{
    json_t *j = json_load_file(p->source, 0, NULL);
    const char *name = json_string_value(json_object_get(j, "repository")),
               *revision = json_string_value(json_object_get(j, "revision"));
    const bool same = name && revision && strcmp(name, p->r->name) == 0 &&
                      (!p->r->revision || strcmp(revision, p->revision ? p->revision : p->r->revision) == 0);
    json_decref(j);
    return same;
}

/* Sets the paths; the name of a GGUF file may be known only when the Hub has listed it. */
static void place(struct pull *p)
{
    const char *file = p->take.n ? p->take.items[0] : p->r->file,
               *own = p->r->file ? ste_path_base(file) : strrchr(p->r->name, '/') + 1;
    char *name =
        p->as && p->r->file ? ste_xasprintf("models/%s.gguf", p->as) : ste_xasprintf("models/%s", p->as ? p->as : own);
    ste_xfree(p->target);
    ste_xfree(p->source);
    p->target = ste_home_path(name);
    p->source = p->r->file ? ste_xasprintf("%s.source.json", p->target) : ste_path_join(p->target, "source.json");
    ste_xfree(name);
}

/* All files are right: they become the model. */
static int accept(struct pull *p, struct ste_err *err)
{
    json_t *j = describe(p);
    char *text = json_dumps(j, JSON_INDENT(2) | JSON_SORT_KEYS), *models = ste_home_path("models");
    char *note = p->r->file ? ste_xstrdup(p->source) : ste_path_join(p->work, "source.json");
    int rc = ste_mkdirs(models, err);
    if (!rc)
        rc = ste_file_write(note, text, strlen(text), err);
    for (size_t i = p->r->file ? p->take.n : 0; !rc && i-- > 0;) { /* the first part, by which it is named, last */
        char *from = ste_path_join(p->work, ste_path_base(p->take.items[i]));
        char *to = i ? ste_path_join(models, ste_path_base(p->take.items[i])) : ste_xstrdup(p->target);
        if (rename(from, to))
            rc = ste_err_errno(err, "cannot rename %s to %s", from, to);
        ste_xfree(from);
        ste_xfree(to);
    }
    if (!rc && !p->r->file && rename(p->work, p->target))
        rc = ste_err_errno(err, "cannot rename %s to %s", p->work, p->target);
    if (!rc && p->r->file)
        rmdir(p->work);
    if (!rc)
        rc = ste_folder_sync(models, err);
    if (!rc)
        ste_info("%s at revision %.12s in %s", p->r->name, p->revision, p->target);
    json_decref(j);
    ste_xfree(text);
    ste_xfree(note);
    ste_xfree(models);
    return rc;
}

static int check_target(const struct pull *p, bool *there, struct ste_err *err)
{
    *there = is_there(p) && ste_file_exists(p->target);
    if (*there || !ste_file_exists(p->target))
        return 0;
    return ste_err_set(err, STE_EUSAGE, "%s is there and is not %s%s%s; move or remove it first", p->target, p->r->name,
                       p->revision || p->r->revision ? " at revision " : "",
                       p->revision      ? p->revision
                       : p->r->revision ? p->r->revision
                                        : "");
}

static int pull(struct pull *p, struct ste_err *err)
{
    bool there = false;
    int rc;
    place(p);
    /* Asked before the Hub is, where the name is known. */
    if ((p->as || !p->r->file || ste_ends_in(p->r->file, ".gguf")) && is_there(p) && ste_file_exists(p->target))
        return 0;
    if ((rc = ask(p, err)) || (rc = list(p, err)) || (rc = p->r->file ? choose_file(p, err) : choose_folder(p, err)))
        return rc;
    if (p->r->file)
        place(p);
    if ((rc = check_target(p, &there, err)) || there)
        return rc;
    char *sub = ste_xasprintf("downloads/%s@%.12s%s%s", strrchr(p->r->name, '/') + 1, p->revision,
                              p->r->file ? "@" : "", p->r->file ? ste_path_base(p->take.items[0]) : "");
    p->work = ste_home_path(sub);
    ste_xfree(sub);
    char *what = ste_xasprintf("pull %s", p->r->name);
    p->progress = ste_progress_new(what, "bytes", 0);
    ste_xfree(what);
    rc = fetch_all(p, err);
    if (!rc)
        rc = accept(p, err);
    ste_progress_note(p->progress, rc ? "stopped" : "all files are right");
    ste_progress_end(p->progress);
    return rc;
}

int ste_repository_pull(const struct ste_repository *r, const char *as, struct ste_err *err)
{
    struct pull p = {.r = r, .as = as};
    struct ste_err own = {0};
    err = err ? err : &own;
    char *downloads = ste_home_path("downloads");
    char *lock = ste_xasprintf("%s/%s.lock", downloads, strrchr(r->name, '/') + 1);
    int fd = -1, rc = ste_mkdirs(downloads, err);
    if (!rc)
        rc = ste_lock(lock, &fd, err);
    if (!rc)
        rc = pull(&p, err);
    ste_unlock(fd);
    json_decref(p.info);
    ste_strings_clear(&p.take);
    ste_xfree(p.items);
    ste_xfree(p.work);
    ste_xfree(p.target);
    ste_xfree(p.source);
    ste_xfree(lock);
    ste_xfree(downloads);
    return rc;
}
