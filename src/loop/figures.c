#include "loop/figures.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"

static enum ste_invalid reason_of(const char *name)
{
    for (int r = STE_INVALID_NONE; r < STE_N_INVALID; r++)
        if (strcmp(ste_invalid_name((enum ste_invalid)r), name) == 0)
            return (enum ste_invalid)r;
    return STE_INVALID_TRANSPORT;
}

static double real_or_nan(sqlite3_stmt *q, int column)
{
    return sqlite3_column_type(q, column) == SQLITE_NULL ? (double)NAN : sqlite3_column_double(q, column);
}

static const char *text(sqlite3_stmt *q, int column)
{
    const char *s = (const char *)sqlite3_column_text(q, column);
    return s ? s : "";
}

int ste_loop_outcomes(struct ste_store *s, const char *suite, int iteration, int step, struct ste_outcome **out,
                      size_t *n, struct ste_err *err)
{
    return ste_loop_outcomes_of_kind(s, suite, NULL, iteration, step, out, n, err);
}

int ste_loop_outcomes_of_kind(struct ste_store *s, const char *suite, const char *kind, int iteration, int step,
                              struct ste_outcome **out, size_t *n, struct ste_err *err)
{
    size_t cap = 0;
    int64_t last = -1;
    sqlite3_stmt *q = NULL;
    *out = NULL;
    *n = 0;
    int rc = ste_store_query(s, &q, err,
                             "SELECT position, winner, prompt_key, verdict, reason, logprob_a, logprob_b FROM "
                             "evaluation e WHERE suite = ?1 AND iteration = ?2 AND step = ?3 AND (?4 IS NULL OR EXISTS "
                             "(SELECT 1 FROM pair p WHERE p.id = e.item AND p.kind = ?4)) ORDER BY position, winner",
                             "tiit", suite, (int64_t)iteration, (int64_t)step, kind);
    while (rc == 0 && (rc = ste_store_row(s, q, err)) == 1) {
        rc = 0;
        if (sqlite3_column_int64(q, 0) != last) {
            last = sqlite3_column_int64(q, 0);
            STE_GROW(*out, cap, *n + 1);
            (*out)[(*n)++] = (struct ste_outcome){.judged = true, .prompt_key = strtoull(text(q, 2), NULL, 16)};
        }
        struct ste_outcome *o = &(*out)[*n - 1];
        struct ste_judgment *j = &o->order[text(q, 1)[0] == 'B' ? STE_ORDER_BA : STE_ORDER_AB];
        int verdict = ste_verdict_parse(text(q, 3));
        *j = (struct ste_judgment){.verdict = verdict < 0 ? STE_VERDICT_INVALID : (enum ste_verdict)verdict,
                                   .reason = reason_of(text(q, 4)),
                                   .logprob_a = real_or_nan(q, 5),
                                   .logprob_b = real_or_nan(q, 6)};
        if (strcmp(text(q, 3), "tied") == 0)
            o->judged = false;
        if (j->reason == STE_INVALID_TOO_LONG)
            o->skipped = true;
    }
    ste_store_done(s, q);
    return rc < 0 ? rc : 0;
}

int ste_loop_scored(struct ste_store *s, const char *suite, int iteration, int step, int64_t *pairs,
                    struct ste_err *err)
{
    return ste_store_count(s, pairs, err,
                           "SELECT count(DISTINCT position) FROM evaluation WHERE suite = ? AND iteration = ? AND "
                           "step = ?",
                           "tii", suite, (int64_t)iteration, (int64_t)step);
}
