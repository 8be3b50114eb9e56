#include <string.h>

#include "cli/cli.h"
#include "core/file.h"
#include "core/mem.h"
#include "data/catalogue.h"
#include "data/dataset.h"
#include "data/repository.h"

struct options {
    char *config, *split, *out;
    long long limit;
};
/* clang-format off */
#define OPTIONS_OF struct options
static const struct ste_option options[] = {
    STE_STRING("config", config, NULL, "NAME", "of a data set: its subset (default: the only one)"),
    STE_STRING("split", split, NULL, "NAME", "of a data set: its split (default: the only one)"),
    STE_INT("limit", limit, "0", 0, STE_LARGE, "of a data set: the first N rows; 0: all"),
    STE_STRING("out", out, NULL, "FILE", "of a data set: the file to write (default: NAME.jsonl)"),
    {0},
};
/* clang-format on */

static int pull_dataset(const struct options *o, const struct ste_strings *words, struct ste_err *err)
{
    if (words->n != 2)
        return ste_err_set(err, STE_EUSAGE, "pull dataset takes one name, OWNER/NAME");
    const char *name = words->items[1];
    char *own = o->out ? NULL : ste_xasprintf("%s.jsonl", ste_path_base(name));
    const struct ste_dataset_pull p = {
        .name = name, .config = o->config, .split = o->split, .limit = (size_t)o->limit, .out = own ? own : o->out};
    int rc = ste_dataset_pull(&p, err);
    ste_xfree(own);
    return rc;
}

#define HUB "HF:"

static bool is_of_hub(const char *name)
{
    return strncmp(name, HUB, strlen(HUB)) == 0;
}

static int pull_model(const struct ste_catalogue *c, const char *name, struct ste_err *err)
{
    if (!is_of_hub(name))
        return ste_pull(ste_catalogue_find(c, name), err);
    struct ste_repository r;
    int rc = ste_repository_parse(&r, name + strlen(HUB), err);
    if (rc == 0)
        rc = ste_repository_pull(&r, NULL, err);
    ste_repository_clear(&r);
    return rc;
}

static int pull_run(void *options_, const struct ste_strings *words, struct ste_err *err)
{
    const struct options *o = options_;
    struct ste_catalogue c = {0};
    if (!words->n)
        return ste_err_set(err, STE_EUSAGE, "pull: name a model; `ste models` lists them");
    if (strcmp(words->items[0], "dataset") == 0)
        return pull_dataset(o, words, err);
    if (o->config || o->split || o->out || o->limit)
        return ste_err_set(err, STE_EUSAGE, "--config, --split, --limit and --out are for `ste pull dataset NAME`");
    int rc = ste_catalogue_load(&c, err);
    for (size_t i = 0; rc == 0 && i < words->n; i++)
        if (!is_of_hub(words->items[i]) && !ste_catalogue_find(&c, words->items[i]))
            rc = ste_catalogue_unknown(&c, words->items[i], err);
    for (size_t i = 0; rc == 0 && i < words->n; i++)
        rc = pull_model(&c, words->items[i], err);
    ste_catalogue_clear(&c);
    return rc;
}

STE_COMMAND(pull, "pull", "NAME... | HF:OWNER/NAME[@REVISION][:FILE]... (or: pull dataset OWNER/NAME)",
            "Download models, or a data set's rows; goes on where cut off.", options, 100, NULL, pull_run);
