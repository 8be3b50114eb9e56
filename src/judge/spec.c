#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/mem.h"
#include "core/yaml.h"
#include "data/catalogue.h"
#include "judge/judge.h"

static const char recipe_name[] = "recipe.resolved.yaml";

static bool is_run(const char *dir)
{
    char *path = ste_path_join(dir, recipe_name);
    bool is = ste_file_exists(path);
    free(path);
    return is;
}

static char *adapter_path(const char *run, long iteration)
{
    return ste_xasprintf("%s/adapters/iter-%ld", run, iteration);
}

static bool has_adapter(const char *run, long iteration)
{
    char *dir = adapter_path(run, iteration), *config = ste_path_join(dir, "adapter_config.json");
    bool has = ste_file_exists(config);
    free(config);
    free(dir);
    return has;
}

/* A number of 1 to 6 digits and nothing else, or -1. */
static long small_number(const char *s)
{
    size_t n = strspn(s, "0123456789");
    return n == 0 || n > 6 || s[n] ? -1 : strtol(s, NULL, 10);
}

/* The largest N for which the run has adapters/iter-N; 0: none. */
static long newest_iteration(const char *run)
{
    long newest = 0;
    char *dir = ste_path_join(run, "adapters");
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));) {
        long n = strncmp(e->d_name, "iter-", 5) == 0 ? small_number(e->d_name + 5) : -1;
        if (n > newest && has_adapter(run, n))
            newest = n;
    }
    if (d)
        closedir(d);
    free(dir);
    return newest;
}

/* A text of the recipe, or NULL where it says nothing. */
static char *recipe_text(const json_t *recipe, const char *section, const char *key)
{
    const char *s = json_string_value(json_object_get(json_object_get(recipe, section), key));
    return s && *s ? ste_xstrdup(s) : NULL;
}

/* ITERATION -1: the newest. */
static int read_run(struct ste_judge_spec *out, const char *run, long iteration, struct ste_err *err)
{
    char *path = ste_path_join(run, recipe_name);
    json_t *recipe = ste_yaml_load(path, err);
    int rc = recipe ? 0 : STE_EINPUT;
    if (!rc) {
        out->model = recipe_text(recipe, "models", "seed");
        out->pack = recipe_text(recipe, "prompts", "pack");
        out->pack_folder = recipe_text(recipe, "prompts", "folder");
        out->mode = recipe_text(recipe, "verdict", "mode");
        if (out->mode && strcmp(out->mode, "free") != 0 && strcmp(out->mode, "closed") != 0) {
            free(out->mode); /* "pack": as the pack says */
            out->mode = NULL;
        }
        if (!out->model)
            rc = ste_err_set(err, STE_EINPUT, "%s does not name the run's seed model (models.seed)", path);
    }
    json_decref(recipe);
    free(path);
    if (rc || iteration == 0)
        return rc;
    long newest = newest_iteration(run);
    if (newest == 0)
        return ste_err_set(err, STE_ENOTFOUND, "run %s has no trained iteration yet; %s:0 is its seed model", run, run);
    if (iteration < 0)
        iteration = newest;
    if (!has_adapter(run, iteration))
        return ste_err_set(err, STE_ENOTFOUND, "run %s has no adapter of iteration %ld; its newest iteration is %ld",
                           run, iteration, newest);
    out->adapter = adapter_path(run, iteration);
    out->run = ste_xstrdup(run);
    return 0;
}

/* A PEFT folder names its base: an adapter to judge with (`ste sft`, or another trainer's), or a reward model. */
static bool read_peft(struct ste_judge_spec *out, const char *dir)
{
    char *path = ste_path_join(dir, "adapter_config.json");
    json_t *c = json_load_file(path, 0, NULL);
    const char *task = json_string_value(json_object_get(c, "task_type")),
               *base = json_string_value(json_object_get(c, "base_model_name_or_path"));
    bool named = base && *base;
    out->reward = task && strcmp(task, "SEQ_CLS") == 0;
    if (named) {
        out->model = ste_xstrdup(base);
        out->adapter = ste_xstrdup(dir);
        out->named_by = path;
        out->run = ste_path_join(dir, "../.."); /* RUN/adapters/iter-N */
        if (!is_run(out->run)) {
            free(out->run);
            out->run = NULL;
        }
    } else {
        free(path);
    }
    json_decref(c);
    return named;
}

int ste_judge_spec_parse(struct ste_judge_spec *out, const char *judge, struct ste_err *err)
{
    static const char prefix[] = "likelihood:";
    *out = (struct ste_judge_spec){.likelihood = strncmp(judge, prefix, sizeof prefix - 1) == 0};
    judge += out->likelihood ? sizeof prefix - 1 : 0;
    if (!*judge)
        return ste_err_set(err, STE_EUSAGE,
                           "the judge has no name: give a catalogue name, a .gguf path, RUN[:ITERATION] or the folder "
                           "of an adapter");
    int rc = 0;
    const char *colon = strrchr(judge, ':');
    char *before = colon ? ste_xstrndup(judge, (size_t)(colon - judge)) : NULL;
    if (is_run(judge)) {
        rc = read_run(out, judge, -1, err);
    } else if (before && is_run(before)) {
        long iteration = small_number(colon + 1);
        rc = iteration < 0 ? ste_err_set(err, STE_EUSAGE,
                                         "%s: \"%s\" is no iteration of run %s; it is a number, 0 for "
                                         "the seed",
                                         judge, colon + 1, before)
                           : read_run(out, before, iteration, err);
    } else if (ste_is_folder(judge) && read_peft(out, judge)) {
        rc = 0;
    } else if (ste_is_folder(judge) || (before && ste_is_folder(before))) {
        rc = ste_err_set(err, STE_ENOTFOUND,
                         "folder %s is not a run: it has no %s, nor is it an adapter's: it has no adapter_config.json "
                         "that names its base_model_name_or_path",
                         ste_is_folder(judge) ? judge : before, recipe_name);
    } else {
        out->model = ste_xstrdup(judge); /* opening it says whether there is one */
    }
    free(before);
    if (!rc && out->likelihood && out->reward)
        rc = ste_err_set(err, STE_EUSAGE, "%s is a reward model; only a model that writes text has likelihoods", judge);
    if (rc)
        ste_judge_spec_clear(out);
    return rc;
}

int ste_judge_spec_base(struct ste_judge_spec *s, const char *base, const char *help, struct ste_err *err)
{
    char *path = NULL;
    struct ste_err why = {0};
    if (base && !s->named_by)
        return ste_err_set(err, STE_EUSAGE, "%s is no adapter's folder, so there is no base to name (%s)", s->model,
                           base);
    if (base) {
        free(s->model);
        s->model = ste_xstrdup(base);
    } else if (s->named_by && ste_model_resolve(s->model, &path, &why)) {
        return ste_err_set(err, why.code,
                           "%s says that the adapter's base is %.200s, which is no model here: %.300s; %s", s->named_by,
                           s->model, why.msg, help);
    }
    free(path);
    return 0;
}

void ste_judge_spec_clear(struct ste_judge_spec *s)
{
    free(s->model);
    free(s->named_by);
    free(s->adapter);
    free(s->pack);
    free(s->pack_folder);
    free(s->mode);
    free(s->run);
    *s = (struct ste_judge_spec){0};
}
