/* A run from outside. */
#include <string.h>
#include <sys/stat.h>

#include "core/file.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/strings.h"
#include "store/rows.h"
#include "store/run.h"

static int take_stop(void *arg, const struct ste_iteration_row *r, struct ste_err *err)
{
    char **stop = arg;
    if (r->stop && *r->stop) {
        ste_xfree(*stop);
        *stop = ste_xstrdup(r->stop);
    }
    return 0;
}

static void take_recipe(struct ste_glance *g, const char *text)
{
    json_t *r = text ? ste_json_parse(text, strlen(text), "recipe", NULL) : NULL;
    const char *seed = json_string_value(json_object_get(json_object_get(r, "models"), "seed")),
               *objective = json_string_value(json_object_get(json_object_get(r, "train"), "objective"));
    g->iterations = json_integer_value(json_object_get(r, "iterations"));
    g->seed = seed ? ste_xstrdup(seed) : NULL;
    g->objective = objective ? ste_xstrdup(objective) : NULL;
    json_decref(r);
}

static int read_store(struct ste_glance *g, struct ste_store *s, struct ste_err *err)
{
    char *recipe = NULL;
    int rc = ste_store_meta(s, "recipe", &recipe, err);
    take_recipe(g, recipe);
    ste_xfree(recipe);
    if (!rc)
        rc = ste_count(s, STE_COUNT_PAIRS_KEPT, 0, &g->pairs, err);
    if (!rc)
        rc = ste_count(s, STE_COUNT_TRAINED, 0, &g->trained, err);
    if (!rc)
        rc = ste_count(s, STE_COUNT_LAST_JUDGED, 0, &g->judged, err);
    return rc ? rc : ste_each_iteration(s, 0, take_stop, &g->stop, err);
}

/* Sums DIR and what is in it. A link is not followed. */
static void measure(const char *dir, int deep, struct ste_glance *g)
{
    DIR *d = deep ? ste_opendir(dir) : NULL;
    for (struct dirent *e; d && (e = readdir(d));) {
        struct stat st;
        char *path = ste_path_join(dir, e->d_name);
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 && lstat(path, &st) == 0) {
            if (S_ISDIR(st.st_mode))
                measure(path, deep - 1, g);
            else
                g->bytes += st.st_size;
            if (st.st_mtime > g->changed && S_ISREG(st.st_mode) && !ste_ends_in(e->d_name, "-shm"))
                g->changed = st.st_mtime;
        }
        ste_xfree(path);
    }
    ste_closedir(d);
}

int ste_glance(struct ste_glance *out, const char *dir, struct ste_err *err)
{
    struct ste_store *s = NULL;
    struct ste_buf says = STE_BUF_INIT;
    *out = (struct ste_glance){0};
    char *lock = ste_path_join(dir, STE_RUN_LOCK);
    out->held = ste_lock_held(lock, &says);
    out->says = ste_buf_detach(&says);
    ste_xfree(lock);
    measure(dir, 8, out); /* before SQLite makes files of its own there */
    int rc = ste_store_open(&s, dir, 0, 1, err);
    if (!rc)
        rc = read_store(out, s, err);
    ste_store_close(s);
    return rc;
}

void ste_glance_clear(struct ste_glance *g)
{
    ste_xfree(g->says);
    ste_xfree(g->stop);
    ste_xfree(g->seed);
    ste_xfree(g->objective);
    *g = (struct ste_glance){0};
}
