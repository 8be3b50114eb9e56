#include "llm/cache.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/log.h"
#include "core/mem.h"

/* ---- the file ---- */

struct ste_cache {
    sqlite3 *db;
    sqlite3_stmt *get, *put;
    char *numerics;
    bool broken; /* a write failed and was warned about */
};

struct packed_head {
    int32_t finish, free_finish, choice;
    uint32_t n, n_free, n_written, text;
};

void ste_answer_pack(const struct ste_answer *a, struct ste_buf *out)
{
    const struct ste_completion *c = &a->completion;
    const size_t text = a->text ? strlen(a->text) : 0;
    struct packed_head h = {(int32_t)c->finish,  (int32_t)c->free_finish, c->choice,     (uint32_t)c->n,
                            (uint32_t)c->n_free, (uint32_t)a->n_written,  (uint32_t)text};
    ste_buf_add(out, &h, sizeof h);
    ste_buf_add(out, c->choice_logprobs, sizeof c->choice_logprobs);
    ste_buf_add(out, c->tokens, c->n * sizeof *c->tokens);
    ste_buf_add(out, c->logprobs, c->n * sizeof *c->logprobs);
    ste_buf_add(out, a->text, text);
}

bool ste_answer_unpack(const void *bytes, size_t size, struct ste_answer *out)
{
    struct packed_head h;
    const char *p = bytes;
    struct ste_completion *c = &out->completion;
    memset(out, 0, sizeof *out);
    if (size < sizeof h + sizeof c->choice_logprobs)
        return false;
    memcpy(&h, p, sizeof h);
    p += sizeof h;
    if (size != sizeof h + sizeof c->choice_logprobs + (size_t)h.n * 8 + h.text || h.n_free > h.n ||
        h.n_written > h.n_free || h.choice >= STE_MAX_CHOICES || h.choice < -1)
        return false;
    c->finish = (enum ste_finish)h.finish;
    c->free_finish = (enum ste_finish)h.free_finish;
    c->choice = h.choice;
    c->n = h.n;
    c->n_free = h.n_free;
    memcpy(c->choice_logprobs, p, sizeof c->choice_logprobs);
    p += sizeof c->choice_logprobs;
    c->tokens = ste_xmemdup(p, (size_t)h.n * 4);
    c->logprobs = ste_xmemdup(p + (size_t)h.n * 4, (size_t)h.n * 4);
    out->n_written = h.n_written;
    out->text = ste_xstrndup(p + (size_t)h.n * 8, h.text);
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
                          "CREATE TABLE IF NOT EXISTS answer(address TEXT, numerics TEXT, bytes BLOB NOT NULL,"
                          " PRIMARY KEY(address, numerics)) WITHOUT ROWID;"
                          "DROP TABLE IF EXISTS completion", /* of an older ste */
                          NULL, NULL, NULL);
    }
    if (rc == SQLITE_OK)
        rc = sqlite3_prepare_v2(c->db, "SELECT bytes FROM answer WHERE address=? AND numerics=?", -1, &c->get, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_prepare_v2(c->db, "INSERT OR IGNORE INTO answer VALUES(?,?,?)", -1, &c->put, NULL);
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

bool ste_cache_get(struct ste_cache *c, const char *address, struct ste_answer *out)
{
    if (!c)
        return false;
    bool found = false;
    sqlite3_bind_text(c->get, 1, address, -1, SQLITE_STATIC);
    sqlite3_bind_text(c->get, 2, c->numerics, -1, SQLITE_STATIC);
    if (sqlite3_step(c->get) == SQLITE_ROW)
        found = ste_answer_unpack(sqlite3_column_blob(c->get, 0), (size_t)sqlite3_column_bytes(c->get, 0), out);
    sqlite3_reset(c->get);
    return found;
}

void ste_cache_put(struct ste_cache *c, const struct ste_answer *a)
{
    if (!c || c->broken || a->completion.finish == STE_FINISH_FAILED)
        return;
    struct ste_buf b = STE_BUF_INIT;
    ste_answer_pack(a, &b);
    sqlite3_bind_text(c->put, 1, a->address, -1, SQLITE_STATIC);
    sqlite3_bind_text(c->put, 2, c->numerics, -1, SQLITE_STATIC);
    sqlite3_bind_blob64(c->put, 3, b.s, b.len, SQLITE_STATIC);
    if (sqlite3_step(c->put) != SQLITE_DONE) {
        ste_warn("the request cache cannot be written (%s); going on without", sqlite3_errmsg(c->db));
        c->broken = true;
    }
    sqlite3_reset(c->put);
    ste_buf_clear(&b);
}

/* ---- the wrapper ---- */

struct cached {
    struct ste_llm llm;
    struct ste_cache *cache;
    struct ste_answer *ready; /* found, and not yet taken */
    size_t n, cap;
};

static int prepare(struct ste_llm *l, const struct ste_ask *ask, struct ste_question *q, struct ste_err *err)
{
    return l->inner->ops->prepare(l->inner, ask, q, err);
}

static int submit(struct ste_llm *llm, struct ste_question *q, struct ste_err *err)
{
    struct cached *c = (struct cached *)llm;
    struct ste_answer a;
    if (!ste_cache_get(c->cache, q->address, &a))
        return llm->inner->ops->submit(llm->inner, q, err);
    a.ticket = a.completion.ticket = q->ticket;
    a.tag = q->tag;
    a.from_cache = true;
    memcpy(a.address, q->address, sizeof a.address);
    a.prompt = q->prompt;
    a.n_prompt = q->n_prompt;
    q->prompt = NULL;
    ste_question_clear(q);
    STE_GROW(c->ready, c->cap, c->n + 1);
    c->ready[c->n++] = a;
    return 0;
}

static void cancel(struct ste_llm *llm, uint64_t ticket)
{
    struct cached *c = (struct cached *)llm;
    for (size_t i = 0; i < c->n; i++)
        if (c->ready[i].ticket == ticket) {
            ste_answer_clear(&c->ready[i]);
            c->ready[i] = c->ready[--c->n];
            return;
        }
    llm->inner->ops->cancel(llm->inner, ticket);
}

static int next(struct ste_llm *llm, struct ste_answer *out, struct ste_err *err)
{
    struct cached *c = (struct cached *)llm;
    if (c->n) {
        *out = c->ready[0];
        memmove(c->ready, c->ready + 1, --c->n * sizeof *c->ready);
        return 1;
    }
    int rc = llm->inner->ops->next(llm->inner, out, err);
    if (rc == 1)
        ste_cache_put(c->cache, out);
    return rc;
}

static void close_cached(struct ste_llm *llm)
{
    struct cached *c = (struct cached *)llm;
    for (size_t i = 0; i < c->n; i++)
        ste_answer_clear(&c->ready[i]);
    free(c->ready);
    ste_cache_close(c->cache);
    free(c);
}

struct ste_llm *ste_cache_wrap(struct ste_llm *inner, const char *path)
{
    static const struct ste_llm_ops ops = {
        .prepare = prepare, .submit = submit, .cancel = cancel, .next = next, .close = close_cached};
    struct ste_cache *cache = ste_cache_open(path, inner->about.numerics);
    if (!cache)
        return inner;
    struct cached *c = ste_xcalloc(1, sizeof *c);
    c->llm = (struct ste_llm){.ops = &ops, .about = inner->about, .inner = inner};
    c->cache = cache;
    return &c->llm;
}
