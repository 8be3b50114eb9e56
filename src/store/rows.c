#include "store/rows.h"

#include <math.h>
#include <stdarg.h>
#include <stddef.h>

#include "core/mem.h"
#include "store/columns.h"

/* ---- columns ---- */

/* clang-format off */
#define S struct ste_provenance_row
static const struct ste_column provenance[] = {
    C(id), C(role), C(model), C(model_hash), C(adapter_hash), C(pack_hash), C(numerics), C(sampling), C(seed),
    C(iteration), END};
#undef S
#define S struct ste_instruction_row
static const struct ste_column instruction[] = {
    C(id), C(position), C(source), C(dialogue), C(category), C(complexity), C(expected_length), C(labelled_by),
    C(state), C(duplicate_of), C(cluster), C(split), END};
#undef S
#define S struct ste_label_row
static const struct ste_column label[] = {
    C(id), C(instruction), C(kind), C(value), C(logprob), C(address), C(provenance), END};
#undef S
#define S struct ste_generation_row
static const struct ste_column generation[] = {
    C(id), C(instruction), C(kind), C(parent), C(sample), C(text), C(finish), C(tokens), C(address), C(provenance),
    END};
#undef S
#define S struct ste_pair_row
static const struct ste_column pair[] = {
    C(id), C(instruction), C(position), C(split), C(kind), C(state), C(chosen_from), C(modified_from),
    C(rejected_from), C(chosen), C(modified), C(rejected), C(label_source), END};
#undef S
#define S struct ste_check_row
static const struct ste_column pair_check[] = {
    C(pair), C(margin), C(chosen_x), C(chosen_none), C(chosen_modified), C(rejected_x), C(rejected_none),
    C(rejected_modified), C(chosen_tokens), C(rejected_tokens), C(swapped), C(provenance), END};
#undef S
#define S struct ste_judgment_row
static const struct ste_column judgment[] = {
    C(id), C(pair), C(iteration), C(winner), C(sample), C(verdict), C(reason), C(correct), C(logprob_a), C(logprob_b),
    C(reasoning), C(prompt), C(completion), C(n_free), C(n_written), C(address), C(provenance), END};
#undef S
#define S struct ste_outcome_row
static const struct ste_column outcome[] = {
    C(id), C(pair), C(iteration), C(state), C(probability), END};
#undef S
#define S struct ste_example_row
static const struct ste_column example[] = {
    C(id), C(judgment), C(pair), C(iteration), C(position), C(label), C(label_source), C(weight), C(prompt),
    C(completion), C(border), C(rejected), C(rejected_judgment), END};
#undef S
#define S struct ste_train_step_row
static const struct ste_column train_step[] = {
    C(iteration), C(step), C(loss), C(lr), C(grad_norm), C(tokens), C(loss_tokens), END};
#undef S
#define S struct ste_checkpoint_row
static const struct ste_column checkpoint[] = {
    C(iteration), C(step), C(adapter_hash), C(pairs), C(log_loss), C(accuracy), C(consistent), C(two_order),
    C(first_position), C(invalid), END};
#undef S
#define S struct ste_iteration_row
static const struct ste_column iteration[] = {
    C(iteration), C(pairs), C(agreement), C(invalid_share), C(first_position), C(judgments), C(kept), C(examples),
    C(chosen_step), C(chosen_sure), C(adapter_hash), C(provenance), C(stop), END};
#undef S
#define S struct ste_evaluation_row
static const struct ste_column evaluation[] = {
    C(id), C(suite), C(item), C(position), C(iteration), C(step), C(winner), C(prompt_key), C(verdict), C(reason),
    C(logprob_a), C(logprob_b), C(reasoning), C(provenance), END};
#undef S
/* clang-format on */

/* ---- token ids as blobs: four bytes each, little endian ---- */

static void pack(struct ste_token_ids t, struct ste_buf *out)
{
    ste_buf_reserve(out, 4 * t.n + 1);
    for (size_t i = 0; i < t.n; i++) {
        const uint32_t v = (uint32_t)t.ids[i];
        const unsigned char b[4] = {(unsigned char)v, (unsigned char)(v >> 8), (unsigned char)(v >> 16),
                                    (unsigned char)(v >> 24)};
        ste_buf_add(out, b, 4);
    }
}

static int32_t *unpack(const unsigned char *p, size_t bytes, size_t *n)
{
    *n = bytes / 4;
    int32_t *ids = ste_xmalloc((*n + 1) * sizeof *ids);
    for (size_t i = 0; i < *n; i++)
        ids[i] = (int32_t)((uint32_t)p[4 * i] | (uint32_t)p[4 * i + 1] << 8 | (uint32_t)p[4 * i + 2] << 16 |
                           (uint32_t)p[4 * i + 3] << 24);
    return ids;
}

/* ---- writing ---- */

static int bind(sqlite3_stmt *q, int i, const struct ste_column *c, const void *row)
{
    const char *field = (const char *)row + c->at;
    if (c->type == STE_COLUMN_TEXT)
        return sqlite3_bind_text(q, i, *(const char *const *)field, -1, SQLITE_TRANSIENT); /* NULL is null */
    if (c->type == STE_COLUMN_REAL)
        return sqlite3_bind_double(q, i, *(const double *)field); /* so is NAN */
    if (c->type == STE_COLUMN_INT) {
        const int64_t v = *(const int64_t *)field;
        return v == STE_NO_INT ? sqlite3_bind_null(q, i) : sqlite3_bind_int64(q, i, v);
    }
    const struct ste_token_ids *t = (const void *)field;
    if (!t->ids)
        return sqlite3_bind_null(q, i);
    struct ste_buf b = STE_BUF_INIT;
    pack(*t, &b);
    int rc = sqlite3_bind_blob64(q, i, b.s, b.len, SQLITE_TRANSIENT);
    ste_buf_clear(&b);
    return rc;
}

static int put(struct ste_store *s, const char *verb, const char *table, const struct ste_column *columns,
               const void *row, struct ste_err *err)
{
    struct ste_buf sql = STE_BUF_INIT;
    ste_buf_addf(&sql, "%s INTO %s (", verb, table);
    for (const struct ste_column *c = columns; c->name; c++)
        ste_buf_addf(&sql, "%s%s", c == columns ? "" : ", ", c->name);
    ste_buf_adds(&sql, ") VALUES (");
    for (const struct ste_column *c = columns; c->name; c++)
        ste_buf_adds(&sql, c == columns ? "?" : ", ?");
    ste_buf_adds(&sql, ")");
    sqlite3_stmt *q = NULL;
    int rc = ste_store_query(s, &q, err, sql.s, "");
    for (int i = 0; rc == 0 && columns[i].name; i++)
        if (bind(q, i + 1, &columns[i], row) != SQLITE_OK)
            rc = ste_store_fail(s, err, "writing");
    if (rc == 0)
        rc = ste_store_row(s, q, err);
    ste_store_done(s, q);
    ste_buf_clear(&sql);
    return rc < 0 ? rc : 0;
}

#define PUT(name, table, verb)                                                                                         \
    int ste_put_##name(struct ste_store *s, const struct ste_##name##_row *r, struct ste_err *err)                     \
    {                                                                                                                  \
        return put(s, verb, #table, table, r, err);                                                                    \
    }
PUT(provenance, provenance, "INSERT OR IGNORE")
PUT(instruction, instruction, "INSERT")
PUT(label, label, "INSERT")
PUT(generation, generation, "INSERT")
PUT(pair, pair, "INSERT")
PUT(check, pair_check, "INSERT")
PUT(judgment, judgment, "INSERT")
PUT(outcome, outcome, "INSERT")
PUT(example, example, "INSERT")
PUT(train_step, train_step, "INSERT OR IGNORE")
PUT(checkpoint, checkpoint, "INSERT OR IGNORE")
PUT(iteration, iteration, "INSERT")
PUT(evaluation, evaluation, "INSERT")

int ste_put_prompt(struct ste_store *s, struct ste_token_ids tokens, struct ste_id *id, struct ste_err *err)
{
    struct ste_buf blob = STE_BUF_INIT;
    char hex[65];
    pack(tokens, &blob);
    ste_sha256(blob.s, blob.len, hex);
    *id = ste_id_of("prompt", hex, NULL);
    int rc = ste_store_exec(s, err, "INSERT OR IGNORE INTO prompt (id, tokens) VALUES (?, ?)", "tb", id->s, blob.s,
                            blob.len);
    ste_buf_clear(&blob);
    return rc;
}

int ste_choose_instruction(struct ste_store *s, const char *id, const char *state, const char *cluster,
                           const char *split, struct ste_err *err)
{
    return ste_store_exec(s, err, "UPDATE instruction SET state = ?, cluster = ?, split = ? WHERE id = ?", "tttt",
                          state, cluster, split, id);
}

int ste_label_instruction(struct ste_store *s, const char *id, const char *category, const char *expected_length,
                          int64_t complexity, struct ste_err *err)
{
    return ste_store_exec(s, err,
                          "UPDATE instruction SET category = ?1, expected_length = ?2, complexity = nullif(?3, ?4), "
                          "labelled_by = 'llm' WHERE id = ?5",
                          "ttiit", category, expected_length, complexity, (int64_t)STE_NO_INT, id);
}

int ste_set_pair_state(struct ste_store *s, const char *id, const char *state, struct ste_err *err)
{
    return ste_store_exec(s, err, "UPDATE pair SET state = ? WHERE id = ?", "tt", state, id);
}

int ste_swap_pair(struct ste_store *s, const char *id, struct ste_err *err)
{
    return ste_store_exec(s, err,
                          "UPDATE pair SET chosen = rejected, rejected = chosen, chosen_from = rejected_from, "
                          "rejected_from = chosen_from WHERE id = ?",
                          "t", id);
}

int ste_score_checkpoint(struct ste_store *s, const struct ste_checkpoint_row *r, struct ste_err *err)
{
    return put(s, "REPLACE", "checkpoint", checkpoint, r, err);
}

int ste_set_adapter(struct ste_store *s, const struct ste_iteration_row *r, struct ste_err *err)
{
    return ste_store_exec(s, err,
                          "UPDATE iteration SET chosen_step = ?, chosen_sure = ?, adapter_hash = ?, provenance = ? "
                          "WHERE iteration = ?",
                          "irtti", r->chosen_step, r->chosen_sure, r->adapter_hash, r->provenance, r->iteration);
}

int ste_set_stop(struct ste_store *s, int64_t of, const char *why, struct ste_err *err)
{
    return ste_store_exec(s, err, "UPDATE iteration SET stop = ? WHERE iteration = ?", "ti", why, of);
}

int ste_add_work(struct ste_store *s, const char *step, int64_t of, double seconds, struct ste_err *err)
{
    return ste_store_exec(s, err,
                          "INSERT INTO work (step, iteration, seconds) VALUES (?, ?, ?) ON CONFLICT (step, iteration) "
                          "DO UPDATE SET seconds = seconds + excluded.seconds",
                          "tir", step, of, seconds);
}

/* ---- reading ---- */

enum { MOST_TOKENS = 3 }; /* columns of token ids in a query */

/* Fills ROW; OWNED are the arrays behind it, freed with the next one. */
static void take(sqlite3_stmt *q, const struct ste_column *columns, void *row, int32_t *owned[MOST_TOKENS])
{
    int arrays = 0;
    for (int i = 0; columns[i].name; i++) {
        char *field = (char *)row + columns[i].at;
        const bool null = sqlite3_column_type(q, i) == SQLITE_NULL;
        switch (columns[i].type) {
        case STE_COLUMN_TEXT:
            *(const char **)(void *)field = ste_column_text(q, i);
            break;
        case STE_COLUMN_INT:
            *(int64_t *)(void *)field = null ? STE_NO_INT : sqlite3_column_int64(q, i);
            break;
        case STE_COLUMN_REAL:
            *(double *)(void *)field = null ? (double)NAN : sqlite3_column_double(q, i);
            break;
        case STE_COLUMN_TOKENS: {
            struct ste_token_ids *t = (void *)field;
            ste_xfree(owned[arrays]);
            owned[arrays] = null ? NULL : unpack(sqlite3_column_blob(q, i), (size_t)sqlite3_column_bytes(q, i), &t->n);
            t->ids = owned[arrays++];
            t->n = null ? 0 : t->n;
            break;
        }
        }
    }
}

/* The columns of V in one list, the table's with its name; the caller frees it. */
static struct ste_column *columns_of(const struct ste_row_view *v, struct ste_buf *sql)
{
    size_t n = 0;
    for (const struct ste_column *c = v->columns; c && c->name; c++)
        n++;
    for (const struct ste_column *c = v->more; c && c->name; c++)
        n++;
    struct ste_column *all = ste_xcalloc(n + 1, sizeof *all);
    n = 0;
    for (const struct ste_column *c = v->columns; c && c->name; c++) {
        ste_buf_addf(sql, "%s%s.%s", n ? ", " : "SELECT ", v->table, c->name);
        all[n++] = *c;
    }
    for (const struct ste_column *c = v->more; c && c->name; c++) {
        ste_buf_addf(sql, "%s%s", n ? ", " : "SELECT ", c->name);
        all[n++] = *c;
    }
    return all;
}

/* Calls EACH with every row of Q, and ends it. RC: of what began it. */
static int step_rows(struct ste_store *s, sqlite3_stmt *q, int rc, const struct ste_row_view *v,
                     const struct ste_column *columns, ste_row_fn *each, void *arg, struct ste_err *err)
{
    void *row = ste_xcalloc(1, v->size);
    int32_t *owned[MOST_TOKENS] = {NULL};
    while (rc == 0 && (rc = ste_store_row(s, q, err)) == 1) {
        take(q, columns, row, owned);
        rc = each(arg, row, err);
    }
    ste_store_done(s, q);
    for (int i = 0; i < MOST_TOKENS; i++)
        ste_xfree(owned[i]);
    ste_xfree(row);
    return rc;
}

/* Selects V with TAIL ("FROM ..."), whose parameters are bound by TYPES, and calls EACH with every row. */
static int each_row(struct ste_store *s, const struct ste_row_view *v, const char *tail, ste_row_fn *each, void *arg,
                    struct ste_err *err, const char *types, ...)
{
    struct ste_buf sql = STE_BUF_INIT;
    struct ste_column *columns = columns_of(v, &sql);
    ste_buf_addf(&sql, " %s", tail);
    sqlite3_stmt *q = NULL;
    va_list ap;
    va_start(ap, types);
    int rc = ste_store_vquery(s, &q, err, sql.s, types, ap);
    va_end(ap);
    rc = step_rows(s, q, rc, v, columns, each, arg, err);
    ste_xfree(columns);
    ste_buf_clear(&sql);
    return rc;
}

int ste_rows_read(struct ste_store *s, const struct ste_row_view *v, const char *tail, const char *const *values,
                  size_t n, ste_row_fn *each, void *arg, struct ste_err *err)
{
    struct ste_buf sql = STE_BUF_INIT;
    struct ste_column *columns = columns_of(v, &sql);
    ste_buf_addf(&sql, " %s", tail);
    sqlite3_stmt *q = NULL;
    int rc = ste_store_query(s, &q, err, sql.s, "");
    for (size_t i = 0; rc == 0 && i < n; i++)
        if (sqlite3_bind_text(q, (int)i + 1, values[i], -1, SQLITE_TRANSIENT) != SQLITE_OK)
            rc = ste_store_fail(s, err, "binding a value");
    rc = step_rows(s, q, rc, v, columns, each, arg, err);
    ste_xfree(columns);
    ste_buf_clear(&sql);
    return rc;
}

#define S struct ste_instruction_view
#define LABEL(k) "(SELECT value FROM label WHERE instruction = i.id AND kind = '" k "')"
#define HAS(k) "EXISTS (SELECT 1 FROM label WHERE instruction = i.id AND kind = '" k "')"
static const struct ste_column instruction_more[] = {
    AS(category, LABEL("category")),
    AS(expected_length, LABEL("expected_length")),
    AS(complexity, LABEL("complexity")),
    AS(has_category, HAS("category")),
    AS(has_expected_length, HAS("expected_length")),
    AS(has_complexity, HAS("complexity")),
    AS(paired, "EXISTS (SELECT 1 FROM pair WHERE pair.instruction = i.id)"),
    AS(known_answer, "(SELECT text FROM generation WHERE instruction = i.id AND kind = 'known answer')"),
    AS(labelled,
       "EXISTS (SELECT 1 FROM generation WHERE instruction = i.id AND kind = 'rejected' AND finish = 'given')"),
    END};
#undef S
STEP(instruction, struct ste_instruction_view)
int ste_each_instruction(struct ste_store *s, const char *state,
                         int (*each)(void *arg, const struct ste_instruction_view *v, struct ste_err *err), void *arg,
                         struct ste_err *err)
{
    static const struct ste_row_view v = {"i", instruction, instruction_more, sizeof(struct ste_instruction_view)};
    struct instruction_step step = {each, arg};
    return each_row(s, &v, "FROM instruction i WHERE state = ? ORDER BY position", instruction_of, &step, err, "t",
                    state);
}

STEP(generation, struct ste_generation_row)
int ste_each_generation(struct ste_store *s, const char *of, const char *kind,
                        int (*each)(void *arg, const struct ste_generation_row *r, struct ste_err *err), void *arg,
                        struct ste_err *err)
{
    static const struct ste_row_view v = {"generation", generation, NULL, sizeof(struct ste_generation_row)};
    struct generation_step step = {each, arg};
    return each_row(s, &v, "FROM generation WHERE instruction = ? AND kind = ? ORDER BY sample", generation_of, &step,
                    err, "tt", of, kind);
}

#define S struct ste_pair_view
static const struct ste_column pair_more[] = {AS(dialogue, "i.dialogue"), AS(checked, "c.pair IS NOT NULL"),
                                              AS(margin, "c.margin"), END};
#undef S
STEP(pair, struct ste_pair_view)
int ste_each_pair(struct ste_store *s, const char *split, const char *also,
                  int (*each)(void *arg, const struct ste_pair_view *v, struct ste_err *err), void *arg,
                  struct ste_err *err)
{
    static const struct ste_row_view v = {"p", pair, pair_more, sizeof(struct ste_pair_view)};
    struct pair_step step = {each, arg};
    return each_row(
        s, &v,
        "FROM pair p JOIN instruction i ON i.id = p.instruction LEFT JOIN pair_check c ON c.pair = p.id "
        "WHERE (p.state = 'kept' OR p.state = ?2) AND (?1 IS NULL OR p.split = ?1) ORDER BY p.position, p.id",
        pair_of, &step, err, "tt", split, also);
}

/* A reader of those of an iteration. */
#define EACH_OF(name, type, as, more, tail)                                                                            \
    STEP(name, type)                                                                                                   \
    int ste_each_##name(struct ste_store *s, int64_t of, int (*each)(void *arg, const type *r, struct ste_err *err),   \
                        void *arg, struct ste_err *err)                                                                \
    {                                                                                                                  \
        static const struct ste_row_view v = {as, name, more, sizeof(type)};                                           \
        struct name##_step step = {each, arg};                                                                         \
        return each_row(s, &v, tail, name##_of, &step, err, "i", of);                                                  \
    }

EACH_OF(
    judgment, struct ste_judgment_row, "j", NULL,
    "FROM judgment j JOIN pair p ON p.id = j.pair WHERE j.iteration = ? ORDER BY p.position, p.id, j.winner, j.sample")

#define S struct ste_example_view
static const struct ste_column example_more[] = {AS(prompt, "q.tokens"), END};
#undef S
EACH_OF(example, struct ste_example_view, "e", example_more,
        "FROM example e JOIN prompt q ON q.id = e.prompt WHERE e.iteration = ? ORDER BY e.position")
EACH_OF(checkpoint, struct ste_checkpoint_row, "checkpoint", NULL, "FROM checkpoint WHERE iteration = ? ORDER BY step")
EACH_OF(iteration, struct ste_iteration_row, "iteration", NULL,
        "FROM iteration WHERE ?1 = 0 OR iteration = ?1 ORDER BY iteration")

STEP(evaluation, struct ste_evaluation_row)
int ste_each_evaluation(struct ste_store *s, const char *suite, const char *kind, int64_t of, int64_t at_step,
                        int (*each)(void *arg, const struct ste_evaluation_row *r, struct ste_err *err), void *arg,
                        struct ste_err *err)
{
    static const struct ste_row_view v = {"e", evaluation, NULL, sizeof(struct ste_evaluation_row)};
    struct evaluation_step step = {each, arg};
    return each_row(s, &v,
                    "FROM evaluation e WHERE suite = ?1 AND iteration = ?2 AND step = ?3 AND (?4 IS NULL OR EXISTS "
                    "(SELECT 1 FROM pair p WHERE p.id = e.item AND p.kind = ?4)) ORDER BY position, winner",
                    evaluation_of, &step, err, "tiit", suite, of, at_step, kind);
}

/* Every index ends with the row's id, so that one which has the column finds the ids without a row being read. */
#define FIND(name, table, type, order)                                                                                 \
    STEP(found_##name, type)                                                                                           \
    int ste_find_##name(struct ste_store *s, const char *by, const char *value,                                        \
                        int (*each)(void *arg, const type *r, struct ste_err *err), void *arg, struct ste_err *err)    \
    {                                                                                                                  \
        static const struct ste_row_view v = {#table, table, NULL, sizeof(type)};                                      \
        struct found_##name##_step step = {each, arg};                                                                 \
        char *tail =                                                                                                   \
            ste_xasprintf("FROM " #table " WHERE id IN (SELECT id FROM " #table " WHERE %s = ?) ORDER BY " order, by); \
        int rc = ste_rows_read(s, &v, tail, &value, 1, found_##name##_of, &step, err);                                 \
        ste_xfree(tail);                                                                                               \
        return rc;                                                                                                     \
    }
FIND(provenance, provenance, struct ste_provenance_row, "id")
FIND(instruction, instruction, struct ste_instruction_row, "position")
FIND(label, label, struct ste_label_row, "kind")
FIND(generation, generation, struct ste_generation_row, "kind, sample")
FIND(pair, pair, struct ste_pair_row, "position, id")
FIND(judgment, judgment, struct ste_judgment_row, "iteration, sample, winner")
FIND(outcome, outcome, struct ste_outcome_row, "iteration")
FIND(example, example, struct ste_example_row, "iteration, position")
FIND(evaluation, evaluation, struct ste_evaluation_row, "iteration, step, winner")

STEP(check, struct ste_check_row)
int ste_find_check(struct ste_store *s, const char *of,
                   int (*each)(void *arg, const struct ste_check_row *r, struct ste_err *err), void *arg,
                   struct ste_err *err)
{
    static const struct ste_row_view v = {"pair_check", pair_check, NULL, sizeof(struct ste_check_row)};
    struct check_step step = {each, arg};
    return each_row(s, &v, "FROM pair_check WHERE pair = ?", check_of, &step, err, "t", of);
}
