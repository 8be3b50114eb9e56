/*
 * The command line. One file a subcommand: it parses its flags, calls the floors below, prints. Each
 * is an entry of the table in main.c.
 */
#ifndef STE_CLI_CLI_H
#define STE_CLI_CLI_H

#include <stdbool.h>

#include "core/err.h"
#include "core/options.h"

enum ste_flag_kind { STE_FLAG_BOOL, STE_FLAG_STRING, STE_FLAG_INT, STE_FLAG_REAL, STE_FLAG_LIST };

/* "--name VALUE", "--name=VALUE"; a LIST flag takes every following word that is not a flag and may be
 * given again. TARGET: bool, char const *, long long, double or struct ste_strings. */
struct ste_flag {
    const char *name; /* without the dashes; "n" alone is also "-n" */
    enum ste_flag_kind kind;
    void *target;
    const char *value_name; /* for --help: "FILE" */
    const char *help;
};

struct ste_command {
    const char *name;
    const char *usage;                                      /* "eval --judge JUDGE --data FILE... [flags]" */
    const char *summary;                                    /* one line */
    int (*run)(int argc, char **argv, struct ste_err *err); /* argv[0] is the command's name */
};

/* Parses into the targets; words that are no flags go to WORDS (at most MAX_WORDS, else STE_EUSAGE).
 * --help prints and returns 1: the command then returns 0. FLAGS ends with a NULL name. */
int ste_flags_parse(const struct ste_command *cmd, const struct ste_flag *flags, int argc, char **argv,
                    struct ste_strings *words, int max_words, struct ste_err *err);

/* Flags that every command that runs a model takes: --threads N, --batch N, --ctx N, --activations, --isa. They
 * stand in one struct and one macro, so that they are the same everywhere. */
struct ste_engine_flags {
    long long threads, batch, ctx;
    const char *isa;
    const char *activations;
};
#define STE_ENGINE_FLAGS(f)                                                                                            \
    {"threads", STE_FLAG_INT, &(f).threads, "N", "threads (default: one a core); speed only"},                         \
        {"batch", STE_FLAG_INT, &(f).batch, "N", "sequences in flight at once (default 32); speed only"},              \
        {"ctx", STE_FLAG_INT, &(f).ctx, "N", "context in tokens (default: the model's, at most 8192)"},                \
        {"isa", STE_FLAG_STRING, &(f).isa, "NAME", "force an instruction set: avx512, avx2, portable"},                \
    {                                                                                                                  \
        "activations", STE_FLAG_STRING, &(f).activations, "f32|int8", "activation precision (default f32)"             \
    }

extern const struct ste_command ste_cmd_pull, ste_cmd_models, ste_cmd_tokenize, ste_cmd_generate, ste_cmd_judge,
    ste_cmd_eval, ste_cmd_run, ste_cmd_select, ste_cmd_pair, ste_cmd_judge_step, ste_cmd_filter, ste_cmd_train,
    ste_cmd_iterate, ste_cmd_report, ste_cmd_dump, ste_cmd_export, ste_cmd_bench, ste_cmd_logits, ste_cmd_compare;

#endif
