#include "store/spent.h"

#include <string.h>

#include "core/file.h"
#include "core/mem.h"
#include "store/statement.h"

struct ste_ledger {
    char *path;
    sqlite3 *db;
    sqlite3_stmt *add;
};

void ste_spent_add(struct ste_spent *to, const struct ste_spent *more)
{
    to->requests += more->requests;
    to->prompt += more->prompt;
    to->cached += more->cached;
    to->completion += more->completion;
    to->cost += more->cost;
    to->unheard += more->unheard;
}

static int failed(const struct ste_ledger *l, struct ste_err *err)
{
    return ste_err_set(err, STE_EIO, "%s, which says what was spent, cannot be used (%s)", l->path,
                       sqlite3_errmsg(l->db));
}

static void read_row(sqlite3_stmt *q, int from, struct ste_spent *out)
{
    *out = (struct ste_spent){.requests = sqlite3_column_int64(q, from),
                              .prompt = sqlite3_column_int64(q, from + 1),
                              .cached = sqlite3_column_int64(q, from + 2),
                              .completion = sqlite3_column_int64(q, from + 3),
                              .cost = sqlite3_column_double(q, from + 4),
                              .unheard = sqlite3_column_double(q, from + 5)};
}

int ste_ledger_open(struct ste_ledger **out, const char *path, struct ste_err *err)
{
    struct ste_ledger *l = ste_xcalloc(1, sizeof *l);
    *out = NULL;
    l->path = ste_xstrdup(path);
    int rc = ste_database_make(&l->db, path);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(l->db,
                          "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
                          "CREATE TABLE IF NOT EXISTS spent(model TEXT PRIMARY KEY, requests INT, prompt INT,"
                          " cached INT, completion INT, cost REAL, unheard REAL)",
                          NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_prepare_v2(l->db,
                                "INSERT INTO spent VALUES(?1,?2,?3,?4,?5,?6,?7) ON CONFLICT(model) DO UPDATE SET"
                                " requests=requests+?2, prompt=prompt+?3, cached=cached+?4, completion=completion+?5,"
                                " cost=cost+?6, unheard=unheard+?7"
                                " RETURNING requests, prompt, cached, completion, cost, unheard",
                                -1, &l->add, NULL);
    if (rc != SQLITE_OK) {
        rc = failed(l, err);
        ste_ledger_close(l);
        return rc;
    }
    *out = l;
    return 0;
}

void ste_ledger_close(struct ste_ledger *l)
{
    if (!l)
        return;
    ste_database_close(l->db);
    ste_xfree(l->path);
    ste_xfree(l);
}

int ste_ledger_add(struct ste_ledger *l, const char *model, const struct ste_spent *more, struct ste_spent *all,
                   struct ste_err *err)
{
    sqlite3_bind_text(l->add, 1, model, -1, SQLITE_STATIC);
    sqlite3_bind_int64(l->add, 2, more->requests);
    sqlite3_bind_int64(l->add, 3, more->prompt);
    sqlite3_bind_int64(l->add, 4, more->cached);
    sqlite3_bind_int64(l->add, 5, more->completion);
    sqlite3_bind_double(l->add, 6, more->cost);
    sqlite3_bind_double(l->add, 7, more->unheard);
    int rc = sqlite3_step(l->add);
    if (rc == SQLITE_ROW) {
        read_row(l->add, 0, all);
        rc = sqlite3_step(l->add); /* the row is written with the last step */
    }
    if (rc != SQLITE_DONE)
        failed(l, err);
    sqlite3_reset(l->add);
    return rc == SQLITE_DONE ? 0 : STE_EIO;
}

int ste_ledger_each(const char *path,
                    int (*fn)(void *arg, const char *model, const struct ste_spent *s, struct ste_err *err), void *arg,
                    struct ste_err *err)
{
    struct ste_ledger *l;
    sqlite3_stmt *q = NULL;
    int rc = ste_file_exists(path) ? ste_ledger_open(&l, path, err) : 1;
    if (rc)
        return rc < 0 ? rc : 0;
    int step = sqlite3_prepare_v2(l->db,
                                  "SELECT model, requests, prompt, cached, completion, cost, unheard FROM spent"
                                  " ORDER BY model",
                                  -1, &q, NULL);
    while (step == SQLITE_OK && !rc && (step = sqlite3_step(q)) == SQLITE_ROW) {
        struct ste_spent s;
        read_row(q, 1, &s);
        rc = fn(arg, ste_column_text(q, 0), &s, err);
        step = SQLITE_OK;
    }
    if (!rc && step != SQLITE_DONE)
        rc = failed(l, err);
    ste_ledger_close(l);
    return rc;
}
