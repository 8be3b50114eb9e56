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

struct ste_command {
    const char *name;
    const char *usage;                /* "eval --judge JUDGE --data FILE... [flags]" */
    const char *summary;              /* one line */
    const struct ste_option *options; /* its flags: key "top_p" is --top-p, "n" is -n */
    size_t size;                      /* of the struct that they are fields of */
    size_t words;                     /* how many words that are no flags it takes */
    const char *needs;                /* what the one that must be there is; NULL: none need be */
    /* OPTIONS is that struct, set by the flags; it is cleared behind the call. */
    int (*run)(void *options, const struct ste_strings *words, struct ste_err *err);
};
/* Its definition, in a file that #defines OPTIONS_OF as the struct of its flags. USAGE goes without the name. */
#define STE_COMMAND(symbol, name, usage, summary, table, words, needs, run)                                            \
    const struct ste_command ste_cmd_##symbol = {name,  name " " usage, summary, table, sizeof(OPTIONS_OF),            \
                                                 words, needs,          run}

void ste_program_context(void); /* context.c: the environment, Ctrl-C, the terminal */
void ste_catch_signals(void);   /* SIGINT, SIGTERM and SIGUSR1, from here on */
int ste_stopped_code(void);     /* the exit code of work that a signal stopped */

/* Parses the flags and runs CMD, or prints its help; argv[0] is its name. */
int ste_command_run(const struct ste_command *cmd, int argc, char **argv, struct ste_err *err);

/* The I-th command in the order of `ste help`, and the group under which it stands there (GROUP may be NULL); NULL:
 * there are no more. */
const struct ste_command *ste_command_at(size_t i, const char **group);
const struct ste_command *ste_command_find(const char *name); /* NULL: there is none */

/* The commands in the order of `ste help`: C(symbol behind ste_cmd_, group). */
#define STE_COMMANDS(C)                                                                                                \
    C(probe, "Train a judge")                                                                                          \
    C(run, "Train a judge")                                                                                            \
    C(sweep, "Train a judge")                                                                                          \
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
    C(serve, "Use and measure a judge")                                                                                \
    C(runs, "Look into a run")                                                                                         \
    C(report, "Look into a run")                                                                                       \
    C(dump, "Look into a run")                                                                                         \
    C(export, "Look into a run")                                                                                       \
    C(models, "Models")                                                                                                \
    C(convert, "Models")                                                                                               \
    C(pull, "Models")                                                                                                  \
    C(generate, "Models")                                                                                              \
    C(sft, "Models")                                                                                                   \
    C(dpo, "Models")                                                                                                   \
    C(tokenize, "Models")                                                                                              \
    C(logits, "Models")                                                                                                \
    C(bench, "Models")                                                                                                 \
    C(doctor, "This machine")                                                                                          \
    C(cache, "This machine")                                                                                           \
    C(completion, "This machine")                                                                                      \
    C(man, "This machine")

/* Opens /dev/null for each of the descriptors 0, 1 and 2 that is closed (cron, daemons): a file that is opened later
 * would take its number, and with it what is meant for the standard error. */
int ste_standard_descriptors(struct ste_err *err);
/* Before the work: whether each of PATHS (NULL: left out) can be written. "-" is the standard output. */
int ste_outputs_try(const char *const *paths, size_t n, struct ste_err *err);
/* J as text to the file PATH, or to the standard output where PATH is "-", as ste_result_write. Takes the reference. */
int ste_write_json(const char *path, json_t *j, struct ste_err *err);
/* The same of a page of HTML. */
int ste_write_page(const char *path, const struct ste_buf *page, struct ste_err *err);
#define STE_HTML_HELP "also write them as one page of HTML (- is the standard output)"
#define STE_TWO_TO_STDOUT "--json - and --html - both go to the standard output; give one of them a file"
/* Whether PATH (NULL: none) is the standard output, where nothing else may then be printed. */
static inline bool ste_to_stdout(const char *path)
{
    return path && path[0] == '-' && !path[1];
}
/* Where time went, and a line before it; nothing where the profile is off. */
void ste_print_profile(FILE *out);

#define STE_COMMAND_DECLARE(name, group) extern const struct ste_command ste_cmd_##name;
STE_COMMANDS(STE_COMMAND_DECLARE)
#undef STE_COMMAND_DECLARE

#endif
