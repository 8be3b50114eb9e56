#include "cli/cli.h"
#include "report/space.h"

struct options {
    bool prune, json;
    long long days;
    double gb;
    struct ste_strings remove;
};
/* clang-format off */
#define OPTIONS_OF struct options
static const struct ste_option options[] = {
    STE_BOOL("prune", prune, NULL, "remove old answers, and downloads that were cut off long ago; another ste may go on meanwhile"),
    STE_INT("days", days, "30", 0, STE_LARGE, "of --prune: what was put there more days ago goes; 0: all from before today"),
    STE_REAL("gb", gb, "0", 0, STE_LARGE, "of --prune: then the oldest answers go until the rest takes so many GB; 0: any number"),
    STE_LIST("remove", remove, NULL, "MODEL", "remove these models"),
    STE_BOOL("json", json, NULL, "as JSON"),
    {0},
};
/* clang-format on */

static int cache_run(void *options_, const struct ste_strings *words, struct ste_err *err)
{
    const struct options *o = options_;
    struct ste_buf text = STE_BUF_INIT;
    json_t *space = NULL;
    int rc = 0;
    if (o->prune)
        rc = ste_space_prune(o->days, (int64_t)(o->gb * 1e9), &text, err);
    if (!rc && o->remove.n)
        rc = ste_space_remove(&o->remove, &text, err);
    if (text.len)
        fprintf(stderr, "%s", text.s);
    ste_buf_reset(&text);
    if (!rc)
        rc = ste_space(&space, err);
    if (!rc && o->json)
        rc = ste_write_json("-", json_incref(space), err);
    else if (!rc)
        ste_space_text(space, &text);
    fputs(text.s, stdout);
    ste_buf_clear(&text);
    json_decref(space);
    return rc;
}

STE_COMMAND(cache, "cache", "[--prune [--days N] [--gb X]] [--remove MODEL...] [--json]",
            "Show what takes space under STE_HOME, and remove it.", options, 0, NULL, cache_run);
