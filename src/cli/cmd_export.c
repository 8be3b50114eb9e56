#include <string.h>

#include "cli/cli.h"
#include "core/file.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/strings.h"
#include "loop/export.h"

struct options {
    enum ste_export what;
    char *out, *type, *base;
    long long iteration;
};
/* clang-format off */
#define OPTIONS_OF struct options
static const struct ste_option options[] = {
    STE_CHOICE("what", what, "sft", STE_NAMES("sft", "preferences", "pairs", "model"),
               "training examples (prompt, completion), of a run with train.objective dpo the judgments that it prefers "
               "(prompt, chosen, rejected), its pairs of answers (prompt, chosen, rejected), or the model that it "
               "trained, adapter and base in one"),
    STE_INT("iteration", iteration, "0", 0, STE_LARGE, "of this iteration; 0: of the last that has any"),
    STE_STRING("out", out, "-", "FILE",
               "JSONL to write, - is the standard output; of a model a .gguf file, or a folder of Hugging Face's"),
    STE_STRING("type", type, NULL, "TYPE",
               "of a model's weights: F32, F16, BF16, Q8_0, Q4_K_M and the like (default: the base's, F16 of a "
               "quantized one)"),
    STE_STRING("base", base, NULL, "MODEL", "what an adapter's folder is for, in place of the base that it names"),
    {0},
};
/* clang-format on */

static int export_model(const struct options *o, const char *judge, struct ste_err *err)
{
    struct ste_buf said = STE_BUF_INIT;
    char *of = o->iteration ? ste_xasprintf("%s:%lld", judge, o->iteration) : ste_xstrdup(judge);
    const struct ste_export_model x = {.judge = of, .base = o->base, .type = o->type, .out = o->out};
    int rc = strcmp(o->out, "-") == 0       ? ste_err_set(err, STE_EUSAGE, "a model needs --out FILE.gguf")
             : ste_ends_in(o->out, ".gguf") ? ste_file_try(o->out, err)
                                            : ste_folder_try(o->out, err);
    if (rc == 0)
        rc = ste_export_model(&x, &said, err);
    if (rc == 0)
        ste_info("%s", said.s);
    ste_buf_clear(&said);
    ste_xfree(of);
    return rc;
}

static int export_run(void *options_, const struct ste_strings *words, struct ste_err *err)
{
    const struct options *o = options_;
    if (o->what == STE_EXPORT_MODEL)
        return export_model(o, words->items[0], err);
    if (o->type || o->base)
        return ste_err_set(err, STE_EUSAGE, "--type and --base are for --what model");
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

STE_COMMAND(export, "export", "RUN [--what sft|preferences|pairs|model] [--iteration N] [--out FILE]",
            "Write a run's training examples or pairs as JSONL, or its model.", options, 1,
            "the run's folder; with --what model also an adapter's", export_run);
