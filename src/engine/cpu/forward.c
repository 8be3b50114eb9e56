#include "engine/cpu/forward.h"

#include <string.h>

#include "core/mem.h"
#include "core/profile.h"
#include "model/positions.h"

int ste_forward_init(struct ste_forward *f, const struct ste_weights *w, const struct ste_kv_store *kv,
                     const struct ste_device_params *p, struct ste_err *err)
{
    const struct ste_hparams *hp = &w->model->hp;
    size_t hd = (size_t)hp->head_dim, rows = (size_t)p->max_rows;
    size_t n_q = (size_t)hp->n_heads * hd, n_kv = (size_t)hp->n_kv_heads * hd;
    *f = (struct ste_forward){.w = w,
                              .model = w->model,
                              .kv = kv,
                              .pool = p->pool,
                              .isa = p->isa,
                              .act = p->activations,
                              .ops = ste_ops_of(p->isa),
                              .max_rows = p->max_rows,
                              .n_ctx = p->n_ctx};
    if (hd % 16 || hd > STE_MAX_HEAD_DIM || hp->n_heads % hp->n_kv_heads ||
        hp->n_heads / hp->n_kv_heads > STE_MAX_GROUP)
        return ste_err_set(err, STE_EINPUT,
                           "cannot run %s: %d heads of %d on %d KV heads; head sizes are multiples of 16 up to %d, "
                           "with at most %d heads to a KV head",
                           ste_gguf_path(w->model->gguf), hp->n_heads, hp->head_dim, hp->n_kv_heads, STE_MAX_HEAD_DIM,
                           STE_MAX_GROUP);
    size_t turned[STE_N_ROTARY] = {0};
    for (int k = 0; k < STE_N_ROTARY; k++)
        if ((f->rotary[k] = ste_rotary_of(f->model, (enum ste_rotary_kind)k, p->n_ctx)))
            turned[k] = (size_t)f->rotary[k]->dims;
    const struct {
        float **at;
        size_t floats;
    } buffers[] = {{&f->x, rows * (size_t)hp->d_model},
                   {&f->xn, rows * (size_t)hp->d_model},
                   {&f->y, rows * (size_t)hp->d_model},
                   {&f->q, rows * n_q},
                   {&f->att, rows * n_q},
                   {&f->k, rows * n_kv},
                   {&f->v, rows * n_kv},
                   {&f->gate, rows * (size_t)hp->d_ff},
                   {&f->up, rows * (size_t)hp->d_ff},
                   {&f->logits, STE_LOGIT_ROWS * (size_t)hp->n_vocab},
                   {&f->rope[STE_ROTARY_FULL], (size_t)p->n_ctx * turned[STE_ROTARY_FULL]},
                   {&f->rope[STE_ROTARY_SLIDING], (size_t)p->n_ctx * turned[STE_ROTARY_SLIDING]}};
    enum {
        LINE = 64 / sizeof(float)
    }; /* each begins a cache line: stores that cross lines cost a fifth of a product */
    size_t floats = 0;
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
        floats += (buffers[i].floats + LINE - 1) / LINE * LINE;
    f->arena_size = floats * sizeof(float);
    int rc = ste_big_alloc(&f->arena, f->arena_size, "the activations of a step", err);
    if (rc)
        return rc;
    float *next = f->arena;
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++) {
        *buffers[i].at = next;
        next += (buffers[i].floats + LINE - 1) / LINE * LINE;
    }
    f->place = ste_xcalloc(rows, sizeof *f->place);
    f->inputs = ste_inputs_new();
    f->gated = ste_inputs_new();
    for (int k = 0; k < STE_N_ROTARY; k++)
        for (int pos = 0; kv && f->rotary[k] && pos < p->n_ctx; pos++)
            ste_rope_table(f->rotary[k], pos, f->rope[k] + (size_t)pos * turned[k]);
    return 0;
}

void ste_forward_clear(struct ste_forward *f)
{
    ste_big_free(f->arena, f->arena_size);
    ste_inputs_free(f->inputs);
    ste_inputs_free(f->gated);
    ste_xfree(f->place);
    ste_xfree(f->u);
    *f = (struct ste_forward){0};
}

int ste_forward_size(const struct ste_model *m, const struct ste_device_params *p, size_t *bytes, struct ste_err *err)
{
    const struct ste_weights w = {.model = m};
    struct ste_forward f;
    int rc = ste_forward_init(&f, &w, NULL, p, err); /* what it takes is not touched, and costs nothing */
    *bytes = rc ? 0 : f.arena_size;
    if (!rc)
        ste_forward_clear(&f);
    return rc;
}

/* What is done to each row by itself, between the products. */
struct each {
    struct ste_forward *f;
    const struct ste_row *rows;
    const int *index;
    const float *norm, *norm_out; /* of the row, and before it of what is added to it; NULL: none */
    int layer, n, chunk, width;
    void (*fn)(const struct each *e, size_t row);
    bool rounds; /* then: the next products' inputs, WIDTH of a row */
};

static void each_part(void *arg, int part)
{
    const struct each *e = arg;
    int first = part * e->chunk, last = first + e->chunk < e->n ? first + e->chunk : e->n;
    const int together = e->rounds ? ste_inputs_rows(e->f->inputs) : 1, some = together > 4 ? together : 4; /* near */
    for (int r = first, end; r < last; r = end) {
        end = r + some < last ? r + some : last;
        for (int i = r; e->fn && i < end; i++)
            e->fn(e, (size_t)i);
        if (e->rounds)
            ste_inputs_round(e->f->inputs, r, end - r, 0, e->width);
    }
}

static void each_row(struct each e, void (*fn)(const struct each *, size_t))
{
    enum ste_work before = ste_profile_begin(STE_WORK_ROWS);
    e.fn = fn;
    /* Waking a thread costs more than a few rows, and so do cache lines that several threads write: a cell's scales of
     * 16 rows lie in one. */
    e.chunk = e.n <= 4 ? e.n : e.n <= 32 ? (e.n + 1) / 2 : 16;
    if (e.rounds) {
        const int together = ste_inputs_rows(e.f->inputs);
        e.chunk = (e.chunk + together - 1) / together * together;
    }
    ste_pool_run(e.f->pool, each_part, &e, (e.n + e.chunk - 1) / e.chunk);
    ste_profile_end(before);
}

static void embed(const struct each *e, size_t r)
{
    const struct ste_hparams *hp = &e->f->model->hp;
    float *x = e->f->x + r * (size_t)hp->d_model;
    ste_matrix_row(e->f->w->embedding, e->rows[r].token, x);
    if (hp->embedding_scale != 1)
        e->f->ops->scale(x, (float)hp->embedding_scale, (size_t)hp->d_model);
}

static void norm(const struct each *e, size_t r)
{
    const struct ste_hparams *hp = &e->f->model->hp;
    size_t d = (size_t)hp->d_model;
    float *x = e->f->x + r * d, *xn = e->f->xn + r * d;
    if (e->norm)
        e->f->ops->rmsnorm(xn, x, e->norm, (float)hp->rms_eps, d);
    else
        memcpy(xn, x, d * sizeof *xn);
}

/* What the linear layer before gave, to the row. */
static void add(const struct each *e, size_t r)
{
    const struct ste_hparams *hp = &e->f->model->hp;
    size_t d = (size_t)hp->d_model;
    float *x = e->f->x + r * d, *y = e->f->y + r * d;
    if (e->norm_out)
        e->f->ops->rmsnorm(y, y, e->norm_out, (float)hp->rms_eps, d);
    if (hp->residual_scale != 1)
        e->f->ops->scale(y, (float)hp->residual_scale, d);
    e->f->ops->add(x, y, d);
}

static void add_and_norm(const struct each *e, size_t r)
{
    add(e, r);
    norm(e, r);
}

static void gate_row(const struct each *e, size_t r)
{
    const struct ste_hparams *hp = &e->f->model->hp;
    size_t d = (size_t)hp->d_ff;
    e->f->ops->gate(hp->arch->gate, e->f->gate + r * d, e->f->gate + r * d, e->f->up + r * d, d);
}

/* The norm WHICH, where there is one, on X (n) in pieces of its width. */
static void norm_pieces(const struct each *e, enum ste_norm which, float *x, size_t n)
{
    const struct ste_hparams *hp = &e->f->model->hp;
    const float *w = e->f->w->layers[e->layer].norm[which];
    const size_t width = (size_t)ste_width(hp, hp->arch->norm[which].width);
    for (size_t at = 0; w && at < n; at += width)
        e->f->ops->rmsnorm(x + at, x + at, w, (float)hp->rms_eps, width);
}

/* Q or K of a row of the layer. */
static void turn(const struct each *e, int pos, float *x, int heads)
{
    const struct ste_forward *f = e->f;
    const enum ste_rotary_kind kind = f->model->layers[e->layer].rotary;
    if (kind == STE_ROTARY_NONE)
        return;
    const int dims = f->rotary[kind]->dims;
    f->ops->rope(f->model->hp.rope, f->rope[kind] + (size_t)pos * (size_t)dims, dims, x, heads, f->model->hp.head_dim,
                 false);
}

/* The norms of Q and K, RoPE, then K and V of the row into their block. */
static void place(const struct each *e, size_t r)
{
    const struct ste_forward *f = e->f;
    const struct ste_hparams *hp = &f->model->hp;
    size_t hd = (size_t)hp->head_dim, n_q = (size_t)hp->n_heads * hd, n_kv = (size_t)hp->n_kv_heads * hd;
    int pos = e->rows[r].pos, block = e->rows[r].blocks[pos / STE_KV_BLOCK];
    size_t in_block = (size_t)pos % STE_KV_BLOCK;
    uint16_t k16[STE_MAX_HEAD_DIM];
    norm_pieces(e, STE_NORM_Q, f->q + r * n_q, n_q);
    norm_pieces(e, STE_NORM_K, f->k + r * n_kv, n_kv);
    turn(e, pos, f->q + r * n_q, hp->n_heads);
    turn(e, pos, f->k + r * n_kv, hp->n_kv_heads);
    f->ops->scale(f->q + r * n_q, (float)(hp->attn_scale * ste_query_scale(hp, pos)), n_q);
    for (int h = 0; h < hp->n_kv_heads; h++) {
        uint16_t *k = ste_kv_k(f->kv, block, e->layer, h) + ste_kv_k_at(f->kv, in_block),
                 *v = ste_kv_v(f->kv, block, e->layer, h);
        f->ops->to_f16(k16, f->k + r * n_kv + (size_t)h * hd, hd);
        for (size_t d = 0; d < hd; d++)
            k[d * STE_KV_RUN] = k16[d];
        f->ops->to_f16(v + in_block * hd, f->v + r * n_kv + (size_t)h * hd, hd);
    }
}

/* Linear layers that share X (n, in), and where their outputs go, (n, out) each. */
struct linears {
    enum ste_linear l[STE_MAX_PRODUCTS];
    struct ste_product products[STE_MAX_PRODUCTS];
    int n, in;
    const float *x;
    const struct ste_inputs *inputs;
};

static void take(struct linears *ls, const struct ste_layer_weights *w, enum ste_linear l, float *y)
{
    ls->l[ls->n] = l;
    ls->products[ls->n++] = (struct ste_product){w->linear[l], w->bias[l], y, (size_t)ste_matrix_out(w->linear[l])};
}

static void begin_inputs(const struct each *e, struct linears *ls, const float *x)
{
    ls->x = x;
    ls->in = ste_matrix_in(ls->products[0].w);
    ls->inputs = e->f->inputs;
    ste_inputs_begin(e->f->inputs, ls->products, ls->n, ste_activations_of(e->f->act, ls->l[0]), x, (size_t)ls->in,
                     e->n);
}

/* FN makes X, row by row, and what it has made is rounded at once. NULL: X is there. */
static void round_inputs(struct each e, void (*fn)(const struct each *, size_t), const struct linears *ls)
{
    e.rounds = true;
    e.width = ls->in;
    each_row(e, fn);
}

static void make_inputs(const struct each *e, void (*fn)(const struct each *, size_t), struct linears *ls,
                        const float *x)
{
    begin_inputs(e, ls, x);
    round_inputs(*e, fn, ls);
}

/* What the linear layer O takes. */
static void attend(const struct each *e, struct linears *o)
{
    struct ste_forward *f = e->f;
    struct ste_attn_row at[e->n];
    for (int r = 0; r < e->n; r++)
        at[r] = (struct ste_attn_row){e->rows[r].blocks, e->rows[r].pos};
    enum ste_work before = ste_profile_begin(STE_WORK_ATTENTION);
    begin_inputs(e, o, f->att);
    const int of_kv_head = o->in / f->model->hp.n_kv_heads;
    const bool at_once = ste_inputs_rows(f->inputs) == 1 && of_kv_head % ste_inputs_columns(f->inputs) == 0;
    ste_attention(f->kv, e->layer, f->model->layers[e->layer].window, f->model->hp.n_heads, f->isa, at, e->n, f->q,
                  f->att, at_once ? f->inputs : NULL, f->pool);
    ste_profile_end(before);
    if (!at_once)
        round_inputs(*e, NULL, o);
}

/* Y = X . W^T + bias, and each adapter on its rows. */
static void multiply(const struct each *e, const struct linears *ls)
{
    struct ste_forward *f = e->f;
    const struct ste_row *rows = e->rows;
    enum ste_work before = ste_profile_begin(STE_WORK_PRODUCTS);
    ste_inputs_mul(ls->inputs, ls->products, ls->n, f->pool);
    ste_profile_begin(STE_WORK_ADAPTER);
    for (int r = 0, end; r < e->n; r = end) {
        for (end = r + 1; end < e->n && rows[end].adapter == rows[r].adapter; end++)
            ;
        for (int i = 0; rows[r].adapter && i < ls->n; i++) {
            const struct ste_product *p = &ls->products[i];
            ste_cpu_adapter_apply(rows[r].adapter, e->layer, ls->l[i], f->isa, ls->x + (size_t)r * (size_t)ls->in,
                                  ls->in, end - r, p->y + (size_t)r * p->ldy, (int)p->ldy, f->u, f->pool);
        }
    }
    ste_profile_end(before);
}

/* X of DOWN, out of the two before it. What an adapter adds to these must be in before it is made. */
static void gate(const struct each *e, const struct linears *gate_up, struct linears *down, bool adapted)
{
    struct ste_forward *f = e->f;
    bool done = false;
    if (!adapted && ste_activations_are_int8(f->act)) {
        enum ste_work before = ste_profile_begin(STE_WORK_PRODUCTS);
        ste_inputs_begin(f->gated, down->products, down->n, ste_activations_of(f->act, STE_DOWN), NULL, 0, e->n);
        done = ste_inputs_gate(gate_up->inputs, gate_up->products, f->model->hp.arch->gate, f->gated, f->pool);
        down->inputs = f->gated;
        ste_profile_end(before);
    }
    if (!done) {
        multiply(e, gate_up);
        make_inputs(e, gate_row, down, f->gate);
    }
}

/* The scored rows move together, in X and Q too: how many there are. */
static int keep_scored(struct ste_forward *f, struct ste_row *rows, int n)
{
    const size_t d = (size_t)f->model->hp.d_model, n_q = (size_t)f->model->hp.n_heads * (size_t)f->model->hp.head_dim;
    int kept = 0;
    for (int r = 0; r < n; r++) {
        f->place[r] = kept;
        if (!rows[r].scored)
            continue;
        if (kept < r) {
            rows[kept] = rows[r];
            memcpy(f->x + (size_t)kept * d, f->x + (size_t)r * d, d * sizeof *f->x);
            memcpy(f->q + (size_t)kept * n_q, f->q + (size_t)r * n_q, n_q * sizeof *f->q);
        }
        kept++;
    }
    return kept;
}

void ste_forward_run(struct ste_forward *f, struct ste_row *rows, int n)
{
    const struct ste_hparams *hp = &f->model->hp;
    struct each e = {.f = f, .rows = rows, .n = n};
    size_t most = 0;
    for (int r = 0; r < n; r++) {
        const struct ste_cpu_adapter *a = rows[r].adapter;
        if (a && (size_t)a->r > most)
            most = (size_t)a->r;
    }
    STE_GROW(f->u, f->u_cap, most * (size_t)f->max_rows);
    each_row(e, embed);
    for (int l = 0; l < hp->n_layers; l++) {
        const struct ste_layer_weights *w = &f->w->layers[l];
        struct linears qkv = {0}, o = {0}, gate_up = {0}, down = {0};
        take(&qkv, w, STE_Q, f->q); /* (n, n_heads * head_dim) */
        take(&qkv, w, STE_K, f->k); /* (n, n_kv_heads * head_dim) */
        take(&qkv, w, STE_V, f->v);
        take(&o, w, STE_O, f->y);             /* (n, d_model) */
        take(&gate_up, w, STE_GATE, f->gate); /* (n, d_ff) */
        take(&gate_up, w, STE_UP, f->up);
        take(&down, w, STE_DOWN, f->y);

        e.layer = l;
        e.norm = w->norm[STE_NORM_ATTN];
        make_inputs(&e, l ? add_and_norm : norm, &qkv, f->xn);
        multiply(&e, &qkv);
        each_row(e, place);
        if (l + 1 == hp->n_layers && !(e.n = keep_scored(f, rows, n)))
            return;
        attend(&e, &o);
        multiply(&e, &o);
        e.norm_out = w->norm[STE_NORM_ATTN_OUT];
        e.norm = w->norm[STE_NORM_FFN];
        make_inputs(&e, add_and_norm, &gate_up, f->xn);
        gate(&e, &gate_up, &down, most > 0);
        multiply(&e, &down);
        e.norm_out = w->norm[STE_NORM_FFN_OUT];
    }
    each_row(e, add);
}

static void output_norm(const struct each *e, size_t r)
{
    const struct ste_hparams *hp = &e->f->model->hp;
    size_t d = (size_t)hp->d_model;
    float *xn = e->f->xn + r * d;
    e->f->ops->rmsnorm(xn, e->f->x + (size_t)e->f->place[e->index[r]] * d, e->norm, (float)hp->rms_eps, d);
    if (hp->output_scale != 1)
        e->f->ops->scale(xn, (float)hp->output_scale, d);
}

const float *ste_forward_logits(struct ste_forward *f, const int *index, int n)
{
    const struct ste_hparams *hp = &f->model->hp;
    struct each e = {.f = f, .index = index, .norm = f->w->output_norm, .n = n};
    each_row(e, output_norm); /* xn is free after the last layer */
    enum ste_work before = ste_profile_begin(STE_WORK_PRODUCTS);
    ste_matrix_mul(f->w->output, f->act, f->xn, (size_t)hp->d_model, n, NULL, f->logits, (size_t)hp->n_vocab, f->pool);
    ste_profile_end(before);
    return f->logits;
}
