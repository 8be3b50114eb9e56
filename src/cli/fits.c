/* What each model takes of this machine's memory. */
#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "cli/fits.h"
#include "core/file.h"
#include "core/mem.h"
#include "core/strings.h"
#include "train/memory.h"

#define LEAST 1024  /* tokens: below that nothing is judged or trained */
#define MOST 131072 /* and above that nobody asks */

/* The longest context with which a model fits, and what it takes then; where it never does, 0 and what it takes with
 * the least. */
struct fit {
    int tokens;
    size_t bytes;
};

/* What is asked for: the bytes that are free; TOKENS 0: the longest context. */
struct asked {
    size_t free;
    int tokens;
    json_t *list; /* NULL: as a table */
};

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

static struct fit fit_of(const struct ste_model *m, bool train, const struct asked *q)
{
    const size_t free = q->free;
    int tokens = m->hp.n_ctx_train < MOST ? m->hp.n_ctx_train : MOST;
    if (q->tokens)
        tokens = q->tokens < m->hp.n_ctx_train ? q->tokens : m->hp.n_ctx_train;
    for (; !q->tokens && tokens > LEAST && bytes_of(m, train, tokens) > free;
         tokens = tokens > 2 * LEAST ? tokens / 2 : LEAST)
        ;
    const size_t bytes = bytes_of(m, train, tokens);
    return (struct fit){bytes && bytes <= free ? tokens : 0, bytes};
}

static void print_fit(const struct fit *f)
{
    if (!f->bytes)
        printf("  %-24s", "cannot be run");
    else if (f->tokens)
        printf("  %6.2f GB %6d tokens ", (double)f->bytes / 1e9, f->tokens);
    else
        printf("  %6.2f GB, too much    ", (double)f->bytes / 1e9);
}

static json_t *fit_json(const struct fit *f)
{
    return json_pack("{s:I, s:i}", "bytes", (json_int_t)f->bytes, "tokens", f->tokens);
}

static void put(const struct asked *q, const char *name, const struct ste_model *m, const char *as)
{
    const struct fit judge = fit_of(m, false, q), train = fit_of(m, true, q);
    if (q->list) {
        json_array_append_new(q->list, json_pack("{s:s, s:s, s:o, s:o}", "name", name, "weights", as, "judge",
                                                 fit_json(&judge), "train", fit_json(&train)));
        return;
    }
    printf("%-29s %-9s", name, as);
    print_fit(&judge);
    print_fit(&train);
    putchar('\n');
}

/* One that is there. */
static void put_file(const struct asked *q, const char *name, const char *path)
{
    struct ste_model *m = NULL;
    struct ste_err err = {0};
    if (ste_model_open(&m, path, &err) == 0)
        put(q, name, m, ste_type_name(ste_model_type(m, m->layers[0].linear[STE_Q])));
    else if (!q->list)
        printf("%-29s %s\n", name, err.msg);
    ste_model_close(m);
}

/* Those of the models' folder that the catalogue does not know. */
static void put_others(const struct asked *q, const struct ste_catalogue *c)
{
    char *models = ste_home_path("models");
    DIR *d = ste_opendir(models);
    for (struct dirent *e; d && (e = readdir(d));) {
        char *path = ste_path_join(models, e->d_name), *config = ste_path_join(path, "config.json");
        char *name = ste_ends_in(e->d_name, ".gguf") ? ste_path_stem(e->d_name) : ste_xstrdup(e->d_name);
        if (!ste_catalogue_find(c, name) && (ste_ends_in(e->d_name, ".gguf") || ste_file_exists(config)))
            put_file(q, e->d_name, path);
        ste_xfree(name);
        ste_xfree(config);
        ste_xfree(path);
    }
    ste_closedir(d);
    ste_xfree(models);
}

void ste_fits(const struct ste_catalogue *c, int tokens, bool json)
{
    size_t whole;
    struct asked q = {.tokens = tokens, .list = json ? json_array() : NULL};
    ste_machine_memory(&whole, &q.free);
    if (!json)
        printf("%.1f GB of memory, of which %.1f are free\n%-29s %-9s  %-24s  %s\n", (double)whole / 1e9,
               (double)q.free / 1e9, "name", "weights", "to judge", "to train (LoRA)");
    for (size_t i = 0; i < c->n; i++) {
        const struct ste_catalogue_entry *e = &c->entries[i];
        char *path = ste_model_here(e->name);
        if (path) {
            put_file(&q, e->name, path);
        } else if (e->shape.layers) {
            struct ste_model *m = ste_model_of_shape(&e->shape, ste_mix_of("Q4_K_M"));
            put(&q, e->name, m, "Q4_K_M");
            ste_model_close(m);
        }
        ste_xfree(path);
    }
    put_others(&q, c);
    if (json) {
        json_dumpf(q.list, stdout, JSON_INDENT(2));
        putchar('\n');
    } else {
        puts("One that is not here is reckoned as a Q4_K_M file. Weights of F32, F16 and BF16 take 4 bytes each.");
    }
    json_decref(q.list);
}
