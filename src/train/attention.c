#include <math.h>
#include <string.h>

#include "core/mem.h"
#include "train/internal.h"

/* Queries go through in strips of this many rows, each against all keys it may see: a strip of scores grows with the
 * length of the example, nothing grows with its square. Strips count from the start of the span, so that sums over
 * them do not depend on the pack. A row of scores has the keys of the prefix first. */
enum { STRIP = 64 };

struct attention_job {
    struct ste_trainer *t;
    const struct ste_layout *lay;
    const struct ste_acts *a;
    int window; /* of the layer */
    const float *d_o;
    struct place *places;
};

/* One part of the work: a strip of a span's head (forward), or a head of a whole group of spans (backward). */
struct place {
    int at, head, strip;
};

struct shape {
    size_t hd, q_width, kv_width; /* floats a head, a row of q, a row of k */
    int group;                    /* query heads a key-value head */
    float scale;
};

static struct shape shape_of(const struct ste_hparams *hp)
{
    struct shape s = {(size_t)hp->head_dim, (size_t)hp->n_heads * (size_t)hp->head_dim,
                      (size_t)hp->n_kv_heads * (size_t)hp->head_dim, hp->n_heads / hp->n_kv_heads,
                      (float)hp->attn_scale};
    return s;
}

/* Keys of a strip, from position FIRST on: the prefixes, and the span up to the strip's last row, as rows of the pack.
 */
struct keys {
    int first;
    int parts;
    struct {
        int n;
        size_t row;
    } part[STE_LAYOUT_DEPTH + 1];
    int all;
};

/* The first position that the one at POS sees. */
static int first_seen(int window, int pos)
{
    return window && pos >= window ? pos + 1 - window : 0;
}

/* Of the N rows of a span from its row FROM on. */
static struct keys keys_of(const struct ste_layout *lay, int window, const struct ste_span *sp, int from, int n)
{
    const int first = first_seen(window, sp->pos + from);
    struct keys k = {.first = first, .all = sp->pos + from + n - first};
    int depth = 0;
    const struct ste_span *of[STE_LAYOUT_DEPTH + 1] = {sp};
    while (of[depth]->pos > first) {
        of[depth + 1] = &lay->spans[of[depth]->prefix];
        depth++;
    }
    for (; depth >= 0; depth--) {
        const int skip = of[depth]->pos < first ? first - of[depth]->pos : 0;
        k.part[k.parts].n = (depth ? of[depth]->n : from + n) - skip;
        k.part[k.parts++].row = (size_t)(of[depth]->start + skip);
    }
    return k;
}

/* What the row at POS does not see weighs nothing: it has the scores of FROM .. TO - 1. */
static void hide(float *row, const struct keys *k, int from, int to)
{
    memset(row, 0, (size_t)from * sizeof *row);
    memset(row + to, 0, (size_t)(k->all - to) * sizeof *row);
}

/* S (rows, all) = scale X Y^T over all parts of the keys; Y's rows are LDY apart. */
static void against_keys(const struct ste_trainer *t, const struct keys *k, int rows, int hd, float scale,
                         const float *x, size_t ldx, const float *y, size_t ldy, float *s)
{
    for (int i = 0, at = 0; i < k->parts; at += k->part[i++].n)
        ste_gemm(t->p.isa, false, true, rows, k->part[i].n, hd, scale, x, ldx, y + k->part[i].row * ldy, ldy, 0, s + at,
                 (size_t)k->all, NULL);
}

/* X (rows, hd) = S Y over all parts. */
static void mix_keys(const struct ste_trainer *t, const struct keys *k, int rows, int hd, const float *s,
                     const float *y, size_t ldy, float *x, size_t ldx)
{
    for (int i = 0, at = 0; i < k->parts; at += k->part[i++].n)
        ste_gemm(t->p.isa, false, false, rows, hd, k->part[i].n, 1, s + at, (size_t)k->all, y + k->part[i].row * ldy,
                 ldy, i ? 1 : 0, x, ldx, NULL);
}

/* Y += S^T X over all parts. */
static void add_to_keys(const struct ste_trainer *t, const struct keys *k, int rows, int hd, const float *s,
                        const float *x, size_t ldx, float *y, size_t ldy)
{
    for (int i = 0, at = 0; i < k->parts; at += k->part[i++].n)
        ste_gemm(t->p.isa, true, false, k->part[i].n, hd, rows, 1, s + at, (size_t)k->all, x, ldx, 1,
                 y + k->part[i].row * ldy, ldy, NULL);
}

static void strip_forward(void *arg, int part)
{
    struct attention_job *j = arg;
    struct place p = j->places[part];
    struct ste_trainer *t = j->t;
    struct shape s = shape_of(&t->model->hp);
    const struct ste_span *sp = &j->lay->spans[p.at];
    int from = p.strip * STRIP, rows = sp->n - from < STRIP ? sp->n - from : STRIP;
    struct keys k = keys_of(j->lay, j->window, sp, from, rows);
    size_t first = (size_t)(sp->start + from), kv = (size_t)(p.head / s.group) * s.hd,
           q = first * s.q_width + (size_t)p.head * s.hd;
    float *scores = ste_xmalloc((size_t)rows * (size_t)k.all * sizeof *scores);
    against_keys(t, &k, rows, (int)s.hd, s.scale, j->a->q + q, s.q_width, j->a->k + kv, s.kv_width, scores);
    for (int i = 0; i < rows; i++) {
        const int pos = sp->pos + from + i, out = first_seen(j->window, pos) - k.first, seen = pos + 1 - k.first;
        float *row = scores + (size_t)i * (size_t)k.all, *in = row + out;
        const size_t n = (size_t)(seen - out);
        float top = t->ops->max(in, n);
        float sum = t->ops->exp_sub_sum(in, in, top, n);
        t->ops->scale(in, 1.0f / sum, n);
        hide(row, &k, out, seen);
        j->a->lse[(first + (size_t)i) * (size_t)t->model->hp.n_heads + (size_t)p.head] = top + logf(sum);
    }
    mix_keys(t, &k, rows, (int)s.hd, scores, j->a->v + kv, s.kv_width, j->a->o + q, s.q_width);
    ste_xfree(scores);
}

static int strips_of(const struct ste_span *sp)
{
    return (sp->n + STRIP - 1) / STRIP;
}

void ste_attention_forward(struct ste_trainer *t, const struct ste_layout *lay, int layer)
{
    int heads = t->model->hp.n_heads, n = 0;
    for (int e = 0; e < lay->n; e++)
        n += strips_of(&lay->spans[e]) * heads;
    struct attention_job j = {.t = t,
                              .lay = lay,
                              .a = &t->s.acts[layer],
                              .window = t->model->layers[layer].window,
                              .places = ste_xcalloc((size_t)n, sizeof *j.places)};
    n = 0;
    for (int e = 0; e < lay->n; e++)
        for (int strip = strips_of(&lay->spans[e]) - 1; strip >= 0; strip--)
            for (int h = 0; h < heads; h++) /* long strips first: better balance */
                j.places[n++] = (struct place){e, h, strip};
    ste_pool_run(t->p.pool, strip_forward, &j, n);
    ste_xfree(j.places);
}

/* P = exp(S - lse), dP = dO V^T, dS = P (dP - rowsum(dO O)) scale; dQ = dS K, dK = dS^T Q, dV = P^T dO. PROBS and GRADS
 * have room for a strip of all keys the span sees. */
static void span_backward(const struct attention_job *j, const struct ste_span *sp, int head, float *probs,
                          float *grads)
{
    struct ste_trainer *t = j->t;
    struct ste_scratch *sc = &t->s;
    struct shape s = shape_of(&t->model->hp);
    int hd = (int)s.hd;
    size_t kv = (size_t)(head / s.group) * s.hd, own = (size_t)head * s.hd; /* dK and dV: one a query head */
    for (int from = 0; from < sp->n; from += STRIP) {
        int rows = sp->n - from < STRIP ? sp->n - from : STRIP;
        struct keys k = keys_of(j->lay, j->window, sp, from, rows);
        size_t first = (size_t)(sp->start + from), q = first * s.q_width + own, ld = (size_t)k.all;
        against_keys(t, &k, rows, hd, s.scale, j->a->q + q, s.q_width, j->a->k + kv, s.kv_width, probs);
        against_keys(t, &k, rows, hd, 1, j->d_o + q, s.q_width, j->a->v + kv, s.kv_width, grads);
        for (int i = 0; i < rows; i++) {
            float *pr = probs + (size_t)i * ld, *gr = grads + (size_t)i * ld;
            const int pos = sp->pos + from + i, out = first_seen(j->window, pos) - k.first, seen = pos + 1 - k.first;
            const size_t at = q + (size_t)i * s.q_width;
            float lse = j->a->lse[(first + (size_t)i) * (size_t)t->model->hp.n_heads + (size_t)head];
            float both = t->ops->dot(j->d_o + at, j->a->o + at, s.hd);
            t->ops->exp_sub_sum(pr + out, pr + out, lse, (size_t)(seen - out));
            for (int c = out; c < seen; c++)
                gr[c] = pr[c] * (gr[c] - both) * s.scale;
            hide(pr, &k, out, seen);
            hide(gr, &k, out, seen);
        }
        mix_keys(t, &k, rows, hd, grads, j->a->k + kv, s.kv_width, sc->dq + q, s.q_width);
        add_to_keys(t, &k, rows, hd, grads, j->a->q + q, s.q_width, sc->dk_heads + own, s.q_width);
        add_to_keys(t, &k, rows, hd, probs, j->d_o + q, s.q_width, sc->dv_heads + own, s.q_width);
    }
}

static void head_backward(void *arg, int part)
{
    struct attention_job *j = arg;
    struct place p = j->places[part];
    struct shape s = shape_of(&j->t->model->hp);
    const struct ste_span *first = &j->lay->spans[j->lay->group[p.at]], *end = &j->lay->spans[j->lay->group[p.at + 1]];
    int longest = 0;
    for (const struct ste_span *sp = first; sp < end; sp++) {
        longest = sp->pos + sp->n > longest ? sp->pos + sp->n : longest;
        for (int i = sp->start; i < sp->start + sp->n; i++) {
            size_t own = (size_t)i * s.q_width + (size_t)p.head * s.hd;
            memset(j->t->s.dk_heads + own, 0, s.hd * sizeof(float));
            memset(j->t->s.dv_heads + own, 0, s.hd * sizeof(float));
        }
    }
    size_t room = STRIP * (size_t)longest;
    float *probs = ste_xmalloc(2 * room * sizeof *probs);
    for (const struct ste_span *sp = first; sp < end; sp++)
        span_backward(j, sp, p.head, probs, probs + room);
    ste_xfree(probs);
}

/* A key-value head's gradient: the sum over its query heads, in their order. */
static void fold_heads(const struct ste_trainer *t, float *dst, const float *src, int rows)
{
    struct shape s = shape_of(&t->model->hp);
    for (int i = 0; i < rows; i++)
        for (int h = 0; h < t->model->hp.n_kv_heads; h++) {
            float *to = dst + (size_t)i * s.kv_width + (size_t)h * s.hd;
            const float *from = src + (size_t)i * s.q_width + (size_t)(h * s.group) * s.hd;
            memcpy(to, from, s.hd * sizeof *to);
            for (int g = 1; g < s.group; g++)
                t->ops->add(to, from + (size_t)g * s.hd, s.hd);
        }
}

void ste_attention_backward(struct ste_trainer *t, const struct ste_layout *lay, int layer, const float *d_o)
{
    int heads = t->model->hp.n_heads, n = 0;
    struct attention_job j = {.t = t,
                              .lay = lay,
                              .a = &t->s.acts[layer],
                              .window = t->model->layers[layer].window,
                              .d_o = d_o,
                              .places = ste_xcalloc((size_t)(lay->n_groups * heads), sizeof *j.places)};
    for (int g = 0; g < lay->n_groups; g++)
        for (int h = 0; h < heads; h++)
            j.places[n++] = (struct place){g, h, 0};
    ste_pool_run(t->p.pool, head_backward, &j, n);
    ste_xfree(j.places);
    fold_heads(t, t->s.dk, t->s.dk_heads, lay->tokens);
    fold_heads(t, t->s.dv, t->s.dv_heads, lay->tokens);
}
