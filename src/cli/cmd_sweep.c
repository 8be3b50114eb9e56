#include <stdio.h>

#include "cli/running.h"
#include "core/mem.h"
#include "data/embedded.h"
#include "report/page.h"
#include "report/sweep.h"

struct options {
    char *out, *json, *html;
    bool dry;
    struct ste_sweep_options sweep;
    struct ste_llm_params engine;
};
/* clang-format off */
#define OPTIONS_OF struct options
static const struct ste_option options[] = {
    STE_STRING("out", out, NULL, "FOLDER", "the sweep's folder (default: sweeps/NAME)"),
    STE_WORDS("grid", sweep.grid, "KEY=VALUE,VALUE",
           "an option of the recipe with its values; of several every combination is a point; a value that "
           "holds commas stands in brackets, braces or quotes: 'pair.kinds={modify: 2, other: 1},{other: 1}'"),
    STE_LIST("seeds", sweep.seeds, NULL, "N", "a run of each point with each of them (default: the recipe's one)"),
    STE_WORDS("set", sweep.sets, "KEY=VALUE", "an option of the recipe, for all runs"),
    STE_LIST("data", sweep.data, NULL, "FILE", "labelled pairs that every judge is scored on, in place of eval.files"),
    STE_INT("sample", sweep.sample, "0", 0, STE_LARGE, "score N rows of each of them, drawn by the first seed; 0: all"),
    STE_BOOL("dry_run", dry, NULL, "say which runs there would be, and what they share"),
    STE_STRING("json", json, NULL, "OUT", "write the figures as JSON (- is the standard output)"),
    STE_STRING("html", html, NULL, "FILE", STE_HTML_HELP),
    STE_TABLE("", engine, ste_llm_options),
    {0},
};
/* clang-format on */

static void print(const json_t *report)
{
    struct ste_buf text = STE_BUF_INIT;
    ste_sweep_text(report, &text);
    fputs(text.s, stdout);
    ste_buf_clear(&text);
}

static int sweep_run(void *options_, const struct ste_strings *words, struct ste_err *err)
{
    const struct options *o = options_;
    char *stem = ste_yaml_stem(words->items[0]),
         *folder = o->out ? ste_xstrdup(o->out) : ste_xasprintf("sweeps/%s", stem);
    struct ste_sweep *s = NULL;
    json_t *report = NULL;
    int rc = ste_outputs_try((const char *const[]){o->json, o->html}, 2, err);
    if (rc == 0)
        rc = ste_sweep_plan(&s, words->items[0], folder, &o->sweep, err);
    for (size_t i = 0; rc == 0 && i < s->n_points; i++)
        ste_running_engine(&s->points[i].recipe.engine, &o->engine);
    if (rc == 0 && o->dry) {
        struct ste_buf text = STE_BUF_INIT;
        ste_sweep_plan_text(s, &text);
        fputs(text.s, stdout);
        ste_buf_clear(&text);
    } else if (rc == 0) {
        rc = ste_sweep_run(s, &report, err);
    }
    if (report && !ste_to_stdout(o->json) && !ste_to_stdout(o->html)) {
        print(report);
        printf("The runs are in %s, the figures in %s/" STE_SWEEP_REPORT "\n", folder, folder);
    }
    if (report && o->json) {
        struct ste_err late = {0};
        const int wrote = ste_write_json(o->json, json_incref(report), &late);
        rc = wrote ? ste_err_pass(err, &late, rc) : rc;
    }
    if (report && o->html) {
        struct ste_err late = {0};
        struct ste_buf page = STE_BUF_INIT;
        ste_page_sweep(&page, report);
        const int wrote = ste_write_page(o->html, &page, &late);
        rc = wrote ? ste_err_pass(err, &late, rc) : rc;
        ste_buf_clear(&page);
    }
    json_decref(report);
    ste_sweep_free(s);
    ste_xfree(stem);
    ste_xfree(folder);
    return rc;
}

STE_COMMAND(sweep, "sweep",
            "RECIPE|FILE [--out FOLDER] [--grid KEY=VALUE,VALUE]... "
            "[--seeds N,N] [--set KEY=VALUE]... [--data FILE... [--sample N]] [flags]",
            "Train judges over a grid of options and seeds, and compare them.", options, 1,
            "a recipe, or the file of a sweep", sweep_run);
