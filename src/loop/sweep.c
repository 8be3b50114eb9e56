/* What a sweep consists of: its points, from the command line and from files. */
#include "loop/sweep.h"

#include <limits.h>
#include <string.h>

#include "core/file.h"
#include "core/json.h"
#include "core/mem.h"
#include "data/embedded.h"
#include "data/pairs.h"

/* One value of an axis: options that are set together. */
struct choice {
    char *name, *text; /* TEXT: the value of the axis's key; NULL: */
    json_t *load;      /* a mapping as in a recipe */
};
struct axis {
    char *key; /* NULL: the file's points */
    struct choice *choices;
    size_t n, cap;
};
struct plan {
    const char *name, *recipe; /* as the user named them */
    json_t *file;              /* NULL: no file of a sweep */
    struct axis *axes;
    size_t n, cap;
};

static void plan_clear(struct plan *p)
{
    for (size_t i = 0; i < p->n; i++) {
        for (size_t k = 0; k < p->axes[i].n; k++) {
            ste_xfree(p->axes[i].choices[k].name);
            ste_xfree(p->axes[i].choices[k].text);
            json_decref(p->axes[i].choices[k].load);
        }
        ste_xfree(p->axes[i].choices);
        ste_xfree(p->axes[i].key);
    }
    ste_xfree(p->axes);
    json_decref(p->file);
}

/* ---- axes ---- */

static struct axis *add_axis(struct plan *p, const char *key, struct ste_err *err)
{
    const struct ste_option *o = key ? ste_options_find(ste_recipe_options, key) : NULL;
    if (key && strcmp(key, "seed") == 0)
        ste_err_set(err, STE_EUSAGE, "seeds are no axis of the grid: --seeds 1,2,3 gives them");
    else if (o && o->speed_only)
        ste_err_set(err, STE_EUSAGE, "%s changes only the speed: every point would come to the same", key);
    else {
        for (size_t i = 0; key && i < p->n; i++)
            if (p->axes[i].key && strcmp(p->axes[i].key, key) == 0) {
                ste_err_set(err, STE_EUSAGE, "the grid has %s twice: give all its values at once", key);
                return NULL;
            }
        STE_GROW(p->axes, p->cap, p->n + 1);
        p->axes[p->n] = (struct axis){.key = key ? ste_xstrdup(key) : NULL};
        return &p->axes[p->n++];
    }
    return NULL;
}

/* NAME and TEXT are taken. */
static void add_choice(struct axis *a, char *name, char *text, json_t *load)
{
    STE_GROW(a->choices, a->cap, a->n + 1);
    a->choices[a->n++] = (struct choice){name, text, load ? json_incref(load) : NULL};
}

/* Up to the next comma outside of brackets, braces and quotes. */
static size_t value_length(const char *s)
{
    int deep = 0;
    char quote = 0;
    size_t i = 0;
    for (; s[i] && (deep > 0 || quote || s[i] != ','); i++) {
        if (quote)
            quote = s[i] == quote ? 0 : quote;
        else if (strchr("\"'", s[i]))
            quote = s[i];
        else
            deep += s[i] == '[' || s[i] == '{' ? 1 : s[i] == ']' || s[i] == '}' ? -1 : 0;
    }
    return i;
}

static int add_grid(struct plan *p, const char *text, struct ste_err *err)
{
    const char *value = strchr(text, '=');
    if (!value || value == text || !value[1])
        return ste_err_set(err, STE_EUSAGE, "--grid takes key=value,value, as in train.lr=1e-4,3e-4, not \"%s\"", text);
    char *key = ste_xstrndup(text, (size_t)(value - text));
    struct axis *a = add_axis(p, key, err);
    while (a && *value) {
        const size_t n = value_length(++value);
        add_choice(a, ste_xasprintf("%s=%.*s", key, (int)n, value), ste_xstrndup(value, n), NULL);
        value += n;
    }
    ste_xfree(key);
    return a ? 0 : STE_EUSAGE;
}

/* "key=value" with a value of YAML as it would be written by hand. */
static char *name_of(const char *key, const json_t *v)
{
    char *text = json_dumps(v, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6)), *to = text;
    for (const char *from = text; from && *from; from++)
        if (*from != '"')
            *to++ = *from;
    *to = '\0';
    char *name = ste_xasprintf("%s=%s", key, text);
    ste_xfree(text);
    return name;
}

static int add_file_grid(struct plan *p, const json_t *grid, struct ste_err *err)
{
    const char *key;
    json_t *values, *v;
    size_t i;
    if (grid && !json_is_object(grid))
        return ste_err_set(err, STE_EINPUT, "%s: grid must be a mapping of options to lists of values", p->name);
    json_object_foreach((json_t *)grid, key, values)
    {
        struct axis *a = add_axis(p, key, err);
        if (!a)
            return ste_err_wrap(err, "%s", p->name);
        if (json_array_size(values) == 0)
            return ste_err_set(err, STE_EINPUT, "%s: grid: %s must be a list of values", p->name, key);
        json_array_foreach(values, i, v)
        {
            json_t *load = json_object();
            json_object_set(load, key, v);
            add_choice(a, name_of(key, v), NULL, load);
            json_decref(load);
        }
    }
    return 0;
}

static int add_file_points(struct plan *p, const json_t *points, struct ste_err *err)
{
    const char *name;
    json_t *v;
    if (!points)
        return 0;
    if (json_object_size(points) == 0)
        return ste_err_set(err, STE_EINPUT, "%s: points must be a mapping of names to options", p->name);
    struct axis *a = add_axis(p, NULL, err);
    json_object_foreach((json_t *)points, name, v) add_choice(a, ste_xstrdup(name), NULL, v);
    return 0;
}

/* Reads NAME, and decides whether it is a recipe or a sweep. */
static int read_file(struct plan *p, struct ste_err *err)
{
    static const char *const keys[] = {"recipe", "set", "points", "grid", "seeds", "data", "sample", NULL};
    char *what = NULL;
    const char *key;
    json_t *v;
    p->recipe = p->name;
    json_t *yaml = ste_named_yaml(p->name, NULL, "recipes", "recipe or sweep", &what, err);
    ste_xfree(what);
    if (!yaml)
        return err ? err->code : STE_EFAIL;
    if (!json_object_get(yaml, "recipe")) {
        json_decref(yaml);
        return 0;
    }
    p->file = yaml;
    json_object_foreach(yaml, key, v) if (ste_name_find(keys, key) < 0) return ste_err_set(
        err, STE_EINPUT, "%s: a sweep has recipe, set, points, grid, seeds, data and sample, but no \"%s\"", p->name,
        key);
    p->recipe = json_string_value(json_object_get(yaml, "recipe"));
    if (!p->recipe)
        return ste_err_set(err, STE_EINPUT, "%s: recipe must be the name or the path of a recipe", p->name);
    int rc = add_file_points(p, json_object_get(yaml, "points"), err);
    return rc == 0 ? add_file_grid(p, json_object_get(yaml, "grid"), err) : rc;
}

/* ---- points ---- */

static int set_choice(struct ste_recipe *r, const struct plan *p, const struct axis *a, const struct choice *c,
                      struct ste_err *err)
{
    if (!c->text)
        return ste_options_load(ste_recipe_options, r, c->load, p->name, err);
    char *name = ste_xasprintf("--grid %s", a->key);
    int rc = ste_options_put(ste_recipe_options, r, a->key, name, c->text, false, err);
    ste_xfree(name);
    return rc;
}

/* The point whose choice of axis I is AT[I]. */
static int make_point(const struct plan *p, const size_t *at, const struct ste_sweep_options *o,
                      struct ste_sweep_point *out, struct ste_err *err)
{
    struct ste_buf name = STE_BUF_INIT;
    const json_t *set = json_object_get(p->file, "set");
    int rc = ste_recipe_load(&out->recipe, p->recipe, err);
    if (rc == 0 && set)
        rc = ste_options_load(ste_recipe_options, &out->recipe, set, p->name, err);
    for (size_t i = 0; rc == 0 && i < o->sets.n; i++)
        rc = ste_options_set(ste_recipe_options, &out->recipe, o->sets.items[i], err);
    for (size_t i = 0; i < p->n; i++) {
        const struct choice *c = &p->axes[i].choices[at[i]];
        ste_buf_addf(&name, "%s%s", i ? "," : "", c->name);
        if (rc == 0)
            rc = set_choice(&out->recipe, p, &p->axes[i], c, err);
    }
    if (p->n == 0) {
        char *stem = ste_yaml_stem(p->recipe);
        ste_buf_adds(&name, stem);
        ste_xfree(stem);
    }
    out->name = ste_buf_detach(&name);
    if (rc == 0 && (rc = ste_recipe_check(&out->recipe, err)) != 0)
        ste_err_wrap(err, "the point %s", out->name);
    return rc;
}

static int make_points(struct ste_sweep *s, const struct plan *p, const struct ste_sweep_options *o,
                       struct ste_err *err)
{
    size_t n = 1;
    for (size_t i = 0; i < p->n; i++)
        n *= p->axes[i].n;
    s->points = ste_xcalloc(n, sizeof *s->points);
    size_t *at = ste_xcalloc(p->n + 1, sizeof *at);
    int rc = 0;
    for (size_t k = 0; rc == 0 && k < n; k++) {
        for (size_t i = p->n, rest = k; i-- > 0; rest /= p->axes[i].n)
            at[i] = rest % p->axes[i].n; /* the last axis changes first */
        rc = make_point(p, at, o, &s->points[s->n_points++], err);
        for (size_t j = 0; rc == 0 && j < k; j++)
            if (ste_recipe_common(&s->points[j].recipe, &s->points[k].recipe) == INT_MAX)
                rc = ste_err_set(err, STE_EUSAGE, "the points %s and %s are the same: take one of them out",
                                 s->points[j].name, s->points[k].name);
    }
    ste_xfree(at);
    return rc;
}

static int take_seeds(struct ste_sweep *s, const struct ste_strings *seeds, struct ste_err *err)
{
    struct ste_recipe r; /* its table says what a seed may be */
    ste_recipe_init(&r);
    int rc = 0;
    s->seeds = ste_xcalloc(seeds->n + 1, sizeof *s->seeds);
    for (size_t i = 0; rc == 0 && i < seeds->n; i++) {
        rc = ste_options_put(ste_recipe_options, &r, "seed", "a seed", seeds->items[i], false, err);
        for (size_t k = 0; rc == 0 && k < s->n_seeds; k++)
            if (s->seeds[k] == r.seed)
                rc = ste_err_set(err, STE_EUSAGE, "the seed %lld is there twice", r.seed);
        s->seeds[s->n_seeds++] = r.seed;
    }
    if (seeds->n == 0)
        s->seeds[s->n_seeds++] = s->points[0].recipe.seed;
    ste_recipe_clear(&r);
    return rc;
}

/* KEY of the file as a list, where the command line, in OUT, says nothing. */
static int list_of(const struct plan *p, const char *key, struct ste_strings *out, struct ste_err *err)
{
    const json_t *v = json_object_get(p->file, key);
    for (size_t i = 0, n = out->n ? 0 : json_is_array(v) ? json_array_size(v) : v != NULL; i < n; i++) {
        char *item = ste_json_name(json_is_array(v) ? json_array_get(v, i) : v);
        if (!item)
            return ste_err_set(err, STE_EINPUT, "%s: %s must be a list", p->name, key);
        ste_strings_add(out, item);
        ste_xfree(item);
    }
    return 0;
}

static void copy_list(struct ste_strings *to, const struct ste_strings *from)
{
    ste_strings_clear(to);
    for (size_t i = 0; i < from->n; i++)
        ste_strings_add(to, from->items[i]);
}

/* Where the drawn rows of the file called NAME stand. */
static char *drawn_path(const struct ste_sweep *s, const char *name)
{
    char *path = ste_xasprintf("%s/data/%s.jsonl", s->folder, name);
    for (char *c = path + strlen(s->folder) + strlen("/data/"); *c; c++)
        *c = *c == '/' ? '-' : *c;
    return path;
}

/* DATA as the eval.files of every point: the files, or what is to be drawn of them. */
static int take_data(struct ste_sweep *s, const struct plan *p, const struct ste_sweep_options *o, struct ste_err *err)
{
    struct ste_strings names = {0}, drawn = {0};
    copy_list(&s->data, &o->data);
    s->sample = o->sample;
    int rc = list_of(p, "data", &s->data, err);
    if (rc == 0 && !s->sample)
        rc = ste_json_int(p->file, "sample", false, &s->sample, p->name, err);
    if (rc == 0 && s->sample && (s->sample < 0 || s->data.n == 0))
        rc = ste_err_set(err, STE_EUSAGE, "sample: so many rows of each file of data are drawn: name some by --data");
    if (rc == 0 && s->sample)
        rc = ste_pairs_names(&s->data, &names, err);
    for (size_t i = 0; rc == 0 && i < names.n; i++) {
        char *path = drawn_path(s, names.items[i]);
        ste_strings_add(&drawn, path);
        ste_xfree(path);
    }
    for (size_t i = 0; rc == 0 && s->data.n && i < s->n_points; i++)
        copy_list(&s->points[i].recipe.eval_files, s->sample ? &drawn : &s->data);
    ste_strings_clear(&names);
    ste_strings_clear(&drawn);
    return rc;
}

int ste_sweep_plan(struct ste_sweep **out, const char *name, const char *folder, const struct ste_sweep_options *o,
                   struct ste_err *err)
{
    struct plan p = {.name = name};
    struct ste_strings seeds = {0};
    struct ste_sweep *s = ste_xcalloc(1, sizeof *s);
    s->folder = ste_xstrdup(folder);
    s->open_llm = ste_llm_open;
    s->lock = -1;
    int rc = read_file(&p, err);
    for (size_t i = 0; rc == 0 && i < o->grid.n; i++)
        rc = add_grid(&p, o->grid.items[i], err);
    if (rc == 0)
        rc = make_points(s, &p, o, err);
    copy_list(&seeds, &o->seeds);
    if (rc == 0)
        rc = list_of(&p, "seeds", &seeds, err);
    if (rc == 0)
        rc = take_seeds(s, &seeds, err);
    if (rc == 0)
        rc = take_data(s, &p, o, err);
    if (rc == 0)
        s->name = ste_xstrdup(p.recipe);
    ste_strings_clear(&seeds);
    plan_clear(&p);
    if (rc == 0)
        *out = s;
    else
        ste_sweep_free(s);
    return rc;
}

void ste_sweep_free(struct ste_sweep *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n_points; i++) {
        ste_xfree(s->points[i].name);
        ste_recipe_clear(&s->points[i].recipe);
    }
    if (s->lock >= 0)
        ste_unlock(s->lock);
    ste_strings_clear(&s->data);
    ste_xfree(s->points);
    ste_xfree(s->seeds);
    ste_xfree(s->name);
    ste_xfree(s->folder);
    ste_xfree(s);
}

/* ---- its folder ---- */

/* The drawn rows with the ids that they have in the whole file. */
static int write_drawn(const struct ste_sweep *s, const struct ste_answer_pairs *pairs, struct ste_err *err)
{
    struct ste_jsonl_writer *w;
    char *path = drawn_path(s, pairs->name);
    int rc = ste_jsonl_create(&w, path, err);
    ste_xfree(path);
    if (rc != 0)
        return rc;
    for (size_t i = 0; rc == 0 && i < pairs->n; i++) {
        const struct ste_answer_pair *p = &pairs->items[i];
        if (i > 0 && p->line == pairs->items[i - 1].line)
            continue; /* of several answers: the row is there */
        json_t *row = json_copy(p->row);
        if (!json_object_get(row, "id"))
            json_object_set_new(row, "id", json_string(p->row_id ? p->row_id : p->id));
        rc = ste_jsonl_write(w, row, err);
        json_decref(row);
    }
    return ste_jsonl_end(w, rc, err);
}

int ste_sweep_begin(struct ste_sweep *s, struct ste_err *err)
{
    int rc = ste_mkdirs(s->folder, err);
    char *lock = ste_path_join(s->folder, "sweep.lock"), *folder = ste_path_join(s->folder, "data");
    if (rc == 0)
        rc = ste_lock_signed(lock, &s->lock, err);
    if (rc == 0 && s->sample) {
        const struct ste_pairs_params p = {.sample = (size_t)s->sample, .seed = (uint64_t)s->seeds[0]};
        struct ste_pair_files files = {0};
        rc = ste_mkdirs(folder, err);
        if (rc == 0)
            rc = ste_pair_files_read(&files, &s->data, STE_PAIRS_LABELLED, &p, err);
        for (size_t i = 0; rc == 0 && i < files.n; i++)
            rc = write_drawn(s, &files.files[i], err);
        ste_pair_files_clear(&files);
    }
    ste_xfree(lock);
    ste_xfree(folder);
    return rc;
}
