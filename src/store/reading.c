#include "store/reading.h"

#include <stdlib.h>

#include "core/mem.h"
#include "store/schema.h"

int ste_store_has_begun(struct ste_store *s, bool *begun, struct ste_err *err)
{
    int64_t models;
    int rc = ste_store_count(s, &models, err, "SELECT count(*) FROM meta WHERE key LIKE 'model %'", "");
    *begun = rc == 0 && models > 0;
    return rc;
}

int ste_store_empty(struct ste_store *s, struct ste_err *err)
{
    int rc = ste_store_begin(s, err);
    if (rc != 0)
        return rc;
    for (const struct ste_table *t = ste_tables; t->name && rc == 0; t++) {
        char *sql = ste_xasprintf("DELETE FROM %s", t->name);
        rc = ste_store_exec(s, err, sql, "");
        free(sql);
    }
    if (rc == 0)
        rc = ste_store_exec(s, err, "DELETE FROM work", "");
    return ste_store_end(s, rc, err);
}

int ste_store_each_training(struct ste_store *s, int (*fn)(void *arg, const char *dialogue, struct ste_err *err),
                            void *arg, struct ste_err *err)
{
    sqlite3_stmt *q = NULL;
    int rc = ste_store_query(
        s, &q, err, "SELECT dialogue FROM instruction WHERE state = 'kept' AND split = 'train' ORDER BY position", "");
    while (rc == 0 && (rc = ste_store_row(s, q, err)) == 1)
        rc = fn(arg, (const char *)sqlite3_column_text(q, 0), err);
    ste_store_done(s, q);
    return rc;
}
