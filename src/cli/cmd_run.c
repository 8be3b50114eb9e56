#include <stdio.h>
#include <stdlib.h>

#include "cli/running.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/profile.h"
#include "report/report.h"

static int dry_run(const struct ste_recipe *r, struct ste_err *err)
{
    struct ste_buf text = STE_BUF_INIT;
    int rc = ste_loop_estimate(r, &text, err);
    if (rc == 0)
        fputs(text.s, stdout);
    ste_buf_clear(&text);
    return rc;
}

/* The report is written whatever ended the run: a threshold that was not met is explained by it. */
static int finish(struct ste_loop *l, const char *dir, int rc, bool json, struct ste_err *err)
{
    json_t *report = NULL;
    struct ste_err second = {0};
    int wrote = ste_report_write(l->store, &report, rc == 0 ? err : &second);
    if (rc == 0 && wrote != 0)
        return wrote;
    if (rc == 0 && json) {
        json_dumpf(report, stdout, JSON_INDENT(2) | JSON_SORT_KEYS | JSON_REAL_PRECISION(6));
        putchar('\n');
    } else if (rc == 0) {
        struct ste_buf text = STE_BUF_INIT;
        ste_report_text(report, &text);
        printf("\n%s", text.s);
        printf("The run is in %s: its newest judge is `--judge %s`, its report %s/report.json\n", dir, dir, dir);
        ste_buf_clear(&text);
    }
    json_decref(report);
    return rc;
}

static int run_run(int argc, char **argv, struct ste_err *err)
{
    const char *dir = NULL;
    struct ste_strings sets = {0}, words = {0};
    struct ste_llm_params engine = {0};
    bool dry = false, json = false, profile = false;
    const struct ste_flag flags[] = {
        {"run", STE_FLAG_STRING, &dir, "DIR", "the run's folder (default: runs/RECIPE)"},
        {"set", STE_FLAG_LIST, &sets, "KEY=VALUE", "an option of the recipe; `ste help recipe` lists them"},
        {"dry-run", STE_FLAG_BOOL, &dry, NULL, "say what would run: calls, tokens, time"},
        {"json", STE_FLAG_BOOL, &json, NULL, "print the report as JSON"},
        {"profile", STE_FLAG_BOOL, &profile, NULL,
         "say at the end where time went: steps, kinds of work, tokens a second"},
        STE_ENGINE_FLAGS(engine),
        {0},
    };
    struct ste_recipe r;
    struct ste_loop *l = NULL;
    char *folder = NULL;
    ste_recipe_init(&r);
    int rc = ste_flags_parse(&ste_cmd_run, flags, argc, argv, &words, 1, err);
    if (rc == 0 && words.n != 1)
        rc = ste_err_set(err, STE_EUSAGE, "run: name a recipe: demo, small, paper or a path to a YAML file");
    if (rc == 0) {
        ste_recipe_clear(&r);
        rc = ste_running_recipe(&r, words.items[0], &sets, &engine, err);
        folder = dir ? ste_xstrdup(dir) : ste_recipe_run_folder(words.items[0]);
    }
    if (rc == 0 && profile)
        ste_profile_start();
    if (rc == 0 && dry) {
        rc = dry_run(&r, err);
    } else if (rc == 0) {
        rc = ste_loop_open(&l, folder, &r, err);
        if (rc == 0) {
            ste_info("run %s in %s", words.items[0], folder);
            rc = finish(l, folder, ste_loop_run(l, err), json, err);
            ste_print_profile(stderr); /* the report may be JSON; of a run that failed too */
        }
    }
    ste_loop_close(l);
    free(folder);
    ste_recipe_clear(&r);
    ste_strings_clear(&sets);
    ste_strings_clear(&words);
    return rc < 0 ? rc : 0;
}

const struct ste_command ste_cmd_run = {"run", "run RECIPE [--run DIR] [--set KEY=VALUE]... [--dry-run] [flags]",
                                        "Train a judge by a recipe, or go on with a run.", run_run};
