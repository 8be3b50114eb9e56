#include "cli/cli.h"
#include "core/file.h"
#include "report/runs.h"

struct options {
    bool json;
};
/* clang-format off */
#define OPTIONS_OF struct options
static const struct ste_option options[] = {
    STE_BOOL("json", json, NULL, "as JSON"),
    {0},
};
/* clang-format on */

#define DEEP 4 /* folders: sweeps/NAME/runs/RUN */

static int runs_run(void *options_, const struct ste_strings *words, struct ste_err *err)
{
    const struct options *o = options_;
    struct ste_strings runs = {0};
    int rc = 0;
    for (size_t i = 0; i < words->n && !rc; i++)
        if (!ste_is_folder(words->items[i]))
            rc = ste_err_set(err, STE_ENOTFOUND, "there is no folder %s", words->items[i]);
        else
            ste_runs_find(words->items[i], DEEP, &runs);
    if (!words->n)
        ste_runs_find(".", DEEP, &runs);
    if (!rc) {
        json_t *list = ste_runs_list(&runs);
        struct ste_buf text = STE_BUF_INIT;
        if (o->json)
            rc = ste_write_json("-", json_incref(list), err);
        else if (runs.n)
            ste_runs_text(list, &text);
        else
            ste_buf_adds(&text, "There are no runs here; `ste run RECIPE` makes one in runs/RECIPE.\n");
        fputs(text.s, stdout);
        ste_buf_clear(&text);
        json_decref(list);
    }
    ste_strings_clear(&runs);
    return rc;
}

STE_COMMAND(runs, "runs", "[DIR...] [--json]", "Show which runs are here, and how far they are.", options, 4096, NULL,
            runs_run);
