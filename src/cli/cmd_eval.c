#include <stdio.h>
#include <stdlib.h>

#include "cli/judging.h"
#include "core/json.h"
#include "core/mem.h"

/* One line a pair: what tests/interop/metrics.py computes the figures from again. */
static int write_outcomes(const char *path, struct ste_outcome *const *outcomes, const struct ste_pair_files *p,
                          struct ste_err *err)
{
    struct ste_jsonl_writer *w;
    int rc = ste_jsonl_create(&w, path, err);
    if (rc)
        return rc;
    for (size_t i = 0; i < p->n; i++) {
        for (size_t k = 0; k < p->files[i].n && !rc; k++) {
            const struct ste_outcome *o = &outcomes[i][k];
            char key[17];
            snprintf(key, sizeof key, "%016llx", (unsigned long long)o->prompt_key);
            json_t *row = json_object(), *ab = json_object(), *ba = json_object();
            json_object_set_new(row, "suite", json_string(p->files[i].name));
            json_object_set_new(row, "id", json_string(p->files[i].items[k].id));
            json_object_set_new(row, "prompt_key", json_string(key));
            json_object_set_new(row, "state", json_string(!o->judged ? "tied" : o->skipped ? "skipped" : "judged"));
            ste_judgment_json(&o->order[STE_ORDER_AB], ab);
            ste_judgment_json(&o->order[STE_ORDER_BA], ba);
            if (o->judged) {
                json_object_set(row, "ab", ab);
                json_object_set(row, "ba", ba);
            }
            json_decref(ab);
            json_decref(ba);
            rc = ste_jsonl_write(w, row, err);
            json_decref(row);
        }
    }
    if (rc) {
        ste_jsonl_abort(w);
        return rc;
    }
    return ste_jsonl_commit(w, err);
}

static int report(struct ste_open_judge *j, const struct ste_pair_files *p, struct ste_outcome *const *outcomes,
                  uint64_t seed, const char *json, struct ste_err *err)
{
    struct ste_metrics *m = ste_xcalloc(p->n, sizeof *m), overall;
    size_t *n = ste_xcalloc(p->n, sizeof *n);
    json_t *suites = json_array();
    for (size_t i = 0; i < p->n; i++) {
        n[i] = p->files[i].n;
        ste_metrics_of(outcomes[i], n[i], p->files[i].name, seed, &m[i]);
        json_array_append_new(suites, ste_metrics_json(&m[i]));
    }
    ste_metrics_overall((const struct ste_outcome *const *)outcomes, n, p->n, seed, &overall);
    struct ste_buf table = STE_BUF_INIT;
    ste_metrics_table(m, p->n, &overall, &table);
    /* With --json - the table would spoil what a program reads. */
    if (!json || json[0] != '-' || json[1])
        fputs(table.s, stdout);
    ste_buf_clear(&table);
    int rc = 0;
    json_t *out = json_object();
    json_object_set_new(out, "judge", json_string(j->name));
    json_object_set_new(out, "prompt", json_string(j->pack->name));
    json_object_set_new(out, "suites", suites);
    json_object_set_new(out, "overall", ste_metrics_json(&overall));
    json_object_set_new(out, "provenance", ste_judge_provenance(j));
    if (json)
        rc = ste_write_json(json, json_incref(out), err);
    json_decref(out);
    free(n);
    free(m);
    return rc;
}

static int eval_run(int argc, char **argv, struct ste_err *err)
{
    const char *judge = NULL, *json = NULL, *outcomes_path = NULL;
    struct ste_strings data = {0};
    struct ste_judging_flags f = {0};
    const struct ste_flag flags[] = {
        {"judge", STE_FLAG_STRING, &judge, "JUDGE", "a catalogue name, a .gguf path, or RUN[:ITERATION]"},
        {"data", STE_FLAG_LIST, &data, "FILE", "JSONL with prompt or messages, chosen, rejected"},
        {"json", STE_FLAG_STRING, &json, "OUT", "write the figures as JSON (- is the standard output)"},
        {"outcomes", STE_FLAG_STRING, &outcomes_path, "FILE", "write every verdict as JSON lines"},
        STE_JUDGING_FLAGS(f),
        {0}};
    int rc = ste_flags_parse(&ste_cmd_eval, flags, argc, argv, NULL, 0, err);
    if (!rc && (!judge || data.n == 0))
        rc = ste_err_set(err, STE_EUSAGE, "%s is missing; `ste help eval` shows the flags",
                         judge ? "--data" : "--judge");
    if (!rc)
        rc = ste_judging_flags_check(&f, err);
    struct ste_open_judge j = {0};
    struct ste_pair_files files = {0};
    struct ste_outcome **outcomes = NULL;
    if (!rc)
        rc = ste_judge_open(&j, judge, &f, err);
    if (!rc)
        rc = ste_pair_files_read(&files, &data, (size_t)f.limit, err);
    if (!rc)
        rc = ste_judge_load(&j, &f, err);
    if (!rc)
        rc = ste_judge_files(&j, &files, &outcomes, err);
    if (!rc && outcomes_path)
        rc = write_outcomes(outcomes_path, outcomes, &files, err);
    if (!rc)
        rc = report(&j, &files, outcomes, (uint64_t)f.seed, json, err);
    ste_outcome_arrays_free(outcomes, &files);
    ste_pair_files_clear(&files);
    ste_judge_close(&j);
    ste_strings_clear(&data);
    return rc < 0 ? rc : 0;
}

const struct ste_command ste_cmd_eval = {"eval", "eval --judge JUDGE --data FILE... [flags]",
                                         "Measure a judge on labelled pairs, in both orders.", eval_run};
