/* Doors of ste.h that take options as texts and give what the program writes: rows, figures, a ranking. */
#include <string.h>

#include "core/domain.h"
#include "core/mem.h"
#include "eval/measure.h"
#include "eval/ranking.h"
#include "eval/rows.h"
#include "eval/tournament.h"
#include "library/door.h"

struct json_call {
    struct ste_judge *j;
    const char *rows;
    const char *const *paths, *const *options;
    size_t n_paths, n_options;
    char **json;
};

static int call(int (*fn)(void *, struct ste_err *), struct json_call *c, struct ste_err *err)
{
    *c->json = NULL;
    return ste_door_call(c->j->domain, &c->j->context, fn, c, err);
}

static int set_options(const struct ste_option *table, void *to, const struct json_call *c, struct ste_err *err)
{
    int rc = 0;
    ste_options_init(table, to);
    for (size_t i = 0; i < c->n_options && rc == 0; i++)
        rc = ste_options_set(table, to, c->options[i], err);
    return rc;
}

static void add_paths(struct ste_strings *to, const struct json_call *c)
{
    for (size_t i = 0; i < c->n_paths; i++)
        ste_strings_add(to, c->paths[i]);
}

/* As `--json` writes it. */
static char *figures(const json_t *j)
{
    return ste_door_give(json_dumps(j, JSON_INDENT(2) | JSON_REAL_PRECISION(12)));
}

/* ---- rows ---- */

static int give_rows(int rc, struct ste_buf *rows, char **json)
{
    if (rc == 0)
        *json = ste_door_give(ste_buf_detach(rows));
    ste_buf_clear(rows);
    return rc;
}

static int judge_rows(void *arg, struct ste_err *err)
{
    const struct json_call *c = arg;
    struct ste_buf out = STE_BUF_INIT;
    return give_rows(ste_rows_judge(&c->j->session, c->rows, c->j->references, &out, err), &out, c->json);
}

int ste_judge_compare_rows(struct ste_judge *j, const char *rows, char **verdicts, struct ste_err *err)
{
    return call(judge_rows, &(struct json_call){.j = j, .rows = rows, .json = verdicts}, err);
}

static int score_rows(void *arg, struct ste_err *err)
{
    const struct json_call *c = arg;
    struct ste_buf out = STE_BUF_INIT;
    int rc = ste_door_scores(c->j, err);
    return rc ? rc : give_rows(ste_rows_score(&c->j->session, c->rows, c->j->references, &out, err), &out, c->json);
}

int ste_judge_score_rows(struct ste_judge *j, const char *rows, char **scores, struct ste_err *err)
{
    return call(score_rows, &(struct json_call){.j = j, .rows = rows, .json = scores}, err);
}

/* ---- figures ---- */

struct evaluation {
    struct ste_measure_options m;
    long long limit, sample;
};
/* clang-format off */
#define OPTIONS_OF struct evaluation
static const struct ste_option evaluation_options[] = {
    STE_TABLE("", m, ste_measure_options),
    STE_BOOL("logits", m.logits, NULL, ""),
    STE_INT("limit", limit, "0", 0, STE_LARGE, ""),
    STE_INT("sample", sample, "0", 0, STE_LARGE, ""),
    {0},
};
#undef OPTIONS_OF
/* clang-format on */

static int measure(const struct json_call *c, struct evaluation *e, struct ste_measured *m, struct ste_err *err)
{
    const struct ste_pairs_params p = {
        .limit = (size_t)e->limit, .sample = (size_t)e->sample, .seed = c->j->seed, .references = c->j->references};
    struct ste_pair_files files = {0};
    struct ste_strings data = {0};
    struct ste_scores scores;
    add_paths(&data, c);
    int rc = e->limit && e->sample ? ste_err_set(err, STE_EUSAGE, "sample goes without limit")
                                   : ste_measure_has_data(m->suite, &data, err);
    if (rc == 0)
        rc = ste_measure_read(m, &e->m, &data, &p, &files, err);
    if (rc == 0)
        rc = ste_measure(m, &e->m, &c->j->session, &files, &p, err);
    if (rc == 0)
        rc = ste_measured_scores(m, &e->m, p.seed, &scores, err);
    if (rc == 0) {
        ste_measured_json(m, &scores);
        *c->json = figures(m->about);
        ste_scores_clear(&scores);
    }
    ste_pair_files_clear(&files);
    ste_strings_clear(&data);
    return rc;
}

static int evaluate(void *arg, struct ste_err *err)
{
    const struct json_call *c = arg;
    struct evaluation e;
    struct ste_measured m = {0};
    int rc = set_options(evaluation_options, &e, c, err);
    if (rc == 0)
        rc = ste_measure_begin(&m, &e.m, err);
    if (rc == 0)
        rc = measure(c, &e, &m, err);
    ste_measured_clear(&m);
    ste_options_clear(evaluation_options, &e);
    return rc;
}

int ste_judge_evaluate(struct ste_judge *j, const char *const *data, size_t n_data, const char *const *options,
                       size_t n_options, char **json, struct ste_err *err)
{
    struct json_call c = {
        .j = j, .paths = data, .n_paths = n_data, .options = options, .n_options = n_options, .json = json};
    return call(evaluate, &c, err);
}

struct ranking {
    char *questions;
    long long pairs;
    int two_order;
};
#define VERDICTS STE_NAMES("both", "two-order")
/* clang-format off */
#define OPTIONS_OF struct ranking
static const struct ste_option ranking_options[] = {
    STE_STRING("questions", questions, NULL, "FILE", ""),
    STE_INT("pairs", pairs, "0", 0, STE_LARGE, ""),
    STE_CHOICE("verdict", two_order, "both", VERDICTS, ""),
    {0},
};
/* clang-format on */

static int hold(const struct json_call *c, const struct ranking *o, json_t *about, struct ste_err *err)
{
    struct ste_contest contest = {.two_order = o->two_order};
    struct ste_ranking ranking = {0};
    struct ste_answers answers = {0};
    struct ste_strings paths = {0};
    add_paths(&paths, c);
    int rc = ste_answers_read(&answers, &paths, o->questions, err);
    if (rc == 0)
        rc = ste_contest_hold(&contest, &c->j->session, &answers, (size_t)o->pairs, c->j->seed, NULL,
                              STE_MATCH_FASTCHAT, err);
    if (rc == 0)
        rc = ste_ranking_of(&ranking, &contest.models, contest.matches, contest.n, contest.invalid, c->j->seed, err);
    if (rc == 0) {
        ste_session_about(&c->j->session, about);
        json_t *ranks = ste_ranking_json(&ranking);
        json_object_update(about, ranks);
        json_decref(ranks);
    }
    ste_ranking_clear(&ranking);
    ste_contest_clear(&contest);
    ste_answers_clear(&answers);
    ste_strings_clear(&paths);
    return rc;
}

static int rank(void *arg, struct ste_err *err)
{
    const struct json_call *c = arg;
    struct ranking o;
    int rc = set_options(ranking_options, &o, c, err);
    if (rc == 0 && c->j->references)
        rc = ste_err_set(err, STE_EUSAGE, "reference is for rows of pairs; answers to rank have none");
    json_t *about = json_pack("{s:s}", "verdict", VERDICTS[o.two_order]);
    if (rc == 0)
        rc = hold(c, &o, about, err);
    if (rc == 0)
        *c->json = figures(about);
    json_decref(about);
    ste_options_clear(ranking_options, &o);
    return rc;
}

int ste_judge_rank(struct ste_judge *j, const char *const *answers, size_t n_answers, const char *const *options,
                   size_t n_options, char **json, struct ste_err *err)
{
    struct json_call c = {
        .j = j, .paths = answers, .n_paths = n_answers, .options = options, .n_options = n_options, .json = json};
    return call(rank, &c, err);
}
