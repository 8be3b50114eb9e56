#include <jansson.h>
#include <stdio.h>

#include "cli/cli.h"
#include "cli/fits.h"
#include "core/mem.h"
#include "data/catalogue.h"

static void print_table(const struct ste_catalogue *c)
{
    printf("%-29s %8s  %-6s %s\n", "name", "MB", "pulled", "license");
    for (size_t i = 0; i < c->n; i++) {
        const struct ste_catalogue_entry *e = &c->entries[i];
        char *path = ste_model_here(e->name), size[16] = "?";
        if (e->size)
            snprintf(size, sizeof size, "%.1f", (double)e->size / 1e6);
        printf("%-29s %8s  %-6s %s\n", e->name, size, path ? "yes" : "no", e->license);
        if (*e->note)
            printf("    %s\n", e->note);
        ste_xfree(path);
    }
}

static void print_json(const struct ste_catalogue *c)
{
    json_t *list = json_array();
    for (size_t i = 0; i < c->n; i++) {
        const struct ste_catalogue_entry *e = &c->entries[i];
        char *here = ste_model_here(e->name), *path = here ? here : ste_model_path(e->name);
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:I, s:s, s:s, s:b, s:s}", "name", e->name, "license", e->license,
                                        "size", (json_int_t)e->size, "sha256", *e->sha256 ? e->sha256 : "not verified",
                                        "note", e->note, "pulled", here != NULL, "path", path));
        ste_xfree(path);
    }
    json_dumpf(list, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(list);
}

struct options {
    bool json, fits;
    long long ctx;
};
/* clang-format off */
#define OPTIONS_OF struct options
static const struct ste_option options[] = {
    STE_BOOL("fits", fits, NULL,
             "of each, and of the files in the models' folder: what it takes of this machine's memory to judge with and "
             "to train, and the longest context for which there is room"),
    STE_INT("ctx", ctx, "0", 0, STE_LARGE, "of --fits: with this context, in tokens; 0: the longest for which there is room"),
    STE_BOOL("json", json, NULL, "as JSON"),
    {0},
};
/* clang-format on */

static int models_run(void *options_, const struct ste_strings *words, struct ste_err *err)
{
    const struct options *o = options_;
    struct ste_catalogue c;
    if (o->ctx && !o->fits)
        return ste_err_set(err, STE_EUSAGE, "--ctx is for --fits");
    int rc = ste_catalogue_load(&c, err);
    if (rc)
        return rc;
    if (o->fits)
        ste_fits(&c, (int)o->ctx, o->json);
    else if (o->json)
        print_json(&c);
    else
        print_table(&c);
    ste_catalogue_clear(&c);
    return 0;
}

STE_COMMAND(models, "models", "[--fits [--ctx N]] [--json]", "List the models that `ste pull` knows.", options, 0, NULL,
            models_run);
