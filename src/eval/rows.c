#include "eval/rows.h"

#include <string.h>

#include "core/hash.h"
#include "core/json.h"
#include "core/mem.h"
#include "data/pair_rows.h"
#include "eval/scoring.h"

/* Takes the next object of *ROWS, behind which *ROWS then stands, and sets WHERE. 1, 0 at the end, or an error. */
static int next_row(const char **rows, size_t number, json_t **row, char **where, struct ste_err *err)
{
    *rows += strspn(*rows, " \t\r\n");
    if (!**rows)
        return 0;
    const size_t n = strcspn(*rows, "\n");
    *where = ste_xasprintf("row %zu", number);
    *row = ste_json_parse(*rows, n, *where, err);
    *rows += n;
    if (*row && json_is_object(*row))
        return 1;
    int rc = *row ? ste_err_set(err, STE_EINPUT, "%s is no JSON object", *where) : STE_EINPUT;
    json_decref(*row);
    ste_xfree(*where);
    return rc;
}

/* ROW's id, or one by what is asked: the dialogue and its answers. */
static char *id_of(const json_t *row, const struct ste_dialogue *prompt, const char *a, const char *b)
{
    char *id = ste_json_name(json_object_get(row, "id"));
    if (id)
        return id;
    struct ste_buf asked = STE_BUF_INIT;
    ste_dialogue_canonical(prompt, &asked);
    id = ste_xstrdup(ste_id_of("row", asked.s, a, b, NULL).s);
    ste_buf_clear(&asked);
    return id;
}

static int read_pairs(struct ste_answer_pairs *out, const char *rows, bool references, struct ste_err *err)
{
    size_t cap = 0;
    json_t *row;
    char *where;
    int rc;
    while ((rc = next_row(&rows, out->n + 1, &row, &where, err)) > 0) {
        STE_GROW(out->items, cap, out->n + 1);
        struct ste_answer_pair *p = &out->items[out->n++];
        *p = (struct ste_answer_pair){.row = row, .line = (long)out->n};
        rc = ste_pair_row_read(p, STE_PAIRS_UNLABELLED, 0, "row", NULL, where, err);
        if (rc >= 0) {
            ste_xfree(p->id);
            p->id = id_of(row, &p->prompt, p->first, p->second);
            rc = references ? ste_references_read(&p->references, row, where, err) : 0;
        }
        ste_xfree(where);
        if (rc < 0)
            break;
    }
    return rc;
}

int ste_rows_judge(struct ste_session *j, const char *rows, bool references, struct ste_buf *out, struct ste_err *err)
{
    struct ste_answer_pairs pairs = {.path = ste_xstrdup(j->name), .name = ste_xstrdup(j->name)};
    int rc = read_pairs(&pairs, rows, references, err);
    if (rc == 0) {
        struct ste_outcome *outcomes = ste_xcalloc(pairs.n + 1, sizeof *outcomes);
        struct ste_progress *progress = ste_progress_new("judge", "verdicts", ste_eval_calls(j, pairs.n, true));
        rc = ste_eval_pairs(j, &pairs, true, outcomes, progress, err);
        ste_progress_end(progress);
        for (size_t i = 0; i < pairs.n && rc == 0; i++) {
            json_t *row = ste_verdict_row(&pairs.items[i], &outcomes[i], true);
            ste_jsonl_add(out, row);
            json_decref(row);
        }
        ste_outcomes_clear(outcomes, pairs.n);
        ste_xfree(outcomes);
    }
    ste_answer_pairs_clear(&pairs);
    return rc;
}

static int read_answers(struct ste_answer_rows *out, const char *rows, bool references, struct ste_err *err)
{
    json_t *row;
    char *where;
    int rc;
    while ((rc = next_row(&rows, out->n + 1, &row, &where, err)) > 0) {
        rc = ste_answer_row_add(out, row, "", references, where, err);
        ste_xfree(where);
        if (rc < 0)
            break;
        struct ste_answer_row *a = &out->items[out->n - 1];
        ste_xfree(a->id);
        a->id = id_of(row, &a->prompt, a->text, NULL);
    }
    return rc;
}

int ste_rows_score(struct ste_session *j, const char *rows, bool references, struct ste_buf *out, struct ste_err *err)
{
    struct ste_answer_rows answers = {0};
    int rc = read_answers(&answers, rows, references, err);
    if (rc == 0) {
        struct ste_score *scores = ste_xcalloc(answers.n + 1, sizeof *scores);
        struct ste_progress *progress = ste_progress_new("score", "answers", answers.n);
        rc = ste_score_answers(j->llm, &j->setting, &answers, scores, progress, err);
        ste_progress_end(progress);
        for (size_t i = 0; i < answers.n; i++) {
            json_t *row = rc == 0 ? ste_score_row(&answers.items[i], &scores[i]) : NULL;
            if (row)
                ste_jsonl_add(out, row);
            json_decref(row);
            ste_score_clear(&scores[i]);
        }
        ste_xfree(scores);
    }
    ste_answer_rows_clear(&answers);
    return rc;
}
