#include "store/tables.h"

#include <math.h>

#include "store/rows.h"
#include "store/statement.h"

static json_t *value_of(sqlite3_stmt *q, int column)
{
    switch (sqlite3_column_type(q, column)) {
    case SQLITE_INTEGER:
        return json_integer(sqlite3_column_int64(q, column));
    case SQLITE_FLOAT: {
        double v = sqlite3_column_double(q, column);
        return isfinite(v) ? json_real(v) : json_null();
    }
    case SQLITE_TEXT:
        return json_string(ste_column_text(q, column));
    default:
        return json_null();
    }
}

static const char *const states[STE_N_STATES] = {
    [STE_STATES_INSTRUCTIONS] = "SELECT state, count(*) FROM instruction GROUP BY state ORDER BY state",
    [STE_STATES_SPLIT] = "SELECT split, count(*) FROM instruction WHERE state = 'kept' GROUP BY split ORDER BY split",
    [STE_STATES_PAIRS] = "SELECT coalesce(p.state, 'not made yet'), count(*) FROM instruction i LEFT JOIN pair p ON "
                         "p.instruction = i.id AND p.state <> '" STE_PAIR_MADE_AGAIN "' WHERE i.state = 'kept' "
                         "GROUP BY 1 ORDER BY 1",
    [STE_STATES_PAIR_SPLIT] = "SELECT split, count(*) FROM pair WHERE state = 'kept' GROUP BY split ORDER BY split",
    [STE_STATES_AGAIN] = "SELECT kind, count(*) FROM pair WHERE state = '" STE_PAIR_MADE_AGAIN "' GROUP BY kind "
                         "ORDER BY kind",
    [STE_STATES_RULES] = "SELECT json_extract(o.sampling, '$.rule'), count(*) FROM pair p JOIN generation g ON g.id = "
                         "p.rejected_from JOIN provenance o ON o.id = g.provenance WHERE p.state = 'kept' AND o.role = "
                         "'rule' GROUP BY 1 ORDER BY 1",
    [STE_STATES_TESTS] = "SELECT text, count(*) FROM generation WHERE kind = 'tests' GROUP BY text ORDER BY text",
    [STE_STATES_JUDGMENTS] = "SELECT CASE WHEN verdict = 'invalid' THEN 'invalid: ' || reason WHEN correct THEN "
                             "'right' ELSE 'wrong' END, count(*) FROM judgment WHERE iteration = ? GROUP BY 1 ORDER BY "
                             "1",
    [STE_STATES_OUTCOMES] = "SELECT state, count(*) FROM outcome WHERE iteration = ? GROUP BY 1 ORDER BY 1",
    [STE_STATES_EXAMPLES] = "SELECT label, count(*) FROM example WHERE iteration = ? GROUP BY 1 ORDER BY 1",
};

int ste_states(struct ste_store *s, enum ste_states what, int64_t iteration, json_t **out, struct ste_err *err)
{
    sqlite3_stmt *q = NULL;
    json_t *counts = json_object();
    int64_t sum = 0;
    int rc = ste_store_query(s, &q, err, states[what], what < STE_STATES_JUDGMENTS ? "" : "i", iteration);
    while (rc == 0 && (rc = ste_store_row(s, q, err)) == 1) {
        const char *name = ste_column_text(q, 0);
        json_object_set_new(counts, name ? name : "none", json_integer(sqlite3_column_int64(q, 1)));
        sum += sqlite3_column_int64(q, 1);
        rc = 0;
    }
    ste_store_done(s, q);
    *out = json_object();
    json_object_set_new(*out, "total", json_integer(sum));
    json_object_set_new(*out, "states", counts);
    return rc < 0 ? rc : 0;
}

/* The mean of WHAT over kept pairs. */
#define KEPT(what) "avg(CASE WHEN state = 'kept' THEN " what " END)"
#define MARKED(text)                                                                                                   \
    "(" text " LIKE '%**%' OR " text " LIKE '%```%' OR " text " LIKE '%' || char(10) || '- %' OR " text                \
    " LIKE '%' || char(10) || '# %')"

/* clang-format off */
static const char *const lists[STE_N_LISTED] = {
    [STE_LIST_KINDS] =
        "SELECT kind, count(*) AS pairs, sum(state = 'kept') AS kept, sum(state LIKE 'check: %') AS checked_out, "
        KEPT("length(chosen)") " AS chosen_chars, " KEPT("length(rejected)") " AS rejected_chars, "
        KEPT("length(chosen) > length(rejected)") " AS chosen_longer, "
        KEPT(MARKED("chosen")) " AS chosen_marked, " KEPT(MARKED("rejected")) " AS rejected_marked, "
        "(SELECT avg(margin) FROM pair_check c JOIN pair q ON q.id = c.pair WHERE q.kind = p.kind AND q.state = 'kept') "
        "AS margin FROM pair p GROUP BY kind ORDER BY kind",
    [STE_LIST_ITERATIONS] =
        "SELECT i.iteration, i.pairs, i.agreement, i.invalid_share, i.first_position, i.judgments, i.kept, "
        "CASE WHEN i.pairs > 0 THEN 1.0 * i.kept / i.pairs END AS yield, i.examples, "
        "(SELECT max(step) FROM train_step t WHERE t.iteration = i.iteration) AS steps, "
        "(SELECT loss FROM train_step t WHERE t.iteration = i.iteration ORDER BY step LIMIT 1) AS first_loss, "
        "(SELECT avg(loss) FROM (SELECT loss FROM train_step t WHERE t.iteration = i.iteration ORDER BY step DESC LIMIT 3)) "
        "AS last_loss, i.chosen_step, i.chosen_sure, i.adapter_hash, i.stop FROM iteration i ORDER BY 1",
    [STE_LIST_CHECKPOINTS] =
        "SELECT iteration, step, pairs, log_loss, accuracy, consistent, two_order, first_position, invalid "
        "FROM checkpoint ORDER BY 1, 2",
    [STE_LIST_WORK] = "SELECT step, iteration, seconds FROM work ORDER BY iteration, step",
    [STE_LIST_SUITES] =
        "SELECT suite, max(iteration) AS last FROM evaluation WHERE suite <> 'dev' GROUP BY suite "
        "ORDER BY suite <> 'test', suite",
    [STE_LIST_STEPS] = "SELECT iteration, step, loss FROM train_step ORDER BY 1, 2",
    [STE_LIST_TOKENS] =
        "SELECT 'pair' AS step, 0 AS iteration, kind AS what, count(*) AS n, NULL AS read, "
        "sum(tokens) AS written, NULL AS learnt FROM generation WHERE kind <> 'tests' GROUP BY kind UNION ALL "
        "SELECT 'judge', iteration, 'judgments', count(*), sum(length(p.tokens)) / 4, sum(length(completion)) / 4, NULL "
        "FROM judgment j LEFT JOIN prompt p ON p.id = j.prompt GROUP BY iteration UNION ALL "
        "SELECT 'train', iteration, 'steps', count(*), sum(tokens), NULL, sum(loss_tokens) FROM train_step "
        "GROUP BY iteration ORDER BY 2, 1, 3",
    [STE_LIST_MADE] =
        "SELECT role, iteration, model, model_hash, adapter_hash, pack_hash, numerics, sampling, seed FROM provenance "
        "ORDER BY iteration, role, id",
    [STE_LIST_FACTS] = "SELECT key, value FROM meta WHERE key <> 'recipe' ORDER BY key",
};
/* clang-format on */

int ste_list(struct ste_store *s, enum ste_listed what, json_t **out, struct ste_err *err)
{
    sqlite3_stmt *q = NULL;
    *out = json_array();
    int rc = ste_store_query(s, &q, err, lists[what], "");
    while (rc == 0 && (rc = ste_store_row(s, q, err)) == 1) {
        json_t *row = json_object();
        for (int i = 0; i < sqlite3_column_count(q); i++)
            json_object_set_new(row, sqlite3_column_name(q, i), value_of(q, i));
        json_array_append_new(*out, row);
        rc = 0;
    }
    ste_store_done(s, q);
    return rc < 0 ? rc : 0;
}
