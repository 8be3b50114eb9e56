#include <math.h>

#include "core/mem.h"
#include "train/internal.h"

int ste_lora_tensor_count(const struct ste_lora *l)
{
    return l->n_layers * STE_N_LINEAR * 2 + (l->head != NULL);
}

float *ste_lora_tensor(const struct ste_lora *l, int i, size_t *n)
{
    if (i == l->n_layers * STE_N_LINEAR * 2) {
        *n = (size_t)l->n_head;
        return l->head;
    }
    const struct ste_lora_factors *p = &l->factors[i / 2 / STE_N_LINEAR][i / 2 % STE_N_LINEAR];
    *n = (size_t)l->r * (size_t)(i % 2 ? p->out : p->in);
    return i % 2 ? p->b : p->shares_a ? NULL : p->a;
}

struct update_job {
    struct ste_trainer *t;
    double *squares;
    float scale, decay, step_size, root_correction;
};

static void squares_part(void *arg, int i)
{
    struct update_job *j = arg;
    size_t n;
    const float *g = ste_lora_tensor(j->t->grads, i, &n);
    double lanes[4] = {0};
    for (size_t c = 0; g && c < n; c++)
        lanes[c % 4] += (double)g[c] * (double)g[c];
    j->squares[i] = (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
}

double ste_grad_norm(struct ste_trainer *t)
{
    int n = ste_lora_tensor_count(t->grads);
    struct update_job j = {.t = t, .squares = ste_xcalloc((size_t)n, sizeof *j.squares)};
    ste_pool_run(t->p.pool, squares_part, &j, n);
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += j.squares[i];
    ste_xfree(j.squares);
    return sqrt(sum);
}

static void adamw_part(void *arg, int i)
{
    struct update_job *j = arg;
    const struct ste_train_params *p = &j->t->p;
    size_t n;
    float *w = ste_lora_tensor(j->t->lora, i, &n), *g = ste_lora_tensor(j->t->grads, i, &n), *m = j->t->m[i],
          *v = j->t->v[i];
    float b1 = (float)p->beta1, c1 = (float)(1 - p->beta1), b2 = (float)p->beta2, c2 = (float)(1 - p->beta2),
          eps = (float)p->adam_eps;
    for (size_t c = 0; w && c < n; c++) {
        float gc = g[c] * j->scale;
        m[c] = b1 * m[c] + c1 * gc;
        v[c] = b2 * v[c] + c2 * gc * gc;
        w[c] = w[c] * j->decay - j->step_size * m[c] / (sqrtf(v[c]) / j->root_correction + eps);
    }
}

/* Decoupled weight decay and bias correction as in torch.optim.AdamW; CLIP multiplies the gradients. */
void ste_adamw_step(struct ste_trainer *t, double lr, double clip)
{
    double done = t->step + 1;
    struct update_job j = {
        .t = t,
        .scale = (float)clip,
        .decay = (float)(1 - lr * t->p.weight_decay),
        .step_size = (float)(lr / (1 - pow(t->p.beta1, done))),
        .root_correction = (float)sqrt(1 - pow(t->p.beta2, done)),
    };
    ste_pool_run(t->p.pool, adamw_part, &j, ste_lora_tensor_count(t->lora));
}
