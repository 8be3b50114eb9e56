/*
 * A run's database: one SQLite file (WAL), schema versioned. Rows commit in transactions; ids derive from the rows they
 * come from. rows.h has the tables. One thread at a time works with a store.
 */
#ifndef STE_STORE_STORE_H
#define STE_STORE_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/buf.h"
#include "core/err.h"

#define STE_STORE_VERSION 4

struct ste_store;
/* Opens DIR/run.db, made if CREATE, and takes the run's lock: STE_EBUSY when another process works on the run.
 * READ_ONLY takes no lock. */
int ste_store_open(struct ste_store **out, const char *dir, int create, int read_only, struct ste_err *err);
void ste_store_close(struct ste_store *s);
const char *ste_store_dir(const struct ste_store *s);
/* Has ste_store_close leave in the run's lock how the work on it ended: a line, "" (as when nobody says): well. */
void ste_store_ended(struct ste_store *s, const char *how);
const char *ste_store_sqlite(void); /* SQLite's version */

/* A run from outside, however far it is. */
struct ste_glance {
    bool held; /* a process works on it */
    char *says; /* of its lock: who holds it, or how the last one ended; "process ..." and not held: it was killed */
    int64_t pairs, trained, judged, iterations; /* kept pairs; iterations trained, last judged, of the recipe */
    char *stop;                                 /* why the loop ended early; NULL: it did not */
    char *seed, *objective;                     /* of its recipe; NULL: it has none yet */
    int64_t bytes, changed;                     /* of its folder; seconds since 1970 */
};
/* What cannot be read is an error, and the rest of OUT stands all the same. The caller clears it, whatever this
 * returns. */
int ste_glance(struct ste_glance *out, const char *dir, struct ste_err *err);
void ste_glance_clear(struct ste_glance *g);
/* From now on reading ends with STE_EBUSY once SECONDS have passed. */
void ste_store_limit(struct ste_store *s, double seconds);

int ste_store_begin(struct ste_store *s, struct ste_err *err);
int ste_store_commit(struct ste_store *s, struct ste_err *err);
void ste_store_rollback(struct ste_store *s);
/* Ends a transaction by how its work went: commits when RC is 0, else rolls back. Returns RC or the commit's error. */
int ste_store_end(struct ste_store *s, int rc, struct ste_err *err);

int ste_store_meta_set(struct ste_store *s, const char *key, const char *value, struct ste_err *err);
/* *VALUE is NULL where there is none; the caller frees it. An error is not a lack. */
int ste_store_meta(struct ste_store *s, const char *key, char **value, struct ste_err *err);

/* Hands each row of each table to LINE as JSON, in a canonical order and without times: equal runs give equal bytes. */
int ste_store_dump(struct ste_store *s, int (*line)(void *arg, const char *json, struct ste_err *err), void *arg,
                   struct ste_err *err);

/* Copies the store as it stands to DIR, which has no run, with RECIPE as its recipe. The copy is there whole or not at
 * all. */
int ste_store_copy(struct ste_store *s, const char *dir, const char *recipe, struct ste_err *err);

/* Removes every row. */
int ste_store_empty(struct ste_store *s, struct ste_err *err);

#endif
