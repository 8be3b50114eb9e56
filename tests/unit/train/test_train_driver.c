/* A training that is stopped anywhere and begun again ends in the bytes of one that was not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/file.h"
#include "tiny_model.h"
#include "train/driver.h"
#include "train/internal.h"

enum { N = 6, STEPS = 7 };
static const int lengths[N] = {30, 30, 20, 20, 40, 40};

/* One command's training, and what it reported. */
struct command {
    struct tiny *y;
    struct ste_example *x;
    struct ste_train_params p;
    struct ste_train_job j;
    int die_at, best; /* dies after this step; says that this step is the best */
    int stepped, n_saved, checkpoints;
    double losses[STEPS + 1];
};

static char *folder;

static int on_step(void *arg, const struct ste_train_step *s, struct ste_err *err)
{
    struct command *c = arg;
    assert_int_equal(s->step, ++c->stepped);
    c->losses[s->step] = s->loss;
    if (s->step == c->die_at)
        _exit(9); /* as kill -9 would: nothing is written any more */
    return 0;
}

static int on_saved(void *arg, const struct ste_train_step *log, int n, bool checkpoint, int *best, struct ste_err *err)
{
    struct command *c = arg;
    c->n_saved++;
    c->checkpoints += checkpoint;
    for (int i = 0; i < n; i++)
        assert_true(log[i].loss == c->losses[i + 1]);
    if (c->best)
        *best = c->best;
    return 0;
}

static struct command *command_new(const struct ste_objective *objective)
{
    struct command *c = calloc(1, sizeof *c);
    c->y = tiny_new(STE_ROPE_HALVES, true, true, 51);
    c->x = tiny_examples(lengths, N, 6);
    for (int i = 1; i < N; i += 2) { /* pairs */
        memcpy((int32_t *)(uintptr_t)c->x[i].tokens, c->x[i - 1].tokens, (size_t)c->x[i].n_prompt * sizeof(int32_t));
        c->x[i].weight = c->x[i - 1].weight;
    }
    ste_train_default_params(&c->p);
    c->p.objective = objective;
    c->p.r = 4;
    c->p.learning_rate = 0.02;
    c->p.batch_examples = 2;
    c->p.total_steps = STEPS;
    c->p.seed = 3;
    c->j = (struct ste_train_job){
        .examples = c->x, .n = N, .folder = folder, .every = 2, .arg = c, .stepped = on_step, .saved = on_saved};
    return c;
}

static void command_free(struct command *c)
{
    ste_trainer_free(c->j.trainer);
    tiny_examples_free(c->x, N);
    tiny_free(c->y);
    free(c);
}

static int run(struct command *c, int *best, struct ste_err *err)
{
    assert_int_equal(ste_trainer_new(&c->j.trainer, &c->y->m, NULL, &c->p, err), 0);
    return ste_train_run(&c->j, best, err);
}

/* Hash of the adapter that a command ends with. */
static char *trained(struct command *c, int *best)
{
    struct ste_err err = {0};
    if (run(c, best, &err))
        fail_msg("%s", err.msg);
    ste_lora_rehash(ste_trainer_lora(c->j.trainer));
    return ste_trainer_lora(c->j.trainer)->hash;
}

static bool there(int step)
{
    char *path = ste_xasprintf("%s/state-%d.bin", folder, step);
    const bool is = ste_file_exists(path);
    free(path);
    return is;
}

static void killed_anywhere(const struct ste_objective *objective)
{
    bool others;
    struct command *whole = command_new(objective);
    char *want = trained(whole, NULL);
    assert_int_equal(whole->stepped, STEPS);
    assert_int_equal(whole->checkpoints, 4); /* 2, 4, 6, 7 */
    assert_int_equal(ste_train_newest(folder, &others), STEPS);
    assert_false(others || there(6)); /* older states are gone */
    ste_train_clean(folder);
    assert_false(ste_file_exists(folder));
    for (int at = 1; at <= STEPS; at++) {
        pid_t child = fork();
        if (child == 0) {
            struct command *c = command_new(objective);
            c->die_at = at;
            run(c, NULL, NULL);
            _exit(1);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 9);
        assert_int_equal(ste_train_newest(folder, &others), at < 3 ? -1 : (at - 1) / 2 * 2);
        struct command *c = command_new(objective);
        assert_string_equal(trained(c, NULL), want);
        assert_int_equal(c->stepped, STEPS); /* those of the state too */
        assert_memory_equal(c->losses, whole->losses, sizeof c->losses);
        command_free(c);
        ste_train_clean(folder);
    }
    command_free(whole);
}

static void language_modelling(void **state)
{
    killed_anywhere(&ste_language_modelling);
}

static void reward(void **state)
{
    killed_anywhere(&ste_bradley_terry);
}

static void preferences(void **state)
{
    killed_anywhere(&ste_dpo);
}

static void best_is_kept(void **state)
{
    struct command *c = command_new(&ste_language_modelling), *again = command_new(&ste_language_modelling);
    int best = 0;
    c->best = again->best = 4;
    char *first = trained(c, &best);
    assert_int_equal(best, 4);
    assert_int_equal(ste_trainer_steps_done(c->j.trainer), 4);
    assert_true(there(4) && there(7) && !there(2) && !there(6));
    assert_string_equal(trained(again, &best), first); /* of one that is done */
    assert_int_equal(again->n_saved, 1);
    ste_train_clean(folder);
    command_free(again);
    command_free(c);
}

static void other_training(void **state)
{
    static const char *const said[] = {"with lr 0.02, and now it is 0.03", "with examples ",
                                       "with steps 7, and now it is 8", "with order shuffle, and now it is file",
                                       "with objective language modelling, and now it is Bradley-Terry"};
    struct ste_err err = {0};
    struct command *c = command_new(&ste_language_modelling);
    trained(c, NULL);
    for (int i = 0; i < 5; i++) {
        struct command *o = command_new(i == 4 ? &ste_bradley_terry : &ste_language_modelling);
        o->p.learning_rate += i == 0 ? 0.01 : 0;
        o->x[0].weight += i == 1 ? 1 : 0;
        o->p.total_steps += i == 2;
        o->p.shuffle = i == 3 ? STE_SHUFFLE_NONE : STE_SHUFFLE_ALL;
        assert_int_equal(run(o, NULL, &err), STE_EINPUT);
        if (!strstr(err.msg, said[i]) || !strstr(err.msg, "state-7.bin") || !strstr(err.msg, "begin anew"))
            fail_msg("said: %s", err.msg);
        command_free(o);
    }
    ste_train_clean(folder);
    command_free(c);
}

/* The folder takes no state: an error, or, where the caller says so, a training that goes on. */
static void no_room(void **state)
{
    char *inside = ste_path_join(folder, "state-2.bin"), *other = ste_path_join(folder, "notes");
    struct ste_err err = {0};
    bool others;
    assert_int_equal(ste_mkdirs(folder, &err), 0);
    for (int carry_on = 0; carry_on < 2; carry_on++) {
        struct command *c = command_new(&ste_language_modelling);
        c->j.carry_on = carry_on;
        c->j.every = 0;
        c->j.folder = "/proc/self/fd";
        assert_int_equal(run(c, NULL, &err), carry_on ? 0 : STE_EIO);
        assert_int_equal(ste_trainer_steps_done(c->j.trainer), STEPS);
        command_free(c);
    }
    assert_int_equal(ste_file_write(inside, "", 0, &err), 0);
    assert_int_equal(ste_train_newest(folder, &others), 2);
    assert_false(others);
    struct command *c = command_new(&ste_language_modelling);
    assert_int_equal(run(c, NULL, &err), STE_EINPUT);
    assert_non_null(strstr(err.msg, "is not a state of training"));
    command_free(c);
    assert_int_equal(ste_file_write(other, "", 0, &err), 0);
    ste_train_newest(folder, &others);
    assert_true(others);
    ste_train_clean(folder);
    assert_true(ste_file_exists(other) && !ste_file_exists(inside)); /* what is not ours stays */
    unlink(other);
    rmdir(folder);
    free(inside);
    free(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(language_modelling), cmocka_unit_test(reward),
                                       cmocka_unit_test(preferences),        cmocka_unit_test(best_is_kept),
                                       cmocka_unit_test(other_training),     cmocka_unit_test(no_room)};
    const char *dir = getenv("TMPDIR");
    folder = ste_xasprintf("%s/ste-test-driver-%ld", dir ? dir : "/tmp", (long)getpid());
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(folder);
    return failed;
}
