#include "store/training.h"

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
