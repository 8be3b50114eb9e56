#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "core/mem.h"
#include "data/catalogue.h"
#include "data/dataset.h"

static int pull_dataset(struct ste_dataset_pull *p, const struct ste_strings *words, long long limit,
                        struct ste_err *err)
{
    if (words->n != 2)
        return ste_err_set(err, STE_EUSAGE, "pull dataset takes one name, OWNER/NAME");
    if (limit < 0)
        return ste_err_set(err, STE_EUSAGE, "--limit must not be negative");
    const char *slash = strrchr(words->items[1], '/');
    char *own = p->out ? NULL : ste_xasprintf("%s.jsonl", slash ? slash + 1 : words->items[1]);
    p->name = words->items[1];
    p->limit = (size_t)limit;
    if (own)
        p->out = own;
    int rc = ste_dataset_pull(p, err);
    free(own);
    return rc;
}

static int pull_run(int argc, char **argv, struct ste_err *err)
{
    struct ste_strings names = {0};
    struct ste_dataset_pull p = {0};
    long long limit = 0;
    const struct ste_flag flags[] = {
        {"config", STE_FLAG_STRING, &p.config, "NAME", "of a data set: its subset (default: the only one)"},
        {"split", STE_FLAG_STRING, &p.split, "NAME", "of a data set: its split (default: the only one)"},
        {"limit", STE_FLAG_INT, &limit, "N", "of a data set: the first N rows"},
        {"out", STE_FLAG_STRING, &p.out, "FILE", "of a data set: the file to write (default: NAME.jsonl)"},
        {0}};
    struct ste_catalogue c = {0};
    int rc = ste_flags_parse(&ste_cmd_pull, flags, argc, argv, &names, 100, err);
    if (rc == 0 && !names.n)
        rc = ste_err_set(err, STE_EUSAGE, "pull: name a model; `ste models` lists them");
    const bool dataset = rc == 0 && strcmp(names.items[0], "dataset") == 0;
    if (rc == 0 && !dataset && (p.config || p.split || p.out || limit))
        rc = ste_err_set(err, STE_EUSAGE, "--config, --split, --limit and --out are for `ste pull dataset NAME`");
    if (rc || dataset) {
        if (rc == 0)
            rc = pull_dataset(&p, &names, limit, err);
        ste_strings_clear(&names);
        return rc < 0 ? rc : 0;
    }
    rc = ste_catalogue_load(&c, err);
    for (size_t i = 0; rc == 0 && i < names.n; i++)
        if (!ste_catalogue_find(&c, names.items[i]))
            rc = ste_catalogue_unknown(&c, names.items[i], err);
    for (size_t i = 0; rc == 0 && i < names.n; i++)
        rc = ste_pull(ste_catalogue_find(&c, names.items[i]), err);
    ste_catalogue_clear(&c);
    ste_strings_clear(&names);
    return rc < 0 ? rc : 0;
}

const struct ste_command ste_cmd_pull = {"pull", "pull NAME... (or: pull dataset OWNER/NAME)",
                                         "Download models, or a data set's rows; goes on where cut off.", pull_run};
