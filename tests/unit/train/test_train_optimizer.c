/* Schedules, the order of examples, and one AdamW step against torch's formula by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tiny_model.h"

static void schedules(void **state)
{
    /* transformers.get_{constant,linear,cosine}_schedule_with_warmup, 4 warm-up steps of 20 */
    const double linear[] = {0, 0.25, 0.5, 0.75, 1, 0.9375}, half_way = 0.5;
    for (int i = 0; i < 6; i++)
        assert_true(fabs(ste_schedule_factor(STE_SCHEDULE_LINEAR, i, 4, 20) - linear[i]) < 1e-12);
    assert_true(fabs(ste_schedule_factor(STE_SCHEDULE_COSINE, 12, 4, 20) - half_way) < 1e-12);
    assert_true(fabs(ste_schedule_factor(STE_SCHEDULE_COSINE, 8, 4, 20) - 0.8535533905932737) < 1e-12);
    assert_true(fabs(ste_schedule_factor(STE_SCHEDULE_COSINE, 20, 4, 20)) < 1e-12);
    assert_true(ste_schedule_factor(STE_SCHEDULE_LINEAR, 25, 4, 20) == 0);
    assert_true(ste_schedule_factor(STE_SCHEDULE_CONSTANT, 3, 4, 20) == 0.75);
    assert_true(ste_schedule_factor(STE_SCHEDULE_CONSTANT, 300, 4, 20) == 1);
    enum ste_schedule s;
    s = (enum ste_schedule)ste_name_find(ste_schedule_names, "cosine");
    assert_int_equal(s, STE_SCHEDULE_COSINE);
}

static void epochs(void **state)
{
    int index[4], n, moved = 0, first[10];
    struct ste_train_params p;
    ste_train_default_params(&p);
    p.seed = 42;
    p.batch_examples = 4;
    for (int epoch = 0; epoch < 3; epoch++) {
        int seen[10] = {0}, at = 0;
        for (int step = 0; step < 3; step++) {
            n = ste_train_batch(&p, 10, epoch * 3 + step, index);
            assert_int_equal(n, step < 2 ? 4 : 2);
            for (int i = 0; i < n; i++, at++) {
                seen[index[i]]++;
                if (epoch == 0)
                    first[at] = index[i];
                else
                    moved += first[at] != index[i];
            }
        }
        for (int i = 0; i < 10; i++)
            assert_int_equal(seen[i], 1);
    }
    assert_true(moved > 5);
    /* In twos: neighbours stay together, the odd one is left alone. */
    p.together = 2;
    for (int epoch = 0; epoch < 3; epoch++) {
        int seen[9] = {0}, order[9], at = 0;
        for (int step = 0; step < 3; step++) {
            n = ste_train_batch(&p, 9, epoch * 3 + step, index);
            for (int i = 0; i < n; i++) {
                order[at++] = index[i];
                seen[index[i]]++;
            }
        }
        assert_int_equal(at, 9);
        for (int i = 0; i < 9; i++) {
            assert_int_equal(seen[i], 1);
            if (order[i] % 2)
                assert_int_equal(order[i - 1], order[i] - 1);
        }
    }
    /* As in the file: the first epoch, or all of them. */
    for (p.shuffle = STE_SHUFFLE_LATER; p.shuffle <= STE_SHUFFLE_NONE; p.shuffle++) {
        int shuffled[3] = {0};
        for (int step = 0; step < 9; step++) {
            n = ste_train_batch(&p, 9, step, index);
            assert_int_equal(n, step % 3 < 2 ? 4 : 1);
            for (int i = 0; i < n; i++)
                shuffled[step / 3] |= index[i] != step % 3 * 4 + i;
        }
        assert_false(shuffled[0]);
        assert_int_equal(shuffled[1], p.shuffle == STE_SHUFFLE_LATER);
    }
    assert_int_equal(ste_train_steps(9, 4, 2), 6);
    assert_int_equal(ste_train_steps(9, 4, 0.4), 2);
    assert_int_equal(ste_train_steps(9, 4, 0.01), 1);
}

static void adamw(void **state)
{
    struct tiny *y = tiny_new(STE_ROPE_HALVES, true, true, 31);
    const int lengths[] = {12, 20};
    struct ste_example *batch = tiny_examples(lengths, 2, 8);
    struct ste_train_params p;
    struct ste_err err = {0};
    ste_train_default_params(&p);
    p.r = 4;
    p.alpha = 4;
    p.learning_rate = 0.01;
    p.weight_decay = 0.1;
    p.max_grad_norm = 0.05;
    struct ste_trainer *t;
    assert_int_equal(ste_trainer_new(&t, &y->m, NULL, &p, &err), 0);
    struct ste_lora *lora = ste_trainer_lora(t), *g;
    tiny_fill_b(lora, 1);
    assert_int_equal(ste_lora_new(&g, &y->m.hp, 4, 4, 0, &err), 0);
    float *w = lora->factors[1][STE_UP].b;
    double m[8] = {0}, v[8] = {0}, loss;
    for (int step = 1; step <= 3; step++) {
        struct ste_train_step s;
        double want[8], norm = 0;
        assert_int_equal(ste_trainer_grads(t, batch, 2, g, &loss, &err), 0);
        for (int l = 0; l < TINY_LAYERS; l++)
            for (int i = 0; i < STE_N_LINEAR; i++) {
                for (int c = 0; c < g->factors[l][i].in * 4; c++)
                    norm += (double)g->factors[l][i].a[c] * (double)g->factors[l][i].a[c];
                for (int c = 0; c < g->factors[l][i].out * 4; c++)
                    norm += (double)g->factors[l][i].b[c] * (double)g->factors[l][i].b[c];
            }
        norm = sqrt(norm);
        double clip = fmin(1, 0.05 / (norm + 1e-6));
        assert_true(clip < 1);
        for (int c = 0; c < 8; c++) {
            double gc = clip * (double)g->factors[1][STE_UP].b[c];
            m[c] = 0.9 * m[c] + 0.1 * gc;
            v[c] = 0.999 * v[c] + 0.001 * gc * gc;
            double hat_m = m[c] / (1 - pow(0.9, step)), hat_v = v[c] / (1 - pow(0.999, step));
            want[c] = (double)w[c] * (1 - 0.01 * 0.1) - 0.01 * hat_m / (sqrt(hat_v) + 1e-8);
        }
        assert_int_equal(ste_trainer_step(t, batch, 2, &s, &err), 0);
        assert_true(fabs(s.grad_norm - norm) < 1e-6 * norm);
        assert_int_equal(s.tokens, 32);
        assert_int_equal(s.loss_tokens, 16);
        for (int c = 0; c < 8; c++)
            assert_true(fabs((double)w[c] - want[c]) < 2e-6);
    }
    ste_lora_free(g);
    ste_trainer_free(t);
    tiny_examples_free(batch, 2);
    tiny_free(y);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(schedules), cmocka_unit_test(epochs), cmocka_unit_test(adamw)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
