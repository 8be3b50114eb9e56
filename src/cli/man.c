/* `ste man` writes the manual's pages, in the man(7) language, from the tables that make --help. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "core/file.h"
#include "core/mem.h"
#include "library/features.h"
#include "loop/recipe.h"

/* TEXT as roff, `what stands so` in bold. AT_START: a dot or quote there would be a request. */
static void add_text(struct ste_buf *out, const char *text)
{
    bool bold = false, start = true;
    for (const char *c = text; *c; c++) {
        if (*c == '\n') {
            ste_buf_addc(out, '\n');
            start = true;
            continue;
        }
        if (start && (*c == '.' || *c == '\''))
            ste_buf_adds(out, "\\&");
        start = false;
        if (*c == '`') {
            bold = !bold;
            ste_buf_adds(out, bold ? "\\fB" : "\\fR");
        } else if (*c == '\\') {
            ste_buf_adds(out, "\\e");
        } else if (*c == '-') {
            ste_buf_adds(out, "\\-");
        } else if (*c == '|') {
            ste_buf_adds(out, "|\\:"); /* a line may break behind it */
        } else if (*c == '~') {
            ste_buf_adds(out, "\\(ti");
        } else if (*c == '^') {
            ste_buf_adds(out, "\\(ha");
        } else {
            ste_buf_addc(out, *c);
        }
    }
}

/* A sentence to a line, as man pages are written. */
static void add_paragraph(struct ste_buf *out, const char *text)
{
    add_text(out, text);
    ste_buf_addc(out, '\n');
}

static void add_item(struct ste_buf *out, const char *tag, const char *text)
{
    ste_buf_adds(out, ".TP\n\\fB");
    add_text(out, tag);
    ste_buf_adds(out, "\\fR\n");
    add_paragraph(out, text);
}

static void add_options(struct ste_buf *out, const struct ste_option *table, bool flags)
{
    struct ste_strings keys = {0};
    ste_options_keys(table, false, &keys);
    for (size_t i = 0; i < keys.n; i++) {
        const struct ste_option *o = ste_options_find(table, keys.items[i]);
        const bool list = o->kind == STE_OPT_LIST || o->kind == STE_OPT_WORDS || o->kind == STE_OPT_SHARES;
        struct ste_buf value = STE_BUF_INIT, text = STE_BUF_INIT;
        for (char *c = keys.items[i]; flags && *c; c++)
            *c = *c == '_' ? '-' : *c;
        ste_buf_adds(out, ".TP\n\\fB");
        if (flags)
            ste_buf_adds(out, keys.items[i][1] ? "\\-\\-" : "\\-");
        add_text(out, keys.items[i]);
        ste_buf_adds(out, "\\fR");
        if (!flags || o->kind != STE_OPT_BOOL) {
            ste_option_value(o, &value);
            ste_buf_adds(out, flags ? " \\fI" : " = \\fI");
            add_text(out, value.s);
            ste_buf_adds(out, flags && list ? "\\fR...\n" : "\\fR\n");
        } else {
            ste_buf_addc(out, '\n');
        }
        ste_option_text(o, flags, &text);
        add_paragraph(out, text.s);
        ste_buf_clear(&value);
        ste_buf_clear(&text);
    }
    ste_strings_clear(&keys);
}

/* NAME in upper case. */
static void add_head(struct ste_buf *out, const char *name, int section, const char *summary)
{
    ste_buf_adds(out, ".TH ");
    for (const char *c = name; *c; c++)
        ste_buf_addf(out, *c == '-' ? "\\-" : "%c", *c >= 'a' && *c <= 'z' ? *c - 'a' + 'A' : *c);
    ste_buf_addf(out, " %d \"%s\" \"ste %s\" \"ste manual\"\n.SH NAME\n", section, ste_date, STE_VERSION);
    add_text(out, name);
    ste_buf_adds(out, " \\- ");
    const size_t n = strlen(summary);
    char *text = ste_xstrndup(summary, n && summary[n - 1] == '.' ? n - 1 : n);
    add_paragraph(out, text);
    ste_xfree(text);
}

static const struct {
    const char *command, *line, *about;
} examples[] = {
    {"", "ste pull qwen2.5-coder-1.5b-instruct", "fetch a model"},
    {"", "ste doctor", "see what this machine can do, and what stands in the way"},
    {"", "ste probe qwen2.5-coder-1.5b-instruct", "ask in minutes whether it may teach itself to judge"},
    {"", "ste run small --run runs/mine", "train a judge; the same command goes on where it was stopped"},
    {"", "ste eval --judge runs/mine --data labelled.jsonl", "measure it on labelled pairs"},
    {"", "ste judge --judge runs/mine --in pairs.jsonl --out verdicts.jsonl", "use it"},
    {"probe", "ste probe qwen2.5-coder-1.5b-instruct", NULL},
    {"run", "ste run small --dry-run", "calls, tokens and time before any of it is spent"},
    {"run", "ste run my.yaml --run runs/mine --set judge.samples=15", NULL},
    {"sweep", "ste sweep small --grid train.lr=1e-4,3e-4 --seeds 1,2,3", NULL},
    {"judge", "ste judge --judge runs/mine --in pairs.jsonl --out verdicts.jsonl", NULL},
    {"judge", "producer | ste judge --judge runs/mine --in - --out -", "each pair is judged as it comes"},
    {"score", "ste score --judge runs/mine --in answers.jsonl --out scores.jsonl", NULL},
    {"eval", "ste eval --judge runs/mine --data labelled.jsonl", NULL},
    {"eval", "ste eval --judge likelihood:qwen2.5-coder-0.5b-instruct --data labelled.jsonl",
     "a judge without prompt and order"},
    {"rank", "ste rank --judge runs/mine --answers answers.jsonl", NULL},
    {"compare", "ste compare --judge runs/mine:0 --judge runs/mine --data labelled.jsonl", "what the training changed"},
    {"train-rm", "ste train-rm --model qwen2.5-coder-0.5b-instruct --in train.jsonl --out rm", NULL},
    {"export", "ste export runs/mine --what model --out judge.gguf", "base and adapter in one file"},
    {"models", "ste models --fits", "which of them this machine can judge with and train"},
    {"pull", "ste pull smollm2-135m-instruct HF:Qwen/Qwen3-4B", NULL},
    {"generate", "ste generate --model qwen2.5-coder-0.5b-instruct --chat \"Why is the sky blue?\" -n 4", NULL},
    {"completion", "source <(ste completion bash)", "in ~/.bashrc"},
    {"completion", "ste completion zsh >~/.zfunc/_ste", "in a folder of $fpath"},
    {"completion", "ste completion fish >~/.config/fish/completions/ste.fish", NULL},
    {"man", "ste man judge | man -l -", "read a page without installing it"},
    {"cache", "ste cache --prune --days 30 --gb 5", "what was not put in within a month goes, then the oldest"},
};

static void add_examples(struct ste_buf *out, const char *command)
{
    bool any = false;
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        if (strcmp(examples[i].command, command) != 0)
            continue;
        ste_buf_adds(out, any ? "" : ".SH EXAMPLES\n");
        any = true;
        add_item(out, examples[i].line, examples[i].about ? examples[i].about : "\\&");
    }
}

static void add_exit_status(struct ste_buf *out)
{
    ste_buf_adds(out, ".SH EXIT STATUS\n");
    add_item(out, "0", "Done.");
    add_item(out, "1", "It failed; one sentence on the standard error says why and what would help.");
    add_item(out, "2", "A wrong option or argument.");
    add_item(out, "3", "A threshold was not met.");
    add_item(out, "4", "Another ste holds the run; the same command goes on later.");
    add_item(out, "75", "Stopped by TERM or USR1; the same command goes on.");
    add_item(out, "130", "Stopped by Ctrl-C; the same command goes on.");
}

static void page_of_recipe(struct ste_buf *out)
{
    add_head(out, "ste-recipe", 5, "the options of a recipe");
    ste_buf_adds(out, ".SH DESCRIPTION\n");
    add_paragraph(out,
                  "A recipe is a YAML file, whose options `ste run` goes by. A key \"a.b\" stands there as b under "
                  "a, and can also be given as `--set a.b=VALUE`.");
    ste_buf_adds(out, ".SH OPTIONS\n");
    add_options(out, ste_recipe_options, false);
    ste_buf_adds(out, ".SH SEE ALSO\n.BR ste (1),\n.BR ste\\-run (1),\n.BR ste\\-sweep (1)\n");
}

static void page_of_command(const struct ste_command *c, struct ste_buf *out)
{
    char *name = ste_xasprintf("ste-%s", c->name);
    add_head(out, name, 1, c->summary);
    ste_buf_adds(out, ".SH SYNOPSIS\n\\fBste ");
    add_text(out, c->name);
    ste_buf_adds(out, "\\fR");
    add_text(out, c->usage + strlen(c->name));
    ste_buf_adds(out, "\n.SH DESCRIPTION\n");
    add_paragraph(out, c->summary);
    ste_buf_adds(out, ".SH OPTIONS\n");
    add_options(out, c->options, true);
    add_item(out, "--help", "The same on the terminal.");
    add_examples(out, c->name);
    ste_buf_adds(out, ".SH SEE ALSO\n.BR ste (1),\n.BR ste\\-recipe (5)\n");
    ste_xfree(name);
}

static const struct {
    const char *name, *about;
} settings[] = {
    {"STE_HOME", "Where models and the cache of answers are, and models.yaml, which adds to the catalogue; "
                 "~/.cache/ste by default."},
    {"STE_PROMPTS", "A folder of prompt packs that stand before those built in."},
    {"STE_LOG", "quiet: only warnings are said."},
    {"NO_COLOR", "Nothing is in colour."},
    {"STE_API_KEY", "The key of a server, where its file names no other."},
    {"STE_CHAT_TEMPLATE, STE_CHAT_DATE", "A chat template in place of the model's; the date that templates ask for."},
    {"HF_TOKEN, HF_ENDPOINT", "The key and the address of the Hub that `ste pull` asks."},
    {"STE_INDEX_URL, PIP_INDEX_URL", "The Python package index that `ste pull` asks."},
    {"https_proxy, http_proxy, no_proxy", "How servers are reached, as libcurl reads it."},
    {"TMPDIR", "Where a result goes whose own folder does not take it."},
};

static void page_of_program(struct ste_buf *out)
{
    const struct ste_command *c;
    const char *group, *before = "";
    add_head(out, "ste", 1, "an LLM judge that trains itself");
    ste_buf_adds(out, ".SH SYNOPSIS\n\\fBste\\fR \\fIcommand\\fR [\\fIflags\\fR]\n.SH DESCRIPTION\n");
    add_paragraph(out,
                  "`ste` trains an LLM judge with no human labels. Given a seed model and a pile of prompts, it writes "
                  "better and worse answers to them, judges the pairs, keeps the judgments that are right, trains on "
                  "those, and repeats. It generates and trains on the machine at hand and sends nothing anywhere.");
    ste_buf_adds(out, ".SH COMMANDS\n");
    for (size_t i = 0; (c = ste_command_at(i, &group)); i++) {
        if (strcmp(group, before) != 0) {
            ste_buf_adds(out, ".SS ");
            add_paragraph(out, group);
        }
        before = group;
        ste_buf_adds(out, ".TP\n\\fBste\\-");
        add_text(out, c->name);
        ste_buf_adds(out, "\\fR(1)\n");
        add_paragraph(out, c->summary);
    }
    add_exit_status(out);
    ste_buf_adds(out, ".SH ENVIRONMENT\n");
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        add_item(out, settings[i].name, settings[i].about);
    ste_buf_adds(out, ".SH FILES\n");
    add_item(out, "~/.cache/ste/models/NAME.gguf", "Models.");
    add_item(out, "~/.cache/ste/cache.db", "Answers that were given before; `ste cache` shows and prunes it.");
    add_item(out, "runs/RECIPE",
             "The folder of a run, where `--run` names no other: its rows, what was trained, its report.");
    add_examples(out, "");
    ste_buf_adds(out, ".SH SEE ALSO\n.BR ste\\-recipe (5)\n");
}

struct options {
    char *out;
};
/* clang-format off */
#define OPTIONS_OF struct options
static const struct ste_option options[] = {
    STE_STRING("out", out, NULL, "DIR", "write all pages as files of this folder"),
    {0},
};
/* clang-format on */

static int write_page(const char *dir, const char *name, int section, struct ste_buf *text, struct ste_err *err)
{
    char *file = ste_xasprintf("%s/ste%s%s.%d", dir, *name ? "-" : "", name, section);
    int rc = ste_file_write(file, text->s, text->len, err);
    ste_xfree(file);
    ste_buf_reset(text);
    return rc;
}

static int write_pages(const char *dir, struct ste_buf *text, struct ste_err *err)
{
    const struct ste_command *c;
    int rc = ste_mkdirs(dir, err);
    page_of_program(text);
    rc = rc ? rc : write_page(dir, "", 1, text, err);
    page_of_recipe(text);
    rc = rc ? rc : write_page(dir, "recipe", 5, text, err);
    for (size_t i = 0; !rc && (c = ste_command_at(i, NULL)); i++) {
        page_of_command(c, text);
        rc = write_page(dir, c->name, 1, text, err);
    }
    return rc;
}

static int man_run(void *options_, const struct ste_strings *words, struct ste_err *err)
{
    const struct options *o = options_;
    const char *page = words->n ? words->items[0] : "";
    const struct ste_command *c = ste_command_find(page);
    struct ste_buf text = STE_BUF_INIT;
    int rc = 0;
    if (o->out)
        rc = write_pages(o->out, &text, err);
    else if (c)
        page_of_command(c, &text);
    else if (strcmp(page, "recipe") == 0)
        page_of_recipe(&text);
    else if (!*page)
        page_of_program(&text);
    else
        rc = ste_err_set(err, STE_EUSAGE, "man: there is no page \"%s\"; `ste help` lists the commands", page);
    fputs(text.s, stdout);
    ste_buf_clear(&text);
    return rc;
}

STE_COMMAND(man, "man", "[PAGE] [--out DIR]", "Write the manual's page of a command, or all of them.", options, 1, NULL,
            man_run);
