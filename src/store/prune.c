/* The cache of answers from outside: what it holds, and what is removed from it. */
#include <string.h>
#include <sys/stat.h>

#include "core/mem.h"
#include "store/memo.h"
#include "store/statement.h"

#define AT_ONCE 5000 /* rows of a transaction: others that want to write wait for its end */

static int fail(sqlite3 *db, const char *path, struct ste_err *err)
{
    const int code = sqlite3_errcode(db);
    if (code == SQLITE_NOTADB || code == SQLITE_CORRUPT)
        return ste_err_set(err, STE_EINPUT, "the cache of answers %s is damaged or no SQLite database; remove it",
                           path);
    return ste_err_set(err, STE_EIO, "the cache of answers %s: %s", path, sqlite3_errmsg(db));
}

static int64_t size_of(const char *path, const char *more)
{
    struct stat st;
    char *name = ste_xasprintf("%s%s", path, more);
    const int64_t n = stat(name, &st) ? 0 : st.st_size;
    ste_xfree(name);
    return n;
}

/* The number that SQL gives with A for ?1; false: there is none. */
static bool number(sqlite3 *db, const char *sql, int64_t a, int64_t *out)
{
    sqlite3_stmt *q = NULL;
    bool got = false;
    *out = 0;
    if (sqlite3_prepare_v2(db, sql, -1, &q, NULL) == SQLITE_OK) {
        if (sqlite3_bind_parameter_count(q))
            sqlite3_bind_int64(q, 1, a);
        got = sqlite3_step(q) == SQLITE_ROW && sqlite3_column_type(q, 0) != SQLITE_NULL;
        if (got)
            *out = sqlite3_column_int64(q, 0);
    }
    sqlite3_finalize(q);
    return got;
}

static int open_there(sqlite3 **db, const char *path, int flags, struct ste_err *err)
{
    int rc = ste_database_open(db, path, flags);
    if (rc == SQLITE_OK)
        rc = sqlite3_busy_timeout(*db, 10000);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(*db, "SELECT 1 FROM sqlite_master", NULL, NULL, NULL);
    return rc == SQLITE_OK ? 0 : fail(*db, path, err);
}

int ste_memo_measure(const char *path, struct ste_memo_size *out, struct ste_err *err)
{
    sqlite3 *db = NULL;
    *out = (struct ste_memo_size){.oldest = -1,
                                  .bytes = size_of(path, "") + size_of(path, "-wal") + size_of(path, "-shm")};
    if (!out->bytes)
        return 0;
    int rc = open_there(&db, path, SQLITE_OPEN_READONLY, err);
    if (!rc) {
        /* The oldest alone go, so rows are numbered without a gap. */
        if (!number(db, "SELECT 1 + max(rowid) - min(rowid) FROM answers", 0, &out->answers))
            number(db, "SELECT count(*) FROM answer", 0, &out->answers); /* of an older ste */
        if (!number(db,
                    "SELECT unixepoch() / 86400 - max(day) FROM day WHERE first <= (SELECT min(rowid) FROM answers)", 0,
                    &out->oldest))
            out->oldest = -1;
    }
    ste_database_close(db);
    return rc;
}

/* The first row that may stay with BYTES for all of them. */
static int64_t first_within(sqlite3 *db, int64_t bytes)
{
    int64_t pages = 0, unused = 0, page = 0, all = 0, sum = 0, first = 0;
    sqlite3_stmt *q = NULL;
    number(db, "PRAGMA page_count", 0, &pages);
    number(db, "PRAGMA freelist_count", 0, &unused);
    number(db, "PRAGMA page_size", 0, &page);
    number(db, "SELECT sum(length(bytes)) FROM answers", 0, &all);
    const double each = all ? (double)(pages - unused) * (double)page / (double)all : 1; /* of the file for a byte */
    if (sqlite3_prepare_v2(db, "SELECT rowid, length(bytes) FROM answers ORDER BY rowid DESC", -1, &q, NULL) ==
        SQLITE_OK)
        while (sqlite3_step(q) == SQLITE_ROW) {
            sum += sqlite3_column_int64(q, 1);
            if ((double)sum * each > (double)bytes) {
                first = sqlite3_column_int64(q, 0) + 1;
                break;
            }
        }
    sqlite3_finalize(q);
    return first;
}

/* Nobody else has the file open where its journal can be another one. */
static bool shrink(sqlite3 *db)
{
    int64_t before = 0, after = 0;
    if (sqlite3_busy_timeout(db, 100) != SQLITE_OK ||
        sqlite3_exec(db, "PRAGMA journal_mode=DELETE", NULL, NULL, NULL) != SQLITE_OK)
        return false;
    number(db, "SELECT min(rowid) FROM answers", 0, &before);
    const bool done = sqlite3_exec(db, "VACUUM", NULL, NULL, NULL) == SQLITE_OK;
    number(db, "SELECT min(rowid) FROM answers", 0, &after);
    if (after != before) { /* SQLite may number rows anew */
        char *sql = ste_xasprintf("UPDATE day SET first = first - %lld", (long long)(before - after));
        sqlite3_exec(db, sql, NULL, NULL, NULL);
        ste_xfree(sql);
    }
    sqlite3_exec(db, "PRAGMA journal_mode=WAL", NULL, NULL, NULL);
    return done;
}

int ste_memo_prune(const char *path, int64_t days, int64_t bytes, int64_t *removed, bool *shrunk, struct ste_err *err)
{
    sqlite3 *db = NULL;
    int64_t first = 0, larger = 0, there = 0;
    *removed = 0;
    *shrunk = true;
    if (!size_of(path, ""))
        return 0;
    int rc = open_there(&db, path, SQLITE_OPEN_READWRITE, err);
    if (!rc && number(db, "SELECT 1 FROM sqlite_master WHERE name = 'answers'", 0, &there)) {
        /* Rows stand as they came: what is older than DAYS stands before the first of a later day. */
        sqlite3_exec(db, "CREATE TABLE IF NOT EXISTS day(day INTEGER PRIMARY KEY, first INTEGER NOT NULL)", NULL, NULL,
                     NULL);
        if (!number(db, "SELECT min(first) FROM day WHERE day >= unixepoch() / 86400 - ?1", days, &first) &&
            number(db, "SELECT max(day) FROM day", 0, &larger))
            number(db, "SELECT 1 + max(rowid) FROM answers", 0, &first); /* nothing was put since */
        larger = bytes ? first_within(db, bytes) : 0;
        first = larger > first ? larger : first;
        for (int n = 1; !rc && n > 0;) {
            char *sql =
                ste_xasprintf("DELETE FROM answers WHERE rowid IN (SELECT rowid FROM answers WHERE rowid < %lld "
                              "ORDER BY rowid LIMIT %d)",
                              (long long)first, AT_ONCE);
            rc = sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : fail(db, path, err);
            n = rc ? 0 : sqlite3_changes(db);
            *removed += n;
            ste_xfree(sql);
        }
        if (!rc && *removed)
            *shrunk = shrink(db);
    }
    ste_database_close(db);
    return rc;
}
