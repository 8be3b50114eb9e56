#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "core/mem.h"

#define WIDTH 80

static void print_help(const struct ste_command *cmd)
{
    struct ste_buf out = STE_BUF_INIT;
    ste_buf_adds(&out, "Usage: ste ");
    ste_wrap(&out, cmd->usage, 11, 11, WIDTH);
    ste_buf_addc(&out, '\n');
    ste_wrap(&out, cmd->summary, 0, 0, WIDTH);
    ste_buf_addc(&out, '\n');
    ste_options_help(cmd->options, true, WIDTH, &out);
    ste_buf_adds(&out, "  --help                  this text\n");
    fputs(out.s, stdout);
    ste_buf_clear(&out);
}

/* NAME: WORD without its dashes, before its "=". */
static int unknown_flag(const struct ste_command *cmd, const char *word, const char *name, struct ste_err *err)
{
    struct ste_strings keys = {0};
    const int n = (int)strcspn(word, "=");
    ste_options_keys(cmd->options, true, &keys);
    ste_strings_add(&keys, "help");
    ste_strings_add(&keys, NULL);
    const char *near = *name ? ste_nearest(name, (const char *const *)keys.items) : NULL;
    if (near)
        ste_err_set(err, STE_EUSAGE, "%s: there is no flag %.*s; did you mean %s%s?", cmd->name, n, word,
                    near[1] ? "--" : "-", near);
    else
        ste_err_set(err, STE_EUSAGE, "%s: there is no flag %.*s; `ste %s --help` lists them", cmd->name, n, word,
                    cmd->name);
    ste_strings_clear(&keys);
    return STE_EUSAGE;
}

static bool is_flag(const char *word)
{
    return word[0] == '-' && word[1];
}

struct parsing {
    const struct ste_command *cmd;
    void *options;
    struct ste_strings given; /* lists that have an item from here: the first one takes the place of the default */
    int argc;
    char **argv;
    int i; /* the word that is read */
};

static int put(struct parsing *p, const struct ste_option *o, const char *key, const char *value, struct ste_err *err)
{
    const char *word = p->argv[p->i];
    const bool list = o->kind == STE_OPT_LIST || o->kind == STE_OPT_WORDS;
    const size_t before = p->given.n;
    const bool add = list && ste_strings_place(&p->given, key) < before;
    char *name = ste_xasprintf("%s: %.*s", p->cmd->name, (int)strcspn(word, "="), word);
    int rc = ste_options_put(p->cmd->options, p->options, key, name, value, add, err);
    ste_xfree(name);
    return rc;
}

/* The values of the flag at P->i, which is option O: behind its "=", or the words that follow. */
static int take_values(struct parsing *p, const struct ste_option *o, const char *key, struct ste_err *err)
{
    const char *word = p->argv[p->i], *equal = strchr(word, '=');
    if (equal || o->kind == STE_OPT_BOOL)
        return put(p, o, key, equal ? equal + 1 : "true", err);
    const bool list = o->kind == STE_OPT_LIST || o->kind == STE_OPT_WORDS;
    int n = 0, rc = 0;
    while (!rc && p->i + n + 1 < p->argc && (list ? !is_flag(p->argv[p->i + n + 1]) : n == 0))
        rc = put(p, o, key, p->argv[p->i + ++n], err);
    p->i += n;
    if (!n)
        return ste_err_set(err, STE_EUSAGE, "%s: %s needs a value (%s)", p->cmd->name, word,
                           o->value ? o->value : "VALUE");
    return rc;
}

static int take_flag(struct parsing *p, struct ste_err *err)
{
    const char *word = p->argv[p->i], *name = word + (word[1] == '-' ? 2 : 1);
    const size_t n = strcspn(name, "=");
    char *flag = ste_xstrndup(name, n), *key = ste_xstrdup(flag);
    for (char *c = key; *c; c++)
        *c = *c == '-' ? '_' : *c;
    const struct ste_option *o = ste_options_find(p->cmd->options, key);
    /* "-name" with one dash is no way to write a long flag */
    int rc = !o || (word[1] != '-' && n != 1) ? unknown_flag(p->cmd, word, flag, err) : take_values(p, o, key, err);
    ste_xfree(flag);
    ste_xfree(key);
    return rc;
}

static int parse(struct parsing *p, struct ste_strings *words, struct ste_err *err)
{
    bool words_only = false;
    int rc = 0;
    for (p->i = 1; p->i < p->argc && !rc; p->i++) {
        const char *word = p->argv[p->i];
        if (!words_only && strcmp(word, "--") == 0)
            words_only = true;
        else if (!words_only && is_flag(word))
            rc = take_flag(p, err);
        else if (words->n >= p->cmd->words && strchr(word, '=') && ste_options_find(p->cmd->options, "set"))
            rc = ste_err_set(err, STE_EUSAGE, "%s: \"%s\" is one word too many; did you mean --set %s?", p->cmd->name,
                             word, word);
        else if (words->n >= p->cmd->words)
            rc = ste_err_set(err, STE_EUSAGE, "%s: \"%s\" is one word too many; `ste %s --help` shows the usage",
                             p->cmd->name, word, p->cmd->name);
        else
            ste_strings_add(words, word);
    }
    return rc;
}

int ste_command_run(const struct ste_command *cmd, int argc, char **argv, struct ste_err *err)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            print_help(cmd);
            return 0;
        }
    struct parsing p = {.cmd = cmd, .options = ste_xcalloc(1, cmd->size + 1), .argc = argc, .argv = argv};
    struct ste_strings words = {0};
    ste_options_init(cmd->options, p.options);
    int rc = parse(&p, &words, err);
    if (!rc && cmd->needs && !words.n)
        rc = ste_err_set(err, STE_EUSAGE, "%s: name %s", cmd->name, cmd->needs);
    if (!rc)
        rc = cmd->run(p.options, &words, err);
    ste_options_clear(cmd->options, p.options);
    ste_strings_clear(&p.given);
    ste_strings_clear(&words);
    ste_xfree(p.options);
    return rc;
}
