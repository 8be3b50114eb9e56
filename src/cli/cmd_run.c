#include <stdio.h>

#include "cli/running.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/profile.h"
#include "report/report.h"

struct options {
    char *run;
    bool dry, json, profile;
    struct ste_running_flags f;
};
/* clang-format off */
#define OPTIONS_OF struct options
static const struct ste_option options[] = {
    STE_STRING("run", run, NULL, "DIR", "the run's folder (default: runs/RECIPE)"),
    STE_BOOL("dry_run", dry, NULL, "say what would run: calls, tokens, time"),
    STE_BOOL("json", json, NULL, "print the report as JSON"),
    STE_BOOL("profile", profile, NULL, "say at the end where time went: steps, kinds of work, tokens a second"),
    STE_TABLE("", f, ste_running_options),
    {0},
};
/* clang-format on */

static int dry_run(const struct ste_recipe *r, struct ste_err *err)
{
    struct ste_buf text = STE_BUF_INIT;
    int rc = ste_loop_estimate(r, &text, err);
    if (rc == 0)
        fputs(text.s, stdout);
    ste_buf_clear(&text);
    return rc;
}

static int finish(struct ste_loop *l, const char *dir, int rc, bool json, struct ste_err *err)
{
    json_t *report = NULL;
    rc = ste_report_end(l->store, rc, &report, err);
    if (rc == 0 && !json)
        putchar('\n');
    if (rc == 0)
        ste_running_print(report, json);
    if (rc == 0 && !json)
        printf("The run is in %s: its newest judge is `--judge %s`, its report %s/report.json\n", dir, dir, dir);
    json_decref(report);
    return rc;
}

static int run_run(void *options_, const struct ste_strings *words, struct ste_err *err)
{
    const struct options *o = options_;
    struct ste_recipe r;
    struct ste_loop *l = NULL;
    char *folder = o->run ? ste_xstrdup(o->run) : ste_recipe_run_folder(words->items[0]);
    int rc = ste_running_recipe(&r, words->items[0], &o->f, err);
    if (rc == 0 && o->profile)
        ste_profile_start();
    if (rc == 0 && o->dry) {
        rc = dry_run(&r, err);
    } else if (rc == 0) {
        rc = ste_loop_open(&l, folder, &r, err);
        if (rc == 0) {
            ste_info("run %s in %s", words->items[0], folder);
            rc = finish(l, folder, ste_loop_run(l, err), o->json, err);
            ste_print_profile(stderr); /* the report may be JSON; of a run that failed too */
        }
    }
    ste_loop_close(l);
    ste_xfree(folder);
    ste_recipe_clear(&r);
    return rc;
}

STE_COMMAND(run, "run", "RECIPE [--run DIR] [--set KEY=VALUE]... [--dry-run] [flags]",
            "Train a judge by a recipe, or go on with a run.", options, 1,
            "a recipe: demo, small, paper or a path to a YAML file", run_run);
