#include <math.h>
#include <string.h>

#include "core/context.h"
#include "core/log.h"
#include "core/mem.h"
#include "model/positions.h"
#include "core/profile.h"
#include "train/internal.h"

void ste_train_default_params(struct ste_train_params *p)
{
    *p = (struct ste_train_params){
        .objective = &ste_language_modelling,
        .r = 16,
        .alpha = 32,
        .learning_rate = 1e-4,
        .beta1 = 0.9,
        .beta2 = 0.999,
        .adam_eps = 1e-8,
        .max_grad_norm = 1,
        .batch_examples = 8,
        .together = 1,
        .micro_tokens = 512,
        .activation_bytes = (size_t)2 << 30,
        .beta = 0.1,
        .nll = 1.5,
    };
    ste_isa_choose(NULL, &p->isa, NULL);
}

static int check_params(const struct ste_train_params *p, struct ste_err *err)
{
    if (p->r < 1 || p->r > 1024)
        return ste_err_set(err, STE_EUSAGE, "a LoRA rank of %d is not between 1 and 1024", p->r);
    if (!(p->beta1 >= 0 && p->beta1 < 1 && p->beta2 >= 0 && p->beta2 < 1 && p->adam_eps > 0))
        return ste_err_set(err, STE_EUSAGE, "AdamW needs 0 <= beta < 1 and eps > 0; there are beta %g, %g and eps %g",
                           p->beta1, p->beta2, p->adam_eps);
    if (!(p->learning_rate >= 0) || !(p->max_grad_norm >= 0) || !(p->weight_decay >= 0) ||
        !isfinite(p->alpha + p->learning_rate + p->max_grad_norm + p->weight_decay))
        return ste_err_set(
            err, STE_EUSAGE,
            "learning rate, norm limit and weight decay cannot be negative; they and alpha must be finite");
    if (p->together < 1 || p->batch_examples < 1)
        return ste_err_set(err, STE_EUSAGE, "a batch of %d examples, %d shuffled as one: both must be at least 1",
                           p->batch_examples, p->together);
    if (!(p->beta >= 0) || !(p->nll >= 0) || !isfinite(p->beta + p->nll))
        return ste_err_set(err, STE_EUSAGE, "DPO's beta %g and nll %g must be finite and 0 or more", p->beta, p->nll);
    return 0;
}

static float **moments_new(const struct ste_lora *l)
{
    int n = ste_lora_tensor_count(l);
    float **m = ste_xcalloc((size_t)n, sizeof *m);
    for (int i = 0; i < n; i++) {
        size_t values;
        if (ste_lora_tensor(l, i, &values))
            m[i] = ste_xcalloc(values, sizeof *m[i]);
    }
    return m;
}

static void moments_free(float **m, int n)
{
    for (int i = 0; m && i < n; i++)
        ste_xfree(m[i]);
    ste_xfree(m);
}

int ste_trainer_new(struct ste_trainer **out, const struct ste_model *m, const struct ste_weights *base,
                    const struct ste_train_params *p, struct ste_err *err)
{
    *out = NULL;
    int rc = check_params(p, err);
    if (rc)
        return rc;
    struct ste_trainer *t = ste_xcalloc(1, sizeof *t);
    t->model = m;
    t->p = *p;
    t->ops = ste_ops_of(p->isa);
    for (int k = 0; k < STE_N_ROTARY; k++)
        t->rotary[k] = ste_rotary_of(m, (enum ste_rotary_kind)k, ste_n_ctx(&m->hp, p->n_ctx));
    if (!base)
        rc = ste_weights_new(&t->own_w, m, p->isa, p->pool, err);
    t->w = base ? base : t->own_w;
    if (!rc)
        rc = ste_lora_new(&t->lora, &m->hp, p->r, p->alpha, p->seed, err);
    if (!rc)
        rc = ste_lora_new(&t->grads, &m->hp, p->r, p->alpha, 0, err);
    if (rc) {
        ste_trainer_free(t);
        return rc;
    }
    if (p->objective->head) {
        ste_lora_add_head(t->lora, m->hp.d_model);
        ste_lora_add_head(t->grads, m->hp.d_model);
    }
    t->m = moments_new(t->lora);
    t->v = moments_new(t->lora);
    *out = t;
    return 0;
}

void ste_trainer_free(struct ste_trainer *t)
{
    if (!t)
        return;
    int n = t->lora ? ste_lora_tensor_count(t->lora) : 0;
    moments_free(t->m, n);
    moments_free(t->v, n);
    ste_lora_free(t->lora);
    ste_lora_free(t->grads);
    ste_weights_free(t->own_w);
    ste_scratch_free(&t->s);
    ste_xfree(t->log);
    ste_xfree(t->references);
    ste_xfree(t);
}

struct ste_lora *ste_trainer_lora(struct ste_trainer *t)
{
    return t->lora;
}

int ste_trainer_steps_done(const struct ste_trainer *t)
{
    return t->step;
}

int ste_trainer_set_lora(struct ste_trainer *t, const struct ste_lora *l, struct ste_err *err)
{
    if (l->r != t->lora->r || l->n_layers != t->lora->n_layers)
        return ste_err_set(err, STE_EINPUT,
                           "the adapter to start from has rank %d and %d layers; the trainer has %d and %d", l->r,
                           l->n_layers, t->lora->r, t->lora->n_layers);
    if (l->alpha != t->lora->alpha)
        return ste_err_set(err, STE_EINPUT, "the adapter to start from has alpha %g; the trainer has %g", l->alpha,
                           t->lora->alpha);
    if (!l->head != !t->lora->head)
        return ste_err_set(err, STE_EINPUT, "the adapter to start from %s a reward model's", l->head ? "is" : "is not");
    int n = ste_lora_tensor_count(l);
    for (int i = 0; i < n; i++) {
        size_t a, b;
        if (!ste_lora_tensor(l, i, &a) && ste_lora_tensor(t->lora, i, &b))
            return ste_err_set(
                err, STE_EINPUT,
                "the adapter to start from leaves some linear layers out; training needs all seven of a block");
        ste_lora_tensor(t->lora, i, &b);
        if (a != b)
            return ste_err_set(err, STE_EINPUT, "the adapter to start from has other shapes than the model");
    }
    for (int i = 0; i < n; i++) {
        size_t a;
        const float *from = ste_lora_tensor(l, i, &a);
        if (from)
            memcpy(ste_lora_tensor(t->lora, i, &a), from, a * sizeof *from);
    }
    memcpy(t->start, l->hash, sizeof t->start);
    return 0;
}

/* Rows of X that the objective needs. */
static int rows_of(const struct ste_trainer *t, const struct ste_example *x)
{
    int from, to;
    t->p.objective->rows(x, &from, &to);
    return from < to ? to - from : 0;
}

static int check_examples(const struct ste_trainer *t, const struct ste_example *batch, int n, struct ste_err *err)
{
    for (int e = 0; e < n; e++) {
        const struct ste_example *x = &batch[e];
        if (x->n < 1 || x->n_prompt < 0 || x->n_prompt > x->n)
            return ste_err_set(err, STE_EINPUT, "example %d of the batch has %d tokens, %d of them prompt", e + 1, x->n,
                               x->n_prompt);
        if (!(x->weight >= 0) || !isfinite(x->weight))
            return ste_err_set(err, STE_EINPUT, "example %d of the batch has the weight %g; it must be 0 or more",
                               e + 1, (double)x->weight);
        for (int i = 0; i < x->n; i++)
            if (x->tokens[i] < 0 || x->tokens[i] >= t->model->hp.n_vocab)
                return ste_err_set(err, STE_EINPUT, "example %d of the batch has the token %d; the model knows 0 to %d",
                                   e + 1, (int)x->tokens[i], t->model->hp.n_vocab - 1);
    }
    return 0;
}

/* What a pass over a batch sums up. */
struct totals {
    double loss, weight; /* of the losses, each times its weight */
    long tokens, loss_tokens;
};

static int check_batch(const struct ste_trainer *t, const struct ste_example *batch, int n, struct totals *sum,
                       struct ste_err *err)
{
    const struct ste_objective *o = t->p.objective;
    *sum = (struct totals){0};
    if (check_examples(t, batch, n, err) || (o->check && o->check(batch, n, err)))
        return STE_EINPUT;
    for (int e = 0; e < n; e++) {
        const int rows = rows_of(t, &batch[e]);
        sum->tokens += batch[e].n;
        sum->loss_tokens += rows;
        sum->weight += (o->group > 1 ? 1.0 / o->group : rows) * (double)batch[e].weight;
    }
    if (!sum->loss_tokens || !(sum->weight > 0))
        return ste_err_set(err, STE_EINPUT, "a batch of %d examples has no completion token to learn from", n);
    return 0;
}

static void zero_grads(struct ste_trainer *t)
{
    for (int i = 0; i < ste_lora_tensor_count(t->grads); i++) {
        size_t n;
        float *g = ste_lora_tensor(t->grads, i, &n);
        if (g)
            memset(g, 0, n * sizeof *g);
    }
}

static void layout_pass(struct ste_trainer *t, const struct ste_layout *lay, double scale, double *loss)
{
    const struct ste_hparams *hp = &t->model->hp;
    struct ste_scratch *s = &t->s;
    int layers = hp->n_layers;
    for (int e = 0; e < lay->n; e++)
        for (int i = 0; i < lay->spans[e].n; i++)
            ste_matrix_row(t->w->embedding, lay->spans[e].tokens[i],
                           s->acts[0].x + (size_t)(lay->spans[e].start + i) * (size_t)hp->d_model);
    if (hp->embedding_scale != 1)
        t->ops->scale(s->acts[0].x, (float)hp->embedding_scale, (size_t)lay->tokens * (size_t)hp->d_model);
    for (int l = 0; l < layers; l++)
        ste_block_forward(t, lay, l, l + 1 < layers ? s->acts[l + 1].x : s->final);
    t->p.objective->value(t, lay, scale, loss);
    if (scale <= 0)
        return;
    for (int l = layers - 1; l >= 0; l--) {
        /* The shared activations still hold the last layer's: it need not be computed again. */
        if (t->s.recompute && l + 1 < layers)
            ste_block_forward(t, lay, l, NULL);
        ste_block_backward(t, lay, l);
    }
}

/* Calls EACH with every pack of BATCH, once there is room for the largest. */
static int each_pack(struct ste_trainer *t, const struct ste_example *batch, int n,
                     void (*each)(struct ste_trainer *t, const struct ste_layout *lay, void *arg), void *arg,
                     struct ste_err *err)
{
    int largest = 0;
    for (int e = 0, tokens; e<n; largest = tokens> largest ? tokens : largest)
        e += ste_layout_count(batch + e, n - e, t->p.micro_tokens, &tokens);
    int rc = n > 0 ? ste_scratch_reserve(t, largest, err) : 0;
    for (int e = 0, count, tokens; !rc && e < n; e += count) {
        struct ste_layout lay;
        count = ste_layout_count(batch + e, n - e, t->p.micro_tokens, &tokens);
        ste_layout_init(&lay, batch + e, count, t->p.objective);
        each(t, &lay, arg);
        ste_layout_clear(&lay);
        rc = ste_cancel_check(err);
    }
    return rc;
}

/* What is known already stays: another batch may have rounded otherwise. */
static void take_references(struct ste_trainer *t, const struct ste_layout *lay, void *arg)
{
    layout_pass(t, lay, 0, NULL);
    for (int e = 0; e < lay->n_examples; e++) {
        double nll = 0;
        for (int i = lay->first_loss[e]; i < lay->first_loss[e + 1]; i++)
            nll += t->s.value[i];
        if (isnan(*lay->examples[e].reference))
            *lay->examples[e].reference = -nll;
    }
}

/* The log-probability of every completion without the adapter; OWN (n) is for those that nobody keeps. */
static int find_references(struct ste_trainer *t, struct ste_example *batch, int n, double *own, struct ste_err *err)
{
    bool all = true;
    for (int e = 0; e < n; e++) {
        own[e] = NAN;
        batch[e].reference = batch[e].reference ? batch[e].reference : &own[e];
        all &= !isnan(*batch[e].reference);
    }
    t->bare = true;
    int rc = all ? 0 : each_pack(t, batch, n, take_references, NULL, err);
    t->bare = false;
    return rc;
}

void ste_keep_references(struct ste_trainer *t, int n)
{
    if (!t->p.objective->reference || t->references)
        return;
    t->references = ste_xmalloc((size_t)n * sizeof *t->references);
    t->n_references = n;
    for (int i = 0; i < n; i++)
        t->references[i] = NAN;
}

struct learning {
    double scale, *loss;
};

static void learn(struct ste_trainer *t, const struct ste_layout *lay, void *arg)
{
    const struct learning *l = arg;
    layout_pass(t, lay, l->scale, l->loss);
}

static int batch_pass(struct ste_trainer *t, const struct ste_example *given, int n, bool backward, struct totals *sum,
                      struct ste_err *err)
{
    int rc = check_batch(t, given, n, sum, err);
    if (rc)
        return rc;
    struct ste_example *batch = ste_xcalloc((size_t)n, sizeof *batch);
    double *own = ste_xcalloc((size_t)n, sizeof *own);
    ste_layout_order(given, n, batch);
    if (t->p.objective->reference)
        rc = find_references(t, batch, n, own, err);
    if (!rc && backward)
        zero_grads(t);
    struct learning l = {backward ? 1 / sum->weight : 0, &sum->loss};
    if (!rc)
        rc = each_pack(t, batch, n, learn, &l, err);
    ste_xfree(batch);
    ste_xfree(own);
    return rc;
}

int ste_trainer_step(struct ste_trainer *t, const struct ste_example *batch, int n, struct ste_train_step *out,
                     struct ste_err *err)
{
    struct totals sum;
    const double began = ste_now();
    int rc = batch_pass(t, batch, n, true, &sum, err);
    if (rc)
        return rc;
    ste_profile_tokens(0, 0, (uint64_t)sum.tokens);
    enum ste_work before = ste_profile_begin(STE_WORK_OPTIMIZER);
    double norm = ste_grad_norm(t);
    ste_profile_end(before);
    double lr = t->p.learning_rate * ste_schedule_factor(t->p.schedule, t->step, t->p.warmup_steps, t->p.total_steps);
    if (!isfinite(norm) || !isfinite(sum.loss))
        return ste_err_set(
            err, STE_EFAIL,
            "step %d of training gave a loss of %g and a gradient norm of %g; a lower learning rate than %g "
            "may help",
            t->step + 1, sum.loss / sum.weight, norm, t->p.learning_rate);
    double clip = t->p.max_grad_norm > 0 ? t->p.max_grad_norm / (norm + 1e-6) : 1; /* as torch's clip_grad_norm_ */
    ste_profile_begin(STE_WORK_OPTIMIZER);
    ste_adamw_step(t, lr, clip < 1 ? clip : 1);
    ste_profile_end(before);
    STE_GROW(t->log, t->log_cap, t->step + 1);
    struct ste_train_step *s = &t->log[t->step++];
    memset(s, 0, sizeof *s); /* a state holds its padding too */
    s->step = t->step;
    s->loss = sum.loss / sum.weight;
    s->lr = lr;
    s->grad_norm = norm;
    s->seconds = ste_now() - began;
    s->tokens = sum.tokens;
    s->loss_tokens = sum.loss_tokens;
    if (out)
        *out = *s;
    return 0;
}

int ste_trainer_loss(struct ste_trainer *t, const struct ste_example *batch, int n, double *loss, struct ste_err *err)
{
    struct totals sum;
    int rc = batch_pass(t, batch, n, false, &sum, err);
    if (!rc)
        *loss = sum.loss / sum.weight;
    return rc;
}

static void take_scores(struct ste_trainer *t, const struct ste_layout *lay, void *arg)
{
    double **to = arg;
    layout_pass(t, lay, 0, NULL);
    memcpy(*to, t->s.value, (size_t)lay->n_examples * sizeof **to);
    *to += lay->n_examples;
}

int ste_trainer_scores(struct ste_trainer *t, const struct ste_example *examples, int n, double *scores,
                       struct ste_err *err)
{
    int rc = t->p.objective->head ? check_examples(t, examples, n, err)
                                  : ste_err_set(err, STE_EUSAGE, "only a reward model's trainer scores");
    return rc ? rc : each_pack(t, examples, n, take_scores, &scores, err);
}

int ste_trainer_grads(struct ste_trainer *t, const struct ste_example *batch, int n, struct ste_lora *grads,
                      double *loss, struct ste_err *err)
{
    struct totals sum;
    int rc = batch_pass(t, batch, n, true, &sum, err);
    if (rc)
        return rc;
    *loss = sum.loss / sum.weight;
    for (int i = 0; i < ste_lora_tensor_count(grads); i++) {
        size_t values;
        float *to = ste_lora_tensor(grads, i, &values);
        if (to)
            memcpy(to, ste_lora_tensor(t->grads, i, &values), values * sizeof *to);
    }
    return 0;
}
