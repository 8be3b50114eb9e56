#include "store/rows.h"

#include <math.h>
#include <stdarg.h>
#include <stddef.h>

#include "core/mem.h"
#include "store/statement.h"

/* ---- columns ---- */

enum type { TEXT, INT, REAL, TOKENS };

/* A column of a table, or an expression of a query, and the field of a struct that holds it. */
struct column {
    const char *name;
    enum type type;
    size_t at;
};

#define TYPE_OF(S, field)                                                                                              \
    _Generic(((S *)NULL)->field, const char * : TEXT, int64_t : INT, double : REAL, struct ste_token_ids : TOKENS)
#define AS(S, field, expression)                                                                                       \
    {                                                                                                                  \
        expression, TYPE_OF(S, field), offsetof(S, field)                                                              \
    }
#define C(S, field) AS(S, field, #field)
#define END                                                                                                            \
    {                                                                                                                  \
        NULL, TEXT, 0                                                                                                  \
    }

#define S struct ste_provenance_row
static const struct column provenance[] = {C(S, id),
                                           C(S, role),
                                           C(S, model),
                                           C(S, model_hash),
                                           C(S, adapter_hash),
                                           C(S, pack_hash),
                                           C(S, numerics),
                                           C(S, sampling),
                                           C(S, seed),
                                           C(S, iteration),
                                           END};
#undef S
#define S struct ste_instruction_row
static const struct column instruction[] = {C(S, id),
                                            C(S, position),
                                            C(S, source),
                                            C(S, dialogue),
                                            C(S, category),
                                            C(S, complexity),
                                            C(S, expected_length),
                                            C(S, labelled_by),
                                            C(S, state),
                                            C(S, duplicate_of),
                                            C(S, cluster),
                                            C(S, split),
                                            END};
#undef S
#define S struct ste_label_row
static const struct column label[] = {C(S, id),      C(S, instruction), C(S, kind),       C(S, value),
                                      C(S, logprob), C(S, address),     C(S, provenance), END};
#undef S
#define S struct ste_generation_row
static const struct column generation[] = {C(S, id),      C(S, instruction), C(S, kind),   C(S, parent),
                                           C(S, sample),  C(S, text),        C(S, finish), C(S, tokens),
                                           C(S, address), C(S, provenance),  END};
#undef S
#define S struct ste_pair_row
static const struct column pair[] = {C(S, id),
                                     C(S, instruction),
                                     C(S, position),
                                     C(S, split),
                                     C(S, kind),
                                     C(S, state),
                                     C(S, chosen_from),
                                     C(S, modified_from),
                                     C(S, rejected_from),
                                     C(S, chosen),
                                     C(S, modified),
                                     C(S, rejected),
                                     C(S, label_source),
                                     END};
#undef S
#define S struct ste_check_row
static const struct column pair_check[] = {C(S, pair),
                                           C(S, margin),
                                           C(S, chosen_x),
                                           C(S, chosen_none),
                                           C(S, chosen_modified),
                                           C(S, rejected_x),
                                           C(S, rejected_none),
                                           C(S, rejected_modified),
                                           C(S, chosen_tokens),
                                           C(S, rejected_tokens),
                                           C(S, swapped),
                                           C(S, provenance),
                                           END};
#undef S
#define S struct ste_judgment_row
static const struct column judgment[] = {
    C(S, id),         C(S, pair),    C(S, iteration), C(S, winner),    C(S, sample),     C(S, verdict),
    C(S, reason),     C(S, correct), C(S, logprob_a), C(S, logprob_b), C(S, reasoning),  C(S, prompt),
    C(S, completion), C(S, n_free),  C(S, n_written), C(S, address),   C(S, provenance), END};
#undef S
#define S struct ste_outcome_row
static const struct column outcome[] = {C(S, id), C(S, pair), C(S, iteration), C(S, state), C(S, probability), END};
#undef S
#define S struct ste_example_row
static const struct column example[] = {C(S, id),
                                        C(S, judgment),
                                        C(S, pair),
                                        C(S, iteration),
                                        C(S, position),
                                        C(S, label),
                                        C(S, label_source),
                                        C(S, weight),
                                        C(S, prompt),
                                        C(S, completion),
                                        C(S, border),
                                        C(S, rejected),
                                        C(S, rejected_judgment),
                                        END};
#undef S
#define S struct ste_train_step_row
static const struct column train_step[] = {C(S, iteration), C(S, step),   C(S, loss),        C(S, lr),
                                           C(S, grad_norm), C(S, tokens), C(S, loss_tokens), END};
#undef S
#define S struct ste_checkpoint_row
static const struct column checkpoint[] = {C(S, iteration),
                                           C(S, step),
                                           C(S, adapter_hash),
                                           C(S, pairs),
                                           C(S, log_loss),
                                           C(S, accuracy),
                                           C(S, consistent),
                                           C(S, two_order),
                                           C(S, first_position),
                                           C(S, invalid),
                                           END};
#undef S
#define S struct ste_iteration_row
static const struct column iteration[] = {C(S, iteration),      C(S, pairs),
                                          C(S, agreement),      C(S, invalid_share),
                                          C(S, first_position), C(S, judgments),
                                          C(S, kept),           C(S, examples),
                                          C(S, chosen_step),    C(S, chosen_sure),
                                          C(S, adapter_hash),   C(S, provenance),
                                          C(S, stop),           END};
#undef S
#define S struct ste_evaluation_row
static const struct column evaluation[] = {
    C(S, id),        C(S, suite),     C(S, item),       C(S, position),   C(S, iteration),
    C(S, step),      C(S, winner),    C(S, prompt_key), C(S, verdict),    C(S, reason),
    C(S, logprob_a), C(S, logprob_b), C(S, reasoning),  C(S, provenance), END};
#undef S

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

static int bind(sqlite3_stmt *q, int i, const struct column *c, const void *row)
{
    const char *field = (const char *)row + c->at;
    if (c->type == TEXT)
        return sqlite3_bind_text(q, i, *(const char *const *)field, -1, SQLITE_TRANSIENT); /* NULL is null */
    if (c->type == REAL)
        return sqlite3_bind_double(q, i, *(const double *)field); /* so is NAN */
    if (c->type == INT) {
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

static int put(struct ste_store *s, const char *verb, const char *table, const struct column *columns, const void *row,
               struct ste_err *err)
{
    struct ste_buf sql = STE_BUF_INIT;
    ste_buf_addf(&sql, "%s INTO %s (", verb, table);
    for (const struct column *c = columns; c->name; c++)
        ste_buf_addf(&sql, "%s%s", c == columns ? "" : ", ", c->name);
    ste_buf_adds(&sql, ") VALUES (");
    for (const struct column *c = columns; c->name; c++)
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

int ste_set_stop(struct ste_store *s, int64_t turn, const char *why, struct ste_err *err)
{
    return ste_store_exec(s, err, "UPDATE iteration SET stop = ? WHERE iteration = ?", "ti", why, turn);
}

int ste_add_work(struct ste_store *s, const char *step, int64_t turn, double seconds, struct ste_err *err)
{
    return ste_store_exec(s, err,
                          "INSERT INTO work (step, iteration, seconds) VALUES (?, ?, ?) ON CONFLICT (step, iteration) "
                          "DO UPDATE SET seconds = seconds + excluded.seconds",
                          "tir", step, turn, seconds);
}

/* ---- reading ---- */

enum { MOST_TOKENS = 3 }; /* columns of token ids in a query */

/* Fills ROW; OWNED are the arrays behind it, freed with the next one. */
static void take(sqlite3_stmt *q, const struct column *columns, void *row, int32_t *owned[MOST_TOKENS])
{
    int arrays = 0;
    for (int i = 0; columns[i].name; i++) {
        char *field = (char *)row + columns[i].at;
        const bool null = sqlite3_column_type(q, i) == SQLITE_NULL;
        switch (columns[i].type) {
        case TEXT:
            *(const char **)(void *)field = ste_column_text(q, i);
            break;
        case INT:
            *(int64_t *)(void *)field = null ? STE_NO_INT : sqlite3_column_int64(q, i);
            break;
        case REAL:
            *(double *)(void *)field = null ? (double)NAN : sqlite3_column_double(q, i);
            break;
        case TOKENS: {
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

/* A query: the columns of a table by its name in the query, and more (NULL: none) behind them. A struct with more
 * begins with that of the table. */
struct view {
    const char *table;
    const struct column *columns, *more;
    size_t size;
};

/* The columns of V in one list, the table's with its name; the caller frees it. */
static struct column *columns_of(const struct view *v, struct ste_buf *sql)
{
    size_t n = 0;
    for (const struct column *c = v->columns; c->name; c++)
        n++;
    for (const struct column *c = v->more; c && c->name; c++)
        n++;
    struct column *all = ste_xcalloc(n + 1, sizeof *all);
    n = 0;
    for (const struct column *c = v->columns; c->name; c++) {
        ste_buf_addf(sql, "%s%s.%s", n ? ", " : "SELECT ", v->table, c->name);
        all[n++] = *c;
    }
    for (const struct column *c = v->more; c && c->name; c++) {
        ste_buf_addf(sql, ", %s", c->name);
        all[n++] = *c;
    }
    return all;
}

/* Selects V with TAIL ("FROM ..."), whose parameters are bound by TYPES, and calls EACH with every row. */
static int each_row(struct ste_store *s, const struct view *v, const char *tail,
                    int (*each)(void *arg, const void *row, struct ste_err *err), void *arg, struct ste_err *err,
                    const char *types, ...)
{
    struct ste_buf sql = STE_BUF_INIT;
    struct column *columns = columns_of(v, &sql);
    ste_buf_addf(&sql, " %s", tail);
    sqlite3_stmt *q = NULL;
    va_list ap;
    va_start(ap, types);
    int rc = ste_store_vquery(s, &q, err, sql.s, types, ap);
    va_end(ap);
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
    ste_xfree(columns);
    ste_buf_clear(&sql);
    return rc;
}

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

#define S struct ste_instruction_view
#define LABEL(k) "(SELECT value FROM label WHERE instruction = i.id AND kind = '" k "')"
#define HAS(k) "EXISTS (SELECT 1 FROM label WHERE instruction = i.id AND kind = '" k "')"
static const struct column instruction_more[] = {
    AS(S, category, LABEL("category")),
    AS(S, expected_length, LABEL("expected_length")),
    AS(S, complexity, LABEL("complexity")),
    AS(S, has_category, HAS("category")),
    AS(S, has_expected_length, HAS("expected_length")),
    AS(S, has_complexity, HAS("complexity")),
    AS(S, paired, "EXISTS (SELECT 1 FROM pair WHERE pair.instruction = i.id)"),
    END};
#undef S
STEP(instruction, struct ste_instruction_view)
int ste_each_instruction(struct ste_store *s, const char *state,
                         int (*each)(void *arg, const struct ste_instruction_view *v, struct ste_err *err), void *arg,
                         struct ste_err *err)
{
    static const struct view v = {"i", instruction, instruction_more, sizeof(struct ste_instruction_view)};
    struct instruction_step step = {each, arg};
    return each_row(s, &v, "FROM instruction i WHERE state = ? ORDER BY position", instruction_of, &step, err, "t",
                    state);
}

STEP(generation, struct ste_generation_row)
int ste_each_generation(struct ste_store *s, const char *of, const char *kind,
                        int (*each)(void *arg, const struct ste_generation_row *r, struct ste_err *err), void *arg,
                        struct ste_err *err)
{
    static const struct view v = {"generation", generation, NULL, sizeof(struct ste_generation_row)};
    struct generation_step step = {each, arg};
    return each_row(s, &v, "FROM generation WHERE instruction = ? AND kind = ? ORDER BY sample", generation_of, &step,
                    err, "tt", of, kind);
}

#define S struct ste_pair_view
static const struct column pair_more[] = {AS(S, dialogue, "i.dialogue"), AS(S, checked, "c.pair IS NOT NULL"),
                                          AS(S, margin, "c.margin"), END};
#undef S
STEP(pair, struct ste_pair_view)
int ste_each_pair(struct ste_store *s, const char *split,
                  int (*each)(void *arg, const struct ste_pair_view *v, struct ste_err *err), void *arg,
                  struct ste_err *err)
{
    static const struct view v = {"p", pair, pair_more, sizeof(struct ste_pair_view)};
    struct pair_step step = {each, arg};
    return each_row(s, &v,
                    "FROM pair p JOIN instruction i ON i.id = p.instruction LEFT JOIN pair_check c ON c.pair = p.id "
                    "WHERE p.state = 'kept' AND (?1 IS NULL OR p.split = ?1) ORDER BY p.position, p.id",
                    pair_of, &step, err, "t", split);
}

STEP(judgment, struct ste_judgment_row)
int ste_each_judgment(struct ste_store *s, int64_t turn,
                      int (*each)(void *arg, const struct ste_judgment_row *r, struct ste_err *err), void *arg,
                      struct ste_err *err)
{
    static const struct view v = {"j", judgment, NULL, sizeof(struct ste_judgment_row)};
    struct judgment_step step = {each, arg};
    return each_row(s, &v,
                    "FROM judgment j JOIN pair p ON p.id = j.pair WHERE j.iteration = ? ORDER BY p.position, p.id, "
                    "j.winner, j.sample",
                    judgment_of, &step, err, "i", turn);
}

#define S struct ste_example_view
static const struct column example_more[] = {AS(S, prompt, "q.tokens"), END};
#undef S
STEP(example, struct ste_example_view)
int ste_each_example(struct ste_store *s, int64_t turn,
                     int (*each)(void *arg, const struct ste_example_view *v, struct ste_err *err), void *arg,
                     struct ste_err *err)
{
    static const struct view v = {"e", example, example_more, sizeof(struct ste_example_view)};
    struct example_step step = {each, arg};
    return each_row(s, &v, "FROM example e JOIN prompt q ON q.id = e.prompt WHERE e.iteration = ? ORDER BY e.position",
                    example_of, &step, err, "i", turn);
}

STEP(checkpoint, struct ste_checkpoint_row)
int ste_each_checkpoint(struct ste_store *s, int64_t turn,
                        int (*each)(void *arg, const struct ste_checkpoint_row *r, struct ste_err *err), void *arg,
                        struct ste_err *err)
{
    static const struct view v = {"checkpoint", checkpoint, NULL, sizeof(struct ste_checkpoint_row)};
    struct checkpoint_step step = {each, arg};
    return each_row(s, &v, "FROM checkpoint WHERE iteration = ? ORDER BY step", checkpoint_of, &step, err, "i", turn);
}

STEP(iteration, struct ste_iteration_row)
int ste_each_iteration(struct ste_store *s, int64_t turn,
                       int (*each)(void *arg, const struct ste_iteration_row *r, struct ste_err *err), void *arg,
                       struct ste_err *err)
{
    static const struct view v = {"iteration", iteration, NULL, sizeof(struct ste_iteration_row)};
    struct iteration_step step = {each, arg};
    return each_row(s, &v, "FROM iteration WHERE ?1 = 0 OR iteration = ?1 ORDER BY iteration", iteration_of, &step, err,
                    "i", turn);
}

STEP(evaluation, struct ste_evaluation_row)
int ste_each_evaluation(struct ste_store *s, const char *suite, const char *kind, int64_t turn, int64_t at_step,
                        int (*each)(void *arg, const struct ste_evaluation_row *r, struct ste_err *err), void *arg,
                        struct ste_err *err)
{
    static const struct view v = {"e", evaluation, NULL, sizeof(struct ste_evaluation_row)};
    struct evaluation_step step = {each, arg};
    return each_row(s, &v,
                    "FROM evaluation e WHERE suite = ?1 AND iteration = ?2 AND step = ?3 AND (?4 IS NULL OR EXISTS "
                    "(SELECT 1 FROM pair p WHERE p.id = e.item AND p.kind = ?4)) ORDER BY position, winner",
                    evaluation_of, &step, err, "tiit", suite, turn, at_step, kind);
}
