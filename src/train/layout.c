#include <limits.h>
#include <string.h>

#include "core/mem.h"
#include "model/positions.h"
#include "train/internal.h"

#define LEAST_SHARED 8 /* tokens: fewer are not worth a span of their own */
#define GROUP_ROWS 512 /* of a group, since it cannot be cut: what is shared must not cost memory */

static bool same_prompt(const struct ste_example *a, const struct ste_example *b)
{
    return a->n_prompt > 1 && a->n_prompt == b->n_prompt &&
           !memcmp(a->tokens, b->tokens, (size_t)a->n_prompt * sizeof *a->tokens);
}

/* Tokens that both prompts begin with; a prompt's last one stays with its completion. */
static int shared_with(const struct ste_example *a, const struct ste_example *b)
{
    int most = (a->n_prompt < b->n_prompt ? a->n_prompt : b->n_prompt) - 1, n = 0;
    while (n < most && a->tokens[n] == b->tokens[n])
        n++;
    return n;
}

/* How many of the examples after the first, up to N in all, share at least LEAST tokens with the one before them;
 * *SHARED is the least that two neighbours of these do. */
static int run_of(const struct ste_example *x, int n, int least, int *shared)
{
    int count = 1;
    *shared = 0;
    for (int s; count < n && (s = shared_with(&x[count - 1], &x[count])) >= least; count++)
        *shared = count == 1 || s < *shared ? s : *shared;
    return count;
}

/* Rows of N examples as add_examples lays them out, those before FROM left out. */
static int rows_of(const struct ste_example *x, int n, int from, int depth)
{
    int rows = 0;
    for (int e = 0, count, shared; e < n; e += count) {
        count = depth < STE_LAYOUT_DEPTH ? run_of(x + e, n - e, from + LEAST_SHARED, &shared) : 1;
        rows += count == 1 ? x[e].n - from : shared - from + rows_of(x + e, count, shared, depth + 1);
    }
    return rows;
}

/* How many of the first examples make a group, and the rows they take. It grows while it is small, or is not half as
 * long again as its longest example would be alone; then it ends where its neighbours share least. Examples of one
 * prompt are never parted. */
static int group_count(const struct ste_example *batch, int n, int *rows)
{
    int count = 1, longest = batch[0].n, weakest = 1, least = INT_MAX;
    for (; count < n; count++) {
        int shared = shared_with(&batch[count - 1], &batch[count]), more = rows_of(batch, count + 1, 0, 0);
        bool same = same_prompt(&batch[count - 1], &batch[count]);
        if (shared < LEAST_SHARED && !same)
            break;
        if (shared <= least && !same) {
            least = shared;
            weakest = count;
        }
        longest = batch[count].n > longest ? batch[count].n : longest;
        if (more > GROUP_ROWS && more > longest + longest / 2 && least < INT_MAX) {
            count = weakest;
            break;
        }
    }
    *rows = rows_of(batch, count, 0, 0);
    return count;
}

void ste_layout_order(const struct ste_example *batch, int n, struct ste_example *out)
{
    bool *taken = ste_xcalloc((size_t)n, sizeof *taken);
    int count = 0;
    for (int i = 0; i < n; i++)
        for (int k = i; k < n && (k > i || !taken[i]); k++)
            if (k == i || (!taken[k] && same_prompt(&batch[i], &batch[k]))) {
                taken[k] = true;
                out[count++] = batch[k];
            }
    ste_xfree(taken);
}

int ste_layout_count(const struct ste_example *batch, int n, int micro_tokens, int *tokens)
{
    int rows, count = group_count(batch, n, tokens); /* a group longer than the limit has a pack of its own */
    while (count < n) {
        int more = group_count(batch + count, n - count, &rows);
        if (*tokens + rows > micro_tokens)
            break;
        *tokens += rows;
        count += more;
    }
    return count;
}

static int add_span(struct ste_layout *lay, const struct ste_example *x, int from, int to, int prefix)
{
    lay->spans[lay->n] = (struct ste_span){
        .tokens = x->tokens + from, .start = lay->tokens, .n = to - from, .prefix = prefix, .pos = from};
    lay->tokens += to - from;
    return lay->n++;
}

static void add_losses(struct ste_layout *lay, const struct ste_example *x, int from, const struct ste_objective *o)
{
    int before = lay->tokens - from; /* the row of the example's first token, were it not shared */
    int i, to;
    for (o->rows(x, &i, &to); i < to; i++) {
        lay->loss_rows[lay->n_loss] = before + i;
        lay->loss_target[lay->n_loss] = i + 1 < x->n ? x->tokens[i + 1] : -1;
        lay->loss_weight[lay->n_loss++] = x->weight;
    }
    lay->first_loss[++lay->n_examples] = lay->n_loss;
}

/* N examples whose tokens before FROM are those of the span PREFIX and its prefixes: what neighbours share is a span,
 * and so on within it. */
static void add_examples(struct ste_layout *lay, const struct ste_example *x, int n, int from, int prefix, int depth,
                         const struct ste_objective *o)
{
    for (int e = 0, count, shared; e < n; e += count) {
        count = depth < STE_LAYOUT_DEPTH ? run_of(x + e, n - e, from + LEAST_SHARED, &shared) : 1;
        if (count == 1) {
            add_losses(lay, &x[e], from, o);
            add_span(lay, &x[e], from, x[e].n, prefix);
        } else {
            int head = add_span(lay, &x[e], from, shared, prefix);
            add_examples(lay, x + e, count, shared, head, depth + 1, o);
        }
    }
}

void ste_layout_init(struct ste_layout *lay, const struct ste_example *batch, int n, const struct ste_objective *o)
{
    memset(lay, 0, sizeof *lay);
    size_t cap = 0;
    for (int e = 0; e < n; e++)
        cap += (size_t)batch[e].n;
    lay->spans = ste_xcalloc(2 * (size_t)n, sizeof *lay->spans);
    lay->group = ste_xcalloc((size_t)n + 1, sizeof *lay->group);
    lay->loss_rows = ste_xcalloc(cap, sizeof *lay->loss_rows);
    lay->loss_target = ste_xcalloc(cap, sizeof *lay->loss_target);
    lay->loss_weight = ste_xcalloc(cap, sizeof *lay->loss_weight);
    lay->examples = batch;
    lay->first_loss = ste_xcalloc((size_t)n + 1, sizeof *lay->first_loss);
    for (int e = 0, count, rows; e < n; e += count) {
        count = group_count(batch + e, n - e, &rows);
        add_examples(lay, batch + e, count, 0, -1, 0, o);
        lay->group[++lay->n_groups] = lay->n;
    }
}

void ste_layout_clear(struct ste_layout *lay)
{
    ste_xfree(lay->spans);
    ste_xfree(lay->group);
    ste_xfree(lay->loss_rows);
    ste_xfree(lay->loss_target);
    ste_xfree(lay->loss_weight);
    ste_xfree(lay->first_loss);
}

/* Rows of logits at once: enough that expanding the vocabulary's weights pays, within about 96 MB. */
static int chunk_rows(const struct ste_hparams *hp, int tokens)
{
    long rows = (24L << 20) / hp->n_vocab / 16 * 16;
    rows = rows < 16 ? 16 : rows > 256 ? 256 : rows;
    return (int)(rows < tokens ? rows : tokens);
}

/* A walk over the arena: with BASE NULL it only measures. Each array begins at a multiple of 64 bytes. */
struct walk {
    float *base;
    size_t used; /* floats */
};

static float *take(struct walk *w, size_t rows, size_t cols)
{
    float *p = w->base ? w->base + w->used : NULL;
    w->used += (rows * cols + 15) / 16 * 16;
    return p;
}

static void lay_out_acts(struct walk *w, struct ste_acts *a, const struct ste_hparams *hp, int r, size_t t)
{
    size_t d = (size_t)hp->d_model, q = (size_t)hp->n_heads * (size_t)hp->head_dim,
           kv = (size_t)hp->n_kv_heads * (size_t)hp->head_dim, f = (size_t)hp->d_ff;
    a->q = take(w, t, q);
    a->k = take(w, t, kv);
    a->v = take(w, t, kv);
    a->q_raw = hp->arch->norm[STE_NORM_Q].gguf ? take(w, t, q) : NULL;
    a->k_raw = hp->arch->norm[STE_NORM_K].gguf ? take(w, t, kv) : NULL;
    a->lse = take(w, t, (size_t)hp->n_heads);
    a->o = take(w, t, q);
    a->attn_out = hp->arch->norm[STE_NORM_ATTN_OUT].gguf ? take(w, t, d) : NULL;
    a->ffn_out = hp->arch->norm[STE_NORM_FFN_OUT].gguf ? take(w, t, d) : NULL;
    a->x2 = take(w, t, d);
    a->gate = take(w, t, f);
    a->up = take(w, t, f);
    for (int i = 0; i < STE_N_LINEAR; i++)
        a->low[i] = take(w, t, (size_t)r);
}

static void lay_out(struct walk *w, struct ste_scratch *s, const struct ste_trainer *of, int tokens, bool recompute)
{
    const struct ste_hparams *hp = &of->model->hp;
    const int r = of->p.r;
    size_t t = (size_t)tokens, d = (size_t)hp->d_model, q = (size_t)hp->n_heads * (size_t)hp->head_dim,
           kv = (size_t)hp->n_kv_heads * (size_t)hp->head_dim, f = (size_t)hp->d_ff;
    for (int l = 0; l < hp->n_layers; l++) {
        if (l == 0 || !recompute)
            lay_out_acts(w, &s->acts[l], hp, r, t);
        else
            s->acts[l] = s->acts[0];
        s->acts[l].x = take(w, t, d);
    }
    s->final = take(w, t, d);
    s->dx = take(w, t, d);
    s->norm = take(w, t, d);
    s->dnorm = take(w, t, d);
    s->h = take(w, t, f > q ? f : q);
    s->dh = take(w, t, f);
    s->dq = take(w, t, q);
    s->dk_heads = take(w, t, q);
    s->dv_heads = take(w, t, q);
    s->dk = take(w, t, kv);
    s->dv = take(w, t, kv);
    s->dlow = take(w, t, (size_t)r);
    for (int k = 0; k < STE_N_ROTARY; k++)
        s->cos_sin[k] = take(w, t, of->rotary[k] ? (size_t)of->rotary[k]->dims : 0);
    s->chunk = chunk_rows(hp, tokens);
    s->logits = take(w, (size_t)s->chunk, (size_t)hp->n_vocab);
    s->loss_x = take(w, (size_t)s->chunk, d);
    s->loss_norm = take(w, (size_t)s->chunk, d);
    s->loss_d = take(w, (size_t)s->chunk, d);
    s->value = (double *)(void *)take(w, t, 2);
    s->gain = (double *)(void *)take(w, t, 2);
}

/* Of activations and scratch memory for a pack of TOKENS. */
static size_t bytes_for(const struct ste_trainer *t, int tokens, bool recompute)
{
    struct ste_scratch s = {.acts = ste_xcalloc((size_t)t->model->hp.n_layers, sizeof *s.acts)};
    struct walk w = {0};
    lay_out(&w, &s, t, tokens, recompute);
    ste_xfree(s.acts);
    return w.used * sizeof(float);
}

/* The same as the parameters have it: without all layers' activations where they would be too large. */
static size_t settled_bytes(const struct ste_trainer *t, int tokens, bool *recompute)
{
    size_t bytes = bytes_for(t, tokens, false);
    *recompute = bytes > t->p.activation_bytes;
    return *recompute ? bytes_for(t, tokens, true) : bytes;
}

void ste_train_sizes(const struct ste_model *m, const struct ste_train_params *p, int tokens,
                     struct ste_train_sizes *out)
{
    enum {
        ARRAYS = 7 /* values, gradients, two moments; values and moments again as a state */
    };
    struct ste_trainer t = {.model = m, .p = *p};
    bool recompute;
    for (int k = 0; k < STE_N_ROTARY; k++)
        t.rotary[k] = ste_rotary_of(m, (enum ste_rotary_kind)k, m->hp.n_ctx_train);
    out->adapter = ARRAYS * ste_lora_values(&m->hp, p->r) * sizeof(float);
    out->activations = settled_bytes(&t, tokens, &recompute);
}

int ste_scratch_reserve(struct ste_trainer *t, int tokens, struct ste_err *err)
{
    struct ste_scratch *s = &t->s;
    if (tokens <= s->cap)
        return 0;
    ste_scratch_free(s);
    bool recompute;
    const size_t bytes = settled_bytes(t, tokens, &recompute);
    void *arena;
    int rc = ste_big_alloc(&arena, bytes, "the activations of training (fewer micro_tokens need less)", err);
    if (rc)
        return rc;
    s->arena = arena;
    s->arena_bytes = bytes;
    s->acts = ste_xcalloc((size_t)t->model->hp.n_layers, sizeof *s->acts);
    struct walk w = {.base = s->arena};
    lay_out(&w, s, t, tokens, recompute);
    s->recompute = recompute;
    s->cap = tokens;
    for (int k = 0; k < STE_N_ROTARY; k++)
        for (int pos = 0; t->rotary[k] && pos < tokens; pos++)
            ste_rope_table(t->rotary[k], pos, s->cos_sin[k] + (size_t)pos * (size_t)t->rotary[k]->dims);
    return 0;
}

void ste_scratch_free(struct ste_scratch *s)
{
    ste_xfree(s->acts);
    if (s->arena)
        ste_big_free(s->arena, s->arena_bytes);
    memset(s, 0, sizeof *s);
}
