#include <stdio.h>

#include "cli/cli.h"
#include "report/report.h"

static int print_line(void *arg, const char *json, struct ste_err *err)
{
    return puts(json) < 0 ? ste_err_errno(err, "cannot write the standard output") : 0;
}

static int dump_run(int argc, char **argv, struct ste_err *err)
{
    struct ste_strings words = {0};
    const struct ste_flag flags[] = {{0}};
    int rc = ste_flags_parse(&ste_cmd_dump, flags, argc, argv, &words, 1, err);
    if (rc == 0 && words.n != 1)
        rc = ste_err_set(err, STE_EUSAGE, "dump: name the run's folder");
    if (rc == 0)
        rc = ste_report_dump(words.items[0], print_line, NULL, err);
    ste_strings_clear(&words);
    return rc < 0 ? rc : 0;
}

const struct ste_command ste_cmd_dump = {"dump", "dump RUN", "Print every row of a run as JSON lines.", dump_run};
