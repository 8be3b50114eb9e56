#include <stdio.h>

#include "cli/cli.h"
#include "data/catalogue.h"

static int pull_run(int argc, char **argv, struct ste_err *err)
{
    struct ste_strings names = {0};
    const struct ste_flag flags[] = {{0}};
    struct ste_catalogue c = {0};
    int rc = ste_flags_parse(&ste_cmd_pull, flags, argc, argv, &names, 100, err);
    if (rc == 0 && !names.n)
        rc = ste_err_set(err, STE_EUSAGE, "pull: name a model; `ste models` lists them");
    if (rc == 0)
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

const struct ste_command ste_cmd_pull = {"pull", "pull NAME...",
                                         "Download models; resumes what was cut off, checks the SHA-256.", pull_run};
