#include <stdlib.h>
#include <string.h>

#include "cli/running.h"
#include "core/json.h"
#include "core/log.h"
#include "core/mem.h"
#include "data/catalogue.h"
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
    struct ste_store *s = NULL;
    struct ste_buf command = STE_BUF_INIT;
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
        rc = ste_store_open(&s, words.items[0], 0, 1, err);
    if (rc == 0)
        rc = pairs ? ste_export_pairs(s, out, &n, err) : ste_export_sft(s, (int)iteration, out, &n, &command, err);
    if (rc == 0)
        ste_info("%zu rows to %s", n, out);
    if (rc == 0 && command.len)
        ste_info("as the run trains them: %s", command.s);
    ste_buf_clear(&command);
    ste_store_close(s);
    ste_strings_clear(&words);
    return rc < 0 ? rc : 0;
}

const struct ste_command ste_cmd_export = {"export", "export RUN [--what sft|pairs] [--iteration N] [--out FILE]",
                                           "Write a run's training examples or pairs as JSONL.", export_run};
