/*
 * The command line. One file a subcommand: it parses its flags, calls the floors below, prints. Each
 * is an entry of the list at the end.
 */
#ifndef STE_CLI_CLI_H
#define STE_CLI_CLI_H

#include <stdbool.h>
#include <stdio.h>

#include "core/err.h"
#include "core/json.h"
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

void ste_program_context(void); /* context.c: the environment, Ctrl-C, the terminal */
void ste_catch_signals(void);   /* SIGINT and SIGTERM, from here on */

/* Parses into the targets; words that are no flags go to WORDS (at most MAX_WORDS, else STE_EUSAGE).
 * --help prints and returns 1: the command then returns 0. FLAGS ends with a NULL name. */
int ste_flags_parse(const struct ste_command *cmd, const struct ste_flag *flags, int argc, char **argv,
                    struct ste_strings *words, int max_words, struct ste_err *err);

/* Flags that every command that runs a model takes: --threads N, --batch N, --ctx N, --activations, --isa. The
 * fields are those of a struct ste_llm_params. */
#define STE_ENGINE_FLAGS(f)                                                                                            \
    {"threads", STE_FLAG_INT, &(f).threads, "N", "threads (default: one a core); speed only"},                         \
        {"batch", STE_FLAG_INT, &(f).batch, "N", "sequences in flight at once (default 64); speed only"},              \
        {"ctx", STE_FLAG_INT, &(f).ctx, "N", "context in tokens (default: the model's, at most 8192)"},                \
        {"isa", STE_FLAG_STRING, &(f).isa, "NAME", "force an instruction set: amx, avx512, avx-vnni, avx2, portable"}, \
    {                                                                                                                  \
        "activations", STE_FLAG_STRING, &(f).activations, "auto|int8-g128|int8-g64|int8|bf16|f32",                     \
            "how products round (default: bf16 with AMX tiles, int8-g128 with AVX-512 VNNI, else int8); f32 is exact"  \
    }

/* The commands in the order of `ste help`: C(symbol behind ste_cmd_, group). */
#define STE_COMMANDS(C)                                                                                                \
    C(run, "Train a judge")                                                                                            \
    C(select, "Train a judge, step by step")                                                                           \
    C(pair, "Train a judge, step by step")                                                                             \
    C(check, "Train a judge, step by step")                                                                            \
    C(judge_step, "Train a judge, step by step")                                                                       \
    C(filter, "Train a judge, step by step")                                                                           \
    C(train, "Train a judge, step by step")                                                                            \
    C(iterate, "Train a judge, step by step")                                                                          \
    C(train_rm, "Train a judge, step by step")                                                                         \
    C(judge, "Use and measure a judge")                                                                                \
    C(score, "Use and measure a judge")                                                                                \
    C(eval, "Use and measure a judge")                                                                                 \
    C(rank, "Use and measure a judge")                                                                                 \
    C(compare, "Use and measure a judge")                                                                              \
    C(report, "Look into a run")                                                                                       \
    C(dump, "Look into a run")                                                                                         \
    C(export, "Look into a run")                                                                                       \
    C(models, "Models")                                                                                                \
    C(pull, "Models")                                                                                                  \
    C(generate, "Models")                                                                                              \
    C(sft, "Models")                                                                                                   \
    C(tokenize, "Models")                                                                                              \
    C(logits, "Models")                                                                                                \
    C(bench, "Models")

/* Opens /dev/null for each of the descriptors 0, 1 and 2 that is closed (cron, daemons): a file that is opened later
 * would take its number, and with it what is meant for the standard error. */
int ste_standard_descriptors(struct ste_err *err);
/* Before the work: whether each of PATHS (NULL: left out) can be written. "-" is the standard output. */
int ste_outputs_try(const char *const *paths, size_t n, struct ste_err *err);
/* J as text to the file PATH, or to the standard output where PATH is "-", as ste_result_write. Takes the reference. */
int ste_write_json(const char *path, json_t *j, struct ste_err *err);
/* Where time went, and a line before it; nothing where the profile is off. */
void ste_print_profile(FILE *out);

#define STE_COMMAND_DECLARE(name, group) extern const struct ste_command ste_cmd_##name;
STE_COMMANDS(STE_COMMAND_DECLARE)
#undef STE_COMMAND_DECLARE

#endif
