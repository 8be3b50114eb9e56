/* What stands around the lists: values of filters, what two runs differ in, how far a run is. */
#include "store/browse.h"
#include "store/columns.h"

#include "core/mem.h"
#include "store/run.h"

#include "core/file.h"

static const char *const values[STE_N_VALUED] = {
    [STE_VALUES_INSTRUCTION_STATE] = "SELECT state, count(*) FROM instruction GROUP BY 1 ORDER BY 1",
    [STE_VALUES_CATEGORY] = "SELECT category, count(*) FROM instruction WHERE category IS NOT NULL GROUP BY 1 "
                            "ORDER BY 1",
    [STE_VALUES_INSTRUCTION_SPLIT] = "SELECT split, count(*) FROM instruction WHERE split IS NOT NULL GROUP BY 1 "
                                     "ORDER BY 1",
    [STE_VALUES_PAIR_STATE] = "SELECT state, count(*) FROM pair GROUP BY 1 ORDER BY 1",
    [STE_VALUES_KIND] = "SELECT kind, count(*) FROM pair GROUP BY 1 ORDER BY 1",
    [STE_VALUES_SPLIT] = "SELECT split, count(*) FROM pair GROUP BY 1 ORDER BY 1",
    [STE_VALUES_OUTCOME] = "SELECT state, count(*) FROM outcome GROUP BY 1 ORDER BY 1",
    [STE_VALUES_REASON] = "SELECT reason, count(*) FROM judgment WHERE reason <> '' GROUP BY 1 ORDER BY 1",
    [STE_VALUES_ITERATION] = "SELECT iteration, count(*) FROM judgment GROUP BY 1 ORDER BY 1",
    [STE_VALUES_SUITE] = "SELECT suite, count(*) FROM evaluation GROUP BY 1 ORDER BY suite <> 'test', suite",
    [STE_VALUES_SUITE_REASON] =
        "SELECT reason, count(*) FROM evaluation WHERE verdict = 'invalid' GROUP BY 1 ORDER BY 1",
    [STE_VALUES_SUITE_ITERATION] = "SELECT iteration, count(*) FROM evaluation GROUP BY 1 ORDER BY 1",
};

int ste_browse_values(struct ste_store *s, enum ste_valued what,
                      int (*each)(void *arg, const char *value, int64_t n, struct ste_err *err), void *arg,
                      struct ste_err *err)
{
    sqlite3_stmt *q = NULL;
    int rc = ste_store_query(s, &q, err, values[what], "");
    while (rc == 0 && (rc = ste_store_row(s, q, err)) == 1)
        rc = each(arg, ste_column_text(q, 0), sqlite3_column_int64(q, 1), err);
    ste_store_done(s, q);
    return rc;
}

/* ---- two runs ---- */

/* What a run's judge said of a suite (?1), or of training pairs, in its last iteration. */
#define LAST_VERDICTS(run)                                                                                             \
    "SELECT item, winner, verdict FROM " run ".evaluation WHERE suite = ?1 AND step = 0 AND iteration = (SELECT "      \
    "max(iteration) FROM " run ".evaluation WHERE suite = ?1)"
#define LAST_JUDGMENTS(run)                                                                                            \
    "SELECT pair AS item, winner, verdict FROM " run ".judgment WHERE sample = 0 AND iteration = (SELECT "             \
    "min(m) FROM (SELECT max(iteration) AS m FROM main.judgment UNION ALL SELECT max(iteration) FROM other.judgment))"
#define BOTH(first) "FROM (" first ") a JOIN temp.second b ON b.item = a.item AND b.winner = a.winner"

struct counted {
    int64_t both, differ;
};
#define S struct counted
static const struct ste_column counted[] = {AS(both, "count(*)"),
                                            AS(differ, "coalesce(sum(a.verdict <> b.verdict), 0)"), END};
#undef S
static int take_counted(void *arg, const void *row, struct ste_err *err)
{
    *(struct counted *)arg = *(const struct counted *)row;
    return 0;
}

#define S struct ste_difference
static const struct ste_column difference[] = {AS(item, "a.item"),
                                               AS(winner, "a.winner"),
                                               AS(first, "a.verdict"),
                                               AS(second, "b.verdict"),
                                               AS(kind, "p.kind"),
                                               AS(begins, "substr(json_extract(i.dialogue, '$[#-1].content'), 1, 200)"),
                                               END};
#undef S
STEP(difference, struct ste_difference)

int ste_browse_differences(struct ste_store *s, const char *other, const char *suite, const struct ste_page *p,
                           int64_t *both, int64_t *differ,
                           int (*each)(void *arg, const struct ste_difference *r, struct ste_err *err), void *arg,
                           struct ste_err *err)
{
    static const struct ste_row_view v = {NULL, NULL, difference, sizeof(struct ste_difference)},
                                     count = {NULL, NULL, counted, sizeof(struct counted)};
    struct difference_step step = {each, arg};
    struct counted n = {0};
    const char *const given[] = {suite ? suite : "", p->after ? p->after : ""};
    char *path = ste_path_join(other, STE_RUN_DATABASE);
    /* The connection only reads, and so does what is attached to it; the second run's verdicts get a key in memory. */
    int rc = ste_store_exec(s, err, "PRAGMA temp_store = MEMORY", "");
    if (rc == 0)
        rc = ste_store_exec(s, err, "ATTACH DATABASE ? AS other", "t", path);
    ste_xfree(path);
    if (rc != 0)
        return rc;
    rc = ste_store_exec(s, err,
                        "CREATE TEMP TABLE IF NOT EXISTS second (item TEXT, winner TEXT, verdict TEXT, PRIMARY KEY "
                        "(item, winner)) WITHOUT ROWID",
                        "");
    if (rc == 0)
        rc = ste_store_exec(s, err, "DELETE FROM temp.second", "");
    if (rc == 0)
        rc = ste_store_exec(s, err,
                            suite ? "INSERT OR IGNORE INTO temp.second " LAST_VERDICTS("other")
                                  : "INSERT OR IGNORE INTO temp.second " LAST_JUDGMENTS("other"),
                            suite ? "t" : "", suite);
    if (rc == 0)
        rc = ste_rows_read(s, &count, suite ? BOTH(LAST_VERDICTS("main")) : BOTH(LAST_JUDGMENTS("main")), given,
                           suite ? 1 : 0, take_counted, &n, err);
    char *tail = ste_xasprintf("%s LEFT JOIN main.pair p ON p.id = a.item LEFT JOIN main.instruction i ON i.id = "
                               "p.instruction WHERE a.verdict <> b.verdict AND a.item || ' ' || a.winner > ?2 "
                               "ORDER BY a.item, a.winner LIMIT %lld",
                               suite ? BOTH(LAST_VERDICTS("main")) : BOTH(LAST_JUDGMENTS("main")), (long long)p->limit);
    if (rc == 0)
        rc = ste_rows_read(s, &v, tail, given, 2, difference_of, &step, err);
    ste_xfree(tail);
    ste_store_exec(s, NULL, "DETACH DATABASE other", "");
    *both = n.both;
    *differ = n.differ;
    return rc;
}

/* ---- a run that goes on ---- */

#define S struct ste_run_progress
static const struct ste_column progress[] = {
    AS(instructions, "(SELECT count(*) FROM instruction)"),
    AS(instructions_kept, "(SELECT count(*) FROM instruction WHERE state = 'kept')"),
    AS(generations, "(SELECT count(*) FROM generation)"),
    AS(paired, "(SELECT count(DISTINCT instruction) FROM pair)"),
    AS(pairs, "(SELECT count(*) FROM pair)"),
    AS(pairs_kept, "(SELECT count(*) FROM pair WHERE state = 'kept')"),
    AS(iteration, "w.n"),
    AS(judgments, "(SELECT count(*) FROM judgment WHERE iteration = w.n)"),
    AS(judged, "(SELECT count(DISTINCT pair) FROM judgment WHERE iteration = w.n)"),
    AS(to_judge, "(SELECT count(*) FROM pair WHERE state = 'kept' AND split = 'train')"),
    AS(steps, "(SELECT count(*) FROM train_step)"),
    AS(last_step, "(SELECT coalesce(max(step), 0) FROM train_step WHERE iteration = w.n)"),
    AS(verdicts, "(SELECT count(*) FROM evaluation)"),
    END};
#undef S

static int take_progress(void *arg, const void *row, struct ste_err *err)
{
    *(struct ste_run_progress *)arg = *(const struct ste_run_progress *)row;
    return 0;
}

int ste_browse_progress(struct ste_store *s, struct ste_run_progress *out, struct ste_err *err)
{
    static const struct ste_row_view v = {NULL, NULL, progress, sizeof(struct ste_run_progress)};
    *out = (struct ste_run_progress){0};
    return ste_rows_read(s, &v, "FROM (SELECT coalesce(max(iteration), 0) AS n FROM judgment) w", NULL, 0,
                         take_progress, out, err);
}
