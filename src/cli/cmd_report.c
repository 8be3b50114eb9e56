#include <stdio.h>

#include "cli/cli.h"
#include "report/report.h"

struct options {
    bool json;
};
/* clang-format off */
#define OPTIONS_OF struct options
static const struct ste_option options[] = {
    STE_BOOL("json", json, NULL, "as JSON"),
    {0},
};
/* clang-format on */

static int report_run(void *options_, const struct ste_strings *words, struct ste_err *err)
{
    const struct options *o = options_;
    json_t *report = NULL;
    if (words->n != 1)
        return ste_err_set(err, STE_EUSAGE, "report: name the run's folder");
    int rc = ste_report_read(&report, words->items[0], err);
    if (rc == 0 && o->json) {
        json_dumpf(report, stdout, JSON_INDENT(2) | JSON_SORT_KEYS | JSON_REAL_PRECISION(6));
        putchar('\n');
    } else if (rc == 0) {
        struct ste_buf text = STE_BUF_INIT;
        ste_report_text(report, &text);
        fputs(text.s, stdout);
        ste_buf_clear(&text);
    }
    json_decref(report);
    return rc;
}

const struct ste_command ste_cmd_report = {
    "report",  "report RUN [--json]",  "Show what a run did and how good its judges are.",
    options,   sizeof(struct options), 1,
    report_run};
