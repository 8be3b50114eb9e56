/* Loss and gradients against a plain implementation in double, apart from the trainer's, and its finite differences. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "tiny_model.h"

enum { R = 4, STRETCHED = 20 /* seeds from here on are of models with more ways of positions */ };

static double *ref_values(const struct ste_tensor *t)
{
    size_t n = t->shape[0] * (t->n_dims > 1 ? t->shape[1] : 1);
    float *f = malloc(n * sizeof *f);
    double *d = malloc(n * sizeof *d);
    ste_dequantize(t->type, t->data, f, n);
    for (size_t i = 0; i < n; i++)
        d[i] = (double)f[i];
    free(f);
    return d;
}

/* The adapter in double, so that a finite difference may be smaller than a float's step. */
struct ref_lora {
    double *a[TINY_LAYERS][STE_N_LINEAR], *b[TINY_LAYERS][STE_N_LINEAR];
    double *head; /* NULL: no reward model */
    int r;
    double c;
};

struct ref_model {
    double *linear[TINY_LAYERS][STE_N_LINEAR], *bias[TINY_LAYERS][STE_N_LINEAR], *norm[TINY_LAYERS][2], *embedding,
        *output, *output_norm;
};

static struct ref_model *ref_new(const struct tiny *y)
{
    struct ref_model *r = calloc(1, sizeof *r);
    r->embedding = ref_values(y->m.embedding);
    r->output = ref_values(y->m.output);
    r->output_norm = ref_values(y->m.output_norm);
    for (int l = 0; l < TINY_LAYERS; l++) {
        r->norm[l][0] = ref_values(y->layers[l].norm[STE_NORM_ATTN]);
        r->norm[l][1] = ref_values(y->layers[l].norm[STE_NORM_FFN]);
        for (int i = 0; i < STE_N_LINEAR; i++) {
            r->linear[l][i] = ref_values(y->layers[l].linear[i]);
            if (y->layers[l].bias[i])
                r->bias[l][i] = ref_values(y->layers[l].bias[i]);
        }
    }
    return r;
}

static void ref_free(struct ref_model *r)
{
    free(r->embedding);
    free(r->output);
    free(r->output_norm);
    for (int l = 0; l < TINY_LAYERS; l++) {
        free(r->norm[l][0]);
        free(r->norm[l][1]);
        for (int i = 0; i < STE_N_LINEAR; i++) {
            free(r->linear[l][i]);
            free(r->bias[l][i]);
        }
    }
    free(r);
}

static void ref_linear(const struct ref_model *m, const struct ref_lora *lo, int l, int i, const double *x, int in,
                       int out, double *y)
{
    double low[64];
    for (int k = 0; k < lo->r; k++) {
        low[k] = 0;
        for (int c = 0; c < in; c++)
            low[k] += lo->a[l][i][k * in + c] * x[c];
    }
    for (int o = 0; o < out; o++) {
        y[o] = m->bias[l][i] ? m->bias[l][i][o] : 0;
        for (int c = 0; c < in; c++)
            y[o] += m->linear[l][i][o * in + c] * x[c];
        for (int k = 0; k < lo->r; k++)
            y[o] += lo->c * lo->b[l][i][o * lo->r + k] * low[k];
    }
}

static void ref_norm(const double *x, const double *w, double eps, double *y)
{
    double s = 0;
    for (int c = 0; c < TINY_D; c++)
        s += x[c] * x[c];
    s = 1 / sqrt(s / TINY_D + eps);
    for (int c = 0; c < TINY_D; c++)
        y[c] = x[c] * s * w[c];
}

static void ref_rope(const struct ste_hparams *hp, const struct ste_rotary *r, double *x, int heads, int pos)
{
    for (int h = 0; r && h < heads; h++)
        for (int i = 0; i < r->dims / 2; i++) {
            double angle = pos * r->inv_freq[i], c = r->magnitude * cos(angle), s = r->magnitude * sin(angle);
            int p = hp->rope == STE_ROPE_HALVES ? i : 2 * i,
                q = hp->rope == STE_ROPE_HALVES ? i + r->dims / 2 : 2 * i + 1;
            double *v = x + h * TINY_HD, a = v[p], b = v[q];
            v[p] = a * c - b * s;
            v[q] = a * s + b * c;
        }
}

/* sum_i w_i nll_i / sum_i w_i over the completion tokens, or over the pairs of a reward model. NLL (n), unless NULL,
 * gets the sum of each example's nll_i. */
static double ref_pass(const struct tiny *y, const struct ref_model *m, const struct ref_lora *lo,
                       const struct ste_example *batch, int n, double *nll)
{
    enum { MAX = 256, Q = TINY_HEADS * TINY_HD, KV = TINY_KV * TINY_HD };
    static double x[MAX][TINY_D], q[MAX][Q], k[MAX][KV], v[MAX][KV];
    const struct ste_hparams *hp = &y->m.hp;
    double total = 0, weight = 0, chosen = 0;
    for (int e = 0; e < n; e++) {
        int len = batch[e].n;
        for (int t = 0; t < len; t++)
            memcpy(x[t], m->embedding + batch[e].tokens[t] * TINY_D, sizeof x[t]);
        for (int l = 0; l < TINY_LAYERS; l++) {
            const enum ste_rotary_kind kind = y->layers[l].rotary;
            const struct ste_rotary *rotary = kind == STE_ROTARY_NONE ? NULL : &hp->rotary[kind];
            const int window = y->layers[l].window ? y->layers[l].window : MAX;
            for (int t = 0; t < len; t++) {
                double h[TINY_D];
                ref_norm(x[t], m->norm[l][0], hp->rms_eps, h);
                ref_linear(m, lo, l, STE_Q, h, TINY_D, Q, q[t]);
                ref_linear(m, lo, l, STE_K, h, TINY_D, KV, k[t]);
                ref_linear(m, lo, l, STE_V, h, TINY_D, KV, v[t]);
                ref_rope(hp, rotary, q[t], TINY_HEADS, t);
                ref_rope(hp, rotary, k[t], TINY_KV, t);
                for (int c = 0; hp->temperature_scale > 0 && c < Q; c++)
                    q[t][c] *= 1 + hp->temperature_scale * log(1 + floor(t / hp->temperature_length));
            }
            for (int t = 0; t < len; t++) {
                double o[Q] = {0}, p[MAX], h[TINY_D], g[TINY_FF], u[TINY_FF];
                for (int a = 0; a < TINY_HEADS; a++) {
                    int kv = a / (TINY_HEADS / TINY_KV) * TINY_HD;
                    double sum = 0;
                    const int from = t >= window ? t + 1 - window : 0;
                    for (int s = from; s <= t; s++) {
                        p[s] = 0;
                        for (int c = 0; c < TINY_HD; c++)
                            p[s] += q[t][a * TINY_HD + c] * k[s][kv + c];
                        p[s] = exp(p[s] / sqrt(TINY_HD));
                        sum += p[s];
                    }
                    for (int s = from; s <= t; s++)
                        for (int c = 0; c < TINY_HD; c++)
                            o[a * TINY_HD + c] += p[s] / sum * v[s][kv + c];
                }
                ref_linear(m, lo, l, STE_O, o, Q, TINY_D, h);
                for (int c = 0; c < TINY_D; c++)
                    x[t][c] += h[c];
                ref_norm(x[t], m->norm[l][1], hp->rms_eps, h);
                ref_linear(m, lo, l, STE_GATE, h, TINY_D, TINY_FF, g);
                ref_linear(m, lo, l, STE_UP, h, TINY_D, TINY_FF, u);
                for (int c = 0; c < TINY_FF; c++)
                    g[c] = g[c] / (1 + exp(-g[c])) * u[c];
                ref_linear(m, lo, l, STE_DOWN, g, TINY_FF, TINY_D, h);
                for (int c = 0; c < TINY_D; c++)
                    x[t][c] += h[c];
            }
        }
        if (lo->head) {
            double h[TINY_D], score = 0;
            ref_norm(x[len - 1], m->output_norm, hp->rms_eps, h);
            for (int c = 0; c < TINY_D; c++)
                score += lo->head[c] * h[c];
            if (e % 2) {
                total += (double)batch[e].weight * log(1 + exp(score - chosen));
                weight += (double)batch[e].weight;
            }
            chosen = score;
            continue;
        }
        if (nll)
            nll[e] = 0;
        for (int i = batch[e].n_prompt > 1 ? batch[e].n_prompt : 1; i < len; i++) {
            double h[TINY_D], sum = 0, target = 0;
            ref_norm(x[i - 1], m->output_norm, hp->rms_eps, h);
            for (int w = 0; w < TINY_VOCAB; w++) {
                double z = 0;
                for (int c = 0; c < TINY_D; c++)
                    z += m->output[w * TINY_D + c] * h[c];
                sum += exp(z);
                if (w == batch[e].tokens[i])
                    target = z;
            }
            if (nll)
                nll[e] += log(sum) - target;
            total += (double)batch[e].weight * (log(sum) - target);
            weight += (double)batch[e].weight;
        }
    }
    return total / weight;
}

enum kind { LM, REWARD, DPO };
static const double beta = 0.3, alpha = 1.5; /* a beta at which the margins matter */

static double ref_loss(const struct tiny *y, const struct ref_model *m, const struct ref_lora *lo,
                       const struct ste_example *batch, int n, enum kind kind)
{
    if (kind != DPO)
        return ref_pass(y, m, lo, batch, n, NULL);
    struct ref_lora off = *lo;
    double now[8], was[8], total = 0, weight = 0;
    off.c = 0;
    ref_pass(y, m, lo, batch, n, now);
    ref_pass(y, m, &off, batch, n, was);
    for (int e = 0; e < n; e += 2) {
        const double w = (double)batch[e].weight, margin = beta * (was[e] - now[e] - (was[e + 1] - now[e + 1]));
        total += w * (log(1 + exp(-margin)) + alpha * now[e] / (batch[e].n - batch[e].n_prompt));
        weight += w;
    }
    return total / weight;
}

static double *to_double(const float *f, int n)
{
    double *d = malloc((size_t)n * sizeof *d);
    for (int i = 0; i < n; i++)
        d[i] = (double)f[i];
    return d;
}

/* Each second example answers the prompt of the one before it. */
static void make_pairs(struct ste_example *batch, int n)
{
    for (int e = 0; e < n; e += 2) {
        struct ste_example *x = &batch[e], *y = x + 1;
        int rest = y->n - y->n_prompt;
        int32_t *tokens = malloc((size_t)(x->n_prompt + rest) * sizeof *tokens);
        memcpy(tokens, x->tokens, (size_t)x->n_prompt * sizeof *tokens);
        memcpy(tokens + x->n_prompt, y->tokens + y->n_prompt, (size_t)rest * sizeof *tokens);
        free((void *)(uintptr_t)y->tokens);
        *y = (struct ste_example){tokens, x->n_prompt + rest, x->n_prompt, x->weight, NULL};
    }
}

static double tensor_error(const struct tiny *y, const struct ref_model *ref, const struct ref_lora *rl,
                           const struct ste_example *batch, enum kind kind, double *values, const float *got, int first,
                           int n)
{
    double gap = 0, size = 0;
    for (int c = first; c < n; c += n / 11) {
        double was = values[c], h = 1e-5;
        values[c] = was + h;
        double up = ref_loss(y, ref, rl, batch, 4, kind);
        values[c] = was - h;
        double slope = (up - ref_loss(y, ref, rl, batch, 4, kind)) / (2 * h);
        values[c] = was;
        gap += ((double)got[c] - slope) * ((double)got[c] - slope);
        size += slope * slope;
    }
    return sqrt(gap / size);
}

/* The first layer has a window and turns half of each head; the second turns longer and by another measure, or not at
 * all; queries grow. */
static void stretch(struct tiny *y, enum ste_rotary_kind second)
{
    struct ste_hparams *hp = &y->m.hp;
    ste_rotary_plain(&hp->rotary[STE_ROTARY_SLIDING], 30, TINY_HD / 2);
    y->layers[0].window = 7;
    y->layers[0].rotary = STE_ROTARY_SLIDING;
    y->layers[1].rotary = second;
    hp->rotary[STE_ROTARY_FULL].magnitude = 1.3;
    hp->rotary[STE_ROTARY_FULL].inv_freq[1] /= 4;
    hp->temperature_scale = 0.2;
    hp->temperature_length = 10;
}

static void check_model(enum ste_rope rope, bool biases, bool tied, enum kind kind, uint64_t seed)
{
    const bool reward = kind == REWARD;
    struct ste_err err = {0};
    struct tiny *y = tiny_new(rope, biases, tied, seed);
    if (seed >= STRETCHED)
        stretch(y, kind == DPO ? STE_ROTARY_NONE : STE_ROTARY_FULL);
    struct ref_model *ref = ref_new(y);
    const int more = seed >= STRETCHED && kind == DPO ? 20 : 0; /* then prompts are long enough to be shared */
    const int lengths[] = {9 + more, 70, (kind == LM ? 2 : 12) + more, 23};
    struct ste_example *batch = tiny_examples(lengths, 4, seed);
    struct ste_train_params p;
    ste_train_default_params(&p);
    p.r = R;
    p.alpha = 6;
    p.micro_tokens = 90;
    p.objective = kind == LM ? &ste_language_modelling : reward ? &ste_bradley_terry : &ste_dpo;
    p.beta = beta;
    p.nll = alpha;
    if (kind != LM)
        make_pairs(batch, 4);
    struct ste_trainer *t;
    struct ste_lora *grads;
    double loss;
    assert_int_equal(ste_trainer_new(&t, &y->m, NULL, &p, &err), 0);
    struct ste_lora *lora = ste_trainer_lora(t);
    tiny_fill_b(lora, seed);
    assert_int_equal(ste_lora_new(&grads, &y->m.hp, R, 6, 0, &err), 0);
    for (int c = 0; reward && c < TINY_D; c++)
        lora->head[c] = (float)sin(c + 1.0);
    if (reward)
        ste_lora_add_head(grads, TINY_D);
    assert_int_equal(ste_trainer_grads(t, batch, 4, grads, &loss, &err), 0);

    struct ref_lora rl = {.r = R, .c = 6.0 / R};
    for (int l = 0; l < TINY_LAYERS; l++)
        for (int i = 0; i < STE_N_LINEAR; i++) {
            rl.a[l][i] = to_double(lora->factors[l][i].a, lora->factors[l][i].in * R);
            rl.b[l][i] = to_double(lora->factors[l][i].b, lora->factors[l][i].out * R);
        }
    rl.head = reward ? to_double(lora->head, TINY_D) : NULL;
    double want = ref_loss(y, ref, &rl, batch, 4, kind);
    assert_true(fabs(loss - want) < 1e-5 * want);

    double worst = 0;
    for (int l = 0; l < TINY_LAYERS; l++)
        for (int i = 0; i < 2 * STE_N_LINEAR; i++) {
            const struct ste_lora_factors *g = &grads->factors[l][i / 2];
            int n = (i % 2 ? g->out : g->in) * R;
            double *values = i % 2 ? rl.b[l][i / 2] : rl.a[l][i / 2];
            double relative = tensor_error(y, ref, &rl, batch, kind, values, i % 2 ? g->b : g->a, l, n);
            worst = relative > worst ? relative : worst;
            if (!(relative < 1e-4))
                fail_msg("layer %d %s.%s: relative error %g", l,
                         ste_linear_peft_name(y->m.hp.arch, (enum ste_linear)(i / 2)), i % 2 ? "B" : "A", relative);
        }
    if (reward) {
        double relative = tensor_error(y, ref, &rl, batch, kind, rl.head, grads->head, 0, TINY_D);
        if (!(relative < 1e-4))
            fail_msg("head: relative error %g", relative);
        /* The scores are those of the loss, and an example's own. */
        double scores[4], alone[1];
        assert_int_equal(ste_trainer_scores(t, batch, 4, scores, &err), 0);
        double sum = 0, weight = 0;
        for (int e = 0; e < 4; e += 2) {
            sum += (double)batch[e].weight * log(1 + exp(scores[e + 1] - scores[e]));
            weight += (double)batch[e].weight;
        }
        assert_true(fabs(loss - sum / weight) < 1e-9);
        for (int e = 0; e < 4; e++) {
            assert_int_equal(ste_trainer_scores(t, &batch[e], 1, alone, &err), 0);
            assert_true(fabs(alone[0] - scores[e]) < 1e-5 * (1 + fabs(scores[e])));
        }
        struct ste_example odd[2] = {batch[0], batch[2]};
        assert_int_equal(ste_trainer_grads(t, odd, 2, grads, &loss, &err), STE_EINPUT);
    }
    free(rl.head);
    printf("largest relative error of a tensor: %.1e\n", worst);
    for (int l = 0; l < TINY_LAYERS; l++)
        for (int i = 0; i < STE_N_LINEAR; i++) {
            free(rl.a[l][i]);
            free(rl.b[l][i]);
        }
    ste_lora_free(grads);
    ste_trainer_free(t);
    tiny_examples_free(batch, 4);
    ref_free(ref);
    tiny_free(y);
}

static void adjacent_tied(void **state)
{
    check_model(STE_ROPE_ADJACENT, false, true, LM, 11);
}

static void halves_biases(void **state)
{
    check_model(STE_ROPE_HALVES, true, false, LM, 12);
}

static void reward_model(void **state)
{
    check_model(STE_ROPE_HALVES, true, false, REWARD, 13);
}

static void preferences(void **state)
{
    check_model(STE_ROPE_HALVES, true, false, DPO, 15);
    check_model(STE_ROPE_ADJACENT, false, true, DPO, 16);
}

static void positions(void **state)
{
    check_model(STE_ROPE_HALVES, false, true, LM, STRETCHED);
    check_model(STE_ROPE_ADJACENT, true, false, DPO, STRETCHED + 1); /* prompts are shared across windows */
}

/* The first that a trainer is asked for may be one token long; a token that the model does not have is refused. */
static void scores_of_any_example(void **state)
{
    struct ste_err err = {0};
    struct tiny *y = tiny_new(STE_ROPE_HALVES, true, false, 14);
    struct ste_train_params p;
    struct ste_trainer *t;
    double score = NAN;
    ste_train_default_params(&p);
    p.objective = &ste_bradley_terry;
    assert_int_equal(ste_trainer_new(&t, &y->m, NULL, &p, &err), 0);
    ste_trainer_lora(t)->head[0] = 1;
    const int32_t ids[2] = {5, TINY_VOCAB};
    const struct ste_example one = {ids, 1, 0, 1, NULL}, unknown = {ids, 2, 1, 1, NULL};
    assert_int_equal(ste_trainer_scores(t, &one, 1, &score, &err), 0);
    assert_true(isfinite(score) && score != 0);
    assert_int_equal(ste_trainer_scores(t, &unknown, 1, &score, &err), STE_EINPUT);
    assert_non_null(strstr(err.msg, "token 100"));
    ste_trainer_free(t);
    tiny_free(y);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(adjacent_tied), cmocka_unit_test(halves_biases),
                                       cmocka_unit_test(reward_model),  cmocka_unit_test(preferences),
                                       cmocka_unit_test(positions),     cmocka_unit_test(scores_of_any_example)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
