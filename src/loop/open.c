#include "loop/internal.h"

#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/mem.h"
#include "core/profile.h"
#include "loop/roles.h"
#include "store/run.h"

static int check_pack(struct ste_loop *l, struct ste_err *err)
{
    const char *folder = *l->recipe.pack_folder ? l->recipe.pack_folder : NULL;
    int rc = ste_pack_load(&l->pack, l->recipe.pack, folder, err);
    if (rc != 0)
        return rc;
    char *hash = NULL;
    int64_t models = 0;
    rc = ste_store_meta(l->store, "pack_hash", &hash, err);
    if (rc == 0 && hash && strcmp(hash, l->pack->hash) != 0)
        rc = ste_count(l->store, STE_COUNT_MODELS, 0, &models, err);
    if (models > 0)
        rc = ste_err_set(err, STE_EUSAGE,
                         "the prompt pack %s is not the one that the run in %s was made with (its text changed): give "
                         "another folder with --run, or the old pack",
                         l->recipe.pack, ste_store_dir(l->store));
    ste_xfree(hash);
    if (rc == 0 && l->recipe.verdict_only > 0 && l->pack->reasoning && ste_loop_mode(l) == STE_MODE_FREE)
        rc = ste_err_set(
            err, STE_EUSAGE,
            "filter.verdict_only needs closing words before the verdict, and the pack %s reads it from free "
            "text: set verdict.mode=closed",
            l->recipe.pack);
    return rc;
}

/* The recipe in the store is the result part alone, so that runs that differ in threads have equal dumps. */
static int write_recipe(struct ste_loop *l, struct ste_err *err)
{
    char *json = ste_recipe_json(&l->recipe, true);
    int rc = ste_store_begin(l->store, err);
    if (rc == 0) {
        rc = ste_store_meta_set(l->store, "recipe", json, err);
        if (rc == 0)
            rc = ste_store_meta_set(l->store, "pack_hash", l->pack->hash, err);
        rc = ste_store_end(l->store, rc, err);
    }
    ste_xfree(json);
    if (rc != 0)
        return rc;
    struct ste_buf yaml = STE_BUF_INIT;
    ste_recipe_write(&l->recipe, &yaml);
    char *path = ste_path_join(ste_store_dir(l->store), STE_RUN_RECIPE);
    rc = ste_file_write(path, yaml.s, yaml.len, err);
    ste_xfree(path);
    ste_buf_clear(&yaml);
    return rc;
}

/* L's recipe, given by the user, in a run that has WAS. One that has not begun takes another: what it read is read
 * anew. */
static int continue_with(struct ste_loop *l, const struct ste_recipe *was, struct ste_err *err)
{
    int64_t models;
    struct ste_err differs = {0};
    int rc = ste_count(l->store, STE_COUNT_MODELS, 0, &models, err);
    ste_recipe_settle(&l->recipe, was);
    if (rc != 0 || ste_recipe_may_continue(was, &l->recipe, ste_store_dir(l->store), &differs) == 0)
        return rc;
    return models > 0 ? ste_err_set(err, differs.code, "%s", differs.msg) : ste_store_empty(l->store, err);
}

/* L's recipe: R, or the run's own one. A deep copy of R goes over its JSON. */
static int take_recipe(struct ste_loop *l, const struct ste_recipe *r, struct ste_err *err)
{
    char *old = NULL;
    int rc = ste_store_meta(l->store, "recipe", &old, err);
    if (rc == 0 && !old && !r)
        rc = ste_err_set(err, STE_ENOTFOUND, "the run in %s has no recipe yet: give one with --recipe",
                         ste_store_dir(l->store));
    if (rc == 0 && r) {
        char *json = ste_recipe_json(r, false);
        ste_recipe_clear(&l->recipe);
        rc = ste_recipe_from_json(&l->recipe, json, err);
        ste_xfree(json);
    }
    if (rc == 0 && old) {
        struct ste_recipe was;
        rc = ste_recipe_from_json(&was, old, err);
        if (rc == 0 && r) {
            rc = continue_with(l, &was, err);
            ste_recipe_clear(&was);
        } else if (rc == 0) {
            ste_recipe_clear(&l->recipe);
            l->recipe = was;
        }
    }
    ste_recipe_settle(&l->recipe, NULL);
    ste_xfree(old);
    return rc;
}

int ste_loop_open(struct ste_loop **out, const char *dir, const struct ste_recipe *r, struct ste_err *err)
{
    struct ste_loop *l = ste_xcalloc(1, sizeof *l);
    ste_recipe_init(&l->recipe);
    l->open_llm = ste_llm_open;
    int rc = r ? ste_recipe_check(r, err) : 0;
    if (rc == 0)
        rc = ste_store_open(&l->store, dir, r != NULL, 0, err);
    if (rc == 0)
        rc = take_recipe(l, r, err);
    if (rc == 0)
        rc = check_pack(l, err);
    if (rc == 0 && r)
        rc = write_recipe(l, err);
    if (rc != 0) {
        ste_loop_close(l);
        return rc;
    }
    memcpy(l->secret, ste_id_of("fence secret", ste_digits(l->recipe.seed).s, NULL).s, sizeof l->secret);
    *out = l;
    return 0;
}

void ste_loop_close(struct ste_loop *l)
{
    if (!l)
        return;
    ste_loop_models_close(l);
    ste_pack_free(l->pack);
    ste_store_close(l->store);
    ste_recipe_clear(&l->recipe);
    ste_xfree(l);
}

void ste_loop_clock_start(struct ste_loop_clock *c, const char *step, int iteration)
{
    *c = (struct ste_loop_clock){step, iteration, ste_now()};
    ste_profile_step(step);
}

/* Adds to what the step took before. A step that is interrupted is not counted. */
int ste_loop_clock_stop(struct ste_loop *l, const struct ste_loop_clock *c, struct ste_err *err)
{
    return ste_add_work(l->store, c->step, c->iteration, ste_now() - c->began, err);
}
