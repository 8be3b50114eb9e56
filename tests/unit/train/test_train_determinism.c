/* The same bytes whatever the packs, the threads, recomputation and a resume. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <unistd.h>

#include "core/file.h"
#include "tiny_model.h"
#include "train/internal.h"

enum { N = 6, R = 4 };
static const int lengths[N] = {130, 7, 66, 64, 1, 40};

static const struct ste_objective *objective = &ste_language_modelling;

static struct ste_train_params params(void)
{
    struct ste_train_params p;
    ste_train_default_params(&p);
    p.objective = objective;
    p.r = R;
    p.alpha = 8;
    p.learning_rate = 2e-2;
    p.weight_decay = 0.01;
    p.schedule = STE_SCHEDULE_COSINE;
    p.warmup_steps = 2;
    p.total_steps = 30;
    p.batch_examples = 3;
    p.seed = 99;
    return p;
}

static struct ste_trainer *trainer(const struct tiny *y, const struct ste_train_params *p)
{
    struct ste_trainer *t;
    struct ste_err err = {0};
    if (ste_trainer_new(&t, &y->m, NULL, p, &err))
        fail_msg("%s", err.msg);
    return t;
}

static struct ste_lora *grads_of(const struct tiny *y, const struct ste_example *batch, int micro_tokens, int threads,
                                 bool recompute, double *loss)
{
    struct ste_train_params p = params();
    struct ste_err err = {0};
    struct ste_lora *g;
    p.micro_tokens = micro_tokens;
    p.activation_bytes = recompute ? 0 : SIZE_MAX;
    p.pool = threads > 1 ? ste_pool_new(threads) : NULL;
    struct ste_trainer *t = trainer(y, &p);
    tiny_fill_b(ste_trainer_lora(t), 5);
    assert_int_equal(ste_lora_new(&g, &y->m.hp, R, 8, 1, &err), 0);
    assert_int_equal(ste_trainer_grads(t, batch, N, g, loss, &err), 0);
    ste_trainer_free(t);
    ste_pool_free(p.pool);
    return g;
}

static void same_adapter(const struct ste_lora *a, const struct ste_lora *b)
{
    for (int l = 0; l < TINY_LAYERS; l++)
        for (int i = 0; i < STE_N_LINEAR; i++) {
            const struct ste_lora_factors *p = &a->factors[l][i], *q = &b->factors[l][i];
            assert_memory_equal(p->a, q->a, (size_t)(p->in * R) * sizeof(float));
            assert_memory_equal(p->b, q->b, (size_t)(p->out * R) * sizeof(float));
        }
}

static void check_packs(struct ste_example *batch)
{
    struct tiny *y = tiny_new(STE_ROPE_ADJACENT, true, true, 21);
    double loss, other;
    struct ste_lora *one = grads_of(y, batch, 1, 1, false, &loss);
    const struct {
        int micro_tokens, threads;
        bool recompute;
    } ways[] = {{1000, 1, false}, {150, 2, false}, {1000, 3, true}, {1, 1, true}, {200, 2, true}};
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        struct ste_lora *g = grads_of(y, batch, ways[i].micro_tokens, ways[i].threads, ways[i].recompute, &other);
        assert_memory_equal(&loss, &other, sizeof loss);
        same_adapter(one, g);
        ste_lora_free(g);
    }
    ste_lora_free(one);
    tiny_examples_free(batch, N);
    tiny_free(y);
}

static void packs_threads_recompute(void **state)
{
    check_packs(tiny_examples(lengths, N, 3));
}

/* Of DPO, whose pairs share a prompt; the first and the last pair have the same one. */
static void packs_of_pairs(void **state)
{
    static const int longer[N] = {130, 90, 66, 64, 44, 25};
    struct ste_example *batch = tiny_examples(longer, N, 3);
    for (int i = 0; i < N; i++) {
        memcpy((int32_t *)(uintptr_t)batch[i].tokens, batch[i / 2 == 1 ? 2 : 0].tokens, 20 * sizeof *batch[i].tokens);
        batch[i].n_prompt = 20;
        batch[i].weight = i / 2 == 1 ? 0.5f : 1;
    }
    objective = &ste_dpo;
    check_packs(batch);
    objective = &ste_language_modelling;
}

/* Examples 0, 2 and 5 get the first 30 tokens of 0 as their prompt. */
static struct ste_example *prompt_sharers(uint64_t seed)
{
    struct ste_example *batch = tiny_examples(lengths, N, seed);
    for (int i = 0; i < N; i++)
        if (i == 0 || i == 2 || i == 5) {
            memcpy((int32_t *)(uintptr_t)batch[i].tokens, batch[0].tokens, 30 * sizeof *batch[i].tokens);
            batch[i].n_prompt = 30;
        }
    return batch;
}

/* Each prompt begins as the one before it: all share 12 tokens, the first three 30, the first two 40, the last two 21.
 */
static struct ste_example *prefix_sharers(uint64_t seed)
{
    static const int longer[N] = {130, 90, 66, 64, 44, 44}, shared[N] = {0, 40, 30, 12, 12, 21};
    struct ste_example *batch = tiny_examples(longer, N, seed);
    int rows = longer[0], packed;
    for (int i = 1; i < N; i++) {
        int32_t *t = (int32_t *)(uintptr_t)batch[i].tokens;
        memcpy(t, batch[i - 1].tokens, (size_t)shared[i] * sizeof *t);
        t[shared[i]] = (batch[i - 1].tokens[shared[i]] + 1) % TINY_VOCAB;
        rows += longer[i] - shared[i];
    }
    assert_int_equal(ste_layout_count(batch, N, 1, &packed), N);
    assert_int_equal(packed, rows); /* each once */
    return batch;
}

/* What is shared gives what each example by itself gives, but for rounding, and the same bytes in any packs. */
static void check_shared(struct ste_example *batch)
{
    struct tiny *y = tiny_new(STE_ROPE_HALVES, true, true, 26);
    struct ste_train_params p = params();
    struct ste_err err = {0};
    double loss, other, single, sum_loss = 0, weight = 0;
    struct ste_lora *one = grads_of(y, batch, 1, 1, false, &loss), *sum, *part;
    const int micro_tokens[] = {100, 207, 1000};
    for (int i = 0; i < 3; i++) {
        struct ste_lora *g = grads_of(y, batch, micro_tokens[i], 1 + i, i == 1, &other);
        assert_memory_equal(&loss, &other, sizeof loss);
        same_adapter(one, g);
        ste_lora_free(g);
    }
    struct ste_trainer *t = trainer(y, &p);
    tiny_fill_b(ste_trainer_lora(t), 5);
    assert_int_equal(ste_lora_new(&sum, &y->m.hp, R, 8, 0, &err), 0);
    assert_int_equal(ste_lora_new(&part, &y->m.hp, R, 8, 0, &err), 0);
    for (int l = 0; l < TINY_LAYERS; l++)
        for (int i = 0; i < STE_N_LINEAR; i++)
            memset(sum->factors[l][i].a, 0, (size_t)(sum->factors[l][i].in * R) * sizeof(float));
    for (int e = 0; e < N; e++) {
        int n_loss = batch[e].n - (batch[e].n_prompt > 0 ? batch[e].n_prompt : 1);
        if (!n_loss)
            continue;
        double w = n_loss * (double)batch[e].weight;
        assert_int_equal(ste_trainer_grads(t, &batch[e], 1, part, &single, &err), 0);
        sum_loss += w * single;
        weight += w;
        for (int l = 0; l < TINY_LAYERS; l++)
            for (int i = 0; i < STE_N_LINEAR; i++) {
                struct ste_lora_factors *s = &sum->factors[l][i], *q = &part->factors[l][i];
                for (int c = 0; c < s->in * R; c++)
                    s->a[c] += (float)w * q->a[c];
                for (int c = 0; c < s->out * R; c++)
                    s->b[c] += (float)w * q->b[c];
            }
    }
    assert_true(fabs(sum_loss / weight - loss) < 1e-6 * loss);
    for (int l = 0; l < TINY_LAYERS; l++)
        for (int i = 0; i < STE_N_LINEAR; i++) {
            const struct ste_lora_factors *s = &sum->factors[l][i], *q = &one->factors[l][i];
            double diff = 0, all = 0;
            for (int c = 0; c < (s->in + s->out) * R; c++) {
                double a = c < s->in * R ? s->a[c] : s->b[c - s->in * R],
                       b = c < s->in * R ? q->a[c] : q->b[c - s->in * R];
                diff += (a / weight - b) * (a / weight - b);
                all += b * b;
            }
            assert_true(all > 0 && sqrt(diff / all) < 1e-5);
        }
    ste_lora_free(one);
    ste_lora_free(sum);
    ste_lora_free(part);
    ste_trainer_free(t);
    tiny_examples_free(batch, N);
    tiny_free(y);
}

static void shared_prompts(void **state)
{
    check_shared(prompt_sharers(3));
    check_shared(prefix_sharers(3));
}

/* Examples that share do not grow into one group without end. */
static void small_groups(void **state)
{
    enum { MANY = 12, LENGTH = 200, SHARED = 90 };
    int longer[MANY], packed;
    for (int i = 0; i < MANY; i++)
        longer[i] = LENGTH;
    struct ste_example *batch = tiny_examples(longer, MANY, 8);
    for (int i = 1; i < MANY; i++)
        memcpy((int32_t *)(uintptr_t)batch[i].tokens, batch[0].tokens, SHARED * sizeof *batch[i].tokens);
    int count = ste_layout_count(batch, MANY, 1, &packed);
    assert_int_equal(packed, LENGTH + (count - 1) * (LENGTH - SHARED));
    assert_true(count > 1 && packed <= 512 && packed + LENGTH - SHARED > 512);
    tiny_examples_free(batch, MANY);
}

/* The gradients that rounded products give point where the exact ones do, and keep their bytes in any packs. */
static void rounded(enum ste_activations activations, enum ste_gradients gradients)
{
    struct tiny *y = tiny_new(STE_ROPE_HALVES, true, true, 27);
    struct ste_example *batch = prompt_sharers(4);
    struct ste_err err = {0};
    struct ste_lora *g[3];
    double loss[3];
    for (int k = 0; k < 3; k++) {
        struct ste_train_params p = params();
        p.activations = k ? activations : STE_ACT_F32;
        p.gradients = k ? gradients : STE_GRAD_F32;
        p.micro_tokens = k == 2 ? 100 : 1000;
        struct ste_trainer *t = trainer(y, &p);
        tiny_fill_b(ste_trainer_lora(t), 5);
        assert_int_equal(ste_lora_new(&g[k], &y->m.hp, R, 8, 1, &err), 0);
        assert_int_equal(ste_trainer_grads(t, batch, N, g[k], &loss[k], &err), 0);
        ste_trainer_free(t);
    }
    same_adapter(g[1], g[2]);
    assert_memory_equal(&loss[1], &loss[2], sizeof *loss);
    double xy = 0, xx = 0, yy = 0;
    for (int l = 0; l < TINY_LAYERS; l++)
        for (int i = 0; i < STE_N_LINEAR; i++)
            for (int c = 0; c < g[0]->factors[l][i].out * R; c++) {
                double a = g[0]->factors[l][i].b[c], b = g[1]->factors[l][i].b[c];
                xy += a * b;
                xx += a * a;
                yy += b * b;
            }
    double cosine = xy / sqrt(xx * yy);
    printf("%s and %s: cosine of the gradients %.6f, loss %.6f and %.6f\n", ste_activations_name(activations),
           ste_gradients_names[gradients], cosine, loss[0], loss[1]);
    assert_true(cosine > 0.99 && cosine < 0.9999999); /* not the exact pass by another name */
    for (int k = 0; k < 3; k++)
        ste_lora_free(g[k]);
    tiny_examples_free(batch, N);
    tiny_free(y);
}

static void rounded_products(void **state)
{
    rounded(STE_ACT_INT8, STE_GRAD_F32);
    rounded(STE_ACT_INT8, STE_GRAD_BF16_DOT);
    rounded(STE_ACT_BF16, STE_GRAD_BF16);
    rounded(STE_ACT_BF16_DOT, STE_GRAD_BF16_DOT);
}

/* Tokens of one example must not move the loss of its neighbour in the pack. */
static void no_leak(void **state)
{
    struct tiny *y = tiny_new(STE_ROPE_HALVES, false, true, 22);
    struct ste_example *batch = tiny_examples(lengths, N, 3), *others = tiny_examples(lengths, N, 4);
    struct ste_train_params p = params();
    struct ste_trainer *t = trainer(y, &p);
    struct ste_err err = {0};
    double with, without;
    batch[0].weight = 0; /* in the pack, out of the loss */
    others[0].weight = 0;
    struct ste_example a[2] = {batch[0], batch[2]}, b[2] = {others[0], batch[2]};
    assert_int_equal(ste_trainer_loss(t, a, 2, &with, &err), 0);
    assert_int_equal(ste_trainer_loss(t, b, 2, &without, &err), 0);
    assert_memory_equal(&with, &without, sizeof with);
    ste_trainer_free(t);
    tiny_examples_free(batch, N);
    tiny_examples_free(others, N);
    tiny_free(y);
}

static double steps(struct ste_trainer *t, const struct ste_example *all, int until)
{
    struct ste_train_step s = {0};
    struct ste_err err = {0};
    while (ste_trainer_steps_done(t) < until) {
        int index[3];
        struct ste_example batch[3];
        const struct ste_train_params p = params();
        const int n = ste_train_batch(&p, N, ste_trainer_steps_done(t), index);
        for (int i = 0; i < n; i++)
            batch[i] = all[index[i]];
        if (ste_trainer_step(t, batch, n, &s, &err))
            fail_msg("%s", err.msg);
        assert_int_equal(s.step, ste_trainer_steps_done(t));
    }
    return s.loss;
}

static char *temp_path(const char *name)
{
    const char *dir = getenv("TMPDIR");
    return ste_xasprintf("%s/ste-test-%ld-%s", dir ? dir : "/tmp", (long)getpid(), name);
}

static void resume(void **state)
{
    struct tiny *y = tiny_new(STE_ROPE_ADJACENT, true, true, 23);
    struct ste_example *all = tiny_examples(lengths, N, 3);
    struct ste_train_params p = params();
    struct ste_err err = {0};
    char *path = temp_path("trainer");
    struct ste_trainer *whole = trainer(y, &p), *first = trainer(y, &p);
    double loss = steps(whole, all, 9);
    steps(first, all, 4);
    assert_int_equal(ste_trainer_save(first, "examples", path, &err), 0);
    ste_trainer_free(first);
    struct ste_train_params q = p; /* what changes the speed only may change */
    q.micro_tokens = 77;
    q.activation_bytes = 0;
    struct ste_trainer *second = trainer(y, &q);
    assert_int_equal(ste_trainer_load(second, "examples", path, &err), 0);
    assert_int_equal(ste_trainer_steps_done(second), 4);
    double resumed = steps(second, all, 9);
    assert_memory_equal(&loss, &resumed, sizeof loss);
    same_adapter(ste_trainer_lora(whole), ste_trainer_lora(second));
    ste_trainer_free(second);

    q.learning_rate *= 2;
    struct ste_trainer *other = trainer(y, &q);
    assert_int_equal(ste_trainer_load(other, "examples", path, &err), STE_EINPUT);
    assert_non_null(strstr(err.msg, "lr 0.02, and now it is 0.04;"));
    ste_trainer_free(other);
    other = trainer(y, &p);
    assert_int_equal(ste_trainer_load(other, "others", path, &err), STE_EINPUT);
    assert_non_null(strstr(err.msg, "examples examples, and now it is others;"));
    struct ste_buf file = STE_BUF_INIT;
    assert_int_equal(ste_file_read(path, 1 << 24, &file, &err), 0);
    const size_t cuts[] = {0, 100, 4096, file.len - 1};
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        assert_int_equal(ste_file_write(path, file.s, cuts[i], &err), 0);
        assert_int_equal(ste_trainer_load(other, "examples", path, &err), STE_EINPUT);
    }
    file.s[file.len - 7] ^= 1;
    assert_int_equal(ste_file_write(path, file.s, file.len, &err), 0);
    assert_int_equal(ste_trainer_load(other, "examples", path, &err), STE_EINPUT);
    assert_non_null(strstr(err.msg, "damaged"));
    assert_int_equal(ste_trainer_steps_done(other), 0);
    ste_trainer_free(other);
    ste_trainer_free(whole);
    ste_buf_clear(&file);
    unlink(path);
    free(path);
    tiny_examples_free(all, N);
    tiny_free(y);
}

static void loss_falls(void **state)
{
    struct tiny *y = tiny_new(STE_ROPE_HALVES, true, true, 24);
    struct ste_example *all = tiny_examples(lengths, N, 3);
    struct ste_train_params p = params();
    struct ste_err err = {0};
    struct ste_trainer *t = trainer(y, &p);
    double before, after;
    assert_int_equal(ste_trainer_loss(t, all, N, &before, &err), 0);
    steps(t, all, 30);
    assert_int_equal(ste_trainer_loss(t, all, N, &after, &err), 0);
    printf("loss %.3f before, %.3f after 30 steps\n", before, after);
    assert_true(after < 0.8 * before);
    ste_trainer_free(t);
    tiny_examples_free(all, N);
    tiny_free(y);
}

static void bad_batches(void **state)
{
    struct tiny *y = tiny_new(STE_ROPE_HALVES, true, true, 25);
    struct ste_train_params p = params();
    struct ste_err err = {0};
    struct ste_trainer *t = trainer(y, &p);
    const int32_t tokens[3] = {1, 2, TINY_VOCAB}, fine[3] = {1, 2, 3};
    double loss;
    struct ste_example outside = {tokens, 3, 1, 1, NULL}, prompt_only = {fine, 3, 3, 1, NULL},
                       negative = {fine, 3, 1, -1, NULL};
    assert_int_equal(ste_trainer_loss(t, &outside, 1, &loss, &err), STE_EINPUT);
    assert_int_equal(ste_trainer_loss(t, &prompt_only, 1, &loss, &err), STE_EINPUT);
    assert_int_equal(ste_trainer_loss(t, &negative, 1, &loss, &err), STE_EINPUT);
    assert_int_equal(ste_trainer_loss(t, &prompt_only, 0, &loss, &err), STE_EINPUT);
    ste_trainer_free(t);
    tiny_free(y);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(packs_threads_recompute),
                                       cmocka_unit_test(packs_of_pairs),
                                       cmocka_unit_test(no_leak),
                                       cmocka_unit_test(shared_prompts),
                                       cmocka_unit_test(small_groups),
                                       cmocka_unit_test(rounded_products),
                                       cmocka_unit_test(resume),
                                       cmocka_unit_test(loss_falls),
                                       cmocka_unit_test(bad_batches)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
