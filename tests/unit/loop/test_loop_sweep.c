/* Sweeps over a language model of paper: what options are marked to change is all that they change, and a run that
 * takes a copy of what it shares comes to the bytes of a run alone. */
#include "paper.h"

#include <limits.h>

#include "data/embedded.h"
#include "loop/sweep.h"

static int add_line(void *arg, const char *json, struct ste_err *err)
{
    ste_buf_adds(arg, json);
    ste_buf_addc(arg, '\n');
    return 0;
}

/* Goes on with L, which it closes, to STEP, and gives the dump. */
static char *dump_at(struct ste_loop *l, int step)
{
    struct ste_err err = {0};
    struct ste_buf dump = STE_BUF_INIT;
    if (ste_loop_run_before(l, step, &err) != 0 || ste_store_dump(l->store, add_line, &dump, &err) != 0)
        fail_msg("%s", err.msg);
    ste_loop_close(l);
    return ste_buf_detach(&dump);
}

/* As a run alone, in a folder of its own. */
static char *dump_alone(const struct ste_recipe *r, int step)
{
    static int n;
    struct ste_err err = {0};
    struct ste_loop *l;
    char *dir = ste_xasprintf("%s/alone-%d", base, n++);
    if (open_loop(&l, dir, r, &err) != 0)
        fail_msg("%s", err.msg);
    free(dir);
    return dump_at(l, step);
}

/* The dump without the row of the recipe. */
static void drop_recipe(char *dump)
{
    char *line = strstr(dump, "{\"key\":\"recipe\"");
    assert_non_null(line);
    char *end = strchr(line, '\n') + 1;
    memmove(line, end, strlen(end) + 1);
}

#define BASE                                                                                                           \
    "judge.orders=both;pair.kinds=modify=2,other=2,weaker=1,sampled=1;filter.per_pair=order;"                          \
    "judge.samples=3;pair.tries=2;iterations=1"

/* KEY of R to another value; false where the table has no other one that goes with the rest. */
static bool change(struct ste_recipe *r, const char *key)
{
    static const char *const values[][2] = {{"pair.system", "Answer briefly."}, {"models.answer", "another"},
                                            {"models.modify", "another"},       {"models.weaker", "another"},
                                            {"models.judge", "another"},        {"filter.kinds", "other=1 weaker=1"},
                                            {"train.activations", "bf16"},      {"filter.rule", "share"},
                                            {"check.by", "likelihood"},         {"pair.weaker_temperature", "0.4"}};
    const struct ste_option *o = ste_options_find(ste_recipe_options, key);
    json_t *all = ste_options_dump(ste_recipe_options, r, false), *v = all;
    char *part = ste_xstrdup(key);
    for (char *name = strtok(part, "."); name; name = strtok(NULL, "."))
        v = json_object_get(v, name);
    char *set = NULL;
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        if (strcmp(values[i][0], key) == 0)
            set = ste_xasprintf("%s=%s", key, values[i][1]);
    if (!set && o->kind == STE_OPT_INT)
        set = ste_xasprintf("%s=%lld", key, (long long)json_integer_value(v) + 1);
    else if (!set && o->kind == STE_OPT_REAL)
        set = ste_xasprintf("%s=%g", key, json_real_value(v) / 2 + 0.26);
    else if (!set && o->kind == STE_OPT_BOOL)
        set = ste_xasprintf("%s=%s", key, json_is_true(v) ? "false" : "true");
    else if (!set && o->kind == STE_OPT_CHOICE)
        set = ste_xasprintf("%s=%s", key, o->choices[strcmp(o->choices[0], json_string_value(v)) == 0]);
    const bool done = set && ste_options_set(ste_recipe_options, r, set, NULL) == 0 && ste_recipe_check(r, NULL) == 0;
    json_decref(all);
    free(part);
    free(set);
    return done;
}

/* Every option of the table, with another value: the store before the step that it is marked with stays as it is. */
static void test_marks(void **state)
{
    char *want[STE_STEP_TRAIN + 1] = {NULL};
    struct ste_strings keys = {0};
    size_t tried = 0;
    ste_options_keys(ste_recipe_options, false, &keys);
    for (size_t i = 0; i < keys.n; i++) {
        struct ste_recipe a, b;
        recipe(&a, BASE);
        recipe(&b, BASE);
        const bool changed = change(&b, keys.items[i]);
        const int common = ste_recipe_common(&a, &b);
        if (changed && common > STE_STEP_SELECT && common < INT_MAX) {
            const int step = common < STE_STEP_TRAIN ? common : STE_STEP_TRAIN;
            char *got = dump_alone(&b, step);
            drop_recipe(got);
            if (!want[step]) {
                want[step] = dump_alone(&a, step);
                drop_recipe(want[step]);
            }
            if (strcmp(want[step], got) != 0)
                fail_msg("%s changes a step before the one that it is marked with", keys.items[i]);
            free(got);
            tried++;
        }
        ste_recipe_clear(&a);
        ste_recipe_clear(&b);
    }
    assert_true(tried > 40);
    for (int i = 0; i <= STE_STEP_TRAIN; i++)
        free(want[i]);
    ste_strings_clear(&keys);
}

static void test_common(void **state)
{
    struct ste_recipe a, b;
    recipe(&a, "iterations=2");
    recipe(&b, "iterations=2");
    assert_int_equal(ste_recipe_common(&a, &b), INT_MAX);
    b.iterations = 5;
    assert_int_equal(ste_recipe_common(&a, &b), STE_STEP_TRAIN + 2);
    b.engine.threads = 3;
    assert_int_equal(ste_recipe_common(&a, &b), STE_STEP_TRAIN + 2);
    b.train.lr *= 2;
    assert_int_equal(ste_recipe_common(&b, &a), STE_STEP_TRAIN);
    b.samples++;
    assert_int_equal(ste_recipe_common(&a, &b), STE_STEP_JUDGE);
    b.seed++;
    assert_int_equal(ste_recipe_common(&a, &b), STE_STEP_SELECT);
    ste_recipe_clear(&a);
    ste_recipe_clear(&b);
}

/* ---- sweeps ---- */

static char *write_file(const char *name, const char *text)
{
    char *path = ste_path_join(base, name);
    assert_int_equal(ste_file_write(path, text, strlen(text), NULL), 0);
    return path;
}

/* A file of a sweep of the paper model; REST: what stands behind its recipe and set. */
static int plan(struct ste_sweep **out, const char *folder, const char *rest, const struct ste_sweep_options *o,
                struct ste_err *err)
{
    char *recipe_path = ste_path_join(base, "recipe.yaml"),
         *text = ste_xasprintf("models: {seed: paper}\ninstructions: {files: [%s/in.jsonl]}\n"
                               "split: {dev: 0.15, test: 0.2}\njudge: {samples: 5, orders: both}\niterations: 1\n",
                               base);
    free(write_file("recipe.yaml", text));
    free(text);
    text = ste_xasprintf("recipe: %s\n%s", recipe_path, rest);
    char *path = write_file("sweep.yaml", text), *dir = ste_path_join(base, folder);
    const int rc = ste_sweep_plan(out, path, dir, o, err);
    if (rc == 0)
        (*out)->open_llm = paper_open;
    free(path);
    free(dir);
    free(text);
    free(recipe_path);
    return rc;
}

/* The run of a point and a seed up to training, interrupted every INTERRUPT answers. */
static char *dump_of(struct ste_sweep *s, size_t point, size_t seed, long interrupt)
{
    struct ste_err err = {0};
    struct ste_loop *l;
    int rc = STE_EINTERRUPTED;
    for (int turn = 0; rc == STE_EINTERRUPTED && turn < 2000; turn++) {
        answers_left = interrupt;
        l = NULL;
        rc = ste_sweep_open(s, point, seed, &l, &err);
        if (rc == 0)
            rc = ste_loop_run_before(l, STE_STEP_TRAIN, &err);
        if (rc != 0)
            ste_loop_close(l);
    }
    if (rc != 0)
        fail_msg("%s", err.msg);
    answers_left = -1;
    return dump_at(l, STE_STEP_TRAIN);
}

static void test_shared(void **state)
{
    struct ste_err err = {0};
    struct ste_sweep *s;
    const struct ste_sweep_options o = {0};
    if (plan(&s, "shared",
             "set: {pair: {kinds: {modify: 1, other: 1}}}\n"
             "grid: {check.margin: [4, -100], judge.samples: [5, 2], train.lr: [1e-4, 3e-4]}\nseeds: [7]\n",
             &o, &err) != 0 ||
        ste_sweep_begin(s, &err) != 0)
        fail_msg("%s", err.msg);
    assert_int_equal(s->n_points, 8);
    assert_int_equal(s->n_seeds, 1);
    assert_string_equal(s->points[7].name, "check.margin=-100,judge.samples=2,train.lr=0.0003");
    for (size_t p = 0; p < 8; p++) {
        /* Of two that differ in training alone, the second asks nothing. */
        char *got = dump_of(s, p, 0, p % 2 ? 0 : 97), *want = dump_alone(&s->points[p].recipe, STE_STEP_TRAIN);
        assert_string_equal(got, want);
        free(got);
        free(want);
    }
    char *dir = ste_sweep_dir(s, 3, 0);
    struct ste_loop *l;
    assert_int_equal(open_loop(&l, dir, NULL, &err), 0);
    assert_true(count(l, "SELECT count(*) FROM work WHERE step = 'pair'") == 1); /* a copy has the seconds, too */
    ste_loop_close(l);
    free(dir);
    ste_sweep_free(s);
}

static void test_extended(void **state)
{
    /* A grid with one more value goes on with the runs that are there. */
    static char value[] = "judge.samples=3", *grid[] = {value};
    struct ste_sweep_options o = {.grid = {.items = grid, .n = 1}};
    struct ste_err err = {0};
    struct ste_sweep *s;
    if (plan(&s, "more", "grid: {train.lr: [1e-4, 3e-4]}\n", &o, &err) != 0)
        fail_msg("%s", err.msg);
    free(dump_of(s, 0, 0, -1));
    ste_sweep_free(s);
    if (plan(&s, "more", "grid: {train.lr: [2e-4, 1e-4, 3e-4]}\n", &o, &err) != 0)
        fail_msg("%s", err.msg);
    free(dump_of(s, 0, 0, 0));
    free(dump_of(s, 1, 0, 0));
    ste_sweep_free(s);
}

static void refuse(const char *rest, const char *part, const char *grid, const char *seeds)
{
    struct ste_err err = {0};
    struct ste_sweep *s;
    struct ste_sweep_options o = {0};
    if (grid)
        ste_strings_add(&o.grid, grid);
    if (seeds)
        ste_strings_parse(&o.seeds, seeds);
    assert_true(plan(&s, "bad", rest, &o, &err) < 0);
    if (!strstr(err.msg, part))
        fail_msg("\"%s\" does not say \"%s\"", err.msg, part);
    ste_strings_clear(&o.grid);
    ste_strings_clear(&o.seeds);
}

static void test_refused(void **state)
{
    refuse("grids: {}\n", "but no \"grids\"", NULL, NULL);
    refuse("grid: {train.lrr: [1]}\n", "did you mean \"train.lr\"", NULL, NULL);
    refuse("grid: {train.lr: 1}\n", "must be a list of values", NULL, NULL);
    refuse("grid: {train.lr: [1e-4]}\n", "twice", "train.lr=1", NULL);
    refuse("", "--grid train.rl: there is no option", "train.rl=1", NULL);
    refuse("", "--grid train.lr must be a number", "train.lr=1e-4,much", NULL);
    refuse("", "key=value,value", "train.lr", NULL);
    refuse("", "seeds are no axis", "seed=1,2", NULL);
    refuse("", "changes only the speed", "engine.threads=1,2", NULL);
    refuse("", "are the same", "train.lr=1e-4,0.0001", NULL);
    refuse("", "the seed 2 is there twice", NULL, "1,2,2");
    refuse("", "whole number", NULL, "one");
    refuse("points: {a: {judge: {orders: random}, filter: {per_pair: order}}}\n", "the point a", NULL, NULL);
    refuse("sample: 3\n", "name some by --data", NULL, NULL);
}

static void test_values(void **state)
{
    struct ste_err err = {0};
    struct ste_sweep *s;
    struct ste_sweep_options o = {0};
    ste_strings_add(&o.grid, "pair.kinds={modify: 2, other: 1},{other: 1}");
    ste_strings_add(&o.grid, "filter.kinds=['other=1 modify=1', 'modify=1'],[]");
    if (plan(&s, "values", "points: {one: {iterations: 1}, two: {iterations: 2}}\n", &o, &err) != 0)
        fail_msg("%s", err.msg);
    assert_int_equal(s->n_points, 8);
    assert_string_equal(s->points[2].name, "one,pair.kinds={other: 1},filter.kinds=['other=1 modify=1', 'modify=1']");
    assert_int_equal(s->points[0].recipe.kinds.n, 2);
    assert_int_equal(s->points[0].recipe.filter_kinds.n, 2);
    assert_int_equal(s->points[1].recipe.filter_kinds.n, 0);
    assert_int_equal(s->points[7].recipe.iterations, 2);
    char *a = ste_sweep_dir(s, 0, 0), *b = ste_sweep_dir(s, 2, 0), *shared;
    assert_string_not_equal(a, b);
    assert_null(strchr(a + strlen(base), ' '));
    assert_int_equal(ste_sweep_shares(s, 0, 0, INT_MAX, &shared), STE_STEP_TRAIN + 1);
    assert_non_null(shared);
    free(a);
    free(b);
    free(shared);
    ste_strings_clear(&o.grid);
    ste_sweep_free(s);
}

/* Those that come with ste. */
static void test_built_in(void **state)
{
    size_t n = 0;
    for (const struct ste_embedded *f = ste_embedded_files; f->name; f++) {
        if (strncmp(f->name, "recipes/ablations/", strlen("recipes/ablations/")) != 0)
            continue;
        const struct ste_sweep_options o = {0};
        struct ste_err err = {0};
        struct ste_sweep *s;
        char *name = ste_xstrndup(f->name + strlen("recipes/"), strlen(f->name) - strlen("recipes/") - strlen(".yaml"));
        if (ste_sweep_plan(&s, name, base, &o, &err) != 0)
            fail_msg("%s: %s", name, err.msg);
        assert_true(s->n_points > 1 && s->n_seeds == 3);
        ste_sweep_free(s);
        free(name);
        n++;
    }
    assert_true(n > 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_common),   cmocka_unit_test(test_marks),   cmocka_unit_test(test_shared),
        cmocka_unit_test(test_extended), cmocka_unit_test(test_refused), cmocka_unit_test(test_values),
        cmocka_unit_test(test_built_in),
    };
    answers_left = -1;
    return cmocka_run_group_tests(tests, setup, teardown);
}
