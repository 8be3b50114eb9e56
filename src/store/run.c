#include "store/run.h"

#include <dirent.h>
#include <stdint.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/file.h"
#include "core/mem.h"
#include "core/utf8.h"

/* Whether DIR, which is freed, holds the file NAME. */
static bool holds(char *dir, const char *name)
{
    char *path = ste_path_join(dir, name);
    const bool there = ste_file_exists(path);
    ste_xfree(path);
    ste_xfree(dir);
    return there;
}

bool ste_run_is(const char *dir)
{
    return holds(ste_xstrdup(dir), STE_RUN_RECIPE);
}

char *ste_run_adapters(const char *dir)
{
    return ste_path_join(dir, "adapters");
}

char *ste_run_spent(const char *dir)
{
    return ste_path_join(dir, "spent.db");
}

char *ste_run_answers(const char *dir)
{
    return ste_path_join(dir, "answers.db");
}

char *ste_run_adapter(const char *dir, long iteration)
{
    return ste_xasprintf("%s/adapters/iter-%ld", dir, iteration);
}

char *ste_run_training(const char *dir, long iteration)
{
    return ste_xasprintf("%s/training/iter-%ld", dir, iteration);
}

bool ste_run_has_adapter(const char *dir, long iteration)
{
    return holds(ste_run_adapter(dir, iteration), "adapter_config.json");
}

long ste_run_iteration(const char *text)
{
    const size_t n = strspn(text, "0123456789");
    return n == 0 || n > 6 || text[n] ? -1 : strtol(text, NULL, 10);
}

long ste_run_newest(const char *dir)
{
    long newest = 0;
    char *adapters = ste_run_adapters(dir);
    DIR *d = ste_opendir(adapters);
    for (struct dirent *e; d && (e = readdir(d));) {
        const long n = strncmp(e->d_name, "iter-", 5) == 0 ? ste_run_iteration(e->d_name + 5) : -1;
        if (n > newest && ste_run_has_adapter(dir, n))
            newest = n;
    }
    ste_closedir(d);
    ste_xfree(adapters);
    return newest;
}

/* As writers name what is not whole yet: NAME.tmp and the process's number. */
static bool is_temporary(const char *name)
{
    const char *tmp = strstr(name, ".tmp");
    return tmp && tmp[4] && tmp[4 + strspn(tmp + 4, "0123456789")] == 0;
}

/* Removes files and folders of FOLDER with temporary names that begin with BEGIN; NULL: all of its files. */
static void remove_temporary(const char *folder, const char *begin)
{
    DIR *d = ste_opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));) {
        char *path = ste_path_join(folder, e->d_name);
        const bool of_a_kill = begin && is_temporary(e->d_name) && strncmp(e->d_name, begin, strlen(begin)) == 0;
        if (!ste_is_folder(path)) {
            if (of_a_kill || !begin)
                unlink(path);
        } else if (of_a_kill) {
            remove_temporary(path, NULL);
            rmdir(path);
        }
        ste_xfree(path);
    }
    ste_closedir(d);
}

void ste_run_clean_adapter(const char *dir, long iteration)
{
    char *all = ste_run_adapters(dir), *one = ste_run_adapter(dir, iteration),
         *begin = ste_xasprintf("iter-%ld.tmp", iteration);
    remove_temporary(all, begin);
    remove_temporary(one, "");
    ste_xfree(all);
    ste_xfree(one);
    ste_xfree(begin);
}

/* What lies in the folder FROM, files alone, into TO. */
static int copy_files(const char *from, const char *to, struct ste_err *err)
{
    int rc = ste_mkdirs(to, err);
    DIR *d = rc == 0 ? opendir(from) : NULL;
    if (rc == 0 && !d)
        rc = ste_err_errno(err, "cannot read %s", from);
    for (struct dirent *e; rc == 0 && d && (e = readdir(d));) {
        char *one = ste_path_join(from, e->d_name), *other = ste_path_join(to, e->d_name);
        struct ste_buf bytes = STE_BUF_INIT;
        if (!ste_is_folder(one)) {
            rc = ste_file_read(one, SIZE_MAX, &bytes, err);
            if (rc == 0)
                rc = ste_file_write(other, bytes.s, bytes.len, err);
        }
        ste_buf_clear(&bytes);
        ste_xfree(one);
        ste_xfree(other);
    }
    if (d)
        closedir(d);
    return rc;
}

int ste_run_copy_adapters(const char *from, const char *to, struct ste_err *err)
{
    int rc = 0;
    for (long i = 1; rc == 0 && ste_run_has_adapter(from, i); i++) {
        char *one = ste_run_adapter(from, i), *other = ste_run_adapter(to, i);
        rc = copy_files(one, other, err);
        ste_xfree(one);
        ste_xfree(other);
    }
    return rc;
}

char *ste_run_of_adapter(const char *peft_dir)
{
    char *dir = ste_path_join(peft_dir, "../..");
    if (ste_run_is(dir))
        return dir;
    ste_xfree(dir);
    return NULL;
}

char *ste_run_named(const char *folder, const char *name)
{
    struct stat at, db;
    if (!*name || name[0] == '.' || strchr(name, '/') || ste_utf8_bad(name, strlen(name)) != strlen(name))
        return NULL;
    char *dir = ste_path_join(folder, name), *path = ste_path_join(dir, STE_RUN_DATABASE);
    const bool there = lstat(dir, &at) == 0 && S_ISDIR(at.st_mode) && lstat(path, &db) == 0 && S_ISREG(db.st_mode);
    ste_xfree(path);
    if (there)
        return dir;
    ste_xfree(dir);
    return NULL;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int ste_run_names(const char *folder, struct ste_strings *names, struct ste_err *err)
{
    DIR *d = ste_opendir(folder);
    if (!d)
        return ste_err_errno(err, "cannot read the folder of runs, %s", folder);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        char *dir = ste_run_named(folder, e->d_name);
        if (dir)
            ste_strings_add(names, e->d_name);
        ste_xfree(dir);
    }
    ste_closedir(d);
    if (names->n)
        qsort(names->items, names->n, sizeof *names->items, by_name);
    return 0;
}

bool ste_run_works(const char *dir)
{
    struct ste_buf says = STE_BUF_INIT;
    char *lock = ste_path_join(dir, STE_RUN_LOCK);
    const bool held = ste_lock_held(lock, &says);
    ste_buf_clear(&says);
    ste_xfree(lock);
    return held;
}

/* When the file NAME of a run was written, 0: never. */
static double written(const char *dir, const char *name)
{
    struct stat st;
    char *path = ste_path_join(dir, name);
    const double at = stat(path, &st) == 0 ? (double)st.st_mtim.tv_sec + 1e-9 * (double)st.st_mtim.tv_nsec : 0;
    ste_xfree(path);
    return at;
}

double ste_run_written(const char *dir)
{
    const double db = written(dir, STE_RUN_DATABASE), wal = written(dir, STE_RUN_DATABASE "-wal");
    return db > wal ? db : wal;
}

bool ste_run_reported(const char *dir)
{
    return written(dir, STE_RUN_REPORT) + 2 >= ste_run_written(dir);
}
