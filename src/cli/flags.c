#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "core/buf.h"
#include "core/mem.h"

#define WIDTH 80
#define HELP_COLUMN 26

/* Words of TEXT from column AT on, broken before WIDTH, following lines at column INDENT. */
static void print_wrapped(const char *text, int at, int indent)
{
    bool first = true;
    while (*text) {
        int n = (int)strcspn(text, " ");
        if (!first && at + 1 + n >= WIDTH) {
            printf("\n%*s", indent, "");
            at = indent;
            first = true;
        }
        at += printf("%s%.*s", first ? "" : " ", n, text);
        first = false;
        text += n;
        text += strspn(text, " ");
    }
    putchar('\n');
}

static void print_flag(const struct ste_flag *f)
{
    struct ste_buf b = STE_BUF_INIT;
    ste_buf_addf(&b, "  %s%s", f->name[1] ? "--" : "-", f->name);
    if (f->kind != STE_FLAG_BOOL)
        ste_buf_addf(&b, " %s%s", f->value_name ? f->value_name : "VALUE", f->kind == STE_FLAG_LIST ? "..." : "");
    if (b.len + 2 > HELP_COLUMN)
        printf("%s\n%*s", b.s, HELP_COLUMN, "");
    else
        printf("%-*s", HELP_COLUMN, b.s);
    print_wrapped(f->help ? f->help : "", HELP_COLUMN, HELP_COLUMN);
    ste_buf_clear(&b);
}

static void print_help(const struct ste_command *cmd, const struct ste_flag *flags)
{
    static const struct ste_flag help = {"help", STE_FLAG_BOOL, NULL, NULL, "this text"};
    printf("Usage: ste ");
    print_wrapped(cmd->usage, 11, 11);
    putchar('\n');
    print_wrapped(cmd->summary, 0, 0);
    putchar('\n');
    for (; flags && flags->name; flags++)
        print_flag(flags);
    print_flag(&help);
}

static int unknown_flag(const struct ste_command *cmd, const struct ste_flag *flags, const char *given, size_t n,
                        struct ste_err *err)
{
    const char *names[128];
    size_t k = 0;
    for (; flags && flags->name && k < 126; flags++)
        names[k++] = flags->name;
    names[k++] = "help";
    names[k] = NULL;
    char *word = ste_xstrndup(given, n);
    char *bare = word + strspn(word, "-");
    const char *near = *bare ? ste_nearest(bare, names) : NULL;
    if (near)
        ste_err_set(err, STE_EUSAGE, "%s: there is no flag %s; did you mean %s%s?", cmd->name, word,
                    near[1] ? "--" : "-", near);
    else
        ste_err_set(err, STE_EUSAGE, "%s: there is no flag %s; `ste %s --help` lists them", cmd->name, word, cmd->name);
    free(word);
    return STE_EUSAGE;
}

static bool is_flag(const char *word)
{
    return word[0] == '-' && word[1];
}

static int set_flag(const struct ste_command *cmd, const struct ste_flag *f, const char *value, struct ste_err *err)
{
    char *end;
    const char *dashes = f->name[1] ? "--" : "-";
    switch (f->kind) {
    case STE_FLAG_STRING:
        *(const char **)f->target = value;
        return 0;
    case STE_FLAG_INT: {
        errno = 0;
        long long v = strtoll(value, &end, 10);
        if (end == value || *end || errno)
            return ste_err_set(err, STE_EUSAGE, "%s: %s%s takes a whole number, not \"%s\"", cmd->name, dashes, f->name,
                               value);
        *(long long *)f->target = v;
        return 0;
    }
    case STE_FLAG_REAL: {
        double v = strtod(value, &end);
        if (end == value || *end || !isfinite(v))
            return ste_err_set(err, STE_EUSAGE, "%s: %s%s takes a number, not \"%s\"", cmd->name, dashes, f->name,
                               value);
        *(double *)f->target = v;
        return 0;
    }
    case STE_FLAG_LIST:
        ste_strings_add(f->target, value);
        return 0;
    case STE_FLAG_BOOL:
        break;
    }
    bool yes = !strcmp(value, "true");
    if (!yes && strcmp(value, "false") != 0)
        return ste_err_set(err, STE_EUSAGE, "%s: %s%s stands alone or with =true or =false, not \"%s\"", cmd->name,
                           dashes, f->name, value);
    *(bool *)f->target = yes;
    return 0;
}

/* ARGV[*I] is a flag: sets it and moves *I to the last word it took. */
static int take_flag(const struct ste_command *cmd, const struct ste_flag *flags, int argc, char **argv, int *i,
                     struct ste_err *err)
{
    const char *word = argv[*i];
    const char *name = word + (word[1] == '-' ? 2 : 1);
    size_t n = strcspn(name, "=");
    const char *value = name[n] ? name + n + 1 : NULL;
    const struct ste_flag *f = flags;
    while (f && f->name && !(strlen(f->name) == n && strncmp(f->name, name, n) == 0))
        f++;
    /* "-name" with one dash is no way to write a long flag */
    if (!f || !f->name || (word[1] != '-' && n != 1))
        return unknown_flag(cmd, flags, word, strcspn(word, "="), err);
    if (f->kind == STE_FLAG_BOOL)
        return set_flag(cmd, f, value ? value : "true", err);
    if (f->kind == STE_FLAG_LIST && !value) {
        int before = *i;
        while (*i + 1 < argc && !is_flag(argv[*i + 1])) {
            int rc = set_flag(cmd, f, argv[++*i], err);
            if (rc)
                return rc;
        }
        if (*i > before)
            return 0;
    } else if (!value && *i + 1 < argc) {
        value = argv[++*i];
    }
    if (!value)
        return ste_err_set(err, STE_EUSAGE, "%s: %s needs a value (%s)", cmd->name, word,
                           f->value_name ? f->value_name : "VALUE");
    return set_flag(cmd, f, value, err);
}

int ste_flags_parse(const struct ste_command *cmd, const struct ste_flag *flags, int argc, char **argv,
                    struct ste_strings *words, int max_words, struct ste_err *err)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
            print_help(cmd, flags);
            return 1;
        }
    bool words_only = false;
    for (int i = 1; i < argc; i++) {
        if (!words_only && !strcmp(argv[i], "--")) {
            words_only = true;
        } else if (!words_only && is_flag(argv[i])) {
            int rc = take_flag(cmd, flags, argc, argv, &i, err);
            if (rc)
                return rc;
        } else if (!words || words->n >= (size_t)max_words) {
            return ste_err_set(err, STE_EUSAGE, "%s: \"%s\" is one word too many; `ste %s --help` shows the usage",
                               cmd->name, argv[i], cmd->name);
        } else {
            ste_strings_add(words, argv[i]);
        }
    }
    return 0;
}
