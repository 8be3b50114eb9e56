#include "engine/engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/context.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/profile.h"
#include "engine/adapter.h"
#include "engine/cpu/cpu.h"
#include "engine/kv.h"
#include "engine/sequence.h"
#include "model/positions.h"

#define ENGINE_REVISION 2 /* raised when the numbers change: the cache of answers keys on it */

struct list {
    struct ste_sequence **items;
    size_t n, cap;
};

struct ste_engine {
    struct ste_model *model;
    struct ste_engine_params p;
    struct ste_device *device;
    const struct ste_ops *ops; /* the host's, to sample with */
    struct ste_kv *kv;
    struct ste_sampler sampler[STE_LOGIT_ROWS]; /* scratch of each row whose logits are there */
    struct list waiting;                        /* in the order of tickets */
    struct list running;                        /* by adapter, then blocks: rows that share either are neighbours */
    struct list ended;                          /* in the order in which they ended */
    struct ste_row *rows;
    int max_rows;
    uint64_t next_ticket, adapters; /* ADAPTERS: how many were made */
    char numerics[128];
    struct ste_engine_stats stats;
};

void ste_engine_default_params(struct ste_engine_params *p)
{
    *p = (struct ste_engine_params){
        .activations = STE_ACT_INT8, .max_batch = 64, .token_budget = 256, .kv_bytes = (size_t)768 << 20};
}

/* Settles what P leaves open, and what its device is opened with. */
static struct ste_device_params settle(struct ste_engine_params *p, const struct ste_hparams *hp)
{
    if (p->max_batch < 1)
        p->max_batch = 1;
    if (p->token_budget < 1)
        p->token_budget = 1;
    p->n_ctx = ste_n_ctx(hp, p->n_ctx);
    p->device = p->device ? p->device : &ste_cpu;
    size_t least = (size_t)p->n_ctx / STE_KV_BLOCK + 2, blocks = p->kv_bytes / p->device->block_bytes(hp);
    return (struct ste_device_params){.pool = p->pool,
                                      .isa = p->isa,
                                      .activations = p->activations,
                                      .n_ctx = p->n_ctx,
                                      .max_rows = p->token_budget > p->max_batch ? p->token_budget : p->max_batch,
                                      .n_blocks = (int)(blocks > least ? blocks : least)};
}

int ste_engine_sizes(const struct ste_model *m, const struct ste_engine_params *p, struct ste_device_sizes *out,
                     struct ste_err *err)
{
    struct ste_engine_params settled = *p;
    const struct ste_device_params device = settle(&settled, &m->hp);
    return settled.device->sizes(m, &device, out, err);
}

static bool has_weights_of(const struct ste_model *m, enum ste_type type)
{
    for (int i = 0; i < m->hp.n_layers; i++)
        for (int l = 0; l < STE_N_LINEAR; l++)
            if (m->layers[i].linear[l] && ste_model_type(m, m->layers[i].linear[l]) == type)
                return true;
    return false;
}

int ste_engine_new(struct ste_engine **out, struct ste_model *m, const struct ste_engine_params *p, struct ste_err *err)
{
    const struct ste_hparams *hp = &m->hp;
    struct ste_engine *e = ste_xcalloc(1, sizeof *e);
    *out = NULL;
    e->model = m;
    e->p = *p;
    e->next_ticket = 1;
    const struct ste_device_params device = settle(&e->p, hp);
    const struct ste_device_ops *kind = e->p.device;
    e->max_rows = device.max_rows;
    const bool longer = ste_rotary_of(m, STE_ROTARY_FULL, e->p.n_ctx) == &hp->rotary_long;
    const bool bf16 = ste_activations_round_for(p->activations, STE_BF16) && has_weights_of(m, STE_BF16);
    snprintf(e->numerics, sizeof e->numerics, "engine %d, %s, activations %s%s%s", ENGINE_REVISION, kind->numerics,
             ste_activations_name(p->activations), bf16 ? ", bf16 weights" : "", longer ? ", long positions" : "");
    int rc = kind->open(&e->device, m, &device, err);
    if (rc) {
        ste_engine_free(e);
        return rc;
    }
    e->ops = ste_ops_of(p->isa);
    e->kv = ste_kv_new(device.n_blocks);
    e->rows = ste_xcalloc((size_t)e->max_rows, sizeof *e->rows);
    *out = e;
    return 0;
}

static void free_list(struct list *l)
{
    for (size_t i = 0; i < l->n; i++)
        ste_sequence_free(l->items[i]);
    ste_xfree(l->items);
}

void ste_engine_free(struct ste_engine *e)
{
    if (!e)
        return;
    for (size_t i = 0; i < e->running.n; i++)
        ste_kv_stop(e->kv, &e->running.items[i]->chain, 0);
    free_list(&e->waiting);
    free_list(&e->running);
    free_list(&e->ended);
    for (int i = 0; i < STE_LOGIT_ROWS; i++)
        ste_sampler_clear(&e->sampler[i]);
    ste_kv_free(e->kv);
    if (e->device)
        e->device->ops->close(e->device);
    ste_xfree(e->rows);
    ste_xfree(e);
}

const struct ste_model *ste_engine_model(const struct ste_engine *e)
{
    return e->model;
}

int ste_engine_ctx(const struct ste_engine *e)
{
    return e->p.n_ctx;
}

const struct ste_weights *ste_engine_weights(const struct ste_engine *e)
{
    return ste_cpu_weights(e->device);
}

const char *ste_engine_numerics(const struct ste_engine *e)
{
    return e->numerics;
}

void ste_engine_stats(const struct ste_engine *e, struct ste_engine_stats *out)
{
    *out = e->stats;
}

int ste_adapter_new(struct ste_adapter **out, struct ste_engine *e, const struct ste_lora *l, struct ste_err *err)
{
    return ste_adapter_make(out, e->device, &e->model->hp, ++e->adapters, l, err);
}

static void put(struct list *l, size_t at, struct ste_sequence *s)
{
    STE_GROW(l->items, l->cap, l->n + 1);
    memmove(l->items + at + 1, l->items + at, (l->n - at) * sizeof *l->items);
    l->items[at] = s;
    l->n++;
}

static struct ste_sequence *take(struct list *l, size_t at)
{
    struct ste_sequence *s = l->items[at];
    memmove(l->items + at, l->items + at + 1, (l->n - at - 1) * sizeof *l->items);
    l->n--;
    return s;
}

int ste_engine_submit(struct ste_engine *e, const struct ste_request *r, uint64_t *ticket, struct ste_err *err)
{
    struct ste_sequence *s = NULL;
    int rc = ste_sequence_new(&s, r, e->next_ticket, e->p.n_ctx, e->model->hp.n_vocab, err);
    if (rc)
        return rc;
    put(&e->waiting, e->waiting.n, s);
    *ticket = e->next_ticket++;
    return 0;
}

/* The prompt stays findable for the next samples. */
static void stop(struct ste_engine *e, struct ste_sequence *s)
{
    size_t keep = s->done < s->r.n_prompt ? s->done : s->r.n_prompt;
    ste_kv_stop(e->kv, &s->chain, keep);
}

void ste_engine_cancel(struct ste_engine *e, uint64_t ticket)
{
    struct list *lists[] = {&e->waiting, &e->running, &e->ended};
    for (int k = 0; k < 3; k++) {
        for (size_t i = 0; i < lists[k]->n; i++) {
            if (lists[k]->items[i]->out.ticket != ticket)
                continue;
            struct ste_sequence *s = take(lists[k], i);
            if (k == 1)
                stop(e, s);
            ste_sequence_free(s);
            return;
        }
    }
}

size_t ste_engine_in_flight(const struct ste_engine *e)
{
    return e->waiting.n + e->running.n + e->ended.n;
}

static uint64_t adapter_serial(const struct ste_adapter *a)
{
    return a ? a->serial : 0;
}

static size_t shared_length(const struct ste_sequence *a, const struct ste_sequence *b, size_t n)
{
    size_t i = 0;
    while (i < n && a->ids[i] == b->ids[i])
        i++;
    return i;
}

/* Whether a running sequence is about to compute more of this one's prompt than is there now: then it waits, and the
 * prompt of many samples is computed once. */
static bool should_wait(const struct ste_engine *e, const struct ste_sequence *s, size_t n_prefix)
{
    size_t have = n_prefix;
    bool looked = false;
    for (size_t i = 0; i < e->running.n; i++) {
        const struct ste_sequence *o = e->running.items[i];
        if (o->r.adapter != s->r.adapter || o->done >= o->r.n_prompt)
            continue;
        size_t both = o->r.n_prompt < n_prefix ? o->r.n_prompt : n_prefix, same = shared_length(o, s, both);
        if (same <= o->done)
            continue;
        if (!looked)
            have = ste_kv_find(e->kv, adapter_serial(s->r.adapter), s->ids, n_prefix);
        looked = true;
        if (same >= have + STE_KV_BLOCK / 2)
            return true;
    }
    return false;
}

/* A sequence gets new blocks behind those it may share, so the order holds until the next one comes. */
static int by_blocks(const void *pa, const void *pb)
{
    const struct ste_sequence *a = *(struct ste_sequence *const *)pa, *b = *(struct ste_sequence *const *)pb;
    uint64_t x = adapter_serial(a->r.adapter), y = adapter_serial(b->r.adapter);
    if (x != y)
        return x < y ? -1 : 1;
    for (int i = 0; i < a->chain.n && i < b->chain.n; i++)
        if (a->chain.blocks[i] != b->chain.blocks[i])
            return a->chain.blocks[i] < b->chain.blocks[i] ? -1 : 1;
    return (a->out.ticket > b->out.ticket) - (a->out.ticket < b->out.ticket);
}

/* A chain for a sequence, with what is there of its prefix: as ste_kv_start. */
static long start_chain(struct ste_engine *e, struct ste_chain *c, const struct ste_adapter *a, const int32_t *ids,
                        size_t n_prefix, size_t n_max)
{
    struct ste_kv_copy copy;
    long have = ste_kv_start(e->kv, c, adapter_serial(a), ids, n_prefix, n_max, &copy);
    if (have >= 0 && copy.n)
        e->device->ops->copy(e->device, copy.to, copy.from, copy.n);
    return have;
}

static const void *on_device(const struct ste_adapter *a)
{
    return a ? a->on_device : NULL;
}

static void admit(struct ste_engine *e)
{
    bool admitted = false;
    for (size_t i = 0; i < e->waiting.n && e->running.n < (size_t)e->p.max_batch;) {
        struct ste_sequence *s = e->waiting.items[i];
        /* The last token of the prompt is always computed: its logits are needed. */
        size_t n_prefix = s->r.n_prompt - 1;
        if (should_wait(e, s, n_prefix)) {
            i++;
            continue;
        }
        long have = start_chain(e, &s->chain, s->r.adapter, s->ids, n_prefix, s->n_max);
        if (have < 0)
            break; /* in order: a long one is not overtaken for ever */
        s->done = (size_t)have;
        e->stats.shared_tokens += (uint64_t)have;
        take(&e->waiting, i);
        put(&e->running, e->running.n, s);
        admitted = true;
    }
    if (admitted)
        qsort(e->running.items, e->running.n, sizeof *e->running.items, by_blocks);
}

/* Whether the logits behind position POS say how likely a given token is. */
static bool before_given(const struct ste_sequence *s, size_t pos)
{
    return s->r.n_given && pos + 1 >= s->r.n_prompt;
}

/* Shares the step's rows out: one to each sequence that decodes, the rest of the budget to prompts, oldest first. */
static int plan(struct ste_engine *e)
{
    int n = 0, decoding = 0;
    for (size_t i = 0; i < e->running.n; i++) {
        struct ste_sequence *s = e->running.items[i];
        s->n_rows = s->n - s->done == 1;
        decoding += s->n_rows;
    }
    int left = e->max_rows - decoding;
    for (uint64_t last = 0; left > 0;) {
        struct ste_sequence *oldest = NULL;
        for (size_t i = 0; i < e->running.n; i++) {
            struct ste_sequence *s = e->running.items[i];
            if (s->n_rows == 0 && s->out.ticket > last && (!oldest || s->out.ticket < oldest->out.ticket))
                oldest = s;
        }
        if (!oldest)
            break;
        size_t want = oldest->n - oldest->done;
        oldest->n_rows = want < (size_t)left ? (int)want : left;
        left -= oldest->n_rows;
        last = oldest->out.ticket;
    }
    for (size_t i = 0; i < e->running.n; i++) {
        struct ste_sequence *s = e->running.items[i];
        s->first_row = n;
        ste_kv_extend(e->kv, &s->chain, s->done + (size_t)s->n_rows);
        for (int k = 0; k < s->n_rows; k++) {
            size_t pos = s->done + (size_t)k;
            e->rows[n++] = (struct ste_row){.blocks = s->chain.blocks,
                                            .pos = (int)pos,
                                            .adapter = on_device(s->r.adapter),
                                            .token = s->ids[pos],
                                            .scored = before_given(s, pos) || pos + 1 == s->n};
        }
    }
    return n;
}

/* Work on rows of logits, one part a row. */
struct drawing {
    struct ste_engine *e;
    const float *logits;
    struct ste_sequence *whose[STE_LOGIT_ROWS];
    size_t next[STE_LOGIT_ROWS]; /* which given token the row is scored for */
};

static void score_row(void *arg, int part)
{
    struct drawing *d = arg;
    struct ste_sequence *s = d->whose[part];
    int n_vocab = d->e->model->hp.n_vocab;
    const float *logits = d->logits + (size_t)part * (size_t)n_vocab;
    const size_t k = d->next[part];
    s->out.logprobs[k] = (float)((double)logits[s->out.tokens[k]] - ste_log_sum(d->e->ops, logits, n_vocab));
}

static void score_rows(struct drawing *d, const int *index, int n)
{
    d->logits = d->e->device->ops->logits(d->e->device, index, n);
    ste_pool_run(d->e->p.pool, score_row, d, n);
}

/* Log-probabilities of the given tokens whose predecessors were computed in this step. */
static void score(struct ste_engine *e)
{
    struct drawing d = {.e = e};
    int index[STE_LOGIT_ROWS], n = 0;
    for (size_t i = 0; i < e->running.n; i++) {
        struct ste_sequence *s = e->running.items[i];
        for (int k = 0; k < s->n_rows; k++) {
            const size_t pos = s->done + (size_t)k;
            if (!before_given(s, pos))
                continue;
            d.whose[n] = s;
            d.next[n] = pos + 1 - s->r.n_prompt;
            index[n++] = s->first_row + k;
            if (n == STE_LOGIT_ROWS) {
                score_rows(&d, index, n);
                n = 0;
            }
        }
    }
    if (n)
        score_rows(&d, index, n);
}

static void draw_row(void *arg, int part)
{
    struct drawing *d = arg;
    int n_vocab = d->e->model->hp.n_vocab;
    d->whose[part]->over = ste_sequence_advance(d->whose[part], &d->e->sampler[part], d->e->ops, d->e->model->tokenizer,
                                                d->logits + (size_t)part * (size_t)n_vocab, n_vocab);
}

/* The next token of every sequence whose last one was computed in this step. */
static void draw(struct ste_engine *e)
{
    struct drawing d = {.e = e};
    int index[STE_LOGIT_ROWS];
    for (size_t at = 0; at < e->running.n;) {
        int n = 0;
        for (; at < e->running.n && n < STE_LOGIT_ROWS; at++) {
            struct ste_sequence *s = e->running.items[at];
            if (s->n_rows == 0 || s->done < s->n)
                continue;
            s->over = s->r.n_given > 0;
            if (s->over)
                continue;
            d.whose[n] = s;
            index[n++] = s->first_row + s->n_rows - 1;
            e->stats.generated_tokens -= s->out.n;
        }
        if (n == 0)
            break;
        d.logits = e->device->ops->logits(e->device, index, n);
        enum ste_work before = ste_profile_begin(STE_WORK_SAMPLING);
        ste_pool_run(e->p.pool, draw_row, &d, n);
        ste_profile_end(before);
        for (int k = 0; k < n; k++)
            e->stats.generated_tokens += d.whose[k]->out.n;
    }
    for (size_t i = 0; i < e->running.n;) {
        if (!e->running.items[i]->over) {
            i++;
            continue;
        }
        struct ste_sequence *s = take(&e->running, i);
        stop(e, s);
        put(&e->ended, e->ended.n, s);
    }
}

static void step(struct ste_engine *e)
{
    double start = ste_now();
    int n = plan(e), decoding = 0;
    e->device->ops->run(e->device, e->rows, n);
    score(e);
    for (size_t i = 0; i < e->running.n; i++) {
        struct ste_sequence *s = e->running.items[i];
        ste_kv_commit(e->kv, &s->chain, s->ids, s->done, s->done + (size_t)s->n_rows);
        decoding += s->done >= s->r.n_prompt && !s->r.n_given ? s->n_rows : 0;
        s->done += (size_t)s->n_rows;
    }
    draw(e);
    double seconds = ste_now() - start;
    e->stats.steps++;
    e->stats.prompt_tokens += (uint64_t)(n - decoding);
    ste_profile_tokens((uint64_t)(n - decoding), (uint64_t)decoding, 0);
    e->stats.decode_seconds += n ? seconds * decoding / n : 0;
    e->stats.prefill_seconds += n ? seconds * (n - decoding) / n : 0;
}

int ste_engine_step(struct ste_engine *e, struct ste_completion *out, struct ste_err *err)
{
    if (!e->ended.n && (e->running.n || e->waiting.n)) {
        int rc = ste_cancel_check(err);
        if (rc)
            return rc;
        admit(e);
        step(e);
    }
    if (!e->ended.n)
        return 0;
    struct ste_sequence *s = take(&e->ended, 0);
    *out = s->out;
    memset(&s->out, 0, sizeof s->out);
    ste_sequence_free(s);
    return 1;
}

int ste_engine_next(struct ste_engine *e, struct ste_completion *out, struct ste_err *err)
{
    int rc = 0;
    while (rc == 0 && ste_engine_in_flight(e))
        rc = ste_engine_step(e, out, err);
    return rc;
}

size_t ste_engine_written(const struct ste_engine *e, uint64_t ticket, const int32_t **tokens, const float **logprobs)
{
    for (size_t i = 0; i < e->running.n; i++) {
        const struct ste_sequence *s = e->running.items[i];
        if (s->out.ticket != ticket)
            continue;
        *tokens = s->out.tokens;
        *logprobs = s->out.logprobs;
        return s->choosing || s->r.n_given ? s->out.n_free : s->out.n;
    }
    return 0;
}

int ste_engine_logits(struct ste_engine *e, const struct ste_adapter *a, const int32_t *ids, size_t n, float *out,
                      struct ste_err *err)
{
    size_t n_vocab = (size_t)e->model->hp.n_vocab;
    struct ste_chain chain = {0};
    if (n == 0 || n > (size_t)e->p.n_ctx)
        return ste_err_set(err, STE_ETOOLONG, "%zu tokens do not fit the context of %d", n, e->p.n_ctx);
    for (size_t i = 0; i < n; i++)
        if (ids[i] < 0 || (size_t)ids[i] >= n_vocab)
            return ste_err_set(err, STE_EINPUT, "token %d at position %zu is not in the vocabulary", ids[i], i);
    if (start_chain(e, &chain, a, ids, 0, n) < 0)
        return ste_err_set(err, STE_EBUSY, "the KV cache is taken by requests in flight");
    for (size_t done = 0; done < n;) {
        int rows = n - done < (size_t)e->max_rows ? (int)(n - done) : e->max_rows, index[STE_LOGIT_ROWS];
        ste_kv_extend(e->kv, &chain, done + (size_t)rows);
        for (int k = 0; k < rows; k++)
            e->rows[k] = (struct ste_row){.blocks = chain.blocks,
                                          .pos = (int)done + k,
                                          .adapter = on_device(a),
                                          .token = ids[done + (size_t)k],
                                          .scored = true};
        e->device->ops->run(e->device, e->rows, rows);
        ste_kv_commit(e->kv, &chain, ids, done, done + (size_t)rows);
        for (int k = 0; k < rows; k += STE_LOGIT_ROWS) {
            int m = rows - k < STE_LOGIT_ROWS ? rows - k : STE_LOGIT_ROWS;
            for (int j = 0; j < m; j++)
                index[j] = k + j;
            const float *logits = e->device->ops->logits(e->device, index, m);
            memcpy(out + (done + (size_t)k) * n_vocab, logits, (size_t)m * n_vocab * sizeof *out);
        }
        done += (size_t)rows;
    }
    ste_kv_stop(e->kv, &chain, 0);
    return 0;
}
