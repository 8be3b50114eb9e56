#include "cli/cli.h"
#include "core/log.h"
#include "loop/export.h"

struct options {
    enum ste_export what;
    char *out;
    long long iteration;
};
/* clang-format off */
#define OPTIONS_OF struct options
static const struct ste_option options[] = {
    STE_CHOICE("what", what, "sft", STE_NAMES("sft", "preferences", "pairs"),
               "training examples (prompt, completion), of a run with train.objective dpo the judgments that it prefers "
               "(prompt, chosen, rejected), or its pairs of answers (prompt, chosen, rejected)"),
    STE_INT("iteration", iteration, "0", 0, STE_LARGE, "examples of this iteration; 0: of the last that has any"),
    STE_STRING("out", out, "-", "FILE", "JSONL to write; - is the standard output"),
    {0},
};
/* clang-format on */

static int export_run(void *options_, const struct ste_strings *words, struct ste_err *err)
{
    const struct options *o = options_;
    struct ste_buf command = STE_BUF_INIT;
    size_t n = 0;
    int rc = ste_outputs_try((const char *const[]){o->out}, 1, err);
    if (rc == 0)
        rc = ste_export(words->items[0], o->what, (int)o->iteration, o->out, &n, &command, err);
    if (rc == 0)
        ste_info("%zu rows to %s", n, o->out);
    if (rc == 0 && command.len)
        ste_info("as the run trains them: %s", command.s);
    ste_buf_clear(&command);
    return rc;
}

STE_COMMAND(export, "export", "RUN [--what sft|preferences|pairs] [--iteration N] [--out FILE]",
            "Write a run's training examples or pairs as JSONL.", options, 1, "the run's folder", export_run);
