/* Numbers of rows. */
#include "store/rows.h"
#include "store/statement.h"

static const char *const counted[STE_N_COUNTED] = {
    [STE_COUNT_INSTRUCTIONS] = "SELECT count(*) FROM instruction",
    [STE_COUNT_INSTRUCTIONS_KEPT] = "SELECT count(*) FROM instruction WHERE state = 'kept'",
    [STE_COUNT_INSTRUCTIONS_ASKED] =
        "SELECT count(*) FROM instruction WHERE state IN ('kept', 'category', 'complexity', 'expected length', "
        "'category full', 'over the limit', 'over its share')",
    [STE_COUNT_INSTRUCTIONS_WAITING] = "SELECT count(*) FROM instruction WHERE state = 'read' OR (state = 'kept' AND "
                                       "id NOT IN (SELECT instruction FROM pair))",
    [STE_COUNT_KEPT_CHARS] = "SELECT coalesce(sum(length(dialogue)), 0) FROM instruction WHERE state = 'kept'",
    [STE_COUNT_LABELLED_KEPT] = "SELECT count(*) FROM generation g JOIN instruction i ON i.id = g.instruction WHERE "
                                "g.kind = 'rejected' AND g.finish = 'given' AND i.state = 'kept'",
    [STE_COUNT_GIVEN_CHARS] = "SELECT coalesce(avg(length(text)), 0) FROM generation g JOIN instruction i ON i.id = "
                              "g.instruction WHERE g.kind IN ('answer', 'rejected') AND g.finish = 'given' AND "
                              "i.state = 'kept'",
    [STE_COUNT_PAIRS] = "SELECT count(*) FROM pair",
    [STE_COUNT_PAIRS_KEPT] = "SELECT count(*) FROM pair WHERE state = 'kept'",
    [STE_COUNT_TOKENS] = "SELECT coalesce(sum(tokens), 0) FROM generation",
    [STE_COUNT_TRAIN_PAIRS] = "SELECT count(*) FROM pair WHERE state = 'kept' AND split = 'train'",
    [STE_COUNT_DEV_PAIRS] = "SELECT count(*) FROM pair WHERE state = 'kept' AND split = 'dev'",
    [STE_COUNT_MODELS] = "SELECT count(*) FROM meta WHERE key LIKE 'model %'",
    [STE_COUNT_TRAINED] = "SELECT count(*) FROM iteration WHERE adapter_hash IS NOT NULL",
    [STE_COUNT_LAST_JUDGED] = "SELECT coalesce(max(iteration), 0) FROM judgment",
    [STE_COUNT_LAST_EXAMPLES] = "SELECT coalesce(max(iteration), 0) FROM example",
    [STE_COUNT_EXAMPLES] = "SELECT count(*) FROM example WHERE iteration = ?",
    [STE_COUNT_SAME_EXAMPLES] =
        "SELECT count(*) FROM example e JOIN example f ON f.pair = e.pair AND f.label = e.label AND f.iteration = "
        "e.iteration - 1 WHERE e.iteration = ? AND abs(e.weight - f.weight) < 0.05",
    [STE_COUNT_EVALUATIONS] = "SELECT count(*) FROM evaluation WHERE iteration = ?",
};

int ste_count(struct ste_store *s, enum ste_counted what, int64_t iteration, int64_t *out, struct ste_err *err)
{
    *out = 0;
    if (what < STE_COUNT_EXAMPLES)
        return ste_store_count(s, out, err, counted[what], "");
    return ste_store_count(s, out, err, counted[what], "i", iteration);
}

int ste_judged(struct ste_store *s, int64_t iteration, const char *pair, const char *winner, struct ste_judged *out,
               struct ste_err *err)
{
    sqlite3_stmt *q = NULL;
    *out = (struct ste_judged){0};
    int rc = ste_store_query(s, &q, err,
                             "SELECT count(*), coalesce(sum(correct), 0), coalesce(sum(reason = 'prompt too long'), 0) "
                             "FROM judgment WHERE iteration = ? AND pair = ? AND winner = ?",
                             "itt", iteration, pair, winner);
    if (rc == 0 && (rc = ste_store_row(s, q, err)) == 1)
        *out = (struct ste_judged){sqlite3_column_int64(q, 0), sqlite3_column_int64(q, 1), sqlite3_column_int64(q, 2)};
    ste_store_done(s, q);
    return rc < 0 ? rc : 0;
}

int ste_count_judged(struct ste_store *s, int64_t iteration, int64_t samples, bool stop_early, int64_t *out,
                     struct ste_err *err)
{
    return ste_store_count(s, out, err,
                           "SELECT count(*) FROM (SELECT 1 FROM judgment WHERE iteration = ? GROUP BY pair, winner "
                           "HAVING count(*) >= ? OR (? AND sum(correct) > 0) OR sum(reason = 'prompt too long') > 0)",
                           "iii", iteration, samples, (int64_t)stop_early);
}
