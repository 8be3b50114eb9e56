#include "store/browse.h"

#include <stdarg.h>
#include <string.h>

#include "core/json.h"
#include "core/mem.h"
#include "store/columns.h"

enum { MOST_VALUES = 16 };

/* Conditions, each " AND ...", and what their parameters are, in order. */
struct query {
    struct ste_buf sql;
    const char *values[MOST_VALUES];
    size_t n;
};

/* Adds a condition and the values of its parameters, which end with a NULL. */
static void add(struct query *q, const char *condition, ...)
{
    ste_buf_addf(&q->sql, " AND %s", condition);
    va_list ap;
    va_start(ap, condition);
    for (const char *v; (v = va_arg(ap, const char *)) != NULL;)
        q->values[q->n++] = v;
    va_end(ap);
}

/* A list: its rows are those of TABLE, called T within; ORDER are the columns of a key that only one row has, DOWN the
 * same backwards. FROM joins what a line shows beside them. */
struct list {
    const char *table, *order, *down, *from;
};
static const struct list lists[] = {
    [STE_BROWSE_INSTRUCTIONS] = {"instruction", "position, id", "position DESC, id DESC", ""},
    [STE_BROWSE_PAIRS] = {"pair", "position, id", "position DESC, id DESC",
                          "JOIN instruction i ON i.id = t.instruction"},
    [STE_BROWSE_JUDGMENTS] = {"judgment", "iteration, pair, winner, sample",
                              "iteration DESC, pair DESC, winner DESC, sample DESC",
                              "JOIN pair p ON p.id = t.pair JOIN instruction i ON i.id = p.instruction"},
    [STE_BROWSE_VERDICTS] = {"evaluation", "iteration, step, position, winner",
                             "iteration DESC, step DESC, position DESC, winner DESC",
                             "LEFT JOIN pair p ON p.id = t.item LEFT JOIN instruction i ON i.id = p.instruction"},
};

/* ---- filters ---- */

#define HOLDS(text) text " LIKE ?1 ESCAPE '\\'"
/* Instructions whose turns hold the text: where its JSON does, it is read. */
#define ASKS                                                                                                           \
    "SELECT i.id FROM instruction i WHERE i.dialogue LIKE ?2 ESCAPE '\\' AND EXISTS (SELECT 1 FROM "                   \
    "json_each(i.dialogue) e WHERE " HOLDS("json_extract(e.value, '$.content')") ")"

/* PART as a pattern that finds it anywhere. */
static char *pattern_of(const char *part)
{
    struct ste_buf b = STE_BUF_INIT;
    ste_buf_addc(&b, '%');
    for (; *part; part++)
        ste_buf_addf(&b, strchr("%_\\", *part) ? "\\%c" : "%c", *part);
    ste_buf_addc(&b, '%');
    return ste_buf_detach(&b);
}

/* TEXT as it stands within a string of JSON. */
static char *in_json(const char *text)
{
    json_t *j = json_string(text);
    char *quoted = j ? json_dumps(j, JSON_ENCODE_ANY) : NULL;
    char *inner = quoted ? ste_xstrndup(quoted + 1, strlen(quoted) - 2) : ste_xstrdup(text);
    ste_xfree(quoted);
    json_decref(j);
    return inner;
}

int ste_browse_begin(struct ste_store *s, enum ste_browsed what, const struct ste_filter *f, struct ste_err *err)
{
    if (!f->text)
        return 0;
    char *escaped = in_json(f->text), *plain = pattern_of(f->text), *json = pattern_of(escaped);
    /* Of memory, so that nothing is written; a connection that only reads may have such a table. */
    int rc = ste_store_exec(s, err, "PRAGMA temp_store = MEMORY", "");
    if (rc == 0)
        rc = ste_store_exec(s, err, "CREATE TEMP TABLE found (id TEXT PRIMARY KEY) WITHOUT ROWID", "");
    if (rc == 0)
        rc = ste_store_exec(s, err,
                            what == STE_BROWSE_INSTRUCTIONS
                                ? "INSERT INTO temp.found " ASKS
                                  " UNION SELECT g.instruction FROM generation g WHERE " HOLDS("g.text")
                                : "INSERT INTO temp.found SELECT p.id FROM pair p WHERE " HOLDS(
                                      "p.chosen") " OR " HOLDS("p.rejected") " OR p.instruction IN (" ASKS ")",
                            "tt", plain, json);
    ste_xfree(escaped);
    ste_xfree(plain);
    ste_xfree(json);
    return rc;
}

/* Judged so that the first samples of the two orders differ in whether they are right: iteration and pair. */
#define DISAGREED                                                                                                      \
    "SELECT a.iteration, a.pair FROM judgment a JOIN judgment b ON b.iteration = a.iteration AND b.pair = a.pair AND " \
    "b.winner = 'B' AND b.sample = 0 WHERE a.winner = 'A' AND a.sample = 0 AND a.verdict <> 'invalid' AND b.verdict "  \
    "<> 'invalid' AND a.correct <> b.correct"
#define DISAGREED_IN(suite)                                                                                            \
    "SELECT a.iteration, a.step, a.item FROM evaluation a JOIN evaluation b ON b.suite = a.suite AND b.iteration = "   \
    "a.iteration AND b.step = a.step AND b.position = a.position AND b.winner = 'B' WHERE a.suite " suite " AND "      \
    "a.winner = 'A' AND a.verdict IN ('A', 'B') AND b.verdict = a.verdict"
#define OF_PAIRS "IN ('test', 'dev')"

static void where_pair(struct query *q, const struct ste_filter *f)
{
    const char *iteration = f->iteration;
    if (f->state)
        add(q, "t.state = ?", f->state, NULL);
    if (f->kind)
        add(q, "t.kind = ?", f->kind, NULL);
    if (f->split)
        add(q, "t.split = ?", f->split, NULL);
    if (f->outcome && iteration)
        add(q, "t.id IN (SELECT pair FROM outcome WHERE iteration = ? AND state = ?)", iteration, f->outcome, NULL);
    else if (f->outcome)
        add(q, "t.id IN (SELECT pair FROM outcome WHERE state = ?)", f->outcome, NULL);
    if (f->disagree && iteration)
        add(q,
            "t.id IN (SELECT pair FROM (" DISAGREED
            " AND a.iteration = ?) UNION SELECT item FROM (" DISAGREED_IN(OF_PAIRS) " AND a.iteration = ?))",
            iteration, iteration, NULL);
    else if (f->disagree)
        add(q, "t.id IN (SELECT pair FROM (" DISAGREED ") UNION SELECT item FROM (" DISAGREED_IN(OF_PAIRS) "))", NULL);
    else if (iteration)
        add(q,
            "t.id IN (SELECT pair FROM judgment WHERE iteration = ? UNION SELECT item FROM evaluation WHERE "
            "suite " OF_PAIRS " AND iteration = ?)",
            iteration, iteration, NULL);
    if (f->text)
        add(q, "t.id IN temp.found", NULL);
}

/* OF: the column that names the pair. */
static void where_judged(struct query *q, const struct ste_filter *f, const char *of, const char *right)
{
    char *condition;
    if (f->iteration)
        add(q, "t.iteration = ?", f->iteration, NULL);
    if (f->state) {
        condition = ste_xasprintf("CASE WHEN t.verdict = 'invalid' THEN 'invalid' WHEN t.verdict = 'tied' THEN 'tied' "
                                  "WHEN %s THEN 'right' ELSE 'wrong' END = ?",
                                  right);
        add(q, condition, f->state, NULL);
        ste_xfree(condition);
    }
    if (f->reason)
        add(q, "t.verdict = 'invalid' AND t.reason = ?", f->reason, NULL);
    if (f->kind || f->split) {
        condition = ste_xasprintf("%s IN (SELECT id FROM pair WHERE kind = coalesce(?, kind) AND split = coalesce(?, "
                                  "split))",
                                  of);
        ste_buf_addf(&q->sql, " AND %s", condition);
        q->values[q->n++] = f->kind; /* NULL binds null */
        q->values[q->n++] = f->split;
        ste_xfree(condition);
    }
    if (f->text) {
        condition = ste_xasprintf("%s IN temp.found", of);
        add(q, condition, NULL);
        ste_xfree(condition);
    }
}

static void where(struct query *q, enum ste_browsed what, const struct ste_filter *f)
{
    *q = (struct query){.sql = STE_BUF_INIT};
    switch (what) {
    case STE_BROWSE_INSTRUCTIONS:
        if (f->state)
            add(q, "t.state = ?", f->state, NULL);
        if (f->kind)
            add(q, "t.category = ?", f->kind, NULL);
        if (f->split)
            add(q, "t.split = ?", f->split, NULL);
        if (f->text)
            add(q, "t.id IN temp.found", NULL);
        break;
    case STE_BROWSE_PAIRS:
        where_pair(q, f);
        break;
    case STE_BROWSE_JUDGMENTS:
        where_judged(q, f, "t.pair", "t.correct");
        if (f->disagree)
            add(q, "(t.iteration, t.pair) IN (" DISAGREED ")", NULL);
        break;
    case STE_BROWSE_VERDICTS:
        add(q, "t.suite = ?", f->suite ? f->suite : "", NULL);
        where_judged(q, f, "t.item", "t.verdict = t.winner");
        if (f->disagree)
            add(q, "(t.iteration, t.step, t.item) IN (" DISAGREED_IN("= ?") ")", f->suite ? f->suite : "", NULL);
        break;
    }
}

/* ---- pages ---- */

/* The ids of a page are found first, from an index alone; then its rows are read. */
static int browse(struct ste_store *s, enum ste_browsed what, const struct ste_filter *f, const struct ste_page *p,
                  const struct ste_row_view *v, ste_row_fn *each, void *arg, struct ste_err *err)
{
    const struct list *l = &lists[what];
    struct query q;
    where(&q, what, f);
    if (p->after || p->before) {
        char *key = ste_xasprintf("(%s) %s (SELECT %s FROM %s WHERE id = ?)", l->order, p->after ? ">" : "<", l->order,
                                  l->table);
        add(&q, key, p->after ? p->after : p->before, NULL);
        ste_xfree(key);
    }
    struct ste_buf order = STE_BUF_INIT;
    for (const char *c = l->order; *c; c++)
        ste_buf_addf(&order, c == l->order || c[-1] == ' ' ? "t.%c" : "%c", *c);
    char *tail = ste_xasprintf("FROM %s t %s WHERE t.id IN (SELECT t.id FROM %s t WHERE 1%s ORDER BY %s LIMIT %lld) "
                               "ORDER BY %s",
                               l->table, l->from, l->table, q.sql.s, p->before ? l->down : l->order,
                               (long long)p->limit, order.s);
    int rc = ste_rows_read(s, v, tail, q.values, q.n, each, arg, err);
    ste_xfree(tail);
    ste_buf_clear(&order);
    ste_buf_clear(&q.sql);
    return rc;
}

/* The beginning of a text, and whether there is more. */
#define CUT(text) "substr(" text ", 1, 200) || iif(length(" text ") > 200, '\xe2\x80\xa6', '')"
#define LAST_TURN(of) CUT("json_extract(" of ".dialogue, '$[#-1].content')")
/* clang-format off */
#define S struct ste_instruction_line
static const struct ste_column instruction[] = {
    AS(id, "t.id"), AS(state, "t.state"), AS(category, "t.category"), AS(split, "t.split"),
    AS(begins, LAST_TURN("t")), AS(position, "t.position"),
    AS(pairs, "(SELECT count(*) FROM pair WHERE instruction = t.id)"), END};
#undef S
#define S struct ste_pair_line
static const struct ste_column pair[] = {
    AS(id, "t.id"), AS(instruction, "t.instruction"), AS(state, "t.state"), AS(kind, "t.kind"), AS(split, "t.split"),
    AS(begins, LAST_TURN("i")), AS(chosen, CUT("t.chosen")), AS(rejected, CUT("t.rejected")),
    AS(position, "t.position"),
    AS(outcomes, "(SELECT group_concat(iteration || ': ' || state, ', ') FROM (SELECT iteration, state FROM outcome "
                 "WHERE pair = t.id ORDER BY iteration))"), END};
#undef S
#define S struct ste_judgment_line
#define JUDGED AS(id, "t.id"), AS(winner, "t.winner"), AS(verdict, "t.verdict"), AS(reason, "t.reason"), \
    AS(iteration, "t.iteration"), AS(logprob_a, "t.logprob_a"), AS(logprob_b, "t.logprob_b"), AS(kind, "p.kind"), \
    AS(split, "p.split"), AS(begins, LAST_TURN("i"))
static const struct ste_column judgment[] = {
    JUDGED, AS(pair, "t.pair"), AS(step, "NULL"), AS(sample, "t.sample"), AS(correct, "t.correct"), END};
static const struct ste_column verdict[] = {
    JUDGED, AS(pair, "t.item"), AS(step, "t.step"), AS(sample, "NULL"), AS(correct, "t.verdict = t.winner"), END};
#undef S
/* clang-format on */

STEP(instruction, struct ste_instruction_line)
int ste_browse_instructions(struct ste_store *s, const struct ste_filter *f, const struct ste_page *p,
                            ste_instruction_line_fn *each, void *arg, struct ste_err *err)
{
    static const struct ste_row_view v = {NULL, NULL, instruction, sizeof(struct ste_instruction_line)};
    struct instruction_step step = {each, arg};
    return browse(s, STE_BROWSE_INSTRUCTIONS, f, p, &v, instruction_of, &step, err);
}

STEP(pair, struct ste_pair_line)
int ste_browse_pairs(struct ste_store *s, const struct ste_filter *f, const struct ste_page *p, ste_pair_line_fn *each,
                     void *arg, struct ste_err *err)
{
    static const struct ste_row_view v = {NULL, NULL, pair, sizeof(struct ste_pair_line)};
    struct pair_step step = {each, arg};
    return browse(s, STE_BROWSE_PAIRS, f, p, &v, pair_of, &step, err);
}

STEP(judgment, struct ste_judgment_line)
int ste_browse_judgments(struct ste_store *s, enum ste_browsed what, const struct ste_filter *f,
                         const struct ste_page *p, ste_judgment_line_fn *each, void *arg, struct ste_err *err)
{
    const struct ste_row_view v = {NULL, NULL, what == STE_BROWSE_VERDICTS ? verdict : judgment,
                                   sizeof(struct ste_judgment_line)};
    struct judgment_step step = {each, arg};
    return browse(s, what, f, p, &v, judgment_of, &step, err);
}

struct number {
    int64_t n;
};
#define S struct number
static const struct ste_column number[] = {AS(n, "count(*)"), END};
#undef S
static int take_number(void *arg, const void *row, struct ste_err *err)
{
    *(int64_t *)arg = ((const struct number *)row)->n;
    return 0;
}

int ste_browse_count(struct ste_store *s, enum ste_browsed what, const struct ste_filter *f, int64_t *out,
                     struct ste_err *err)
{
    static const struct ste_row_view v = {NULL, NULL, number, sizeof(struct number)};
    struct query q;
    where(&q, what, f);
    char *tail = ste_xasprintf("FROM %s t WHERE 1%s", lists[what].table, q.sql.s);
    *out = 0;
    int rc = ste_rows_read(s, &v, tail, q.values, q.n, take_number, out, err);
    ste_xfree(tail);
    ste_buf_clear(&q.sql);
    return rc;
}
