#include <stdio.h>

#include "cli/cli.h"
#include "report/report.h"

static int report_run(int argc, char **argv, struct ste_err *err)
{
    bool json = false;
    struct ste_strings words = {0};
    const struct ste_flag flags[] = {{"json", STE_FLAG_BOOL, &json, NULL, "as JSON"}, {0}};
    json_t *report = NULL;
    int rc = ste_flags_parse(&ste_cmd_report, flags, argc, argv, &words, 1, err);
    if (rc == 0 && words.n != 1)
        rc = ste_err_set(err, STE_EUSAGE, "report: name the run's folder");
    if (rc == 0)
        rc = ste_report_read(&report, words.items[0], err);
    if (rc == 0 && json) {
        json_dumpf(report, stdout, JSON_INDENT(2) | JSON_SORT_KEYS | JSON_REAL_PRECISION(6));
        putchar('\n');
    } else if (rc == 0) {
        struct ste_buf text = STE_BUF_INIT;
        ste_report_text(report, &text);
        fputs(text.s, stdout);
        ste_buf_clear(&text);
    }
    json_decref(report);
    ste_strings_clear(&words);
    return rc < 0 ? rc : 0;
}

const struct ste_command ste_cmd_report = {"report", "report RUN [--json]",
                                           "Show what a run did and how good its judges are.", report_run};
