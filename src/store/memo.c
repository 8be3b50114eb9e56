#include "store/memo.h"

#include <string.h>

#include "core/log.h"
#include "core/mem.h"
#include "store/statement.h"

/* Rows stand as they came, and beside them the first characters of their addresses: an index that carried the bytes
 * would put each row into another page, and be ten levels deep at a million. */
static const char tables[] =
    "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA wal_autocheckpoint=4000; PRAGMA cache_size=-16000;"
    "CREATE TABLE IF NOT EXISTS answers(address TEXT NOT NULL, numerics TEXT NOT NULL, bytes BLOB NOT NULL);"
    "CREATE INDEX IF NOT EXISTS answers_address ON answers(substr(address,1,16));"
    "CREATE TABLE IF NOT EXISTS day(day INTEGER PRIMARY KEY, first INTEGER NOT NULL);" /* the first row of each day */
    "DROP TABLE IF EXISTS completion";                                                 /* of an older ste */
static const char move_older[] = "BEGIN IMMEDIATE; INSERT INTO answers SELECT address, numerics, bytes FROM answer;"
                                 "DROP TABLE answer; COMMIT";

struct ste_memo {
    sqlite3 *db;
    sqlite3_stmt *get, *put, *begin, *commit, *day;
    bool open;   /* what was put is not saved yet */
    bool broken; /* a write failed and was warned about */
};

static void prepare(struct ste_memo *m, int *rc, sqlite3_stmt **out, const char *sql)
{
    if (*rc == SQLITE_OK)
        *rc = sqlite3_prepare_v2(m->db, sql, -1, out, NULL);
}

struct ste_memo *ste_memo_open(const char *path)
{
    struct ste_memo *m = ste_xcalloc(1, sizeof *m);
    int rc = ste_database_make(&m->db, path);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(m->db, tables, NULL, NULL, NULL);
    if (rc == SQLITE_OK &&
        sqlite3_table_column_metadata(m->db, NULL, "answer", NULL, NULL, NULL, NULL, NULL, NULL) == SQLITE_OK)
        rc = sqlite3_exec(m->db, move_older, NULL, NULL, NULL);
    prepare(m, &rc, &m->get,
            /* + keeps SQLite from putting ?1 for address in what the index is by. Of two the first comes first. */
            "SELECT bytes FROM answers WHERE substr(address,1,16)=substr(?1,1,16) AND +address=?1 AND numerics=?2 "
            "LIMIT 1");
    prepare(m, &rc, &m->put, "INSERT INTO answers VALUES(?,?,?)");
    prepare(m, &rc, &m->day,
            "INSERT OR IGNORE INTO day SELECT unixepoch() / 86400, 1 + coalesce(max(rowid), 0) FROM answers");
    prepare(m, &rc, &m->begin, "BEGIN IMMEDIATE");
    prepare(m, &rc, &m->commit, "COMMIT");
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
    ste_memo_save(m);
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

static void step(struct ste_memo *m, sqlite3_stmt *q)
{
    if (!m->broken && sqlite3_step(q) != SQLITE_DONE) {
        ste_warn("the cache of answers cannot be written (%s); going on without", sqlite3_errmsg(m->db));
        m->broken = true;
    }
    sqlite3_reset(q);
}

void ste_memo_put(struct ste_memo *m, const char *address, const char *numerics, const struct ste_buf *bytes)
{
    if (m->broken)
        return;
    if (!m->open) {
        step(m, m->begin);
        step(m, m->day);
    }
    m->open = true;
    sqlite3_bind_text(m->put, 1, address, -1, SQLITE_STATIC);
    sqlite3_bind_text(m->put, 2, numerics, -1, SQLITE_STATIC);
    sqlite3_bind_blob64(m->put, 3, bytes->s, bytes->len, SQLITE_STATIC);
    step(m, m->put);
}

void ste_memo_save(struct ste_memo *m)
{
    if (m->open && m->commit)
        step(m, m->commit);
    m->open = false;
}
