#include "data/embedded.h"

#include <string.h>

#include "core/file.h"
#include "core/mem.h"
#include "core/strings.h"
#include "core/yaml.h"

const struct ste_embedded *ste_embedded_find(const char *name)
{
    for (const struct ste_embedded *f = ste_embedded_files; f->name; f++)
        if (strcmp(f->name, name) == 0)
            return f;
    return NULL;
}

char *ste_yaml_stem(const char *name)
{
    const char *base = ste_path_base(name);
    return ste_xstrndup(base, strlen(base) - (ste_ends_in(base, ".yaml") ? 5 : 0));
}

static void unknown(const char *name, const char *kind, const char *called, struct ste_err *err)
{
    struct ste_strings names = {0};
    struct ste_buf list = STE_BUF_INIT;
    const size_t n = strlen(kind);
    for (const struct ste_embedded *f = ste_embedded_files; f->name; f++)
        if (strncmp(f->name, kind, n) == 0 && f->name[n] == '/' && !strchr(f->name + n + 1, '/')) {
            char *stem = ste_yaml_stem(f->name);
            ste_buf_addf(&list, "%s%s", names.n ? ", " : "", stem);
            ste_strings_add(&names, stem);
            ste_xfree(stem);
        }
    ste_strings_add(&names, NULL);
    const char *near = ste_nearest(name, (const char *const *)names.items);
    ste_err_set(err, STE_ENOTFOUND, "no %s \"%s\": the built-in ones are %s; %s%s%s", called, name, list.s,
                near ? "did you mean " : "your own is given by its path (it holds a / or ends in .yaml)",
                near ? near : "", near ? "?" : "");
    ste_buf_clear(&list);
    ste_strings_clear(&names);
}

json_t *ste_named_yaml(const char *name, const char *folder, const char *kind, const char *called, char **what,
                       struct ste_err *err)
{
    char *file = strchr(name, '/') || ste_ends_in(name, ".yaml") ? ste_xstrdup(name) : NULL;
    if (!file && folder) {
        file = ste_xasprintf("%s/%s.yaml", folder, name);
        if (!ste_file_exists(file)) {
            ste_xfree(file);
            file = NULL;
        }
    }
    *what = ste_xasprintf("%s/%s.yaml", kind, name);
    const struct ste_embedded *e = ste_embedded_find(*what);
    if (file && !(e && !ste_file_exists(file))) { /* "ablations/kind" may be a built-in one */
        ste_xfree(*what);
        *what = file;
        return ste_yaml_load(file, err);
    }
    ste_xfree(file);
    if (e)
        return ste_yaml_parse(e->bytes, e->size, *what, err);
    unknown(name, kind, called, err);
    return NULL;
}
