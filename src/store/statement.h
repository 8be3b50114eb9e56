/* Statements of SQL, for this folder and for tests. */
#ifndef STE_STORE_STATEMENT_H
#define STE_STORE_STATEMENT_H

#include <sqlite3.h>
#include <stdarg.h>

#include "store/store.h"

sqlite3 *ste_store_db(struct ste_store *s);

/* A database, closed with its statements should memory run out (core/domain.h). Returns SQLite's code; *DB is to be
 * closed whatever it is. */
int ste_database_open(sqlite3 **db, const char *path, int flags);
/* The same of a file that is written to, made with its folder if need be; another process that writes is waited for. */
int ste_database_make(sqlite3 **db, const char *path);
void ste_database_close(sqlite3 *db); /* and its statements; NULL is allowed */
/* The last failure of SQLite in the words of a person who has to mend it. */
int ste_store_fail(struct ste_store *s, struct ste_err *err, const char *doing);
/* The text of a column; NULL for null alone. */
const char *ste_column_text(sqlite3_stmt *q, int column);

/* A prepared statement, cached by its text. Binds by TYPES: t text, i int64, r real, b blob (pointer, size_t), n null;
 * a NULL text is null. */
int ste_store_exec(struct ste_store *s, struct ste_err *err, const char *sql, const char *types, ...);
/* Begins a query: the caller steps with ste_store_row (1 a row, 0 the end, negative an error), then calls
 * ste_store_done. */
int ste_store_query(struct ste_store *s, sqlite3_stmt **out, struct ste_err *err, const char *sql, const char *types,
                    ...);
int ste_store_vquery(struct ste_store *s, sqlite3_stmt **out, struct ste_err *err, const char *sql, const char *types,
                     va_list ap);
int ste_store_row(struct ste_store *s, sqlite3_stmt *q, struct ste_err *err);
void ste_store_done(struct ste_store *s, sqlite3_stmt *q);
/* The first column of the first row as an integer; 0 when there is none. */
int ste_store_count(struct ste_store *s, int64_t *out, struct ste_err *err, const char *sql, const char *types, ...);

#endif
