#include <stdio.h>

#include "cli/cli.h"
#include "report/report.h"

static int print_line(void *arg, const char *json, struct ste_err *err)
{
    return puts(json) < 0 ? ste_err_errno(err, "cannot write the standard output") : 0;
}

static int dump_run(void *options_, const struct ste_strings *words, struct ste_err *err)
{
    if (words->n != 1)
        return ste_err_set(err, STE_EUSAGE, "dump: name the run's folder");
    return ste_report_dump(words->items[0], print_line, NULL, err);
}

static const struct ste_option options[] = {{0}};
const struct ste_command ste_cmd_dump = {"dump", "dump RUN", "Print every row of a run as JSON lines.", options, 0,
                                         1,      dump_run};
