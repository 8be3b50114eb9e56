/* What the runs of a sweep share: folders whose runs stand behind some step, and copies of them. */
#include <limits.h>
#include <string.h>

#include "core/file.h"
#include "core/mem.h"
#include "loop/internal.h"
#include "loop/sweep.h"
#include "store/run.h"

/* The last step before STEP behind which some other point goes another way than a run of R; 0: there is none. */
static int branch_before(const struct ste_sweep *s, const struct ste_recipe *r, int step)
{
    int last = 0;
    for (size_t i = 0; i < s->n_points; i++) {
        const int common = ste_recipe_common(r, &s->points[i].recipe);
        if (common < step && common > last)
            last = common;
    }
    return last;
}

/* The folder of what is done before STEP: its name derives from the options that decide it. */
static char *shared_dir(const struct ste_sweep *s, const struct ste_recipe *before, int step)
{
    char *json = ste_recipe_json(before, true);
    char *dir = ste_xasprintf("%s/shared/%.16s", s->folder, ste_id_of("shared", json, ste_digits(step).s, NULL).s);
    ste_xfree(json);
    return dir;
}

/* The run of L, which stands before STEP, as a run of R in DIR. What "auto" is settled to goes with it. */
static int copy(struct ste_loop *l, const struct ste_recipe *r, int step, const char *dir, struct ste_err *err)
{
    struct ste_recipe fresh;
    char *json = ste_recipe_json(r, false);
    int rc = ste_recipe_from_json(&fresh, json, err);
    ste_xfree(json);
    ste_options_take(ste_recipe_options, &fresh, &l->recipe, step);
    fresh.iterations = r->iterations;
    ste_recipe_settle(&fresh, NULL);
    json = ste_recipe_json(&fresh, true);
    if (rc == 0)
        rc = ste_run_copy_adapters(ste_store_dir(l->store), dir, err);
    if (rc == 0)
        rc = ste_store_copy(l->store, dir, json, err);
    ste_xfree(json);
    ste_recipe_clear(&fresh);
    return rc;
}

static bool has_store(const char *dir)
{
    char *path = ste_path_join(dir, STE_RUN_DATABASE);
    const bool there = ste_file_exists(path);
    ste_xfree(path);
    return there;
}

static int open_run(struct ste_sweep *s, const char *dir, const struct ste_recipe *r, struct ste_loop **out,
                    struct ste_err *err)
{
    int rc = ste_loop_open(out, dir, r, err);
    if (rc == 0)
        (*out)->open_llm = s->open_llm;
    return rc;
}

/* Makes DIR, which is to be a run by R up to STEP, a copy of what others share with it, if that is anything. */
static int begin(struct ste_sweep *s, const struct ste_recipe *r, int step, const char *dir, struct ste_err *err)
{
    const int from = branch_before(s, r, step);
    if (from == 0 || has_store(dir))
        return 0;
    struct ste_recipe before;
    ste_recipe_before(&before, r, from);
    char *shared = shared_dir(s, &before, from);
    struct ste_loop *l = NULL;
    int rc = begin(s, &before, from, shared, err);
    if (rc == 0)
        rc = open_run(s, shared, &before, &l, err);
    if (rc == 0)
        rc = ste_loop_run_before(l, from, err);
    if (rc == 0)
        rc = copy(l, r, from, dir, err);
    ste_loop_close(l);
    ste_xfree(shared);
    ste_recipe_clear(&before);
    return rc;
}

static void set_seed(struct ste_sweep *s, size_t seed)
{
    for (size_t i = 0; i < s->n_points; i++)
        s->points[i].recipe.seed = s->seeds[seed];
}

static bool plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

char *ste_sweep_dir(const struct ste_sweep *s, size_t point, size_t seed)
{
    enum { MOST = 80 };
    const char *name = s->points[point].name;
    struct ste_buf b = STE_BUF_INIT;
    ste_buf_adds(&b, *name == '.' ? "point" : "");
    for (const char *c = name; *c && b.len < MOST; c++) {
        if (!plain(*c) && !strchr("._=,+-", *c))
            continue;
        if (c > name && plain(*c) && plain(b.len ? b.s[b.len - 1] : '.') && c[-1] != b.s[b.len - 1])
            ste_buf_addc(&b, '-'); /* for what was left out between two words */
        ste_buf_addc(&b, *c);
    }
    if (b.len == 0 || strcmp(b.s, name) != 0) /* not the whole name: what tells it from others */
        ste_buf_addf(&b, "-%.6s", ste_id_of("point", name, NULL).s);
    char *dir = ste_xasprintf("%s/%s-seed-%lld", s->folder, b.s, s->seeds[seed]);
    ste_buf_clear(&b);
    return dir;
}

int ste_sweep_open(struct ste_sweep *s, size_t point, size_t seed, struct ste_loop **out, struct ste_err *err)
{
    const struct ste_recipe *r = &s->points[point].recipe;
    char *dir = ste_sweep_dir(s, point, seed);
    set_seed(s, seed);
    int rc = begin(s, r, INT_MAX, dir, err);
    if (rc == 0)
        rc = open_run(s, dir, r, out, err);
    ste_xfree(dir);
    return rc;
}

int ste_sweep_shares(struct ste_sweep *s, size_t point, size_t seed, int step, char **folder)
{
    const struct ste_recipe *r = &s->points[point].recipe;
    set_seed(s, seed);
    const int from = branch_before(s, r, step);
    *folder = NULL;
    if (from > 0) {
        struct ste_recipe before;
        ste_recipe_before(&before, r, from);
        *folder = shared_dir(s, &before, from);
        ste_recipe_clear(&before);
    }
    return from;
}
