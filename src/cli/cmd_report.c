#include "cli/running.h"
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
    int rc = ste_report_read(&report, words->items[0], err);
    if (rc == 0)
        ste_running_print(report, o->json);
    json_decref(report);
    return rc;
}

STE_COMMAND(report, "report", "RUN [--json]", "Show what a run did and how good its judges are.", options, 1,
            "the run's folder", report_run);
