#include <string.h>

#include "core/file.h"
#include "core/mem.h"
#include "core/yaml.h"
#include "data/catalogue.h"
#include "judge/judge.h"
#include "store/run.h"

/* A text of the recipe, or NULL where it says nothing. */
static char *recipe_text(const json_t *recipe, const char *section, const char *key)
{
    const char *s = json_string_value(json_object_get(json_object_get(recipe, section), key));
    return s && *s ? ste_xstrdup(s) : NULL;
}

/* ITERATION -1: the newest. */
static int read_run(struct ste_judge_spec *out, const char *run, long iteration, struct ste_err *err)
{
    char *path = ste_path_join(run, STE_RUN_RECIPE);
    json_t *recipe = ste_yaml_load(path, err);
    int rc = recipe ? 0 : STE_EINPUT;
    if (!rc) {
        out->model = recipe_text(recipe, "models", "seed");
        out->pack = recipe_text(recipe, "prompts", "pack");
        out->pack_folder = recipe_text(recipe, "prompts", "folder");
        out->chat_template = recipe_text(recipe, "engine", "chat_template");
        out->chat_date = recipe_text(recipe, "engine", "chat_date");
        char *objective = recipe_text(recipe, "train", "objective");
        out->reward = iteration != 0 && objective && strcmp(objective, "reward") == 0;
        ste_xfree(objective);
        const char *mode = json_string_value(json_object_get(json_object_get(recipe, "verdict"), "mode"));
        const int known = mode ? ste_name_find(ste_mode_names, mode) : -1;
        out->mode = known < 0 ? STE_MODE_PACK : (enum ste_verdict_mode)known;
        if (!out->model)
            rc = ste_err_set(err, STE_EINPUT, "%s does not name the run's seed model (models.seed)", path);
    }
    json_decref(recipe);
    ste_xfree(path);
    if (rc || iteration == 0)
        return rc;
    long newest = ste_run_newest(run);
    if (newest == 0)
        return ste_err_set(err, STE_ENOTFOUND, "run %s has no trained iteration yet; %s:0 is its seed model", run, run);
    if (iteration < 0)
        iteration = newest;
    if (!ste_run_has_adapter(run, iteration))
        return ste_err_set(err, STE_ENOTFOUND, "run %s has no adapter of iteration %ld; its newest iteration is %ld",
                           run, iteration, newest);
    out->adapter = ste_run_adapter(run, iteration);
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
        out->run = ste_run_of_adapter(dir);
    } else {
        ste_xfree(path);
    }
    json_decref(c);
    return named;
}

int ste_judge_spec_parse(struct ste_judge_spec *out, const char *judge, struct ste_err *err)
{
    static const char prefix[] = "likelihood:";
    *out = (struct ste_judge_spec){.likelihood = strncmp(judge, prefix, sizeof prefix - 1) == 0, .mode = STE_MODE_PACK};
    judge += out->likelihood ? sizeof prefix - 1 : 0;
    if (!*judge)
        return ste_err_set(err, STE_EUSAGE,
                           "the judge has no name: give a catalogue name, a .gguf path, RUN[:ITERATION] or the folder "
                           "of an adapter");
    int rc = 0;
    const char *colon = strrchr(judge, ':');
    char *before = colon ? ste_xstrndup(judge, (size_t)(colon - judge)) : NULL;
    if (ste_run_is(judge)) {
        rc = read_run(out, judge, -1, err);
    } else if (before && ste_run_is(before)) {
        long iteration = ste_run_iteration(colon + 1);
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
                         ste_is_folder(judge) ? judge : before, STE_RUN_RECIPE);
    } else {
        out->model = ste_xstrdup(judge); /* opening it says whether there is one */
    }
    ste_xfree(before);
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
        ste_xfree(s->model);
        s->model = ste_xstrdup(base);
    } else if (s->named_by && ste_model_resolve(s->model, &path, &why)) {
        return ste_err_set(err, why.code,
                           "%s says that the adapter's base is %.200s, which is no model here: %.300s; %s", s->named_by,
                           s->model, why.msg, help);
    }
    ste_xfree(path);
    return 0;
}

void ste_judge_spec_clear(struct ste_judge_spec *s)
{
    ste_xfree(s->model);
    ste_xfree(s->named_by);
    ste_xfree(s->adapter);
    ste_xfree(s->pack);
    ste_xfree(s->pack_folder);
    ste_xfree(s->chat_template);
    ste_xfree(s->chat_date);
    ste_xfree(s->run);
    *s = (struct ste_judge_spec){0};
}
