/* What a run reads: files of instructions and of evaluation pairs, no model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/file.h"
#include "core/mem.h"
#include "eval/contamination.h"
#include "loop/internal.h"
#include "store/statement.h"

static char *base;

static char *in_base(const char *name)
{
    return ste_path_join(base, name);
}

static void put(const char *name, const char *text)
{
    struct ste_err err = {0};
    char *path = in_base(name);
    if (ste_file_write(path, text, strlen(text), &err) != 0)
        fail_msg("%s", err.msg);
    free(path);
}

static void has(const struct ste_err *err, const char *part)
{
    if (!strstr(err->msg, part))
        fail_msg("\"%s\" lacks \"%s\"", err->msg, part);
}

/* SETS: assignments, a NULL behind them; "@" stands for the folder. */
static void recipe(struct ste_recipe *r, const char *const *sets)
{
    struct ste_err err = {0};
    ste_recipe_init(r);
    for (; *sets; sets++) {
        struct ste_buf b = STE_BUF_INIT;
        for (const char *at = *sets; *at; at++)
            if (*at == '@')
                ste_buf_adds(&b, base);
            else
                ste_buf_addc(&b, *at);
        if (ste_options_set(ste_recipe_options, r, b.s, &err) != 0)
            fail_msg("%s", err.msg);
        ste_buf_clear(&b);
    }
}

/* Opens RUN with the recipe of SETS; what ste_loop_open says. */
static int open_run(struct ste_loop **l, const char *run, const char *const *sets, struct ste_err *err)
{
    struct ste_recipe r;
    char *dir = in_base(run);
    recipe(&r, sets);
    int rc = ste_loop_open(l, dir, &r, err);
    ste_recipe_clear(&r);
    free(dir);
    return rc;
}

/* Selects in RUN and closes it. */
static void selected(const char *run, const char *const *sets, struct ste_loop **keep)
{
    struct ste_err err = {0};
    struct ste_loop *l;
    if (open_run(&l, run, sets, &err) != 0 || ste_loop_select(l, &err) != 0)
        fail_msg("%s", err.msg);
    if (keep)
        *keep = l;
    else
        ste_loop_close(l);
}

static int64_t count(struct ste_loop *l, const char *sql)
{
    int64_t n;
    assert_int_equal(ste_store_count(l->store, &n, NULL, sql, ""), 0);
    return n;
}

/* A first try on bad input leaves nothing that would stand in the way of the second. */
static void a_run_that_never_began_pins_nothing(void **state)
{
    struct ste_loop *l;
    struct ste_err err = {0};
    put("bad.jsonl", "{\"prompt\": \"What is in a name, and why?\"}\n{\"prompt\": 3}\n");
    put("good.jsonl", "{\"prompt\": \"What is in a name, and why?\"}\n{\"prompt\": \"Who goes there at night?\"}\n");
    assert_int_equal(open_run(&l, "first", (const char *[]){"instructions.files=@/bad.jsonl", NULL}, &err), 0);
    assert_int_equal(ste_loop_select(l, &err), STE_EINPUT);
    has(&err, "bad.jsonl:2");
    ste_loop_close(l);
    static const char *const second[] = {"instructions.files=[@/good.jsonl]", "seed=7", "prompts.pack=direct", NULL};
    selected("first", second, &l);
    assert_int_equal(count(l, "SELECT count(*) FROM instruction"), 2);
    assert_int_equal(l->recipe.seed, 7);
    ste_loop_close(l);
    /* nor does what was read and nothing came of */
    selected("first", (const char *[]){"instructions.files=@/bad.jsonl", "instructions.limit=1", NULL}, &l);
    assert_int_equal(count(l, "SELECT count(*) FROM instruction"), 1);
    assert_int_equal(l->recipe.seed, 1);
    ste_loop_close(l);
    /* what has begun is held to its recipe */
    selected("first", second, &l);
    assert_int_equal(ste_store_meta_set(l->store, "model small", "its hash", &err), 0);
    ste_loop_close(l);
    assert_int_equal(open_run(&l, "first", (const char *[]){"instructions.files=@/good.jsonl", NULL}, &err),
                     STE_EUSAGE);
    has(&err, "seed: 7 -> 1");
}

#define LABELLED(id, prompt) "{\"id\":\"" id "\",\"prompt\":\"" prompt "\",\"chosen\":\"a\",\"rejected\":\"b\"}\n"

static void evaluation_files_are_told_apart_and_pinned(void **state)
{
    static const char *const sets[] = {"instructions.files=@/good.jsonl", "eval.files=[@/a/test.jsonl, @/b/test.jsonl]",
                                       NULL};
    static const char *const twice[] = {"instructions.files=@/good.jsonl",
                                        "eval.files=@/a/test.jsonl,@/b/../a/test.jsonl", NULL};
    struct ste_answer_pairs pairs;
    struct ste_loop *l;
    struct ste_err err = {0};
    put("good.jsonl", "{\"prompt\": \"What is in a name, and why?\"}\n{\"prompt\": \"Who goes there at night?\"}\n");
    put("a/test.jsonl", LABELLED("1", "Count to three.") LABELLED("2", "Count to nine."));
    put("b/test.jsonl", LABELLED("1", "Who goes there at night?"));
    selected("pinned", sets, &l);
    assert_int_equal(count(l, "SELECT count(*) FROM instruction WHERE state = 'in evaluation data'"), 1);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(ste_loop_eval_file(l, i, 0, &pairs, &err), 0);
        assert_string_equal(pairs.name, i ? "b/test" : "a/test");
        assert_int_equal(pairs.n, i ? 1 : 2);
        ste_answer_pairs_clear(&pairs);
    }
    put("b/test.jsonl", LABELLED("1", "Who goes there at noon?"));
    assert_int_equal(ste_loop_eval_file(l, 0, 0, &pairs, &err), 0);
    ste_answer_pairs_clear(&pairs);
    assert_int_equal(ste_loop_eval_file(l, 1, 0, &pairs, &err), STE_EUSAGE);
    has(&err, "b/test.jsonl is not the file");
    ste_loop_close(l);
    assert_int_equal(open_run(&l, "twice", twice, &err), 0);
    assert_int_equal(ste_loop_select(l, &err), STE_EUSAGE);
    has(&err, "one file");
    ste_loop_close(l);
}

/* select.duplicate: 0 keeps texts that only have the same shingles or words, of instructions and of labelled pairs. */
static void exact_copies_alone_are_dropped(void **state)
{
    static const char *const sets[] = {"instructions.files=@/alike.jsonl", "select.duplicate=0", NULL};
    static const char *const labelled[] = {"pair.labelled=@/labelled.jsonl", "pair.kinds=labelled=1", NULL};
    static const char states[] = "SELECT count(*) FROM instruction WHERE state = 'kept'",
                      exact[] = "SELECT count(*) FROM instruction WHERE state = 'exact duplicate'";
#define SHORT "Count: one two three, one two three, one two three."
#define LONG "Count: one two three, one two three, one two three, one two three."
    struct ste_loop *l;
    put("alike.jsonl", "{\"prompt\": \"" SHORT "\"}\n{\"prompt\": \"" LONG "\"}\n{\"prompt\": \"" SHORT "!\"}\n"
                       "{\"prompt\": \"" LONG "\"}\n");
    put("labelled.jsonl", LABELLED("1", SHORT) LABELLED("2", LONG) LABELLED("3", LONG));
    selected("exact", sets, &l);
    assert_int_equal(count(l, states), 3);
    assert_int_equal(count(l, exact), 1);
    ste_loop_close(l);
    selected("labelled", labelled, &l);
    assert_int_equal(count(l, states), 2);
    assert_int_equal(count(l, exact), 1);
    ste_loop_close(l);
}

/* What keeps instructions out keeps labelled pairs out; one prompt of both gives a pair of each, in one part. */
static void labelled_pairs_stand_beside_instructions(void **state)
{
    static const char *const sets[] = {"instructions.files=@/asked.jsonl",
                                       "pair.labelled=[@/answered.jsonl, @/more.jsonl]",
                                       "pair.kinds=labelled=1,modify=1",
                                       "eval.files=@/eval.jsonl",
                                       "split.test=0.3",
                                       NULL};
    static const char *const empty[] = {"instructions.files=@/asked.jsonl", "pair.labelled=@/empty.jsonl",
                                        "pair.kinds=labelled=1,modify=1", NULL};
    static const char *const bad[] = {"pair.labelled=@/asked.jsonl", "pair.kinds=labelled=1,modify=1", NULL};
    struct ste_loop *l;
    struct ste_err err = {0};
    put("asked.jsonl",
        "{\"prompt\": \"Where does the sun go at night?\"}\n{\"prompt\": \"Who wrote Emma, and when?\"}\n"
        "{\"prompt\": \"Where does the sun go at night\"}\n");
    put("answered.jsonl", LABELLED("1", "Where does the sun go at night?") LABELLED("2", "Why is ice slippery?")
                              LABELLED("3", "Count to three for me."));
    put("more.jsonl", LABELLED("1", "Count to three for me.") LABELLED("2", "too few"));
    put("eval.jsonl", LABELLED("1", "Why is ice slippery?"));
    put("empty.jsonl", "\n");
    selected("beside", sets, &l);
    assert_int_equal(count(l, "SELECT count(*) FROM instruction"), 8);
    assert_int_equal(count(l, "SELECT count(*) FROM instruction WHERE state = 'kept'"), 4);
    assert_int_equal(count(l, "SELECT count(*) FROM instruction WHERE state = 'exact duplicate'"), 2);
    assert_int_equal(count(l, "SELECT count(*) FROM instruction WHERE state = 'in evaluation data'"), 1);
    assert_int_equal(count(l, "SELECT count(*) FROM instruction WHERE state = 'too short'"), 1);
    assert_int_equal(count(l, "SELECT count(*) FROM instruction i JOIN instruction k ON k.id <> i.id AND k.dialogue = "
                              "i.dialogue AND k.split = i.split AND k.cluster = i.cluster WHERE i.state = 'kept'"),
                     2);
    ste_loop_close(l);
    assert_int_equal(open_run(&l, "empty", empty, &err), 0);
    assert_int_equal(ste_loop_select(l, &err), STE_EINPUT);
    has(&err, "empty.jsonl holds no rows");
    ste_loop_close(l);
    assert_int_equal(open_run(&l, "bad", bad, &err), 0);
    assert_int_equal(ste_loop_select(l, &err), STE_EINPUT);
    has(&err, "asked.jsonl:1: the field \"chosen\" is missing");
    ste_loop_close(l);
}

static void training_prompts_are_found_in_what_is_measured(void **state)
{
    static const char *const sets[] = {"instructions.files=@/taught.jsonl", "split.dev=0", "split.dev_pairs=0",
                                       "split.test=0", NULL};
    struct ste_answer_pairs files[2];
    struct ste_err err = {0};
    size_t counts[2];
    char *path = in_base("asked.jsonl"), *other = in_base("other.jsonl"), *dir = in_base("taught");
    put("taught.jsonl",
        "{\"prompt\": \"Name the tallest mountain of Africa, please.\"}\n{\"prompt\": \"Who wrote Emma?\"}\n");
    put("asked.jsonl",
        LABELLED("1", "Name the tallest mountain of Africa please") LABELLED("2", "Why is ice slippery?"));
    put("other.jsonl", LABELLED("1", "Why is ice slippery?"));
    selected("taught", sets, NULL);
    assert_int_equal(ste_answer_pairs_read(&files[0], path, NULL, STE_PAIRS_LABELLED, 0, &err), 0);
    assert_int_equal(ste_answer_pairs_read(&files[1], other, NULL, STE_PAIRS_LABELLED, 0, &err), 0);
    assert_int_equal(ste_in_training(dir, files, 2, counts, &err), 0);
    assert_int_equal(counts[0], 1);
    assert_int_equal(counts[1], 0);
    assert_true(ste_in_training(base, files, 2, counts, &err) < 0);
    for (int i = 0; i < 2; i++)
        ste_answer_pairs_clear(&files[i]);
    free(path);
    free(other);
    free(dir);
}

static int setup(void **state)
{
    base = ste_xstrdup("/tmp/ste-files-XXXXXX");
    if (!mkdtemp(base))
        return -1;
    char *a = in_base("a"), *b = in_base("b");
    int rc = mkdir(a, 0700) || mkdir(b, 0700);
    free(a);
    free(b);
    return rc;
}

static int teardown(void **state)
{
    char *command = ste_xasprintf("rm -rf '%s'", base);
    int rc = system(command);
    free(command);
    free(base);
    return rc;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_that_never_began_pins_nothing),
        cmocka_unit_test(evaluation_files_are_told_apart_and_pinned),
        cmocka_unit_test(exact_copies_alone_are_dropped),
        cmocka_unit_test(labelled_pairs_stand_beside_instructions),
        cmocka_unit_test(training_prompts_are_found_in_what_is_measured),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
