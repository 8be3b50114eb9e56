#include "cli/running.h"
#include "report/page.h"
#include "report/report.h"

struct options {
    bool json;
    char *html;
};
/* clang-format off */
#define OPTIONS_OF struct options
static const struct ste_option options[] = {
    STE_BOOL("json", json, NULL, "as JSON"),
    STE_STRING("html", html, NULL, "FILE", "write it as one page of HTML instead (- is the standard output)"),
    {0},
};
/* clang-format on */

static int report_run(void *options_, const struct ste_strings *words, struct ste_err *err)
{
    const struct options *o = options_;
    const char *dir = words->items[0];
    json_t *report = NULL;
    struct ste_buf page = STE_BUF_INIT;
    int rc = ste_outputs_try((const char *const[]){o->html}, 1, err);
    if (rc == 0 && o->json && ste_to_stdout(o->html))
        rc = ste_err_set(err, STE_EUSAGE, STE_TWO_TO_STDOUT);
    if (rc == 0)
        rc = ste_report_read(&report, dir, err);
    if (rc == 0 && o->html)
        rc = ste_page_run(&page, dir, report, err);
    if (rc == 0 && (o->json || !o->html))
        ste_running_print(report, o->json);
    if (rc == 0 && o->html)
        rc = ste_write_page(o->html, &page, err);
    ste_buf_clear(&page);
    json_decref(report);
    return rc;
}

STE_COMMAND(report, "report", "RUN [--json] [--html FILE]", "Show what a run did and how good its judges are.", options,
            1, "the run's folder", report_run);
