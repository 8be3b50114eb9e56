#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cli/judging.h"
#include "core/json.h"
#include "core/mem.h"
#include "eval/agreement.h"
#include "eval/files.h"
#include "report/beside.h"
#include "report/page.h"

struct options {
    char *json, *html;
    struct ste_strings judges, data;
    struct ste_judging_flags f;
};
/* clang-format off */
#define OPTIONS_OF struct options
static const struct ste_option options[] = {
    STE_LIST("judge", judges, NULL, "JUDGE", "two of them: the first and the second judge"),
    STE_LIST("data", data, NULL, "FILE", "JSONL with prompt or messages, chosen, rejected"),
    STE_STRING("json", json, NULL, "OUT", "write the figures as JSON (- is the standard output)"),
    STE_STRING("html", html, NULL, "FILE", STE_HTML_HELP),
    STE_BOOL("dry_run", f.dry, NULL, STE_DRY_RUN_HELP),
    STE_TABLE("", f, ste_judging_options),
    {0},
};
/* clang-format on */

static int judge_all(const char *judge, bool more, const struct ste_judging_flags *f,
                     const struct ste_pair_files *files, struct ste_outcome ***outcomes, json_t **provenance,
                     struct ste_err *err)
{
    struct ste_session j = {0};
    struct ste_batch counted = {0};
    int rc = ste_session_open(&j, judge, &f->judge, STE_JUDGE_BESIDE, err);
    if (rc)
        return rc;
    j.batch = f->dry ? &counted : NULL;
    rc = ste_session_load(&j, &f->judge, err);
    if (!rc)
        rc = ste_eval_files(&j, files, more, outcomes, err);
    if (!rc) {
        *provenance = ste_session_provenance(&j);
        json_object_set_new(*provenance, "judge", json_string(judge));
        json_object_set_new(*provenance, "pack", json_string(ste_session_pack_name(&j)));
        ste_session_usage(&j, *provenance);
    }
    if (!rc && f->dry)
        ste_judging_say_dry(&j);
    ste_session_close(&j);
    ste_batch_clear(&counted);
    return rc;
}

static json_t *named(const char *name, const struct ste_comparison *c)
{
    json_t *j = ste_comparison_json(c);
    json_object_set_new(j, "name", json_string(name));
    return j;
}

/* The suites one by one, then all pairs as one set: McNemar's test is on counts, which add up. */
static int report(const struct ste_pair_files *p, struct ste_outcome **first, struct ste_outcome **second,
                  json_t *provenance, const struct options *o, struct ste_err *err)
{
    const char *json = o->json;
    const struct ste_strings *judges = &o->judges;
    const uint64_t seed = (uint64_t)o->f.judge.seed;
    size_t total = 0, at = 0;
    for (size_t i = 0; i < p->n; i++)
        total += p->files[i].n;
    struct ste_outcome *all[2] = {ste_xcalloc(total, sizeof **all), ste_xcalloc(total, sizeof **all)};
    struct ste_comparison *each = ste_xcalloc(p->n, sizeof *each), c;
    const char **names = ste_xcalloc(p->n, sizeof *names);
    json_t *subsets = json_array();
    for (size_t i = 0; i < p->n; i++) {
        size_t n = p->files[i].n;
        ste_compare(first[i], second[i], n, seed, &each[i]);
        names[i] = p->files[i].name;
        memcpy(all[0] + at, first[i], n * sizeof **all); /* shallow: nothing of it is freed here */
        memcpy(all[1] + at, second[i], n * sizeof **all);
        at += n;
        json_array_append_new(subsets, named(names[i], &each[i]));
    }
    ste_compare(all[0], all[1], total, seed, &c);
    /* Their verdicts of both orders together (an answer, or a tie), chance agreement taken off. */
    const double kappa = ste_kappa_between(all[0], all[1], total);
    if (!ste_to_stdout(json) && !ste_to_stdout(o->html)) {
        struct ste_buf table = STE_BUF_INIT;
        ste_comparison_table(names, each, p->n, &c, &table);
        printf("first:  %s\nsecond: %s\n\n%s", judges->items[0], judges->items[1], table.s);
        if (!isnan(kappa))
            printf("kappa between the judges %.3f\n", kappa);
        ste_buf_clear(&table);
    }
    ste_xfree(all[0]);
    ste_xfree(all[1]);
    ste_xfree(each);
    ste_xfree(names);
    json_t *out = json_object();
    json_object_set(out, "judges", provenance);
    json_object_set_new(out, "subsets", subsets);
    json_object_set_new(out, "all", named("all pairs", &c));
    json_object_set_new(out, "kappa_between", isnan(kappa) ? json_null() : json_real(kappa));
    int rc = json ? ste_write_json(json, json_incref(out), err) : 0;
    if (!rc && o->html) {
        struct ste_buf page = STE_BUF_INIT;
        json_t *differing = ste_differing_files(p, first, second);
        ste_page_compare(&page, out, differing);
        rc = ste_write_page(o->html, &page, err);
        json_decref(differing);
        ste_buf_clear(&page);
    }
    json_decref(out);
    return rc;
}

static int compare_run(void *options_, const struct ste_strings *words, struct ste_err *err)
{
    const struct options *o = options_;
    int rc = ste_judging_check(&o->f, err);
    if (!rc && o->judges.n != 2)
        rc = ste_err_set(err, STE_EUSAGE, "two judges are compared and %zu were given: --judge FIRST --judge SECOND",
                         o->judges.n);
    if (!rc && o->data.n == 0)
        rc = ste_err_set(err, STE_EUSAGE, "--data is missing; `ste help compare` shows the flags");
    if (!rc)
        rc = ste_to_stdout(o->json) && ste_to_stdout(o->html)
                 ? ste_err_set(err, STE_EUSAGE, STE_TWO_TO_STDOUT)
                 : ste_outputs_try((const char *const[]){o->json, o->html}, 2, err);
    const struct ste_pairs_params p = ste_judging_pairs(&o->f);
    struct ste_pair_files files = {0};
    struct ste_outcome **outcomes[2] = {NULL, NULL};
    json_t *provenance = json_array();
    if (!rc)
        rc = ste_pair_files_read(&files, &o->data, STE_PAIRS_LABELLED, &p, err);
    for (int i = 0; i < 2 && !rc; i++) {
        json_t *about = NULL;
        rc = judge_all(o->judges.items[i], i == 0, &o->f, &files, &outcomes[i], &about, err);
        if (about)
            json_array_append_new(provenance, about);
    }
    if (!rc && !o->f.dry)
        rc = report(&files, outcomes[0], outcomes[1], provenance, o, err);
    for (int i = 0; i < 2; i++)
        ste_outcome_arrays_free(outcomes[i], &files);
    json_decref(provenance);
    ste_pair_files_clear(&files);
    return rc;
}

STE_COMMAND(compare, "compare", "--judge FIRST --judge SECOND --data FILE... [flags]",
            "Compare two judges on the same labelled pairs.", options, 0, NULL, compare_run);
