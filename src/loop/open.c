#include "loop/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/profile.h"
#include "loop/roles.h"
#include "store/reading.h"

static int check_pack(struct ste_loop *l, struct ste_err *err)
{
    const char *folder = *l->recipe.pack_folder ? l->recipe.pack_folder : NULL;
    int rc = ste_pack_load(&l->pack, l->recipe.pack, folder, err);
    if (rc != 0)
        return rc;
    char *hash = ste_store_meta(l->store, "pack_hash");
    bool begun = false;
    if (hash && strcmp(hash, l->pack->hash) != 0)
        rc = ste_store_has_begun(l->store, &begun, err);
    if (begun)
        rc = ste_err_set(err, STE_EUSAGE,
                         "the prompt pack %s is not the one that the run in %s was made with (its text changed): give "
                         "another folder with --run, or the old pack",
                         l->recipe.pack, ste_store_dir(l->store));
    free(hash);
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
    free(json);
    if (rc != 0)
        return rc;
    struct ste_buf yaml = STE_BUF_INIT;
    ste_recipe_write(&l->recipe, &yaml);
    char *path = ste_path_join(ste_store_dir(l->store), "recipe.resolved.yaml");
    rc = ste_file_write(path, yaml.s, yaml.len, err);
    free(path);
    ste_buf_clear(&yaml);
    return rc;
}

/* L's recipe, given by the user, in a run that has WAS. One that has not begun takes another: what it read is read
 * anew.
 */
static int continue_with(struct ste_loop *l, const struct ste_recipe *was, struct ste_err *err)
{
    bool begun;
    struct ste_err differs = {0};
    int rc = ste_store_has_begun(l->store, &begun, err);
    if (rc == 0)
        rc = ste_recipe_settle(&l->recipe, was, err);
    if (rc != 0 || ste_recipe_may_continue(was, &l->recipe, ste_store_dir(l->store), &differs) == 0)
        return rc;
    return begun ? ste_err_set(err, differs.code, "%s", differs.msg) : ste_store_empty(l->store, err);
}

/* L's recipe: R, or the run's own one. A deep copy of R goes over its JSON. */
static int take_recipe(struct ste_loop *l, const struct ste_recipe *r, struct ste_err *err)
{
    char *old = ste_store_meta(l->store, "recipe");
    int rc = 0;
    if (!old && !r)
        rc = ste_err_set(err, STE_ENOTFOUND, "the run in %s has no recipe yet: give one with --recipe",
                         ste_store_dir(l->store));
    if (rc == 0 && r) {
        char *json = ste_recipe_json(r, false);
        ste_recipe_clear(&l->recipe);
        rc = ste_recipe_from_json(&l->recipe, json, err);
        free(json);
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
    if (rc == 0)
        rc = ste_recipe_settle(&l->recipe, NULL, err);
    free(old);
    return rc;
}

int ste_loop_open(struct ste_loop **out, const char *dir, const struct ste_recipe *r, struct ste_err *err)
{
    struct ste_loop *l = ste_xcalloc(1, sizeof *l);
    ste_recipe_init(&l->recipe);
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
    char seed[32];
    snprintf(seed, sizeof seed, "%lld", l->recipe.seed);
    memcpy(l->secret, ste_id_of("fence secret", seed, NULL).s, sizeof l->secret);
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
    free(l);
}

void ste_loop_clock_start(struct ste_loop_clock *c, const char *step, int iteration)
{
    *c = (struct ste_loop_clock){step, iteration, ste_now()};
    ste_profile_step(step);
}

/* Adds to what an interrupted step has there already. */
int ste_loop_clock_stop(struct ste_loop *l, const struct ste_loop_clock *c, struct ste_err *err)
{
    return ste_store_exec(l->store, err,
                          "INSERT INTO work (step, iteration, seconds) VALUES (?, ?, ?) ON CONFLICT (step, iteration) "
                          "DO UPDATE SET seconds = seconds + excluded.seconds",
                          "tir", c->step, (int64_t)c->iteration, ste_now() - c->began);
}

const char *ste_loop_text(sqlite3_stmt *q, int column)
{
    const char *s = (const char *)sqlite3_column_text(q, column);
    return s ? s : "";
}

char *ste_loop_text_dup(sqlite3_stmt *q, int column)
{
    const char *s = (const char *)sqlite3_column_text(q, column);
    return s ? ste_xstrdup(s) : NULL;
}

int ste_loop_dialogue(const char *json, struct ste_dialogue *out, struct ste_err *err)
{
    json_t *list = ste_json_parse(json, strlen(json), "a dialogue in the store", err);
    if (!list)
        return STE_EINPUT;
    *out = (struct ste_dialogue){0};
    int rc = ste_dialogue_from_json(out, list, "a dialogue in the store", err);
    json_decref(list);
    return rc;
}

void ste_loop_tokens_pack(const int32_t *ids, size_t n, struct ste_buf *out)
{
    ste_buf_reserve(out, 4 * n + 1);
    for (size_t i = 0; i < n; i++) {
        uint32_t v = (uint32_t)ids[i];
        unsigned char b[4] = {(unsigned char)v, (unsigned char)(v >> 8), (unsigned char)(v >> 16),
                              (unsigned char)(v >> 24)};
        ste_buf_add(out, b, 4);
    }
}

int32_t *ste_loop_tokens_unpack(const void *blob, size_t bytes, size_t *n)
{
    const unsigned char *p = blob;
    *n = bytes / 4;
    int32_t *ids = ste_xmalloc((*n + 1) * sizeof *ids);
    for (size_t i = 0; i < *n; i++)
        ids[i] = (int32_t)((uint32_t)p[4 * i] | (uint32_t)p[4 * i + 1] << 8 | (uint32_t)p[4 * i + 2] << 16 |
                           (uint32_t)p[4 * i + 3] << 24);
    return ids;
}
