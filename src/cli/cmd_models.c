#include <jansson.h>
#include <stdio.h>

#include "cli/cli.h"
#include "core/mem.h"
#include "data/catalogue.h"
#include "loop/fits.h"

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

static void print_fit(const struct ste_fit *f)
{
    if (!f->bytes)
        printf("  %-24s", "cannot be run");
    else if (f->tokens)
        printf("  %6.2f GB %6d tokens ", (double)f->bytes / 1e9, f->tokens);
    else
        printf("  %6.2f GB, too much    ", (double)f->bytes / 1e9);
}

static void print_fits(const struct ste_fits *f)
{
    printf("%.1f GB of memory, of which %.1f are free\n%-29s %-9s  %-24s  %s\n", (double)f->whole / 1e9,
           (double)f->free / 1e9, "name", "weights", "to judge", "to train (LoRA)");
    for (size_t i = 0; i < f->n; i++) {
        const struct ste_model_fit *m = &f->models[i];
        printf("%-29s %-9s", m->name, m->problem ? m->problem : m->weights);
        if (!m->problem) {
            print_fit(&m->judge);
            print_fit(&m->train);
        }
        putchar('\n');
    }
    puts("One that is not here is reckoned as a file of Q4_K_M or of --load-as. Weights of F16 and BF16 take 2 "
         "bytes each, of F32 4.");
}

static json_t *fit_json(const struct ste_fit *f)
{
    return json_pack("{s:I, s:i}", "bytes", (json_int_t)f->bytes, "tokens", f->tokens);
}

static void print_fits_json(const struct ste_fits *f)
{
    json_t *list = json_array();
    for (size_t i = 0; i < f->n; i++) {
        const struct ste_model_fit *m = &f->models[i];
        json_array_append_new(list, m->problem
                                        ? json_pack("{s:s, s:s}", "name", m->name, "problem", m->problem)
                                        : json_pack("{s:s, s:s, s:o, s:o}", "name", m->name, "weights", m->weights,
                                                    "judge", fit_json(&m->judge), "train", fit_json(&m->train)));
    }
    json_dumpf(list, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(list);
}

struct options {
    bool json, fits;
    long long ctx;
    char *load_as;
};
/* clang-format off */
#define OPTIONS_OF struct options
static const struct ste_option options[] = {
    STE_BOOL("fits", fits, NULL,
             "of each, and of the files in the models' folder: what it takes of this machine's memory to judge with and "
             "to train, and the longest context for which there is room"),
    STE_INT("ctx", ctx, "0", 0, STE_LARGE, "of --fits: with this context, in tokens; 0: the longest for which there is room"),
    STE_STRING("load_as", load_as, NULL, "TYPE", "of --fits: with weights that --load-as makes smaller (q8_0, q4_k)"),
    STE_BOOL("json", json, NULL, "as JSON"),
    {0},
};
/* clang-format on */

static int models_run(void *options_, const struct ste_strings *words, struct ste_err *err)
{
    const struct options *o = options_;
    struct ste_catalogue c;
    if ((o->ctx || o->load_as) && !o->fits)
        return ste_err_set(err, STE_EUSAGE, "--ctx and --load-as are for --fits");
    int rc = ste_catalogue_load(&c, err);
    if (rc)
        return rc;
    if (o->fits) {
        struct ste_fits f;
        rc = ste_fits_find(&f, &c, (int)o->ctx, o->load_as, err);
        if (!rc && o->json)
            print_fits_json(&f);
        else if (!rc)
            print_fits(&f);
        ste_fits_clear(&f);
    } else if (o->json) {
        print_json(&c);
    } else {
        print_table(&c);
    }
    ste_catalogue_clear(&c);
    return rc;
}

STE_COMMAND(models, "models", "[--fits [--ctx N] [--load-as TYPE]] [--json]", "List the models that `ste pull` knows.",
            options, 0, NULL, models_run);
