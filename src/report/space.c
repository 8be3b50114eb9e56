#include "report/space.h"

#include <dirent.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/file.h"
#include "core/mem.h"
#include "data/catalogue.h"
#include "report/fields.h"
#include "store/memo.h"

/* Calls FN with the path of each file below DIR, those of a folder before it. */
static void each_file(const char *dir, void (*fn)(void *arg, const char *path, const struct stat *st), void *arg)
{
    DIR *d = ste_opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));) {
        struct stat st;
        char *path = ste_path_join(dir, e->d_name);
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 && lstat(path, &st) == 0) {
            if (S_ISDIR(st.st_mode))
                each_file(path, fn, arg);
            fn(arg, path, &st);
        }
        ste_xfree(path);
    }
    ste_closedir(d);
}

static void add_size(void *arg, const char *path, const struct stat *st)
{
    if (!S_ISDIR(st->st_mode))
        *(int64_t *)arg += st->st_size;
}

static int64_t size_below(const char *path)
{
    struct stat st;
    int64_t n = 0;
    if (lstat(path, &st) == 0 && !S_ISDIR(st.st_mode))
        return st.st_size;
    each_file(path, add_size, &n);
    return n;
}

static json_t *models(void)
{
    json_t *list = json_array();
    char *folder = ste_home_path("models");
    DIR *d = ste_opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));) {
        if (e->d_name[0] == '.' || ste_ends_in(e->d_name, ".sha256"))
            continue;
        char *path = ste_path_join(folder, e->d_name),
             *name = ste_ends_in(e->d_name, ".gguf") ? ste_path_stem(e->d_name) : ste_xstrdup(e->d_name);
        json_t *row = json_pack("{s:s, s:I}", "name", name, "bytes", (json_int_t)size_below(path));
        if (row)
            json_array_append_new(list, row);
        ste_xfree(path);
        ste_xfree(name);
    }
    ste_closedir(d);
    ste_xfree(folder);
    return list;
}

int ste_space(json_t **out, struct ste_err *err)
{
    struct ste_memo_size m;
    char *home = ste_home_path(NULL), *cache = ste_home_path("cache.db"), *downloads = ste_home_path("downloads");
    int rc = ste_memo_measure(cache, &m, err);
    *out = json_pack("{s:s, s:{s:I, s:I, s:o}, s:o, s:{s:I}}", "home", home, "answers", "answers",
                     (json_int_t)m.answers, "bytes", (json_int_t)m.bytes, "oldest_days",
                     m.oldest < 0 ? json_null() : json_integer((json_int_t)m.oldest), "models", models(), "downloads",
                     "bytes", (json_int_t)size_below(downloads));
    ste_xfree(home);
    ste_xfree(cache);
    ste_xfree(downloads);
    return rc;
}

void ste_space_text(const json_t *space, struct ste_buf *out)
{
    size_t i;
    json_t *row;
    const json_t *answers = json_object_get(space, "answers"), *oldest = json_object_get(answers, "oldest_days");
    ste_buf_addf(out, "%s\n%10.1f MB  answers: %lld", ste_field_text(space, "home"),
                 (double)ste_field_whole(answers, "bytes") / 1e6, ste_field_whole(answers, "answers"));
    if (json_is_integer(oldest))
        ste_buf_addf(out, ", the oldest %lld days old at most", (long long)json_integer_value(oldest));
    ste_buf_addf(out, "\n%10.1f MB  downloads that were cut off\n",
                 (double)ste_field_whole(json_object_get(space, "downloads"), "bytes") / 1e6);
    json_array_foreach(json_object_get(space, "models"), i, row) ste_buf_addf(
        out, "%10.1f MB  model %s\n", (double)ste_field_whole(row, "bytes") / 1e6, ste_field_text(row, "name"));
}

struct old {
    time_t before;
    int64_t bytes;
};

static void remove_old(void *arg, const char *path, const struct stat *st)
{
    struct old *old = arg;
    if (S_ISDIR(st->st_mode))
        rmdir(path); /* where nothing is left in it */
    else if (st->st_mtime < old->before && unlink(path) == 0)
        old->bytes += st->st_size;
}

int ste_space_prune(int64_t days, int64_t bytes, struct ste_buf *says, struct ste_err *err)
{
    char *cache = ste_home_path("cache.db"), *downloads = ste_home_path("downloads");
    struct ste_memo_size before, after;
    struct old old = {.before = time(NULL) - (time_t)days * 86400};
    int64_t removed = 0;
    bool shrunk = true;
    int rc = ste_memo_measure(cache, &before, err);
    if (!rc)
        rc = ste_memo_prune(cache, days, bytes, &removed, &shrunk, err);
    if (!rc)
        rc = ste_memo_measure(cache, &after, err);
    if (!rc) {
        each_file(downloads, remove_old, &old);
        ste_buf_addf(says, "%lld of %lld answers removed, %.1f MB free", (long long)removed, (long long)before.answers,
                     (double)(before.bytes - after.bytes + old.bytes) / 1e6);
        ste_buf_adds(says, shrunk ? "\n"
                                  : ";\nanother ste has the cache open: its file stays as large, for answers to come; "
                                    "prune\nagain when that has ended\n");
    }
    ste_xfree(cache);
    ste_xfree(downloads);
    return rc;
}

static void remove_any(void *arg, const char *path, const struct stat *st)
{
    if (S_ISDIR(st->st_mode))
        rmdir(path);
    else
        unlink(path);
}

int ste_space_remove(const struct ste_strings *models, struct ste_buf *says, struct ste_err *err)
{
    for (size_t i = 0; i < models->n; i++) {
        const char *name = models->items[i];
        char *path = strchr(name, '/') ? NULL : ste_model_here(name), *hash;
        if (!path)
            return ste_err_set(err, STE_ENOTFOUND,
                               "there is no model %s to remove; `ste cache` lists those that are "
                               "here",
                               name);
        const int64_t bytes = size_below(path);
        hash = ste_xasprintf("%s.sha256", path);
        each_file(path, remove_any, NULL);
        int rc = (ste_is_folder(path) ? rmdir(path) : unlink(path)) ? ste_err_errno(err, "cannot remove %s", path) : 0;
        unlink(hash);
        if (!rc)
            ste_buf_addf(says, "%s removed, %.1f MB free\n", name, (double)bytes / 1e6);
        ste_xfree(hash);
        ste_xfree(path);
        if (rc)
            return rc;
    }
    return 0;
}
