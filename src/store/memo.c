#include "store/memo.h"

#include <string.h>

#include "core/file.h"
#include "core/log.h"
#include "core/mem.h"
#include "store/statement.h"

struct ste_memo {
    sqlite3 *db;
    sqlite3_stmt *get, *put;
    bool broken; /* a write failed and was warned about */
};

struct ste_memo *ste_memo_open(const char *path)
{
    struct ste_memo *m = ste_xcalloc(1, sizeof *m);
    const char *slash = strrchr(path, '/');
    if (slash && slash != path) {
        char *dir = ste_xstrndup(path, (size_t)(slash - path));
        ste_mkdirs(dir, NULL); /* a failure shows when the file is opened */
        ste_xfree(dir);
    }
    int rc = ste_database_open(&m->db, path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
    if (rc == SQLITE_OK) {
        sqlite3_busy_timeout(m->db, 10000);
        rc = sqlite3_exec(m->db,
                          "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
                          "CREATE TABLE IF NOT EXISTS answer(address TEXT, numerics TEXT, bytes BLOB NOT NULL,"
                          " PRIMARY KEY(address, numerics)) WITHOUT ROWID;"
                          "DROP TABLE IF EXISTS completion", /* of an older ste */
                          NULL, NULL, NULL);
    }
    if (rc == SQLITE_OK)
        rc = sqlite3_prepare_v2(m->db, "SELECT bytes FROM answer WHERE address=? AND numerics=?", -1, &m->get, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_prepare_v2(m->db, "INSERT OR IGNORE INTO answer VALUES(?,?,?)", -1, &m->put, NULL);
    if (rc != SQLITE_OK) {
        ste_warn("the cache of answers %s cannot be used (%s); going on without it", path, sqlite3_errmsg(m->db));
        ste_memo_close(m);
        return NULL;
    }
    return m;
}

void ste_memo_close(struct ste_memo *m)
{
    if (!m)
        return;
    ste_database_close(m->db);
    ste_xfree(m);
}

bool ste_memo_get(struct ste_memo *m, const char *address, const char *numerics, struct ste_buf *out)
{
    sqlite3_bind_text(m->get, 1, address, -1, SQLITE_STATIC);
    sqlite3_bind_text(m->get, 2, numerics, -1, SQLITE_STATIC);
    const bool found = sqlite3_step(m->get) == SQLITE_ROW;
    if (found)
        ste_buf_add(out, sqlite3_column_blob(m->get, 0), (size_t)sqlite3_column_bytes(m->get, 0));
    sqlite3_reset(m->get);
    return found;
}

void ste_memo_put(struct ste_memo *m, const char *address, const char *numerics, const struct ste_buf *bytes)
{
    if (m->broken)
        return;
    sqlite3_bind_text(m->put, 1, address, -1, SQLITE_STATIC);
    sqlite3_bind_text(m->put, 2, numerics, -1, SQLITE_STATIC);
    sqlite3_bind_blob64(m->put, 3, bytes->s, bytes->len, SQLITE_STATIC);
    if (sqlite3_step(m->put) != SQLITE_DONE) {
        ste_warn("the cache of answers cannot be written (%s); going on without", sqlite3_errmsg(m->db));
        m->broken = true;
    }
    sqlite3_reset(m->put);
}
