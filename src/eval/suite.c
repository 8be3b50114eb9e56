#include "eval/suite.h"

#include <math.h>
#include <string.h>

#include "core/file.h"
#include "core/json.h"
#include "core/mem.h"
#include "data/embedded.h"

static int weight_of(const json_t *v, const char *what, const char *of, double *out, struct ste_err *err)
{
    *out = json_is_number(v) ? json_number_value(v) : NAN;
    if (!(*out > 0) || isinf(*out))
        return ste_err_set(err, STE_EINPUT, "%s: the weight of %s must be a number above 0", what, of);
    return 0;
}

static bool known_subset(const struct ste_suite *s, const char *name)
{
    for (size_t i = 0; i < s->n_sections; i++)
        for (size_t k = 0; k < s->sections[i].n; k++)
            if (strcmp(s->sections[i].subsets[k].name, name) == 0)
                return true;
    return false;
}

static int read_section(struct ste_suite *s, const json_t *j, const char *what, struct ste_err *err)
{
    struct ste_suite_section *t = &s->sections[s->n_sections];
    const char *name;
    int rc = json_is_object(j) ? ste_json_string(j, "name", true, &name, what, err)
                               : ste_err_set(err, STE_EINPUT, "%s: a section has name and subsets", what);
    if (rc)
        return rc;
    const json_t *subsets = json_object_get(j, "subsets"), *weight = json_object_get(j, "weight");
    const char *key;
    json_t *v;
    *t = (struct ste_suite_section){.name = ste_xstrdup(name), .weight = 1};
    s->n_sections++;
    t->optional = json_is_true(json_object_get(j, "optional"));
    if (weight && (rc = weight_of(weight, what, name, &t->weight, err)))
        return rc;
    json_object_foreach((json_t *)j, key,
                        v) if (strcmp(key, "name") && strcmp(key, "subsets") && strcmp(key, "weight") &&
                               strcmp(key, "optional")) return ste_err_set(err, STE_EINPUT,
                                                                           "%s: section %s has the key \"%s\"; it "
                                                                           "knows name, subsets, weight, optional",
                                                                           what, name, key);
    if (!json_object_size(subsets))
        return ste_err_set(err, STE_EINPUT, "%s: section %s has no subsets: {NAME: weight, ...}", what, name);
    t->subsets = ste_xcalloc(json_object_size(subsets), sizeof *t->subsets);
    json_object_foreach((json_t *)subsets, key, v)
    {
        if (known_subset(s, key))
            return ste_err_set(err, STE_EINPUT, "%s: subset %s is in two sections", what, key);
        struct ste_suite_subset *u = &t->subsets[t->n];
        if ((rc = weight_of(v, what, key, &u->weight, err)))
            return rc;
        u->name = ste_xstrdup(key);
        t->n++;
    }
    return 0;
}

static int read_suite(struct ste_suite *s, const json_t *j, const char *what, struct ste_err *err)
{
    static const char *const keys[] = {"title", "format", "group_by", "files", "sections"};
    const char *title = s->name, *format = "pairs", *group_by = "subset", *key;
    json_t *v;
    json_object_foreach((json_t *)j, key, v)
    {
        bool known = false;
        for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
            known |= strcmp(key, keys[i]) == 0;
        if (!known)
            return ste_err_set(err, STE_EINPUT,
                               "%s: a suite has no \"%s\"; it knows title, format, group_by, files, sections", what,
                               key);
    }
    int rc = ste_json_string(j, "title", false, &title, what, err);
    if (!rc)
        rc = ste_json_string(j, "format", false, &format, what, err);
    if (!rc)
        rc = ste_json_string(j, "group_by", false, &group_by, what, err);
    if (!rc)
        rc = ste_pairs_kind_by_name(format, &s->format, what, err);
    if (rc)
        return rc;
    s->title = ste_xstrdup(title);
    s->group_by = ste_xstrdup(group_by);
    size_t i;
    const json_t *files = json_object_get(j, "files"), *sections = json_object_get(j, "sections");
    json_array_foreach((json_t *)files, i, v)
    {
        if (!json_is_string(v))
            return ste_err_set(err, STE_EINPUT, "%s: files is a list of names", what);
        ste_strings_add(&s->files, json_string_value(v));
    }
    s->sections = ste_xcalloc(json_array_size(sections) + 1, sizeof *s->sections);
    json_array_foreach((json_t *)sections, i, v) if ((rc = read_section(s, v, what, err))) return rc;
    return 0;
}

int ste_suite_load(struct ste_suite **out, const char *name, struct ste_err *err)
{
    char *what;
    json_t *j = ste_named_yaml(name, NULL, "suites", "suite", &what, err);
    *out = NULL;
    if (!j) {
        ste_xfree(what);
        return err && err->code ? err->code : STE_EINPUT;
    }
    struct ste_suite *s = ste_xcalloc(1, sizeof *s);
    s->name = ste_path_stem(name);
    int rc = json_is_object(j)
                 ? read_suite(s, j, what, err)
                 : ste_err_set(err, STE_EINPUT, "%s: a suite is a mapping of title, files and so on", what);
    json_decref(j);
    ste_xfree(what);
    if (rc)
        ste_suite_free(s);
    else
        *out = s;
    return rc;
}

void ste_suite_free(struct ste_suite *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n_sections; i++) {
        for (size_t k = 0; k < s->sections[i].n; k++)
            ste_xfree(s->sections[i].subsets[k].name);
        ste_xfree(s->sections[i].subsets);
        ste_xfree(s->sections[i].name);
    }
    ste_xfree(s->sections);
    ste_strings_clear(&s->files);
    ste_xfree(s->name);
    ste_xfree(s->title);
    ste_xfree(s->group_by);
    ste_xfree(s);
}

int ste_suite_files(const struct ste_suite *s, const struct ste_strings *given, bool partial, struct ste_strings *out,
                    struct ste_err *err)
{
    for (size_t i = 0; i < given->n; i++) {
        if (!ste_is_folder(given->items[i])) {
            ste_strings_add(out, given->items[i]);
            continue;
        }
        if (!s || !s->files.n)
            return ste_err_set(err, STE_EUSAGE,
                               "--data %s is a folder, and %s names no files in it; give the files themselves",
                               given->items[i], s ? "the suite" : "no suite");
        for (size_t k = 0; k < s->files.n; k++) {
            char *path = ste_path_join(given->items[i], s->files.items[k]);
            if (ste_file_exists(path) || !partial)
                ste_strings_add(out, path);
            ste_xfree(path);
        }
    }
    return 0;
}
