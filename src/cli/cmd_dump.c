#include <stdio.h>

#include "cli/cli.h"
#include "report/report.h"

static int print_line(void *arg, const char *json, struct ste_err *err)
{
    return puts(json) < 0 ? ste_err_errno(err, "cannot write the standard output") : 0;
}

static int dump_run(void *options_, const struct ste_strings *words, struct ste_err *err)
{
    return ste_report_dump(words->items[0], print_line, NULL, err);
}

#define OPTIONS_OF char /* none */
static const struct ste_option options[] = {{0}};
STE_COMMAND(dump, "dump", "RUN", "Print every row of a run as JSON lines.", options, 1, "the run's folder", dump_run);
