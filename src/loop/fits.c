#include "loop/fits.h"

#include <dirent.h>
#include <string.h>

#include "core/machine.h"
#include "core/file.h"
#include "core/mem.h"
#include "core/strings.h"
#include "train/memory.h"

#define LEAST 1024  /* tokens: below that nothing is judged or trained */
#define MOST 131072 /* and above that nobody asks */
#define NOT_HERE "Q4_K_M"

static size_t bytes_of(const struct ste_model *m, bool train, int tokens)
{
    struct ste_engine_params e;
    struct ste_train_params t;
    struct ste_memory n;
    ste_engine_default_params(&e);
    ste_train_default_params(&t);
    e.n_ctx = tokens;
    if (ste_memory_of(&n, m, &e, &t, tokens, NULL) != 0)
        return 0;
    return train ? ste_memory_to_train(&n) : ste_memory_to_judge(&n);
}

static struct ste_fit fit_of(const struct ste_model *m, bool train, int asked, size_t free)
{
    const int most = m->hp.n_ctx_train < MOST || asked ? m->hp.n_ctx_train : MOST;
    int tokens = asked && asked < most ? asked : most;
    while (!asked && tokens > LEAST && bytes_of(m, train, tokens) > free)
        tokens = tokens > 2 * LEAST ? tokens / 2 : LEAST;
    const size_t bytes = bytes_of(m, train, tokens);
    return (struct ste_fit){bytes && bytes <= free ? tokens : 0, bytes};
}

static struct ste_model_fit *add(struct ste_fits *f, const char *name)
{
    f->models = ste_xrealloc(f->models, (f->n + 1) * sizeof *f->models);
    struct ste_model_fit *x = &f->models[f->n++];
    *x = (struct ste_model_fit){.name = ste_xstrdup(name)};
    return x;
}

static void add_model(struct ste_fits *f, const char *name, const struct ste_model *m, const char *weights, int tokens)
{
    struct ste_model_fit *x = add(f, name);
    x->weights = ste_xstrdup(weights);
    x->judge = fit_of(m, false, tokens, f->free);
    x->train = fit_of(m, true, tokens, f->free);
}

static void add_file(struct ste_fits *f, const char *name, const char *path, int tokens, const char *load_as)
{
    struct ste_model *m = NULL;
    struct ste_err err = {0};
    if (ste_model_open(&m, path, &err) == 0 && ste_model_load_as(m, load_as, &err) == 0)
        add_model(f, name, m, ste_type_name(ste_model_type(m, m->layers[0].linear[STE_Q])), tokens);
    else
        add(f, name)->problem = ste_xstrdup(err.msg);
    ste_model_close(m);
}

/* Those of the models' folder that the catalogue does not know. */
static void add_others(struct ste_fits *f, const struct ste_catalogue *c, int tokens, const char *load_as)
{
    char *models = ste_home_path("models");
    DIR *d = ste_opendir(models);
    for (struct dirent *e; d && (e = readdir(d));) {
        const bool file = ste_ends_in(e->d_name, ".gguf");
        char *path = ste_path_join(models, e->d_name), *config = ste_path_join(path, "config.json"),
             *name = file ? ste_path_stem(e->d_name) : ste_xstrdup(e->d_name);
        if (!ste_catalogue_find(c, name) && (file || ste_file_exists(config)))
            add_file(f, name, path, tokens, load_as);
        ste_xfree(name);
        ste_xfree(config);
        ste_xfree(path);
    }
    ste_closedir(d);
    ste_xfree(models);
}

int ste_fits_find(struct ste_fits *out, const struct ste_catalogue *c, int tokens, const char *load_as,
                  struct ste_err *err)
{
    *out = (struct ste_fits){0};
    const struct ste_mix *mix = ste_mix_of(load_as ? load_as : NOT_HERE);
    if (!mix)
        return ste_err_set(err, STE_EUSAGE, "\"%s\" is no type that weights are loaded as", load_as);
    ste_machine_memory(&out->whole, &out->free);
    for (size_t i = 0; i < c->n; i++) {
        const struct ste_catalogue_entry *e = &c->entries[i];
        char *path = ste_model_here(e->name);
        if (path) {
            add_file(out, e->name, path, tokens, load_as);
        } else if (e->shape.layers) {
            struct ste_model *m = ste_model_of_shape(&e->shape, mix);
            add_model(out, e->name, m, mix->name, tokens);
            ste_model_close(m);
        }
        ste_xfree(path);
    }
    add_others(out, c, tokens, load_as);
    return 0;
}

void ste_fits_clear(struct ste_fits *f)
{
    for (size_t i = 0; i < f->n; i++) {
        ste_xfree(f->models[i].name);
        ste_xfree(f->models[i].weights);
        ste_xfree(f->models[i].problem);
    }
    ste_xfree(f->models);
    *f = (struct ste_fits){0};
}
