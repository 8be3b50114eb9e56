#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "core/log.h"
#include "loop/export.h"

static int export_run(int argc, char **argv, struct ste_err *err)
{
    const char *what = "sft", *out = "-";
    long long iteration = 0;
    struct ste_strings words = {0};
    const struct ste_flag flags[] = {
        {"what", STE_FLAG_STRING, &what, "sft|pairs",
         "training examples (prompt, completion) or pairs (prompt, chosen, rejected)"},
        {"iteration", STE_FLAG_INT, &iteration, "N", "examples of this iteration (default: the last)"},
        {"out", STE_FLAG_STRING, &out, "FILE", "JSONL to write (default: the standard output)"},
        {0},
    };
    size_t n = 0;
    int rc = ste_flags_parse(&ste_cmd_export, flags, argc, argv, &words, 1, err);
    if (rc == 0 && words.n != 1)
        rc = ste_err_set(err, STE_EUSAGE, "export: name the run's folder");
    bool pairs = strcmp(what, "pairs") == 0;
    if (rc == 0 && !pairs && strcmp(what, "sft") != 0)
        rc = ste_err_set(err, STE_EUSAGE, "export: --what is sft or pairs, not \"%s\"", what);
    if (rc == 0)
        rc = ste_outputs_try(&out, 1, err);
    if (rc == 0)
        rc = ste_export(words.items[0], pairs ? STE_EXPORT_PAIRS : STE_EXPORT_SFT, (int)iteration, out, &n, err);
    if (rc == 0)
        ste_info("%zu rows to %s", n, out);
    ste_strings_clear(&words);
    return rc < 0 ? rc : 0;
}

const struct ste_command ste_cmd_export = {"export", "export RUN [--what sft|pairs] [--iteration N] [--out FILE]",
                                           "Write a run's training examples or pairs as JSONL.", export_run};
