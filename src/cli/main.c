/* The program: finds the command, runs it, prints its error as one sentence, gives the exit code. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "core/domain.h"
#include "library/features.h"
#include "loop/recipe.h"

static const struct entry {
    const struct ste_command *cmd;
    const char *group;
} entries[] = {
#define C(name, group) {&ste_cmd_##name, group},
    STE_COMMANDS(C)
#undef C
};
#define N_ENTRIES (sizeof entries / sizeof *entries)

const struct ste_command *ste_command_at(size_t i, const char **group)
{
    if (i < N_ENTRIES && group)
        *group = entries[i].group;
    return i < N_ENTRIES ? entries[i].cmd : NULL;
}

const struct ste_command *ste_command_find(const char *name)
{
    for (size_t i = 0; i < N_ENTRIES; i++)
        if (strcmp(entries[i].cmd->name, name) == 0)
            return entries[i].cmd;
    return NULL;
}

static void print_commands(void)
{
    const char *group = "";
    printf("ste trains an LLM judge with no human labels.\n\n"
           "Usage: ste COMMAND [...]\n");
    for (size_t i = 0; i < N_ENTRIES; i++) {
        if (strcmp(group, entries[i].group) != 0)
            printf("\n%s\n", entries[i].group);
        group = entries[i].group;
        printf("  %-11s %s\n", entries[i].cmd->name, entries[i].cmd->summary);
    }
    printf("\n`ste help COMMAND` says more; `ste help recipe` lists a recipe's options,\n"
           "`source <(ste completion bash)` teaches bash the commands and flags (zsh, fish).\n"
           "Exit codes: 0 done, 1 failed, 2 usage, 3 a threshold was not met; the same\n"
           "command goes on: 4 later, as another ste holds the run, 75 after TERM or\n"
           "USR1, 130 after Ctrl-C.\n");
}

static int unknown_command(const char *name, struct ste_err *err)
{
    const char *names[N_ENTRIES + 2] = {"help"};
    size_t n = 1;
    for (size_t i = 0; i < N_ENTRIES; i++)
        names[n++] = entries[i].cmd->name;
    const char *near = ste_nearest(name, names);
    if (near)
        return ste_err_set(err, STE_EUSAGE, "there is no command \"%s\"; did you mean \"ste %s\"?", name, near);
    return ste_err_set(err, STE_EUSAGE, "there is no command \"%s\"; `ste help` lists them", name);
}

static int help(int argc, char **argv, struct ste_err *err)
{
    if (argc < 2) {
        print_commands();
        return 0;
    }
    if (!strcmp(argv[1], "recipe")) {
        struct ste_buf b = STE_BUF_INIT;
        ste_options_help(ste_recipe_options, false, 80, &b);
        printf("A recipe is a YAML file; a key \"a.b\" stands there as b under a. Each can also\n"
               "be given as --set a.b=VALUE.\n\n%s",
               b.s);
        ste_buf_clear(&b);
        return 0;
    }
    const struct ste_command *cmd = ste_command_find(argv[1]);
    if (!cmd)
        return unknown_command(argv[1], err);
    char flag[] = "--help";
    char *args[] = {argv[1], flag, NULL};
    return ste_command_run(cmd, 2, args, err);
}

struct command_line {
    int argc;
    char **argv;
};

static int run(void *arg, struct ste_err *err)
{
    const int argc = ((struct command_line *)arg)->argc;
    char **argv = ((struct command_line *)arg)->argv;
    if (argc < 2) {
        print_commands();
        return ste_err_set(err, STE_EUSAGE, "a command is missing");
    }
    const char *name = argv[1];
    if (!strcmp(name, "--version") || !strcmp(name, "-V") || !strcmp(name, "-v") || !strcmp(name, "version")) {
        struct ste_buf text = STE_BUF_INIT;
        ste_features_text(&text);
        fputs(text.s, stdout);
        ste_buf_clear(&text);
        return 0;
    }
    if (!strcmp(name, "help") || !strcmp(name, "--help") || !strcmp(name, "-h"))
        return help(argc - 1, argv + 1, err);
    const struct ste_command *cmd = ste_command_find(name);
    if (!cmd)
        return unknown_command(name, err);
    ste_catch_signals();
    return ste_command_run(cmd, argc - 1, argv + 1, err);
}

static int exit_code(int rc)
{
    switch (rc) {
    case 0:
        return 0;
    case STE_EUSAGE:
        return 2;
    case STE_ETHRESHOLD:
        return 3;
    case STE_EBUSY:
        return 4;
    case STE_EINTERRUPTED:
        return ste_stopped_code();
    default:
        return 1;
    }
}

int main(int argc, char **argv)
{
    struct ste_err err = {0};
    ste_program_context();
    int rc = ste_standard_descriptors(&err);
    struct ste_domain *domain = ste_domain_of_process();
    if (!rc)
        rc = domain ? ste_domain_call(domain, run, &(struct command_line){argc, argv}, &err)
                    : ste_err_set(&err, STE_ENOMEM, "out of memory");
    ste_domain_free(domain);
    /* Output that could not be written (a full disk behind a redirection) is a failure too. */
    if ((fflush(stdout) || ferror(stdout)) && !rc)
        rc = ste_err_errno(&err, "cannot write the standard output");
    if (rc < 0)
        fprintf(stderr, "ste: %s\n", err.msg[0] ? err.msg : "failed, and nobody said why: that is a bug");
    return exit_code(rc < 0 ? rc : 0);
}
