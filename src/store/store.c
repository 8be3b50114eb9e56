#include "store/store.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/domain.h"
#include "core/file.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/profile.h"
#include "store/run.h"
#include "store/schema.h"
#include "store/statement.h"

#define WAIT_MS 10000 /* for another process that writes */

struct cached {
    char *sql;
    sqlite3_stmt *stmt;
    int busy; /* handed out by ste_store_query and not yet done */
};

struct ste_store {
    char *dir, *path;
    sqlite3 *db;
    int lock;    /* -1: none (read-only) */
    char *ended; /* NULL: nobody said */
    int in_transaction;
    struct cached *cache;
    size_t n_cache, cap_cache;
    double deadline; /* by ste_now */
};

sqlite3 *ste_store_db(struct ste_store *s)
{
    return s->db;
}

static int is_late(void *arg)
{
    return ste_now() > ((const struct ste_store *)arg)->deadline;
}

void ste_store_limit(struct ste_store *s, double seconds)
{
    s->deadline = ste_now() + seconds;
    sqlite3_progress_handler(s->db, 10000, is_late, s);
}

const char *ste_store_dir(const struct ste_store *s)
{
    return s->dir;
}

const char *ste_store_sqlite(void)
{
    return sqlite3_libversion();
}

void ste_store_ended(struct ste_store *s, const char *how)
{
    ste_xfree(s->ended);
    s->ended = ste_xstrdup(how);
}

static void end_database(void *of, size_t n)
{
    for (sqlite3_stmt *q; (q = sqlite3_next_stmt(of, NULL));)
        sqlite3_finalize(q);
    sqlite3_close(of);
}

int ste_database_open(sqlite3 **db, const char *path, int flags)
{
    const int rc = sqlite3_open_v2(path, db, flags, NULL);
    if (!*db)
        ste_no_memory(0);
    ste_own(*db, 0, end_database);
    return rc;
}

int ste_database_make(sqlite3 **db, const char *path)
{
    const char *slash = strrchr(path, '/');
    if (slash && slash != path) {
        char *dir = ste_xstrndup(path, (size_t)(slash - path));
        ste_mkdirs(dir, NULL); /* a failure shows when the file is opened */
        ste_xfree(dir);
    }
    const int rc = ste_database_open(db, path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
    return rc == SQLITE_OK ? sqlite3_busy_timeout(*db, WAIT_MS) : rc;
}

void ste_database_close(sqlite3 *db)
{
    if (!db)
        return;
    ste_disown(db, end_database);
    end_database(db, 0);
}

const char *ste_column_text(sqlite3_stmt *q, int column)
{
    const bool null = sqlite3_column_type(q, column) == SQLITE_NULL; /* asked first: without memory it becomes one */
    const char *text = (const char *)sqlite3_column_text(q, column);
    if (!text && !null)
        ste_no_memory(0);
    return text;
}

int ste_store_fail(struct ste_store *s, struct ste_err *err, const char *doing)
{
    const int code = sqlite3_extended_errcode(s->db);
    const char *text = sqlite3_errmsg(s->db);
    if (code == SQLITE_NOMEM || code == SQLITE_IOERR_NOMEM)
        return ste_err_set(err, STE_ENOMEM,
                           "%s in %s: out of memory; free some and run the same command again, nothing that was "
                           "committed is lost",
                           doing, s->path);
    switch (code & 0xff) {
    case SQLITE_FULL:
        return ste_err_set(err, STE_EIO,
                           "%s in %s: the disk is full; free some space and run the same command again, nothing "
                           "that was committed is lost",
                           doing, s->path);
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_CANTOPEN:
        return ste_err_set(err, STE_EIO, "%s in %s: the folder or the file may not be written (%s)", doing, s->path,
                           text);
    case SQLITE_IOERR:
        return ste_err_set(err, STE_EIO, "%s in %s: the disk refused (%s); is it full?", doing, s->path, text);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return ste_err_set(err, STE_EBUSY, "%s in %s: another program holds the database; close it", doing, s->path);
    case SQLITE_INTERRUPT:
        return ste_err_set(err, STE_EBUSY, "%s in %s: it took longer than it may; ask for less of it", doing, s->path);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return ste_err_set(err, STE_EINPUT, "%s in %s: the file is damaged or no SQLite database (%s)", doing, s->path,
                           text);
    default:
        return ste_err_set(err, STE_EFAIL, "%s in %s: %s", doing, s->path, text);
    }
}

static int simple(struct ste_store *s, const char *sql, const char *doing, struct ste_err *err)
{
    return sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : ste_store_fail(s, err, doing);
}

static int user_version(struct ste_store *s, int *version, struct ste_err *err)
{
    sqlite3_stmt *q = NULL;
    *version = 0;
    if (sqlite3_prepare_v2(s->db, "PRAGMA user_version", -1, &q, NULL) != SQLITE_OK)
        return ste_store_fail(s, err, "reading the version");
    int rc = sqlite3_step(q) == SQLITE_ROW ? 0 : ste_store_fail(s, err, "reading the version");
    if (rc == 0)
        *version = sqlite3_column_int(q, 0);
    sqlite3_finalize(q);
    return rc;
}

/* A database of version 0 is fresh: it gets the whole schema in one transaction. */
static int check_schema(struct ste_store *s, int read_only, struct ste_err *err)
{
    int version;
    int rc = user_version(s, &version, err);
    if (rc != 0)
        return rc;
    if (version > STE_STORE_VERSION)
        return ste_err_set(err, STE_EINPUT, "%s has schema version %d and this ste knows %d: use the newer ste",
                           s->path, version, STE_STORE_VERSION);
    if (version == STE_STORE_VERSION)
        return 0;
    if (version > 0)
        return ste_err_set(
            err, STE_EINPUT,
            "%s was made by an older ste (schema version %d, this one has %d), which kept other rows: use that "
            "ste, or give another folder with --run",
            s->path, version, STE_STORE_VERSION);
    if (read_only)
        return ste_err_set(err, STE_ENOTFOUND, "%s holds no run yet", s->path);
    if ((rc = ste_store_begin(s, err)) != 0)
        return rc;
    rc = simple(s, ste_schema, "making the tables", err);
    if (rc == 0) {
        char *sql = ste_xasprintf("PRAGMA user_version = %d", STE_STORE_VERSION);
        rc = simple(s, sql, "making the tables", err);
        ste_xfree(sql);
    }
    if (rc != 0) {
        ste_store_rollback(s);
        return rc;
    }
    return ste_store_commit(s, err);
}

/* A read-only folder cannot hold the shared-memory file that WAL needs; where nobody can write, the file does not
 * change either, so it may be read as immutable. */
static int open_to_read(struct ste_store *s)
{
    int rc = ste_database_open(&s->db, s->path, SQLITE_OPEN_READONLY);
    if (rc == SQLITE_OK && sqlite3_exec(s->db, "SELECT 1 FROM sqlite_master", NULL, NULL, NULL) == SQLITE_OK)
        return rc;
    if (access(s->dir, W_OK) == 0)
        return rc;
    ste_database_close(s->db);
    s->db = NULL;
    struct ste_buf uri = STE_BUF_INIT;
    ste_buf_adds(&uri, "file:");
    for (const char *p = s->path; *p; p++)
        if (strchr("?#%", *p))
            ste_buf_addf(&uri, "%%%02X", (unsigned char)*p);
        else
            ste_buf_addc(&uri, *p);
    ste_buf_adds(&uri, "?immutable=1");
    rc = ste_database_open(&s->db, uri.s, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI);
    ste_buf_clear(&uri);
    return rc;
}

static int open_store(struct ste_store *s, int create, int read_only, struct ste_err *err)
{
    if (!ste_file_exists(s->path) && !create)
        return ste_err_set(
            err, STE_ENOTFOUND,
            "there is no run in %s (no run.db); `ste runs` lists those that are here, `ste run RECIPE --run %s` makes "
            "one",
            s->dir, s->dir);
    if (read_only) {
        if (open_to_read(s) != SQLITE_OK)
            return ste_store_fail(s, err, "opening the run");
        sqlite3_busy_timeout(s->db, WAIT_MS);
        return check_schema(s, 1, err);
    }
    if (create) {
        int rc = ste_mkdirs(s->dir, err);
        if (rc != 0)
            return rc;
    }
    char *lock = ste_path_join(s->dir, STE_RUN_LOCK);
    int rc = ste_lock_signed(lock, &s->lock, err);
    ste_xfree(lock);
    if (rc != 0)
        return rc;
    if (ste_database_open(&s->db, s->path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE) != SQLITE_OK)
        return ste_store_fail(s, err, "opening the run");
    sqlite3_busy_timeout(s->db, WAIT_MS);
    /* FULL, not NORMAL: a training state is deleted once the row that replaces it is committed, so a commit that a
     * power cut takes back would point to a file that is gone. A few commits a second can afford the sync. */
    if ((rc = simple(s, "PRAGMA journal_mode = WAL", "opening the run", err)) != 0 ||
        (rc = simple(s, "PRAGMA synchronous = FULL", "opening the run", err)) != 0)
        return rc;
    return check_schema(s, 0, err);
}

int ste_store_open(struct ste_store **out, const char *dir, int create, int read_only, struct ste_err *err)
{
    struct ste_store *s = ste_xcalloc(1, sizeof *s);
    s->dir = ste_xstrdup(dir);
    s->path = ste_path_join(dir, STE_RUN_DATABASE);
    s->lock = -1;
    int rc = open_store(s, create, read_only, err);
    if (rc != 0) {
        ste_store_close(s);
        return rc;
    }
    *out = s;
    return 0;
}

void ste_store_close(struct ste_store *s)
{
    if (!s)
        return;
    if (s->in_transaction)
        ste_store_rollback(s);
    for (size_t i = 0; i < s->n_cache; i++)
        ste_xfree(s->cache[i].sql);
    ste_xfree(s->cache);
    ste_database_close(s->db);
    ste_unlock_signed(s->lock, s->ended ? s->ended : "");
    ste_xfree(s->ended);
    ste_xfree(s->dir);
    ste_xfree(s->path);
    ste_xfree(s);
}

int ste_store_begin(struct ste_store *s, struct ste_err *err)
{
    int rc = simple(s, "BEGIN IMMEDIATE", "writing", err);
    if (rc == 0)
        s->in_transaction = 1;
    return rc;
}

int ste_store_commit(struct ste_store *s, struct ste_err *err)
{
    enum ste_work before = ste_profile_begin(STE_WORK_STORE);
    int rc = simple(s, "COMMIT", "writing", err);
    ste_profile_end(before);
    if (rc == 0)
        s->in_transaction = 0;
    else
        ste_store_rollback(s);
    return rc;
}

void ste_store_rollback(struct ste_store *s)
{
    /* SQLite may have rolled back already (full disk): then this fails, and that is fine. */
    sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    s->in_transaction = 0;
}

int ste_store_end(struct ste_store *s, int rc, struct ste_err *err)
{
    if (rc == 0)
        return ste_store_commit(s, err);
    ste_store_rollback(s);
    return rc;
}

static int prepare(struct ste_store *s, const char *sql, struct cached **out, struct ste_err *err)
{
    for (size_t i = 0; i < s->n_cache; i++)
        if (!s->cache[i].busy && strcmp(s->cache[i].sql, sql) == 0) {
            *out = &s->cache[i];
            return 0;
        }
    sqlite3_stmt *stmt = NULL;
    if (sqlite3_prepare_v3(s->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &stmt, NULL) != SQLITE_OK)
        return ste_store_fail(s, err, "preparing a statement");
    STE_GROW(s->cache, s->cap_cache, s->n_cache + 1);
    s->cache[s->n_cache] = (struct cached){ste_xstrdup(sql), stmt, 0};
    *out = &s->cache[s->n_cache++];
    return 0;
}

/* Returns SQLite's code. */
static int bind(sqlite3_stmt *q, const char *types, va_list ap)
{
    int rc = SQLITE_OK;
    for (int i = 1; *types && rc == SQLITE_OK; types++, i++) {
        if (*types == 't') {
            const char *t = va_arg(ap, const char *);
            rc = sqlite3_bind_text(q, i, t, -1, SQLITE_TRANSIENT); /* a NULL text is null */
        } else if (*types == 'i') {
            rc = sqlite3_bind_int64(q, i, va_arg(ap, int64_t));
        } else if (*types == 'r') {
            rc = sqlite3_bind_double(q, i, va_arg(ap, double)); /* NaN is null in SQLite */
        } else if (*types == 'b') {
            const void *p = va_arg(ap, const void *);
            size_t n = va_arg(ap, size_t);
            rc = p ? sqlite3_bind_blob64(q, i, p, n, SQLITE_TRANSIENT) : sqlite3_bind_null(q, i);
        } else {
            rc = sqlite3_bind_null(q, i);
        }
    }
    return rc;
}

int ste_store_vquery(struct ste_store *s, sqlite3_stmt **out, struct ste_err *err, const char *sql, const char *types,
                     va_list ap)
{
    struct cached *c = NULL;
    int rc = prepare(s, sql, &c, err);
    if (rc == 0 && bind(c->stmt, types, ap) != SQLITE_OK)
        rc = ste_store_fail(s, err, "binding a value");
    if (rc != 0)
        return rc;
    c->busy = 1;
    *out = c->stmt;
    return 0;
}

int ste_store_query(struct ste_store *s, sqlite3_stmt **out, struct ste_err *err, const char *sql, const char *types,
                    ...)
{
    va_list ap;
    va_start(ap, types);
    int rc = ste_store_vquery(s, out, err, sql, types, ap);
    va_end(ap);
    return rc;
}

int ste_store_row(struct ste_store *s, sqlite3_stmt *q, struct ste_err *err)
{
    int step = sqlite3_step(q);
    if (step == SQLITE_ROW)
        return 1;
    return step == SQLITE_DONE ? 0 : ste_store_fail(s, err, "reading");
}

void ste_store_done(struct ste_store *s, sqlite3_stmt *q)
{
    if (!q)
        return;
    sqlite3_reset(q);
    sqlite3_clear_bindings(q);
    for (size_t i = 0; i < s->n_cache; i++)
        if (s->cache[i].stmt == q)
            s->cache[i].busy = 0;
}

int ste_store_meta_set(struct ste_store *s, const char *key, const char *value, struct ste_err *err)
{
    return ste_store_exec(s, err, "INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", "tt", key, value);
}

int ste_store_meta(struct ste_store *s, const char *key, char **value, struct ste_err *err)
{
    sqlite3_stmt *q = NULL;
    *value = NULL;
    int rc = ste_store_query(s, &q, err, "SELECT value FROM meta WHERE key = ?", "t", key);
    if (rc == 0 && (rc = ste_store_row(s, q, err)) == 1)
        *value = ste_xstrdup(ste_column_text(q, 0));
    ste_store_done(s, q);
    return rc < 0 ? rc : 0;
}

int ste_store_exec(struct ste_store *s, struct ste_err *err, const char *sql, const char *types, ...)
{
    sqlite3_stmt *q = NULL;
    va_list ap;
    va_start(ap, types);
    int rc = ste_store_vquery(s, &q, err, sql, types, ap), step;
    va_end(ap);
    if (rc == 0 && (step = sqlite3_step(q)) != SQLITE_DONE && step != SQLITE_ROW)
        rc = ste_store_fail(s, err, "writing");
    ste_store_done(s, q);
    return rc;
}

int ste_store_count(struct ste_store *s, int64_t *out, struct ste_err *err, const char *sql, const char *types, ...)
{
    sqlite3_stmt *q = NULL;
    va_list ap;
    va_start(ap, types);
    int rc = ste_store_vquery(s, &q, err, sql, types, ap);
    va_end(ap);
    *out = 0;
    if (rc == 0 && (rc = ste_store_row(s, q, err)) == 1)
        *out = sqlite3_column_int64(q, 0);
    ste_store_done(s, q);
    return rc < 0 ? rc : 0;
}

int ste_store_empty(struct ste_store *s, struct ste_err *err)
{
    int rc = ste_store_begin(s, err);
    if (rc != 0)
        return rc;
    for (const struct ste_table *t = ste_tables; t->name && rc == 0; t++) {
        char *sql = ste_xasprintf("DELETE FROM %s", t->name);
        rc = ste_store_exec(s, err, sql, "");
        ste_xfree(sql);
    }
    if (rc == 0)
        rc = ste_store_exec(s, err, "DELETE FROM work", "");
    return ste_store_end(s, rc, err);
}

static int copy_into(struct ste_store *s, struct ste_store *to, const char *recipe, struct ste_err *err)
{
    if (ste_database_open(&to->db, to->path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE) != SQLITE_OK)
        return ste_store_fail(to, err, "copying the run");
    sqlite3_backup *b = sqlite3_backup_init(to->db, "main", s->db, "main");
    if (b)
        sqlite3_backup_step(b, -1);
    if (sqlite3_backup_finish(b) != SQLITE_OK)
        return ste_store_fail(to, err, "copying the run");
    /* No file but the database itself is left to be renamed. */
    int rc = simple(to, "PRAGMA journal_mode = DELETE", "copying the run", err);
    return rc == 0 ? ste_store_meta_set(to, "recipe", recipe, err) : rc;
}

int ste_store_copy(struct ste_store *s, const char *dir, const char *recipe, struct ste_err *err)
{
    int rc = ste_mkdirs(dir, err);
    if (rc != 0)
        return rc;
    struct ste_store *to = ste_xcalloc(1, sizeof *to);
    to->dir = ste_xstrdup(dir);
    to->path = ste_path_join(dir, STE_RUN_DATABASE ".copy");
    to->lock = -1;
    char *journal = ste_xasprintf("%s-journal", to->path), *wal = ste_xasprintf("%s-wal", to->path),
         *path = ste_path_join(dir, STE_RUN_DATABASE), *part = ste_xstrdup(to->path);
    unlink(part); /* of a copy that was killed */
    unlink(journal);
    unlink(wal);
    rc = copy_into(s, to, recipe, err);
    ste_store_close(to);
    if (rc == 0 && rename(part, path) != 0)
        rc = ste_err_errno(err, "cannot rename %s", part);
    if (rc == 0)
        rc = ste_folder_sync(dir, err);
    ste_xfree(journal);
    ste_xfree(wal);
    ste_xfree(path);
    ste_xfree(part);
    return rc;
}
