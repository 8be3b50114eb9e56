/*
 * `ste completion SHELL` prints a few lines for that shell, which ask `ste completion words -- WORD...` each time: so
 * what is offered is what this program has, in every shell, and the names of models and runs are those that are there.
 */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "core/mem.h"
#include "data/catalogue.h"
#include "data/embedded.h"
#include "loop/recipe.h"
#include "report/runs.h"

static const char *const shells[] = {"bash", "zsh", "fish", NULL};

/* What is printed: a line "WORD<TAB>what it is" each; ":files" or ":folders" asks the shell for its own. */
struct offer {
    const char *begin; /* of the word that is completed */
    const char *head;  /* what of it stands before a value: "--judge=" */
    size_t head_len;
};

static void offer(const struct offer *to, const char *word, const char *about)
{
    const char *begin = to->begin + to->head_len;
    if (strncmp(word, begin, strlen(begin)) == 0)
        printf("%.*s%s\t%.70s\n", (int)to->head_len, to->head, word, about);
}

static void offer_list(const struct offer *to, struct ste_strings *l, const char *about)
{
    for (size_t i = 0; i < l->n; i++)
        offer(to, l->items[i], about);
    ste_strings_clear(l);
}

static void offer_models(const struct offer *to)
{
    struct ste_catalogue c;
    if (ste_catalogue_load(&c, NULL))
        return;
    for (size_t i = 0; i < c.n; i++) {
        char *here = ste_model_here(c.entries[i].name);
        offer(to, c.entries[i].name, here ? "model" : "model, not pulled yet");
        ste_xfree(here);
    }
    ste_catalogue_clear(&c);
}

static void offer_runs(const struct offer *to)
{
    struct ste_strings runs = {0};
    ste_runs_find(".", 2, &runs);
    offer_list(to, &runs, "run");
}

/* The built-in files of FOLDER, as users name them. */
static void offer_embedded(const struct offer *to, const char *folder)
{
    const size_t n = strlen(folder);
    for (const struct ste_embedded *e = ste_embedded_files; e->name; e++)
        if (strncmp(e->name, folder, n) == 0 && !strchr(e->name + n, '/')) {
            char *stem = ste_yaml_stem(e->name);
            offer(to, stem, "built in");
            ste_xfree(stem);
        }
}

static void offer_recipe_keys(const struct offer *to)
{
    struct ste_strings keys = {0};
    ste_options_keys(ste_recipe_options, false, &keys);
    for (size_t i = 0; i < keys.n; i++) {
        char *word = ste_xasprintf("%s=", keys.items[i]);
        offer(to, word, ste_options_find(ste_recipe_options, keys.items[i])->help);
        ste_xfree(word);
    }
    ste_strings_clear(&keys);
}

static void offer_commands(const struct offer *to)
{
    const struct ste_command *c;
    for (size_t i = 0; (c = ste_command_at(i, NULL)); i++)
        offer(to, c->name, c->summary);
}

/* PLACE stands for the value in help: "JUDGE", "FILE.jsonl", "N", in upper case at its beginning. */
static void offer_place(const struct offer *to, const char *place)
{
    char kind[24];
    const size_t n = strspn(place, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
    snprintf(kind, sizeof kind, " %.*s ", (int)(n < 20 ? n : 20), place);
#define IS(names) strstr(" " names " ", kind)
    const bool run = IS("JUDGE RUN FIRST SECOND"), model = IS("JUDGE MODEL NAME FIRST SECOND");
    if (model)
        offer_models(to);
    if (run)
        offer_runs(to);
    if (IS("RECIPE"))
        offer_embedded(to, "recipes/");
    if (IS("SUITE"))
        offer_embedded(to, "suites/");
    if (IS("PACK"))
        offer_embedded(to, "prompts/");
    if (IS("KEY"))
        offer_recipe_keys(to);
    if (IS("PAGE"))
        offer_commands(to);
    if (IS("DIR FOLDER RUN"))
        puts(":folders");
    else if (!IS("N X TEXT TYPE KEY PAGE SHELL LIST WORD") && n)
        puts(":files");
#undef IS
}

static void offer_values(const struct offer *to, const char *key, const struct ste_option *o)
{
    struct ste_buf place = STE_BUF_INIT;
    for (int i = 0; o->kind == STE_OPT_CHOICE && o->choices[i]; i++)
        offer(to, o->choices[i], "");
    if (o->kind == STE_OPT_BOOL) {
        offer(to, "true", "");
        offer(to, "false", "");
    } else if (o->kind != STE_OPT_CHOICE) {
        /* A name is that of a model where the flag says so, else of anything. */
        const bool other = o->value && strcmp(o->value, "NAME") == 0 && strcmp(key, "model") != 0;
        ste_option_value(o, &place);
        offer_place(to, other ? "TEXT" : place.s);
    }
    ste_buf_clear(&place);
}

static void offer_flags(const struct offer *to, const struct ste_command *cmd)
{
    struct ste_strings keys = {0};
    ste_options_keys(cmd->options, false, &keys);
    for (size_t i = 0; i < keys.n; i++) {
        char *flag = ste_xasprintf("%s%s", keys.items[i][1] ? "--" : "-", keys.items[i]);
        for (char *c = flag; *c; c++)
            *c = *c == '_' ? '-' : *c;
        offer(to, flag, ste_options_find(cmd->options, keys.items[i])->help);
        ste_xfree(flag);
    }
    offer(to, "--help", "what the command takes");
    ste_strings_clear(&keys);
}

/* The word that is no flag, by what the usage has for it, behind the command's name. */
static void offer_word(const struct offer *to, const struct ste_command *cmd)
{
    const char *place = strchr(cmd->usage, ' ');
    if (strcmp(cmd->name, "completion") == 0)
        for (const char *const *s = shells; *s; s++)
            offer(to, *s, "");
    else if (cmd->words && place)
        offer_place(to, place + 1 + (place[1] == '['));
    else if (!cmd->words)
        offer_flags(to, cmd);
}

/* The option of a flag as it is written, up to its "="; NULL: it is none. KEY is freed by the caller. */
static const struct ste_option *option_of(const struct ste_command *cmd, const char *word, char **key)
{
    *key = ste_xstrndup(word, strcspn(word, "="));
    char *name = *key + strspn(*key, "-");
    for (char *c = name; *c; c++)
        *c = *c == '-' ? '_' : *c;
    memmove(*key, name, strlen(name) + 1);
    return word[0] == '-' ? ste_options_find(cmd->options, *key) : NULL;
}

/* Whether the flag WORDS[AT] still takes the word N. */
static bool takes(const struct ste_option *o, size_t at, size_t n)
{
    const bool many = o->kind == STE_OPT_LIST || o->kind == STE_OPT_WORDS;
    return o->kind != STE_OPT_BOOL && (many || at + 1 == n);
}

/* WORDS are those behind "ste"; the last one is completed. */
static void complete(const struct ste_strings *words)
{
    const size_t last = words->n - 1;
    const char *word = words->items[last];
    struct offer to = {.begin = word, .head = word};
    const struct ste_command *cmd = last ? ste_command_find(words->items[0]) : NULL;
    char *key = NULL;
    if (last == 0 || (last == 1 && strcmp(words->items[0], "help") == 0)) {
        offer_commands(&to);
        offer(&to, last ? "recipe" : "help", last ? "the options of a recipe" : "what a command does, and its flags");
        if (!last)
            offer(&to, "--version", "the version, and what is built in");
        return;
    }
    if (!cmd)
        return;
    if (word[0] == '-' && strchr(word, '=')) {
        const struct ste_option *o = option_of(cmd, word, &key);
        to.head_len = (size_t)(strchr(word, '=') - word) + 1;
        if (o)
            offer_values(&to, key, o);
    } else if (word[0] == '-') {
        offer_flags(&to, cmd);
    } else {
        size_t at = last - 1; /* the last flag */
        while (at && words->items[at][0] != '-')
            at--;
        const bool whole = strchr(words->items[at], '=') != NULL;
        const struct ste_option *o = at ? option_of(cmd, words->items[at], &key) : NULL;
        if (o && !whole && takes(o, at, last))
            offer_values(&to, key, o);
        else
            offer_word(&to, cmd);
    }
    ste_xfree(key);
}

static const char bash[] =
    "# bash completion of ste\n"
    "_ste() {\n"
    "    local line=${COMP_LINE:0:COMP_POINT} word words cur head=\n"
    "    read -ra words <<<\"$line\"\n"
    "    [[ $line == *[[:space:]] ]] && words+=('')\n"
    "    cur=${words[-1]}\n"
    "    # bash keeps what stands before the last of these characters\n"
    "    [[ $COMP_WORDBREAKS == *:* && $cur == *:* ]] && head=${cur%\"${cur##*:}\"}\n"
    "    [[ $COMP_WORDBREAKS == *=* && ${cur#\"$head\"} == *=* ]] && head=${cur%\"${cur##*=}\"}\n"
    "    COMPREPLY=()\n"
    "    while IFS=$'\\t' read -r word _; do\n"
    "        case $word in\n"
    "        :files | :folders)\n"
    "            compopt -o filenames 2>/dev/null\n"
    "            [[ $word == :files ]] && word=-f || word=-d\n"
    "            while IFS= read -r word; do COMPREPLY+=(\"$word\"); done < <(compgen \"$word\" -- "
    "\"${cur#\"$head\"}\") ;;\n"
    "        *)\n"
    "            [[ $word == *= ]] && compopt -o nospace 2>/dev/null\n"
    "            COMPREPLY+=(\"${word#\"$head\"}\") ;;\n"
    "        esac\n"
    "    done < <(\"${words[0]}\" completion words -- \"${words[@]:1}\" 2>/dev/null)\n"
    "}\n"
    "complete -F _ste ste\n";

static const char zsh[] =
    "#compdef ste\n"
    "_ste() {\n"
    "    local line files\n"
    "    local -a plain open\n"
    "    for line in \"${(@f)$(\"${(Q)words[1]}\" completion words -- \"${(@Q)words[2,CURRENT]}\" 2>/dev/null)}\"; do\n"
    "        case $line in\n"
    "        :files | :folders) files=$line ;;\n"
    "        *=$'\\t'*) open+=(\"${${line%%$'\\t'*}//:/\\\\:}:${line#*$'\\t'}\") ;;\n"
    "        ?*) plain+=(\"${${line%%$'\\t'*}//:/\\\\:}:${line#*$'\\t'}\") ;;\n"
    "        esac\n"
    "    done\n"
    "    (( $#plain )) && _describe -t words ste plain\n"
    "    (( $#open )) && _describe -t words ste open -S ''\n"
    "    [[ -n $files ]] && { compset -P '--[a-z-]#=' || true; }\n"
    "    case $files in\n"
    "    :files) _files ;;\n"
    "    :folders) _files -/ ;;\n"
    "    esac\n"
    "}\n"
    "if [[ $funcstack[1] == _ste ]]; then _ste \"$@\"; else compdef _ste ste; fi\n";

static const char fish[] =
    "# fish completion of ste\n"
    "function __ste_words\n"
    "    set -l words (commandline -opc)\n"
    "    set -l word (commandline -ct)\n"
    "    set -l head (string match -r -- '^--[a-z-]+=' $word)\n"
    "    for line in ($words[1] completion words -- $words[2..-1] $word 2>/dev/null)\n"
    "        switch $line\n"
    "            case :files\n"
    "                printf '%s\\n' \"$head\"(__fish_complete_path (string replace -r -- '^--[a-z-]+=' '' $word))\n"
    "            case :folders\n"
    "                printf '%s\\n' \"$head\"(__fish_complete_directories (string replace -r -- '^--[a-z-]+=' '' "
    "$word) "
    "'')\n"
    "            case '*'\n"
    "                printf '%s\\n' $line\n"
    "        end\n"
    "    end\n"
    "end\n"
    "complete -c ste -f -a '(__ste_words)'\n";

struct options {
    int unused;
};
#define OPTIONS_OF struct options
static const struct ste_option options[] = {{0}};

static int completion_run(void *options_, const struct ste_strings *words, struct ste_err *err)
{
    const char *const texts[] = {bash, zsh, fish};
    const char *what = words->items[0];
    if (strcmp(what, "words") == 0) {
        struct ste_strings rest = {words->items + 1, words->n - 1};
        if (rest.n)
            complete(&rest);
        return 0;
    }
    const int shell = ste_name_find(shells, what);
    if (shell < 0 || words->n > 1)
        return ste_err_set(err, STE_EUSAGE, "completion: there is bash, zsh and fish, not \"%s\"",
                           words->n > 1 ? words->items[1] : what);
    fputs(texts[shell], stdout);
    return 0;
}

STE_COMMAND(completion, "completion", "SHELL", "Print what teaches a shell (bash, zsh, fish) commands and flags.",
            options, 4096, "the shell: bash, zsh or fish", completion_run);
