/* Columns as fields of a struct, for the files of this folder that read and write rows (rows.h, browse.h). */
#ifndef STE_STORE_COLUMNS_H
#define STE_STORE_COLUMNS_H

#include <stddef.h>

#include "store/rows.h"
#include "store/statement.h"

enum ste_column_type { STE_COLUMN_TEXT, STE_COLUMN_INT, STE_COLUMN_REAL, STE_COLUMN_TOKENS };

/* A column of a table, or an expression of a query, and the field of a struct that holds it. */
struct ste_column {
    const char *name;
    enum ste_column_type type;
    size_t at;
};

#define STE_COLUMN_TYPE(S, field)                                                                                      \
    _Generic(((S *)NULL)->field, const char *                                                                          \
             : STE_COLUMN_TEXT, int64_t                                                                                \
             : STE_COLUMN_INT, double                                                                                  \
             : STE_COLUMN_REAL, struct ste_token_ids                                                                   \
             : STE_COLUMN_TOKENS)
/* For files that #define S as the struct whose fields they are. */
/* clang-format off */
#define AS(field, expression) {expression, STE_COLUMN_TYPE(S, field), offsetof(S, field)}
#define C(field) AS(field, #field)
#define END {NULL, STE_COLUMN_TEXT, 0}
/* clang-format on */

/* A query: the columns of a table by its name in the query (NULL: none), and more (NULL: none) behind them. A struct
 * with more begins with that of the table. */
struct ste_row_view {
    const char *table;
    const struct ste_column *columns, *more;
    size_t size;
};

typedef int ste_row_fn(void *arg, const void *row, struct ste_err *err);
/* Selects V with TAIL ("FROM ..."), whose parameters are the N texts of VALUES, and calls EACH with every row. A text
 * is compared with a column of numbers as the number that it is. */
int ste_rows_read(struct ste_store *s, const struct ste_row_view *v, const char *tail, const char *const *values,
                  size_t n, ste_row_fn *each, void *arg, struct ste_err *err);

/* EACH takes its own type of row; a call through void is the same for every pointer to a struct, but C has no such
 * conversion, so each reader has a step of its own. */
#define STEP(name, type)                                                                                               \
    struct name##_step {                                                                                               \
        int (*each)(void *arg, const type *r, struct ste_err *err);                                                    \
        void *arg;                                                                                                     \
    };                                                                                                                 \
    static int name##_of(void *arg, const void *row, struct ste_err *err)                                              \
    {                                                                                                                  \
        const struct name##_step *step = arg;                                                                          \
        return step->each(step->arg, row, err);                                                                        \
    }

#endif
