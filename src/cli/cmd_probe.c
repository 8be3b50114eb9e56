#include <stdio.h>

#include "cli/running.h"
#include "core/file.h"
#include "core/mem.h"
#include "data/catalogue.h"
#include "report/page.h"
#include "report/report.h"

struct options {
    char *run, *html;
    bool json;
    struct ste_running_flags f;
};
/* clang-format off */
#define OPTIONS_OF struct options
static const struct ste_option options[] = {
    STE_STRING("run", run, NULL, "DIR", "the folder of the run that asks (default: runs/probe-MODEL)"),
    STE_BOOL("json", json, NULL, "print the report as JSON"),
    STE_STRING("html", html, NULL, "FILE", STE_HTML_HELP),
    STE_TABLE("", f, ste_running_options),
    {0},
};
/* clang-format on */

/* Pairs are made, checked and judged by the seed; what is missing of that. */
static int ask(struct ste_loop *l, struct ste_err *err)
{
    int rc = ste_loop_select(l, err);
    if (rc == 0)
        rc = ste_loop_pair(l, err);
    if (rc == 0)
        rc = ste_loop_check(l, err);
    return rc == 0 ? ste_loop_evaluate(l, 0, err) : rc;
}

static int probe(const char *model, const char *folder, const struct options *o, struct ste_err *err)
{
    struct ste_recipe r;
    struct ste_loop *l = NULL;
    struct ste_running_flags f = {.engine = o->f.engine};
    json_t *report = NULL;
    char *seed = ste_xasprintf("models.seed=%s", model), *path = NULL;
    ste_strings_add(&f.sets, seed);
    for (size_t i = 0; i < o->f.sets.n; i++)
        ste_strings_add(&f.sets, o->f.sets.items[i]);
    int rc = ste_outputs_try((const char *const[]){o->html}, 1, err);
    if (rc == 0 && o->json && ste_to_stdout(o->html))
        rc = ste_err_set(err, STE_EUSAGE, STE_TWO_TO_STDOUT);
    if (rc == 0)
        rc = ste_running_recipe(&r, "probe", &f, err);
    if (rc == 0)
        rc = ste_model_resolve(model, &path, err); /* before there is a folder */
    if (rc == 0)
        rc = ste_loop_open(&l, folder, &r, err);
    if (rc == 0)
        rc = ste_report_end(l->store, ask(l, err), &report, err);
    if (rc == 0)
        ste_report_forecast(report);
    struct ste_buf page = STE_BUF_INIT;
    if (rc == 0 && o->html)
        rc = ste_page_run(&page, folder, report, err);
    if (rc == 0 && o->html)
        rc = ste_write_page(o->html, &page, err);
    ste_buf_clear(&page);
    if (rc == 0 && o->json) {
        rc = ste_write_json("-", json_incref(report), err);
    } else if (rc == 0 && !ste_to_stdout(o->html)) {
        struct ste_buf text = STE_BUF_INIT;
        ste_report_text(report, &text);
        ste_report_forecast_text(report, model, &text);
        fputs(text.s, stdout);
        ste_buf_clear(&text);
    }
    json_decref(report);
    ste_loop_close(l);
    ste_recipe_clear(&r);
    ste_strings_clear(&f.sets);
    ste_xfree(seed);
    ste_xfree(path);
    return rc;
}

static int run_probe(void *options_, const struct ste_strings *words, struct ste_err *err)
{
    const struct options *o = options_;
    const char *model = words->items[0];
    char *folder = o->run ? ste_xstrdup(o->run) : ste_xasprintf("runs/probe-%s", ste_path_base(model));
    int rc = probe(model, folder, o, err);
    ste_xfree(folder);
    return rc;
}

STE_COMMAND(probe, "probe", "MODEL [--run DIR] [--set KEY=VALUE]... [flags]",
            "Say in minutes whether a model may teach itself to judge, and how.", options, 1,
            "a model, from `ste models` or a .gguf file", run_probe);
