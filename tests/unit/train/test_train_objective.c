/* What an objective asks for and what the trainer makes of it; a made-up one goes through the whole trainer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "slopes.h"
#include "tiny_model.h"
#include "train/internal.h"

static const int32_t ids[6] = {1, 2, 3, 4, 5, 6}, other[6] = {1, 2, 9, 4, 5, 6};

static void rows_wanted(void **state)
{
    const struct {
        int n, n_prompt, lm_from, lm_to;
    } cases[] = {{6, 3, 2, 5}, {6, 1, 0, 5}, {6, 0, 0, 5}, {6, 6, 5, 5}, {1, 0, 0, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct ste_example x = {ids, cases[i].n, cases[i].n_prompt, 1, NULL};
        int from, to;
        ste_language_modelling.rows(&x, &from, &to);
        assert_int_equal(from, cases[i].lm_from);
        assert_int_equal(to, cases[i].lm_to);
        ste_bradley_terry.rows(&x, &from, &to);
        assert_int_equal(from, x.n - 1);
        assert_int_equal(to, x.n);
    }
}

static void rows_laid_out(void **state)
{
    const struct ste_example x[2] = {{ids, 6, 3, 1, NULL}, {ids, 5, 3, 0.5f, NULL}};
    struct ste_layout lay;
    ste_layout_init(&lay, x, 2, &ste_language_modelling);
    const int rows[] = {2, 3, 4}, targets[] = {4, 5, 6};
    assert_int_equal(lay.n_loss, 5);
    assert_memory_equal(lay.loss_rows, rows, sizeof rows);
    assert_memory_equal(lay.loss_target, targets, sizeof targets);
    assert_true(lay.loss_weight[2] == 1 && lay.loss_weight[3] == 0.5f);
    ste_layout_clear(&lay);
    ste_layout_init(&lay, x, 2, &ste_bradley_terry);
    assert_int_equal(lay.n_loss, 2);
    assert_int_equal(lay.loss_rows[0], 5);
    assert_int_equal(lay.loss_target[0], -1); /* behind the last token there is none */
    ste_layout_clear(&lay);
}

static void pairs_only(void **state)
{
    const struct ste_example good[2] = {{ids, 6, 3, 1, NULL}, {ids, 5, 3, 1, NULL}};
    struct ste_err err = {0};
    assert_int_equal(ste_bradley_terry.check(good, 2, &err), 0);
    assert_int_equal(ste_bradley_terry.check(good, 1, &err), STE_EINPUT);
    for (int i = 0; i < 4; i++) {
        struct ste_example bad[2] = {good[0], good[1]};
        if (i == 0)
            bad[1].tokens = other; /* another prompt */
        else if (i == 1)
            bad[1].n = 3; /* no answer */
        else if (i == 2)
            bad[1].weight = 0.5f;
        else
            bad[0].n_prompt = bad[1].n_prompt = 1;
        assert_int_equal(ste_bradley_terry.check(bad, 2, &err), STE_EINPUT);
        assert_non_null(strstr(err.msg, "examples 1 and 2 of the batch are no pair"));
    }
}

/* What is known of a reference is used and not found again; without margins the loss is known. */
static void references(void **state)
{
    struct tiny *y = tiny_new(STE_ROPE_HALVES, true, true, 42);
    double kept[2] = {NAN, NAN}, loss, nll, other;
    struct ste_example x[2] = {{ids, 6, 3, 1, &kept[0]}, {ids, 5, 3, 1, &kept[1]}};
    struct ste_train_params p;
    struct ste_trainer *t, *lm;
    ste_train_default_params(&p);
    assert_int_equal(ste_trainer_new(&lm, &y->m, NULL, &p, NULL), 0);
    assert_int_equal(ste_trainer_loss(lm, x, 1, &nll, NULL), 0);
    assert_true(isnan(kept[0])); /* another objective asks for none */
    p.objective = &ste_dpo;
    assert_int_equal(ste_trainer_new(&t, &y->m, NULL, &p, NULL), 0);
    assert_int_equal(ste_trainer_loss(t, x, 2, &loss, NULL), 0);
    assert_true(fabs(kept[0] + 3 * nll) < 1e-5 && fabs(loss - (log(2) + 1.5 * nll)) < 1e-5);
    kept[0] -= 10; /* as if what is chosen had gained as much */
    assert_int_equal(ste_trainer_loss(t, x, 2, &other, NULL), 0);
    assert_true(fabs(other - (log1p(exp(-1)) + 1.5 * nll)) < 1e-5);
    tiny_fill_b(ste_trainer_lora(t), 5);
    x[1].reference = NULL;
    const double was = kept[0];
    assert_int_equal(ste_trainer_loss(t, x, 2, &loss, NULL), 0);
    assert_true(kept[0] == was);
    ste_trainer_free(t);
    ste_trainer_free(lm);
    tiny_free(y);
}

/* Half the square of the last row's output. */
static void half_square(struct ste_trainer *t, const struct ste_layout *lay, double scale, double *loss)
{
    const size_t d = (size_t)t->model->hp.d_model;
    if (scale > 0)
        memset(t->s.dx, 0, (size_t)lay->tokens * d * sizeof *t->s.dx);
    for (int i = 0; i < lay->n_loss; i++) {
        const size_t at = (size_t)lay->loss_rows[i] * d;
        t->s.value[i] = 0;
        for (size_t c = at; c < at + d; c++) {
            t->s.value[i] += 0.5 * (double)t->s.final[c] * (double)t->s.final[c];
            if (scale > 0)
                t->s.dx[c] = (float)(scale * (double)lay->loss_weight[i]) * t->s.final[c];
        }
        if (loss)
            *loss += (double)lay->loss_weight[i] * t->s.value[i];
    }
}

static void last_row(const struct ste_example *x, int *from, int *to)
{
    *from = x->n - 1;
    *to = x->n;
}

static void made_up(void **state)
{
    static const struct ste_objective o = {.name = "half square", .group = 1, .rows = last_row, .value = half_square};
    const int lengths[1] = {20};
    struct tiny *y = tiny_new(STE_ROPE_HALVES, true, true, 41);
    struct ste_example *x = tiny_examples(lengths, 1, 5);
    struct ste_train_params p;
    struct ste_trainer *t;
    double score;
    ste_train_default_params(&p);
    p.objective = &o;
    p.r = 4;
    p.alpha = 8;
    assert_int_equal(ste_trainer_new(&t, &y->m, NULL, &p, NULL), 0);
    tiny_fill_b(ste_trainer_lora(t), 5);
    check_slopes(t, &y->m, x);
    assert_int_equal(ste_trainer_scores(t, x, 1, &score, NULL), STE_EUSAGE); /* it has no head */
    ste_trainer_free(t);
    tiny_examples_free(x, 1);
    tiny_free(y);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(rows_wanted), cmocka_unit_test(rows_laid_out),
                                       cmocka_unit_test(pairs_only), cmocka_unit_test(references),
                                       cmocka_unit_test(made_up)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
