/*
 * What was spent at models on servers: an SQLite database of a row a model, to which every process that works at one
 * thing adds. It is apart from the answers, so that neither waits for the other's writing.
 */
#ifndef STE_STORE_SPENT_H
#define STE_STORE_SPENT_H

#include <stdint.h>

#include "core/err.h"

struct ste_spent {
    int64_t requests;                   /* whose replies say what they used: */
    int64_t prompt, cached, completion; /* tokens; CACHED are a part of PROMPT */
    double cost;                        /* of these, by the prices of the time */
    double unheard;                     /* the most that requests cost whose use is not known, or not yet */
};
void ste_spent_add(struct ste_spent *to, const struct ste_spent *more);

struct ste_ledger;
/* Makes the file and its folder where they are not there. */
int ste_ledger_open(struct ste_ledger **out, const char *path, struct ste_err *err);
void ste_ledger_close(struct ste_ledger *l); /* NULL is allowed */
/* Adds MORE, of which parts may be negative, to MODEL's row; *ALL is then what stands there. */
int ste_ledger_add(struct ste_ledger *l, const char *model, const struct ste_spent *more, struct ste_spent *all,
                   struct ste_err *err);
/* Each row in the order of the models' names. The first error of FN ends it. A file that is not there has none. */
int ste_ledger_each(const char *path,
                    int (*fn)(void *arg, const char *model, const struct ste_spent *s, struct ste_err *err), void *arg,
                    struct ste_err *err);

#endif
