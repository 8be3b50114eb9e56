/* ste convert: a model as one GGUF file. */
#include <stdio.h>

#include "cli/cli.h"
#include "core/file.h"
#include "core/mem.h"
#include "data/catalogue.h"
#include "model/convert.h"
#include "model/model.h"

struct options {
    char *type;
    long long threads;
};
/* clang-format off */
#define OPTIONS_OF struct options
static const struct ste_option options[] = {
    STE_STRING("type", type, NULL, "TYPE", "of the weights: f32, f16, bf16, q8_0, q6_k, q5_k_m, q4_k_m, q4_0 and the like (default: as they are)"),
    STE_SPEED_INT("threads", threads, "0", 0, 4096, "0: one a core"),
    {0},
};
/* clang-format on */

static int convert(const struct options *o, const char *from, const char *to, struct ste_err *err)
{
    struct ste_convert c = {.mix = o->type ? ste_mix_of(o->type) : NULL};
    struct ste_gguf *g = NULL, *out = NULL;
    char *path = NULL;
    int rc;
    if (o->type && !c.mix)
        return ste_err_set(err, STE_EUSAGE, "--type %.40s: ste writes %s", o->type, ste_mix_names());
    if ((rc = ste_model_resolve(from, &path, err)) == 0 && (rc = ste_file_try(to, err)) == 0 &&
        (rc = ste_model_read(&g, path, err)) == 0 && (rc = ste_gguf_check_model(g, err)) == 0) {
        c.from = g;
        c.pool = ste_pool_new((int)o->threads);
        out = ste_gguf_new(to);
        rc = ste_convert_begin(&c, out, err);
        if (!rc)
            rc = ste_convert_write(&c, out, to, err);
        ste_pool_free(c.pool);
    }
    ste_gguf_close(out);
    ste_gguf_close(g);
    ste_xfree(path);
    return rc;
}

static int run(void *options_, const struct ste_strings *words, struct ste_err *err)
{
    if (words->n != 2)
        return ste_err_set(err, STE_EUSAGE, "convert takes a model and the file to write: convert FOLDER OUT.gguf");
    int rc = convert(options_, words->items[0], words->items[1], err);
    if (!rc)
        printf("%s\n", words->items[1]);
    return rc;
}

STE_COMMAND(convert, "convert", "MODEL OUT.gguf [--type TYPE]",
            "Write any model as one GGUF file, with weights of any type.", options, 2,
            "a model and the file to write", run);
