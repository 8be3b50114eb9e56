/*
 * A run's database: one SQLite file (WAL), schema versioned. Rows commit in transactions; ids derive from the rows they
 * come from. This header opens it and wraps statements; rows.h has the tables.
 */
#ifndef STE_STORE_STORE_H
#define STE_STORE_STORE_H

#include <sqlite3.h>
#include <stdint.h>

#include "core/buf.h"
#include "core/err.h"

#define STE_STORE_VERSION 2

struct ste_store;
/* Opens DIR/run.db, made if CREATE, and takes the run's lock: STE_EBUSY when another process works on the run.
 * READ_ONLY takes no lock. */
int ste_store_open(struct ste_store **out, const char *dir, int create, int read_only, struct ste_err *err);
void ste_store_close(struct ste_store *s);
sqlite3 *ste_store_db(struct ste_store *s);
const char *ste_store_dir(const struct ste_store *s);

int ste_store_begin(struct ste_store *s, struct ste_err *err);
int ste_store_commit(struct ste_store *s, struct ste_err *err);
void ste_store_rollback(struct ste_store *s);
/* Ends a transaction by how its work went: commits when RC is 0, else rolls back. Returns RC or the commit's error. */
int ste_store_end(struct ste_store *s, int rc, struct ste_err *err);

/* A prepared statement, cached by its text. Binds by TYPES: t text, i int64, r real, b blob (pointer, size_t), n null;
 * a NULL text is null. */
int ste_store_exec(struct ste_store *s, struct ste_err *err, const char *sql, const char *types, ...);
/* For queries: step with ste_store_row (1 a row, 0 the end, negative an error), then ste_store_done. */
int ste_store_query(struct ste_store *s, sqlite3_stmt **out, struct ste_err *err, const char *sql, const char *types,
                    ...);
int ste_store_row(struct ste_store *s, sqlite3_stmt *q, struct ste_err *err);
void ste_store_done(struct ste_store *s, sqlite3_stmt *q);
/* The first column of the first row as an integer; 0 when there is none. */
int ste_store_count(struct ste_store *s, int64_t *out, struct ste_err *err, const char *sql, const char *types, ...);

int ste_store_meta_set(struct ste_store *s, const char *key, const char *value, struct ste_err *err);
char *ste_store_meta(struct ste_store *s, const char *key); /* NULL: none; caller frees */

/* Every row of every table as a JSON line in a canonical order, without times: equal runs give equal bytes. */
int ste_store_dump(struct ste_store *s, int (*line)(void *arg, const char *json, struct ste_err *err), void *arg,
                   struct ste_err *err);

#endif
