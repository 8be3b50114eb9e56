#include "store/store.h"

#include "core/json.h"
#include "core/mem.h"
#include "store/schema.h"
#include "store/statement.h"

/* Blobs are arrays of int32 token ids, four bytes little endian each. */
static json_t *tokens_of(const unsigned char *p, int n)
{
    json_t *list = json_array();
    for (int i = 0; i + 4 <= n; i += 4) {
        uint32_t v = (uint32_t)p[i] | (uint32_t)p[i + 1] << 8 | (uint32_t)p[i + 2] << 16 | (uint32_t)p[i + 3] << 24;
        json_array_append_new(list, json_integer((int32_t)v));
    }
    return list;
}

static json_t *value_of(sqlite3_stmt *q, int column)
{
    switch (sqlite3_column_type(q, column)) {
    case SQLITE_INTEGER:
        return json_integer(sqlite3_column_int64(q, column));
    case SQLITE_FLOAT: {
        json_t *real = json_real(sqlite3_column_double(q, column));
        if (real)
            return real;
        /* JSON has no infinities. */
        return json_string(sqlite3_column_double(q, column) > 0 ? "inf" : "-inf");
    }
    case SQLITE_TEXT:
        return json_stringn(ste_column_text(q, column), (size_t)sqlite3_column_bytes(q, column));
    case SQLITE_BLOB:
        return tokens_of(sqlite3_column_blob(q, column), sqlite3_column_bytes(q, column));
    default:
        return json_null();
    }
}

static int dump_table(struct ste_store *s, const struct ste_table *t,
                      int (*line)(void *arg, const char *json, struct ste_err *err), void *arg, struct ste_err *err)
{
    sqlite3_stmt *q = NULL;
    char *sql = ste_xasprintf("SELECT * FROM %s ORDER BY %s", t->name, t->order);
    int rc = ste_store_query(s, &q, err, sql, "");
    ste_xfree(sql);
    if (rc != 0)
        return rc;
    while ((rc = ste_store_row(s, q, err)) == 1) {
        json_t *row = json_object();
        json_object_set_new(row, "table", json_string(t->name));
        for (int i = 0; i < sqlite3_column_count(q); i++)
            if (json_object_set_new(row, sqlite3_column_name(q, i), value_of(q, i)) != 0) {
                rc = ste_err_set(err, STE_EINPUT, "table %s, column %s holds text that is not UTF-8", t->name,
                                 sqlite3_column_name(q, i));
                break;
            }
        char *text = rc < 0 ? NULL : ste_json_canonical(row);
        json_decref(row);
        if (text)
            rc = line(arg, text, err);
        ste_xfree(text);
        if (rc < 0)
            break;
    }
    ste_store_done(s, q);
    return rc < 0 ? rc : 0;
}

int ste_store_dump(struct ste_store *s, int (*line)(void *arg, const char *json, struct ste_err *err), void *arg,
                   struct ste_err *err)
{
    for (const struct ste_table *t = ste_tables; t->name; t++) {
        int rc = dump_table(s, t, line, arg, err);
        if (rc != 0)
            return rc;
    }
    return 0;
}
