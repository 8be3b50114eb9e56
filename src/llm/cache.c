#include "llm/cache.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "core/buf.h"
#include "core/file.h"
#include "core/log.h"
#include "core/mem.h"

struct ste_cache {
    sqlite3 *db;
    sqlite3_stmt *get, *put;
    char *numerics;
    bool broken; /* a write failed and was warned about */
};

struct packed_head {
    int32_t finish, free_finish, choice;
    uint32_t n, n_free;
};

void ste_completion_pack(const struct ste_completion *c, struct ste_buf *out)
{
    struct packed_head h = {(int32_t)c->finish, (int32_t)c->free_finish, c->choice, (uint32_t)c->n,
                            (uint32_t)c->n_free};
    ste_buf_add(out, &h, sizeof h);
    ste_buf_add(out, c->choice_logprobs, sizeof c->choice_logprobs);
    ste_buf_add(out, c->tokens, c->n * sizeof *c->tokens);
    ste_buf_add(out, c->logprobs, c->n * sizeof *c->logprobs);
}

bool ste_completion_unpack(const void *bytes, size_t size, struct ste_completion *out)
{
    struct packed_head h;
    const char *p = bytes;
    memset(out, 0, sizeof *out);
    if (size < sizeof h + sizeof out->choice_logprobs)
        return false;
    memcpy(&h, p, sizeof h);
    p += sizeof h;
    if (size != sizeof h + sizeof out->choice_logprobs + (size_t)h.n * 8 || h.n_free > h.n ||
        h.choice >= STE_MAX_CHOICES || h.choice < -1)
        return false;
    out->finish = (enum ste_finish)h.finish;
    out->free_finish = (enum ste_finish)h.free_finish;
    out->choice = h.choice;
    out->n = h.n;
    out->n_free = h.n_free;
    memcpy(out->choice_logprobs, p, sizeof out->choice_logprobs);
    p += sizeof out->choice_logprobs;
    out->tokens = ste_xmemdup(p, (size_t)h.n * 4);
    out->logprobs = ste_xmemdup(p + (size_t)h.n * 4, (size_t)h.n * 4);
    return true;
}

struct ste_cache *ste_cache_open(const char *path, const char *numerics)
{
    struct ste_cache *c = ste_xcalloc(1, sizeof *c);
    const char *slash = strrchr(path, '/');
    if (slash && slash != path) {
        char *dir = ste_xstrndup(path, (size_t)(slash - path));
        ste_mkdirs(dir, NULL); /* a failure shows when the file is opened */
        free(dir);
    }
    int rc = sqlite3_open_v2(path, &c->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL);
    if (rc == SQLITE_OK) {
        sqlite3_busy_timeout(c->db, 10000);
        rc = sqlite3_exec(c->db,
                          "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
                          "CREATE TABLE IF NOT EXISTS completion(address TEXT, numerics TEXT, bytes BLOB NOT NULL,"
                          " PRIMARY KEY(address, numerics)) WITHOUT ROWID",
                          NULL, NULL, NULL);
    }
    if (rc == SQLITE_OK)
        rc =
            sqlite3_prepare_v2(c->db, "SELECT bytes FROM completion WHERE address=? AND numerics=?", -1, &c->get, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_prepare_v2(c->db, "INSERT OR IGNORE INTO completion VALUES(?,?,?)", -1, &c->put, NULL);
    c->numerics = ste_xstrdup(numerics);
    if (rc != SQLITE_OK) {
        ste_warn("the request cache %s cannot be used (%s); going on without it", path, sqlite3_errmsg(c->db));
        ste_cache_close(c);
        return NULL;
    }
    return c;
}

void ste_cache_close(struct ste_cache *c)
{
    if (!c)
        return;
    sqlite3_finalize(c->get);
    sqlite3_finalize(c->put);
    sqlite3_close(c->db);
    free(c->numerics);
    free(c);
}

bool ste_cache_get(struct ste_cache *c, const char *address, struct ste_completion *out)
{
    if (!c)
        return false;
    bool found = false;
    sqlite3_bind_text(c->get, 1, address, -1, SQLITE_STATIC);
    sqlite3_bind_text(c->get, 2, c->numerics, -1, SQLITE_STATIC);
    if (sqlite3_step(c->get) == SQLITE_ROW)
        found = ste_completion_unpack(sqlite3_column_blob(c->get, 0), (size_t)sqlite3_column_bytes(c->get, 0), out);
    sqlite3_reset(c->get);
    return found;
}

void ste_cache_put(struct ste_cache *c, const char *address, const struct ste_completion *done)
{
    if (!c || c->broken || done->finish == STE_FINISH_FAILED)
        return;
    struct ste_buf b = STE_BUF_INIT;
    ste_completion_pack(done, &b);
    sqlite3_bind_text(c->put, 1, address, -1, SQLITE_STATIC);
    sqlite3_bind_text(c->put, 2, c->numerics, -1, SQLITE_STATIC);
    sqlite3_bind_blob64(c->put, 3, b.s, b.len, SQLITE_STATIC);
    if (sqlite3_step(c->put) != SQLITE_DONE) {
        ste_warn("the request cache cannot be written (%s); going on without", sqlite3_errmsg(c->db));
        c->broken = true;
    }
    sqlite3_reset(c->put);
    ste_buf_clear(&b);
}
